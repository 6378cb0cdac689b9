"""Two methods on the same objects: R's values for `sleep`, SciPy, statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired
from tests.statistics.published import SLEEP_FIRST, SLEEP_SECOND

from tomocyte.errors import SettingsError
from tomocyte.statistics import compare_methods


def test_r_tests_of_sleep() -> None:
    """R: paired t = -4.0621, df = 9, p = 0.002833; ``wilcox.test(…, paired = TRUE)``: p = 0.009091 with ties."""
    result = compare_methods(SLEEP_FIRST, SLEEP_SECOND)
    assert result.n_pairs == 10
    assert result.t == pytest.approx(-4.0621, abs=5e-5)
    assert result.df == 9
    assert result.p_t == pytest.approx(0.002833, abs=5e-7)
    # R corrects for continuity where there are ties; SciPy enumerates all signs: 9 of 9 differences are negative,
    # 2 of 2^9 assignments are as extreme.
    assert result.p_wilcoxon == pytest.approx(2 / 2**9)
    assert math.isnan(result.p_equivalence)
    assert "The methods differ." in result.words


@pytest.mark.parametrize("margin", [0.2, 1.0, 2.0, 3.0])
def test_statsmodels_equivalence(margin: float) -> None:
    expected = ttost_paired(np.array(SLEEP_FIRST), np.array(SLEEP_SECOND), -margin, margin)[0]
    result = compare_methods(SLEEP_FIRST, SLEEP_SECOND, margin=margin)
    assert result.p_equivalence == pytest.approx(expected, rel=1e-9)
    is_shown = "They are equivalent" in result.words
    assert is_shown == (expected < 0.05)


def test_scipy_without_ties() -> None:
    rng = np.random.default_rng(2)
    first = rng.normal(10, 1, 12)
    second = first + rng.normal(0.1, 0.5, 12)
    result = compare_methods(first, second, margin=1.0)
    assert result.p_t == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert result.p_wilcoxon == pytest.approx(stats.wilcoxon(first, second).pvalue)
    swapped = compare_methods(second, first, margin=1.0)
    assert swapped.p_equivalence == pytest.approx(result.p_equivalence)
    assert swapped.difference.low == pytest.approx(-result.difference.high)


@pytest.mark.parametrize(
    ("shift", "spread", "words"),
    [
        (0.0, 0.1, "They are equivalent within 1 "),
        (0.3, 0.01, "They differ by less than matters."),
        (3.0, 0.1, "they differ"),
        (0.0, 8.0, "too few or too scattered pairs to decide"),
    ],
)
def test_words_say_what_was_shown(shift: float, spread: float, words: str) -> None:
    steps = shift + spread * np.array([-1.1, -0.9, 1.0, 0.9, -0.3, 0.4])
    assert words in compare_methods(steps, np.zeros(6), margin=1.0).words
    assert "does not show that they agree" in compare_methods([1.0, 2.0, 3.0], [1.5, 1.4, 3.2]).words


def test_nothing_to_test() -> None:
    for first, second in (([1.0], [2.0]), ([], []), ([1.0, 2.0], [1.0, 2.0]), ([1.0, math.nan], [2.0, 1.0])):
        result = compare_methods(first, second, margin=1.0)
        assert math.isnan(result.p_t)
        assert "nothing can be tested" in result.words
    with pytest.raises(SettingsError, match="E-SHAPE"):
        compare_methods([1.0, 2.0], [1.0])
    with pytest.raises(SettingsError, match="E-MARGIN"):
        compare_methods([1.0, 2.0], [1.0, 3.0], margin=0.0)
