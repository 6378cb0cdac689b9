"""Which voxels belong to cells: smoothing, histogram and threshold in one pass over the planes.

The smoothed volume is kept as 16-bit codes (half the memory of float32), from which come both the histogram and the
mask. To add a method, name it in ``ForegroundSettings.method`` and give its level in :func:`find_levels`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.settings import required
from tomocyte.segmentation.classical.thresholds import Histogram, Levels, half_maximum_levels, otsu_threshold
from tomocyte.segmentation.settings import ForegroundSettings
from tomocyte.segmentation.smoothing import local_mean_planes, sigma_in_voxels, smoothed_planes
from tomocyte.volume import VoxelSize

Mask = NDArray[np.bool_]
_LAST_CODE = 65_535
_CERTAIN = 0.75
"""A local threshold stays below this point between background (0) and cell (1), so that large cells are not cut up."""
_FAR = 10.0
"""Values further than this many spreads (of the middle 99.98 % of the voxels) beyond that middle are clipped."""


@dataclass(frozen=True)
class Foreground:
    """Voxels that belong to cells.

    Parameters
    ----------
    mask : ndarray (Z, Y, X), bool
    levels : Levels
        In the image's unit, found in the smoothed image.
    core : ndarray (Z, Y, X), bool, optional
        Where given, an object counts only if it has a voxel here.
    """

    mask: Mask
    levels: Levels
    core: Mask | None = None


def find_foreground(image: NDArray[Any], voxel_size_um: VoxelSize, settings: ForegroundSettings) -> Foreground:
    """Voxels that belong to cells.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real, physical values
        NaN or infinite = outside: never foreground.
    voxel_size_um : tuple of 3 float
    settings : ForegroundSettings

    Returns
    -------
    Foreground
        An image without cells gives an empty mask.
    """
    sign = 1.0 if settings.is_bright else -1.0
    low, high = _code_range(image, sign)
    mask = np.zeros(image.shape, dtype=bool)
    if not high > low:
        value = sign * low if np.isfinite(low) else float("nan")
        is_above = settings.value is not None and sign * value > sign * settings.value
        if is_above:
            mask |= np.isfinite(image)
        return Foreground(mask, Levels(value, 0.0, value, value))
    step = (high - low) / (_LAST_CODE - 1)
    codes, counts = _encode(
        image, sigma_in_voxels(required(settings.smoothing_um), voxel_size_um, image.shape[0]), sign, low, step
    )
    centres = (low + step * np.arange(_LAST_CODE)).astype(np.float64)
    levels = find_levels(Histogram(counts[1:], centres), settings, sign)
    is_empty = levels.inside - levels.background < settings.min_contrast_to_noise * levels.noise
    if settings.method != "value" and (is_empty or not levels.inside > levels.background):
        return Foreground(mask, _signed(levels, sign))
    core = None
    if settings.method == "local-adaptive":
        window = sigma_in_voxels(required(settings.local_window_um), voxel_size_um, image.shape[0])
        floor = max(levels.threshold, levels.background + settings.min_contrast_to_noise * levels.noise)
        ceiling = max(floor, levels.background + _CERTAIN * (levels.inside - levels.background))
        for z, mean in enumerate(local_mean_planes(image, window)):
            threshold = np.clip(sign * mean, floor, ceiling)
            np.greater(codes[z], (threshold - low) / step + 1, out=mask[z])
    else:
        _above(codes, (levels.threshold - low) / step, mask)
    reaches_less = settings.method == "half-maximum" and settings.core_fraction > settings.fraction
    if reaches_less or settings.method == "local-adaptive":
        reach = levels.background + settings.core_fraction * (levels.inside - levels.background)
        core = _above(codes, (reach - low) / step, np.zeros(image.shape, dtype=bool))
    return Foreground(mask, _signed(levels, sign), core)


def find_levels(histogram: Histogram, settings: ForegroundSettings, sign: float = 1.0) -> Levels:
    """Background, noise, inside level and threshold by the method of the settings, for bright cells.

    Parameters
    ----------
    histogram : Histogram
        Of ``sign`` times the image.
    settings : ForegroundSettings
    sign : float
        -1 when the histogram is of the negative image.
    """
    half = half_maximum_levels(histogram, settings.fraction)
    if settings.method == "otsu":
        threshold = otsu_threshold(histogram)
        return Levels(half.background, half.noise, histogram.median(low=threshold), threshold)
    if settings.method == "value" and settings.value is not None:
        threshold = sign * settings.value
        return Levels(half.background, half.noise, histogram.median(low=threshold), threshold)
    return half


def _above(codes: NDArray[np.uint16], limit: float, out: Mask) -> Mask:
    """Codes beyond a limit given in steps from the lowest value."""
    for z in range(codes.shape[0]):
        np.greater(codes[z], np.float32(max(limit + 1, 0.0)), out=out[z])
    return out


def _signed(levels: Levels, sign: float) -> Levels:
    return Levels(sign * levels.background, levels.noise, sign * levels.inside, sign * levels.threshold)


def _code_range(image: NDArray[Any], sign: float) -> tuple[float, float]:
    """Range of the codes: all finite values, except extreme outliers."""
    low, high = np.inf, -np.inf
    for plane in image:
        values = plane[np.isfinite(plane)]
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    if low > high:
        return np.nan, np.nan
    sample = image.ravel()[:: max(1, image.size // 1_000_000)]
    sample = sample[np.isfinite(sample)]
    if sample.size:
        inner = np.percentile(sample, [0.01, 99.99]).astype(np.float64)
        spread = float(inner[1] - inner[0])
        if spread > 0:
            low = max(low, float(inner[0]) - _FAR * spread)
            high = min(high, float(inner[1]) + _FAR * spread)
    return (low, high) if sign > 0 else (-high, -low)


def _encode(
    image: NDArray[Any], sigma: tuple[float, ...], sign: float, low: float, step: float
) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """Codes 1..65,535 of the smoothed image (0 = no value) and how often each occurs."""
    codes = np.zeros(image.shape, dtype=np.uint16)
    counts = np.zeros(_LAST_CODE + 1, dtype=np.int64)
    for z, plane in enumerate(smoothed_planes(image, sigma)):
        finite = np.isfinite(plane)
        scaled = (sign * np.where(finite, plane, 0).astype(np.float64) - low) / step
        codes[z] = np.where(finite, np.clip(np.rint(scaled), 0, _LAST_CODE - 1) + 1, 0).astype(np.uint16)
        counts += np.bincount(codes[z].ravel(), minlength=_LAST_CODE + 1)
    counts[0] = 0
    return codes, counts
