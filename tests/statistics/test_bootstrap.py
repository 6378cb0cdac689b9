"""Bootstrap intervals against the normal law, SciPy and invariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tomocyte.errors import SettingsError
from tomocyte.statistics.bootstrap import BootstrapSettings, Interval, bootstrap_interval


def mean(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[..., 0] / sums[..., 1])


def interval(values: np.ndarray, sizes: np.ndarray, **settings: object) -> Interval:
    chosen = BootstrapSettings.model_validate({"n_resamples": 4000, **settings})
    return bootstrap_interval(np.column_stack([values, sizes]), mean, rng=np.random.default_rng(1), settings=chosen)


VALUES = np.random.default_rng(7).gamma(2, 3, 80)
ONES = np.ones(80)


@pytest.mark.parametrize("method", ["percentile", "BCa"])
def test_single_images_give_scipys_interval(method: str) -> None:
    found = interval(VALUES, ONES, method=method)
    expected = stats.bootstrap(
        (VALUES,), np.mean, n_resamples=4000, method=method, rng=np.random.default_rng(1), batch=1000
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert found.value == pytest.approx(VALUES.mean())


def test_interval_of_a_mean_is_near_the_normal_one() -> None:
    half = 1.96 * VALUES.std() / math.sqrt(80)
    found = interval(VALUES, ONES)
    assert (found.low, found.high) == pytest.approx((VALUES.mean() - half, VALUES.mean() + half), abs=0.15 * half)
    narrow = interval(VALUES, ONES, level=0.5)
    assert narrow.high - narrow.low == pytest.approx((found.high - found.low) * 0.6745 / 1.96, rel=0.1)


def test_frames_of_a_group_are_no_new_witnesses() -> None:
    """Ten copies of every group's images leave the interval as it is; taken as images of their own they shrink it."""
    copies, once = interval(10 * VALUES, 10 * ONES), interval(VALUES, ONES)
    assert (copies.low, copies.value, copies.high) == pytest.approx((once.low, once.value, once.high), rel=1e-12)
    alone, wrong = interval(VALUES, ONES), interval(np.repeat(VALUES, 10), np.ones(800))
    assert wrong.high - wrong.low < 0.5 * (alone.high - alone.low)


def test_large_groups_weigh_more() -> None:
    found = interval(np.array([10 * 1.0, 2.0]), np.array([10, 1]))
    assert found.value == pytest.approx(12 / 11)
    assert (found.low, found.high) == (1.0, 2.0)


def test_seed_decides() -> None:
    assert interval(VALUES, ONES) == interval(VALUES, ONES)


@pytest.mark.parametrize(
    ("values", "sizes", "method", "reason"),
    [
        ([3.0], [1], "percentile", "two groups"),
        ([0.0, 0.0], [0, 0], "percentile", "no image"),
        ([3.0, 3.0, 3.0], [1, 1, 1], "BCa", "without spread"),
        ([3.0, 0.0], [1, 0], "percentile", "without a value"),
    ],
)
def test_what_has_no_interval_says_why(values: list[float], sizes: list[int], method: str, reason: str) -> None:
    found = interval(np.array(values), np.array(sizes), method=method)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert reason in found.reason


def test_equal_values_have_an_interval_of_no_width() -> None:
    found = interval(np.array([3.0, 3.0]), np.array([1, 1]))
    assert (found.low, found.high, found.reason) == (3, 3, "")


def test_wrong_input_is_refused() -> None:
    with pytest.raises(SettingsError, match="E-SHAPE"):
        bootstrap_interval(np.ones(4), mean, rng=np.random.default_rng(1))
    empty = bootstrap_interval(np.zeros((0, 2)), mean, rng=np.random.default_rng(1))
    assert math.isnan(empty.value)
