"""Position and form of all objects of a label image from their runs, computed once and shared by all channels.

To give measurements a new shared quantity of the masks, add a ``cached_property`` here, an array over the objects, and
the same for one object in :class:`~tomocyte.measurements.geometry.Geometry`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tomocyte.measurements import _object_kernels as kernels
from tomocyte.measurements._crofton import (
    REACHES,
    SMALLEST_OVERLAP,
    Directions,
    directions,
    effect_of_edges,
    extrapolated,
    extrapolated_smooth,
)
from tomocyte.measurements._kernels import Integers
from tomocyte.measurements._label_runs import LabelRuns
from tomocyte.measurements._marching_cubes import case_areas
from tomocyte.measurements.voxel_size import OfVoxels
from tomocyte.volume import VoxelSize

Floats = NDArray[np.float64]
# Positions in the sums of a kernel of zz, zy, zx, yz, yy, yx, xz, xy, xx.
SECOND = ((4, 7, 8), (7, 5, 9), (8, 9, 6))
SMALLEST_RADIUS_VOXELS = 3.0
SMALLEST_EXTENT_VOXELS = 3


@dataclass(frozen=True, eq=False)
class Shapes(OfVoxels):
    """The masks of all objects and what follows from them; every array has one entry per object.

    Parameters
    ----------
    runs : LabelRuns
    voxel_size_um : tuple of 3 float
        z, y, x; z is NaN for planar images.
    """

    runs: LabelRuns
    voxel_size_um: VoxelSize

    @cached_property
    def boxes(self) -> Integers:
        """(n, 6): tight bounding boxes, start and stop along z, y, x."""
        boxes: Integers = kernels.object_boxes(*self._arguments)
        return boxes

    @cached_property
    def _sums(self) -> Integers:
        sums: Integers = kernels.object_sums(*self._arguments, self.boxes)
        return sums

    @property
    def n_voxels(self) -> Integers:
        """(n,): number of voxels."""
        return self._sums[:, 0]

    @property
    def box_size(self) -> tuple[Integers, Integers, Integers]:
        """Voxels z, y, x of the tight bounding boxes, (n,) each."""
        sides = self.boxes[:, 1::2] - self.boxes[:, 0::2]
        return sides[:, 0], sides[:, 1], sides[:, 2]

    @cached_property
    def centre(self) -> Floats:
        """(n, 3): mean voxel index z, y, x in the volume."""
        centre: Floats = self.boxes[:, 0::2] + self._sums[:, 1:4] / self._sums[:, :1]
        return centre

    @cached_property
    def covariance(self) -> Floats:
        """(n, 3, 3): of the position in voxels², of solid voxels (a single voxel has 1/12 along each axis)."""
        n = self._sums[:, 0]
        first = self._sums[:, 1:4]
        # Sums around the voxel nearest to the centre: whole numbers, so that no digits are lost when they are moved.
        middle = np.rint(first / n[:, None]).astype(np.int64)
        covariance = np.empty((len(n), 3, 3))
        for row in range(3):
            for column in range(3):
                a, b = middle[:, row], middle[:, column]
                moved = self._sums[:, SECOND[row][column]] - a * first[:, column] - b * first[:, row] + n * a * b
                apart = (first[:, row] - n * a) / n * ((first[:, column] - n * b) / n)
                covariance[:, row, column] = moved / n - apart + (1 / 12 if row == column else 0.0)
        return covariance

    @cached_property
    def axis_lengths_um(self) -> tuple[Floats, Floats, Floats]:
        """Full axes in µm, longest first, of the ellipsoids with the objects' covariance, (n,) each.

        In planar images the ellipse has two; the third is NaN.
        """
        axes = [1, 2] if self.is_2d else [0, 1, 2]
        sizes = np.array(self.voxel_size_um)[axes]
        spread = np.linalg.eigvalsh(self.covariance[:, axes][:, :, axes] * np.outer(sizes, sizes))[:, ::-1]
        # A solid ellipsoid with semi-axis a has the variance a²/5 along it, an ellipse a²/4.
        lengths = 2.0 * np.sqrt((len(axes) + 2) * np.maximum(spread, 0.0))
        last = np.full(len(self.runs), np.nan) if self.is_2d else lengths[:, 2]
        return lengths[:, 0], lengths[:, 1], last

    @cached_property
    def n_projected_pixels(self) -> Integers:
        """(n,): number of pixels covered seen along z."""
        counts: Integers = kernels.object_shadows(*self._arguments, self.boxes)
        return counts

    @cached_property
    def euler_number(self) -> Integers:
        """(n,): objects minus tunnels plus cavities, with voxels joined at corners."""
        numbers: Integers = kernels.object_euler_numbers(*self._arguments, self.boxes)
        return numbers

    @cached_property
    def cut_sides(self) -> NDArray[np.bool_]:
        """(n, 3, 2): whether the low and the high border along z, y, x cut an object; never along z of an image."""
        sides = np.empty((len(self.runs), 3, 2), np.bool_)
        sides[:, :, 0] = self.boxes[:, 0::2] == 0
        sides[:, :, 1] = self.boxes[:, 1::2] == self.runs.shape
        if self.is_2d:
            sides[:, 0] = False
        return sides

    @property
    def is_cut(self) -> NDArray[np.bool_]:
        """(n,): whether an object touches a border of the volume."""
        return np.array(self.cut_sides.any(axis=(1, 2)))

    @cached_property
    def is_large_enough(self) -> NDArray[np.bool_]:
        """(n,): whether there are voxels enough to estimate a surface: 3 of radius, and 3 along every axis."""
        radius = SMALLEST_RADIUS_VOXELS
        smallest_count = math.pi * radius**2 if self.is_2d else 4 / 3 * math.pi * radius**3
        sides = np.stack(self.box_size[1:] if self.is_2d else self.box_size)
        is_thick = np.logical_and.reduce(sides >= SMALLEST_EXTENT_VOXELS, axis=0)
        return np.array(is_thick & (self.n_voxels >= smallest_count))

    @cached_property
    def mean_projection(self) -> Floats:
        """(n,): mean shadow over all directions in µm² (planar images: in the plane, µm), free of the border's cut.

        NaN for objects that are too small, or thinner than the shortest steps.
        """
        measured = self.is_large_enough
        if self.is_2d:
            shadows, _ = self._shadows(directions(self.voxel_size_um, is_2d=True), measured, 2)
            return np.where(measured, extrapolated_smooth(shadows), np.nan)
        projection = np.full(len(self.runs), np.nan)
        thinnest_um = (np.stack(self.box_size, axis=1) * np.array(self.voxel_size_um)).min(axis=1, initial=math.inf)
        # The longest steps whose triple leaves a part of the object on itself.
        for reach in REACHES[:-1]:
            lines = directions(self.voxel_size_um, reach=reach)
            is_tried = measured & np.isnan(projection)
            if reach != REACHES[-2]:
                is_tried &= thinnest_um > 3 * lines.lengths.max()
            shadows, overlap = self._shadows(lines, is_tried, 3)
            is_solid = is_tried & (overlap[:, 2] > SMALLEST_OVERLAP)
            effect = effect_of_edges(shadows[is_solid])
            smooth = extrapolated_smooth(shadows[is_solid])
            is_large = reach == REACHES[0]
            projection[is_solid] = extrapolated(shadows[is_solid]) if is_large else smooth * (1 + effect)
        is_thin = measured & np.isnan(projection)
        projection[is_thin] = self._thin(is_thin, shadows, overlap, lines)[is_thin]
        return projection

    def _thin(self, is_thin: NDArray[np.bool_], shadows: Floats, overlap: Floats, lines: Directions) -> Floats:
        """Mean shadows (n,) of objects that are thinner than three steps: of two, or of one; else NaN.

        The edges, of which two steps know nothing, are those that the shortest steps see, where they fit three times.
        """
        short = directions(self.voxel_size_um, reach=REACHES[-1])
        seen, left = self._shadows(short, is_thin, 3)
        with_short = np.where(left[:, 0] > SMALLEST_OVERLAP, extrapolated_smooth(seen), np.nan)
        # What edges take off grows with the length of the step.
        longer = (lines.weights @ lines.lengths) / (short.weights @ short.lengths)
        effect = np.where(left[:, 2] > SMALLEST_OVERLAP, longer * effect_of_edges(seen), 0.0)
        return np.where(overlap[:, 0] > SMALLEST_OVERLAP, extrapolated_smooth(shadows) * (1 + effect), with_short)

    def _shadows(self, lines: Directions, is_measured: NDArray[np.bool_], n_factors: int) -> tuple[Floats, Floats]:
        """(n, factors) each: mean shadow seen with the steps, their double, …; the least part that they leave."""
        size = math.prod(self.voxel_size_um[1:] if self.is_2d else self.voxel_size_um)
        # A line through the object crosses its surface twice, hence the halves.
        weights = lines.weights / lines.lengths * (size / 2)
        sums, largest = kernels.object_crossings(
            *self._arguments, self.boxes, self.cut_sides, is_measured, lines.steps, weights, n_factors
        )
        return sums, 1 - largest / 2 / self.n_voxels[:, None]

    @cached_property
    def mesh_area(self) -> Floats:
        """(n,): area in µm² of the triangles of marching cubes, free of the border's cut.

        NaN for planar images and for objects that are too small.
        """
        if self.is_2d:
            return np.full(len(self.runs), np.nan)
        areas = case_areas(self.voxel_size_um)
        totals = kernels.object_mesh_areas(*self._arguments, self.boxes, self.cut_sides, areas)
        return np.where(self.is_large_enough, totals, np.nan)

    @property
    def _arguments(self) -> tuple[int, Integers, kernels.Indices, kernels.Indices, kernels.Indices]:
        runs = self.runs
        return runs.shape[1], runs.first, runs.rows, runs.starts, runs.stops
