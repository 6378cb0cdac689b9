"""Effect sizes: R's values for its data `sleep`, DABEST, the definition of the noncentral interval, coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from tests.statistics.published import SLEEP_FIRST, SLEEP_SECOND

from tomocyte.statistics import difference_of_means, hedges_g, mean_interval, ratio_of_means
from tomocyte.statistics.noncentral import noncentral_t_cdf


def test_r_welch_interval_of_sleep() -> None:
    """``t.test(extra ~ group, data = sleep)``: 95 percent confidence interval -3.3654832 0.2054832."""
    interval = difference_of_means(SLEEP_FIRST, SLEEP_SECOND)
    assert interval.value == pytest.approx(0.75 - 2.33)
    assert (interval.low, interval.high) == pytest.approx((-3.3654832, 0.2054832), abs=1e-7)


def test_r_paired_interval_of_sleep() -> None:
    """``t.test(…, paired = TRUE)``: mean difference -1.58, interval -2.4598858 -0.7001142."""
    interval = difference_of_means(SLEEP_FIRST, SLEEP_SECOND, is_paired=True)
    assert (interval.value, interval.low, interval.high) == pytest.approx((-1.58, -2.4598858, -0.7001142), abs=1e-7)


def test_dabest_hedges_g_of_sleep() -> None:
    """DABEST 2025.10.20: Hedges' g 0.7969352391911205, Cohen's d 0.8321810813495395."""
    effect = hedges_g(SLEEP_SECOND, SLEEP_FIRST)
    assert effect.value == pytest.approx(0.7969352391911205, rel=1e-9)
    assert hedges_g(SLEEP_FIRST, SLEEP_SECOND).value == pytest.approx(-effect.value)
    # Each end of the interval is the effect under which what was seen lies at the edge of the likely.
    correction, weight = 0.7969352391911205 / 0.8321810813495395, math.sqrt(5)
    t = 0.8321810813495395 * weight
    assert stats.nct.sf(t, 18, effect.low / correction * weight) == pytest.approx(0.025, abs=1e-6)
    assert stats.nct.cdf(t, 18, effect.high / correction * weight) == pytest.approx(0.025, abs=1e-6)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """3 and 4 replicates from populations of means 12 and 10 and spread 2: g is 1, the ratio 1.2."""
    rng = np.random.default_rng(7)
    n_experiments = 1000
    held = np.zeros(3)
    for _ in range(n_experiments):
        first, second = rng.normal(12, 2, 4), rng.normal(10, 2, 3)
        for number, (interval, truth) in enumerate(
            ((difference_of_means(first, second), 2.0), (hedges_g(first, second), 1.0),
             (ratio_of_means(first, second), 1.2))
        ):  # fmt: skip
            held[number] += interval.low <= truth <= interval.high
    shares = held / n_experiments
    # Four standard errors of 1,000 draws are 0.028; the correction of g shifts its interval a little.
    assert shares[0] == pytest.approx(0.95, abs=0.028)
    assert shares[1] == pytest.approx(0.95, abs=0.035)
    assert shares[2] == pytest.approx(0.95, abs=0.028)


def test_a_ratio_by_hand() -> None:
    """Twice the control in every pair: the ratio is 2 without any doubt; a control of mean 0 has none."""
    ratio = ratio_of_means([2.0, 4.0, 6.0], [1.0, 2.0, 3.0], is_paired=True)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((2.0, 2.0, 2.0))
    assert math.isnan(ratio_of_means([1.0, 2.0], [-1.0, 1.0]).value)
    unpaired = ratio_of_means([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert unpaired.low < 1 < 2 < unpaired.high
    assert unpaired.low * unpaired.high == pytest.approx(4.0)


@pytest.mark.parametrize("df", [1.0, 2.0, 3.4, 18.0, 400.0])
@pytest.mark.parametrize("shift", [-3.0, 0.0, 0.5, 6.0])
def test_scipy_noncentral_t(df: float, shift: float) -> None:
    for statistic in (-2.0, 0.1, 1.5, 7.0):
        assert noncentral_t_cdf(statistic, df, shift) == pytest.approx(stats.nct.cdf(statistic, df, shift), abs=2e-6)
    assert noncentral_t_cdf(-1.86, df, 60.0) == pytest.approx(0, abs=1e-9)  # SciPy 1.17: NaN


def test_units_do_not_matter() -> None:
    first, second = np.array([3.1, 4.7, 5.2]), np.array([1.9, 2.2, 3.8])
    for scale in (1e-6, 1e6):
        assert difference_of_means(first * scale, second * scale).low == pytest.approx(
            difference_of_means(first, second).low * scale
        )
        assert hedges_g(first * scale, second * scale).low == pytest.approx(hedges_g(first, second).low)
        assert ratio_of_means(first * scale, second * scale).low == pytest.approx(ratio_of_means(first, second).low)


def test_too_few_values_have_no_interval() -> None:
    assert math.isnan(mean_interval([]).value)
    one = mean_interval([3.0])
    assert one.value == 3.0
    assert math.isnan(one.low)
    alone = difference_of_means([5.0], [1.0, 2.0])
    assert alone.value == 3.5
    assert math.isnan(alone.high)
    assert math.isnan(difference_of_means([], [1.0]).value)
    assert math.isnan(hedges_g([1.0], [2.0, 3.0]).value)
    assert math.isnan(hedges_g([1.0, 1.0], [2.0, 2.0]).value)
    assert difference_of_means([1.0, 1.0], [2.0, 2.0]).low == -1.0
