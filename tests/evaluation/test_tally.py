"""What is counted of an image: by hand, by scikit-learn and scipy, and the same for two halves as for the whole."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import optimize
from sklearn.metrics import average_precision_score

from tomocyte.errors import SettingsError
from tomocyte.evaluation import Case, ScoreSettings, overlap_table
from tomocyte.evaluation.counts import check_pair
from tomocyte.evaluation.curves import check_probability, check_unit_interval
from tomocyte.evaluation.matching import best_partners
from tomocyte.evaluation.metric import all_metrics, iou_suffix, with_min_ious
from tomocyte.evaluation.tally import (
    count_case,
    predicted_mask,
    score_row,
    tally_instances,
    tally_probability,
    tally_surface,
    without_probability,
)

# Pairs: (1,5) 3 of 4 -> IoU 3/4; (2,9) 2 of 4 -> 1/2; (2,6) 2 of 5 -> 2/5; 3 is missed.
TRUTH = np.array([[1, 1, 1, 1, 0, 0, 2, 2, 2, 2, 0, 3]])
PREDICTION = np.array([[5, 5, 5, 0, 0, 0, 9, 9, 6, 6, 6, 0]])
PROBABILITY = np.linspace(0, 1, 12).reshape(1, 12)


@pytest.mark.parametrize(
    ("min_iou", "n_matched", "sum_iou"), [(0.4, 2, 1.25), (0.5, 2, 1.25), (0.75, 1, 0.75), (0.9, 0, 0)]
)
def test_objects_match_by_hand_at_every_threshold(min_iou: float, n_matched: int, sum_iou: float) -> None:
    tally = tally_instances(overlap_table(TRUTH, PREDICTION), [0.4, 0.75])
    scores = tally.scores(min_iou)
    assert (scores.n_truth, scores.n_prediction, scores.n_matched) == (3, 3, n_matched)
    assert tally.sum_iou(min_iou) == pytest.approx(sum_iou)
    assert tally.sum_dice == pytest.approx(6 / 7 + 2 / 3)
    double = tally + tally
    assert (double.n_truth, double.scores(min_iou).n_matched) == (6, 2 * n_matched)
    with pytest.raises(SettingsError, match="E-IOU"):
        tally.scores(0.43)


def test_best_partners_are_scipys_assignment() -> None:
    rng = np.random.default_rng(5)
    truth, prediction = rng.integers(0, 7, (9, 11)), rng.integers(0, 9, (9, 11))
    table = overlap_table(truth, prediction)
    matrix = np.zeros((len(table.truth_labels), len(table.prediction_labels)))
    matrix[table.truth_index, table.prediction_index] = table.dice
    best = matrix[optimize.linear_sum_assignment(matrix, maximize=True)].sum()
    pairs = best_partners(table)
    assert table.dice[pairs].sum() == pytest.approx(best)
    assert len(set(table.truth_index[pairs].tolist())) == len(set(table.prediction_index[pairs].tolist())) == len(pairs)


def test_surfaces_of_two_single_voxels() -> None:
    """3 columns of 0.3 µm apart: one distance of 0.9 µm each way."""
    truth, prediction = np.zeros((2, 3, 5, 9), bool)
    truth[1, 2, 2] = prediction[1, 2, 5] = True
    tally = tally_surface(truth, prediction, (0.5, 0.2, 0.3), 0.9)
    assert (tally.n_images, tally.n_surface, tally.n_within, tally.n_measured) == (1, 2, 2, 2)
    assert (tally.mean_um, tally.largest_um, tally.share_within) == (pytest.approx(0.9), pytest.approx(0.9), 1.0)
    assert tally_surface(truth, prediction, (0.5, 0.2, 0.3), 0.8).n_within == 0
    nothing = tally_surface(truth, prediction, None, None)
    assert (nothing.n_images, nothing.n_within, nothing.share_within) == (0, None, None)
    both = tally + tally_surface(truth, truth, (0.5, 0.2, 0.3), 0.9)
    assert (both.n_images, both.n_surface, both.mean_um, both.largest_um) == (
        2,
        4,
        pytest.approx(0.45),
        pytest.approx(0.9),
    )
    assert math.isnan(both.hd95_um)


def test_probabilities_of_images_are_counted_together() -> None:
    """The bins are finer than the values, so that the pooled curve is scikit-learn's of all voxels."""
    rng = np.random.default_rng(6)
    truth = rng.random((2, 40)) < 0.4
    probability = rng.integers(0, 256, (2, 40)) / 255
    settings = ScoreSettings(n_calibration_bins=5)
    tallies = [tally_probability(*image, settings) for image in zip(truth, probability, strict=True)]
    for tally, inside, values in zip(tallies, truth, probability, strict=True):
        assert tally.average_precision == pytest.approx(average_precision_score(inside, values))
    pooled = tallies[0] + tallies[1]
    assert pooled.average_precision == pytest.approx(average_precision_score(truth.ravel(), probability.ravel()))
    assert pooled.reliability.brier == pytest.approx(np.mean((probability - truth) ** 2))
    binned = tally_probability(truth[0], probability[0], ScoreSettings(is_curve_exact=False))
    assert binned.exact_areas is None
    assert binned.average_precision == pytest.approx(tallies[0].average_precision)


def test_the_mask_of_a_probability_begins_at_the_threshold() -> None:
    case = Case("a", "a", TRUTH, probability=np.array([[0.2, 0.3, 0.5, 0.7]]))
    assert predicted_mask(case, ScoreSettings(threshold=0.5)).tolist() == [[False, False, True, True]]
    own = Case("a", "a", TRUTH, PREDICTION, PROBABILITY)
    assert predicted_mask(own, ScoreSettings()) is PREDICTION
    with pytest.raises(SettingsError, match="E-EMPTY"):
        predicted_mask(Case("a", "a", TRUTH), ScoreSettings())


def test_only_what_is_asked_for_is_counted_and_rows_follow() -> None:
    """Masks: 7 of 9 true and 8 predicted voxels in common, so Dice is 14/17."""
    case = Case("a", "a", TRUTH, PREDICTION, PROBABILITY)
    metrics = all_metrics()
    masks = [metric for metric in metrics if metric.needs == "masks"]
    tally = count_case(case, ScoreSettings(), masks)
    assert (tally.n_images, tally.surfaces, tally.instances, tally.probabilities) == (1, None, None, None)
    row = score_row(tally, metrics)
    assert row["dice"] == pytest.approx(14 / 17)
    assert set(row) == {"n_images", "reason", *(metric.name for metric in masks)}
    parts = [Case("a", "a", TRUTH[:, part], PREDICTION[:, part]) for part in (slice(6), slice(6, None))]
    first, second = (count_case(part, ScoreSettings(), masks) for part in parts)
    assert score_row(first + second, masks)["dice"] == pytest.approx(14 / 17)
    assert (first + second).n_images == 2
    full = count_case(case, ScoreSettings(), with_min_ious(metrics, (0.5,)))
    assert full.instances is not None
    assert full.instances.scores(0.5).n_matched == 2
    assert full.probabilities is not None
    light = full.without_bins()
    assert light.probabilities is not None
    assert light.probabilities.curve is None
    assert light.probabilities.average_precision == full.probabilities.average_precision


def test_empty_cells_have_a_reason() -> None:
    nothing = np.zeros((2, 3), bool)
    masks = [metric for metric in all_metrics() if metric.needs == "masks"]
    row = score_row(count_case(Case("a", "a", nothing, nothing), ScoreSettings(), masks), masks)
    assert math.isnan(row["dice"])
    assert "dice" in row["reason"]
    wide = without_probability({"n_images": 1, "reason": "x: y"}, all_metrics())
    added = {metric.name for metric in all_metrics() if metric.needs == "probabilities"}
    assert set(wide) == {"n_images", "reason", *added}
    assert all(math.isnan(wide[name]) for name in added)
    assert wide["reason"].startswith("x: y; ")


@pytest.mark.parametrize(
    ("min_iou", "suffix"), [(0.5, "50"), (0.75, "75"), (0.625, "62_5"), (1.0, "100"), (0.07, "7"), (1 / 3, "33_3333")]
)
def test_thresholds_in_names_of_columns(min_iou: float, suffix: str) -> None:
    assert iou_suffix(min_iou) == suffix


@pytest.mark.parametrize(
    ("check", "first", "second", "code"),
    [
        (check_pair, np.zeros((2, 3), bool), np.zeros((3, 2), bool), "E-SHAPE"),
        (check_pair, np.zeros(2), np.zeros(2, int), "E-LABELS-TYPE"),
        (check_pair, np.zeros(2, int), np.array([0, -1]), "E-LABELS-TYPE"),
        (check_probability, np.zeros((2, 3), bool), np.zeros((2, 4)), "E-SHAPE"),
        (check_probability, np.zeros(2), np.zeros(2), "E-LABELS-TYPE"),
        (check_probability, np.zeros(2, bool), np.array([0, np.nan]), "E-NAN"),
    ],
)
def test_arrays_that_cannot_be_compared(check: Any, first: np.ndarray, second: np.ndarray, code: str) -> None:
    with pytest.raises(SettingsError, match=code):
        check(first, second)


@pytest.mark.parametrize("values", [np.array([0.0, 1.0]), np.array([], np.float32), np.array([0.5], np.float16)])
def test_numbers_from_0_to_1_are_probabilities(values: np.ndarray) -> None:
    check_unit_interval(values)
    assert check_probability(np.full(values.shape, 7), values).tolist() == [True] * values.size


@pytest.mark.parametrize(
    "values", [np.array([-1e-6, 1.0]), np.array([0, 1.0001]), np.array([0, 1]), np.array([0, np.nan])]
)
def test_other_numbers_are_none(values: np.ndarray) -> None:
    with pytest.raises(SettingsError, match="E-PROBABILITY"):
        check_unit_interval(values)
