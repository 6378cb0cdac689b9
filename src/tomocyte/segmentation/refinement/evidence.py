"""How much every voxel looks like the inside of an object: 0 like what lies outside near by, 1 like what lies inside.

Inside and outside are averaged in a window around each place, so that uneven illumination, a pale part of a cell or
glass near by do not count elsewhere. To compare by something else than the smoothed grey value, replace ``smoothed``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.labels.blocks import Factors, block_factors, block_sums
from tomocyte.segmentation.classical.thresholds import GAUSSIAN_MAD
from tomocyte.volume import VoxelSize

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]
FAR_WINDOW = 4.0
FAR_WEIGHT = 1e-3
"""A window so many times wider counts a little too, where the near one is empty."""
OUTSIDE_WINDOW = 0.6
"""The window outside is narrower: there, values may change with the distance from an object."""
HALF = 0.5
USUAL = 1.5
"""Usual values lie up to so many times the difference of the medians from the middle between them."""
ROUGH_SHARE = 0.25
"""Part of the contrast that the medians must have: far from an object, values differ more than near by."""
SAMPLE = 200_000


@dataclass(frozen=True)
class _Side:
    """Mean and variance of one side, in blocks."""

    mean: Float
    variance: Float


def likeness(
    smoothed: Float,
    inside: Mask,
    outside: Mask,
    voxel_size_um: VoxelSize,
    *,
    window_um: float,
    min_contrast_to_noise: float,
) -> Float | None:
    """How much every voxel looks like the inside.

    Parameters
    ----------
    smoothed : ndarray (Z, Y, X), float32
    inside, outside : ndarray (Z, Y, X), bool
        Where one can be sure. Voxels on the wrong side of the middle between the two medians (debris in the medium),
        or farther beyond their own median than that is from the other (a droplet), do not count.
    voxel_size_um : tuple of 3 float
    window_um : float
        Gaussian sigma in µm.
    min_contrast_to_noise : float

    Returns
    -------
    ndarray (Z, Y, X), float32, or None
        ``(v - outside) / (inside - outside)``; NaN where the two differ too little, or the wrong way round. ``None``
        where one side has no voxels, or their medians differ too little.
    """
    medians, spreads = zip(*(_median_and_spread(smoothed, part) for part in (inside, outside)), strict=True)
    difference = medians[0] - medians[1]
    if (
        not abs(difference) > ROUGH_SHARE * min_contrast_to_noise * spreads[1]
    ):  # NaN, where a side is empty, is not larger either
        return None
    sign = np.float32(np.sign(difference))
    factors = block_factors(voxel_size_um, window_um / 4)
    sigmas = [window_um / (size * factor) for size, factor in zip(voxel_size_um, factors, strict=True)]
    rough = (smoothed - np.float32(medians[1])) / np.float32(difference)
    first = _side(smoothed, inside & (rough > HALF) & (rough < HALF + USUAL), factors, sigmas)
    usual = outside & (rough < HALF) & (rough > HALF - USUAL)
    second = _side(smoothed, usual, factors, [OUTSIDE_WINDOW * sigma for sigma in sigmas])
    contrast = first.mean - second.mean
    is_clear = contrast * sign > min_contrast_to_noise * np.sqrt(second.variance)
    result = np.empty(smoothed.shape, np.float32)
    _scaled(smoothed, second.mean, np.where(is_clear, contrast, np.float32(np.nan)), np.array(factors), result)
    return result


def _median_and_spread(values: Float, where: Mask) -> tuple[float, float]:
    """Median, and robust standard deviation, of a sample of the finite values; NaN without any."""
    places = np.flatnonzero(where.ravel())
    chosen = values.ravel()[places[:: max(1, len(places) // SAMPLE)]].astype(np.float64)
    chosen = chosen[np.isfinite(chosen)]
    if chosen.size == 0:
        return math.nan, math.nan
    median = float(np.median(chosen))
    return median, GAUSSIAN_MAD * float(np.median(np.abs(chosen - median)))


def _side(smoothed: Float, where: Mask, factors: Factors, sigmas: list[float]) -> _Side:
    """Mean and variance in the window around each block, from the blocks' sums."""
    values = np.where(where, smoothed, np.float32(0))
    total = float(values.sum(dtype=np.float64)) / max(1, int(np.count_nonzero(where)))
    centred = np.where(where, smoothed - np.float32(total), np.float32(0))  # small numbers: squares keep their digits
    del values
    sums = [block_sums(part, factors) for part in (where, centred, centred * centred)]
    count, first, second = (_windowed(part, sigmas) for part in sums)
    count = np.maximum(count, np.finfo(np.float32).tiny)
    mean = first / count
    return _Side(mean + np.float32(total), np.maximum(second / count - mean * mean, 0))


def _windowed(sums: Float, sigmas: list[float]) -> Float:
    near = ndimage.gaussian_filter(sums, sigmas, mode="constant", truncate=3)
    far = ndimage.gaussian_filter(sums, [FAR_WINDOW * sigma for sigma in sigmas], mode="constant", truncate=3)
    return np.asarray(near + np.float32(FAR_WEIGHT) * far, dtype=np.float32)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _at(position: int, factor: int, n_blocks: int) -> tuple[int, int, float]:
    """The blocks before and after a voxel, and the weight of the second."""
    place = (position + 0.5) / factor - 0.5
    place = min(max(place, 0.0), n_blocks - 1.0)
    low = int(place)
    return low, min(low + 1, n_blocks - 1), place - low


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _scaled(smoothed: Float, outside: Float, contrast: Float, factors: NDArray[Any], result: Float) -> None:
    """Each voxel between outside and inside, both interpolated linearly between blocks."""
    depth, height, width = smoothed.shape
    rows = np.empty((2, outside.shape[2]), np.float32)
    for z in range(depth):
        z0, z1, fz = _at(z, factors[0], outside.shape[0])
        for y in range(height):
            y0, y1, fy = _at(y, factors[1], outside.shape[1])
            for index in range(2):
                source = outside if index == 0 else contrast
                for block in range(outside.shape[2]):
                    before = source[z0, y0, block] * (1 - fy) + source[z0, y1, block] * fy
                    after = source[z1, y0, block] * (1 - fy) + source[z1, y1, block] * fy
                    rows[index, block] = before * (1 - fz) + after * fz
            for x in range(width):
                x0, x1, fx = _at(x, factors[2], outside.shape[2])
                low = rows[0, x0] * (1 - fx) + rows[0, x1] * fx
                step = rows[1, x0] * (1 - fx) + rows[1, x1] * fx
                result[z, y, x] = (smoothed[z, y, x] - low) / step
