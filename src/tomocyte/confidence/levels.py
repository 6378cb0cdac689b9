"""Calibration fitted to counts: quantised probabilities against the truth, and conformal intervals.

All voxels of all images take part, because only two counts per stored level are kept; counts of several images add up.
To fit another curve to them, add a function beside :func:`fit_platt`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.evaluation.calibration import DEFAULT_BINS, ReliabilityCounts

Float = NDArray[np.float64]
Index = NDArray[np.int64]
N_LEVELS = 256
FLATTEST, STEEPEST = 0.05, 20.0


@dataclass(frozen=True)
class LevelCounts:
    """Voxels per level of the quantised probability.

    Parameters
    ----------
    n_voxels, n_inside : ndarray (256,), int64
        All voxels of the level, and those of them inside the truth.
    """

    n_voxels: Index
    n_inside: Index

    def __add__(self, other: LevelCounts) -> LevelCounts:
        return LevelCounts(self.n_voxels + other.n_voxels, self.n_inside + other.n_inside)

    def share_inside(self, level: int) -> float:
        """How often a voxel of the level is inside; NaN without voxels."""
        return float(self.n_inside[level] / self.n_voxels[level]) if self.n_voxels[level] else math.nan

    def between(self, low: float, high: float) -> LevelCounts:
        """Only the voxels whose stored probability lies between two bounds (included); the counts of others are 0."""
        probability = np.arange(N_LEVELS) / (N_LEVELS - 1)
        is_between = (probability >= low) & (probability <= high)
        return LevelCounts(np.where(is_between, self.n_voxels, 0), np.where(is_between, self.n_inside, 0))

    def reliability(self, probability: NDArray[Any], *, n_bins: int = DEFAULT_BINS) -> ReliabilityCounts:
        """The reliability curve when level k stands for ``probability[k]``.

        Parameters
        ----------
        probability : ndarray (256,), float, in [0, 1]
        n_bins : int >= 1
        """
        values = np.asarray(probability, dtype=np.float64)
        bins = np.searchsorted(np.linspace(0.0, 1.0, n_bins + 1)[1:-1], values)
        n_voxels, n_inside = np.zeros((2, n_bins), dtype=np.int64)
        np.add.at(n_voxels, bins, self.n_voxels)
        np.add.at(n_inside, bins, self.n_inside)
        sums = np.bincount(bins, weights=values * self.n_voxels, minlength=n_bins)
        outside = self.n_voxels - self.n_inside
        squares = float(np.sum(self.n_inside * (1 - values) ** 2 + outside * values**2))
        return ReliabilityCounts(n_voxels, n_inside, sums.astype(np.float64), squares)


def count_levels(truth: NDArray[Any], levels: NDArray[np.uint8]) -> LevelCounts:
    """Count the voxels of each level, and those inside.

    Parameters
    ----------
    truth : ndarray, bool or integer (non-zero = inside)
    levels : ndarray, uint8, same shape
        round(255 p).

    Raises
    ------
    SettingsError
        ``E-SHAPE``, ``E-LABELS-TYPE``.

    Examples
    --------
    >>> counts = count_levels(np.array([0, 1, 1]), np.array([0, 255, 255], np.uint8))
    >>> counts.n_voxels[[0, 255]].tolist(), counts.share_inside(255)
    ([1, 2], 1.0)
    """
    if truth.shape != levels.shape:
        raise SettingsError("E-SHAPE", f"truth {truth.shape} and probability {levels.shape} differ in shape.")
    if truth.dtype.kind not in "bui" or levels.dtype != np.uint8:
        raise SettingsError(
            "E-LABELS-TYPE", f"masks and 8-bit levels are needed, not {truth.dtype} and {levels.dtype}."
        )
    n_voxels = np.bincount(levels.ravel(), minlength=N_LEVELS).astype(np.int64)
    n_inside = np.bincount(levels[truth != 0].ravel(), minlength=N_LEVELS).astype(np.int64)
    return LevelCounts(n_voxels, n_inside)


def fit_platt(counts: LevelCounts) -> tuple[float, float]:
    """The a and b with which sigmoid(a logit(p) + b) is most likely; the levels 0 and 255 are left out.

    Parameters
    ----------
    counts : LevelCounts

    Returns
    -------
    slope, bias : float
        a is kept between 0.05 and 20; (1, 0) where no voxel lies between the end levels, or all of them on one side.

    References
    ----------
    Platt, in: Advances in Large Margin Classifiers, MIT Press, 61 (1999).

    Examples
    --------
    One voxel in two is inside where p was 1/4, four in five where it was 3/4: log odds from ∓ln 3 to 0 and ln 4.

    >>> n, inside = np.zeros((2, 256), np.int64)
    >>> n[[64, 191]], inside[[64, 191]] = 1000, (500, 800)
    >>> slope, bias = fit_platt(LevelCounts(n, inside))
    >>> round(slope, 2), round(bias, 2)
    (0.63, 0.69)
    """
    from scipy import optimize, special

    inner = slice(1, N_LEVELS - 1)
    n, inside = counts.n_voxels[inner].astype(np.float64), counts.n_inside[inner].astype(np.float64)
    if not 0 < inside.sum() < n.sum():
        return 1.0, 0.0
    logit = special.logit(np.arange(1, N_LEVELS - 1) / (N_LEVELS - 1))
    total = n.sum()

    def loss(at: Float) -> tuple[float, Float]:
        score = at[0] * logit + at[1]
        value = float(np.sum(n * np.logaddexp(0, score) - inside * score)) / total
        slope = n * special.expit(score) - inside
        return value, np.array([float(slope @ logit), float(slope.sum())]) / total

    bounds = [(FLATTEST, STEEPEST), (-50.0, 50.0)]
    options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 1000}
    minimum = optimize.minimize(loss, np.array([1.0, 0.0]), jac=True, bounds=bounds, method="L-BFGS-B", options=options)
    return float(minimum.x[0]), float(minimum.x[1])


def conformal_ends(scores: NDArray[Any], *, level: float = 0.9) -> tuple[float, float] | None:
    """Two numbers between which a new score of the same kind lies with at least the given probability.

    Each end leaves out half of the remainder: the k-th largest and k-th smallest score with k = ⌊(n + 1)(1 - level)/2⌋,
    which holds for any distribution as long as old and new scores are exchangeable.

    Parameters
    ----------
    scores : ndarray (n,), float
        Of validation objects; values that are not finite are left out.
    level : float in (0, 1)

    Returns
    -------
    tuple of 2 float, or None
        ``None`` when there are too few scores: 19 are needed for 0.9.

    References
    ----------
    Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018), doi:10.1080/01621459.2017.1307116; Romano et al., Adv. Neural
    Inf. Process. Syst. 32 (2019), arXiv:1905.03222.

    Examples
    --------
    >>> conformal_ends(np.arange(1, 20))
    (1.0, 19.0)
    >>> conformal_ends(np.arange(1, 19)) is None
    True
    """
    if not 0 < level < 1:
        raise SettingsError("E-LEVEL", f"the level must be between 0 and 1, not {level}.")
    values = np.sort(np.asarray(scores, dtype=np.float64))
    values = values[np.isfinite(values)]
    k = math.floor((len(values) + 1) * (1 - level) / 2 + 1e-9)
    return None if k < 1 else (float(values[k - 1]), float(values[-k]))


def fewest_scores(level: float = 0.9) -> int:
    """The fewest scores from which :func:`conformal_ends` gives two ends.

    Examples
    --------
    >>> fewest_scores(0.9), fewest_scores(0.5)
    (19, 3)
    """
    return math.ceil(2 / (1 - level) - 1e-9) - 1


def coverage(truth: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> float:
    """Share of the true values that lie in their interval; intervals that are not finite are left out; NaN without any.

    Examples
    --------
    >>> coverage(np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.5, np.nan]), np.array([1.0, 3.0, np.nan]))
    0.5
    """
    is_finite = np.isfinite(low) & np.isfinite(high) & np.isfinite(truth)
    if not is_finite.any():
        return math.nan
    return float(np.mean((truth >= low)[is_finite] & (truth <= high)[is_finite]))
