"""Thresholds: one number from a histogram, or a mask that follows its neighbourhood.

Each threshold is a function of a :class:`Histogram`, so that a volume is read once and never copied. To add one,
write a function ``(Histogram, …) -> float`` and name it in ``ForegroundSettings.method`` and
``foreground.find_levels``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.segmentation.smoothing import local_mean_planes

N_BINS = 65_536
GAUSSIAN_MAD = 1.4826
"""Standard deviation of a Gaussian in units of its median absolute deviation."""

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Histogram:
    """Counts of values in bins of equal width.

    Parameters
    ----------
    counts : ndarray (n_bins,), int64
    centres : ndarray (n_bins,), float64
        In the image's unit.
    """

    counts: NDArray[np.int64]
    centres: Float

    @classmethod
    def of(cls, values: NDArray[Any], n_bins: int = N_BINS) -> Histogram:
        """Of the finite values of an array; empty counts if there are none."""
        finite = np.asarray(values[np.isfinite(values)], dtype=np.float64)
        if finite.size == 0:
            return cls(np.zeros(1, dtype=np.int64), np.zeros(1))
        counts, edges = np.histogram(finite, bins=n_bins, range=_range(float(finite.min()), float(finite.max())))
        return cls(counts.astype(np.int64), (edges[1:] + edges[:-1]) / 2)

    @property
    def is_flat(self) -> bool:
        """Whether fewer than two different values were counted."""
        return int(np.count_nonzero(self.counts)) < 2

    def median(self, low: float = -np.inf, high: float = np.inf) -> float:
        """Median of the values in (low, high], to the width of a bin; NaN when there are none."""
        counts = np.where((self.centres > low) & (self.centres <= high), self.counts, 0)
        total = int(counts.sum())
        if total == 0:
            return float("nan")
        return float(self.centres[np.searchsorted(np.cumsum(counts), (total + 1) // 2)])


def _range(low: float, high: float) -> tuple[float, float]:
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def otsu_threshold(histogram: Histogram) -> float:
    """The threshold that separates two classes with the largest variance between them.

    Parameters
    ----------
    histogram : Histogram

    Returns
    -------
    float
        In the image's unit; values above it are the bright class. The common value when all values are equal.

    References
    ----------
    Otsu, IEEE Trans. Syst. Man Cybern. 9, 62 (1979), doi:10.1109/TSMC.1979.4310076.

    Examples
    --------
    >>> 0 < otsu_threshold(Histogram.of(np.array([0.0, 0.0, 0.0, 1.0]))) < 1
    True
    """
    if histogram.is_flat:
        return float(histogram.centres[int(np.argmax(histogram.counts))])
    counts = histogram.counts.astype(np.float64)
    below = np.cumsum(counts)
    above = below[-1] - below
    # The origin cancels; taking it at the mean keeps the sums small.
    moment = np.cumsum(counts * (histogram.centres - np.average(histogram.centres, weights=counts)))
    with np.errstate(divide="ignore", invalid="ignore"):
        between = np.where((below > 0) & (above > 0), moment**2 * (1 / below + 1 / above), -1.0)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    # Empty bins between two classes are all equally good: the middle one.
    return float(histogram.centres[(best[0] + best[-1]) // 2] + (histogram.centres[1] - histogram.centres[0]) / 2)


@dataclass(frozen=True)
class Levels:
    """What the background and the cells look like in a histogram.

    Parameters
    ----------
    background : float
        Mode of the background.
    noise : float
        Robust standard deviation of the background, from the values below its mode.
    inside : float
        Median of the values beyond the threshold.
    threshold : float
    """

    background: float
    noise: float
    inside: float
    threshold: float


def half_maximum_levels(histogram: Histogram, fraction: float = 0.5) -> Levels:
    """A threshold part of the way from the background to the cells, for bright cells.

    The background is the mode of the values below Otsu's threshold. The inside level is the median of the values
    above the half-maximum, which lies half-way between background and inside level: the fixed point of the two is found
    by iteration from Otsu's threshold. The threshold is ``background + fraction * (inside - background)``.

    Parameters
    ----------
    histogram : Histogram
    fraction : float, 0–1

    Returns
    -------
    Levels
        In the image's unit. With all values equal, the threshold is that value (nothing lies above it).

    Examples
    --------
    >>> levels = half_maximum_levels(Histogram.of(np.repeat([1.0, 3.0], [90, 10])))
    >>> round(levels.threshold, 3)
    2.0
    """
    if histogram.is_flat:
        value = float(histogram.centres[int(np.argmax(histogram.counts))])
        return Levels(value, 0.0, value, value)
    split = otsu_threshold(histogram)
    background = histogram_mode(histogram, split)
    noise = GAUSSIAN_MAD * (background - histogram.median(high=background))
    threshold = split
    inside = histogram.median(low=threshold)
    for _ in range(100):
        inside = histogram.median(low=threshold)
        following = background + 0.5 * (inside - background)
        if np.isnan(inside) or abs(following - threshold) <= 1e-9 * abs(inside - background):
            break
        threshold = following
    return Levels(background, noise, inside, background + fraction * (inside - background))


def half_maximum_threshold(histogram: Histogram) -> float:
    """Half-way between the background's mode and the cells' inside level; see :func:`half_maximum_levels`."""
    return half_maximum_levels(histogram).threshold


def histogram_mode(histogram: Histogram, below: float = np.inf) -> float:
    """Most frequent value up to ``below``.

    The counts are smoothed by a Gaussian of a quarter of their interquartile range: one mode, even when noisy.
    """
    keep = histogram.centres <= below
    counts, centres = histogram.counts[keep].astype(np.float64), histogram.centres[keep]
    if counts.sum() == 0:
        return float(histogram.centres[0])
    cumulated = np.cumsum(counts) / counts.sum()
    quartiles = np.searchsorted(cumulated, [0.25, 0.75])
    width = max(1.0, 0.25 * float(quartiles[1] - quartiles[0]))
    smoothed = ndimage.gaussian_filter1d(counts, width, mode="constant")
    return float(centres[int(np.argmax(smoothed))])


def local_adaptive_mask(
    image: NDArray[Any],
    window_voxels: tuple[float, ...],
    *,
    floor: float = -np.inf,
    ceiling: float = np.inf,
) -> NDArray[np.bool_]:
    """Voxels brighter than the mean of their neighbourhood.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real
        NaN = outside.
    window_voxels : tuple of 3 float
        Sigma of the Gaussian neighbourhood along z, y, x, in voxels.
    floor, ceiling : float
        The local threshold never leaves this interval, in the image's unit: the floor keeps the noise of empty
        regions out, the ceiling keeps the middle of large cells in.

    Returns
    -------
    ndarray (Z, Y, X), bool
    """
    mask = np.zeros(image.shape, dtype=bool)
    for z, mean in enumerate(local_mean_planes(image, window_voxels)):
        np.greater(image[z], np.clip(mean, floor, ceiling), out=mask[z])
    return mask
