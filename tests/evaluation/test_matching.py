"""Scores against hand-countable arrays, formulas and exhaustive search."""

from __future__ import annotations

import itertools
import math
import time

import numpy as np
import pytest

from tomocyte.errors import SettingsError
from tomocyte.evaluation import (
    dice,
    hungarian_mean_dice,
    jaccard,
    match_instances,
    overlap_table,
    score_instances,
)


def sphere(centre: tuple[float, float, float], radius: float, shape: tuple[int, int, int]) -> np.ndarray:
    z, y, x = np.indices(shape)
    return (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 <= radius**2


def test_two_equal_spheres_a_radius_apart() -> None:
    # V∩ = π(4R + d)(2R − d)²/12 at d = R: Dice 5/16, IoU 5/27.
    radius = 30.0
    first = sphere((35, 35, 35), radius, (71, 71, 101))
    second = sphere((35, 35, 65), radius, (71, 71, 101))
    assert dice(first, second) == pytest.approx(5 / 16, abs=2e-3)
    assert jaccard(first, second) == pytest.approx(5 / 27, abs=2e-3)


def test_masks_by_hand() -> None:
    first, second = np.array([1, 1, 1, 0, 0]), np.array([0, 0, 7, 7, 0])
    assert dice(first, second) == 2 / 5
    assert jaccard(first, second) == 1 / 4
    assert dice(first, first) == jaccard(first, first) == 1.0
    assert dice(first, 1 - first) == jaccard(first, 1 - first) == 0.0
    assert math.isnan(dice(0 * first, 0 * first))
    assert math.isnan(jaccard(0 * first, 0 * first))


TRUTH = np.array([[1, 1, 1, 1, 0, 0, 2, 2, 2, 2, 0, 3]])
PREDICTION = np.array([[5, 5, 5, 0, 0, 0, 9, 9, 6, 6, 6, 0]])
# Pairs: (1,5) 3 of 4 -> IoU 3/4, Dice 6/7; (2,9) 2 of 4 -> 1/2, 4/6; (2,6) 2 of 5 -> 2/5, 4/7; 3 is missed.


def test_overlap_table_by_hand() -> None:
    table = overlap_table(TRUTH, PREDICTION)
    assert table.truth_labels.tolist() == [1, 2, 3]
    assert table.prediction_labels.tolist() == [5, 6, 9]
    assert table.truth_sizes.tolist() == [4, 4, 1]
    assert table.prediction_sizes.tolist() == [3, 3, 2]
    pairs = set(zip(table.truth_index.tolist(), table.prediction_index.tolist(), table.n_common.tolist(), strict=True))
    assert pairs == {(0, 0, 3), (1, 2, 2), (1, 1, 2)}
    assert sorted(table.iou) == pytest.approx([2 / 5, 1 / 2, 3 / 4])


@pytest.mark.parametrize(
    ("min_iou", "pairs", "precision", "recall"),
    [(0.5, [(1, 5), (2, 9)], 2 / 3, 2 / 3), (0.51, [(1, 5)], 1 / 3, 1 / 3), (0.8, [], 0.0, 0.0)],
)
def test_scores_by_hand(min_iou: float, pairs: list[tuple[int, int]], precision: float, recall: float) -> None:
    assert match_instances(TRUTH, PREDICTION, min_iou=min_iou) == pairs
    scores = score_instances(TRUTH, PREDICTION, min_iou=min_iou)
    assert (scores.n_truth, scores.n_prediction, scores.n_matched) == (3, 3, len(pairs))
    assert (scores.precision, scores.recall, scores.f1) == pytest.approx((precision, recall, precision))


def test_f1_is_not_recall_or_precision() -> None:
    scores = score_instances(np.array([1, 2, 3, 4]), np.array([1, 2, 0, 0]))
    assert (scores.precision, scores.recall) == (1.0, 0.5)
    assert scores.f1 == pytest.approx(2 / 3)


def test_more_pairs_come_before_better_ones() -> None:
    # IoU of (1, 1) is 9/15 = 0.6, of (1, 2) and (2, 1) 1/4 each: one good pair, or two.
    truth = np.repeat([1, 2], [12, 3])
    prediction = np.repeat([2, 1], [3, 12])
    pairs = match_instances(truth, prediction, min_iou=0.2)
    assert pairs == [(1, 2), (2, 1)]


def test_hungarian_dice_by_hand() -> None:
    # 1-5: 6/7; 2-9: 4/6 beats 2-6: 4/7; 3 counts 0.
    assert hungarian_mean_dice(TRUTH, PREDICTION) == pytest.approx((6 / 7 + 4 / 6) / 3)


def test_hungarian_dice_equals_exhaustive_search() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        truth = rng.integers(0, 5, size=(3, 4, 5))
        prediction = rng.integers(0, 5, size=(3, 4, 5))
        table = [[dice(truth == t, prediction == p) for p in range(1, 5)] for t in range(1, 5)]
        best = max(sum(table[t][p] for t, p in enumerate(order)) for order in itertools.permutations(range(4)))
        assert hungarian_mean_dice(truth, prediction) == pytest.approx(best / 4)


def test_nothing_to_find() -> None:
    empty, some = np.zeros((2, 3, 4), dtype=np.uint8), np.ones((2, 3, 4), dtype=np.uint8)
    assert math.isnan(score_instances(empty, empty).f1)
    assert math.isnan(hungarian_mean_dice(empty, some))
    scores = score_instances(some, empty)
    assert (scores.recall, scores.f1) == (0.0, 0.0)
    assert math.isnan(scores.precision)
    assert match_instances(empty, some) == []


def test_label_numbers_do_not_matter() -> None:
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 40, size=(5, 7, 11)).astype(np.uint8)
    prediction = np.where(rng.random(truth.shape) < 0.8, truth, 0).astype(np.uint8)
    large = (rng.permutation(40).astype(np.uint32) + 1) * 100_000
    large[0] = 0
    before, after = score_instances(truth, prediction), score_instances(truth, large[prediction])
    assert before == after
    assert before.n_matched > 10


def test_ten_thousand_objects_are_cheap() -> None:
    truth = np.repeat(np.repeat(np.arange(1, 10_001).reshape(1, 100, 100), 6, axis=1), 6, axis=2)
    prediction = np.roll(truth, 1, axis=2)
    prediction[:, :, 0] = 0
    start = time.perf_counter()
    scores = score_instances(truth, prediction)
    mean_dice = hungarian_mean_dice(truth, prediction)
    assert time.perf_counter() - start < 10
    # Each object keeps 30 of its 36 pixels; those at the right border lose a column.
    assert scores.n_matched == 10_000
    assert mean_dice == pytest.approx((99 * 30 / 36 + 2 * 30 / (36 + 36 - 6 + 6)) / 100, abs=5e-3)


@pytest.mark.parametrize("score", [dice, jaccard, score_instances, hungarian_mean_dice, match_instances])
def test_wrong_input_is_refused(score: object) -> None:
    assert callable(score)
    with pytest.raises(SettingsError, match="E-SHAPE"):
        score(np.zeros((2, 3), int), np.zeros((3, 2), int))
    with pytest.raises(SettingsError, match="E-LABELS-TYPE"):
        score(np.zeros((2, 3)), np.zeros((2, 3), int))
    with pytest.raises(SettingsError, match="E-LABELS-TYPE"):
        score(np.zeros((2, 3), int), np.full((2, 3), -1))
