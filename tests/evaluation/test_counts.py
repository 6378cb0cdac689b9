"""Counts and their scores against scikit-learn, MONAI and hand-countable arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics
from tests.evaluation.shapes import ball

from tomocyte.errors import SettingsError
from tomocyte.evaluation import (
    MaskCounts,
    class_counts,
    confusion_matrix,
    count_mask,
    dice,
    f05_as_published,
    f_beta,
    jaccard,
    moc,
    moc_as_published,
    pixel_accuracy,
    precision,
    recall,
)
from tomocyte.evaluation.counts import dice_of, jaccard_of, precision_of, recall_of

RNG = np.random.default_rng(11)
TRUTH = RNG.random((7, 11, 13)) < 0.3
PREDICTION = np.where(RNG.random(TRUTH.shape) < 0.8, TRUTH, ~TRUTH)
NAN = math.nan


def test_two_equal_balls_a_radius_apart() -> None:
    """V∩ = π (4R + d)(2R − d)²/12 at d = R: Dice 5/16, IoU 5/27, in the limit of fine voxels, whatever their shape."""
    voxel = (0.05, 0.03, 0.04)
    radius = 1.7
    shape = (75, 123, 138)
    first = ball((1.85, 1.85, 1.85), radius, shape=shape, voxel_size_um=voxel)
    second = ball((1.85, 1.85, 1.85 + radius), radius, shape=shape, voxel_size_um=voxel)
    assert dice(first, second) == pytest.approx(5 / 16, abs=1e-3)
    assert jaccard(first, second) == pytest.approx(5 / 27, abs=1e-3)


def test_scores_equal_scikit_learn() -> None:
    truth, prediction = TRUTH.ravel(), PREDICTION.ravel()
    assert precision(TRUTH, PREDICTION) == pytest.approx(metrics.precision_score(truth, prediction), abs=1e-12)
    assert recall(TRUTH, PREDICTION) == pytest.approx(metrics.recall_score(truth, prediction), abs=1e-12)
    assert pixel_accuracy(TRUTH, PREDICTION) == pytest.approx(metrics.accuracy_score(truth, prediction), abs=1e-12)
    assert dice(TRUTH, PREDICTION) == pytest.approx(metrics.f1_score(truth, prediction), abs=1e-12)
    assert jaccard(TRUTH, PREDICTION) == pytest.approx(metrics.jaccard_score(truth, prediction), abs=1e-12)
    for beta in (0.25, 0.5, 1.0, 2.0, 3.5):
        expected = metrics.fbeta_score(truth, prediction, beta=beta)
        assert f_beta(TRUTH, PREDICTION, beta=beta) == pytest.approx(expected, abs=1e-12)


def test_dice_equals_monai() -> None:
    import torch
    from monai.metrics import compute_dice, compute_iou

    one, other = (torch.from_numpy(mask.astype(np.float32))[None, None] for mask in (PREDICTION, TRUTH))
    assert dice(TRUTH, PREDICTION) == pytest.approx(float(compute_dice(one, other)), rel=1e-6)
    assert jaccard(TRUTH, PREDICTION) == pytest.approx(float(compute_iou(one, other)), rel=1e-6)


def test_counts_by_hand_and_their_sum() -> None:
    counts = count_mask(np.array([[1, 1, 1, 0, 0, 0, 0]]), np.array([[5, 0, 0, 2, 2, 0, 0]]))
    assert counts == MaskCounts(1, 2, 2, 2)
    assert (counts.n_truth, counts.n_prediction, counts.n_voxels) == (3, 3, 7)
    assert counts + MaskCounts(10, 20, 30, 40) == MaskCounts(11, 22, 32, 42)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # dice, jaccard, precision, recall, F0.5, as published, moc
        (MaskCounts(0, 0, 0, 9), (NAN, NAN, NAN, NAN, NAN, NAN, NAN)),
        (MaskCounts(0, 0, 4, 9), (0, 0, NAN, 0, 0, 0, NAN)),
        (MaskCounts(0, 4, 0, 9), (0, 0, 0, NAN, 0, 0, NAN)),
        (MaskCounts(4, 0, 0, 9), (1, 1, 1, 1, 1, 1.25, 1)),
        # P 3/4, R 3/5, R' = 3/3 = 1: 5·(3/4)·1/(3/4 + 4) = 15/19.
        (MaskCounts(3, 1, 2, 9), (6 / 9, 3 / 6, 3 / 4, 3 / 5, 3.75 / 5.25, 15 / 19, 3 / math.sqrt(20))),
    ],
)
def test_scores_by_hand_and_of_empty_masks(counts: MaskCounts, expected: tuple[float, ...]) -> None:
    found = (
        counts.dice,
        counts.jaccard,
        counts.precision,
        counts.recall,
        counts.f_beta(0.5),
        counts.f05_as_published,
        counts.moc,
    )
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_published_f05_explains_the_table() -> None:
    """Dice 0.9131 is TP / (FP + FN) = 5.25; with equal errors P = R = Dice. The paper prints 1.1016 (Table 1)."""
    truth = np.repeat([1, 1, 0, 0], [9131, 869, 869, 5])
    prediction = np.repeat([1, 0, 1, 0], [9131, 869, 869, 5])
    assert dice(truth, prediction) == pytest.approx(0.9131)
    published = 5 * 0.9131 * 5.2537 / (0.9131 + 4 * 5.2537)
    assert f05_as_published(truth, prediction) == pytest.approx(published, abs=1e-4)
    assert 1.08 < f05_as_published(truth, prediction) < 1.12
    assert f_beta(truth, prediction, beta=0.5) == pytest.approx(0.9131)


def test_moc_is_the_cosine_of_the_images() -> None:
    one, other = RNG.random((2, 5, 6, 7)).astype(np.float32)
    expected = metrics.pairwise.cosine_similarity(one.reshape(1, -1).astype(float), other.reshape(1, -1).astype(float))
    assert moc(one, other) == pytest.approx(float(expected[0, 0]), abs=1e-12)
    assert moc(one, 3 * one) == pytest.approx(1)
    assert moc(TRUTH, PREDICTION) == pytest.approx(count_mask(TRUTH, PREDICTION).moc, abs=1e-12)
    assert math.isnan(moc(one, 0 * other))
    assert moc(np.full(300, 255, np.uint8), np.full(300, 255, np.uint8)) == 1  # Squares do not fit into uint8.


def test_the_printed_moc_is_half_of_dice_for_masks() -> None:
    """Σxy / (Σx² + Σy²) = TP / (|A| + |B|): equal masks reach 0.5, below the 0.7 that the paper reports of five."""
    assert moc_as_published(TRUTH, PREDICTION) == pytest.approx(metrics.f1_score(TRUTH.ravel(), PREDICTION.ravel()) / 2)
    assert count_mask(TRUTH, PREDICTION).moc_as_published == pytest.approx(moc_as_published(TRUTH, PREDICTION))
    assert moc_as_published(TRUTH, TRUTH) == 0.5
    # 1·2 + 3·4 = 14 over 1 + 9 + 4 + 16 = 30, while the root gives 14/√(10·20).
    one, other = np.array([1.0, 3.0]), np.array([2.0, 4.0])
    assert (moc_as_published(one, other), moc(one, other)) == pytest.approx((14 / 30, 14 / math.sqrt(200)))
    assert moc_as_published(one, 0 * other) == 0
    assert math.isnan(moc_as_published(0 * one, 0 * other))


def test_confusion_matrix_equals_scikit_learn() -> None:
    truth = RNG.integers(0, 4, (5, 6, 7)).astype(np.uint8)
    prediction = np.where(RNG.random(truth.shape) < 0.6, truth, RNG.integers(0, 4, truth.shape)).astype(np.uint8)
    matrix = confusion_matrix(truth, prediction, n_classes=5)
    expected = metrics.confusion_matrix(truth.ravel(), prediction.ravel(), labels=range(5))
    assert matrix.tolist() == expected.tolist()
    report = metrics.classification_report(truth.ravel(), prediction.ravel(), output_dict=True)
    for index, counts in enumerate(class_counts(matrix)[:4]):
        row = report[str(index)]
        assert (counts.precision, counts.recall, counts.dice) == pytest.approx(
            (row["precision"], row["recall"], row["f1-score"]), abs=1e-12
        )
        assert counts == count_mask(truth == index, prediction == index)
    assert math.isnan(class_counts(matrix)[4].dice)


def test_pieces_of_a_large_image_are_all_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, prediction = TRUTH.astype(np.uint8), PREDICTION.astype(np.uint8)
    whole = confusion_matrix(truth, prediction, n_classes=2).tolist(), moc(truth, prediction)
    monkeypatch.setattr("tomocyte.evaluation.counts.CHUNK_VOXELS", 17)
    assert confusion_matrix(truth, prediction, n_classes=2).tolist() == whole[0]
    assert moc(truth, prediction) == pytest.approx(whole[1])


def test_wrong_input_is_refused() -> None:
    ones = np.ones((2, 3), np.uint8)
    with pytest.raises(SettingsError, match="E-SHAPE"):
        count_mask(ones, np.ones((3, 2), np.uint8))
    with pytest.raises(SettingsError, match="E-LABELS-TYPE"):
        count_mask(ones, ones * 0.5)
    with pytest.raises(SettingsError, match="E-CLASS"):
        confusion_matrix(ones, ones, n_classes=1)
    with pytest.raises(SettingsError, match="E-BETA"):
        f_beta(ones, ones, beta=0)
    with pytest.raises(SettingsError, match="E-NAN"):
        moc(ones, np.full((2, 3), np.nan))
    with pytest.raises(SettingsError, match="E-SHAPE"):
        moc(ones, ones[:1])


def test_formulas_of_arrays_are_those_of_numbers() -> None:
    """What intervals and tables of pairs are made of; 0 / 0 is NaN in both."""
    counts = [(3, 1, 2), (0, 0, 4), (0, 4, 0), (0, 0, 0), (7, 0, 0)]
    true, false, missed = np.array(counts).T
    for formula, name in ((dice_of, "dice"), (jaccard_of, "jaccard")):
        assert formula(true, false, missed).tolist() == pytest.approx(
            [getattr(MaskCounts(*one), name) for one in counts], nan_ok=True
        )
    assert precision_of(true, false).tolist() == pytest.approx([0.75, NAN, 0, NAN, 1], nan_ok=True)
    assert recall_of(true, missed).tolist() == pytest.approx([0.6, 0, NAN, NAN, 1], nan_ok=True)
