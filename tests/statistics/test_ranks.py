"""Rank correlation against SciPy's, its interval and p against what chance gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tomocyte.errors import SettingsError
from tomocyte.statistics import correlate_ranks


def test_the_value_is_scipys() -> None:
    rng = np.random.default_rng(1)
    first = rng.integers(0, 6, 30).astype(float)  # with ties
    second = first + rng.normal(0, 2, 30)
    made = correlate_ranks(first, second, rng=rng)
    expected = stats.spearmanr(first, second)
    assert made.value == pytest.approx(expected.statistic)
    assert made.p == pytest.approx(expected.pvalue, abs=0.01)
    assert made.low < made.value < made.high
    assert made.n_pairs == 30


def test_five_pairs_in_order_have_two_orders_of_120() -> None:
    """The same ranks, or all reversed, are 2 of 5! orders."""
    made = correlate_ranks(range(5), range(5), rng=np.random.default_rng(2), n_resamples=20_000)
    assert made.value == 1
    assert made.p == pytest.approx(2 / 120, abs=0.003)


def test_the_interval_holds_as_often_as_it_says() -> None:
    """Of normal pairs whose ranks correlate by 6/π asin(r/2), two thirds or more of the 80 % intervals hold it."""
    rng = np.random.default_rng(3)
    true = 6 / math.pi * math.asin(0.6 / 2)
    hits = 0
    for _ in range(60):
        first = rng.normal(size=40)
        second = 0.6 * first + 0.8 * rng.normal(size=40)
        made = correlate_ranks(first, second, rng=rng, level=0.8, n_resamples=200)
        hits += made.low <= true <= made.high
    assert 40 <= hits <= 57


def test_few_or_equal_values_say_nothing() -> None:
    rng = np.random.default_rng(1)
    assert math.isnan(correlate_ranks([1, 2, 3], [1, 2, 3], rng=rng).value)
    assert math.isnan(correlate_ranks([1, 1, 1, 1, 1], [1, 2, 3, 4, 5], rng=rng).value)
    assert correlate_ranks([1, 2, math.nan, 4, 5], [1, 2, 3, 4, 5], rng=rng).n_pairs == 4
    with pytest.raises(SettingsError, match="E-SHAPE"):
        correlate_ranks([1, 2], [1, 2, 3], rng=rng)
