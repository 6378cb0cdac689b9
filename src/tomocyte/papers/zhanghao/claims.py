"""Which of the paper's sentences about compartments hold here.

To judge another kind of sentence, add it to ``CompartmentClaim.says`` and to :data:`_JUDGES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tomocyte.papers.acseg.claims import FAILS, HOLDS, OPEN, Judgement
from tomocyte.papers.zhanghao.recipe import CompartmentClaim

if TYPE_CHECKING:
    import pandas as pd


def judge_compartments(
    claims: Sequence[CompartmentClaim], table: pd.DataFrame, compartments: Sequence[str]
) -> pd.DataFrame:
    """One row per claim: ``words``, ``published``, ``here`` (what was measured), ``verdict``.

    Parameters
    ----------
    claims : sequence of CompartmentClaim
    table : DataFrame
        One row per compartment (and stack or frame), with ``compartment``, ``place`` and the quantities; of
        ``all-present`` the quantity ``n_voxels``; of differences what an ablation gives, with ``case``; of methods a
        row per ``method`` and image.
    compartments : sequence of str
        All of the experiment.
    """
    import pandas as pd

    rows = []
    for claim in claims:
        here, holds = _JUDGES[claim.says](claim, table, claim.compartments or tuple(compartments))
        rows.append((claim.words, claim.published, here, OPEN if holds is None else HOLDS if holds else FAILS))
    return pd.DataFrame(rows, columns=["words", "published", "here", "verdict"])


def _at_least(claim: CompartmentClaim, table: pd.DataFrame, names: Sequence[str]) -> Judgement:
    values = table.set_index("compartment")[claim.quantity].reindex(list(names)) if claim.quantity in table else None
    if values is None or values.isna().all():
        return "", None
    measured = values.dropna()
    low = measured[measured < claim.value].sort_values()
    words = f"lowest {measured.min():.3f} ({str(measured.idxmin()).replace('_', ' ')})"
    if len(low):
        shown = ", ".join(f"{str(name).replace('_', ' ')} {value:.3f}" for name, value in low.items())
        words = f"below {claim.value:g} in {len(low)} of {len(measured)}: {shown}"
    missing = len(values) - len(measured)
    words += f"; {missing} not measured" if missing else ""
    return words, None if missing and not len(low) else not len(low)


def _all_present(claim: CompartmentClaim, table: pd.DataFrame, names: Sequence[str]) -> Judgement:
    del claim
    counts = table.pivot_table(index="place", columns="compartment", values="n_voxels", aggfunc="sum")
    counts = counts.reindex(columns=list(names)).fillna(0)
    absent = [(str(place), str(name)) for place, row in counts.iterrows() for name in row.index[row == 0]]
    if not len(counts):
        return "", None
    if not absent:
        return f"{len(names)} in each of {len(counts)}", True
    shown = "; ".join(f"no {name.replace('_', ' ')} in {place}" for place, name in absent[:4])
    return f"{shown}{' …' if len(absent) > 4 else ''}", False


def _gains(claim: CompartmentClaim, table: pd.DataFrame, names: Sequence[str]) -> Judgement:
    rows = _differences(claim, table, names)
    is_open = rows.empty or rows["low"].isna().any()
    return _difference_words(rows), None if is_open else bool((rows["low"] > 0).all())


def _hardly(claim: CompartmentClaim, table: pd.DataFrame, names: Sequence[str]) -> Judgement:
    rows = _differences(claim, table, names)
    is_open = rows.empty or rows["difference"].isna().any()
    return _difference_words(rows), None if is_open else bool((rows["difference"].abs() <= claim.value).all())


def _differences(claim: CompartmentClaim, table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The rows of F1 of some compartments in one case."""
    if table.empty:
        return table
    is_meant = (table["metric"] == "dice") & (table["case"] == claim.case) & table["structure"].isin(list(names))
    return table[is_meant]


def _difference_words(rows: pd.DataFrame) -> str:
    return "; ".join(
        f"{str(row.structure).replace('_', ' ')} {row.mean_without:.3f} → {row.mean_with:.3f}, difference "
        f"{row.difference:+.3f} ({row.low:+.3f} to {row.high:+.3f})"
        for row in rows.itertuples()
    ).replace(" (+nan to +nan)", "")


def _above(claim: CompartmentClaim, table: pd.DataFrame, names: Sequence[str]) -> Judgement:
    del names
    means = table.groupby("method")[claim.quantity].mean()
    if claim.case not in means or claim.other not in means:
        return "", None
    first, second = float(means[claim.case]), float(means[claim.other])
    return f"{first:.3f} against {second:.3f}", first > second


_JUDGES: dict[str, Callable[[CompartmentClaim, pd.DataFrame, Sequence[str]], Judgement]] = {
    "at-least": _at_least,
    "all-present": _all_present,
    "gains": _gains,
    "hardly": _hardly,
    "above": _above,
}
