"""The mixed model: lme4's published fit of `Machines`, and what the analysis of variance gives for balanced data."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tests.statistics.published import machines

from tomocyte.statistics import fit_mixed_model


def test_lme4_machines() -> None:
    """``lmer(score ~ Machine + (1 | Worker) + (1 | Worker:Machine), Machines)``.

    Pinheiro and Bates 2000, section 1.3.2; nlme prints for ``lme(score ~ Machine, Machines, ~ 1 | Worker/Machine)``
    the deviations 4.78105 (Worker), 3.729532 (Machine in Worker), 0.9615771 (residual), and 52.355556, MachineB
    7.966667, MachineC 13.916667. The standard errors follow, as the data are balanced: of a difference
    √(2 (3.7295²/6 + 0.96158²/18)) = 2.17697, of a mean √(4.78105²/6 + 3.72953²/6 + 0.96158²/18) = 2.4858.
    """
    model = fit_mixed_model(machines(), is_paired=True)
    assert model.conditions == ("A", "B", "C")
    # The variance is flat at its optimum: optimisers agree to four digits.
    assert model.sd_replicate == pytest.approx(4.78105, rel=2e-4)
    assert model.sd_condition_in_replicate == pytest.approx(3.72953, rel=2e-4)
    assert model.sd_cell == pytest.approx(0.96158, rel=2e-4)
    assert math.sqrt(model.covariance[0, 0]) == pytest.approx(2.4858, rel=2e-4)
    for name, expected in (("B", 7.96667), ("C", 13.91667)):
        difference, t, p = model.contrast(name, "A")
        assert difference.value == pytest.approx(expected, abs=1e-5)
        assert difference.value / t == pytest.approx(2.17697, rel=2e-4)
        assert p == pytest.approx(2 * stats.t.sf(expected / 2.17697, 10), rel=2e-3)  # (6 - 1) (3 - 1) = 10
    assert model.df == 10
    ratio = model.ratio("B", "A")
    assert ratio.value == pytest.approx((52.355556 + 7.966667) / 52.355556, rel=1e-6)
    # exp(0.1416 ∓ 2.228 × 0.0392), 0.0392 the error of the logarithm by the delta method
    assert (ratio.low, ratio.high) == pytest.approx((1.056, 1.257), abs=2e-3)


def one_cell_per_replicate(control: np.ndarray, drug: np.ndarray) -> pd.DataFrame:
    names = [str(number) for number in range(len(control))]
    return pd.DataFrame(
        {
            "condition": ["control"] * len(control) + ["drug"] * len(drug),
            "replicate": names * 2,
            "value": np.concatenate([control, drug]),
        }
    )


@pytest.mark.parametrize("seed", [8, 9, 11])
def test_one_cell_per_replicate_gives_the_t_test(seed: int) -> None:
    """Replicates and cells cannot be told apart; an optimiser may then put all spread where it likes."""
    rng = np.random.default_rng(seed)
    control, drug = rng.normal(20, 0.2, 5), rng.normal(22, 0.2, 5)
    model = fit_mixed_model(one_cell_per_replicate(control, drug))
    expected = stats.ttest_ind(drug, control)
    _, t, p = model.contrast("drug", "control")
    assert (t, p, model.df) == pytest.approx((expected.statistic, expected.pvalue, 8))
    assert model.sd_replicate == pytest.approx(math.sqrt((control.var(ddof=1) + drug.var(ddof=1)) / 2))
    assert "each replicate is one cell" in model.notes[0]


def test_the_interval_of_a_ratio_is_that_of_logarithms() -> None:
    """Small spreads: the ratio's interval is the one of the difference of logarithms, which SciPy gives."""
    rng = np.random.default_rng(8)
    control, drug = np.exp(rng.normal(3, 0.01, 5)), np.exp(rng.normal(3.1, 0.01, 5))
    table = one_cell_per_replicate(control, drug)
    ratio = fit_mixed_model(table).ratio("drug", "control")
    expected = stats.ttest_ind(np.log(drug), np.log(control)).confidence_interval(0.95)
    assert (math.log(ratio.low), math.log(ratio.high)) == pytest.approx((expected.low, expected.high), abs=1e-3)
    assert math.isnan(fit_mixed_model(table.assign(value=-table["value"])).ratio("drug", "control").value)


def nested(seed: int, *, n_dishes: int = 3, n_cells: int = 5) -> pd.DataFrame:
    """Two conditions of 4 replicates with dishes and cells, balanced."""
    rng = np.random.default_rng(seed)
    rows = []
    for condition, mean in (("control", 100.0), ("drug", 130.0)):
        for replicate in range(4):
            shift = rng.normal(0, 8)
            for dish in range(n_dishes):
                values = mean + shift + rng.normal(0, 5) + rng.normal(0, 3, n_cells)
                rows += [
                    {"condition": condition, "replicate": str(replicate), "dish": str(dish), "value": value}
                    for value in values
                ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("scale", [1.0, 1e-5])
def test_balanced_data_give_the_analysis_of_variance(scale: float) -> None:
    """REML of balanced data is the t test on the means of replicates with pooled spread, and the ANOVA's components."""
    table = nested(3)
    table["value"] *= scale
    model = fit_mixed_model(table)
    means = table.groupby(["condition", "replicate"])["value"].mean()
    drug, control = means["drug"].to_numpy(), means["control"].to_numpy()
    expected = stats.ttest_ind(drug, control)
    difference, t, p = model.contrast("drug", "control")
    assert difference.value == pytest.approx(drug.mean() - control.mean())
    assert (t, p) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-3)
    assert model.df == 6
    dishes = table.groupby(["condition", "replicate", "dish"])["value"]
    within = dishes.var(ddof=1).mean()
    between_dishes = dishes.mean().groupby(["condition", "replicate"]).var(ddof=1).mean()
    between_replicates = means.groupby("condition").var(ddof=1).mean()
    assert model.sd_cell == pytest.approx(math.sqrt(within), rel=1e-3)
    assert model.sd_dish == pytest.approx(math.sqrt(between_dishes - within / 5), rel=2e-3)
    assert model.sd_replicate == pytest.approx(math.sqrt(between_replicates - between_dishes / 3), rel=2e-3)
    assert model.notes == ()


def test_pairs_of_single_values_give_the_paired_t_test() -> None:
    rng = np.random.default_rng(5)
    day = rng.normal(0, 4, 6)
    control, drug = 10 + day + rng.normal(0, 1, 6), 12 + day + rng.normal(0, 1, 6)
    names = [str(number) for number in range(6)]
    table = pd.DataFrame(
        {
            "condition": ["control"] * 6 + ["drug"] * 6,
            "replicate": names * 2,
            "value": np.concatenate([control, drug]),
        }
    )
    _, t, p = fit_mixed_model(table, is_paired=True).contrast("drug", "control")
    expected = stats.ttest_rel(drug, control)
    assert (t, p) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-3)


def test_replicates_without_an_effect_are_noticed() -> None:
    """Replicates that differ less than their cells make one expect: the variance between them is zero."""
    table = pd.DataFrame(
        {
            "condition": ["a"] * 8 + ["b"] * 8,
            "replicate": ["1"] * 4 + ["2"] * 4 + ["3"] * 4 + ["4"] * 4,
            "value": [1.0, 2.0, 3.0, 4.0] * 2 + [2.0, 3.0, 4.0, 5.0] * 2,
        }
    )
    assert "the variance between replicates is estimated as zero" in fit_mixed_model(table).notes
