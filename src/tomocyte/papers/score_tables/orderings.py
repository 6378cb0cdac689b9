"""Which of a paper's orderings hold here, in plain words.

A claim compares two rows of a score table; it is judged by the difference of the means, by how many folds agree in
sign (the folds are the same cells for all rows), and by the spread of the folds. To judge another kind of claim, add
its rule to :func:`_verdict`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tomocyte.evaluation import ScoreTable, find_metric
from tomocyte.papers.score_tables.published import Claim, PublishedTable
from tomocyte.papers.score_tables.table import score_heading
from tomocyte.statistics.agreement import mean_and_sd

Verdict = Literal["holds", "holds on average", "does not hold", "not measured"]
FAR = 0.3
"""``far-above``: by at least so much of the score (the paper's own differences are 0.44 and 0.62)."""


@dataclass(frozen=True)
class Ordering:
    """One claim and what became of it.

    Parameters
    ----------
    claim : Claim
    score : str
    second : str
        The row compared with; for "the best of all" the best of the others here, empty if there is none.
    difference : float
        Mean of ``first`` minus mean of ``second`` over the folds that both have; NaN where not measured.
    n_agreeing, n_folds : int
        Folds in which ``first`` is better, of those that both have.
    larger_sd : float
        The larger of the two standard deviations over folds; NaN with one fold.
    published_difference : float
        The same difference of the printed means, NaN where the paper prints none.
    verdict : str
        ``holds`` (in every fold, or similar within the spread), ``holds on average`` (not in every fold, or one fold
        only), ``does not hold``, ``not measured``.
    sentence : str
        All of it in words.
    """

    claim: Claim
    score: str
    second: str
    difference: float
    n_agreeing: int
    n_folds: int
    larger_sd: float
    published_difference: float
    verdict: Verdict
    sentence: str


def judge_orderings(
    scores: ScoreTable, table: PublishedTable, *, score: str = "dice", labels: Mapping[str, str] | None = None
) -> tuple[Ordering, ...]:
    """Judge every claim of a printed table by the scores measured here.

    Parameters
    ----------
    scores : ScoreTable
        A row per ``method`` and ``fold``, the same folds in the same order for all methods.
    table : PublishedTable
    score : str
        A metric, or another name of one.
    labels : mapping of str to str, optional
        Row -> what it is called in the sentences.

    Examples
    --------
    >>> from tomocyte.papers.score_tables import load_published
    >>> table = load_published().table("table-2-cross-laboratory")
    >>> scores = ScoreTable.of_folds({"OS-Net": {"dice": [0.86, 0.88]}, "edge-based": {"dice": [0.30, 0.25]}})
    >>> judge_orderings(scores, table)[0].verdict
    'holds'
    """
    return tuple(_judge(claim, scores, table, score, labels or {}) for claim in table.claims)


def orderings_markdown(orderings: Sequence[Ordering]) -> str:
    """A table of all claims with their verdicts, and how many hold."""
    lines = [
        "| The paper says | Here | Difference | Folds | Paper's difference |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for ordering in orderings:
        folds = f"{ordering.n_agreeing} of {ordering.n_folds}" if ordering.n_folds else ""
        lines.append(
            f"| {ordering.claim.text} | {ordering.verdict} | {_signed(ordering.difference)} | {folds} | "
            f"{_signed(ordering.published_difference)} |"
        )
    measured = [ordering for ordering in orderings if ordering.verdict != "not measured"]
    counts = {name: sum(ordering.verdict == name for ordering in measured) for name in ("holds", "holds on average")}
    total = f"Of {len(measured)} claims measured, {counts['holds']} hold in every fold or within the spread, "
    total += f"{counts['holds on average']} on average only, {len(measured) - sum(counts.values())} do not hold."
    return "\n".join([*lines, "", total, "", *(f"- {ordering.sentence}" for ordering in orderings)]) + "\n"


def _judge(claim: Claim, scores: ScoreTable, table: PublishedTable, score: str, labels: Mapping[str, str]) -> Ordering:
    second = claim.second or _best_other(scores, claim.first, score)
    first_values, second_values = _paired(scores, claim.first, second, score)
    n_folds = len(first_values)
    differences = [a - b for a, b in zip(first_values, second_values, strict=True)]
    difference = mean_and_sd(differences)[0]
    deviations = [mean_and_sd(values)[1] for values in (first_values, second_values)]
    larger = max((value for value in deviations if not math.isnan(value)), default=math.nan)
    n_agreeing = sum(_sign(score) * value > 0 for value in differences)
    verdict = _verdict(claim, _sign(score) * difference, n_agreeing, n_folds, larger)
    published = _published_difference(claim, table, score)
    ordering = Ordering(claim, score, second, difference, n_agreeing, n_folds, larger, published, verdict, "")
    return replace(ordering, sentence=_sentence(ordering, labels))


def _best_other(scores: ScoreTable, first: str, score: str) -> str:
    means = {name: scores.mean_and_sd(score, method=name)[0] for name in scores.unique("method") if name != first}
    measured = {str(name): _sign(score) * mean for name, mean in means.items() if not math.isnan(mean)}
    return max(measured, key=lambda name: measured[name]) if measured else ""


def _sign(score: str) -> int:
    """-1 where lower is better."""
    return -1 if find_metric(score).is_higher_better is False else 1


def _paired(scores: ScoreTable, first: str, second: str, score: str) -> tuple[list[float], list[float]]:
    """The folds that both rows have; a row measured once (no folds) is compared with each fold of the other."""
    values, others = (scores.values(score, method=name) for name in (first, second))
    if len(values) == 1 and len(others) > 1:
        values = values * len(others)
    if len(others) == 1 and len(values) > 1:
        others = others * len(values)
    pairs = [(a, b) for a, b in zip(values, others, strict=False) if not (math.isnan(a) or math.isnan(b))]
    return [a for a, _ in pairs], [b for _, b in pairs]


def _verdict(claim: Claim, difference: float, n_agreeing: int, n_folds: int, larger_sd: float) -> Verdict:
    if n_folds == 0 or math.isnan(difference):
        return "not measured"
    if claim.relation == "similar":
        if math.isnan(larger_sd):
            return "not measured"
        return "holds" if abs(difference) <= larger_sd else "does not hold"
    least = FAR if claim.relation == "far-above" else 0.0
    if difference <= least:
        return "does not hold"
    return "holds" if n_folds > 1 and n_agreeing == n_folds else "holds on average"


def _published_difference(claim: Claim, table: PublishedTable, score: str) -> float:
    first = table.rows[claim.first].mean(score)
    if claim.second is not None:
        return first - table.rows[claim.second].mean(score)
    others = [row.mean(score) for name, row in table.rows.items() if name != claim.first]
    return first - max((mean for mean in others if not math.isnan(mean)), default=math.nan)


def _sentence(ordering: Ordering, labels: Mapping[str, str]) -> str:
    claim, verdict, difference, n_folds = ordering.claim, ordering.verdict, ordering.difference, ordering.n_folds
    score, second, larger_sd = ordering.score, ordering.second, ordering.larger_sd
    if verdict == "not measured":
        reason = "one fold has no spread" if n_folds else "a row is missing"
        return f"{claim.text}: not measured here ({reason})."
    first, other = labels.get(claim.first, claim.first), labels.get(second, second)
    position = "above" if difference > 0 else "below" if difference < 0 else "level with"
    text = f"{claim.text}: {verdict}. {first} is {abs(difference):.4f} {score_heading(score)} {position} {other}"
    text += " on average"
    better = "lower" if _sign(score) < 0 else "higher"
    text += f", {better} in {ordering.n_agreeing} of {n_folds} folds" if n_folds > 1 else " in the only fold"
    if math.isnan(larger_sd):
        return f"{text}."
    spread = "less than" if abs(difference) <= larger_sd else "more than"
    return f"{text}; that is {spread} the spread of the folds (SD {larger_sd:.4f})."


def _signed(value: float) -> str:
    return "" if math.isnan(value) else f"{value:+.4f}"
