"""All objects of a label image as runs along x, in one pass over its voxels.

There are few runs, whatever the number of voxels, and everything that depends on the masks alone follows from them. To
derive a further quantity of every object, write a kernel in :mod:`tomocyte.measurements._object_kernels`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.measurements._object_kernels import Indices, count_runs, find_runs, sort_runs

BLOCK_VOXELS = 1 << 22
LARGEST_TABLE = 1 << 22


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
    n_z, n_y, n_x = labels.shape
    n_planes = max(1, BLOCK_VOXELS // max(1, n_y * n_x))
    blocks = []
    for start in range(0, n_z, n_planes):
        slab = np.ascontiguousarray(labels[start : start + n_planes]).reshape(-1, n_x)
        blocks.append(find_runs(slab, start * n_y, count_runs(slab)))
    rows, starts, stops = (
        np.concatenate([block[part] for block in blocks]) if blocks else np.empty(0, np.int32) for part in range(3)
    )
    of_runs = np.concatenate([block[3] for block in blocks]) if blocks else np.empty(0, labels.dtype)
    del blocks
    numbers, index = _indexed(of_runs)
    first, order = sort_runs(index, len(numbers))
    return LabelRuns((n_z, n_y, n_x), numbers, first, rows[order], starts[order], stops[order])


def _indexed(of_runs: NDArray[Any]) -> tuple[NDArray[np.uint64], Indices]:
    """The labels that occur, ascending, and for each run the place of its label among them."""
    largest = int(of_runs.max(initial=0))
    if largest <= LARGEST_TABLE:
        is_there = np.zeros(largest + 1, np.bool_)
        is_there[of_runs] = True
        places = (np.cumsum(is_there) - 1).astype(np.int32)
        return np.flatnonzero(is_there).astype(np.uint64), places[of_runs]
    numbers, index = np.unique(of_runs, return_inverse=True)
    return numbers.astype(np.uint64), index.astype(np.int32)
