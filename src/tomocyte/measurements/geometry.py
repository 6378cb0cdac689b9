"""Position and form of an object from its mask, computed once and shared by all channels.

To give measurements a new shared quantity of the mask, add a ``cached_property`` here; keep it lean, an object may
fill the volume.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tomocyte.measurements._kernels import Runs, row_runs
from tomocyte.measurements._label_runs import label_runs
from tomocyte.measurements._skeleton import Skeleton, skeleton_of
from tomocyte.measurements.shapes import Shapes
from tomocyte.volume import VoxelSize


@dataclass(frozen=True)
class Moments:
    """Sums over an object's voxels.

    Parameters
    ----------
    n_voxels : int
    centre : float64 ndarray (3,)
        Mean voxel index z, y, x in the region's box.
    covariance : float64 ndarray (3, 3)
        Of the position, in voxels², of the solid voxels (a single voxel has 1/12 along each axis).
    """

    n_voxels: int
    centre: NDArray[np.float64]
    covariance: NDArray[np.float64]


@dataclass(frozen=True)
class Geometry:
    """The mask of one object and what follows from it.

    Parameters
    ----------
    mask : bool ndarray (z, y, x)
        The object, cropped to its bounding box plus one empty voxel where the volume allows.
    voxel_size_um : tuple of 3 float
        z, y, x; z is NaN for planar images.
    """

    mask: NDArray[np.bool_]
    voxel_size_um: VoxelSize

    @property
    def is_2d(self) -> bool:
        """Whether the object lies in a planar image whose thickness has no meaning."""
        return math.isnan(self.voxel_size_um[0])

    @cached_property
    def runs(self) -> Runs:
        """The mask as runs along x: first run of each row, starts, stops."""
        runs: Runs = row_runs(np.ascontiguousarray(self.mask))
        return runs

    @cached_property
    def shapes(self) -> Shapes:
        """The mask as the one object of its box; of none where the mask is empty."""
        return Shapes(label_runs(self.mask), self.voxel_size_um)

    @property
    def is_empty(self) -> bool:
        """Whether the mask holds no voxel."""
        return len(self.shapes.runs) == 0

    @cached_property
    def moments(self) -> Moments:
        """Number of voxels, centre and covariance, from exact integer sums."""
        if self.is_empty:
            return Moments(0, np.full(3, np.nan), np.full((3, 3), np.nan))
        return Moments(int(self.shapes.n_voxels[0]), self.shapes.centre[0], self.shapes.covariance[0])

    @cached_property
    def box_size(self) -> tuple[int, int, int]:
        """Voxels z, y, x of the tight bounding box; zeros for an empty mask."""
        if self.is_empty:
            return 0, 0, 0
        z, y, x = (int(side[0]) for side in self.shapes.box_size)
        return z, y, x

    @cached_property
    def cut_sides(self) -> NDArray[np.bool_]:
        """(3, 2): whether the object is cut by the low and the high border along z, y, x.

        The box has an empty margin wherever the volume goes on, so an object voxel on the box's face lies at the
        border. A planar image has no border along z.
        """
        return np.zeros((3, 2), np.bool_) if self.is_empty else self.shapes.cut_sides[0]

    @property
    def n_projected_pixels(self) -> int:
        """Number of pixels covered seen along z."""
        return 0 if self.is_empty else int(self.shapes.n_projected_pixels[0])

    @property
    def euler_number(self) -> int:
        """Objects minus tunnels plus cavities, with voxels joined at corners."""
        return 0 if self.is_empty else int(self.shapes.euler_number[0])

    @property
    def axis_lengths_um(self) -> tuple[float, float, float]:
        """Full axes in µm, longest first, of the ellipsoid of the same covariance; NaN for an empty mask."""
        if self.is_empty:
            return math.nan, math.nan, math.nan
        first, second, third = (float(length[0]) for length in self.shapes.axis_lengths_um)
        return first, second, third

    @cached_property
    def mean_projection(self) -> float:
        """Mean shadow over all directions in µm² (planar images: in the plane, µm), free of the border's cut.

        NaN for an object that is too small.
        """
        return math.nan if self.is_empty else float(self.shapes.mean_projection[0])

    @property
    def mesh_area(self) -> float:
        """Area of the triangles of marching cubes in µm²; NaN for planar images and objects that are too small."""
        return math.nan if self.is_empty else float(self.shapes.mesh_area[0])

    @cached_property
    def skeleton(self) -> Skeleton:
        """The centre line as a graph."""
        return skeleton_of(self.mask, self.voxel_size_um)

    @cached_property
    def surface_corners(self) -> NDArray[np.int32]:
        """Corners of voxels (n, 3) on the object's surface, in voxel sides z, y, x from the low corner of the box.

        Voxel i reaches from corner i to i + 1. A corner lies on the surface when some, not all, of the voxels that
        meet in it belong to the object; what lies beyond the border of the volume is taken to go on as it is there, so
        that the cut itself is no surface. In planar images the corners lie in the plane (z = 0).
        """
        padded = np.pad(self.mask, 1, mode="edge")
        touches, fills = padded, padded
        for low, high in (
            (np.s_[:-1], np.s_[1:]),
            (np.s_[:, :-1], np.s_[:, 1:]),
            (np.s_[:, :, :-1], np.s_[:, :, 1:]),
        ):
            touches, fills = touches[low] | touches[high], fills[low] & fills[high]
        corners = np.argwhere(touches & ~fills).astype(np.int32)
        return corners[corners[:, 0] == 0] if self.is_2d else corners
