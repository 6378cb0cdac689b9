"""Objects of a prediction against objects of the truth: who matches whom, and how well.

The overlaps are kept as a sparse table, so that 10,000 objects cost as much memory as their contacts. To add a score,
compute it from :func:`overlap_table`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse

from tomocyte.evaluation.overlap import check_pair

Index = NDArray[np.int64]
Float = NDArray[np.float64]


@dataclass(frozen=True)
class OverlapTable:
    """Voxels in common of each pair of objects that overlap at all.

    Parameters
    ----------
    truth_labels, prediction_labels : ndarray (n_truth,), (n_prediction,), int64
        The labels present, ascending, without 0.
    truth_sizes, prediction_sizes : ndarray, int64
        Voxels of each.
    truth_index, prediction_index, n_common : ndarray (n_pairs,), int64
        Position of the truth, of the prediction, and their voxels in common.
    """

    truth_labels: Index
    prediction_labels: Index
    truth_sizes: Index
    prediction_sizes: Index
    truth_index: Index
    prediction_index: Index
    n_common: Index

    @property
    def iou(self) -> Float:
        """Intersection over union of each pair."""
        union = self._sizes() - self.n_common
        return np.asarray(self.n_common / union, dtype=np.float64)

    @property
    def dice(self) -> Float:
        """Dice of each pair."""
        return np.asarray(2 * self.n_common / self._sizes(), dtype=np.float64)

    def _sizes(self) -> Index:
        return self.truth_sizes[self.truth_index] + self.prediction_sizes[self.prediction_index]


@dataclass(frozen=True)
class InstanceScores:
    """How many objects were found.

    Parameters
    ----------
    n_truth, n_prediction, n_matched : int
    precision, recall, f1 : float
        In [0, 1]; NaN where there is nothing to divide by (F1: neither truth nor prediction holds an object).
    mean_matched_iou : float
        Over the matched pairs; NaN without any.
    """

    n_truth: int
    n_prediction: int
    n_matched: int
    precision: float
    recall: float
    f1: float
    mean_matched_iou: float


def overlap_table(truth: NDArray[Any], prediction: NDArray[Any]) -> OverlapTable:
    """Count the voxels in common of every pair of objects.

    Parameters
    ----------
    truth, prediction : ndarray, integer >= 0, same shape
        0 = background.

    Raises
    ------
    SettingsError
        ``E-SHAPE``, ``E-LABELS-TYPE``.
    """
    check_pair(truth, prediction)
    truth_labels, first, truth_sizes = _ranks(truth)
    prediction_labels, second, prediction_sizes = _ranks(prediction)
    both = (first > 0) & (second > 0)
    width = len(prediction_labels) + 1
    pairs, n_common = np.unique(first[both] * width + second[both], return_counts=True)
    return OverlapTable(
        truth_labels,
        prediction_labels,
        truth_sizes,
        prediction_sizes,
        pairs // width - 1,
        pairs % width - 1,
        n_common.astype(np.int64),
    )


def _ranks(labels: NDArray[Any]) -> tuple[Index, Index, Index]:
    """The labels present, each voxel's position among them (from 1; 0 = background), and voxels per label."""
    flat = labels.ravel()
    present, inverse, counts = np.unique(flat, return_inverse=True, return_counts=True)
    has_background = int(present.size > 0 and present[0] == 0)
    ranks = inverse.ravel().astype(np.int64) + (1 - has_background)
    return present[has_background:].astype(np.int64), ranks, counts[has_background:].astype(np.int64)


def match_instances(truth: NDArray[Any], prediction: NDArray[Any], *, min_iou: float = 0.5) -> list[tuple[int, int]]:
    """Pairs (truth label, prediction label) that overlap well enough, each object used once.

    As many pairs as possible are formed; among those, the ones with the largest sum of intersection over union.
    At ``min_iou`` of at least 0.5 hardly any choice is left.

    Parameters
    ----------
    truth, prediction : ndarray, integer >= 0, same shape
    min_iou : float, 0–1
        A pair with exactly this value counts.

    Examples
    --------
    >>> match_instances(np.array([1, 1, 0, 2]), np.array([4, 4, 0, 0]))
    [(1, 4)]
    """
    table = overlap_table(truth, prediction)
    chosen = _assign(table, np.where(table.iou >= min_iou, table.iou, 0.0), bonus=2.0 * (len(table.truth_labels) + 1))
    return [
        (int(table.truth_labels[table.truth_index[pair]]), int(table.prediction_labels[table.prediction_index[pair]]))
        for pair in chosen
    ]


def score_instances(truth: NDArray[Any], prediction: NDArray[Any], *, min_iou: float = 0.5) -> InstanceScores:
    """Precision, recall and F1 of the objects at a threshold of intersection over union.

    Parameters
    ----------
    truth, prediction : ndarray, integer >= 0, same shape
    min_iou : float, 0–1

    References
    ----------
    Caicedo et al., Nat. Methods 16, 1247 (2019), doi:10.1038/s41592-019-0612-7.

    Examples
    --------
    >>> scores = score_instances(np.array([1, 1, 0, 2]), np.array([4, 4, 0, 0]))
    >>> scores.precision, scores.recall, round(scores.f1, 3)
    (1.0, 0.5, 0.667)
    """
    table = overlap_table(truth, prediction)
    iou = table.iou
    chosen = _assign(table, np.where(iou >= min_iou, iou, 0.0), bonus=2.0 * (len(table.truth_labels) + 1))
    n_truth, n_prediction, n_matched = len(table.truth_labels), len(table.prediction_labels), len(chosen)
    return InstanceScores(
        n_truth,
        n_prediction,
        n_matched,
        _ratio(n_matched, n_prediction),
        _ratio(n_matched, n_truth),
        _ratio(2 * n_matched, n_truth + n_prediction),
        float(iou[chosen].mean()) if n_matched else float("nan"),
    )


def hungarian_mean_dice(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """Mean Dice over the true objects, each with its partner under the best one-to-one assignment.

    A true object without a partner counts 0; predicted objects without a partner do not count (see
    :func:`score_instances` for those). NaN without true objects.

    Parameters
    ----------
    truth, prediction : ndarray, integer >= 0, same shape

    References
    ----------
    Kuhn, Nav. Res. Logist. Q. 2, 83 (1955), doi:10.1002/nav.3800020109.

    Examples
    --------
    >>> round(hungarian_mean_dice(np.array([1, 1, 2, 2]), np.array([1, 1, 1, 2])), 4)
    0.7333
    """
    table = overlap_table(truth, prediction)
    if len(table.truth_labels) == 0:
        return float("nan")
    chosen = _assign(table, table.dice, bonus=0.0)
    return float(table.dice[chosen].sum() / len(table.truth_labels))


def _assign(table: OverlapTable, gain: Float, *, bonus: float) -> list[int]:
    """Pairs of the assignment with the largest sum of ``gain + bonus``; pairs of gain 0 are never formed.

    The objects are first grouped into sets connected by overlaps, each of which is solved alone.
    """
    usable = np.flatnonzero(gain > 0)
    if usable.size == 0:
        return []
    rows, columns = table.truth_index[usable], table.prediction_index[usable]
    n_truth, n_all = len(table.truth_labels), len(table.truth_labels) + len(table.prediction_labels)
    graph = sparse.coo_matrix((np.ones(usable.size), (rows, columns + n_truth)), shape=(n_all, n_all))
    _, group = sparse.csgraph.connected_components(graph, directed=False)
    chosen: list[int] = []
    order = np.argsort(group[rows], kind="stable")
    edges = np.flatnonzero(np.diff(group[rows][order])) + 1
    for members in np.split(usable[order], edges):
        if len(members) == 1:
            chosen.append(int(members[0]))
            continue
        row_of = np.unique(table.truth_index[members], return_inverse=True)
        column_of = np.unique(table.prediction_index[members], return_inverse=True)
        gains = np.zeros((len(row_of[0]), len(column_of[0])))
        pair_at = np.full(gains.shape, -1, dtype=np.int64)
        gains[row_of[1], column_of[1]] = gain[members] + bonus
        pair_at[row_of[1], column_of[1]] = members
        picked = pair_at[optimize.linear_sum_assignment(gains, maximize=True)]
        chosen.extend(int(pair) for pair in picked if pair >= 0)
    return sorted(chosen)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
