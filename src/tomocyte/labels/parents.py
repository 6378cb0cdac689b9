"""Parents of objects: the cell that a nucleus or an organelle lies in.

To assign by another rule than the largest overlap, write a function beside :func:`assign_parents`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError


def assign_parents(child_labels: NDArray[Any], cell_labels: NDArray[Any]) -> dict[int, int]:
    """For each child object, the cell it lies in.

    Parameters
    ----------
    child_labels, cell_labels : ndarray (Z, Y, X), integer >= 0

    Returns
    -------
    dict of int to int
        Child label to the label of the cell with most voxels in common (the smaller label where two have equally
        many); 0 when the child lies in no cell.

    Raises
    ------
    SettingsError
        ``E-SHAPE`` when the arrays differ in shape.

    Examples
    --------
    >>> assign_parents(np.array([[[1, 1, 1, 0, 2]]]), np.array([[[0, 5, 5, 5, 0]]]))
    {1: 5, 2: 0}
    """
    if child_labels.shape != cell_labels.shape:
        raise SettingsError("E-SHAPE", f"children {child_labels.shape} and cells {cell_labels.shape} differ in shape.")
    # Both labels in one number, which sorts much faster than pairs: labels end at 32 bits.
    n_cells = np.uint64(cell_labels.max(initial=0)) + np.uint64(1)
    overlap: Counter[tuple[int, int]] = Counter()
    for z in range(child_labels.shape[0]):
        is_child = child_labels[z] != 0
        keys = child_labels[z][is_child].astype(np.uint64) * n_cells + cell_labels[z][is_child].astype(np.uint64)
        for key, count in zip(*(one.tolist() for one in np.unique(keys, return_counts=True)), strict=True):
            overlap[divmod(key, int(n_cells))] += count
    best: dict[int, tuple[int, int]] = {}
    for (child, cell), count in sorted(overlap.items()):
        if child not in best:
            best[child] = (0, 0)
        if cell and count > best[child][0]:
            best[child] = (count, cell)
    return {child: cell for child, (_, cell) in best.items()}


def without_contents(labels: NDArray[Any], contents: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Labels without the voxels that also belong to something inside them; labels with nothing inside are left out.

    Examples
    --------
    >>> without_contents(np.array([[[5, 5, 5, 6]]], np.uint8), [np.array([[[0, 1, 0, 0]]])]).tolist()
    [[[5, 0, 5, 0]]]
    """
    rest = labels.copy()
    holds = np.zeros(int(labels.max(initial=0)) + 1, np.bool_)
    for objects in contents:
        is_inside = objects != 0
        holds[labels[is_inside]] = True
        rest[is_inside] = 0
    rest[~holds[rest]] = 0
    return rest
