"""Objects of several annotators, each with numbers of their own, brought to common numbers.

Objects of two annotators are the same where they overlap by enough; a group holds at most one object of each annotator.
What is a group can then be voted on voxel by voxel like a class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tomocyte.agreement.patterns import Patterns, keys_of
from tomocyte.agreement.staple import Staple, StapleSettings, staple
from tomocyte.agreement.votes import UNDECIDED, agreement
from tomocyte.evaluation.matching import OverlapTable


@dataclass(frozen=True)
class ObjectGroups:
    """Groups of objects, numbered from 1.

    Parameters
    ----------
    numbers : tuple of mappings
        For each annotator, label -> group.
    n_annotators : tuple of int
        For each group, from the first on, how many annotators drew it.
    """

    numbers: tuple[Mapping[int, int], ...]
    n_annotators: tuple[int, ...]


def group_objects(
    tables: Mapping[tuple[int, int], OverlapTable], labels: Sequence[Sequence[int]], *, min_iou: float = 0.5
) -> ObjectGroups:
    """Group the objects of all annotators.

    Parameters
    ----------
    tables : mapping
        (first, second annotator) -> their overlaps, the first as truth.
    labels : sequence of sequences of int
        For each annotator the labels of objects, ascending.
    min_iou : float, 0–1
        Intersection over union from which two objects are the same.

    Returns
    -------
    ObjectGroups
        The pairs that overlap most are joined first; groups are numbered by annotator and label.

    Examples
    --------
    >>> import numpy as np
    >>> from tomocyte.evaluation import overlap_table
    >>> one, other = np.array([1, 1, 0, 2]), np.array([9, 9, 0, 0])
    >>> group_objects({(0, 1): overlap_table(one, other)}, [[1, 2], [9]])
    ObjectGroups(numbers=({1: 1, 2: 2}, {9: 1}), n_annotators=(2, 1))
    """
    links = []
    for (first, second), table in tables.items():
        iou = table.iou
        for pair in (iou >= min_iou).nonzero()[0].tolist():
            one = (first, int(table.truth_labels[table.truth_index[pair]]))
            other = (second, int(table.prediction_labels[table.prediction_index[pair]]))
            links.append((-float(iou[pair]), one, other))
    groups = {(annotator, label): {annotator: label} for annotator, own in enumerate(labels) for label in own}
    for _, one, other in sorted(links):
        first_group, second_group = groups[one], groups[other]
        if first_group is not second_group and not first_group.keys() & second_group.keys():
            first_group.update(second_group)
            groups.update(dict.fromkeys(second_group.items(), first_group))
    numbers: tuple[dict[int, int], ...] = tuple({} for _ in labels)
    n_annotators: list[int] = []
    for annotator, own in enumerate(labels):
        for label in own:
            if label not in numbers[annotator]:
                group = groups[annotator, label]
                n_annotators.append(len(group))
                for member, its_label in group.items():
                    numbers[member][its_label] = len(n_annotators)
    return ObjectGroups(numbers, tuple(n_annotators))


def staple_objects(patterns: Patterns, settings: StapleSettings | None = None) -> tuple[NDArray[np.int64], Staple]:
    """STAPLE for objects: whether a voxel belongs to any, estimated, and to which, by the votes of those who drew one.

    Parameters
    ----------
    patterns : Patterns
        Of groups, from :func:`group_objects`.
    settings : StapleSettings, optional

    Returns
    -------
    labels : ndarray (P,), int64
        For each combination the group, 0, or :data:`~tomocyte.agreement.votes.UNDECIDED` for a draw.
    estimate : Staple
        Of two labels: background and any object.
    """
    inside = (patterns.places > 0).astype(np.int64)
    keys, place = np.unique(keys_of(inside.T, 2), return_inverse=True)
    counts = np.bincount(place, weights=patterns.counts.astype(np.float64)).astype(np.int64)
    table = keys[:, None] // 2 ** np.arange(patterns.n_annotators) % 2
    estimate = staple(Patterns(np.arange(2), table, counts), settings)
    is_object = estimate.labels(Patterns(np.arange(2), table, counts))[place]
    same = np.where(inside > 0, agreement(patterns.places), 0)
    groups = np.take_along_axis(patterns.places, same.argmax(axis=1)[:, None], axis=1)[:, 0]
    is_other = (same == same.max(axis=1, keepdims=True)) & (patterns.places != groups[:, None])
    labels = np.where(is_other.any(axis=1) & (is_object > 0), UNDECIDED, patterns.values[groups])
    return np.where(is_object > 0, labels, is_object), estimate
