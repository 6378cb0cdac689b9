"""One cell cut out of the volume: its voxels and the objects that belong to it, structure by structure.

What contacts, placement and positions share is computed here once; to share a further quantity, add a
``cached_property`` or a method that keeps its results.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.distances import distance_um
from tomocyte.measurements._kernels import Integers
from tomocyte.measurements._label_runs import LabelRuns, label_runs
from tomocyte.measurements.measure import label_boxes
from tomocyte.measurements.spatial._kernels import Objects, select_objects
from tomocyte.measurements.spatial.surfaces import Faces, gaps_um
from tomocyte.structures import ancestors, canonical_name
from tomocyte.volume import VoxelSize

FILLINGS = {"cytoplasm", "cytosol", "nucleoplasm", "extracellular"}
"""Structures that are what is left between others: nothing has a distance to them."""
FIXED = {
    "nucleus", "nuclear_membrane", "nuclear_reticulum", "endoplasmic_reticulum", "plasma_membrane", "filopodium",
}  # fmt: skip
"""Structures that stay where they are when objects are placed at random: a cell has them in one place only."""


@dataclass(frozen=True, eq=False)
class Indexed:
    """The objects of one label image, and the cells they belong to.

    Parameters
    ----------
    labels : unsigned integer ndarray (Z, Y, X)
    numbers : uint64 ndarray (n,)
        The labels present, ascending.
    boxes : int64 ndarray (n, 6)
        Start and stop along z, y, x.
    cells : int64 ndarray (n,)
        The cell of each; 0 outside all cells.
    """

    labels: NDArray[Any]
    numbers: NDArray[np.uint64]
    boxes: Integers
    cells: Integers

    @classmethod
    def of(cls, labels: NDArray[Any], cell_of: Mapping[int, int] | None = None) -> Indexed:
        """The objects of a label image; without ``cell_of`` all of cell 0."""
        numbers, boxes = label_boxes(labels)
        cells = [0 if cell_of is None else cell_of.get(int(number), 0) for number in numbers]
        return cls(labels, numbers, boxes, np.array(cells, np.int64))


@dataclass(frozen=True, eq=False)
class Compartment:
    """A cell, or a whole volume without cells, and the objects in it.

    Parameters
    ----------
    cell_id : int
        0 where there are no cells.
    inside : bool ndarray (z, y, x)
        Voxels of the cell, in a box that holds it and all its objects.
    objects : mapping
        Structure -> int32 ndarray (z, y, x), numbered from 1 in the order of ``numbers``.
    numbers : mapping
        Structure -> labels of its objects, ascending.
    voxel_size_um : tuple of 3 float
        z is NaN for planar images.
    cells : str, optional
        What the cells are called; ``None`` where there are none.
    """

    cell_id: int
    inside: NDArray[np.bool_]
    objects: Mapping[str, Objects]
    numbers: Mapping[str, NDArray[np.uint64]]
    voxel_size_um: VoxelSize
    cells: str | None
    _gaps: dict[tuple[str, bool], NDArray[np.float32]] = field(default_factory=dict)
    _depths: dict[tuple[str, bool], NDArray[np.float32]] = field(default_factory=dict)
    _faces: dict[str, Faces] = field(default_factory=dict)
    _runs: dict[str, LabelRuns] = field(default_factory=dict)

    def n_objects(self, structure: str) -> int:
        """How many objects of a structure the cell has."""
        return len(self.numbers[structure])

    def mask(self, structure: str) -> NDArray[np.bool_]:
        """Voxels of a structure, or of the cell."""
        mask: NDArray[np.bool_] = self.inside if structure == self.cells else self.objects[structure] > 0
        return mask

    def surrounds(self, other: str, structure: str) -> bool:
        """Whether one structure contains another, so that distances to it are those to its envelope, from inside."""
        return other == self.cells or canonical_name(other) in ancestors(structure)

    def targets(self, structure: str) -> list[str]:
        """What the objects of a structure may touch: the other structures of the cell, and its membrane."""
        others = [
            other
            for other in self.objects
            if other != structure and not self.surrounds(structure, other) and other not in FILLINGS
        ]
        return others if self.cells is None else [*others, self.cells]

    def target(self, other: str, *, is_envelope: bool) -> Objects:
        """The objects of another structure; of one that contains (``is_envelope``) what lies outside it, as one."""
        return (~self.mask(other)).astype(np.int32) if is_envelope else self.objects[other]

    def gaps(self, other: str, *, is_envelope: bool) -> NDArray[np.float32]:
        """Distance of each voxel to another structure, or to its envelope from inside, in µm; see :func:`gaps_um`."""
        key = (other, is_envelope)
        if key not in self._gaps:
            mask = self.mask(other)
            self._gaps[key] = gaps_um(~mask if is_envelope else mask, self.voxel_size_um)
        return self._gaps[key]

    def depths(self, structure: str, *, is_outside: bool = False) -> NDArray[np.float32]:
        """Distance of the centre of each voxel in a structure, or outside it, to that of the nearest other, in µm."""
        key = (structure, is_outside)
        if key not in self._depths:
            mask = self.mask(structure)
            self._depths[key] = distance_um(~mask if is_outside else mask, self.voxel_size_um)
        return self._depths[key]

    def faces(self, structure: str) -> Faces:
        """The faces of all objects of a structure."""
        if structure not in self._faces:
            self._faces[structure] = Faces.of(self.objects[structure], self.n_objects(structure), self.voxel_size_um)
        return self._faces[structure]

    def runs(self, structure: str) -> LabelRuns:
        """The runs along x of all objects of a structure."""
        if structure not in self._runs:
            self._runs[structure] = label_runs(self.objects[structure].view(np.uint32))
        return self._runs[structure]


def compartments(
    structures: Mapping[str, Indexed], cells: Indexed | None, cells_name: str | None, voxel_size_um: VoxelSize
) -> Iterator[Compartment]:
    """Every cell with its objects, ascending; without cells the whole volume as one.

    Objects outside all cells are in none.
    """
    if cells is None:
        shape = next((one.labels.shape for one in structures.values()), (0, 0, 0))
        yield _cut_out(structures, np.ones(shape, np.bool_), (slice(None),) * 3, 0, voxel_size_um, None)
        return
    for number, box in zip(cells.numbers, cells.boxes, strict=True):
        own = [one.boxes[one.cells == int(number)] for one in structures.values()]
        joined = np.concatenate([box[None], *own])
        # One voxel around, so that the face of an object at the border of the box is seen to be one.
        low = np.maximum(joined[:, 0::2].min(axis=0) - 1, 0)
        high = np.minimum(joined[:, 1::2].max(axis=0) + 1, cells.labels.shape)
        place = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
        inside = cells.labels[place] == cells.labels.dtype.type(number)
        yield _cut_out(structures, inside, place, int(number), voxel_size_um, cells_name)


def _cut_out(
    structures: Mapping[str, Indexed],
    inside: NDArray[np.bool_],
    place: tuple[slice, ...],
    cell_id: int,
    voxel_size_um: VoxelSize,
    cells: str | None,
) -> Compartment:
    objects: dict[str, Objects] = {}
    numbers: dict[str, NDArray[np.uint64]] = {}
    for name, one in structures.items():
        is_own = one.cells == cell_id
        places = np.zeros(len(one.numbers), np.int32)
        places[is_own] = np.arange(1, np.count_nonzero(is_own) + 1)
        objects[name] = np.zeros(inside.shape, np.int32)
        if is_own.any():
            select_objects(one.labels[place], one.numbers, places, objects[name])
        numbers[name] = one.numbers[is_own]
    return Compartment(cell_id, inside, objects, numbers, voxel_size_um, cells)


def sides_of(voxel_size_um: VoxelSize) -> NDArray[np.float64]:
    """Voxel sides z, y, x in µm, 0 along z in planar images, where nothing has an extent along z."""
    return np.array([0.0 if math.isnan(side) else side for side in voxel_size_um])
