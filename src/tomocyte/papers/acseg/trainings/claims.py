"""What a paper says of rows of scores, decided by the scores measured here.

A row holds one score per test volume, of the same volumes in every row, so that rows are compared in pairs. To add a
kind of claim, add it to :data:`Says` and decide it in :func:`decide`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from tomocyte.settings import Settings
from tomocyte.statistics.effects import difference_of_means, mean_interval

if TYPE_CHECKING:
    import pandas as pd

Says = Literal["above", "by", "similar", "at-least", "at-most", "slows"]
Statistic = Literal["mean", "worst", "sd", "distance-from-0"]
Verdict = Literal["holds", "holds on average", "right direction, but less", "does not hold", "not measured"]
Rows = Mapping[str, Mapping[str, float]]
"""Row -> test volume -> score."""


class TableClaim(Settings):
    """One sentence about rows of a table."""

    words: str
    """In words, shortened."""
    says: Says
    """``above``: first above second; ``by``: by at least ``value``; ``similar``: within ``value``; ``at-least`` and
    ``at-most``: first against ``value``; ``slows``: from first to second it rises more per volume than on to third."""
    first: str
    """A row."""
    second: str = ""
    """The row that it is compared with."""
    third: str = ""
    """``slows``."""
    quantity: str = "dice"
    """A column of the scores."""
    statistic: Statistic = "mean"
    """Of the test volumes; ``distance-from-0``: of their mean."""
    value: float = math.nan
    """What is compared with."""
    published: float = math.nan
    """The paper's own figure."""
    source: Literal["paper", "goal"] = "paper"
    """``goal``: not the paper's, but what is aimed at here."""
    networks: tuple[str, ...] = ()
    """Of which networks; empty: each."""


@dataclass(frozen=True)
class Decision:
    """What became of a claim: the figure that decides it, its 95 % interval where there is one, and the verdict."""

    figure: float
    low: float
    high: float
    verdict: Verdict


NOT_MEASURED = Decision(math.nan, math.nan, math.nan, "not measured")


def decide(claim: TableClaim, rows: Rows) -> Decision:
    """Whether a claim holds.

    Parameters
    ----------
    claim : TableClaim
    rows : mapping of str to mapping of str to float
        Row -> test volume -> the claim's quantity; NaN is left out.

    Examples
    --------
    >>> claim = TableClaim(words="b is better", says="above", first="b", second="a")
    >>> decide(claim, {"a": {"x": 0.5, "y": 0.7, "z": 0.6}, "b": {"x": 0.6, "y": 0.81, "z": 0.69}}).verdict
    'holds'
    """
    names = [claim.first, *[name for name in (claim.second, claim.third) if name]]
    values = [_finite(rows.get(name, {})) for name in names]
    if not all(len(one) for one in values):
        return NOT_MEASURED
    if claim.says in ("at-least", "at-most"):
        figure, low, high = _with_interval(list(values[0].values()), claim.statistic)
        holds = figure >= claim.value if claim.says == "at-least" else figure <= claim.value
        return Decision(figure, low, high, "holds" if holds else "does not hold")
    if claim.says == "slows":
        return _slowing(names, values, claim.statistic)
    return _difference(claim, *values)


def _finite(scores: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in scores.items() if math.isfinite(value)}


def _with_interval(values: Sequence[float], statistic: Statistic) -> tuple[float, float, float]:
    if statistic == "mean":
        estimate = mean_interval(np.array(values))
        return estimate.value, estimate.low, estimate.high
    return _statistic(values, statistic), math.nan, math.nan


def _statistic(values: Sequence[float], statistic: Statistic) -> float:
    array = np.array(values)
    if statistic == "worst":
        return float(array.min())
    if statistic == "sd":
        return float(array.std(ddof=1)) if len(array) > 1 else math.nan
    return float(array.mean()) if statistic == "mean" else abs(float(array.mean()))


def _difference(claim: TableClaim, first: dict[str, float], second: dict[str, float]) -> Decision:
    """Paired over the volumes that both have, Welch's where they have none; statistics but the mean as they are."""
    both = sorted(set(first) & set(second))
    if not both:  # other volumes, e.g. of another cell type
        if claim.statistic != "mean":
            return NOT_MEASURED
        estimate = difference_of_means(list(first.values()), list(second.values()))
        figure, low, high = estimate.value, estimate.low, estimate.high
    elif claim.statistic == "mean":
        figure, low, high = _with_interval([first[name] - second[name] for name in both], "mean")
    else:
        parts = [_statistic([one[name] for name in both], claim.statistic) for one in (first, second)]
        figure, low, high = parts[0] - parts[1], math.nan, math.nan
    if math.isnan(figure):
        return NOT_MEASURED
    if claim.says == "similar":
        return Decision(figure, low, high, "holds" if abs(figure) <= claim.value else "does not hold")
    least = claim.value if claim.says == "by" else 0.0
    if figure <= 0:
        verdict: Verdict = "does not hold"
    elif figure < least:
        verdict = "right direction, but less"
    else:
        verdict = "holds on average" if not low > 0 and claim.statistic == "mean" else "holds"
    return Decision(figure, low, high, verdict)


def _slowing(names: Sequence[str], values: Sequence[Mapping[str, float]], statistic: Statistic) -> Decision:
    counts = [float(name.rpartition("/")[2]) for name in names]
    scores = [_statistic(list(one.values()), statistic) for one in values]
    early, late = ((scores[i + 1] - scores[i]) / (counts[i + 1] - counts[i]) for i in (0, 1))
    return Decision(early - late, math.nan, math.nan, "holds" if early > late else "does not hold")


def claim_table(claims: Sequence[TableClaim], rows_of: Mapping[str, Mapping[str, Rows]]) -> pd.DataFrame:
    """One line per claim and network.

    Parameters
    ----------
    claims : sequence of TableClaim
    rows_of : mapping
        Network -> quantity -> rows. A row of another network is written ``NETWORK:ROW`` in a claim.

    Returns
    -------
    DataFrame
        ``source``, ``words``, ``network``, ``quantity``, ``statistic``, ``figure``, ``low``, ``high``, ``value``,
        ``published``, ``verdict``.
    """
    import pandas as pd

    lines = []
    for claim in claims:
        named = {
            f"{network}:{row}": scores
            for network, quantities in rows_of.items()
            for row, scores in quantities.get(claim.quantity, {}).items()
        }
        for network in claim.networks or tuple(rows_of):
            made = decide(claim, {**named, **rows_of.get(network, {}).get(claim.quantity, {})})
            lines.append(
                (claim.source, claim.words, network, claim.quantity, claim.statistic, made.figure, made.low, made.high,
                 claim.value, claim.published, made.verdict)
            )  # fmt: skip
    columns = ["source", "words", "network", "quantity", "statistic", "figure", "low", "high", "value", "published"]
    return pd.DataFrame(lines, columns=[*columns, "verdict"])


def claim_lines(table: pd.DataFrame) -> list[str]:
    """The claims as lines of Markdown, those of the paper before the goals."""
    lines = []
    for source, title in (("paper", "What the paper says"), ("goal", "What is aimed at here")):
        part = table[table["source"] == source]
        if part.empty:
            continue
        lines += [f"| {title} | network | here (95 % interval) | the paper's | |", "|---|---|---|---|---|"]
        for row in part.to_dict("records"):
            interval = "" if math.isnan(row["low"]) else f" ({row['low']:.4g} to {row['high']:.4g})"
            here = "" if math.isnan(row["figure"]) else f"{row['figure']:.4g}{interval}"
            printed = "" if math.isnan(row["published"]) else f"{row['published']:.4g}"
            lines.append(f"| {row['words']} | {row['network']} | {here} | {printed} | {row['verdict']} |")
        measured = part[part["verdict"] != "not measured"]
        n_held = int(measured["verdict"].isin(("holds",)).sum())
        n_average = int((measured["verdict"] == "holds on average").sum())
        about = f"{n_held} of {len(measured)} hold"
        about += f", {n_average} more on average only (the interval includes 0)." if n_average else "."
        lines += ["", about, ""]
    return lines


def score_rows(table: pd.DataFrame, keys: Sequence[str], quantities: Sequence[str]) -> dict[str, dict[str, Rows]]:
    """Network -> quantity -> row -> test volume -> score, the mean of seeds; a row is its keys joined by ``/``.

    Parameters
    ----------
    table : DataFrame
        One line per training and test volume, with ``network``, ``item``, the keys and quantities.
    keys : sequence of str
    quantities : sequence of str
    """
    rows: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for (network, *key, item), part in table.groupby(["network", *keys, "item"], sort=False):
        for quantity in quantities:
            place = rows.setdefault(str(network), {}).setdefault(quantity, {})
            place.setdefault("/".join(map(str, key)), {})[str(item)] = float(part[quantity].mean())
    return rows  # type: ignore[return-value]


def mean_and_sd_text(mean: float, deviation: float) -> str:
    """``mean ± SD``, without the SD of a single volume.

    Examples
    --------
    >>> mean_and_sd_text(0.95, 0.01), mean_and_sd_text(0.95, math.nan)
    ('0.9500 ± 0.0100', '0.9500')
    """
    return f"{mean:.4f}" + ("" if math.isnan(deviation) else f" ± {deviation:.4f}")
