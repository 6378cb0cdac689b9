"""Objects of a prediction matched with objects of the truth, and scores of the matches.

The overlaps are kept as a sparse table, so that 10,000 objects cost as much memory as their contacts. To add a score,
compute it from :func:`overlap_table`; scores of counts of objects are properties of :class:`InstanceScores`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse

from tomocyte.evaluation.counts import MaskCounts, check_pair, dice_of, jaccard_of

Index = NDArray[np.int64]
Float = NDArray[np.float64]

CHUNK_VOXELS = 1 << 22
LARGEST_LOOKUP = 1 << 22
LARGEST_DENSE = 1 << 20
LARGEST_INT64 = (1 << 63) - 1
AP_MIN_IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))


@dataclass(frozen=True)
class OverlapTable:
    """Voxels in common of each pair of objects that overlap at all.

    Parameters
    ----------
    truth_labels, prediction_labels : ndarray (n_truth,), (n_prediction,), int64
        The labels present, ascending, without 0; uint64 where one of them is above 2⁶³ - 1.
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
        return np.asarray(jaccard_of(self.n_common, *self._apart()), dtype=np.float64)

    @property
    def dice(self) -> Float:
        """Dice of each pair."""
        return np.asarray(dice_of(self.n_common, *self._apart()), dtype=np.float64)

    def _apart(self) -> tuple[Index, Index]:
        """Voxels of each pair in the prediction only, and in the truth only."""
        only_prediction = self.prediction_sizes[self.prediction_index] - self.n_common
        return only_prediction, self.truth_sizes[self.truth_index] - self.n_common


@dataclass(frozen=True)
class InstanceScores:
    """Numbers of true, predicted and matched objects.

    Parameters
    ----------
    n_truth, n_prediction, n_matched : int
    mean_matched_iou : float
        Over the matched pairs; NaN without any. The SQ (segmentation quality) of panoptic quality.
    """

    n_truth: int
    n_prediction: int
    n_matched: int
    mean_matched_iou: float

    @property
    def counts(self) -> MaskCounts:
        """Objects matched, only predicted, only true."""
        return MaskCounts(self.n_matched, self.n_prediction - self.n_matched, self.n_truth - self.n_matched)

    @property
    def precision(self) -> float:
        """Share of the predicted objects that match; NaN without any."""
        return self.counts.precision

    @property
    def recall(self) -> float:
        """Share of the true objects that match; NaN without any."""
        return self.counts.recall

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN) of objects; NaN without any object."""
        return self.counts.dice

    @property
    def average_precision(self) -> float:
        """TP / (TP + FP + FN), as defined by the nucleus challenges and StarDist; NaN without any object.

        This is a Jaccard index of objects at one threshold, not the area under a curve.
        """
        return self.counts.jaccard

    @property
    def panoptic_quality(self) -> float:
        """SQ · RQ = Σ IoU / (TP + FP/2 + FN/2), RQ being F1; 0 when nothing matches, NaN without any object."""
        return self.f1 * self.mean_matched_iou if self.n_matched else self.f1


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
    first, second = _LabelRanks(truth), _LabelRanks(prediction)
    width = len(second.labels) + 1
    pairs, n_common = _count_pairs(first, second, width)
    return OverlapTable(
        first.labels, second.labels, first.sizes, second.sizes, pairs // width - 1, pairs % width - 1, n_common
    )


class _LabelRanks:
    """The labels present and their voxels, and the position of a chunk's labels among them (0 = background)."""

    def __init__(self, labels: NDArray[Any]) -> None:
        flat = labels.ravel()
        self._flat = flat.view(np.uint8) if flat.dtype == bool else flat
        self._lookup: Index | None = None
        highest = int(self._flat.max()) if flat.size else 0
        self._dtype: type[np.int64 | np.uint64] = np.uint64 if highest > LARGEST_INT64 else np.int64
        if highest < LARGEST_LOOKUP:
            counts = np.zeros(highest + 1, dtype=np.int64)
            for chunk in self._chunks():
                counts_here = np.bincount(chunk)
                counts[: len(counts_here)] += counts_here
            counts[0] = 0
            self.labels: Index = np.flatnonzero(counts)
            self.sizes: Index = counts[self.labels]
            self._lookup = np.zeros(highest + 1, dtype=np.int64)
            self._lookup[self.labels] = np.arange(1, len(self.labels) + 1)
        else:
            self.labels, self.sizes = _sum_by_key([np.unique(chunk, return_counts=True) for chunk in self._chunks()])
            is_object = self.labels > 0
            self.labels, self.sizes = self.labels[is_object], self.sizes[is_object]

    def _chunks(self) -> Iterator[Index]:
        return map(self._chunk, range(0, self._flat.size, CHUNK_VOXELS))

    def _chunk(self, start: int) -> Index:
        return self._flat[start : start + CHUNK_VOXELS].astype(self._dtype)

    def ranks(self, start: int) -> Index:
        """Position of each label of the chunk from ``start``, from 1; 0 for background."""
        chunk = self._chunk(start)
        if self._lookup is not None:
            return np.asarray(self._lookup[chunk])
        return np.where(chunk > 0, np.searchsorted(self.labels, chunk) + 1, 0)

    @property
    def n_voxels(self) -> int:
        return int(self._flat.size)


def _count_pairs(first: _LabelRanks, second: _LabelRanks, width: int) -> tuple[Index, Index]:
    """Keys ``first rank * width + second rank`` of the pairs that overlap, ascending, and their voxels."""
    starts = range(0, first.n_voxels, CHUNK_VOXELS)
    n_keys = (len(first.labels) + 1) * width
    if n_keys <= LARGEST_LOOKUP:
        counts = np.zeros(n_keys, dtype=np.int64)
        for start in starts:
            counts += np.bincount(first.ranks(start) * width + second.ranks(start), minlength=n_keys)
        table = counts.reshape(-1, width)
        table[0], table[:, 0] = 0, 0
        keys = np.flatnonzero(counts)
        return keys, counts[keys]
    sums = []
    for start in starts:
        truth_ranks, prediction_ranks = first.ranks(start), second.ranks(start)
        overlaps = (truth_ranks > 0) & (prediction_ranks > 0)
        sums.append(np.unique(truth_ranks[overlaps] * width + prediction_ranks[overlaps], return_counts=True))
    return _sum_by_key(sums)


def _sum_by_key(parts: list[tuple[Index, Index]]) -> tuple[Index, Index]:
    """The keys of all parts, ascending, each with the sum of its counts."""
    if not parts:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    keys, place = np.unique(np.concatenate([key for key, _ in parts]), return_inverse=True)
    sums = np.zeros(len(keys), dtype=np.int64)
    np.add.at(sums, place, np.concatenate([count for _, count in parts]))
    return keys, sums


def match_instances(truth: NDArray[Any], prediction: NDArray[Any], *, min_iou: float = 0.5) -> list[tuple[int, int]]:
    """Pairs (truth label, prediction label) that overlap by at least ``min_iou``, each object used once.

    As many pairs as possible are formed; among those, the ones with the largest sum of intersection over union.
    With a ``min_iou`` of at least 0.5 matches are almost always unique.

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
    matches = _assign(table, np.where(table.iou >= min_iou, table.iou, 0.0), bonus=2.0 * (len(table.truth_labels) + 1))
    return [
        (int(table.truth_labels[table.truth_index[pair]]), int(table.prediction_labels[table.prediction_index[pair]]))
        for pair in matches
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
    return score_overlaps(overlap_table(truth, prediction), min_iou=min_iou)


def score_overlaps(table: OverlapTable, *, min_iou: float = 0.5) -> InstanceScores:
    """As :func:`score_instances`, from a table made once for several thresholds.

    Parameters
    ----------
    table : OverlapTable
    min_iou : float, 0–1
        A pair with exactly this value counts; ``math.nextafter(0.5, 1)`` requires more than 0.5, as Kirillov et al.
        do for panoptic quality (CVPR 2019, doi:10.1109/CVPR.2019.00963).
    """
    iou = table.iou
    matches = _assign(table, np.where(iou >= min_iou, iou, 0.0), bonus=2.0 * (len(table.truth_labels) + 1))
    n_truth, n_prediction, n_matched = len(table.truth_labels), len(table.prediction_labels), len(matches)
    return InstanceScores(
        n_truth,
        n_prediction,
        n_matched,
        float(iou[matches].mean()) if n_matched else float("nan"),
    )


def mean_average_precision(
    truth: NDArray[Any], prediction: NDArray[Any], *, min_ious: Sequence[float] = AP_MIN_IOUS
) -> float:
    """Mean of TP / (TP + FP + FN) over thresholds of intersection over union; NaN without any object.

    Parameters
    ----------
    truth, prediction : ndarray, integer >= 0, same shape
    min_ious : sequence of float, 0–1
        By default those of the nucleus challenge: 0.5, 0.55 … 0.95.

    References
    ----------
    Caicedo et al., Nat. Methods 16, 1247 (2019), doi:10.1038/s41592-019-0612-7.

    Examples
    --------
    >>> mean_average_precision(np.array([1, 1, 0, 2]), np.array([4, 4, 0, 0]))
    0.5
    """
    table = overlap_table(truth, prediction)
    values = [score_overlaps(table, min_iou=min_iou).average_precision for min_iou in min_ious]
    return math.fsum(values) / len(values)


def best_partners(table: OverlapTable) -> list[int]:
    """Pairs (positions in the table) of the one-to-one assignment with the largest sum of Dice."""
    return _assign(table, table.dice, bonus=0.0)


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
    matches = best_partners(table)
    return float(table.dice[matches].sum() / len(table.truth_labels))


def _assign(table: OverlapTable, gain: Float, *, bonus: float) -> list[int]:
    """Pairs of the assignment with the largest sum of ``gain + bonus``; pairs of gain 0 are never formed.

    The objects are first grouped into sets connected by overlaps. Where one object overlaps several others, the pair
    of the largest gain is taken; what is left is solved set by set.
    """
    usable = np.flatnonzero(gain > 0)
    if usable.size == 0:
        return []
    rows, columns = table.truth_index[usable], table.prediction_index[usable]
    n_truth, n_all = len(table.truth_labels), len(table.truth_labels) + len(table.prediction_labels)
    graph = sparse.coo_matrix((np.ones(usable.size), (rows, columns + n_truth)), shape=(n_all, n_all))
    n_groups, group_of = sparse.csgraph.connected_components(graph, directed=False)
    group, gains = group_of[rows], gain[usable] + bonus
    is_truth_alone = np.bincount(group_of[:n_truth], minlength=n_groups) == 1
    is_prediction_alone = np.bincount(group_of[n_truth:], minlength=n_groups) == 1
    is_star = (is_truth_alone | is_prediction_alone)[group]
    order = np.lexsort((usable, -gains, group))
    order = order[is_star[order]]
    is_first = np.diff(group[order], prepend=-1) != 0
    matches: list[int] = usable[order[is_first]].tolist()
    order = np.argsort(group, kind="stable")
    order = order[~is_star[order]]
    edges = np.flatnonzero(np.diff(group[order])) + 1
    for members in np.split(order, edges) if order.size else []:
        picked = _assign_group(rows[members], columns[members], gains[members])
        matches.extend(usable[members[picked]].tolist())
    return sorted(matches)


def _assign_group(rows: Index, columns: Index, gains: Float) -> Index:
    """Positions of the pairs with the largest sum of gains, each row and each column used once."""
    row_names, row = np.unique(rows, return_inverse=True)
    column_names, column = np.unique(columns, return_inverse=True)
    shape = (len(row_names), len(column_names))
    if shape[0] * shape[1] <= LARGEST_DENSE:
        dense, position = np.zeros(shape), np.full(shape, -1, dtype=np.int64)
        dense[row, column] = gains
        position[row, column] = np.arange(len(gains))
        picked = position[optimize.linear_sum_assignment(dense, maximize=True)]
        return np.asarray(picked[picked >= 0])
    # Each row may also take a column of its own that gains nothing, so that a full assignment always exists.
    most = float(gains.max()) + 1.0
    own = np.arange(shape[0])
    costs = sparse.csr_matrix(
        (
            np.concatenate([most - gains, np.full(shape[0], most)]),
            (np.concatenate([row, own]), np.concatenate([column, shape[1] + own])),
        ),
        shape=(shape[0], shape[1] + shape[0]),
    )
    matched_rows, matched_columns = sparse.csgraph.min_weight_full_bipartite_matching(costs)
    partner = np.full(shape[0], -1, dtype=np.int64)
    partner[matched_rows] = matched_columns
    return np.flatnonzero(partner[row] == column)
