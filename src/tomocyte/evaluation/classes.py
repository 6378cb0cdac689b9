"""Voxels of many classes: the confusion matrix, and the counts of each class against all others.

To add a multi-class score, compute it from :func:`confusion_matrix`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.evaluation.counts import CHUNK_VOXELS, MaskCounts, check_pair


def confusion_matrix(truth: NDArray[Any], prediction: NDArray[Any], *, n_classes: int) -> NDArray[np.int64]:
    """How often each class was predicted for each true class.

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
        chunk = slice(start, start + CHUNK_VOXELS)
        pairs = first[chunk].astype(np.int64) * n_classes + second[chunk]
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
    counts = []
    for index in range(len(matrix)):
        in_both, in_truth, in_prediction = (
            int(matrix[index, index]),
            int(matrix[index].sum()),
            int(matrix[:, index].sum()),
        )
        counts.append(
            MaskCounts(in_both, in_prediction - in_both, in_truth - in_both, total - in_truth - in_prediction + in_both)
        )
    return tuple(counts)
