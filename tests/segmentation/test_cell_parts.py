"""The parts of telling cells apart: windows, votes, nuclei and what nobody claims."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.segmentation.cells.nuclei import contact_areas_um2, on_grid, seeds_of, shared_cells, together
from tomocyte.segmentation.cells.unclaimed import anchored, place_rest
from tomocyte.segmentation.cells.votes import FULL, Votes, paint_cells
from tomocyte.segmentation.cells.windows import (
    CellByCellSettings,
    Evidence,
    Window,
    batches_of,
    make_grid,
    plan_windows,
    window_input,
)

SETTINGS = CellByCellSettings()


def test_grid_has_the_voxel_size_asked_for() -> None:
    grid = make_grid((40, 100, 90), (0.25, 0.1, 0.2), SETTINGS)
    assert grid.shape == (20, 20, 36)
    assert grid.voxel_size_um == pytest.approx((0.5, 0.5, 0.5))
    assert grid.voxels_of(1.0) == pytest.approx(8)
    flat = make_grid((1, 100, 90), (math.nan, 0.1, 0.2), SETTINGS)
    assert flat.shape == (1, 20, 36)
    assert flat.voxels_of(1.0) == pytest.approx(4)


def test_grid_takes_the_nearest_voxel() -> None:
    grid = make_grid((2, 4, 6), (0.5, 0.25, 0.25), SETTINGS)
    fine = np.arange(48).reshape(2, 4, 6)
    assert grid.sampled(fine).tolist() == fine[:, 1::2, 1::2].tolist()


@pytest.mark.parametrize("grid_shape", [(12, 30, 40), (5, 17, 9)])
def test_windows_hold_their_region_and_its_margin(grid_shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(2)
    settings = CellByCellSettings(voxel_size_um=(0.5, 0.25, 1.0), margin_um=1.0, divisor=(2, 4, 8))
    grid = make_grid(grid_shape, (0.5, 0.25, 1.0), settings)
    nuclei = np.zeros(grid_shape, dtype=np.uint32)
    regions = np.zeros(grid_shape, dtype=np.uint32)
    for label in (1, 2, 3):
        corner = [int(rng.integers(0, n - 3)) for n in grid_shape]
        nuclei[tuple(slice(at, at + 2) for at in corner)] = label
    regions[nuclei != 0] = nuclei[nuclei != 0]
    windows = plan_windows(nuclei, regions, grid, settings)
    present = {int(label) for label in np.unique(nuclei) if label}
    assert {window.label for window in windows} == present
    for window in windows:
        assert all(size % unit == 0 for size, unit in zip(window.shape, settings.divisor, strict=True))
        places = np.argwhere(nuclei == window.label)
        for axis, margin in enumerate((2, 4, 1)):
            low = max(int(places[:, axis].min()) - margin, 0)
            high = min(int(places[:, axis].max()) + 1 + margin, grid_shape[axis])
            assert window.start[axis] <= low
            assert window.start[axis] + window.shape[axis] >= high


def test_batches_have_windows_of_one_size_and_not_too_many() -> None:
    shapes = [(2, 2, 2)] * 5 + [(2, 2, 4)] * 2 + [(9, 9, 9)]
    windows = [Window(number, (0, 0, 0), shape) for number, shape in enumerate(shapes)]
    batches = list(batches_of(windows, 24))
    assert [[window.label for window in batch] for batch in batches] == [[0, 1, 2], [3, 4], [5], [6], [7]]


def test_beyond_the_grid_there_is_nothing() -> None:
    nuclei = np.full((2, 3, 4), 5, dtype=np.uint32)
    seen = window_input(Window(5, (-1, 0, 2), (4, 3, 4)), Evidence(nuclei > 0, nuclei))
    expected = np.zeros((4, 3, 4))
    expected[1:3, :, :2] = 1
    assert np.array_equal(seen[0], expected)
    assert np.array_equal(seen[1], expected)
    assert not seen[2].any()


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_votes_do_not_depend_on_their_order(order: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    claims = rng.random((3, 4, 5, 6)).astype(np.float32)
    claims[:, 0] = 0.25  # equal votes
    votes = Votes.empty((4, 5, 6))
    inside = np.ones((4, 5, 6), dtype=bool)
    for index in order:
        votes.cast(Window(index + 1, (0, 0, 0), (4, 5, 6)), claims[index], inside)
    ranked = np.sort(claims, axis=0)
    assert np.array_equal(votes.label, claims.argmax(axis=0) + 1)
    assert np.abs(votes.best / FULL - ranked[-1]).max() < 1e-5
    assert np.abs(votes.second / FULL - ranked[-2]).max() < 1e-5


def test_votes_count_inside_the_mask_and_the_window_only() -> None:
    votes = Votes.empty((2, 3, 4))
    inside = np.zeros((2, 3, 4), dtype=bool)
    inside[:, 1] = True
    votes.cast(Window(7, (1, 0, -1), (2, 3, 4)), np.ones((2, 3, 4), np.float32), inside)
    expected = np.zeros((2, 3, 4))
    expected[1, 1, :3] = 7
    assert np.array_equal(votes.label, expected)


def test_painting_is_the_linear_interpolation_of_every_cells_probability() -> None:
    rng = np.random.default_rng(4)
    coarse, fine = (4, 5, 6), (9, 10, 21)
    cells = rng.integers(0, 4, coarse).astype(np.uint32)
    share = rng.integers(1, FULL, coarse).astype(np.uint16)
    places = np.meshgrid(
        *[np.clip((np.arange(n) + 0.5) * m / n - 0.5, 0, m - 1) for n, m in zip(fine, coarse, strict=True)],
        indexing="ij",
    )
    each = [
        ndimage.map_coordinates(np.where(cells == label, share, 0).astype(float), places, order=1)
        for label in (1, 2, 3)
    ]
    best = np.max(each, axis=0)
    expected = np.where(best > 1e-6, np.argmax(each, axis=0) + 1, 0)
    clear = np.sort(each, axis=0)[-1] - np.sort(each, axis=0)[-2] > 1e-3 * FULL
    membrane = rng.random(fine) < 0.8
    painted = paint_cells(membrane, cells, share, cells > 0)
    assert np.array_equal(painted[membrane & clear], expected[membrane & clear])
    assert not painted[~membrane].any()
    known = ndimage.map_coordinates((cells > 0).astype(float), places, order=1)
    enough = best / FULL >= 0.6 * known
    barely = np.abs(best / FULL - 0.6 * known) < 1e-4
    painted = paint_cells(membrane, cells, share, cells > 0, least=0.6)
    assert np.array_equal((painted > 0)[membrane & ~barely], (enough & (best > 1e-6))[membrane & ~barely])


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


def test_pieces_without_a_nucleus_are_loosened() -> None:
    cells = np.zeros((3, 4, 9), dtype=np.uint32)
    cells[1, 1:3, 1:4] = 1
    cells[1, 1:3, 4:6] = 2
    cells[1, 3, 6] = 2  # over an edge only
    cells[1, 1, 8] = 1
    nuclei = np.zeros_like(cells)
    nuclei[1, 1, 2], nuclei[1, 2, 5], nuclei[1, 1, 4] = 1, 2, 1
    expected = cells.copy()
    expected[1, 3, 6] = expected[1, 1, 8] = 0
    assert np.array_equal(anchored(cells, nuclei), expected)


def test_what_nobody_claims_is_a_cell_a_rim_or_a_loose_piece() -> None:
    settings = CellByCellSettings(voxel_size_um=(1, 1, 1), min_cell_um3=20.0, min_cell_depth_um=2.0, attach_um=1.0)
    membrane = np.zeros((7, 12, 40), dtype=bool)
    membrane[1:6, 2:9, 2:10] = True  # claimed
    membrane[1:6, 2:9, 10] = True  # a rim of 35 um3, thin: attached
    membrane[3, 5, 12] = True  # 1 um from it: attached
    membrane[3, 5, 16:18] = True  # too far: stays 0
    membrane[1:6, 2:9, 25:32] = True  # alone and large: a cell of its own
    membrane[3:5, 3, 36] = True  # alone and small: stays 0
    cells = np.zeros(membrane.shape, dtype=np.uint32)
    cells[1:6, 2:9, 2:10] = 4
    share = np.where(cells != 0, FULL, 0).astype(np.uint16)
    grid = make_grid(membrane.shape, (1, 1, 1), settings)  # type: ignore[arg-type]
    placed, weights, n_attached = place_rest(cells, share, membrane, grid, settings)
    inside = np.where(membrane, placed, 0)
    assert (inside[1:6, 2:9, 2:11] == 4).all()
    assert inside[3, 5, 12] == 0  # two voxels from the rim's middle: 2 um, beyond 1 um and half a voxel
    assert (inside[1:6, 2:9, 25:32] == 5).all()
    assert not inside[3, 5, 16:18].any()
    assert not inside[3:5, 3, 36].any()
    assert n_attached == 35
    assert (weights[cells != 0] == FULL).all()
    assert (weights[1:6, 2:9, 10] == FULL // 2).all()
    thin = settings.model_copy(update={"min_cell_depth_um": 1.0})
    placed, _, n_attached = place_rest(cells, share, membrane, grid, thin)
    assert (placed[1:6, 2:9, 10] == 4).all()  # 35 of the only cell's 280 um3: a far end of it
    # It meets the cell over 35 um2, 3.3 times its volume^(2/3).
    for change in ({"min_touching_share": 0.12}, {"joined_contact": 4.0}):
        placed, _, n_attached = place_rest(cells, share, membrane, grid, thin.model_copy(update=change))
        assert n_attached == 35
    own = thin.model_copy(update={"min_touching_share": 0.12, "joined_contact": 3.4})
    placed, _, n_attached = place_rest(cells, share, membrane, grid, own)
    assert (placed[1:6, 2:9, 10] == 5).all()
    assert n_attached == 0
