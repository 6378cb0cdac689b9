"""Whole objects of simulated fields that were found: the truth is that of the whole object, so cut ones do not count.

To let other objects count, change :func:`found_whole`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


class FoundObject(NamedTuple):
    """A true object and the one that stands for it."""

    label: int
    true_label: int
    iou: float


def whole_objects(truth: pd.DataFrame, structure: str) -> pd.DataFrame:
    """The rows of a structure's objects that no border cuts, with their labels as index.

    Parameters
    ----------
    truth : DataFrame
        Exact values of one frame, with ``structure``, ``label``, ``is_cut``.
    structure : str
    """
    return truth[(truth["structure"] == structure) & ~truth["is_cut"].astype(bool)].set_index("label")


def found_whole(labels: NDArray[Any], true_labels: NDArray[Any], whole: pd.DataFrame) -> list[FoundObject]:
    """Whole objects that were found, with an IoU of at least 0.5.

    Parameters
    ----------
    labels, true_labels : ndarray (Z, Y, X), unsigned integer
    whole : DataFrame
        From :func:`whole_objects`.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> truth = pd.DataFrame({"structure": "cell", "label": [4, 5], "is_cut": [False, True]})
    >>> labels, true_labels = np.array([[[1, 1, 0, 2]]]), np.array([[[4, 4, 4, 5]]])
    >>> [tuple(one) for one in found_whole(labels, true_labels, whole_objects(truth, "cell"))]
    [(1, 4, 0.6666666666666666)]
    """
    from tomocyte.confidence.assessment import MIN_IOU
    from tomocyte.evaluation import overlap_table
    from tomocyte.evaluation.matching import best_partners

    overlaps = overlap_table(true_labels, labels)
    found = []
    for pair in best_partners(overlaps):
        true_label = int(overlaps.truth_labels[overlaps.truth_index[pair]])
        label = int(overlaps.prediction_labels[overlaps.prediction_index[pair]])
        if overlaps.iou[pair] >= MIN_IOU and true_label in whole.index:
            found.append(FoundObject(label, true_label, float(overlaps.iou[pair])))
    return found
