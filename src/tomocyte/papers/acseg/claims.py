"""Which of the paper's sentences about Dice scores hold here.

Scores are a table with a row per item and method: ``case``, ``method``, ``dice``, and where cells were sought one by
one ``n_cells`` and ``n_found``. To judge another kind of sentence, add it to ``ScoreClaim.says`` and
:data:`_JUDGES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tomocyte.papers.acseg.recipe import ScoreClaim

if TYPE_CHECKING:
    import pandas as pd

HOLDS, FAILS, OPEN = "holds", "does not hold", "not measured"


def judge_scores(claims: Sequence[ScoreClaim], scores: pd.DataFrame) -> pd.DataFrame:
    """One row per claim: ``method``, ``words``, ``published``, ``here`` (what was measured), ``verdict``."""
    import pandas as pd

    rows = []
    for claim in claims:
        here, holds = _JUDGES[claim.says](claim, scores)
        verdict = OPEN if holds is None else HOLDS if holds else FAILS
        rows.append((claim.method, claim.words, claim.published, here, verdict))
    return pd.DataFrame(rows, columns=["method", "words", "published", "here", "verdict"])


def case_means(scores: pd.DataFrame, method: str) -> pd.Series[float]:
    """Mean Dice of a method in every case where it was measured."""
    own = scores[(scores["method"] == method) & scores["dice"].notna()]
    return own.groupby("case", sort=False)["dice"].mean()


def claims_markdown(judged: pd.DataFrame) -> list[str]:
    """The claims as lines of a Markdown table, and how many hold."""
    lines = ["| the paper says | printed | here | |", "|---|---|---|---|"]
    lines += [f"| {row.words} | {row.published} | {row.here} | {row.verdict} |" for row in judged.itertuples()]
    measured = judged[judged["verdict"] != OPEN]
    return [*lines, "", f"{int((measured['verdict'] == HOLDS).sum())} of {len(measured)} claims measured hold."]


def scores_markdown(scores: pd.DataFrame) -> list[str]:
    """Mean Dice of every method in every case as lines of a Markdown table, methods as rows."""
    cases = list(dict.fromkeys(scores["case"]))
    lines = [f"| Dice | {' | '.join(cases)} | mean of all |", "|---|" + "---:|" * (len(cases) + 1)]
    for method in dict.fromkeys(scores["method"]):
        means = case_means(scores, method)
        cells = [f"{means[case]:.4f}" if case in means else "" for case in cases]
        lines.append(f"| {method} | {' | '.join(cells)} | {means.mean():.4f} |")
    return lines


Judgement = tuple[str, bool | None]
NOTHING: Judgement = ("", None)


def _accurate(claim: ScoreClaim, scores: pd.DataFrame) -> Judgement:
    means = case_means(scores, claim.method)
    if means.empty:
        return NOTHING
    return f"lowest {means.min():.4f} ({means.idxmin()}), at least {claim.value:g} asked", means.min() >= claim.value


def _poor_in_most(claim: ScoreClaim, scores: pd.DataFrame) -> Judgement:
    means = case_means(scores, claim.method)
    if means.empty:
        return NOTHING
    n_poor = int((means < claim.value).sum())
    return f"below {claim.value:g} in {n_poor} of {len(means)} cases", 2 * n_poor > len(means)


def _above(claim: ScoreClaim, scores: pd.DataFrame) -> Judgement:
    first, second = (case_means(scores, name) for name in (claim.method, claim.other))
    common = first.index.intersection(second.index)
    if common.empty:
        return NOTHING
    means = float(first[common].mean()), float(second[common].mean())
    return f"{means[0]:.4f} against {means[1]:.4f}", means[0] > means[1]


def _varies(claim: ScoreClaim, scores: pd.DataFrame) -> Judgement:
    own, common = (case_means(scores, name) for name in (claim.method, claim.other))
    gains = (own - common).dropna()
    if gains.empty:
        return NOTHING
    return f"largest gain {gains.max():+.4f} ({gains.idxmax()})", gains.max() >= claim.value


def _finds_all(claim: ScoreClaim, scores: pd.DataFrame) -> Judgement:
    own = scores[scores["method"] == claim.method]
    if "n_found" not in own or own["n_found"].isna().all() or claim.unless not in set(own["case"]):
        return NOTHING
    sums = own.groupby("case", sort=False)[["n_found", "n_cells"]].sum()
    words = "; ".join(f"{case}: {int(row.n_found)} of {int(row.n_cells)}" for case, row in sums.iterrows())
    is_whole = sums["n_found"] == sums["n_cells"]
    return words, bool(is_whole.drop(claim.unless).all() and not is_whole[claim.unless])


def _case_above(claim: ScoreClaim, scores: pd.DataFrame) -> Judgement:
    means = case_means(scores, claim.method)
    if claim.case not in means or claim.other not in means:
        return NOTHING
    return f"{means[claim.case]:.4f} against {means[claim.other]:.4f}", means[claim.case] > means[claim.other]


def _nearer(claim: ScoreClaim, scores: pd.DataFrame) -> Judgement:
    own = scores[scores["method"] == claim.method]
    names = (claim.case, claim.other, claim.unless)
    if claim.quantity not in own or not set(names) <= set(own["case"]):
        return NOTHING
    means = own.groupby("case")[claim.quantity].mean()
    values = [float(means[name]) for name in names]
    words = ", ".join(f"{name} {value:.3g}" for name, value in zip(names, values, strict=True))
    return words, abs(values[0] - values[1]) < abs(values[0] - values[2])


_JUDGES: dict[str, Callable[[ScoreClaim, pd.DataFrame], Judgement]] = {
    "accurate": _accurate,
    "poor-in-most": _poor_in_most,
    "above": _above,
    "varies": _varies,
    "finds-all": _finds_all,
    "case-above": _case_above,
    "nearer": _nearer,
}
