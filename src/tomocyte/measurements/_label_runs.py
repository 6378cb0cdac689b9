"""All objects of a label image as runs along x, in one pass over its voxels.

There are few runs, whatever the number of voxels, and everything that depends on the masks alone follows from them. To
derive a further quantity of every object, write a kernel in :mod:`tomocyte.measurements._object_kernels`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.measurements._object_kernels import Indices, count_runs, find_runs, place_runs

BLOCK_VOXELS = 1 << 19
VOXELS_PER_KEPT_RUN = 16
LARGEST_TABLE = 1 << 22
Found = tuple[Indices, Indices, Indices, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class LabelRuns:
    """The runs of every object: those of one object stand together, in raster order.

    Parameters
    ----------
    shape : tuple of 3 int
        Z, Y, X of the label image.
    numbers : uint64 ndarray (n,)
        The labels, ascending.
    first : int64 ndarray (n + 1,)
        First run of each object, and the number of all runs.
    rows, starts, stops : int32 ndarray
        Row z · Y + y of each run, and its half-open extent along x.
    """

    shape: tuple[int, int, int]
    numbers: NDArray[np.uint64]
    first: NDArray[np.int64]
    rows: Indices
    starts: Indices
    stops: Indices

    def __len__(self) -> int:
        return len(self.numbers)


def label_runs(labels: NDArray[Any]) -> LabelRuns:
    """The runs of a label image.

    Parameters
    ----------
    labels : unsigned integer or bool ndarray (Z, Y, X)
        0 is background.

    Examples
    --------
    >>> runs = label_runs(np.array([[[7, 7, 0, 3], [7, 0, 0, 0]]], np.uint8))
    >>> runs.numbers.tolist(), runs.first.tolist(), runs.rows.tolist(), runs.stops.tolist()
    ([3, 7], [0, 1, 3], [0, 0, 1], [4, 2, 1])
    """
    if labels.dtype == np.bool_:
        labels = labels.view(np.uint8)
    blocks, n_runs, distinct, counts = [], 0, [np.empty(0, labels.dtype)], [np.empty(0, np.int64)]
    for start in _starts(labels):
        block = _found(labels, start)
        # Where almost every voxel is a run, as in noise, they are found again rather than kept twice.
        n_runs += len(block[0])
        blocks.append(block if n_runs * VOXELS_PER_KEPT_RUN <= labels.size else None)
        for part, parts in zip(_counted(block[3]), (distinct, counts), strict=True):
            parts.append(part)
    numbers = _counted(np.concatenate(distinct))[0]
    places = _Places(numbers)
    of_objects = np.bincount(places.of(np.concatenate(distinct)), np.concatenate(counts), len(numbers))
    first = np.concatenate([[0], np.cumsum(of_objects.astype(np.int64))])
    rows, starts, stops = (np.empty(first[-1], np.int32) for _ in range(3))
    next_place = first[:-1].copy()
    for index, start in enumerate(_starts(labels)):
        block = blocks[index] or _found(labels, start)
        place_runs(places.of(block[3]), block[:3], next_place, (rows, starts, stops))
    n_z, n_y, n_x = labels.shape
    return LabelRuns((n_z, n_y, n_x), numbers.astype(np.uint64), first, rows, starts, stops)


def _starts(labels: NDArray[Any]) -> range:
    """The first planes of blocks that fit into a processor's cache."""
    return range(0, labels.shape[0], max(1, BLOCK_VOXELS // max(1, labels.shape[1] * labels.shape[2])))


def _found(labels: NDArray[Any], start: int) -> Found:
    """Row, start, stop and label of the runs of the block that begins with this plane."""
    _, n_y, n_x = labels.shape
    rows = np.ascontiguousarray(labels[start : start + _starts(labels).step]).reshape(-1, n_x)
    found: Found = find_runs(rows, start * n_y, count_runs(rows))
    return found


def _counted(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The labels that occur, ascending, and how often."""
    if labels.max(initial=0) > 4 * labels.size:
        return np.unique(labels, return_counts=True)
    counts = np.bincount(labels.astype(np.int64))
    distinct = np.flatnonzero(counts)
    return distinct.astype(labels.dtype), counts[distinct]


class _Places:
    """For labels, their places among all ``numbers`` (ascending)."""

    def __init__(self, numbers: NDArray[Any]) -> None:
        self._numbers = numbers
        self._table: Indices | None = None
        largest = int(numbers.max(initial=0))
        if largest <= LARGEST_TABLE:
            self._table = np.zeros(largest + 1, np.int32)
            self._table[numbers] = np.arange(len(numbers))

    def of(self, labels: NDArray[Any]) -> Indices:
        if self._table is None:
            return np.searchsorted(self._numbers, labels).astype(np.int32)
        places: Indices = self._table[labels]
        return places
