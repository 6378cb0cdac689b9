"""Scores of objects against StarDist's matching and hand-countable arrays; one row per object."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.evaluation.shapes import ball, boxes

from tomocyte.evaluation import (
    hungarian_mean_dice,
    mean_average_precision,
    overlap_table,
    score_instances,
    score_objects,
    score_overlaps,
)

# Made once by hand: stardist.matching.matching of StarDist 0.9.2 (BSD-3), on boxes() relabelled in sequence, per
# threshold. It computes IoU in float32. Columns: thresh, tp, fp, fn, precision, recall, f1, accuracy,
# mean_matched_score, panoptic_quality.
STARDIST = [
    (0.1, 22, 0, 8, 1, 0.733333333333, 0.846153846154, 0.733333333333, 0.459758325057, 0.389026275048),
    (0.3, 20, 2, 10, 0.909090909091, 0.666666666667, 0.769230769231, 0.625, 0.482487392426, 0.37114414802),
    (0.45, 9, 13, 21, 0.409090909091, 0.3, 0.346153846154, 0.209302325581, 0.610976537069, 0.211491878216),
    (0.5, 7, 15, 23, 0.318181818182, 0.233333333333, 0.269230769231, 0.155555555556, 0.652218614306, 0.175597319236),
    (0.6, 4, 18, 26, 0.181818181818, 0.133333333333, 0.153846153846, 0.0833333333333, 0.725000023842, 0.111538465206),
    (0.7, 3, 19, 27, 0.136363636364, 0.1, 0.115384615385, 0.0612244897959, 0.766666650772, 0.0884615366275),
    (0.8, 1, 21, 29, 0.0454545454545, 0.0333333333333, 0.0384615384615, 0.0196078431373, 0.80000001192, 0.03076923123),
]  # fmt: skip


@pytest.mark.parametrize("golden", STARDIST, ids=[f"iou{row[0]}" for row in STARDIST])
def test_scores_equal_stardist(golden: tuple[float, ...]) -> None:
    truth, prediction = boxes()
    min_iou, n_matched, n_false, n_missed, *scores = golden
    found = score_instances(truth, prediction, min_iou=min_iou)
    assert (found.n_matched, found.n_prediction - found.n_matched, found.n_truth - found.n_matched) == (
        n_matched,
        n_false,
        n_missed,
    )
    assert (found.precision, found.recall, found.f1, found.average_precision) == pytest.approx(scores[:4], abs=1e-12)
    # At 0.1 several assignments with as many pairs exist; both maximise the sum of IoU.
    assert (found.mean_matched_iou, found.panoptic_quality) == pytest.approx(scores[4:], abs=1e-7)


def test_mean_average_precision_by_hand() -> None:
    """One of two objects is perfect (all ten thresholds), the other has IoU 3/5: 0.5, 0.55 and 0.6."""
    truth = np.array([[1, 1, 1, 0, 2, 2, 2, 2, 0]])
    prediction = np.array([[7, 7, 7, 0, 0, 9, 9, 9, 9]])
    assert score_instances(truth, prediction, min_iou=0.6).average_precision == 1
    assert mean_average_precision(truth, prediction) == pytest.approx((3 * 1 + 7 * (1 / 3)) / 10)
    assert math.isnan(mean_average_precision(0 * truth, 0 * truth))


def test_panoptic_quality_asks_for_more_than_a_half() -> None:
    table = overlap_table(np.array([1, 1, 1, 0]), np.array([0, 2, 2, 2]))  # IoU 2/4
    assert score_overlaps(table, min_iou=0.5).panoptic_quality == 0.5
    assert score_overlaps(table, min_iou=math.nextafter(0.5, 1)).panoptic_quality == 0


def test_quality_of_nothing() -> None:
    empty, some = np.zeros((2, 3, 4), np.uint16), np.ones((2, 3, 4), np.uint16)
    assert math.isnan(score_instances(empty, empty).panoptic_quality)
    assert math.isnan(score_instances(empty, empty).average_precision)
    assert score_instances(some, empty).panoptic_quality == 0
    assert score_instances(empty, some).average_precision == 0


@pytest.mark.parametrize("factor", [1, 40_000, 3_000_000_000_000])
@pytest.mark.parametrize("chunk", [1 << 22, 1000])
def test_every_path_through_the_overlaps_counts_the_same(
    monkeypatch: pytest.MonkeyPatch, factor: int, chunk: int
) -> None:
    """Small labels, large labels, in one piece and in many: the pairs are those of a plain count."""
    truth, prediction = boxes()
    pairs, counts = np.unique(
        np.stack([truth, prediction])[:, (truth > 0) & (prediction > 0)], axis=1, return_counts=True
    )
    monkeypatch.setattr("tomocyte.evaluation.matching.CHUNK_VOXELS", chunk)
    if factor == 40_000:
        monkeypatch.setattr("tomocyte.evaluation.matching.LARGEST_LOOKUP", 100)
    table = overlap_table(truth, prediction.astype(np.uint64) * np.uint64(factor))
    found = zip(
        table.truth_labels[table.truth_index], table.prediction_labels[table.prediction_index] // factor, strict=True
    )
    assert list(found) == list(zip(*pairs.tolist(), strict=True))
    assert table.n_common.tolist() == counts.tolist()
    assert table.truth_sizes.tolist() == np.bincount(truth.ravel())[1:].tolist()


def test_bool_masks_are_one_object() -> None:
    mask = np.array([[True, False, True]])
    assert score_instances(mask, mask).n_matched == 1


def test_rows_of_objects() -> None:
    """Two shifted balls, one missed, one invented; volumes and distances in µm."""
    voxel, shape = (0.4, 0.2, 0.1), (12, 30, 90)
    truth = np.zeros(shape, np.uint16)
    prediction = np.zeros(shape, np.uint32)
    left, right = ((2.2, 2.2, x) for x in (2.0, 6.5))
    truth[ball(left, 1.5, shape=shape, voxel_size_um=voxel)] = 4
    truth[ball(right, 1.1, shape=shape, voxel_size_um=voxel)] = 9
    truth[0, 0, 0:3] = 2
    moved = (2.2, 2.2, 2.4)
    prediction[ball(moved, 1.5, shape=shape, voxel_size_um=voxel)] = 70_000
    prediction[ball(right, 1.1, shape=shape, voxel_size_um=voxel)] = 3
    prediction[11, 29, 85:90] = 5
    rows = score_objects(truth, prediction, voxel_size_um=voxel)
    assert [(row["label"], row["prediction_label"]) for row in rows] == [(2, 0), (4, 70_000), (9, 3), (0, 5)]
    missed, shifted, same, invented = rows
    assert (missed["object_dice"], invented["object_dice"]) == (0, 0)
    assert math.isnan(missed["object_hd95_um"])
    assert shifted["object_dice"] == hungarian_mean_dice(truth == 4, prediction == 70_000)
    assert shifted["object_iou"] == pytest.approx(shifted["object_dice"] / (2 - shifted["object_dice"]))
    assert 0.2 < shifted["object_hd95_um"] <= 0.4 + 1e-9
    assert (same["object_dice"], same["object_hd95_um"], same["object_assd_um"]) == (1, 0, 0)
    assert shifted["object_distance_um"] == pytest.approx(0.4, abs=0.01)  # along x, where voxels are smallest
    assert same["object_distance_um"] == 0
    assert math.isnan(missed["object_distance_um"])
    assert same["truth_volume_um3"] == pytest.approx(4 / 3 * math.pi * 1.1**3, rel=0.05)
    assert invented["prediction_volume_um3"] == pytest.approx(5 * 0.4 * 0.2 * 0.1)
    assert math.isnan(same["truth_area_um2"])
    without = score_objects(truth, prediction)
    assert [row["object_dice"] for row in without] == [row["object_dice"] for row in rows]
    assert math.isnan(without[1]["truth_volume_um3"])


def test_object_of_one_plane_in_a_volume_is_not_planar() -> None:
    truth = np.zeros((5, 7, 9), np.uint8)
    truth[2, 1:6, 1:8] = 1
    row = score_objects(truth, truth, voxel_size_um=(0.5, 0.2, 0.1))[0]
    assert row["truth_volume_um3"] == pytest.approx(35 * 0.01)
    prediction = truth.copy()
    prediction[2, 3, 4] = 0  # In a volume every voxel of a plate is surface, so the hole moves nothing far.
    row = score_objects(truth, prediction, voxel_size_um=(0.5, 0.2, 0.1))[0]
    assert row["object_assd_um"] == pytest.approx(0.1 / (35 + 34))


def test_planar_objects_have_areas() -> None:
    labels = np.zeros((1, 7, 9), np.uint8)
    labels[0, 1:4, 1:6] = 1
    row = score_objects(labels, labels, voxel_size_um=(math.nan, 0.2, 0.1))[0]
    assert row["truth_area_um2"] == pytest.approx(15 * 0.02)
    assert math.isnan(row["truth_volume_um3"])
    moved = np.roll(labels, (2, 1), axis=(1, 2))
    row = score_objects(labels, moved, voxel_size_um=(math.nan, 0.2, 0.1))[0]
    assert row["object_distance_um"] == pytest.approx(math.hypot(2 * 0.2, 0.1))
