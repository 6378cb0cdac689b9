"""Overlap of two masks: one number for two arrays.

To add a score, write a function of two masks; scores of objects live in :mod:`tomocyte.evaluation.matching`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError


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
    n_common, n_truth, n_prediction = _counts(truth, prediction)
    return 2 * n_common / (n_truth + n_prediction) if n_truth + n_prediction else float("nan")


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
    n_common, n_truth, n_prediction = _counts(truth, prediction)
    union = n_truth + n_prediction - n_common
    return n_common / union if union else float("nan")


def _counts(truth: NDArray[Any], prediction: NDArray[Any]) -> tuple[int, int, int]:
    check_pair(truth, prediction)
    first, second = truth != 0, prediction != 0
    return int(np.count_nonzero(first & second)), int(np.count_nonzero(first)), int(np.count_nonzero(second))
