"""A coarser grid: means over blocks of voxels, and labels carried back to the fine voxels.

Splitting cells needs a landscape a few times finer than a cell, not the finest voxel. To coarsen by another rule, add a
function that takes the same ``factors``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Factors = tuple[int, int, int]
VoxelSize = tuple[float, float, float]


def block_factors(voxel_size_um: VoxelSize, target_um: float) -> Factors:
    """How many voxels z, y, x make a block of about ``target_um``; at least 1, and 1 where the size is NaN.

    Examples
    --------
    >>> block_factors((0.36, 0.1, 0.1), 0.3)
    (1, 3, 3)
    """
    factors = [max(1, round(target_um / size)) if math.isfinite(size) else 1 for size in voxel_size_um]
    return (factors[0], factors[1], factors[2])


def block_sums(voxels: NDArray[Any], factors: Factors) -> NDArray[np.float32]:
    """Sums over blocks (ceil(Z/fz), ceil(Y/fy), ceil(X/fx)), float32; blocks at the far border may be smaller."""
    n_z = voxels.shape[0]
    starts = [np.arange(0, size, factor) for size, factor in zip(voxels.shape, factors, strict=True)]
    sums = np.empty((len(starts[0]), len(starts[1]), len(starts[2])), dtype=np.float32)
    for block, z in enumerate(starts[0]):
        plane = voxels[z : min(z + factors[0], n_z)].sum(axis=0, dtype=np.float32)
        sums[block] = np.add.reduceat(np.add.reduceat(plane, starts[1], axis=0), starts[2], axis=1)
    return sums


def block_means(
    voxels: NDArray[Any], factors: Factors, inside: NDArray[np.bool_], *, empty: float = 0.0
) -> NDArray[np.float32]:
    """Mean of the finite voxels of each block that lie inside; ``empty`` where there are none."""
    starts = range(0, voxels.shape[0], factors[0])
    means = []
    for z in starts:
        slab = voxels[z : z + factors[0]]
        usable = inside[z : z + factors[0]] & np.isfinite(slab)
        total = block_sums(np.where(usable, slab, np.float32(0)), factors)
        count = block_sums(usable, factors)
        means.append(np.divide(total, count, out=np.full_like(total, empty), where=count > 0))
    return np.concatenate(means)


def block_sizes(shape: tuple[int, ...], factors: Factors) -> NDArray[np.float32]:
    """Voxels per block, smaller at the far borders; broadcastable to the coarse shape."""
    along = [np.minimum(factor, size - np.arange(0, size, factor)) for size, factor in zip(shape, factors, strict=True)]
    sizes = along[0][:, None, None] * along[1][None, :, None] * along[2][None, None, :]
    return np.asarray(sizes, dtype=np.float32)


def coarse_voxel_size(voxel_size_um: VoxelSize, factors: Factors) -> VoxelSize:
    """Size of a block z, y, x in µm."""
    return (voxel_size_um[0] * factors[0], voxel_size_um[1] * factors[1], voxel_size_um[2] * factors[2])


def fine_plane(coarse: NDArray[Any], z: int, shape: tuple[int, ...], factors: Factors) -> NDArray[Any]:
    """The fine plane ``z`` (Y, X) in which every voxel has the value of its block."""
    rows = np.arange(shape[1]) // factors[1]
    columns = np.arange(shape[2]) // factors[2]
    plane: NDArray[Any] = coarse[z // factors[0]][rows][:, columns]
    return plane
