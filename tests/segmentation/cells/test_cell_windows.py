"""The grid and the windows in which cells are separated."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tomocyte.segmentation.cells.windows import (
    CellByCellSettings,
    Evidence,
    Window,
    as_input,
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


@pytest.mark.parametrize("has_depth", [False, True])
def test_every_nucleus_is_mine_for_itself_and_another_for_all_others(has_depth: bool) -> None:
    """All cells rise from 0.5 at the surface to 1 at 4 µm; regions of a nucleus without itself are 0.5."""
    rng = np.random.default_rng(3)
    membrane = rng.random((3, 4, 5)) < 0.8
    nuclei = np.where(membrane, rng.integers(0, 4, membrane.shape), 0)
    regions = np.where(membrane & (nuclei == 0), rng.integers(1, 4, membrane.shape), nuclei)
    depth = 6 * rng.random(membrane.shape)
    evidence = Evidence(membrane, nuclei, depth, regions) if has_depth else Evidence(membrane, nuclei)
    for label in (1, 2, 3):
        cells, mine, others = as_input(evidence, label)
        outside_value = 0.5 if has_depth else 0.0
        np.testing.assert_allclose(cells, membrane * np.clip(0.5 + depth / 8, 0, 1) if has_depth else membrane)
        np.testing.assert_array_equal(mine == 1, nuclei == label)
        np.testing.assert_array_equal(others == 1, (nuclei != 0) & (nuclei != label))
        around = membrane & (nuclei == 0)
        np.testing.assert_array_equal(mine[around], outside_value * (regions == label)[around])
        np.testing.assert_array_equal(others[around], outside_value * (regions != label)[around])
