"""What follows from a voxel size alone: whether there is a thickness, the volume of a voxel, the area of a pixel."""

from __future__ import annotations

import math
from typing import Protocol

from tomocyte.volume import VoxelSize


class _HasVoxelSize(Protocol):
    @property
    def voxel_size_um(self) -> VoxelSize: ...


class OfVoxels:
    """Something with a ``voxel_size_um``, z, y, x in µm; z is NaN for planar images."""

    @property
    def is_2d(self: _HasVoxelSize) -> bool:
        """Whether it lies in a planar image whose thickness has no meaning."""
        return math.isnan(self.voxel_size_um[0])

    @property
    def voxel_volume_um3(self: _HasVoxelSize) -> float:
        """Volume of one voxel in µm³; NaN for planar images."""
        return math.prod(self.voxel_size_um)

    @property
    def pixel_area_um2(self: _HasVoxelSize) -> float:
        """Area of one pixel in the xy plane in µm²."""
        return math.prod(self.voxel_size_um[1:])
