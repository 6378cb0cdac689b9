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

from tomocyte.measurements._crofton import mean_projection
from tomocyte.measurements._kernels import Runs, row_runs, run_moments
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
    def moments(self) -> Moments:
        """Number of voxels, centre and covariance, from exact integer sums."""
        n, *sums = (int(value) for value in run_moments(self.mask.shape[1], *self.runs))
        if n == 0:
            return Moments(0, np.full(3, np.nan), np.full((3, 3), np.nan))
        first, second = sums[:3], sums[3:]
        covariance = np.empty((3, 3))
        for (row, column), total in zip(((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)), second, strict=True):
            # Python integers: the difference of two large sums is exact.
            value = (n * total - first[row] * first[column]) / (n * n)
            covariance[row, column] = covariance[column, row] = value + (1 / 12 if row == column else 0.0)
        return Moments(n, np.array([value / n for value in first]), covariance)

    @cached_property
    def box_size(self) -> tuple[int, int, int]:
        """Voxels z, y, x of the tight bounding box; zeros for an empty mask."""
        first, starts, stops = self.runs
        if starts.size == 0:
            return 0, 0, 0
        occupied = (np.diff(first) > 0).reshape(self.mask.shape[:2])
        z = np.flatnonzero(occupied.any(axis=1))
        y = np.flatnonzero(occupied.any(axis=0))
        return int(z[-1] - z[0] + 1), int(y[-1] - y[0] + 1), int(stops.max() - starts.min())

    @cached_property
    def cut_sides(self) -> NDArray[np.bool_]:
        """(3, 2): whether the object is cut by the low and the high border along z, y, x.

        The box has an empty margin wherever the volume goes on, so an object voxel on the box's face lies at the
        border. A planar image has no border along z.
        """
        faces = [[bool(self.mask.take(end, axis=axis).any()) for end in (0, -1)] for axis in range(3)]
        if self.is_2d:
            faces[0] = [False, False]
        return np.array(faces, dtype=np.bool_)

    @cached_property
    def mean_projection(self) -> float:
        """Mean shadow over all directions in µm² (planar images: in the plane, µm), free of the border's cut."""
        return mean_projection(self.mask.shape[:3], self.runs, self.cut_sides, self.voxel_size_um, is_2d=self.is_2d)

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
