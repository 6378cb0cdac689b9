"""Watershed against scikit-image and geometry; seeds by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.segmentation import watershed

from tomocyte.errors import SettingsError
from tomocyte.labels.watershed import find_seeds, seeded_watershed


@pytest.mark.parametrize("connectivity", [1, 3])
@pytest.mark.parametrize("seed", [1, 2])
def test_labels_equal_those_of_scikit_image(connectivity: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    landscape = ndimage.gaussian_filter(rng.normal(size=(40, 70, 90)), 2).astype(np.float32)
    mask = ndimage.gaussian_filter(rng.normal(size=landscape.shape), 3) > -0.05
    seeds = np.zeros(landscape.shape, dtype=int)
    seeds.ravel()[rng.choice(seeds.size, 50, replace=False)] = np.arange(1, 51)
    ours = seeded_watershed(landscape, seeds, mask, connectivity=connectivity)
    theirs = watershed(landscape, seeds, mask=mask, connectivity=connectivity)
    assert np.mean(ours == theirs) >= 0.9999
    assert not ours[~mask].any()


def test_plateaus_are_shared_by_distance_as_in_scikit_image() -> None:
    landscape = np.random.default_rng(0).integers(0, 3, size=(9, 11, 13)).astype(np.float32)
    seeds = np.zeros(landscape.shape, dtype=int)
    seeds[0, 0, 0], seeds[8, 10, 12], seeds[4, 5, 6] = 1, 2, 3
    mask = np.ones(landscape.shape, dtype=bool)
    assert np.array_equal(seeded_watershed(landscape, seeds, mask), watershed(landscape, seeds, mask=mask))


def test_watershed_edge_cases() -> None:
    flat = np.zeros((2, 3, 4), dtype=np.float32)
    inside = np.ones(flat.shape, dtype=bool)
    seeds = np.zeros(flat.shape, dtype=np.uint32)
    assert not seeded_watershed(flat, seeds, inside).any()
    seeds[0, 0, 0] = 70_000
    assert np.all(seeded_watershed(flat, seeds, inside) == 70_000)
    assert np.all(seeded_watershed(np.full_like(flat, np.nan), seeds, inside) == 70_000)
    assert not seeded_watershed(flat, seeds, ~inside).any()
    with pytest.raises(SettingsError, match="E-SHAPE"):
        seeded_watershed(flat, seeds[:1], inside)


def hills(*heights: float) -> tuple[np.ndarray, np.ndarray]:
    row = np.array([[heights]], dtype=np.float32)
    return row, row > 0


@pytest.mark.parametrize(
    ("prominence", "expected"),
    [(0.0, [1, 3, 5]), (0.3, [1, 5]), (0.49, [1, 5]), (0.51, [1]), (1.0, [1])],
)
def test_seeds_by_prominence(prominence: float, expected: list[int]) -> None:
    # Peak 7 stands 2/7 = 0.29 over its saddle to 10; peak 8 stands 0.5 over the saddle 4 beyond it.
    height, mask = hills(1, 10, 5, 7, 4, 8, 1)
    seeds = find_seeds(height, mask, prominence=prominence, min_separation_um=0.1, voxel_size_um=(1, 1, 1))
    assert np.flatnonzero(seeds[0, 0]).tolist() == expected


def test_seeds_by_separation_in_um_along_each_axis() -> None:
    for axis, size in enumerate((0.8, 0.3, 0.1)):
        shape = [3, 3, 3]
        shape[axis] = 5
        height = np.ones(shape, dtype=np.float32)
        middle = [1, 1, 1]
        for position, value in ((0, 5.0), (4, 4.0)):
            middle[axis] = position
            height[tuple(middle)] = value
        for separation, n in ((4 * size * 0.99, 2), (4 * size * 1.01, 1)):
            found = find_seeds(
                height, height > 0, prominence=0.1, min_separation_um=separation, voxel_size_um=(0.8, 0.3, 0.1)
            )
            assert found.max() == n


def test_small_hills_are_no_seeds() -> None:
    height, mask = hills(9, 8, 7, 1, 6, 1, 8, 7)
    found = [
        int(
            find_seeds(height, mask, prominence=0.2, min_separation_um=0.5, voxel_size_um=(1, 1, 1), min_voxels=n).max()
        )
        for n in (1, 2, 3)
    ]
    assert found == [3, 2, 1]


def test_each_part_of_the_mask_has_a_seed() -> None:
    height, mask = hills(3, 0, 2, 0, 1)
    found = find_seeds(height, mask, prominence=1.0, min_separation_um=50, voxel_size_um=(1, 1, 1))
    assert found.tolist() == [[[1, 0, 2, 0, 3]]]
    assert not find_seeds(height, np.zeros_like(mask), prominence=0, min_separation_um=1, voxel_size_um=(1, 1, 1)).any()
