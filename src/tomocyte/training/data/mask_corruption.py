"""Exact masks corrupted as a network's predictions are, so that a network trained on masks works on predicted ones.

Everything works on small windows of boolean masks, with sizes in µm. To add a fault, write a function that takes masks
and an ``rng`` and call it in :func:`corrupted`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Labels = NDArray[np.unsignedinteger]
Sizes = tuple[float, ...]

MISSED = 0.15
"""Chance that a neighbour's nucleus is not there."""
INVENTED = 0.1
"""Chance of a nucleus that is none."""
CUT = 0.15
"""Chance that a slit cuts the cells."""


def corrupted(
    membrane: Mask, own: Mask, others: Labels, voxel_size_um: Sizes, rng: np.random.Generator
) -> tuple[Mask, Mask, Mask]:
    """The three masks that the cell-by-cell network sees, with faults.

    Parameters
    ----------
    membrane, own : ndarray (Z, Y, X), bool
        All cells; the nucleus of the sample's cell.
    others : ndarray (Z, Y, X), unsigned integer
        The other nuclei, numbered, so that each can be missed alone.
    voxel_size_um : tuple of 3 float
    rng : numpy.random.Generator

    Returns
    -------
    tuple of 3 ndarray (Z, Y, X), bool
        Cells, own nucleus, other nuclei. The own nucleus never vanishes.
    """
    cells = with_blobs(moved_edges(membrane, rng), membrane, voxel_size_um, rng)
    if rng.random() < CUT:
        cells = cells & ~slit(cells, voxel_size_um, rng)
    nucleus = moved_edges(own, rng)
    if rng.random() < MISSED:
        nucleus &= ~_ellipsoid(nucleus, voxel_size_um, (0.5, 2.0), rng)
    present = np.unique(others[others != 0])
    remaining = present[rng.random(len(present)) >= MISSED]
    neighbours = moved_edges(np.isin(others, remaining), rng)
    if rng.random() < INVENTED:
        neighbours |= _ellipsoid(cells, voxel_size_um, (1.0, 2.5), rng) & cells & ~nucleus
    return cells, nucleus if nucleus.any() else own.copy(), neighbours & ~nucleus


def moved_edges(mask: Mask, rng: np.random.Generator, *, reach: float = 0.35) -> Mask:
    """A mask whose edge moves in and out smoothly; what is thinner than the blur is lost.

    Parameters
    ----------
    mask : ndarray (Z, Y, X), bool
    rng : numpy.random.Generator
    reach : float
        How far the level at which the blurred mask is cut strays from one half.

    Returns
    -------
    ndarray, same shape, bool
    """
    from scipy import ndimage

    if not mask.any():
        return mask.copy()
    sigma = float(rng.uniform(0.5, 1.5))
    level = 0.5 + reach * smooth_noise(mask.shape, rng)
    blurred = ndimage.gaussian_filter(mask.astype(np.float32), sigma, truncate=2.5, mode="nearest")
    return np.asarray(blurred > level)


def smooth_noise(shape: tuple[int, ...], rng: np.random.Generator, *, spacing: int = 8) -> NDArray[np.floating[Any]]:
    """Noise in [-1, 1] that changes slowly: linear between random values ``spacing`` voxels apart."""
    noise: NDArray[Any] = rng.uniform(-1, 1, [size // spacing + 2 for size in shape]).astype(np.float32)
    for axis, size in enumerate(shape):
        place = np.arange(size, dtype=np.float32) / spacing
        low = place.astype(np.intp)
        share = (place - low).reshape([-1 if i == axis else 1 for i in range(len(shape))])
        noise = np.take(noise, low, axis) * (1 - share) + np.take(noise, low + 1, axis) * share
    return noise


def with_blobs(mask: Mask, near: Mask, voxel_size_um: Sizes, rng: np.random.Generator) -> Mask:
    """A mask with up to two blobs lost and up to two gained, all touching ``near``; gained ones bridge gaps."""
    result = mask.copy()
    for _ in range(int(rng.integers(0, 3))):
        result &= ~_ellipsoid(near, voxel_size_um, (0.5, 1.5), rng)
    for _ in range(int(rng.integers(0, 3))):
        result |= _ellipsoid(near, voxel_size_um, (0.5, 2.5), rng)
    return result


def slit(mask: Mask, voxel_size_um: Sizes, rng: np.random.Generator) -> Mask:
    """A flat gap of at most 1 µm through a random point of the mask, at any angle about z and nearly upright."""
    centre, offsets = _around(mask, voxel_size_um, rng)
    if centre is None:
        return np.zeros(mask.shape, dtype=bool)
    angle, tilt = rng.uniform(0, np.pi), rng.normal(0, 0.3)
    z, y, x = offsets
    distance = np.cos(angle) * y + np.sin(angle) * x + tilt * z
    return np.asarray(np.abs(distance) < rng.uniform(0.2, 0.5))


def _ellipsoid(mask: Mask, voxel_size_um: Sizes, radii_um: tuple[float, float], rng: np.random.Generator) -> Mask:
    """An ellipsoid around a random point of the mask; nothing where the mask is empty."""
    centre, offsets = _around(mask, voxel_size_um, rng)
    if centre is None:
        return np.zeros(mask.shape, dtype=bool)
    radii = rng.uniform(*radii_um, 3)
    squares = [(along / radius) ** 2 for along, radius in zip(offsets, radii, strict=True)]
    return np.asarray(squares[0] + squares[1] + squares[2] <= 1)


def _around(
    mask: Mask, voxel_size_um: Sizes, rng: np.random.Generator
) -> tuple[tuple[int, ...] | None, list[NDArray[Any]]]:
    """A random point of the mask, and each axis's distance from it in µm, ready to be broadcast."""
    inside = np.flatnonzero(mask)
    if not inside.size:
        return None, []
    place = np.unravel_index(int(inside[rng.integers(inside.size)]), mask.shape)
    axes = np.ogrid[tuple(slice(size) for size in mask.shape)]
    offsets = [(axis - at) * size for axis, at, size in zip(axes, place, voxel_size_um, strict=True)]
    return tuple(int(at) for at in place), offsets
