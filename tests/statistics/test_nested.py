"""The hierarchical bootstrap: DABEST's percentiles for one level, the analytic spread for three."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from tests.statistics.published import SLEEP_FIRST, SLEEP_SECOND

from tomocyte.statistics import BootstrapSettings, hierarchical_difference

MANY = BootstrapSettings(n_resamples=20_000)


def replicates(values: list[float]) -> pd.DataFrame:
    names = [str(number) for number in range(len(values))]
    return pd.DataFrame({"condition": "x", "replicate": names, "value": values})


@pytest.mark.parametrize(("is_paired", "low", "high"), [(False, 0.03, 3.19), (True, 0.96, 2.37)])
def test_dabest_percentiles_of_sleep(is_paired: bool, low: float, high: float) -> None:
    """DABEST 2025.10.20, mean difference of `sleep` with 5,000 resamples."""
    interval = hierarchical_difference(
        replicates(SLEEP_SECOND),
        replicates(SLEEP_FIRST),
        rng=np.random.default_rng(1),
        is_paired=is_paired,
        is_rescaled=False,
        settings=MANY,
    )
    assert interval.value == pytest.approx(1.58)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.06)


@pytest.mark.parametrize(("is_paired", "low", "high"), [(False, -0.2054832, 3.3654832), (True, 0.7001142, 2.4598858)])
@pytest.mark.parametrize("n_cells", [1, 8])
def test_rescaled_draws_are_as_wide_as_r_says(is_paired: bool, low: float, high: float, n_cells: int) -> None:
    """R's ``t.test`` of `sleep`; the draws lean a little. Cells that scatter within a replicate make it no wider."""
    drugs = []
    for values in (SLEEP_SECOND, SLEEP_FIRST):
        scatter = np.tile([-3.0, 3.0], n_cells // 2) if n_cells > 1 else np.zeros(1)
        table = replicates(values).loc[np.repeat(np.arange(10), n_cells)]
        drugs.append(table.assign(value=table["value"].to_numpy() + np.tile(scatter, 10)))
    interval = hierarchical_difference(*drugs, rng=np.random.default_rng(1), is_paired=is_paired, settings=MANY)
    assert interval.value == pytest.approx(1.58)
    assert interval.high - interval.low == pytest.approx(high - low, rel=0.02)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.2)


def test_a_skewed_condition_leans() -> None:
    """One large value above many: the interval reaches further up than down."""
    values = replicates([1.0, 1.1, 0.9, 1.2, 0.8, 6.0])
    interval = hierarchical_difference(
        values, replicates([0.0, 0.1, -0.1, 0.05, -0.05, 0.0]), rng=np.random.default_rng(1), settings=MANY
    )
    assert interval.high - interval.value > 1.2 * (interval.value - interval.low)


def test_spread_of_three_levels() -> None:
    """The variance of a resampled mean: replicates, dishes and cells each add their plug-in variance over their number.

    Means of replicates 0 and 10 (variance 25), of dishes ∓ 2 around them (4), of cells ∓ 1 around those (1): the
    resampled mean has the variance 25/2 + 4/(2·2) + 1/(2·2·4).
    """
    rows = [
        {"condition": "x", "replicate": replicate, "dish": dish, "value": at + shift + cell}
        for replicate, at in (("1", 0.0), ("2", 10.0))
        for dish, shift in (("a", -2.0), ("b", 2.0))
        for cell in (-1.0, -1.0, 1.0, 1.0)
    ]
    constant = replicates([0.0, 0.0])
    expected = math.sqrt(25 / 2 + 4 / 4 + 1 / 16)
    interval = hierarchical_difference(
        pd.DataFrame(rows),
        constant,
        rng=np.random.default_rng(2),
        is_rescaled=False,
        settings=BootstrapSettings(n_resamples=40_000, level=0.6827),
    )
    # Half of the draws hold both replicates (around 5 with deviation 1.03), a quarter each one twice: 16 % lie below
    # the lower end, which is in the middle of those at 0: their own deviation is 1.03, their 64 % quantile 0.37.
    assert interval.value == pytest.approx(5.0)
    assert interval.low == pytest.approx(0.37, abs=0.15)
    assert interval.high == pytest.approx(10 - 0.37, abs=0.15)
    assert interval.high - interval.low < 4 * expected


def test_a_thousand_cells_of_two_replicates_stay_two() -> None:
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"condition": "x", "replicate": ["1"] * 1000 + ["2"] * 1000, "value": rng.normal(0, 1, 2000)})
    table.loc[table["replicate"] == "2", "value"] += 10
    interval = hierarchical_difference(table, replicates([0.0, 0.0]), rng=rng, is_rescaled=False)
    assert interval.high - interval.low > 9
    assert interval.n_groups == 4


def test_no_interval_with_one_replicate() -> None:
    interval = hierarchical_difference(replicates([1.0]), replicates([2.0, 3.0]), rng=np.random.default_rng(1))
    assert interval.value == -1.5
    assert math.isnan(interval.low)
    assert "two replicates" in interval.reason
    equal = hierarchical_difference(replicates([1.0, 1.0]), replicates([2.0, 2.0]), rng=np.random.default_rng(1))
    assert equal.reason == "replicates without spread"
    nothing = hierarchical_difference(replicates([1.0])[:0], replicates([2.0]), rng=np.random.default_rng(1))
    assert nothing.reason == "a condition without values"
