"""Touching cells split: geometry that is known."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.labels.settings import SplitSettings
from tomocyte.segmentation.splitting import split_touching


@pytest.mark.parametrize("voxel_size_um", [(0.31, 0.17, 0.13), (0.8, 0.1, 0.1), (0.1, 0.1, 0.8)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_touching_spheres_part_at_the_plane_between(voxel_size_um: tuple[float, float, float], axis: int) -> None:
    radius, half = 5.0, 4.5
    extent = np.full(3, 2 * radius + 2)
    extent[axis] += 2 * half
    shape = np.ceil(extent / voxel_size_um).astype(int)
    grid = np.stack(
        [(np.arange(n) + 0.5) * size for n, size in zip(shape, voxel_size_um, strict=True)][axis : axis + 1]
    )
    z, y, x = np.meshgrid(
        *[(np.arange(n) + 0.5) * size for n, size in zip(shape, voxel_size_um, strict=True)], indexing="ij", sparse=True
    )
    centre = extent / 2
    mask = np.zeros(shape, dtype=bool)
    for side in (-half, half):
        at = centre.copy()
        at[axis] += side
        mask |= (z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2 <= radius**2
    settings = SplitSettings(method="distance", min_separation_um=5, prominence=0.15)
    labels = split_touching(mask.astype(np.uint8), mask.astype(np.float32), voxel_size_um, settings)
    assert sorted(np.unique(labels)) == [0, 1, 2]
    assert np.array_equal(labels > 0, mask)
    position = np.moveaxis(np.broadcast_to(grid[0], (*np.delete(shape, axis), shape[axis])), -1, axis)
    # Every voxel further from the plane than one block (0.5 µm with rounding) or one voxel is on its own side.
    reach = max(0.55, 1.05 * voxel_size_um[axis])
    for side in (-1, 1):
        there = mask & (side * (position - centre[axis]) > reach)
        assert len(np.unique(labels[there])) == 1
    assert np.mean((labels[mask] == labels[mask][0]) == (position[mask] < centre[axis])) > 0.98
