"""Precision against recall over all thresholds of a probability, exactly or from counts that add up.

To add a score that needs no threshold, compute it from :class:`PrecisionRecallCurve`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.evaluation.counts import CHUNK_VOXELS

Float = NDArray[np.float64]
Index = NDArray[np.int64]
DEFAULT_BINS = 65_536


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """Points of the curve from the highest threshold down; a voxel at the threshold is inside.

    Parameters
    ----------
    threshold : ndarray (n,), float64
        Descending; the first is infinite (nothing inside).
    precision, recall : ndarray (n,), float64
        In [0, 1]; precision is 1 where nothing is inside, as in scikit-learn.
    """

    threshold: Float
    precision: Float
    recall: Float

    @property
    def average_precision(self) -> float:
        """Σ (Rₙ - Rₙ₋₁) Pₙ; NaN without true voxels."""
        return float(np.sum(np.diff(self.recall) * self.precision[1:])) if len(self.recall) > 1 else math.nan

    @property
    def auc(self) -> float:
        """Area under the curve by trapezoids, as in the OS-Net paper; NaN without true voxels.

        Straight lines between points flatter a coarse curve; :attr:`average_precision` does not.
        """
        if len(self.recall) < 2:
            return math.nan
        return float(np.sum(np.diff(self.recall) * (self.precision[1:] + self.precision[:-1]) / 2))


def precision_recall_curve(truth: NDArray[Any], probability: NDArray[Any]) -> PrecisionRecallCurve:
    """The exact curve of one image.

    Points between which recall does not change add nothing to either area and are left out, except the two ends of
    such a stretch. Memory: a sorted copy of the probabilities and the points, at most two per distinct value inside
    the truth.

    Parameters
    ----------
    truth : ndarray, bool or integer (non-zero = inside), same shape
    probability : ndarray, float or unsigned integer
        Higher means more likely inside; any scale.

    Returns
    -------
    PrecisionRecallCurve
        Without true voxels a curve of one point, whose areas are NaN.

    Raises
    ------
    SettingsError
        ``E-SHAPE``, ``E-LABELS-TYPE``, ``E-NAN``.

    References
    ----------
    Davis, Goadrich, Proc. ICML 23, 233 (2006), doi:10.1145/1143844.1143874.

    Examples
    --------
    >>> curve = precision_recall_curve(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    >>> round(curve.average_precision, 4), round(curve.auc, 4)
    (0.8333, 0.7917)
    """
    inside = check_probability(truth, probability)
    positive, negative = np.sort(probability[inside]), np.sort(probability[~inside])
    values = np.unique(positive)[::-1]
    n_true = len(positive) - np.searchsorted(positive, values, side="left")
    n_false = len(negative) - np.searchsorted(negative, values, side="left")
    n_false_before = len(negative) - np.searchsorted(negative, values, side="right")
    return _curve(values.astype(np.float64), n_true, n_false, n_false_before)


def check_probability(truth: NDArray[Any], probability: NDArray[Any]) -> NDArray[np.bool_]:
    """The truth as bool, after checking that it matches the probability.

    Raises
    ------
    SettingsError
        ``E-SHAPE``, ``E-LABELS-TYPE`` (the truth is not a mask), ``E-NAN`` (a probability is not finite).
    """
    if truth.shape != probability.shape:
        raise SettingsError("E-SHAPE", f"truth {truth.shape} and probability {probability.shape} differ in shape.")
    if truth.dtype.kind not in "uib":
        raise SettingsError("E-LABELS-TYPE", f"truth must be integers or bool, not {truth.dtype}.")
    is_float = probability.dtype.kind == "f"
    if is_float and not math.isfinite(float(np.sum(probability, dtype=np.float64))):
        raise SettingsError("E-NAN", "probabilities have values that are not finite.", cure="Mask them first.")
    return np.asarray(truth != 0)


def _curve(values: Float, n_true: Index, n_false: Index, n_false_before: Index) -> PrecisionRecallCurve:
    """The curve from counts at each value that some true voxel has, descending, and just above it."""
    if len(values) == 0:
        return PrecisionRecallCurve(np.array([np.inf]), np.array([1.0]), np.array([0.0]))
    n_true_before = np.concatenate([[0], n_true[:-1]])
    true = np.column_stack([n_true_before, n_true]).ravel()
    false = np.column_stack([n_false_before, n_false]).ravel()
    n_inside = true + false
    precision = np.ones(len(true))
    np.divide(true, n_inside, out=precision, where=n_inside > 0)
    threshold = np.column_stack([np.nextafter(values, np.inf), values]).ravel()
    # The first point is "nothing inside"; it is there already unless other voxels rank above every true one.
    n_missing = int(n_inside[0] > 0)
    threshold = np.concatenate([np.full(n_missing, np.inf), threshold])
    threshold[0] = np.inf
    precision = np.concatenate([np.ones(n_missing), precision])
    return PrecisionRecallCurve(threshold, precision, np.concatenate([np.zeros(n_missing), true / n_true[-1]]))


@dataclass(frozen=True)
class PrecisionRecallCounts:
    """True and other voxels per bin of probability; counts of several images add up (``a + b``).

    With B bins, voxels whose probabilities lie in the same 1/B are treated as equal: exact for 8-bit probabilities
    from 256 bins on; for smooth ones the areas change by about 1/B.

    Parameters
    ----------
    n_positive, n_negative : ndarray (B,), int64
        Bin b holds probabilities from b/B up to (b + 1)/B; the last one also 1.
    """

    n_positive: Index
    n_negative: Index

    def __add__(self, other: PrecisionRecallCounts) -> PrecisionRecallCounts:
        return PrecisionRecallCounts(self.n_positive + other.n_positive, self.n_negative + other.n_negative)

    @property
    def curve(self) -> PrecisionRecallCurve:
        """The curve with the lower edges of the bins as thresholds."""
        descending = np.flatnonzero(self.n_positive)[::-1]
        true = np.cumsum(self.n_positive[::-1])[::-1]
        false = np.append(np.cumsum(self.n_negative[::-1])[::-1], 0)
        values = descending / len(self.n_positive)
        return _curve(values, true[descending], false[descending], false[descending + 1])


def count_precision_recall(
    truth: NDArray[Any], probability: NDArray[Any], *, n_bins: int = DEFAULT_BINS
) -> PrecisionRecallCounts:
    """Count one image for a curve over many, in memory that does not grow with the image.

    Parameters
    ----------
    truth : ndarray, bool or integer (non-zero = inside), same shape
    probability : ndarray, float in [0, 1]
    n_bins : int >= 2

    Raises
    ------
    SettingsError
        ``E-SHAPE``, ``E-LABELS-TYPE``, ``E-NAN``, ``E-PROBABILITY`` (outside [0, 1]).

    Examples
    --------
    >>> counts = count_precision_recall(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    >>> round((counts + counts).curve.average_precision, 4)
    0.8333
    """
    inside = check_probability(truth, probability).ravel()
    check_unit_interval(probability)
    flat = probability.ravel()
    counts = np.zeros(2 * n_bins, dtype=np.int64)
    for start in range(0, flat.size, CHUNK_VOXELS):
        chunk = slice(start, start + CHUNK_VOXELS)
        bins = np.minimum((flat[chunk].astype(np.float64) * n_bins).astype(np.int64), n_bins - 1)
        counts += np.bincount(bins + n_bins * inside[chunk], minlength=2 * n_bins)
    return PrecisionRecallCounts(counts[n_bins:], counts[:n_bins])


def check_unit_interval(probability: NDArray[Any]) -> None:
    """Raise ``E-PROBABILITY`` unless every value lies in [0, 1]."""
    if probability.dtype.kind != "f":
        raise SettingsError(
            "E-PROBABILITY", f"probabilities must be floats in 0..1, not {probability.dtype}.", cure="Divide by 255."
        )
    if probability.size and not (float(probability.min()) >= 0 and float(probability.max()) <= 1):
        low, high = float(probability.min()), float(probability.max())
        raise SettingsError(
            "E-PROBABILITY", f"probabilities must lie in 0..1, not {low:g} to {high:g}.", cure="Apply the sigmoid."
        )
