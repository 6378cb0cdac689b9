"""An analysis in sentences that need no statistics to be read: ``words.md``.

To say something else of a comparison, add a sentence to :func:`comparison_words`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from tomocyte.runs.analyse.analysis import Analysis, Summary, Tested, has_zero
from tomocyte.runs.report.rounding import rounded
from tomocyte.statistics import Baseline, correlation_of_pairs
from tomocyte.statistics.comparing import MIXED
from tomocyte.statistics.power import MOST_REPLICATES
from tomocyte.tables import Column

ALPHA = 0.05
_SMALLEST_P = 0.0001
_PLANNING = (
    "Numbers of replicates take the scatter of these replicates as that of all; with few it may be half or twice as "
    "large."
)
_SUMMARY: dict[Summary, str] = {
    "mean": "mean of each cell",
    "change": "change of each cell from the baseline to the end of the film",
    "rate": "rate of each cell",
}


def analysis_words(analysis: Analysis, column_of: Callable[[str], Column], *, title: str) -> str:
    """The whole analysis as Markdown.

    Parameters
    ----------
    analysis : Analysis
    column_of : callable
        From a quantity to what it means.
    title : str
    """
    lines = [f"# {title}", "", *_design_lines(analysis), ""]
    lines += [f"**Note.** {notice.text[:1].upper()}{notice.text[1:]} ({notice.code})\n" for notice in analysis.notices]
    if analysis.left_out.words:
        lines += [analysis.left_out.words, ""]
    lines += [_how(analysis), ""]
    structure = ""
    for one in analysis.tested:
        if one.structure != structure:
            lines += [""] * bool(structure)
            structure = one.structure
            lines += [f"## {structure.replace('_', ' ')}", ""]
        lines += [f"- {comparison_words(one, column_of(one.quantity), analysis)}"]
    if analysis.tested:
        lines.append("")
    lines += _sister_lines(analysis, column_of)
    return "\n".join(lines).rstrip() + "\n"


def comparison_words(one: Tested, column: Column, analysis: Analysis) -> str:
    """One comparison in sentences: what was found, with which test, how sure, what more replicates would show."""
    text = f"**{quantity_words(column)}**"
    if one.summary != "mean" or len({other.summary for other in analysis.tested}) > 1:
        text += f" ({_SUMMARY[one.summary]})"
    text += f": {_effect(one, column, analysis.settings.comparison.level)}"
    n_tests = sum(not math.isnan(other.p_holm) for other in analysis.tested)
    return " ".join(part for part in (text, _test(one, n_tests), _advice(one, column, analysis)) if part)


def quantity_words(column: Column) -> str:
    """A column's name as people say it.

    Examples
    --------
    >>> quantity_words(Column("dry_mass_pg", "pg", "Dry mass.")), quantity_words(Column("mean_ri", "1", "Mean index."))
    ('dry mass', 'mean RI')
    """
    from tomocyte.measurements.registry import UNIT_ENDINGS

    name = column.name
    ending = next((ending for ending in UNIT_ENDINGS if name.endswith(ending)), "")
    words = name.removesuffix(ending).split("_")
    return " ".join("RI" if word == "ri" else "number" if word == "n" else word for word in words)


def _unit(column: Column, summary: Summary) -> str:
    if summary == "change" and has_zero(column.name):
        return " %"
    unit = "" if column.unit in ("1", "native", "") else f" {column.unit}"
    return f"{unit} per hour" if summary == "rate" else unit


def _effect(one: Tested, column: Column, level: float) -> str:
    comparison, unit = one.comparison, _unit(column, one.summary)
    name = column.name if one.summary == "mean" else ""
    is_percent = one.summary == "change" and has_zero(column.name)
    mean, other = (rounded(value, name) for value in (comparison.mean, comparison.mean_control))
    text = f"{mean}{unit} in {comparison.condition} against {other}{unit} in {comparison.control}"
    difference = comparison.difference
    if math.isnan(difference.value):
        return f"{text}."
    direction = "more" if difference.value >= 0 else "less"
    if is_percent:
        low, high = sorted((difference.low, difference.high)) if not math.isnan(difference.low) else (math.nan,) * 2
        size = f"{abs(difference.value):.3g} percentage points {direction}"
        return text + f", {size}{_interval(low, high, level, '')}."
    ratio = comparison.ratio
    if not math.isnan(ratio.value) and one.summary == "mean" and has_zero(name):
        size = f"{abs(100 * (ratio.value - 1)):.3g} % {direction}"
        return text + f", {size}{_interval(100 * (ratio.low - 1), 100 * (ratio.high - 1), level, ' %')}."
    size = f"{abs(difference.value):.3g}{unit} {direction}"
    return text + f", {size}{_interval(difference.low, difference.high, level, unit)}."


def _interval(low: float, high: float, level: float, unit: str) -> str:
    if math.isnan(low) or math.isnan(high):
        return ""
    return f" ({100 * level:g} % interval {low:+.3g} to {high:+.3g}{unit})".replace("-", "\N{MINUS SIGN}")


def _test(one: Tested, n_tests: int) -> str:
    comparison = one.comparison
    counts = (
        f"{comparison.n_replicates} and {comparison.n_replicates_control} replicates "
        f"({comparison.n_cells} and {comparison.n_cells_control} cells)"
    )
    if math.isnan(comparison.p):
        notes = f" Also: {'; '.join(comparison.notes)}." if comparison.notes else ""
        return f"No p value for {counts}: {comparison.reason}.{notes}"
    unit = "with the replicate as the unit" if comparison.test == MIXED else "on the means of replicates"
    text = f"{comparison.test[:1].upper()}{comparison.test[1:]} {unit}, {counts}: t({comparison.df:.3g}) = "
    text += f"{comparison.statistic:.3g}, p {_p(comparison.p)}".replace("-", "\N{MINUS SIGN}")
    text += f"; corrected for the {n_tests} tests of this analysis (Holm) p {_p(one.p_holm)}" if n_tests > 1 else ""
    notes = "".join(f" {note[:1].upper()}{note[1:]}." for note in comparison.notes)
    is_shown = one.p_holm < ALPHA
    verdict = "The conditions differ." if is_shown else "No difference is shown; that does not mean that there is none."
    return f"{text}. {verdict}{notes}"


def _p(value: float) -> str:
    return f"< {_SMALLEST_P}" if value < _SMALLEST_P else f"= {value:.2g}"


def _advice(one: Tested, column: Column, analysis: Analysis) -> str:
    """What so many replicates can show, and how many the effect asked for needs."""
    comparison = one.comparison
    if math.isnan(comparison.p) or math.isnan(comparison.detectable):
        return ""
    present = min(comparison.n_replicates, comparison.n_replicates_control)
    if one.summary == "rate" or not has_zero(one.quantity):  # no percentage of the control has a meaning
        size = f"{comparison.detectable:.2g}{_unit(column, one.summary)}"
        return f"With {present} replicates per condition, 8 of 10 experiments find a difference of {size}."
    percent = f"{analysis.settings.comparison.effect_percent:g}"
    aim = f"{percent} percentage points" if one.summary == "change" else f"{percent} % of the control"
    needed = comparison.n_replicates_needed
    if needed is None:
        return f"To find a difference of {aim} in 8 of 10 experiments takes more than {MOST_REPLICATES} replicates."
    if needed <= present:
        return f"{present} replicates per condition suffice to find a difference of {aim} in 8 of 10 experiments."
    return (
        f"To find a difference of {aim} in 8 of 10 experiments, about {needed} replicates per condition are needed, "
        f"{needed - present} more."
    )


def _design_lines(analysis: Analysis) -> list[str]:
    design = analysis.design
    lines = []
    for condition in design.conditions:
        entries = [entry for entry in design.assignments if entry.condition == condition]
        replicates = design.replicates(condition)
        lines.append(
            f"- {condition}: {len(replicates)} {'replicate' if len(replicates) == 1 else 'replicates'} "
            f"({', '.join(replicates)}), {len(entries)} {'input' if len(entries) == 1 else 'inputs'}"
        )
    if design.left_out:
        lines.append(f"- left out on purpose: {', '.join(design.left_out)}")
    return lines


def _how(analysis: Analysis) -> str:
    """The test, its unit and its assumptions."""
    texts = ["The unit is the replicate: cells of one replicate are averaged (dish by dish, where dishes are given)."]
    if any(one.comparison.test == MIXED for one in analysis.tested):
        texts = ["The unit is the replicate: the model of all cells knows which replicate and dish they come from."]
    assumptions = dict.fromkeys(
        (one.comparison.test, one.comparison.assumptions) for one in analysis.tested if one.comparison.test
    )
    for test, assumption in assumptions:
        name = test if test.startswith("Welch") else f"The {test}"
        texts.append(f"{name} assumes that {assumption}.")
    if assumptions:
        texts.append(_PLANNING)
    if analysis.settings.comparison.is_paired and assumptions:
        texts.append("Replicates of the same name were compared with each other.")
    if len(analysis.series):
        texts.append(f"Normalised values are divided by {Baseline.parse(analysis.settings.baseline).words}.")
    return " ".join(texts)


def _sister_lines(analysis: Analysis, column_of: Callable[[str], Column]) -> list[str]:
    if not len(analysis.sisters):
        return []
    lines = ["## Sister cells", ""]
    keys = ["structure", "quantity"]
    for (structure, quantity), pairs in analysis.sisters.groupby(keys, sort=False):
        counted = []
        for condition, rows in pairs.groupby("condition", sort=False):
            alike = correlation_of_pairs(rows["first_value"].to_numpy(float), rows["second_value"].to_numpy(float))
            words = f"intraclass correlation {alike:.2f}".replace("-", "\N{MINUS SIGN}")
            shown = "no correlation from so few" if math.isnan(alike) else words
            counted.append(f"{condition} {len(rows)} {'pair' if len(rows) == 1 else 'pairs'}, {shown}")
        what = f"{str(structure).replace('_', ' ')}, {quantity_words(column_of(str(quantity)))}"
        lines.append(f"- {what}: {'; '.join(counted)}")
    return [*lines, "", "A correlation of 1: sisters are equal; 0: they are no more alike than any two cells.", ""]
