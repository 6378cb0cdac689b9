"""A field divided into parts of even refractive index, from the labels of its structures.

Large objects (cells, nuclei) give a core and a rim, because a mask is wrong at its surface first; a cell also has a
shell around it, for what its mask misses. Small objects of one structure are one part per cell. What is drawn later
(nucleus, nucleolus, droplet) takes its voxels from what was drawn before. To divide otherwise, change :func:`divide`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.extents import label_extents
from tomocyte.labels.parents import assign_parents
from tomocyte.structures import CELL, in_drawing_order
from tomocyte.volume import VoxelSize

Labels = NDArray[np.unsignedinteger[Any]]
Index = NDArray[np.int32]
Box = tuple[slice, slice, slice]

CELL_RIM_UM = 0.8
ORGANELLE_RIM_UM = 0.4
SHELL_UM = 0.8
LARGE_UM3 = 20.0
"""Smallest organelle that has parts of its own; chosen on validation fields, as the widths above."""


@dataclass(frozen=True)
class Part:
    """A part of a field that has one refractive index.

    Parameters
    ----------
    structure : str
    cell : int
        Label of the cell it belongs to; 0: none.
    kind : {"core", "rim", "shell", "group"}
        ``group``: all small objects of the structure in that cell.
    label : int
        Of the object; 0 for a group.
    """

    structure: str
    cell: int
    kind: Literal["core", "rim", "shell", "group"]
    label: int


@dataclass(frozen=True, eq=False)
class Parts:
    """All parts of a field.

    Parameters
    ----------
    index : ndarray (Z, Y, X), int32
        0 is the medium, i + 1 the i-th part.
    parts : tuple of Part
        None is empty.
    owners : mapping
        Structure -> organelle label -> label of its cell.
    """

    index: Index
    parts: tuple[Part, ...]
    owners: Mapping[str, Mapping[int, int]]


def divide(labels: Mapping[str, Labels], voxel_size_um: VoxelSize) -> Parts:
    """Divide a field into its parts.

    Parameters
    ----------
    labels : mapping
        Structure -> labels (Z, Y, X); among them ``cell``.
    voxel_size_um : tuple of 3 float

    Examples
    --------
    >>> cells = np.zeros((20, 20, 20), np.uint8)
    >>> cells[4:16, 4:16, 4:16] = 3
    >>> droplets = np.zeros_like(cells)
    >>> droplets[9, 9, 9:11] = 1
    >>> field = divide({"cell": cells, "lipid_droplet": droplets}, (0.5, 0.5, 0.5))
    >>> [(part.structure, part.kind) for part in field.parts]
    [('cell', 'core'), ('cell', 'rim'), ('cell', 'shell'), ('lipid_droplet', 'group')]
    """
    cells = labels[CELL]
    index = np.zeros(cells.shape, np.int32)
    parts: list[Part] = []
    owners: dict[str, Mapping[int, int]] = {}
    _paint(index, parts, CELL, cells, None, voxel_size_um)
    _paint_shells(index, parts, cells, voxel_size_um)
    for structure in in_drawing_order(labels):
        if structure != CELL:
            owners[structure] = assign_parents(labels[structure], cells)
            _paint(index, parts, structure, labels[structure], owners[structure], voxel_size_um)
    is_there = np.bincount(index.ravel(), minlength=len(parts) + 1)[1:] > 0
    numbers = np.concatenate([[0], np.cumsum(is_there) * is_there]).astype(np.int32)
    remaining = tuple(part for part, there in zip(parts, is_there, strict=True) if there)
    return Parts(numbers[index], remaining, owners)


def _paint(
    index: Index,
    parts: list[Part],
    structure: str,
    labels: Labels,
    owners: Mapping[int, int] | None,
    voxel_size_um: VoxelSize,
) -> None:
    """Draw a structure into ``index`` and add its parts to ``parts``."""
    import edt

    sizes = np.bincount(labels.ravel())
    inner, outer = np.zeros((2, len(sizes)), np.int32)
    groups: dict[int, int] = {}
    for label in (np.flatnonzero(sizes[1:]) + 1).tolist():
        cell = label if owners is None else owners[label]
        if owners is None or sizes[label] * math.prod(voxel_size_um) >= LARGE_UM3:
            parts += [Part(structure, cell, "core", label), Part(structure, cell, "rim", label)]
            inner[label], outer[label] = len(parts) - 1, len(parts)
        else:
            if cell not in groups:
                parts.append(Part(structure, cell, "group", 0))
                groups[cell] = len(parts)
            inner[label] = outer[label] = groups[cell]
    is_object = labels > 0
    index[is_object] = inner[labels[is_object]]
    if (inner != outer).any():
        rim_um = CELL_RIM_UM if owners is None else ORGANELLE_RIM_UM
        depth = edt.edt(np.ascontiguousarray(labels), anisotropy=voxel_size_um, parallel=1)
        is_rim = is_object & (depth <= rim_um)
        index[is_rim] = outer[labels[is_rim]]


def _paint_shells(index: Index, parts: list[Part], cells: Labels, voxel_size_um: VoxelSize) -> None:
    """What lies within reach of a cell and in none; of several cells the nearest takes it."""
    import edt

    extents = label_extents(cells)
    nearest = np.full(cells.shape, np.inf, np.float32)
    for label in (np.flatnonzero(extents.n_voxels[1:]) + 1).tolist():
        sides = zip(extents.lower[label], extents.upper[label], cells.shape, voxel_size_um, strict=True)
        reach = [(int(low), int(high), size, math.ceil(SHELL_UM / step)) for low, high, size, step in sides]
        box = tuple(slice(max(low - far, 0), min(high + far, size)) for low, high, size, far in reach)
        distance = edt.edt(cells[box] != label, anisotropy=voxel_size_um, parallel=1)
        parts.append(Part(CELL, label, "shell", label))
        is_shell = (cells[box] == 0) & (distance <= SHELL_UM) & (distance < nearest[box])
        nearest[box][is_shell] = distance[is_shell]
        index[box][is_shell] = len(parts)
