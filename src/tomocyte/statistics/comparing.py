"""Two conditions compared, with the replicate as the unit: the test, its effect sizes, and what both mean in words.

The cell is not the replicate: cells of one dish share its day, its medium and its passage. With one replicate there is
no p value. To add a test, add its name to :class:`ComparisonSettings` and its function to :func:`compare_conditions`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.errors import SettingsError
from tomocyte.names import natural_key
from tomocyte.settings import Settings
from tomocyte.statistics.bootstrap import BootstrapSettings
from tomocyte.statistics.effects import (
    Estimate,
    difference_of_means,
    hedges_g,
    mean_interval,
    ratio_of_means,
    welch_terms,
)
from tomocyte.statistics.levels import LEVELS, cell_means, replicate_means
from tomocyte.statistics.mixed import MixedModel, fit_mixed_model
from tomocyte.statistics.nested import hierarchical_difference
from tomocyte.statistics.power import detectable_difference, replicates_needed

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]
NONE = Estimate(math.nan)
"""No estimate."""
WELCH, PAIRED_T, MIXED = "Welch's t test", "paired t test", "linear mixed model"
ONE_REPLICATE = "one replicate: nothing tells how much replicates differ"
NO_SPREAD = "the replicates do not differ: there is no spread to compare with"
NO_VALUES = "no values"
NO_PAIRS = "fewer than two pairs of replicates: nothing tells how much differences vary"
SMALLEST_SPREAD = 1e-10
"""Of the largest value: less is rounding."""
ASSUMPTIONS = {
    WELCH: "replicates are independent and their means about normally distributed; conditions may differ in spread",
    PAIRED_T: "replicates are independent and the differences within them about normally distributed",
    MIXED: "replicates are independent and effects of replicates, of dishes and of cells about normally distributed, "
    "with the same spread in every condition",
}
"""Test -> what it assumes."""


class ComparisonSettings(Settings):
    """How conditions are compared."""

    test: Literal["means", "mixed"] = "means"
    """``means``: a t test on the means of replicates. ``mixed``: a linear mixed model of all cells."""
    is_paired: bool = False
    """Whether replicates of the same name in two conditions belong together, as where each is a day or a donor."""
    control: str | None = None
    """The condition that all others are compared with; without one, all pairs are."""
    level: float = Field(default=0.95, gt=0.5, lt=1)
    """Level of confidence of intervals."""
    effect_percent: float = Field(default=20.0, gt=0, le=1000)
    """Difference, in percent of the control, that the advice on numbers of replicates aims at."""
    effect: float | None = Field(default=None, gt=0)
    """The same in the unit of the values, for what has no meaningful percentage of the control."""
    n_resamples: int = Field(default=2000, ge=100, le=1_000_000)
    """Resamples of the hierarchical bootstrap."""
    seed: int = Field(default=1, ge=0)
    """Of the resamples."""


@dataclass(frozen=True)
class Comparison:
    """One condition against a control.

    Parameters
    ----------
    condition, control : str
    n_cells, n_cells_control, n_replicates, n_replicates_control : int
        With a value.
    mean, mean_control : float
        Means over replicates; of a mixed model, its estimates.
    difference : Estimate
        Of the means, in the values' unit, with the interval of the test.
    bootstrap : Estimate
        The same, with percentiles of the hierarchical bootstrap.
    ratio : Estimate
    hedges_g : Estimate
        In standard deviations between replicates; no interval when paired.
    test, unit, assumptions : str
        In words; ``test`` is empty where there is none.
    statistic, df, p : float
    reason : str
        Why there is no p value.
    detectable : float
        Smallest true difference that such an experiment finds in 8 of 10 repetitions.
    n_replicates_needed : int or None
        Per condition, to find the difference aimed at in 8 of 10 experiments.
    notes : tuple of str
        What was left out, and what is unusual about the fit.
    """

    condition: str
    control: str
    n_cells: int
    n_cells_control: int
    n_replicates: int
    n_replicates_control: int
    mean: float
    mean_control: float
    difference: Estimate
    bootstrap: Estimate = NONE
    ratio: Estimate = NONE
    hedges_g: Estimate = NONE
    test: str = ""
    unit: str = "replicate"
    assumptions: str = ""
    statistic: float = math.nan
    df: float = math.nan
    p: float = math.nan
    reason: str = ""
    detectable: float = math.nan
    n_replicates_needed: int | None = None
    notes: tuple[str, ...] = ()


def compare_conditions(values: pd.DataFrame, settings: ComparisonSettings | None = None) -> list[Comparison]:
    """Compare every two conditions, or each with the control.

    Parameters
    ----------
    values : DataFrame
        One row per cell (or several, which are averaged): ``condition``, ``replicate``, ``value`` and, where known,
        ``dish`` and ``cell``.
    settings : ComparisonSettings, optional

    Returns
    -------
    list of Comparison
        Empty for one condition. The p values are not corrected for their number: see :func:`tomocyte.statistics.holm`.

    Raises
    ------
    SettingsError
        ``E-STATISTICS-COLUMN``; ``E-CONDITION``: the control is none of the conditions.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = {"condition": ["control"] * 3 + ["drug"] * 3, "replicate": ["1", "2", "3"] * 2}
    >>> table = pd.DataFrame(rows).assign(value=[1.0, 2.0, 3.0, 3.0, 4.0, 5.0])
    >>> comparison = compare_conditions(table, ComparisonSettings(control="control"))[0]
    >>> comparison.test, comparison.difference.value, round(comparison.p, 4)
    ("Welch's t test", 2.0, 0.0705)
    """
    options = settings or ComparisonSettings()
    cells = cell_means(values)
    names = list(dict.fromkeys(cells["condition"]))
    if options.control is not None and options.control not in names:
        if len(names) == 0:
            return []
        raise SettingsError(
            "E-CONDITION", f"{options.control!r} has no values.", cure=f"The conditions are: {', '.join(names)}."
        )
    if options.control is None:
        pairs = [(second, first) for first, second in itertools.combinations(names, 2)]
    else:
        pairs = [(name, options.control) for name in names if name != options.control]
    model = _mixed_model(cells, options) if options.test == "mixed" else None
    rng = np.random.default_rng(options.seed)
    comparisons = [_compare(cells, condition, control, options, model, rng) for condition, control in pairs]
    return [replace(one, notes=(*_without_value(values, one), *one.notes)) for one in comparisons]


def _without_value(values: pd.DataFrame, comparison: Comparison) -> tuple[str, ...]:
    """Which replicates, and how many cells, have no value at all."""
    units = [name for name in LEVELS if name in values]
    known = values[units].assign(is_known=values["value"].notna())
    notes = []
    for name in (comparison.condition, comparison.control):
        mine = known[known["condition"] == name]
        has_value = mine.groupby("replicate", sort=False)["is_known"].any()
        empty = sorted(map(str, has_value.index[~has_value]), key=natural_key)
        if empty:
            notes.append(f"replicates of {name} without a value: {', '.join(empty)}")
        rows = mine["is_known"]
        of_cells = rows.groupby([mine[name] for name in units], dropna=False).any() if "cell" in units else rows
        n_missing = int((~of_cells).sum())
        if n_missing:
            notes.append(f"cells of {name} without a value: {n_missing} of {len(of_cells)}")
    return tuple(notes)


def _mixed_model(cells: pd.DataFrame, options: ComparisonSettings) -> MixedModel | None:
    """The model of all conditions with at least two replicates; none where fewer than two conditions have."""
    n_replicates = cells.groupby("condition", sort=False)["replicate"].nunique()
    able = cells[cells["condition"].isin(n_replicates.index[n_replicates > 1])]
    if able["condition"].nunique() < 2 or able["value"].nunique() < 2:
        return None
    return fit_mixed_model(able, is_paired=options.is_paired)


def _compare(
    cells: pd.DataFrame,
    condition: str,
    control: str,
    options: ComparisonSettings,
    model: MixedModel | None,
    rng: np.random.Generator,
) -> Comparison:
    mine, other = (cells[cells["condition"] == name] for name in (condition, control))
    means, other_means = (replicate_means(table).set_index("replicate") for table in (mine, other))
    common = [name for name in means.index if name in set(other_means.index)]
    paired = options.is_paired
    is_modelled = model is not None and {condition, control} <= {*model.conditions}
    notes: tuple[str, ...] = ()
    pairs = (means.loc[common, "value"].to_numpy(np.float64), other_means.loc[common, "value"].to_numpy(np.float64))
    if paired and not is_modelled:  # a model uses what has no partner, too
        lost = sorted(map(str, {*means.index, *other_means.index} - {*common}), key=natural_key)
        if lost:
            notes = (f"replicates without a partner are left out: {', '.join(lost)}",)
        means, other_means = means.loc[common], other_means.loc[common]
    first, second = (table["value"].to_numpy(dtype=np.float64) for table in (means, other_means))
    comparison = Comparison(
        condition,
        control,
        int(means["n_cells"].sum()),
        int(other_means["n_cells"].sum()),
        len(first),
        len(second),
        mean_interval(first).value,
        mean_interval(second).value,
        Estimate(math.nan),
        notes=notes,
    )
    if min(len(first), len(second)) == 0:
        return replace(comparison, reason=NO_PAIRS if notes else NO_VALUES)
    is_matched = paired and not is_modelled
    if min(len(first), len(second)) > 1 and not _has_spread(first, second, is_paired=is_matched):
        step = Estimate(comparison.mean - comparison.mean_control)
        ratio = Estimate(ratio_of_means(first, second).value)
        return replace(comparison, difference=step, ratio=ratio, reason=NO_SPREAD)
    comparison = replace(
        comparison,
        difference=difference_of_means(first, second, is_paired=is_matched, level=options.level),
        ratio=ratio_of_means(first, second, is_paired=is_matched, level=options.level),
    )
    if min(len(first), len(second)) < 2:
        return replace(comparison, reason=NO_PAIRS if notes else ONE_REPLICATE)
    drawn = hierarchical_difference(
        mine,
        other,
        rng=rng,
        is_paired=paired,
        settings=BootstrapSettings(n_resamples=options.n_resamples, level=options.level),
    )
    effect = hedges_g(first, second, level=options.level)
    comparison = replace(
        comparison,
        bootstrap=Estimate(drawn.value, drawn.low, drawn.high),
        hedges_g=Estimate(effect.value) if paired else effect,
    )
    matched, other_matched = pairs if paired else (first, second)
    comparison = _with_advice(comparison, matched, other_matched, options)
    return _tested(comparison, first, second, options, model if is_modelled else None)


def _tested(
    comparison: Comparison, first: Float, second: Float, options: ComparisonSettings, model: MixedModel | None
) -> Comparison:
    """The comparison with its test."""
    from scipy import stats

    if model is not None:
        condition, control = comparison.condition, comparison.control
        difference, statistic, p = model.contrast(condition, control, options.level)
        if math.isnan(p):
            return replace(comparison, reason=NO_PAIRS if model.df < 1 else NO_SPREAD)
        mean, mean_control = (float(model.means[model.conditions.index(name)]) for name in (condition, control))
        return replace(
            comparison,
            mean=mean,
            mean_control=mean_control,
            difference=difference,
            ratio=model.ratio(condition, control, options.level),
            test=MIXED,
            assumptions=ASSUMPTIONS[MIXED],
            statistic=statistic,
            df=model.df,
            p=p,
            notes=(*comparison.notes, *model.notes),
        )
    if options.is_paired:
        steps = first - second
        test, df = PAIRED_T, float(len(steps) - 1)
        step, error = float(steps.mean()), float(steps.std(ddof=1)) / math.sqrt(len(steps))
    else:
        test = WELCH
        step, error, df = welch_terms(first, second)
    statistic = step / error
    p = float(2 * stats.t.sf(abs(statistic), df))
    return replace(comparison, test=test, assumptions=ASSUMPTIONS[test], statistic=statistic, df=df, p=p)


def _spread(first: Float, second: Float, *, is_paired: bool) -> float:
    """Standard deviation between replicates, or of the differences of pairs."""
    if is_paired:
        return float((first - second).std(ddof=1))
    return math.sqrt((first.var(ddof=1) + second.var(ddof=1)) / 2)


def _has_spread(first: Float, second: Float, *, is_paired: bool) -> bool:
    """Whether replicates differ by more than rounding."""
    largest = float(np.abs(np.concatenate([first, second])).max())
    return _spread(first, second, is_paired=is_paired) > SMALLEST_SPREAD * largest


def _with_advice(comparison: Comparison, first: Float, second: Float, options: ComparisonSettings) -> Comparison:
    """The comparison with what so many replicates can show, and how many the effect asked for needs."""
    is_paired = options.is_paired
    if len(first) < 2 or not _has_spread(first, second, is_paired=is_paired):
        return comparison
    sd = _spread(first, second, is_paired=is_paired)
    aim = options.effect or abs(float(second.mean())) * options.effect_percent / 100
    n_replicates = min(len(first), len(second))
    return replace(
        comparison,
        detectable=detectable_difference(sd, n_replicates, is_paired=is_paired),
        n_replicates_needed=replicates_needed(aim, sd, is_paired=is_paired),
    )
