"""The triangles that marching cubes puts between eight voxels of a mask, and their area.

Of a mask there are 256 cases. Their triangles are those of scikit-image (Lewiner et al. 2003,
doi:10.1080/10867651.2003.10487582), asked once.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from tomocyte.volume import VoxelSize


@cache
def case_triangles() -> tuple[NDArray[np.float64], ...]:
    """Corners of the triangles (n, 3 corners, 3 axes) of each of the 256 cases, in voxel sides from the first voxel.

    In the number of a case, the voxel at z, y, x (0 or 1 each) has the bit 4 z + 2 y + x.
    """
    from skimage.measure import marching_cubes

    triangles = [np.empty((0, 3, 3))] * 256
    for case in range(1, 255):
        voxels = ((case >> np.arange(8)) & 1).reshape(2, 2, 2).astype(np.float32)
        corners, faces, _, _ = marching_cubes(voxels, 0.5, allow_degenerate=False)
        triangles[case] = corners[faces].astype(np.float64)
    return tuple(triangles)


def case_areas(voxel_size_um: VoxelSize) -> NDArray[np.float64]:
    """Area (256,) in µm² of the triangles of each case."""
    areas = np.zeros(256)
    for case, triangles in enumerate(case_triangles()):
        corners = triangles * np.array(voxel_size_um)
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        areas[case] = np.linalg.norm(normals, axis=1).sum() / 2
    return areas
