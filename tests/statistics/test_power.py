"""Numbers of replicates: Cohen's tables, statsmodels, and experiments drawn at random."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestIndPower, TTestPower

from tomocyte.errors import SettingsError
from tomocyte.statistics import detectable_difference, power_of_t, replicates_needed


@pytest.mark.parametrize(("effect", "n"), [(0.2, 393), (0.5, 64), (0.8, 26)])
def test_cohens_table(effect: float, n: int) -> None:
    """Cohen, Psychol Bull 112, 155 (1992), doi:10.1037/0033-2909.112.1.155, table 2: small, medium, large effects."""
    assert replicates_needed(effect, 1.0) == pytest.approx(n, abs=1)  # the table rounds 393.4 down


@pytest.mark.parametrize("n", [2, 3, 5, 20])
@pytest.mark.parametrize("effect", [0.3, 1.0, 1.5])
def test_statsmodels(effect: float, n: int) -> None:
    assert power_of_t(effect, 1.0, n) == pytest.approx(TTestIndPower().power(effect, n, 0.05), rel=1e-6)
    assert power_of_t(-effect, 1.0, n, is_paired=True) == pytest.approx(TTestPower().power(effect, n, 0.05), rel=1e-6)
    # statsmodels takes SciPy's noncentral t, which is NaN for larger effects.
    smallest = detectable_difference(4.0, n)
    assert power_of_t(smallest, 4.0, n) == pytest.approx(0.8, abs=1e-5)


def test_experiments_drawn_at_random() -> None:
    rng = np.random.default_rng(11)
    first, second = rng.normal(2, 1, (4000, 4)), rng.normal(0, 1, (4000, 4))
    share = float((stats.ttest_ind(first, second, axis=1).pvalue < 0.05).mean())
    assert power_of_t(2.0, 1.0, 4) == pytest.approx(share, abs=0.03)


def test_what_cannot_be_planned() -> None:
    assert replicates_needed(0.0, 1.0) is None
    assert replicates_needed(0.01, 1.0) is None
    assert replicates_needed(100.0, 1.0) == 2
    for sd, n in ((0.0, 3), (float("nan"), 3), (1.0, 1)):
        with pytest.raises(SettingsError, match="E-POWER"):
            power_of_t(1.0, sd, n)
