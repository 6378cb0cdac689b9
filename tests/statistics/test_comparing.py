"""Conditions compared with the replicate as the unit; R's t tests of `sleep`, one replicate, pairs, dishes."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tests.statistics.published import SLEEP_FIRST, SLEEP_SECOND, machines

from tomocyte.errors import SettingsError
from tomocyte.statistics import ComparisonSettings, cell_means, compare_conditions, holm, replicate_means
from tomocyte.statistics.comparing import MIXED, NO_PAIRS, NO_SPREAD, ONE_REPLICATE, PAIRED_T, WELCH


def sleep(n_cells: int = 1) -> pd.DataFrame:
    """Each patient as a replicate with several cells of the same value."""
    return pd.DataFrame(
        [
            {"condition": drug, "replicate": str(patient), "cell": cell, "value": value}
            for drug, values in (("drug 1", SLEEP_FIRST), ("drug 2", SLEEP_SECOND))
            for patient, value in enumerate(values)
            for cell in range(n_cells)
        ]
    )


@pytest.mark.parametrize("n_cells", [1, 50])
def test_r_welch_test_of_sleep(n_cells: int) -> None:
    """``t.test(extra ~ group, data = sleep)``: t = -1.8608, df = 17.776, p-value = 0.07939; cells count for nothing."""
    (comparison,) = compare_conditions(sleep(n_cells))
    assert comparison.test == WELCH
    assert (comparison.condition, comparison.control) == ("drug 2", "drug 1")
    assert comparison.statistic == pytest.approx(1.8608, abs=5e-5)
    assert comparison.df == pytest.approx(17.776, abs=5e-4)
    assert comparison.p == pytest.approx(0.07939, abs=5e-6)
    assert (comparison.difference.low, comparison.difference.high) == pytest.approx((-0.2054832, 3.3654832), abs=1e-7)
    assert (comparison.n_cells, comparison.n_replicates) == (10 * n_cells, 10)
    assert comparison.unit == "replicate"
    assert comparison.mean == pytest.approx(2.33)


def test_r_paired_test_of_sleep() -> None:
    """``t.test(…, paired = TRUE)``: t = -4.0621, df = 9, p-value = 0.002833."""
    (comparison,) = compare_conditions(sleep(3), ComparisonSettings(is_paired=True, control="drug 2"))
    assert comparison.test == PAIRED_T
    assert comparison.statistic == pytest.approx(-4.0621, abs=5e-5)
    assert comparison.df == 9
    assert comparison.p == pytest.approx(0.002833, abs=5e-7)
    assert math.isnan(comparison.hedges_g.low)


def test_the_mixed_model_is_the_one_of_lme4() -> None:
    """Machines: MachineB 7.967 with a standard error of 2.177."""
    settings = ComparisonSettings(test="mixed", is_paired=True, control="A")
    second, third = compare_conditions(machines(), settings)
    assert second.test == MIXED
    assert second.difference.value == pytest.approx(7.967, abs=5e-4)
    assert second.statistic == pytest.approx(7.96667 / 2.17697, rel=1e-3)
    assert third.difference.value == pytest.approx(13.917, abs=5e-4)


def test_every_pair_or_the_control() -> None:
    table = machines()
    assert [(one.condition, one.control) for one in compare_conditions(table)] == [("B", "A"), ("C", "A"), ("C", "B")]
    with_control = compare_conditions(table, ComparisonSettings(control="B"))
    assert [(one.condition, one.control) for one in with_control] == [("A", "B"), ("C", "B")]
    with pytest.raises(SettingsError, match="E-CONDITION"):
        compare_conditions(table, ComparisonSettings(control="D"))


@pytest.mark.parametrize("test", ["means", "mixed"])
def test_one_replicate_has_no_p_value(test: str) -> None:
    """A thousand cells of one dish do not make a second experiment."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        {
            "condition": ["control"] * 1000 + ["drug"] * 1000,
            "replicate": (["1"] * 500 + ["2"] * 500) + ["1"] * 1000,
            "value": np.concatenate([rng.normal(10, 1, 1000), rng.normal(20, 1, 1000)]),
        }
    )
    (comparison,) = compare_conditions(table, ComparisonSettings.model_validate({"test": test}))
    assert comparison.reason == ONE_REPLICATE
    assert comparison.test == ""
    assert math.isnan(comparison.p)
    assert math.isnan(comparison.difference.low)
    assert comparison.difference.value == pytest.approx(10, abs=0.2)
    assert comparison.n_replicates_needed is None


def test_dishes_weigh_the_same_however_many_cells_they_hold() -> None:
    """Replicate a: dishes of means 2 (four cells) and 10 (one cell) make 6, not 3.6."""
    rows = {"condition": "x", "replicate": "a", "dish": ["1"] * 4 + ["2"], "value": [1.0, 2.0, 2.0, 3.0, 10.0]}
    means = replicate_means(pd.DataFrame(rows))
    assert means["value"].tolist() == [6.0]
    assert means["n_cells"].tolist() == [5]
    flat = replicate_means(pd.DataFrame(rows).drop(columns="dish"))
    assert flat["value"].tolist() == [pytest.approx(3.6)]


def test_rows_of_one_cell_are_averaged_first() -> None:
    rows = {"condition": "x", "replicate": "a", "cell": ["1", "1", "1", "2"], "value": [1.0, 2.0, 3.0, 10.0]}
    assert cell_means(pd.DataFrame(rows))["value"].tolist() == [2.0, 10.0]
    assert replicate_means(pd.DataFrame(rows))["value"].tolist() == [6.0]
    assert replicate_means(pd.DataFrame(rows).assign(value=math.nan)).empty
    with pytest.raises(SettingsError, match="E-STATISTICS-COLUMN"):
        cell_means(pd.DataFrame({"condition": ["a"], "value": [1.0]}))


def test_pairs_without_a_partner_are_left_out_and_named() -> None:
    table = sleep()
    table = table[~((table["condition"] == "drug 2") & (table["replicate"] == "3"))]
    (comparison,) = compare_conditions(table, ComparisonSettings(is_paired=True))
    assert comparison.n_replicates == comparison.n_replicates_control == 9
    assert comparison.notes == ("replicates without a partner are left out: 3",)
    expected = stats.ttest_rel(SLEEP_SECOND[:3] + SLEEP_SECOND[4:], SLEEP_FIRST[:3] + SLEEP_FIRST[4:])
    assert comparison.p == pytest.approx(expected.pvalue)


def test_a_mixed_model_uses_what_has_no_partner() -> None:
    """Six workers on machine A, five on B: the paired t test leaves one out, the model does not."""
    table = machines()
    table = table[(table["condition"] != "C") & ~((table["condition"] == "B") & (table["replicate"] == "6"))]
    settings = {"is_paired": True, "control": "A"}
    (paired,) = compare_conditions(table, ComparisonSettings.model_validate(settings))
    assert (paired.n_replicates, paired.n_replicates_control) == (5, 5)
    (mixed,) = compare_conditions(table, ComparisonSettings.model_validate({**settings, "test": "mixed"}))
    assert (mixed.n_replicates, mixed.n_replicates_control) == (5, 6)
    assert mixed.notes == ()
    assert mixed.mean - mixed.mean_control == pytest.approx(mixed.difference.value)
    assert mixed.ratio.value == pytest.approx(mixed.mean / mixed.mean_control)
    assert mixed.df == 4


def test_pairs_that_are_none_are_said() -> None:
    table = sleep()
    table["replicate"] = table["condition"].str[-1] + table["replicate"]
    for test in ("means", "mixed"):
        (one,) = compare_conditions(table, ComparisonSettings.model_validate({"is_paired": True, "test": test}))
        assert one.reason == NO_PAIRS
        assert math.isnan(one.p)


def test_replicates_and_cells_without_a_value_are_said() -> None:
    """Patient 0 has no value with drug 2, one of three cells of patient 1 has none with drug 1."""
    table = sleep(3)
    is_second, patient = table["condition"] == "drug 2", table["replicate"]
    table.loc[is_second & (patient == "0"), "value"] = math.nan
    table.loc[~is_second & (patient == "1") & (table["cell"] == 0), "value"] = math.nan
    (comparison,) = compare_conditions(table)
    assert comparison.n_replicates == 9
    assert comparison.notes == (
        "replicates of drug 2 without a value: 0",
        "cells of drug 2 without a value: 3 of 30",
        "cells of drug 1 without a value: 1 of 30",
    )


def test_replicates_that_do_not_differ_have_no_test() -> None:
    rows = {"condition": ["a", "a", "b", "b"], "replicate": ["1", "2", "3", "4"], "value": [0.1, 0.1, 0.3, 0.3]}
    (comparison,) = compare_conditions(pd.DataFrame(rows))
    assert comparison.reason == NO_SPREAD
    assert math.isnan(comparison.p)


def test_a_condition_without_values() -> None:
    rows = {"condition": ["a", "a", "b"], "replicate": ["1", "2", "1"], "value": [1.0, 2.0, math.nan]}
    assert compare_conditions(pd.DataFrame(rows)) == []
    assert compare_conditions(pd.DataFrame(rows)[:0], ComparisonSettings(control="a")) == []


def test_advice_on_replicates() -> None:
    """Means 9, 10, 11 in both: a spread of 1. 20 % of 10 is 2 spreads: 6 replicates (power 0.88; 5 have 0.79)."""
    rows = {"condition": ["a"] * 3 + ["b"] * 3, "replicate": ["1", "2", "3"] * 2, "value": [9.0, 10.0, 11.0] * 2}
    (comparison,) = compare_conditions(pd.DataFrame(rows))
    assert comparison.n_replicates_needed == 6
    assert comparison.p == pytest.approx(1.0)
    wide = compare_conditions(pd.DataFrame(rows), ComparisonSettings(effect_percent=50))[0]
    assert wide.n_replicates_needed == 3
    assert wide.detectable == pytest.approx(comparison.detectable)
    absolute = compare_conditions(pd.DataFrame(rows), ComparisonSettings(effect=5.0))[0]
    assert absolute.n_replicates_needed == wide.n_replicates_needed


def test_holm_by_hand() -> None:
    """R: ``p.adjust(c(0.01, 0.02, 0.03, 0.005), "holm")`` is 0.03 0.04 0.04 0.02; what is no test does not count."""
    assert holm([0.01, 0.02, 0.03, 0.005]) == pytest.approx([0.03, 0.04, 0.04, 0.02])
    adjusted = holm([math.nan, 0.04, 0.9])
    assert math.isnan(adjusted[0])
    assert adjusted[1:] == pytest.approx([0.08, 0.9])
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    assert holm([]).tolist() == []
