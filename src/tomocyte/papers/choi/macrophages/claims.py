"""What the paper says of Fig. 4 against what is found: effects with intervals, and whether each claim holds.

An effect is the change of the condition from start to end less that of the control, over replicates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tomocyte.papers.choi.macrophages.recipe import Claim, MacrophagesRecipe
from tomocyte.runs.analyse import Analysis
from tomocyte.runs.analyse.analysis import has_zero
from tomocyte.statistics import Estimate, compare_conditions, track_changes
from tomocyte.statistics.comparing import Comparison
from tomocyte.statistics.series import as_cells

if TYPE_CHECKING:
    import pandas as pd

HOLDS, FAILS, WEAK = "holds", "does not hold", "does not hold (right direction, the interval includes 0)"
OPEN = "cannot be decided"
COLUMNS = (
    "structure", "quantity", "says", "words", "part", "condition", "source", "change", "change_control", "difference",
    "low", "high", "p", "p_holm", "n_cells", "n_cells_control", "verdict",
)  # fmt: skip


@dataclass(frozen=True)
class Effect:
    """The effect of one condition on one quantity, of which part of the film, and its p value after Holm."""

    part: str
    comparison: Comparison
    p_holm: float = math.nan


def effects_of(analysis: Analysis, claim: Claim, recipe: MacrophagesRecipe) -> list[list[Effect]]:
    """For each condition the effects that decide a claim: of the whole film, or of its beginning and of the rest.

    Parameters
    ----------
    analysis : Analysis
        Of changes.
    claim : Claim
    recipe : MacrophagesRecipe
    """
    key = (claim.structure, claim.quantity)
    if claim.says != "up-then-constant":
        return [
            [Effect("whole film", one.comparison, one.p_holm)]
            for one in analysis.tested
            if (one.structure, one.quantity) == key
        ]
    rows = analysis.series
    if rows.empty:
        return []
    chosen = (rows["structure"] == claim.structure) & (rows["quantity"] == claim.quantity)
    rows = rows[chosen & rows["value"].notna()]
    turn_s = 3600 * recipe.early_h
    parts = {
        f"first {recipe.early_h:g} h": rows[rows["time_s"] <= turn_s],
        "afterwards": rows[rows["time_s"] >= turn_s],
    }
    found: dict[str, list[Effect]] = {}
    for part, series in parts.items():
        if series.empty:
            continue
        cells = as_cells(track_changes(series, is_relative=has_zero(claim.quantity)))
        if analysis.settings.comparison.control in set(cells["condition"]):
            for comparison in compare_conditions(cells, analysis.settings.comparison):
                found.setdefault(comparison.condition, []).append(Effect(part, comparison))
    return [effects for effects in found.values() if len(effects) == len(parts)]


def verdict(claim: Claim, effects: list[Effect], recipe: MacrophagesRecipe) -> str:
    """Whether a claim holds for these effects.

    Parameters
    ----------
    claim : Claim
    effects : list of Effect
        As :func:`effects_of` gives them.
    recipe : MacrophagesRecipe
        What counts as none.
    """
    first = effects[0].comparison.difference
    none = recipe.same_percent if has_zero(claim.quantity) else recipe.same_ri
    if claim.says == "same":
        return OPEN if math.isnan(first.value) else HOLDS if abs(first.value) <= none else FAILS
    result = _towards(first, 1 if claim.says.startswith("up") else -1)
    if claim.says == "up-then-constant" and result == HOLDS:
        return HOLDS if abs(effects[1].comparison.difference.value) <= none else FAILS
    return result


def _towards(effect: Estimate, sign: int) -> str:
    if math.isnan(effect.value) or math.isnan(effect.low):
        return OPEN
    if sign * effect.value <= 0:
        return FAILS
    return HOLDS if min(sign * effect.low, sign * effect.high) > 0 else WEAK


def claim_table(analyses: Mapping[str, Analysis], recipe: MacrophagesRecipe) -> pd.DataFrame:
    """One row per claim, condition, part of the film and source.

    Parameters
    ----------
    analyses : mapping of str to Analysis
        Source (the exact truth, the pipeline) -> its analysis.
    recipe : MacrophagesRecipe

    Returns
    -------
    DataFrame
        The columns are :data:`COLUMNS`; changes are in percent, of an index in its unit.
    """
    import pandas as pd

    treated = list(recipe.conditions)[1:]
    rows = []
    for claim in recipe.claims:
        about = (claim.structure, claim.quantity, claim.says, claim.words)
        for source, analysis in analyses.items():
            found = {effects[0].comparison.condition: effects for effects in effects_of(analysis, claim, recipe)}
            for condition in treated:
                if condition not in found:
                    rows.append((*about, "", condition, source, *[math.nan] * 7, 0, 0, OPEN))
                    continue
                decided = verdict(claim, found[condition], recipe)
                for effect in found[condition]:
                    one = effect.comparison
                    rows.append(
                        (*about, effect.part, condition, source, one.mean, one.mean_control, one.difference.value,
                         one.difference.low, one.difference.high, one.p, effect.p_holm, one.n_cells,
                         one.n_cells_control, decided)
                    )  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def claim_words(table: pd.DataFrame) -> str:
    """The claims as a Markdown table, the sources side by side."""
    sources = list(dict.fromkeys(table["source"]))
    head = [f"effect, {source} | {source}" for source in sources]
    lines = [
        f"| structure | quantity | the paper says | {' | '.join(head)} |",
        "|---|---|---|" + "---|---|" * len(head),
    ]
    keys = ["structure", "quantity", "says", "words", "condition"]
    for key, rows in table.groupby(keys, sort=False):
        cells = [str(key[0]).replace("_", " "), str(key[1]), str(key[3])]
        for source in sources:
            own = rows[rows["source"] == source]
            cells += ["; ".join(map(_effect_words, own.to_dict("records"))), str(own["verdict"].iloc[0])]
        lines.append(f"| {' | '.join(cells)} |")
    counts = [
        f"{source}: {int((rows['verdict'] == HOLDS).sum())} of {len(rows)} claims hold"
        for source, rows in table.drop_duplicates([*keys, "source"]).groupby("source", sort=False)
    ]
    about = (
        "Effects: change of the condition less that of the control, in % of the first frame (of an index: its "
        "difference), with 95 % intervals over replicates."
    )
    return "\n".join([*lines, "", about, "", "; ".join(counts) + ".", ""])


def _effect_words(row: Mapping[str, float | str]) -> str:
    if math.isnan(float(row["difference"])):
        return "no value"
    digits = 1 if has_zero(str(row["quantity"])) else 4
    low, middle, high = (f"{float(row[name]):+.{digits}f}" for name in ("low", "difference", "high"))
    part = "" if row["part"] == "whole film" else f"{row['part']}: "
    return f"{part}{middle}" + ("" if math.isnan(float(row["low"])) else f" ({low} to {high})")
