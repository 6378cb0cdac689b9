"""Position and form of an object from its mask, computed once and shared by all channels.

To give measurements a new shared quantity of the mask, add a ``cached_property`` here; keep it lean, an object may
fill the volume.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tomocyte.measurements._kernels import Runs, row_runs
from tomocyte.measurements._label_runs import label_runs
from tomocyte.measurements._skeleton import Skeleton, skeleton_of
from tomocyte.measurements.shapes import Shapes
from tomocyte.measurements.voxel_size import OfVoxels
from tomocyte.volume import VoxelSize


@dataclass(frozen=True)
class Geometry(OfVoxels):
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

    @cached_property
    def runs(self) -> Runs:
        """The mask as runs along x: first run of each row, starts, stops."""
        runs: Runs = row_runs(np.ascontiguousarray(self.mask))
        return runs

    @cached_property
    def shapes(self) -> Shapes:
        """The mask as the one object of its box; of none where the mask is empty."""
        return Shapes(label_runs(self.mask), self.voxel_size_um)

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
