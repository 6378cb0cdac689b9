"""Distances of voxels to the border of a mask, in µm.

To measure another distance, add a function here that takes a mask (Z, Y, X) and the voxel size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tomocyte.volume import VoxelSize

Mask = NDArray[np.bool_]


def distance_um(mask: Mask, voxel_size_um: VoxelSize) -> NDArray[np.float32]:
    """Distance of each voxel of the mask to the nearest voxel outside it, in µm; the image's border counts as inside.

    A mask without any voxel outside has no such distance: it is 0 everywhere.

    Examples
    --------
    >>> distance_um(np.array([[[False, True, True]]]), (float("nan"), 0.5, 0.25)).tolist()
    [[[0.0, 0.25, 0.5]]]
    """
    import edt

    if mask.all():
        return np.zeros(mask.shape, dtype=np.float32)
    if mask.shape[0] == 1:
        plane = edt.edt(np.ascontiguousarray(mask[0]), anisotropy=voxel_size_um[1:], parallel=1)
        return np.asarray(plane[None], dtype=np.float32)
    return np.asarray(edt.edt(np.ascontiguousarray(mask), anisotropy=voxel_size_um, parallel=1), dtype=np.float32)
