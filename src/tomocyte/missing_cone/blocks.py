"""Large fields, cell by cell: a window around each cell holds it and what is near enough to blur into it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.extents import label_extents
from tomocyte.missing_cone.parts import Parts
from tomocyte.missing_cone.transfer import Support, part_potentials
from tomocyte.volume import VoxelSize

Float = NDArray[np.float64]
MOST_PARTS = 120
"""Fields with at most so many parts are solved whole."""
MARGIN_UM = 6.0


def field_potentials(
    potential: NDArray[np.float32],
    field: Parts,
    voxel_size_um: VoxelSize,
    support: Support,
    *,
    most_parts: int = MOST_PARTS,
) -> Float:
    """The scaled potential of each part of a field, solved whole or, where it is large, in windows around its cells.

    Parameters
    ----------
    potential : ndarray (Z, Y, X), float32
    field : Parts
    voxel_size_um : tuple of 3 float
    support : callable
    most_parts : int
        That are solved together.

    Returns
    -------
    ndarray (n_parts,), float64
        NaN for what lies in no cell of a field that is solved in windows.
    """
    n_parts = len(field.parts)
    if n_parts <= most_parts:
        return part_potentials(potential, field.index, n_parts, voxel_size_um, support)
    values = np.full(n_parts, np.nan)
    numbers: dict[int, list[int]] = {}
    for number, part in enumerate(field.parts, start=1):
        numbers.setdefault(part.cell, []).append(number)
    extents = label_extents(field.index.view(np.uint32))
    margin = [0, *(math.ceil(MARGIN_UM / step) for step in voxel_size_um[1:])]
    for cell in sorted(set(numbers) - {0}):
        own = numbers[cell]
        lower, upper = extents.lower[own].min(axis=0).tolist(), extents.upper[own].max(axis=0).tolist()
        sides = zip(lower, upper, margin, field.index.shape, strict=True)
        box = tuple(slice(max(low - more, 0), min(high + more, size)) for low, high, more, size in sides)
        box = (slice(None), *box[1:])
        inside, index = np.unique(field.index[box], return_inverse=True)
        is_medium = inside[0] == 0
        renumbered = np.asarray(index, dtype=np.int32).reshape(potential[box].shape) + np.int32(not is_medium)
        there = inside[1:] if is_medium else inside
        found = part_potentials(potential[box], renumbered, len(there), voxel_size_um, support)
        is_own = np.isin(there, own)
        values[there[is_own] - 1] = found[is_own]
    return values
