"""Cells progress apart: hand-made boxes as cells, predictors whose answer is known, and everything that can be odd."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.errors import MetadataError, SettingsError
from tomocyte.segmentation.cells.separate import CellByCellSettings, CellsResult, separate_cells

SIZE = (0.5, 0.4, 0.3)
"""Voxel size of most scenes, and of the grid they are worked on."""
SETTINGS = CellByCellSettings(
    voxel_size_um=SIZE, divisor=(2, 4, 8), min_nucleus_um3=0.5, min_cell_um3=5.0, joined_gap_um=1.8, margin_um=3.0
)


def nearest(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """Claims what is nearer to this nucleus than to any other, in voxels: 0.9 there, 0.2 elsewhere."""
    result = np.empty((len(batch), 1, *batch.shape[2:]), dtype=np.float32)
    for sample, found in zip(batch, result, strict=True):
        mine, others = (ndimage.distance_transform_edt(channel != 1) for channel in sample[1:])
        alone = not (sample[2] == 1).any()
        found[0] = np.where(alone | (mine < others), 0.9, 0.2)
    return result


def claims_all(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.full((len(batch), 1, *batch.shape[2:]), 0.8, dtype=np.float32)


def scene() -> tuple[NDArray[np.bool_], NDArray[np.uint8], NDArray[np.uint32]]:
    """Two cells that touch along x = 20, each with a nucleus in its middle, away from all borders."""
    truth = np.zeros((12, 20, 44), dtype=np.uint32)
    truth[2:10, 3:17, 4:20] = 1
    truth[2:10, 3:17, 20:36] = 2
    nuclei = np.zeros(truth.shape, dtype=np.uint8)
    nuclei[4:8, 7:13, 10:14] = 1
    nuclei[4:8, 7:13, 26:30] = 2
    return truth != 0, nuclei, truth


def same_partition(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Whether two label images part the voxels alike, whatever the numbers."""
    pairs = {(int(a), int(b)) for a, b in zip(first.ravel(), second.ravel(), strict=True)}
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def run(
    membrane: NDArray[np.bool_],
    nuclei: NDArray[Any],
    *,
    size: tuple[float, float, float] = SIZE,
    predictor: Any = nearest,
    **changes: Any,
) -> CellsResult:
    return separate_cells(membrane, nuclei, size, predictor, SETTINGS.model_copy(update=changes))


@pytest.mark.parametrize(
    "changes", [{}, {"frame": "whole"}, {"method": "watershed"}, {"unclaimed": "background"}], ids=str
)
def test_two_touching_cells_are_parted_where_they_touch(changes: dict[str, Any]) -> None:
    membrane, nuclei, truth = scene()
    if changes.get("method") == "watershed":
        membrane[:, :2], truth = membrane[:, :2], truth.copy()
        membrane[2:10, [3, 16], 19:21] = False  # a notch: the flood from either side meets at the waist
        truth[~membrane] = 0
    found = run(membrane, nuclei, **changes)
    assert np.array_equal(found.labels, truth)
    assert found.flags == {1: (), 2: ()}
    assert found.counts["n_lost_voxels"] == found.counts["n_added_voxels"] == 0


def test_connected_cells_are_one_component_with_two_nuclei() -> None:
    membrane, nuclei, _ = scene()
    found = run(membrane, nuclei, method="components", predictor=None)
    assert np.array_equal(found.labels, membrane)
    assert found.flags == {1: ("two-nuclei",)}
    assert math.isnan(found.confidence[1])


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("method", ["network", "watershed", "components"])
def test_a_flipped_field_gives_flipped_cells(axis: int, method: str) -> None:
    membrane, nuclei, _ = scene()
    membrane[5:7, 8:10, 38:42] = True
    straight, turned = (
        run(change(membrane), change(nuclei), method=method).labels
        for change in (lambda array: array, lambda array: np.flip(array, axis))
    )
    assert same_partition(np.flip(straight, axis), turned)


@pytest.mark.parametrize("factors", [(1, 2, 2), (2, 1, 3), (1, 1, 1)])
def test_finer_voxels_of_the_same_field_give_the_same_cells(factors: tuple[int, int, int]) -> None:
    membrane, nuclei, truth = scene()
    for axis, factor in enumerate(factors):
        membrane, nuclei, truth = (array.repeat(factor, axis) for array in (membrane, nuclei, truth))
    size = tuple(length / factor for length, factor in zip(SIZE, factors, strict=True))
    found = run(membrane, nuclei, size=size)  # type: ignore[arg-type]
    assert np.array_equal(found.labels, truth)


def test_confidence_is_the_mean_less_the_runner_up() -> None:
    membrane, nuclei, _ = scene()
    found = run(membrane, nuclei, frame="whole")
    assert found.confidence == pytest.approx({1: 0.7, 2: 0.7}, abs=1e-4)


def test_a_lone_nucleus_has_no_runner_up() -> None:
    membrane, nuclei, _ = scene()
    membrane[:, :, 20:] = False
    found = run(membrane, np.where(nuclei == 1, nuclei, 0))
    assert found.confidence == pytest.approx({1: 0.9}, abs=1e-4)


def test_a_cell_without_a_nucleus_is_kept_and_flagged() -> None:
    membrane, nuclei, truth = scene()
    membrane[3:9, 5:15, 38:43] = True
    found = run(membrane, nuclei)
    assert np.array_equal(found.labels == 3, (truth == 0) & membrane)
    assert found.flags[3] == ("no-nucleus",)
    assert math.isnan(found.confidence[3])


def test_touching_cell_without_a_nucleus_is_its_own_where_nobody_claims_it() -> None:
    membrane, nuclei, truth = scene()

    def claims_left(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        assert batch.shape[0] == 1
        columns = np.arange(batch.shape[4]) + 2  # the box begins at x = 4, the margin of the window is outside it
        return np.broadcast_to(np.where(columns < 22 - 4, 0.9, 0.1), (1, 1, *batch.shape[2:])).astype(np.float32)

    found = run(membrane, np.where(nuclei == 1, nuclei, 0), predictor=claims_left, margin_um=50.0, joined_contact=1.1)
    assert np.array_equal(found.labels, truth)  # they meet over 22.4 um2, 0.99 times the volume^(2/3)
    assert found.flags[2] == ("no-nucleus",)
    one = run(membrane, np.where(nuclei == 1, nuclei, 0), predictor=claims_left, margin_um=50.0, joined_contact=0.9)
    assert np.array_equal(one.labels, membrane)


def test_thin_rims_are_attached_and_counted() -> None:
    membrane, nuclei, truth = scene()

    def shy(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Never claims the first plane of the cells."""
        found = nearest(batch)
        found[:, :, 0] = 0.1
        return found

    found = run(membrane, nuclei, predictor=shy, margin_um=0.0)
    assert np.array_equal(found.labels, truth)
    assert found.counts["n_attached_voxels"] == 14 * 32
    lost = run(membrane, nuclei, predictor=shy, margin_um=0.0, unclaimed="background")
    assert lost.counts["n_lost_voxels"] == 14 * 32
    assert not lost.labels[2].any()


def test_nuclei_that_claim_each_other_share_a_cell() -> None:
    membrane, nuclei, _ = scene()
    found = run(membrane, nuclei, predictor=claims_all)
    assert np.array_equal(found.labels, membrane)
    assert found.flags == {1: ("two-nuclei",)}
    assert found.counts["n_joined"] == 1
    assert found.nuclei.max() == 2
    alone = run(membrane, nuclei, predictor=claims_all, is_joining=False)
    assert ("two-nuclei",) not in alone.flags.values()
    assert alone.counts["n_joined"] == 0


def test_near_nuclei_without_a_waist_share_a_cell() -> None:
    membrane = np.zeros((20, 26, 30), dtype=bool)
    z, y, x = np.ogrid[:20, :26, :30]
    membrane[((z - 9.5) / 9) ** 2 + ((y - 12.5) / 11) ** 2 + ((x - 14.5) / 13) ** 2 <= 1] = True
    nuclei = np.zeros(membrane.shape, dtype=np.uint8)
    nuclei[7:13, 9:16, 8:13], nuclei[7:13, 9:16, 16:21] = 1, 2
    found = run(membrane, nuclei)
    assert np.array_equal(found.labels, membrane)
    assert found.flags == {1: ("two-nuclei",)}
    apart = run(membrane, nuclei, joined_gap_um=0.5)
    assert apart.labels.max() == 2
    alone = run(membrane, nuclei, is_joining=False)
    assert np.array_equal(alone.labels, apart.labels)
    assert [one.without_waist for one in (found, apart, alone)] == [frozenset(), frozenset(), {(1, 2)}]
    separate, two, _ = scene()
    assert run(separate, two, is_joining=False).without_waist == frozenset()


def test_borders_are_flagged_at_the_sides_only() -> None:
    membrane, nuclei, _ = scene()
    high = run(membrane[2:10], nuclei[2:10])
    assert high.flags == {1: (), 2: ()}
    left = run(membrane[:, :, 4:], nuclei[:, :, 4:])
    assert left.flags == {1: ("touches-border",), 2: ()}
    low = run(membrane[:, 3:], nuclei[:, 3:])
    assert low.flags == {1: ("touches-border",), 2: ("touches-border",)}


def test_a_nucleus_outside_the_mask_is_a_cell_and_said_so() -> None:
    membrane, nuclei, truth = scene()
    nuclei[4:8, 7:13, 38:42] = 3
    found = run(membrane, nuclei)
    assert np.array_equal(found.labels == 3, nuclei == 3)
    assert found.flags[3] == ("nucleus-outside",)
    assert found.counts["n_added_voxels"] == 4 * 6 * 4
    assert np.array_equal(found.labels[truth != 0], truth[truth != 0])


def test_far_crumbs_of_the_mask_are_lost_and_counted() -> None:
    membrane, nuclei, truth = scene()
    membrane[5, 9, 43] = membrane[5, 10, 43] = True
    found = run(membrane, nuclei, attach_um=1.0)
    assert found.counts["n_lost_voxels"] == 2
    assert np.array_equal(found.labels, truth)
    assert run(membrane, nuclei, attach_um=5.0).counts["n_lost_voxels"] == 0


def test_crumbs_of_nuclei_found_no_cell() -> None:
    membrane, nuclei, truth = scene()
    nuclei[3, 4, 5] = 3
    found = run(membrane, nuclei)
    assert np.array_equal(found.labels, truth)
    assert (found.counts["n_crumbs"], found.counts["n_nuclei"]) == (1, 2)
    assert not found.nuclei[3, 4, 5]


@pytest.mark.parametrize("method", ["network", "watershed", "components"])
def test_an_empty_field_has_no_cells(method: str) -> None:
    nothing = np.zeros((5, 6, 7), dtype=bool)
    found = run(nothing, nothing, method=method)
    assert not found.labels.any()
    assert found.flags == {}
    assert found.confidence == {}
    assert found.n_predicted_voxels == 0


@pytest.mark.parametrize("method", ["network", "watershed", "components"])
def test_cells_without_any_nucleus_are_their_connected_parts(method: str) -> None:
    membrane, nuclei, _ = scene()
    membrane[:, :, 19:21] = False
    found = run(membrane, np.zeros_like(nuclei), method=method)
    assert np.array_equal(found.labels, ndimage.label(membrane)[0])
    assert set(found.flags.values()) == {("no-nucleus",)}


@pytest.mark.parametrize("method", ["network", "watershed", "components"])
def test_one_giant_nucleus_fills_the_field(method: str) -> None:
    everything = np.ones((6, 9, 11), dtype=bool)
    found = run(everything, everything, method=method)
    assert (found.labels == 1).all()
    assert found.flags == {1: ("touches-border",)}


def test_three_hundred_nuclei() -> None:
    truth = np.zeros((8, 15 * 12, 20 * 16), dtype=np.uint32)
    nuclei = np.zeros(truth.shape, dtype=bool)
    for row in range(15):
        for column in range(20):
            y, x = 12 * row, 16 * column
            truth[1:7, y + 1 : y + 11, x + 1 : x + 15] = 20 * row + column + 1
            nuclei[3:6, y + 4 : y + 8, x + 6 : x + 10] = True
    truth[1:7, 1:-1, 1:-1] = ndimage.grey_dilation(truth, (1, 3, 3))[1:7, 1:-1, 1:-1]
    found = run(truth != 0, nuclei)
    assert found.labels.max() == found.counts["n_nuclei"] == 300
    sizes = np.bincount(found.labels.ravel())[1:]
    assert sizes.sum() == np.count_nonzero(truth)
    assert sizes.min() > 0.8 * sizes.max()


def test_anisotropy_of_one_to_eight() -> None:
    membrane, nuclei, truth = (array[::2] for array in scene())
    found = run(membrane, nuclei, size=(2.4, 0.3, 0.3), voxel_size_um=(0.5, 0.5, 0.5))
    assert np.count_nonzero(found.labels != truth) <= 0.02 * truth.size
    assert np.array_equal(found.labels != 0, membrane)
    assert found.flags == {1: (), 2: ()}


def test_a_single_plane_is_told_apart_by_watershed_and_says_so() -> None:
    membrane, nuclei, truth = (array[5:6].copy() for array in scene())
    membrane[0, [3, 16], 19:21] = False
    truth[~membrane] = 0
    found = run(membrane, nuclei, size=(math.nan, 0.4, 0.3))
    assert np.array_equal(found.labels, truth)
    assert len(found.notes) == 1
    assert "watershed" in found.notes[0]
    assert found.n_predicted_voxels == 0


def test_cost_grows_with_the_cells_and_not_with_cells_times_field() -> None:
    """The same carpet, and the same field around it four times as wide."""
    membrane, nuclei, _ = scene()
    small = run(membrane, nuclei)
    pad = [(6, 6), (40, 40), (60, 60)]
    wide = run(np.pad(membrane, pad), np.pad(nuclei, pad))
    assert small.n_predicted_voxels == wide.n_predicted_voxels
    whole = run(np.pad(membrane, pad), np.pad(nuclei, pad), frame="whole")
    assert whole.n_predicted_voxels == 2 * 24 * 100 * 168  # two nuclei, the field rounded up to the divisor


def test_cost_is_what_the_network_was_shown() -> None:
    membrane, nuclei, _ = scene()
    shown: list[tuple[int, ...]] = []

    def predictor(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        shown.append(batch.shape)
        return nearest(batch)

    found = run(membrane, nuclei, predictor=predictor, frame="whole")
    assert shown == [(2, 3, 12, 20, 48)]
    assert found.n_predicted_voxels == 2 * 12 * 20 * 48


def test_ten_times_the_nuclei_in_one_field_cost_less_than_twice() -> None:
    """A carpet of 160 x 160 um, cut into 10 or into 100 cells; voxels of 0.5 um."""
    size = (1.0, 1.0, 1.0)
    costs = []
    for rows, columns in ((2, 5), (10, 10)):
        nuclei = np.zeros((12, 160, 160), dtype=bool)
        for row in range(rows):
            for column in range(columns):
                y, x = int((row + 0.5) * 160 / rows), int((column + 0.5) * 160 / columns)
                nuclei[4:8, y - 3 : y + 3, x - 3 : x + 3] = True
        found = separate_cells(np.ones(nuclei.shape, bool), nuclei, size, claims_shape, CellByCellSettings())
        assert found.counts["n_nuclei"] == rows * columns
        costs.append(found.n_predicted_voxels)
    assert costs[1] <= 2 * costs[0]


def claims_shape(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.full((len(batch), 1, *batch.shape[2:]), 0.1, dtype=np.float32)


def test_as_published_sees_the_middle_planes_of_the_resized_field() -> None:
    membrane = np.zeros((32, 40, 36), dtype=bool)
    membrane[1:31, 4:36, 4:32] = True
    nuclei = np.zeros(membrane.shape, dtype=np.uint8)
    nuclei[14:18, 12:20, 12:20] = 1
    shapes = []

    def predictor(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        shapes.append(batch.shape)
        assert set(np.unique(batch)) == {0.0, 1.0}
        return claims_all(batch)

    changes = {"frame": "as-published", "unclaimed": "background", "divisor": (8, 16, 16)}
    found = run(membrane, nuclei, predictor=predictor, **changes)
    assert shapes == [(1, 3, 64, 128, 128)]
    assert found.n_predicted_voxels == 64 * 128 * 128
    # 32 planes become 128, of which 32 to 95 are seen: planes 8 to 23.
    seen = np.zeros(membrane.shape, dtype=bool)
    seen[8:24] = membrane[8:24]
    assert np.count_nonzero((found.labels != 0) != seen) <= 2 * 32 * 28
    assert found.counts["n_lost_voxels"] == np.count_nonzero(membrane & (found.labels == 0))


def test_what_a_network_of_regions_sees() -> None:
    membrane, nuclei, _ = scene()
    seen: list[NDArray[np.float32]] = []

    def predictor(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.extend(batch)
        return nearest(batch)

    run(membrane, nuclei, predictor=predictor, frame="whole", input="regions")
    cells, mine, others = seen[0]
    assert np.array_equal(cells[:12, :20, :44] > 0, membrane)
    assert set(np.unique(mine)) == set(np.unique(others)) == {0.0, 0.5, 1.0}
    assert np.array_equal((mine == 1)[:12, :20, :44], nuclei == 1)
    assert np.array_equal((mine + others > 0)[:12, :20, :44], membrane)
    depth = ndimage.distance_transform_edt(membrane, sampling=SIZE)
    assert np.allclose(cells[:12, :20, :44][membrane], 0.5 + np.minimum(depth[membrane] / 8, 0.5), atol=1e-6)


def test_progress_counts_windows() -> None:
    membrane, nuclei, _ = scene()
    progress: list[tuple[int, int]] = []
    separate_cells(
        membrane, nuclei, SIZE, nearest, SETTINGS, callback=lambda done, total: progress.append((done, total))
    )
    assert progress[-1] == (2, 2)


def test_what_cannot_be_told_apart_is_refused() -> None:
    membrane, nuclei, _ = scene()
    with pytest.raises(SettingsError, match="E-SHAPE"):
        run(membrane[1:], nuclei)
    with pytest.raises(SettingsError, match="E-SHAPE"):
        run(membrane.astype(np.uint8), nuclei)
    with pytest.raises(SettingsError, match="E-CELLS-PREDICTOR"):
        run(membrane, nuclei, predictor=None)
    with pytest.raises(MetadataError, match="E-VOXEL-SIZE"):
        run(membrane, nuclei, size=(0.0, 1.0, 1.0))
    with pytest.raises(SettingsError, match="E-PREDICTOR"):
        run(membrane, nuclei, predictor=lambda batch: batch)
    with pytest.raises(SettingsError, match="E-PREDICTOR"):
        run(membrane, nuclei, predictor=lambda batch: claims_all(batch) * np.nan)
