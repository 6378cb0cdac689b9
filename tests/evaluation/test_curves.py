"""Precision-recall curves against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from tomocyte.errors import SettingsError
from tomocyte.evaluation import count_precision_recall, precision_recall_curve

RNG = np.random.default_rng(5)
TRUTH = RNG.random((6, 15, 19)) < 0.2


def reference(truth: np.ndarray, probability: np.ndarray) -> tuple[float, float]:
    precision, recall, _ = metrics.precision_recall_curve(truth.ravel(), probability.ravel())
    average = metrics.average_precision_score(truth.ravel(), probability.ravel())
    return float(metrics.auc(recall, precision)), float(average)


SMOOTH = np.clip(0.4 * TRUTH + 0.6 * RNG.random(TRUTH.shape), 0, 1)
CASES = {
    "smooth": SMOOTH,
    "float32": SMOOTH.astype(np.float32),
    "8-bit": (SMOOTH * 255).astype(np.uint8),
    "few values": np.round(SMOOTH * 6) / 6,
    "highest are false": np.where(TRUTH, SMOOTH * 0.8, SMOOTH),
    "highest is false alone": np.where(
        np.arange(TRUTH.size).reshape(TRUTH.shape) == np.flatnonzero(~TRUTH)[0], 1, SMOOTH * 0.9
    ),
    "perfect": TRUTH.astype(float),
    "upside down": 1.0 - TRUTH,
    "constant": np.full(TRUTH.shape, 0.3),
    "logits": 20 * SMOOTH - 10,
}


@pytest.mark.parametrize("name", CASES)
def test_areas_equal_scikit_learn(name: str) -> None:
    curve = precision_recall_curve(TRUTH, CASES[name])
    assert (curve.auc, curve.average_precision) == pytest.approx(reference(TRUTH, CASES[name]), abs=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_points_lie_on_scikit_learns_curve(name: str) -> None:
    precision, recall, _ = metrics.precision_recall_curve(TRUTH.ravel(), CASES[name].ravel())
    expected = {(round(p, 12), round(r, 12)) for p, r in zip(precision, recall, strict=True)}
    curve = precision_recall_curve(TRUTH, CASES[name])
    points = {(round(float(p), 12), round(float(r), 12)) for p, r in zip(curve.precision, curve.recall, strict=True)}
    assert points <= expected
    at_half = np.flatnonzero(curve.threshold >= 0.5)[-1] if name == "smooth" else None
    if at_half is not None:
        inside = CASES[name] >= curve.threshold[at_half]
        assert curve.recall[at_half] == pytest.approx((inside & TRUTH).sum() / TRUTH.sum())
        assert curve.precision[at_half] == pytest.approx((inside & TRUTH).sum() / inside.sum())
    assert np.all(np.diff(curve.threshold) <= 0)
    assert (curve.threshold[0], curve.precision[0], curve.recall[0]) == (math.inf, 1, 0)


def test_counts_are_exact_for_8_bit_and_close_for_smooth() -> None:
    eight_bit = (SMOOTH * 255).astype(np.uint8) / 255
    curve = count_precision_recall(TRUTH, eight_bit).curve
    assert (curve.auc, curve.average_precision) == pytest.approx(reference(TRUTH, eight_bit), abs=1e-12)
    curve = count_precision_recall(TRUTH, SMOOTH).curve
    assert (curve.auc, curve.average_precision) == pytest.approx(reference(TRUTH, SMOOTH), abs=1e-3)


def test_counts_of_images_add_up_to_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tomocyte.evaluation.curves.CHUNK_VOXELS", 100)
    grid = np.round(SMOOTH * 100) / 100
    parts = [count_precision_recall(TRUTH[z : z + 2], grid[z : z + 2]) for z in (0, 2, 4)]
    together = (parts[0] + parts[1] + parts[2]).curve
    assert (together.auc, together.average_precision) == pytest.approx(reference(TRUTH, grid), abs=1e-12)
    assert int((parts[0] + parts[1] + parts[2]).n_positive.sum()) == int(TRUTH.sum())


def test_without_true_voxels_there_is_no_area() -> None:
    for curve in (precision_recall_curve(~TRUTH & TRUTH, SMOOTH), count_precision_recall(~TRUTH & TRUTH, SMOOTH).curve):
        assert math.isnan(curve.auc)
        assert math.isnan(curve.average_precision)
    assert precision_recall_curve(TRUTH | ~TRUTH, SMOOTH).average_precision == 1


def test_wrong_input_is_refused() -> None:
    with pytest.raises(SettingsError, match="E-SHAPE"):
        precision_recall_curve(TRUTH, SMOOTH[1:])
    with pytest.raises(SettingsError, match="E-NAN"):
        precision_recall_curve(TRUTH, np.where(TRUTH, np.nan, SMOOTH))
    with pytest.raises(SettingsError, match="E-LABELS-TYPE"):
        precision_recall_curve(SMOOTH, SMOOTH)
    with pytest.raises(SettingsError, match="E-PROBABILITY"):
        count_precision_recall(TRUTH, 2 * SMOOTH)
    with pytest.raises(SettingsError, match="E-PROBABILITY"):
        count_precision_recall(TRUTH, TRUTH)
