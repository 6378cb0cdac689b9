"""True and false voxels: the four counts of two masks, and every score that follows.

Counts of several images add up (``a + b``), which is how pooled scores are made. The formulas of Dice, Jaccard,
F-score, precision and recall are here and nowhere else; they take numbers or arrays of counts, of voxels or of
objects. To add a score of counts, add a property to :class:`MaskCounts` and name it in
:mod:`tomocyte.evaluation.metrics.masks`; what needs positions or probabilities lives in the other files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError

CHUNK_VOXELS = 1 << 22
Float = NDArray[np.float64]


@overload
def ratio(part: NDArray[Any], whole: NDArray[Any]) -> Float: ...
@overload
def ratio(part: float, whole: float) -> float: ...
def ratio(part: Any, whole: Any) -> Any:
    """``part / whole``; NaN where ``whole`` is 0. Numbers give a number, arrays of one shape an array.

    Examples
    --------
    >>> ratio(3, 4), ratio(np.array([3, 1]), np.array([4, 0])).tolist()
    (0.75, [0.75, nan])
    """
    if isinstance(whole, np.ndarray):
        return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole != 0)
    return float(part / whole) if whole else math.nan


def dice_of(n_true_positive: Any, n_false_positive: Any, n_false_negative: Any) -> Any:
    """2 TP / (2 TP + FP + FN) of numbers or arrays of counts; NaN without any.

    Examples
    --------
    >>> dice_of(3, 1, 2), dice_of(np.array([3, 0]), np.array([1, 0]), np.array([2, 4])).round(4).tolist()
    (0.6666666666666666, [0.6667, 0.0])
    """
    return ratio(2 * n_true_positive, 2 * n_true_positive + n_false_positive + n_false_negative)


def jaccard_of(n_true_positive: Any, n_false_positive: Any, n_false_negative: Any) -> Any:
    """TP / (TP + FP + FN) of numbers or arrays of counts; NaN without any."""
    return ratio(n_true_positive, n_true_positive + n_false_positive + n_false_negative)


def precision_of(n_true_positive: Any, n_false_positive: Any) -> Any:
    """TP / (TP + FP) of numbers or arrays of counts; NaN where nothing is predicted."""
    return ratio(n_true_positive, n_true_positive + n_false_positive)


def recall_of(n_true_positive: Any, n_false_negative: Any) -> Any:
    """TP / (TP + FN) of numbers or arrays of counts; NaN where nothing is true."""
    return ratio(n_true_positive, n_true_positive + n_false_negative)


@dataclass(frozen=True)
class MaskCounts:
    """Voxels of two masks, or objects of two label images, by their presence in truth and prediction.

    A score is NaN where its definition divides by zero, and nowhere else: ``precision`` without predicted voxels,
    ``recall`` without true voxels, overlap scores when both masks are empty.

    Parameters
    ----------
    n_true_positive, n_false_positive, n_false_negative, n_true_negative : int

    Examples
    --------
    >>> counts = MaskCounts(3, 1, 2, 4)
    >>> counts.precision, counts.recall, round(counts.dice, 4)
    (0.75, 0.6, 0.6667)
    """

    n_true_positive: int = 0
    n_false_positive: int = 0
    n_false_negative: int = 0
    n_true_negative: int = 0

    def __add__(self, other: MaskCounts) -> MaskCounts:
        return MaskCounts(
            self.n_true_positive + other.n_true_positive,
            self.n_false_positive + other.n_false_positive,
            self.n_false_negative + other.n_false_negative,
            self.n_true_negative + other.n_true_negative,
        )

    @property
    def n_truth(self) -> int:
        """Voxels inside the truth."""
        return self.n_true_positive + self.n_false_negative

    @property
    def n_prediction(self) -> int:
        """Voxels inside the prediction."""
        return self.n_true_positive + self.n_false_positive

    @property
    def n_voxels(self) -> int:
        """All voxels."""
        return self.n_truth + self.n_false_positive + self.n_true_negative

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN), which is also F1; NaN when both masks are empty."""
        return float(dice_of(self.n_true_positive, self.n_false_positive, self.n_false_negative))

    @property
    def jaccard(self) -> float:
        """TP / (TP + FP + FN); NaN when both masks are empty."""
        return float(jaccard_of(self.n_true_positive, self.n_false_positive, self.n_false_negative))

    @property
    def precision(self) -> float:
        """TP / (TP + FP); NaN when the prediction is empty."""
        return float(precision_of(self.n_true_positive, self.n_false_positive))

    @property
    def recall(self) -> float:
        """TP / (TP + FN); NaN when the truth is empty."""
        return float(recall_of(self.n_true_positive, self.n_false_negative))

    @property
    def pixel_accuracy(self) -> float:
        """(TP + TN) / all; high for any small object, found or not."""
        return ratio(self.n_true_positive + self.n_true_negative, self.n_voxels)

    @property
    def moc(self) -> float:
        """Manders' overlap coefficient of two masks, TP / √((TP + FP)(TP + FN)); NaN when one of them is empty."""
        return ratio(self.n_true_positive, math.sqrt(self.n_truth * self.n_prediction))

    @property
    def moc_as_published(self) -> float:
        """See :func:`moc_as_published`."""
        return ratio(self.n_true_positive, self.n_truth + self.n_prediction)

    def f_beta(self, beta: float) -> float:
        """(1 + β²) TP / ((1 + β²) TP + β² FN + FP); NaN when both masks are empty.

        Parameters
        ----------
        beta : float > 0
            Above 1 recall weighs more, below 1 precision.
        """
        if not (math.isfinite(beta) and beta > 0):
            raise SettingsError("E-BETA", f"beta {beta} is not a number above 0.", cure="0.5, 1 and 2 are usual.")
        square = beta * beta
        gain = (1 + square) * self.n_true_positive
        return ratio(gain, gain + square * self.n_false_negative + self.n_false_positive)

    @property
    def f05_as_published(self) -> float:
        """See :func:`f05_as_published`."""
        if self.n_truth + self.n_prediction == 0:
            return math.nan
        n_wrong = self.n_false_positive + self.n_false_negative
        if n_wrong == 0:
            return 1.25
        if self.n_prediction == 0:
            return 0.0
        precision, recall = self.precision, self.n_true_positive / n_wrong
        return 5 * precision * recall / (precision + 4 * recall) if self.n_true_positive else 0.0


def check_pair(truth: NDArray[Any], prediction: NDArray[Any]) -> None:
    """Raise unless both are integer or bool arrays >= 0 of the same shape.

    Raises
    ------
    SettingsError
        ``E-SHAPE`` or ``E-LABELS-TYPE``.
    """
    if truth.shape != prediction.shape:
        raise SettingsError("E-SHAPE", f"truth {truth.shape} and prediction {prediction.shape} differ in shape.")
    for name, labels in (("truth", truth), ("prediction", prediction)):
        if labels.dtype.kind not in "uib":
            raise SettingsError("E-LABELS-TYPE", f"{name} must be integers or bool, not {labels.dtype}.")
        if labels.dtype.kind == "i" and labels.size and int(labels.min()) < 0:
            raise SettingsError("E-LABELS-TYPE", f"{name} must not be negative, but one value is {int(labels.min())}.")


def count_mask(truth: NDArray[Any], prediction: NDArray[Any]) -> MaskCounts:
    """Count true and false positives and negatives of two masks.

    Parameters
    ----------
    truth, prediction : ndarray, bool or integer (non-zero = inside), same shape

    Raises
    ------
    SettingsError
        ``E-SHAPE``, ``E-LABELS-TYPE``.

    Examples
    --------
    >>> count_mask(np.array([1, 1, 0, 0]), np.array([1, 0, 1, 0]))
    MaskCounts(n_true_positive=1, n_false_positive=1, n_false_negative=1, n_true_negative=1)
    """
    check_pair(truth, prediction)
    first, second = truth != 0, prediction != 0
    n_both, n_first, n_second = (int(np.count_nonzero(mask)) for mask in (first & second, first, second))
    return MaskCounts(n_both, n_second - n_both, n_first - n_both, first.size - n_first - n_second + n_both)


def dice(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """Dice similarity of two masks: 2 |A ∩ B| / (|A| + |B|).

    Parameters
    ----------
    truth, prediction : ndarray, bool or integer (non-zero = inside), same shape

    Returns
    -------
    float
        In [0, 1]; 1 for the same mask, NaN when both are empty.

    References
    ----------
    Dice, Ecology 26, 297 (1945), doi:10.2307/1932409.

    Examples
    --------
    >>> dice(np.array([1, 1, 0]), np.array([0, 1, 1]))
    0.5
    """
    return count_mask(truth, prediction).dice


def jaccard(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """Jaccard index (intersection over union) of two masks: |A ∩ B| / |A ∪ B|.

    Parameters
    ----------
    truth, prediction : ndarray, bool or integer (non-zero = inside), same shape

    Returns
    -------
    float
        In [0, 1]; NaN when both are empty.

    References
    ----------
    Jaccard, New Phytol. 11, 37 (1912), doi:10.1111/j.1469-8137.1912.tb05611.x.

    Examples
    --------
    >>> round(jaccard(np.array([1, 1, 0]), np.array([0, 1, 1])), 4)
    0.3333
    """
    return count_mask(truth, prediction).jaccard


def precision(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """Share of the predicted voxels that are right; see :attr:`MaskCounts.precision`."""
    return count_mask(truth, prediction).precision


def recall(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """Share of the true voxels that were found; see :attr:`MaskCounts.recall`."""
    return count_mask(truth, prediction).recall


def pixel_accuracy(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """Share of all voxels that are right; see :attr:`MaskCounts.pixel_accuracy`."""
    return count_mask(truth, prediction).pixel_accuracy


def f_beta(truth: NDArray[Any], prediction: NDArray[Any], *, beta: float = 1.0) -> float:
    """F-score of two masks: the weighted harmonic mean of precision and recall.

    Parameters
    ----------
    truth, prediction : ndarray, bool or integer (non-zero = inside), same shape
    beta : float > 0
        Recall counts β times as much as precision.

    Returns
    -------
    float
        In [0, 1]; NaN when both masks are empty.

    Raises
    ------
    SettingsError
        ``E-BETA``, ``E-SHAPE``, ``E-LABELS-TYPE``.

    References
    ----------
    van Rijsbergen, Information Retrieval, 2nd ed., Butterworths (1979), chapter 7.

    Examples
    --------
    >>> f_beta(np.array([1, 1, 1, 1]), np.array([1, 1, 0, 0]), beta=0.5)
    0.8333333333333334
    """
    return count_mask(truth, prediction).f_beta(beta)


def f05_as_published(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """F0.5 as the OS-Net paper must have computed it, only for comparison with the paper's tables.

    The paper's values exceed 1, which no F-score can. They follow when recall is taken as R' = TP / (FP + FN), a
    misprint for TP / (TP + FN): 5 P R' / (P + 4 R'). A perfect mask gets the limit 1.25. Use :func:`f_beta` with
    ``beta=0.5`` for the right value.

    Parameters
    ----------
    truth, prediction : ndarray, bool or integer (non-zero = inside), same shape

    Returns
    -------
    float
        In [0, 1.25]; NaN when both masks are empty.

    References
    ----------
    Lee et al., OS-Net (2019), Table 1.

    Examples
    --------
    >>> f05_as_published(np.array([1, 1, 1, 1, 0]), np.array([1, 1, 1, 0, 0]))
    1.1538461538461537
    """
    return count_mask(truth, prediction).f05_as_published


def moc(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """Manders' overlap coefficient of two images, masks or not: Σxy / √(Σx² Σy²).

    Sums run in float64. :func:`moc_as_published` is what Zhanghao et al. print.

    Parameters
    ----------
    truth, prediction : ndarray, any real type, same shape
        Values x and y; a bool counts 0 or 1.

    Returns
    -------
    float
        In [0, 1] where no value is negative; NaN when one image is zero everywhere.

    Raises
    ------
    SettingsError
        ``E-SHAPE``; ``E-NAN`` when a value is not finite.

    References
    ----------
    Manders et al., J. Microsc. 169, 375 (1993), doi:10.1111/j.1365-2818.1993.tb03313.x.

    Examples
    --------
    >>> moc(np.array([1.0, 2.0]), np.array([2.0, 1.0]))
    0.8
    """
    xy, xx, yy = _sums_of_products(truth, prediction)
    return ratio(xy, math.sqrt(xx * yy))


def moc_as_published(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """Manders' overlap coefficient as Zhanghao et al. print it, Σxy / (Σx² + Σy²); only for comparison with them.

    The root of a product became a sum. Of two masks this is half of their Dice: at most 0.5, which equal masks reach.
    The paper's values exceed 0.5, and its code has the root: it computed :func:`moc`.

    Parameters
    ----------
    truth, prediction : ndarray, any real type, same shape

    Returns
    -------
    float
        In [0, 0.5] where no value is negative; NaN when both images are zero everywhere.

    Raises
    ------
    SettingsError
        As :func:`moc`.

    References
    ----------
    Zhanghao et al. 2021, Methods, doi:10.1101/2021.12.13.472520.

    Examples
    --------
    >>> moc_as_published(np.array([1.0, 2.0]), np.array([2.0, 1.0]))
    0.4
    """
    xy, xx, yy = _sums_of_products(truth, prediction)
    return ratio(xy, xx + yy)


def _sums_of_products(truth: NDArray[Any], prediction: NDArray[Any]) -> tuple[float, float, float]:
    """Σxy, Σx² and Σy² of two images, in float64."""
    if truth.shape != prediction.shape:
        raise SettingsError("E-SHAPE", f"truth {truth.shape} and prediction {prediction.shape} differ in shape.")
    first, second = truth.ravel(), prediction.ravel()
    xy = xx = yy = 0.0
    for start in range(0, first.size, CHUNK_VOXELS):
        x = first[start : start + CHUNK_VOXELS].astype(np.float64)
        y = second[start : start + CHUNK_VOXELS].astype(np.float64)
        xy, xx, yy = xy + float(x @ y), xx + float(x @ x), yy + float(y @ y)
    if not math.isfinite(xx + yy):
        raise SettingsError("E-NAN", "an image has values that are not finite.", cure="Mask them first.")
    return xy, xx, yy
