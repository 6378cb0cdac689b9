"""A person who paints an object slice by slice: each slice alone, so that neighbouring slices do not quite fit.

A painted contour lies a little beside the true one: the whole slice a little too large or too small and moved, and
along the contour by an amount that changes slowly; thin protrusions are overlooked. To let the person err in another
respect, add a field to :class:`PaintingSettings` and use it in :func:`paint_slice`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.settings import Settings
from tomocyte.volume import VoxelSize

Mask = NDArray[np.bool_]
Plane = NDArray[np.floating[Any]]


class PaintingSettings(Settings):
    """How far a painted slice is from the truth; 0 everywhere: not at all."""

    offset_um: float = Field(default=0.05, ge=0, le=10)
    """Standard deviation of how far the painted contour lies outside the true one, along the contour, in µm."""
    length_um: float = Field(default=1.0, gt=0, le=100)
    """Distance along the contour over which that changes, in µm."""
    slice_offset_um: float = Field(default=0.05, ge=0, le=10)
    """Standard deviation of how far outside the whole contour of a slice is painted, anew in every slice, in µm."""
    shift_um: float = Field(default=0.03, ge=0, le=10)
    """Standard deviation along y and x of how far the whole slice is moved, anew in every slice, in µm."""
    thin_um: float = Field(default=0.35, ge=0, le=10)
    """What is thinner than this within a slice may be overlooked, in µm."""
    missed_share: float = Field(default=0.6, ge=0, le=1)
    """Share of the thin parts of a slice that are overlooked."""


def paint_slices(
    truth: Mask,
    voxel_size_um: VoxelSize,
    *,
    slices: Iterable[int] | None = None,
    settings: PaintingSettings | None = None,
    rng: np.random.Generator,
) -> Mask:
    """The object as a person paints it in some slices along z, or in all.

    Parameters
    ----------
    truth : ndarray (Z, Y, X), bool
    voxel_size_um : tuple of 3 float
        z, y, x in µm.
    slices : iterable of int, optional
        Those that are painted; all by default.
    settings : PaintingSettings, optional
    rng : numpy.random.Generator

    Returns
    -------
    ndarray (Z, Y, X), bool
        False in slices that are not painted.

    Examples
    --------
    >>> truth = np.zeros((3, 40, 40), bool)
    >>> truth[:, 10:30, 10:30] = True
    >>> careful = PaintingSettings(offset_um=0, slice_offset_um=0, shift_um=0, missed_share=0)
    >>> painted = paint_slices(truth, (0.1, 0.1, 0.1), settings=careful, rng=np.random.default_rng(1))
    >>> bool((painted == truth).all())
    True
    """
    options = settings or PaintingSettings()
    painted = np.zeros(truth.shape, bool)
    for index in range(len(truth)) if slices is None else slices:
        if truth[index].any():
            painted[index] = paint_slice(truth[index], (voxel_size_um[1], voxel_size_um[2]), options, rng)
    return painted


def paint_slice(
    truth: Mask, pixel_size_um: tuple[float, float], settings: PaintingSettings, rng: np.random.Generator
) -> Mask:
    """One slice (Y, X) as it is painted, without knowledge of its neighbours.

    Parameters
    ----------
    truth : ndarray (Y, X), bool
    pixel_size_um : tuple of 2 float
        y, x in µm.
    settings : PaintingSettings
    rng : numpy.random.Generator
    """
    from scipy import ndimage

    seen = without_thin_parts(truth, pixel_size_um, settings, rng)
    if not seen.any():
        return seen
    inside = _depth(seen, pixel_size_um)
    if settings.shift_um:
        steps = [rng.normal(0, settings.shift_um) / size for size in pixel_size_um]
        inside = ndimage.shift(inside, steps, order=1, mode="nearest")
    outwards: Any = rng.normal(0, settings.slice_offset_um) if settings.slice_offset_um else 0.0
    if settings.offset_um:
        sigma = [settings.length_um / size for size in pixel_size_um]
        outwards = outwards + settings.offset_um * _smooth_noise(seen.shape, sigma, rng)
    return np.asarray(inside + outwards > 0)


def without_thin_parts(
    truth: Mask, pixel_size_um: tuple[float, float], settings: PaintingSettings, rng: np.random.Generator
) -> Mask:
    """A slice (Y, X) without the thin parts that are overlooked: those that a disc of ``thin_um`` does not fit into."""
    from scipy import ndimage

    if not settings.missed_share or not settings.thin_um:
        return truth.copy()
    radius = settings.thin_um / 2
    middle = ndimage.distance_transform_edt(_bordered(truth), sampling=pixel_size_um)[1:-1, 1:-1] > radius
    if middle.any():
        opened = ndimage.distance_transform_edt(~middle, sampling=pixel_size_um) <= radius
    else:
        opened = np.zeros(truth.shape, bool)
    parts, n_parts = ndimage.label(truth & ~opened, structure=np.ones((3, 3), bool))
    is_missed = np.concatenate([[False], rng.random(n_parts) < settings.missed_share])
    return np.asarray(truth & ~is_missed[parts])


def _bordered(mask: Mask) -> Mask:
    """With one pixel more at each side, inside where the object goes on beyond the slice."""
    return np.pad(mask, 1, mode="edge")


def _depth(mask: Mask, pixel_size_um: tuple[float, float]) -> Plane:
    """Distance in µm from the contour, which runs between pixels: positive inside, negative outside."""
    from scipy import ndimage

    half = min(pixel_size_um) / 2
    inside = ndimage.distance_transform_edt(mask, sampling=pixel_size_um)
    outside = ndimage.distance_transform_edt(~mask, sampling=pixel_size_um)
    return np.asarray(np.where(mask, inside - half, half - outside))


def _smooth_noise(shape: tuple[int, ...], sigma: list[float], rng: np.random.Generator) -> Plane:
    """Gaussian noise of mean 0 and standard deviation 1 that changes over ``sigma`` pixels."""
    from scipy import ndimage

    noise = ndimage.gaussian_filter(rng.normal(size=shape), sigma, mode="wrap", truncate=3)
    deviation = 1 / np.sqrt(4 * np.pi * sigma[0] * sigma[1])
    return np.asarray(noise / deviation)
