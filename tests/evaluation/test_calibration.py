"""Calibration against scikit-learn, formulas and logistic regression."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from tomocyte.errors import SettingsError
from tomocyte.evaluation import count_reliability, fit_temperature, with_temperature

RNG = np.random.default_rng(8)
PROBABILITY = RNG.random((6, 17, 23))
TRUTH = RNG.random(PROBABILITY.shape) < PROBABILITY**1.5


@pytest.mark.parametrize("n_bins", [1, 7, 10, 15])
def test_curve_and_brier_equal_scikit_learn(n_bins: int) -> None:
    counts = count_reliability(TRUTH, PROBABILITY, n_bins=n_bins)
    true, said = calibration_curve(TRUTH.ravel(), PROBABILITY.ravel(), n_bins=n_bins)
    assert counts.fraction_inside == pytest.approx(true, abs=1e-12)
    assert counts.mean_probability == pytest.approx(said, abs=1e-12)
    assert counts.brier == pytest.approx(brier_score_loss(TRUTH.ravel(), PROBABILITY.ravel()), abs=1e-12)
    assert counts.ece == pytest.approx(np.sum(counts.n_voxels * np.abs(true - said)) / TRUTH.size, abs=1e-12)


def test_values_on_an_edge_lie_where_scikit_learn_puts_them() -> None:
    probability = np.arange(11).reshape(1, 11) / 10
    truth = probability > 0.35
    true, said = calibration_curve(truth.ravel(), probability.ravel(), n_bins=5)
    counts = count_reliability(truth, probability, n_bins=5)
    assert counts.mean_probability == pytest.approx(said, abs=1e-12)
    assert counts.fraction_inside == pytest.approx(true, abs=1e-12)


def test_a_constant_is_off_by_its_difference() -> None:
    truth = np.arange(100).reshape(4, 25) < 30
    counts = count_reliability(truth, np.full(truth.shape, 0.7))
    assert counts.ece == pytest.approx(0.4)
    assert counts.brier == pytest.approx(0.3 * 0.09 + 0.7 * 0.49)
    assert np.isnan(counts.mean_probability).sum() == 14


def test_counts_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = count_reliability(TRUTH, PROBABILITY)
    monkeypatch.setattr("tomocyte.evaluation.calibration.CHUNK_VOXELS", 101)
    parts = count_reliability(TRUTH[:2], PROBABILITY[:2]) + count_reliability(TRUTH[2:], PROBABILITY[2:])
    assert parts.n_voxels.tolist() == whole.n_voxels.tolist()
    assert (parts.ece, parts.brier) == pytest.approx((whole.ece, whole.brier), abs=1e-12)


def test_temperature_equals_logistic_regression() -> None:
    """One weight without intercept on the logits is 1/T."""
    logits = RNG.normal(0, 3, (3000, 1))
    truth = RNG.random(3000) < special.expit(logits[:, 0] / 2.5)
    fitted = LogisticRegression(C=math.inf, fit_intercept=False, tol=1e-12).fit(logits, truth)
    assert fit_temperature(truth, logits[:, 0]) == pytest.approx(1 / fitted.coef_[0, 0], rel=1e-6)


def test_temperature_makes_two_levels_calibrated() -> None:
    """Said sigmoid(±2), true in 3 of 4: T = 2 / ln 3, and then the probability is 3/4."""
    truth, logits = np.array([1, 1, 1, 0, 0, 0, 0, 1]), np.array([2.0] * 4 + [-2.0] * 4)
    temperature = fit_temperature(truth, logits)
    assert temperature == pytest.approx(2 / math.log(3), rel=1e-9)
    probability = with_temperature(special.expit(logits), temperature)
    assert probability == pytest.approx(np.repeat([0.75, 0.25], 4))
    assert count_reliability(truth, probability).ece == pytest.approx(0, abs=1e-9)


def test_ends_of_the_temperature() -> None:
    assert fit_temperature(np.array([0, 1]), np.array([-1.0, 1.0])) == 1e-3
    assert fit_temperature(np.array([1, 0]), np.array([-1.0, 1.0])) == 1e3
    assert with_temperature(np.array([0.0, 0.5, 1.0]), 3.0).tolist() == [0, 0.5, 1]


def test_wrong_input_is_refused() -> None:
    with pytest.raises(SettingsError, match="E-PROBABILITY"):
        count_reliability(TRUTH, PROBABILITY + 1)
    with pytest.raises(SettingsError, match="E-NAN"):
        fit_temperature(TRUTH, np.where(TRUTH, np.inf, PROBABILITY))
    with pytest.raises(SettingsError, match="E-EMPTY"):
        fit_temperature(np.zeros(0, bool), np.zeros(0))
    with pytest.raises(SettingsError, match="E-TEMPERATURE"):
        with_temperature(PROBABILITY, 0)
    assert math.isnan(count_reliability(np.zeros(0, bool), np.zeros(0)).ece)
