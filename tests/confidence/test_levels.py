"""Calibration from counts: parameters recovered, the same as scikit-learn, intervals that cover what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats
from sklearn.linear_model import LogisticRegression

from tomocyte.confidence.levels import LevelCounts, conformal_ends, count_levels, coverage, fit_platt
from tomocyte.errors import SettingsError
from tomocyte.evaluation import count_reliability


def drawn(slope: float, bias: float, *, n: int = 400_000, seed: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Truth drawn from sigmoid(slope·logit + bias) of levels between the ends."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(1, 255, n).astype(np.uint8)
    return rng.random(n) < special.expit(slope * special.logit(levels / 255) + bias), levels


@pytest.mark.parametrize(("slope", "bias"), [(0.5, -1.2), (1.0, 0.0), (1.8, 0.7)])
def test_platt_parameters_are_recovered(slope: float, bias: float) -> None:
    """Within four standard errors, about 1 / sqrt(n p q)."""
    found = fit_platt(count_levels(*drawn(slope, bias)))
    assert found[0] == pytest.approx(slope, abs=0.02)
    assert found[1] == pytest.approx(bias, abs=0.02)


def test_platt_is_the_logistic_regression_of_scikit_learn() -> None:
    truth, levels = drawn(0.7, -0.4, n=3000)
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(special.logit(levels / 255)[:, None], truth)
    slope, bias = fit_platt(count_levels(truth, levels))
    assert slope == pytest.approx(theirs.coef_[0, 0], rel=1e-4)
    assert bias == pytest.approx(theirs.intercept_[0], rel=1e-3)


def test_the_end_levels_take_no_part() -> None:
    truth, levels = drawn(0.7, -0.4, n=20_000)
    alone = fit_platt(count_levels(truth, levels))
    ends = count_levels(np.ones(10**6, bool), np.zeros(10**6, np.uint8))
    assert fit_platt(count_levels(truth, levels) + ends) == alone


def test_what_cannot_be_fitted_stays_as_it_is() -> None:
    nothing = np.zeros(256, np.int64)
    assert fit_platt(LevelCounts(nothing, nothing)) == (1.0, 0.0)
    some = nothing.copy()
    some[100] = 10
    assert fit_platt(LevelCounts(some, some)) == (1.0, 0.0)
    assert fit_platt(LevelCounts(some, nothing)) == (1.0, 0.0)


def test_a_perfect_split_gives_the_steepest_slope() -> None:
    n = np.zeros(256, np.int64)
    n[[60, 200]] = 50
    inside = np.where(np.arange(256) > 128, n, 0)
    slope, bias = fit_platt(LevelCounts(n, inside))
    assert slope > 5
    assert special.expit(slope * special.logit(np.array([60, 200]) / 255) + bias) == pytest.approx([0, 1], abs=1e-2)


def test_reliability_from_counts_is_that_of_the_voxels() -> None:
    truth, levels = drawn(0.6, -0.8, n=5000)
    table = (np.arange(256) / 255) ** 1.3
    ours = count_levels(truth, levels).reliability(table)
    theirs = count_reliability(truth, table[levels])
    np.testing.assert_array_equal(ours.n_voxels, theirs.n_voxels)
    np.testing.assert_array_equal(ours.n_inside, theirs.n_inside)
    assert ours.ece == pytest.approx(theirs.ece, rel=1e-9)
    assert ours.brier == pytest.approx(theirs.brier, rel=1e-9)


def test_between_leaves_the_sure_ones_out() -> None:
    n = np.full(256, 3)
    kept = LevelCounts(n, n).between(51 / 255, 204 / 255)
    assert kept.n_voxels.sum() == kept.n_inside.sum() == 3 * (204 - 51 + 1)
    assert kept.n_voxels[[50, 51, 204, 205]].tolist() == [0, 3, 3, 0]


def test_calibrating_takes_the_error_away() -> None:
    truth, levels = drawn(0.5, -1.0)
    counts = count_levels(truth, levels)
    said = np.arange(256) / 255
    slope, bias = fit_platt(counts)
    fitted = special.expit(slope * special.logit(np.clip(said, 1e-4, 1 - 1e-4)) + bias)
    assert counts.reliability(said).ece > 0.15
    # √(p q / n per bin) is 0.003 for 400,000 draws in 15 bins.
    assert counts.reliability(fitted).ece < 0.006


@pytest.mark.parametrize(
    ("truth", "levels", "code"),
    [
        (np.zeros(3, bool), np.zeros(4, np.uint8), "E-SHAPE"),
        (np.zeros(3), np.zeros(3, np.uint8), "E-LABELS-TYPE"),
        (np.zeros(3, bool), np.zeros(3), "E-LABELS-TYPE"),
    ],
)
def test_counting_refuses_what_it_cannot_count(truth: np.ndarray, levels: np.ndarray, code: str) -> None:
    with pytest.raises(SettingsError, match=code):
        count_levels(truth, levels)


@pytest.mark.parametrize("n", [19, 50, 99, 400])
def test_conformal_ends_cover_as_the_beta_distribution_says(n: int) -> None:
    """Coverage of order statistics k and n - k + 1 is Beta(n + 1 - 2k, 2k), whatever the distribution."""
    k = math.floor((n + 1) * 0.05 + 1e-9)
    rng = np.random.default_rng(n)
    covered = []
    for _ in range(400):
        low, high = conformal_ends(rng.standard_cauchy(n), level=0.9)  # type: ignore[misc]
        covered.append(stats.cauchy.cdf(high) - stats.cauchy.cdf(low))
    expected = stats.beta(n + 1 - 2 * k, 2 * k)
    assert np.mean(covered) == pytest.approx(expected.mean(), abs=4 * expected.std() / 20)
    assert expected.mean() >= 0.9


def test_too_few_scores_give_no_interval_and_nan_are_left_out() -> None:
    scores = np.append(np.arange(19.0), [np.nan, np.inf])
    assert conformal_ends(scores) == (0.0, 18.0)
    assert conformal_ends(scores[1:]) is None
    with pytest.raises(SettingsError, match="E-LEVEL"):
        conformal_ends(scores, level=1.0)


def test_coverage_counts_only_what_is_known() -> None:
    assert math.isnan(coverage(np.array([1.0]), np.array([np.nan]), np.array([2.0])))
    found = coverage(np.array([1.0, 5.0, np.nan]), np.array([1.0, 1.0, 0.0]), np.array([1.0, 4.0, 9.0]))
    assert found == 0.5
