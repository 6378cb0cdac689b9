"""Surfaces made of voxel faces: where they lie, the area each face stands for, and which other voxels are within reach.

A voxel is a box. The distance of two objects is that of their nearest boxes; distances between voxel centres would be
too large by about one voxel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.distances import distance_um
from tomocyte.measurements._kernels import Integers
from tomocyte.measurements._object_kernels import count_runs, find_runs
from tomocyte.measurements.spatial._kernels import (
    Directions,
    Floats,
    Objects,
    RowRuns,
    face_areas,
    find_contacts,
    find_faces,
)
from tomocyte.volume import VoxelSize

# Distances are products and roots of floats: a gap given as a multiple of the voxel size must include it.
SLACK = 1e-6
# Blur from which normals are taken, in voxels along the coarsest axis and at most along any; a window of some blurs.
BLUR = 1.5
MOST_BLUR = 4.0
WINDOW = 2.1


@dataclass(frozen=True, eq=False)
class Reach:
    """The steps from a voxel, and from the centres of its faces, to voxels within a gap.

    Parameters
    ----------
    gap_um : float
    voxel : int64 ndarray (n, 3)
        Steps z, y, x to voxels whose boxes lie within the gap of the voxel's own, itself included.
    face : int64 ndarray (6, m, 3)
        For each direction, steps to voxels whose boxes lie within the gap of the face's centre, nearest first.
    n_face : int64 ndarray (6,)
        How many of the m are used.
    """

    gap_um: float
    voxel: Integers
    face: Integers
    n_face: Integers

    @cached_property
    def voxel_rows(self) -> Integers:
        """(n, 4): the same steps from a voxel, row by row: steps z and y, lowest and highest step x."""
        return _rows(self.voxel)

    @cached_property
    def face_rows(self) -> tuple[Integers, Integers]:
        """(6, m, 4), (6,): the same steps from faces, row by row, and how many of the m are used."""
        rows = [_rows(steps[:n]) for steps, n in zip(self.face, self.n_face, strict=True)]
        return _stacked(rows), np.array([len(one) for one in rows])

    @classmethod
    def within(cls, gap_um: float, voxel_size_um: VoxelSize) -> Reach:
        """The steps within a gap in µm; in planar images (z is NaN) those in the plane."""
        sides = np.nan_to_num(np.array(voxel_size_um), nan=0.0)
        most = [0 if side == 0 else math.floor(gap_um / side * (1 + SLACK)) + 1 for side in sides]
        grid = np.meshgrid(*(np.arange(-n, n + 1) for n in most), indexing="ij")
        steps = np.stack([axis.ravel() for axis in grid], axis=1)
        limit = (gap_um * (1 + SLACK)) ** 2 + 1e-18
        apart = np.square(np.maximum(np.abs(steps) - 1, 0) * sides).sum(axis=1)
        faces = []
        for axis in range(3):
            for shift in (-0.5, 0.5):
                centre = np.zeros(3)
                centre[axis] = shift
                squared = np.square(np.maximum(np.abs(steps - centre) - 0.5, 0) * sides).sum(axis=1)
                order = np.argsort(squared, kind="stable")
                faces.append(steps[order[squared[order] <= limit]])
        return cls(gap_um, steps[apart <= limit], _stacked(faces), np.array([len(one) for one in faces]))


def _stacked(tables: Sequence[Integers]) -> Integers:
    """Tables of different length in one array, zeros behind the shorter ones."""
    stacked = np.zeros((len(tables), max(map(len, tables)), tables[0].shape[1]), np.int64)
    for place, table in zip(stacked, tables, strict=True):
        place[: len(table)] = table
    return stacked


def _rows(steps: Integers) -> Integers:
    """(n, 4): steps z and y, and lowest and highest step x of each row of steps, the nearest row first."""
    rows, row_of = np.unique(steps[:, :2], axis=0, return_inverse=True)
    low, high = np.full(len(rows), np.iinfo(np.int64).max), np.full(len(rows), np.iinfo(np.int64).min)
    np.minimum.at(low, row_of.ravel(), steps[:, 2])
    np.maximum.at(high, row_of.ravel(), steps[:, 2])
    order = np.lexsort((rows[:, 1], rows[:, 0], np.square(rows).sum(axis=1)))
    return np.column_stack([rows, low, high])[order]


def runs_of(objects: Objects) -> RowRuns:
    """The runs along x of all objects, row by row."""
    rows = objects.reshape(-1, objects.shape[2])
    row_of, starts, stops, numbers = find_runs(rows, 0, count_runs(rows))
    first = np.concatenate([[0], np.cumsum(np.bincount(row_of, minlength=len(rows)))])
    return first.astype(np.int64), starts, stops, numbers


def gaps_um(mask: NDArray[np.bool_], voxel_size_um: VoxelSize) -> NDArray[np.float32]:
    """Distance of each voxel to the mask, box to box in µm: 0 in it and where voxels touch, also at edges and corners.

    Boxes i and j are max(|i - j| - 1, 0) voxel sides apart along an axis, which is the distance of i to the nearest of
    j - 1, j and j + 1: so it is the distance to the mask widened by one voxel. Infinite when the mask is empty.

    Examples
    --------
    >>> gaps_um(np.array([[[True, False, False, False]]]), (float("nan"), 1.0, 0.25)).tolist()
    [[[0.0, 0.0, 0.25, 0.5]]]
    """
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    wide = mask
    for axis in range(1 if math.isnan(voxel_size_um[0]) else 0, 3):
        low, high = [slice(None)] * 3, [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        grown = wide.copy()
        grown[tuple(low)] |= wide[tuple(high)]
        grown[tuple(high)] |= wide[tuple(low)]
        wide = grown
    if wide.all():
        return np.zeros(mask.shape, np.float32)
    return distance_um(~wide, voxel_size_um)


@dataclass(frozen=True, eq=False)
class Contacts:
    """What of one structure touches another.

    Parameters
    ----------
    pairs : int64 ndarray (n, 2)
        Objects of the one and of the other that lie within the gap, ascending.
    area_um2 : float64 ndarray (n_objects,)
        Area of each object's surface within the gap; NaN in planar images.
    """

    pairs: Integers
    area_um2: Floats


@dataclass(frozen=True, eq=False)
class Faces:
    """The faces of all objects of a structure.

    Parameters
    ----------
    objects : int32 ndarray (z, y, x)
        Numbered from 1; 0 is background.
    n_objects : int
    voxel_size_um : tuple of 3 float
    voxels : int64 ndarray (n,)
        Flat index of the voxel that each face belongs to.
    directions : int8 ndarray (n,)
        2 · axis, looking to lower, or 2 · axis + 1, looking to higher coordinates.
    """

    objects: Objects
    n_objects: int
    voxel_size_um: VoxelSize
    voxels: Integers
    directions: Directions

    @classmethod
    def of(cls, objects: Objects, n_objects: int, voxel_size_um: VoxelSize) -> Faces:
        """The faces of objects numbered from 1."""
        voxels, directions = find_faces(objects, math.isnan(voxel_size_um[0]))
        return cls(objects, n_objects, voxel_size_um, voxels, directions)

    def areas_um2(self, is_wanted: NDArray[np.bool_] | None = None, beside: Objects | None = None) -> Floats:
        """Area of the smooth surface that each face (or each wanted one) stands for; NaN in planar images.

        Every face counts its area times the cosine between its normal and that of the surface, which for a plane of
        any orientation sums up to the plane's area. Where the surface turns sharply, as at edges, some is lost; not at
        the rim of a wall to what lies ``beside``.
        """
        picked = slice(None) if is_wanted is None else is_wanted
        if math.isnan(self.voxel_size_um[0]):
            return np.full(len(self.voxels[picked]), np.nan)
        sides = np.array(self.voxel_size_um)
        # Rounded, so that the window does not depend on the unit.
        spreads = np.clip(np.round(BLUR * sides.max() / sides, 6), BLUR, MOST_BLUR)
        reach = np.ceil(WINDOW * spreads).astype(np.int64)
        areas: Floats = face_areas(
            self.objects,
            self.objects if beside is None else beside,
            beside is not None,
            self.voxels[picked],
            self.directions[picked],
            sides,
            spreads,
            reach,
        )
        return areas

    def contacts(self, others: Objects, reach: Reach, *, is_same: bool = False, is_wall: bool = False) -> Contacts:
        """What lies within the gap of objects of another structure, or (``is_same``) of each other.

        The area of walls (``is_wall``) between what fills space, such as cells, does not lose at their rims.
        """
        n_others = int(others.max(initial=0))
        is_contact, keys = find_contacts(
            self.objects.shape, runs_of(self.objects), runs_of(others), (self.voxels, self.directions),
            reach.voxel_rows, *reach.face_rows, n_others, is_same,
        )  # fmt: skip
        owners = self.objects.ravel()[self.voxels[is_contact]] - 1
        area: Floats = np.bincount(
            owners, weights=self.areas_um2(is_contact, others if is_wall else None), minlength=self.n_objects
        ).astype(float)
        if math.isnan(self.voxel_size_um[0]):
            area = np.full(self.n_objects, math.nan)
        return Contacts(np.stack(np.divmod(keys, n_others + 1), axis=1), area)
