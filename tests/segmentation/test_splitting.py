"""Touching cells split: geometry that is known."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.labels.settings import SplitSettings
from tomocyte.segmentation.splitting import split_own, split_touching


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


def test_own_labels_are_written_and_widened_only_where_they_must_be() -> None:
    """Two discs that touch at a point become two objects in the caller's array; the 255th object needs a wider type."""
    y, x = np.ogrid[:40, :80]
    discs = ((y - 20) ** 2 + (x - 20) ** 2 <= 18**2) | ((y - 20) ** 2 + (x - 58) ** 2 <= 18**2)
    discs |= (abs(y - 20) <= 4) & (abs(x - 39) <= 4)
    settings = SplitSettings(method="distance", min_separation_um=5, prominence=0.15)
    size = (float("nan"), 0.5, 0.5)
    own = discs[None].astype(np.uint8)
    assert split_own(own, discs[None].astype(np.float32), size, settings) is own
    assert sorted(np.unique(own)) == [0, 1, 2]
    assert len(np.unique(own[0, :, :35][discs[:, :35]])) == 1
    full = 255 * discs[None].astype(np.uint8)
    wider = split_own(full, discs[None].astype(np.float32), size, settings)
    assert (sorted(np.unique(wider)), wider.dtype) == ([0, 255, 256], np.uint16)
    untouched = discs[None].astype(np.uint8)
    assert split_own(untouched, own, size, SplitSettings(method="none")) is untouched
    assert untouched.max() == 1
