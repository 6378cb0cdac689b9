"""Scores of thousands of objects: the same numbers as those of few, without work that grows with their square."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, spatial

from tomocyte.evaluation import Case, ScoreSettings, ScoreTable, surface_distances
from tomocyte.evaluation import matching as matching_module
from tomocyte.evaluation.matching import best_partners, overlap_table
from tomocyte.evaluation.objects import score_objects
from tomocyte.evaluation.surface import distances_of_points

VOXEL = (0.5, 0.2, 0.25)


def test_labels_wrapped_into_16_bits_are_scored_in_seconds() -> None:
    """108,000 true objects in 65,535 numbers: 23,071 numbers have one object, the others two halves of one."""
    truth = np.zeros((80, 90, 120), np.uint32)
    truth[::2, ::2, ::2] = np.arange(1, 108_001).reshape(40, 45, 60)
    scores = ScoreTable(ScoreSettings(is_instance_scored=True))
    row = scores.add(Case("a", "a", truth, truth.astype(np.uint16), voxel_size_um=VOXEL))
    # 65,536 is wrapped to 0 and lost: 107,999 pieces in 65,535 numbers, so 42,464 numbers twice.
    assert 65_535 - (107_999 - 65_535) == 23_071
    assert row["instance_f1_iou75"] == pytest.approx(2 * 23_071 / (108_000 + 65_535))
    assert row["instance_f1_iou50"] == pytest.approx(2 * 65_535 / (108_000 + 65_535))
    objects = scores.objects()
    assert len(objects) == 108_000
    # Number 65,537 became 1: its halves lie at ranks 0 and 65,536 of the grid of 40 x 45 x 60 objects.
    first = objects[objects["label"] == 1].iloc[0]
    z, y, x = np.unravel_index(65_536, (40, 45, 60))
    offset = np.array([2 * z * 0.5, 2 * y * 0.2, 2 * x * 0.25])
    assert first["object_dice"] == pytest.approx(2 / 3)
    assert first["object_distance_um"] == pytest.approx(np.linalg.norm(offset) / 2)
    # Of the distances 0 (truth), and 0 and the offset (prediction), the 95th percentile interpolates the latter.
    assert first["object_hd95_um"] == pytest.approx(0.95 * np.linalg.norm(offset))
    assert first["object_assd_um"] == pytest.approx(np.linalg.norm(offset) / 3)


@pytest.mark.parametrize("shape", [(6, 11, 14), (1, 15, 17), (18, 23)])
def test_each_object_has_the_distances_of_its_own_mask(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 12, shape)
    truth = np.where(rng.random(shape) < 0.5, truth, np.roll(truth, 1, -1))
    prediction = np.roll(truth, 1, axis=-2) * 3
    size = VOXEL[-len(shape) :]
    measured = [row for row in score_objects(truth, prediction, voxel_size_um=size) if row["object_dice"]]
    assert len(measured) >= 8
    for row in measured:
        first, second = truth == row["label"], prediction == row["prediction_label"]
        alone = surface_distances(first, second, voxel_size_um=size)
        assert row["object_hd95_um"] == pytest.approx(alone.hd95_um, rel=1e-6)
        assert row["object_assd_um"] == pytest.approx(alone.assd_um, rel=1e-6)
        centres = [np.argwhere(mask).mean(axis=0) * size for mask in (first, second)]
        assert row["object_distance_um"] == pytest.approx(np.linalg.norm(centres[0] - centres[1]))


@pytest.mark.parametrize("spread", [12, 4000], ids=["dense", "far apart"])
def test_large_surfaces_have_the_distances_of_a_full_table(spread: int) -> None:
    rng = np.random.default_rng(5)
    first = np.unique(rng.integers(0, spread, (900, 3)), axis=0)
    second = np.unique(rng.integers(2, spread + 2, (700, 3)), axis=0)
    table = spatial.distance.cdist(first * VOXEL, second * VOXEL)
    from_first, from_second = distances_of_points(first[None], second[None], voxel_size_um=VOXEL)
    np.testing.assert_allclose(from_first[0], table.min(1), rtol=1e-6)
    np.testing.assert_allclose(from_second[0], table.min(0), rtol=1e-6)


@pytest.mark.parametrize("largest_dense", [0, 1 << 20], ids=["sparse", "dense"])
def test_objects_that_all_touch_are_assigned_as_scipy_assigns_the_full_table(
    largest_dense: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching_module, "LARGEST_DENSE", largest_dense)
    rng = np.random.default_rng(2)
    truth, prediction = rng.integers(0, 40, (2, 9, 10, 11))
    table = overlap_table(truth, prediction)
    gains = np.zeros((len(table.truth_labels), len(table.prediction_labels)))
    gains[table.truth_index, table.prediction_index] = table.dice
    best = gains[optimize.linear_sum_assignment(gains, maximize=True)].sum()
    pairs = best_partners(table)
    assert table.dice[pairs].sum() == pytest.approx(best, rel=1e-12)
    assert len({*table.truth_index[pairs]}) == len({*table.prediction_index[pairs]}) == len(pairs)


def test_one_object_with_several_partners_takes_the_best() -> None:
    truth = np.array([[1, 1, 1, 1, 1, 1, 2, 2, 3, 3]])
    prediction = np.array([[5, 6, 6, 6, 7, 7, 8, 8, 8, 8]])
    rows = score_objects(truth, prediction)
    # 6 covers half of 1; 8 covers 2 and 3 alike, the first of which it gets.
    assert [(row["label"], row["prediction_label"]) for row in rows] == [(1, 6), (2, 8), (3, 0), (0, 5), (0, 7)]
