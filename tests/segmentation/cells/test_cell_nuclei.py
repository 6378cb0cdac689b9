"""Nuclei as seeds of cells; nuclei that share a cell."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from tomocyte.segmentation.cells.nuclei import (
    contact_areas_um2,
    flooded_regions,
    on_grid,
    seeds_of,
    shared_cells,
    together,
)
from tomocyte.segmentation.cells.windows import (
    CellByCellSettings,
    make_grid,
)

SETTINGS = CellByCellSettings()


def balls(*centres_um: tuple[float, float, float], radius_um: float = 3.0) -> NDArray[np.bool_]:
    size = (0.5, 0.25, 0.2)
    z, y, x = (axis * length for axis, length in zip(np.ogrid[:24, :64, :120], size, strict=True))
    inside = [(z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2 <= radius_um**2 for a, b, c in centres_um]
    return np.logical_or.reduce(inside)


def test_touching_nuclei_are_told_apart_and_a_single_one_is_not() -> None:
    size = (0.5, 0.25, 0.2)
    two, n_split, n_crumbs = seeds_of(balls((6, 8, 8), (6, 8, 13.2)), size, SETTINGS)
    assert (int(two.max()), n_split, n_crumbs) == (2, 1, 0)
    halves = np.bincount(two.ravel())[1:]
    assert abs(halves[0] - halves[1]) < 0.05 * halves.sum()
    one, n_split, n_crumbs = seeds_of(balls((6, 8, 8)), size, SETTINGS)
    assert (int(one.max()), n_split, n_crumbs) == (1, 0, 0)


def test_labels_of_nuclei_are_kept_apart() -> None:
    row = np.zeros((4, 8, 20), dtype=np.uint16)
    row[:, :, 2:10], row[:, :, 10:18] = 7, 3
    found, n_split, _ = seeds_of(row, (0.5, 0.5, 0.5), SETTINGS)
    assert n_split == 0
    assert found[0, 0].tolist() == [0, 0, *[1] * 8, *[2] * 8, 0, 0]


def test_a_nucleus_between_the_grids_voxels_is_not_lost() -> None:
    fine = np.zeros((4, 40, 40), dtype=np.uint8)
    fine[1, 20, 13] = 1
    grid = make_grid(fine.shape, (0.5, 0.1, 0.1), SETTINGS)  # type: ignore[arg-type]
    found = on_grid(fine, grid)
    assert np.argwhere(found == 1).tolist() == [[1, 4, 2]]


def test_halves_of_a_ball_share_a_cell_and_squares_of_a_carpet_do_not() -> None:
    z, y, x = np.ogrid[:24, :24, :24]
    ball = (z - 11.5) ** 2 + (y - 11.5) ** 2 + (x - 11.5) ** 2 <= 11**2
    halves = np.where(ball, np.where(x < 12, 1, 2), 0)
    nuclei = np.zeros_like(halves)
    nuclei[8:16, 8:16, 9:12], nuclei[8:16, 8:16, 13:16] = 1, 2
    assert shared_cells(nuclei, halves, (0.5, 0.5, 0.5), SETTINGS) == {(1, 2)}
    carpet = np.broadcast_to(np.where(np.arange(48) < 24, 1, 2), (6, 24, 48)).astype(np.uint32)
    near = np.zeros_like(carpet)
    near[2:4, 10:14, 20:23], near[2:4, 10:14, 25:28] = 1, 2
    assert shared_cells(near, carpet, (0.5, 0.5, 0.5), SETTINGS) == set()
    apart = np.zeros_like(halves)
    apart[10:14, 10:14, 3:5], apart[10:14, 10:14, 19:21] = 1, 2
    # 7.5 um between their nearest voxels: a contact of 1.9 is asked to be 0.85 + 0.09 * 7.5 = 1.5.
    assert shared_cells(apart, halves, (0.5, 0.5, 0.5), SETTINGS) == {(1, 2)}
    for change in ({"joined_gap_um": 7.0}, {"joined_contact_per_um": 0.15}):
        assert shared_cells(apart, halves, (0.5, 0.5, 0.5), SETTINGS.model_copy(update=change)) == set()


def test_contact_is_an_area_in_um2() -> None:
    labels = np.zeros((4, 5, 6), dtype=np.uint32)
    labels[:, :, :3], labels[:, :, 3:] = 1, 2
    assert contact_areas_um2(labels, (0.5, 0.4, 0.3)) == {(1, 2): pytest.approx(4 * 0.5 * 5 * 0.4)}
    stacked = labels.transpose(2, 0, 1)
    assert contact_areas_um2(stacked, (0.5, 0.4, 0.3)) == {(1, 2): pytest.approx(4 * 0.4 * 5 * 0.3)}


def test_chains_of_pairs_are_one_group() -> None:
    assert together([1, 2, 3, 4, 5], {(4, 5), (1, 2), (2, 4)}) == {1: 1, 2: 1, 3: 3, 4: 1, 5: 1}
    assert together([1, 2], set()) == {1: 1, 2: 2}


def test_regions_are_scikit_images_watershed_of_the_depth() -> None:
    """Two touching balls; depths differ from voxel to voxel, so that no tie is left to the order of the flood."""
    size = (0.5, 0.25, 0.2)
    membrane = balls((6, 8, 8), (6, 8, 13))
    depth = ndimage.distance_transform_edt(membrane, sampling=size)
    depth = (depth + 1e-3 * np.random.default_rng(1).random(depth.shape)).astype(np.float32)
    nuclei = np.zeros(membrane.shape, np.uint32)
    nuclei[12, 32, 40], nuclei[12, 32, 65] = 1, 2
    regions = flooded_regions(membrane, nuclei, depth)
    expected = watershed(-depth, nuclei, mask=membrane)
    assert np.mean(regions[membrane] == expected[membrane]) > 0.99
    np.testing.assert_array_equal(regions > 0, membrane)


def test_without_a_nucleus_there_is_no_region() -> None:
    nothing = flooded_regions(np.ones((2, 3, 4), bool), np.zeros((2, 3, 4), np.uint8), np.ones((2, 3, 4), np.float32))
    assert (nothing.dtype, nothing.any()) == (np.uint32, np.False_)
