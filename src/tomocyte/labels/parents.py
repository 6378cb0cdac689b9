"""Parents of objects: the cell that a nucleus or an organelle lies in.

To assign by another rule than the largest overlap, write a function beside :func:`assign_parents`.
"""

from __future__ import annotations

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
    children: list[NDArray[Any]] = [np.zeros((0, 3), dtype=np.int64)]
    for z in range(child_labels.shape[0]):
        is_child = child_labels[z] != 0
        pairs = np.stack(
            [child_labels[z][is_child].astype(np.int64), cell_labels[z][is_child].astype(np.int64)], axis=1
        )
        unique, counts = np.unique(pairs, axis=0, return_counts=True)
        children.append(np.column_stack([unique, counts]))
    table = np.concatenate(children)
    overlap: dict[tuple[int, int], int] = {}
    for child, cell, count in table.tolist():
        overlap[child, cell] = overlap.get((child, cell), 0) + count
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
