"""Gaussian smoothing plane by plane: the whole volume is never held twice, and NaN voxels count for nothing.

Only ``2·reach + 1`` planes are in memory at a time. To add another filter that the segmentation can stream, write one
more generator with the signature of :func:`smoothed_planes`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.labels.blocks import block_means

Image = NDArray[np.float32]
TRUNCATE = 4.0
"""The Gaussian is cut off at this many sigma."""


def sigma_in_voxels(sigma_um: float, voxel_size_um: tuple[float, float, float], n_planes: int) -> tuple[float, ...]:
    """A sigma in µm as sigmas in voxels (z, y, x); 0 along z for a single plane, whose thickness has no meaning."""
    in_z = 0.0 if n_planes == 1 or not math.isfinite(voxel_size_um[0]) else sigma_um / voxel_size_um[0]
    return (in_z, sigma_um / voxel_size_um[1], sigma_um / voxel_size_um[2])


def smoothed_planes(image: NDArray[Any], sigma_voxels: tuple[float, ...]) -> Iterator[Image]:
    """The planes of the Gaussian-smoothed image, one after the other.

    Borders repeat their nearest voxel. Non-finite voxels have weight zero (normalised convolution) and stay NaN
    themselves, so that their neighbours are averages of finite voxels only.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real
    sigma_voxels : tuple of 3 float
        Along z, y, x; 0 leaves the axis alone.

    Yields
    ------
    ndarray (Y, X), float32

    References
    ----------
    Knutsson & Westin, Normalized and differential convolution, CVPR 1993, doi:10.1109/CVPR.1993.341081.
    """
    n_z = image.shape[0]
    weights = _kernel(sigma_voxels[0])
    reach = len(weights) // 2
    window: deque[tuple[Image, Image | None, NDArray[np.bool_] | None]] = deque(maxlen=2 * reach + 1)
    for z in range(-reach, reach):
        window.append(_plane(image[min(max(z, 0), n_z - 1)], sigma_voxels[1:]))
    for z in range(n_z):
        window.append(_plane(image[min(z + reach, n_z - 1)], sigma_voxels[1:]))
        yield _blend(window, weights, reach)


def smooth(image: NDArray[Any], sigma_voxels: tuple[float, ...]) -> Image:
    """The smoothed image (Z, Y, X), float32, as :func:`smoothed_planes` gives it."""
    smoothed = np.empty(image.shape, dtype=np.float32)
    for z, plane in enumerate(smoothed_planes(image, sigma_voxels)):
        smoothed[z] = plane
    return smoothed


def local_mean_planes(image: NDArray[Any], window_voxels: tuple[float, ...]) -> Iterator[Image]:
    """The planes of a mean over a wide Gaussian neighbourhood, computed on blocks and interpolated.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real
        Non-finite voxels do not count; blocks without a finite voxel take the mean of the blocks around them.
    window_voxels : tuple of 3 float
        Sigma along z, y, x; blocks are a quarter of it.

    Yields
    ------
    ndarray (Y, X), float32
    """
    factors = tuple(max(1, int(sigma / 4)) for sigma in window_voxels)
    everywhere = np.broadcast_to(np.True_, image.shape)
    coarse = block_means(image, (factors[0], factors[1], factors[2]), everywhere, empty=np.nan)
    coarse = smooth(coarse, tuple(sigma / factor for sigma, factor in zip(window_voxels, factors, strict=True)))
    coarse = np.nan_to_num(coarse, nan=float(np.nanmean(coarse)) if np.isfinite(coarse).any() else 0.0)
    for axis in (1, 2):
        low, high, part = _between(image.shape[axis], factors[axis], coarse.shape[axis])
        part = part.reshape((1, -1, 1) if axis == 1 else (1, 1, -1))
        # Along y and x at once for all coarse planes: they are few.
        coarse = np.take(coarse, low, axis) * (1 - part) + np.take(coarse, high, axis) * part
    low, high, part = _between(image.shape[0], factors[0], coarse.shape[0])
    for below, above, weight in zip(low, high, part, strict=True):
        yield coarse[below] * (1 - weight) + coarse[above] * weight


def _between(n_fine: int, factor: int, n_coarse: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Image]:
    """For each fine position the two blocks around it and the weight of the second."""
    position = np.clip((np.arange(n_fine) + 0.5) / factor - 0.5, 0, n_coarse - 1)
    low = np.floor(position).astype(np.int64)
    return low, np.minimum(low + 1, n_coarse - 1), (position - low).astype(np.float32)


def _kernel(sigma: float) -> NDArray[np.float32]:
    reach = int(TRUNCATE * sigma + 0.5)
    if reach == 0:
        return np.ones(1, dtype=np.float32)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(weights / weights.sum(), dtype=np.float32)


def _plane(plane: NDArray[Any], sigma: tuple[float, ...]) -> tuple[Image, Image | None, NDArray[np.bool_] | None]:
    """Smoothed values, smoothed weights and missing voxels of one plane (``None`` twice if all are finite)."""
    values = np.asarray(plane, dtype=np.float32)
    missing = ~np.isfinite(values)
    if not missing.any():
        return _in_plane(values, sigma), None, None
    return (
        _in_plane(np.where(missing, np.float32(0), values), sigma),
        _in_plane((~missing).astype(np.float32), sigma),
        missing,
    )


def _in_plane(values: Image, sigma: tuple[float, ...]) -> Image:
    if not any(sigma):
        return values
    smoothed: Image = ndimage.gaussian_filter(values, sigma, mode="nearest", truncate=TRUNCATE)
    return smoothed


def _blend(
    window: deque[tuple[Image, Image | None, NDArray[np.bool_] | None]], weights: NDArray[np.float32], reach: int
) -> Image:
    if all(weight is None for _, weight, _ in window):
        if reach == 0:
            return window[0][0]
        total = np.zeros_like(window[0][0])
        for factor, (values, _, _) in zip(weights, window, strict=True):
            total += factor * values
        return total
    total = np.zeros_like(window[0][0])
    mass = np.zeros_like(total)
    for factor, (values, weight, _) in zip(weights, window, strict=True):
        total += factor * values
        mass += factor if weight is None else factor * weight
    missing = window[reach][2]
    usable = mass > 1e-6
    if missing is not None:
        usable &= ~missing
    return np.divide(total, mass, out=np.full_like(total, np.nan), where=usable)
