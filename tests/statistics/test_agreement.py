"""Agreement of paired measurements against hand-countable lists and formulas."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from tomocyte.errors import SettingsError
from tomocyte.statistics.agreement import mean_and_sd, paired_agreement


def test_bland_altman_by_hand() -> None:
    """Differences 1, -1, 3: mean 1, deviation 2; relative errors 1/2, -1/4, 3/5."""
    found = paired_agreement([2, 4, 5], [3, 3, 8])
    assert (found.n_pairs, found.bias, found.difference_sd) == (3, 1, 2)
    assert (found.lower_limit, found.upper_limit) == pytest.approx((1 - 3.92, 1 + 3.92))
    assert found.mean_relative_error == pytest.approx((0.5 - 0.25 + 0.6) / 3)
    assert found.mean_absolute_relative_error == pytest.approx((0.5 + 0.25 + 0.6) / 3)


def test_concordance_is_correlation_times_accuracy() -> None:
    """Lin: ρ_c = ρ · 2 / (v + 1/v + u²), v the ratio of deviations, u the shift over their geometric mean."""
    rng = np.random.default_rng(3)
    truth = rng.gamma(3, 200, 40)
    prediction = 1.2 * truth + 30 + rng.normal(0, 60, 40)
    v = prediction.std() / truth.std()
    u = (prediction.mean() - truth.mean()) / math.sqrt(prediction.std() * truth.std())
    expected = np.corrcoef(truth, prediction)[0, 1] * 2 / (v + 1 / v + u**2)
    assert paired_agreement(truth, prediction).concordance == pytest.approx(expected, abs=1e-12)
    assert paired_agreement(truth, truth).concordance == pytest.approx(1)
    assert paired_agreement(truth, -truth + 2 * truth.mean()).concordance == pytest.approx(-1)


def test_units_change_lengths_and_not_shares() -> None:
    one = paired_agreement([2, 4, 5], [3, 3, 8])
    thousand = paired_agreement([2000, 4000, 5000], [3000, 3000, 8000])
    assert thousand.bias == pytest.approx(1000 * one.bias)
    assert thousand.concordance == pytest.approx(one.concordance)
    assert thousand.mean_relative_error == pytest.approx(one.mean_relative_error)


def test_what_cannot_be_said_is_nan() -> None:
    nan = math.nan
    assert paired_agreement([1, nan, 3, 0], [2, 2, nan, 1]).n_pairs == 2
    assert paired_agreement([0, 2], [1, 3]).mean_relative_error == 0.5
    nothing = paired_agreement([], [])
    assert nothing.n_pairs == 0
    assert all(math.isnan(value) for value in (nothing.bias, nothing.concordance, nothing.mean_relative_error))
    assert math.isnan(paired_agreement([1], [2]).difference_sd)
    assert math.isnan(paired_agreement([1, 1], [1, 1]).concordance)
    with pytest.raises(SettingsError, match="E-SHAPE"):
        paired_agreement([1, 2], [1])


def test_mean_and_sd_of_folds() -> None:
    folds = [0.91, 0.88, 0.93, 0.9]
    assert mean_and_sd(folds) == pytest.approx((statistics.mean(folds), statistics.stdev(folds)), abs=1e-15)
    assert mean_and_sd([*folds, math.nan]) == mean_and_sd(folds)
    assert mean_and_sd([0.5])[0] == 0.5
    assert math.isnan(mean_and_sd([0.5])[1])
    assert math.isnan(mean_and_sd([])[0])
