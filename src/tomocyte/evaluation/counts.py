"""Voxels right and wrong: the four counts of two masks, the table of many classes, and every score that follows.

Counts of several images add up (``a + b``), which is how pooled scores are made. To add a score of counts, add a
property to :class:`MaskCounts`; what needs positions or probabilities lives in the other files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.evaluation.overlap import check_pair

CHUNK_VOXELS = 1 << 22


def ratio(part: float, whole: float) -> float:
    """``part / whole``; NaN where ``whole`` is 0."""
    return float(part / whole) if whole else math.nan


@dataclass(frozen=True)
class MaskCounts:
    """Voxels of two masks by whether truth and prediction hold them.

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
        return ratio(2 * self.n_true_positive, self.n_truth + self.n_prediction)

    @property
    def jaccard(self) -> float:
        """TP / (TP + FP + FN); NaN when both masks are empty."""
        return ratio(self.n_true_positive, self.n_truth + self.n_false_positive)

    @property
    def precision(self) -> float:
        """TP / (TP + FP); NaN when the prediction is empty."""
        return ratio(self.n_true_positive, self.n_prediction)

    @property
    def recall(self) -> float:
        """TP / (TP + FN); NaN when the truth is empty."""
        return ratio(self.n_true_positive, self.n_truth)

    @property
    def pixel_accuracy(self) -> float:
        """(TP + TN) / all; high for any small object, found or not."""
        return ratio(self.n_true_positive + self.n_true_negative, self.n_voxels)

    @property
    def moc(self) -> float:
        """Manders' overlap coefficient of two masks, TP / √((TP + FP)(TP + FN)); NaN when one of them is empty."""
        return ratio(self.n_true_positive, math.sqrt(self.n_truth * self.n_prediction))

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


def count_mask(truth: NDArray[Any], prediction: NDArray[Any]) -> MaskCounts:
    """Count right and wrong voxels.

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
    n_both, n_first, n_second = (int(np.count_nonzero(part)) for part in (first & second, first, second))
    return MaskCounts(n_both, n_second - n_both, n_first - n_both, first.size - n_first - n_second + n_both)


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
    """F0.5 as the OS-Net paper must have computed it, only to be set beside the paper's tables.

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

    The print of Zhanghao et al. leaves the root out. Sums run in float64.

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
    if truth.shape != prediction.shape:
        raise SettingsError("E-SHAPE", f"truth {truth.shape} and prediction {prediction.shape} differ in shape.")
    first, second = truth.ravel(), prediction.ravel()
    xy = xx = yy = 0.0
    for start in range(0, first.size, CHUNK_VOXELS):
        x = first[start : start + CHUNK_VOXELS].astype(np.float64)
        y = second[start : start + CHUNK_VOXELS].astype(np.float64)
        xy, xx, yy = xy + float(x @ y), xx + float(x @ x), yy + float(y @ y)
    if not math.isfinite(xx + yy):
        raise SettingsError("E-NAN", "an image holds values that are not finite.", cure="Mask them before.")
    return ratio(xy, math.sqrt(xx * yy))


def confusion_matrix(truth: NDArray[Any], prediction: NDArray[Any], *, n_classes: int) -> NDArray[np.int64]:
    """How often each true class was given each class.

    Parameters
    ----------
    truth, prediction : ndarray, integer in [0, n_classes), same shape
        Class of every voxel.
    n_classes : int >= 1
        K; classes that do not occur get empty rows and columns.

    Returns
    -------
    ndarray (K, K), int64
        Row: true class; column: predicted class.

    Raises
    ------
    SettingsError
        ``E-SHAPE``, ``E-LABELS-TYPE``; ``E-CLASS`` when a value is not below ``n_classes``.

    Examples
    --------
    >>> confusion_matrix(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]), n_classes=3).tolist()
    [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    """
    check_pair(truth, prediction)
    for name, classes in (("truth", truth), ("prediction", prediction)):
        if classes.size and int(classes.max()) >= n_classes:
            raise SettingsError(
                "E-CLASS",
                f"{name} holds class {int(classes.max())}, but there are {n_classes} classes from 0.",
                cure="Give class numbers, not object labels, or more classes.",
            )
    first, second = truth.ravel(), prediction.ravel()
    counts = np.zeros(n_classes * n_classes, dtype=np.int64)
    for start in range(0, first.size, CHUNK_VOXELS):
        part = slice(start, start + CHUNK_VOXELS)
        pairs = first[part].astype(np.int64) * n_classes + second[part]
        counts += np.bincount(pairs, minlength=n_classes * n_classes)
    return counts.reshape(n_classes, n_classes)


def class_counts(matrix: NDArray[np.int64]) -> tuple[MaskCounts, ...]:
    """Each class against all others, from a confusion matrix; their scores are the multi-class scores.

    Parameters
    ----------
    matrix : ndarray (K, K), int64
        From :func:`confusion_matrix`.

    Returns
    -------
    tuple of MaskCounts
        One per class; for instance ``class_counts(matrix)[2].moc``.

    Examples
    --------
    >>> [round(counts.dice, 3) for counts in class_counts(np.array([[4, 1], [0, 5]]))]
    [0.889, 0.909]
    """
    total = int(matrix.sum())
    found = []
    for index in range(len(matrix)):
        both, in_truth, in_prediction = int(matrix[index, index]), int(matrix[index].sum()), int(matrix[:, index].sum())
        found.append(MaskCounts(both, in_prediction - both, in_truth - both, total - in_truth - in_prediction + both))
    return tuple(found)
