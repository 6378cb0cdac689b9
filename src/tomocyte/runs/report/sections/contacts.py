"""Which structures touch each other, how much, and whether that is more or less than by chance, in words.

To say more of a pair of structures, add an entry to ``_pair`` and a column to the template.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.runs.report.rounding import rounded
from tomocyte.runs.report.section import ReportContent, Section, colour_class
from tomocyte.structures import CELL, canonical_name, in_drawing_order

if TYPE_CHECKING:
    import pandas as pd

SIGNIFICANT = 0.05
"""The p from which a cell counts as different from chance."""
PAIR = ["structure", "other_structure"]


def contacts_view(content: ReportContent) -> dict[str, Any] | None:
    """One row per pair of structures, over all inputs, cells and frames."""
    table = content.contacts
    if table is None or not len(table):
        return None
    groups: dict[Any, pd.DataFrame] = dict(list(table.groupby(PAIR, sort=False)))
    names = in_drawing_order([name for pair in groups for name in pair])
    places = {name: place for place, name in enumerate(names)}
    ordered = sorted(groups, key=lambda pair: (places[pair[0]], places[pair[1]]))
    contacts = content.run.settings.get("contacts", {})
    return {
        "pairs": [_pair(pair[0], pair[1], groups[pair]) for pair in ordered],
        "gap_um": f"{contacts['gap_um']:g}" if "gap_um" in contacts else "",
        "n_placements": int(table["n_placements"].max()),
        "significant": SIGNIFICANT,
    }


def _pair(structure: str, other: str, rows: pd.DataFrame) -> dict[str, Any]:
    """What a pair of structures shows, as text."""
    is_membrane = canonical_name(other) == CELL
    objects = rows["n_objects"].to_numpy(np.float64)
    distances = rows["mean_distance_um"].to_numpy(np.float64)
    known = np.isfinite(distances)
    area = rows["contact_area_um2"].to_numpy(np.float64)
    return {
        "structure": structure.replace("_", " "),
        "colour": colour_class(structure),
        "other": "membrane of the cell" if is_membrane else _others(structure, other),
        "other_colour": colour_class(other),
        "n_cells": len(rows),
        "n_objects": rounded(int(objects.sum())),
        "n_in_contact": rounded(int(rows["n_in_contact"].sum())),
        "n_contacts": rounded(int(rows["n_contacts"].sum())),
        "area_um2": rounded(float(area.sum())) if np.isfinite(area).all() else "–",
        "distance_um": rounded(float(np.average(distances[known], weights=objects[known]))) if known.any() else "–",
        "chance": [text for text in (_number(rows), _distance(rows)) if text],
    }


def _others(structure: str, other: str) -> str:
    return "each other" if other == structure else other.replace("_", " ")


def _number(rows: pd.DataFrame) -> str:
    """Contacts against chance."""
    compared = rows[rows["n_contacts_expected"].notna()]
    if not len(compared):
        return ""
    observed, expected = float(compared["n_contacts"].sum()), float(compared["n_contacts_expected"].sum())
    start = f"{rounded(int(observed))} {'contact' if observed == 1 else 'contacts'}, {expected:.3g} expected by chance"
    effect = f": {observed / expected:.2f} times" if expected else ""
    return f"{start}{effect}{_certainty(compared, 'n_contacts', 'more', 'fewer')}."


def _distance(rows: pd.DataFrame) -> str:
    """Mean distance against chance."""
    compared = rows[rows["mean_distance_expected_um"].notna()]
    if not len(compared):
        return ""
    weights = compared["n_objects"].to_numpy(np.float64)
    observed, expected = (
        float(np.average(compared[name].to_numpy(np.float64), weights=weights))
        for name in ("mean_distance_um", "mean_distance_expected_um")
    )
    start = f"{rounded(observed)} µm apart, {rounded(expected)} expected by chance"
    effect = f": {observed / expected:.2f} times" if expected else ""
    return f"{start}{effect}{_certainty(compared, 'mean_distance', 'farther', 'nearer')}."


def _certainty(rows: pd.DataFrame, statistic: str, above: str, below: str) -> str:
    """The p of one cell, or in how many of several cells the difference is more than chance explains."""
    p = rows[f"{statistic}_p"].to_numpy(np.float64)
    if len(rows) == 1:
        verdict = "more than chance explains" if p[0] <= SIGNIFICANT else "within what chance explains"
        return f" (p = {p[0]:.2g}, {verdict})"
    z = rows[f"{statistic}_z"].to_numpy(np.float64)
    counts = [int(np.count_nonzero((p <= SIGNIFICANT) & is_side)) for is_side in (z > 0, z < 0)]
    return f" (p ≤ {SIGNIFICANT} in {sum(counts)} of {len(rows)} cells: {counts[0]} {above}, {counts[1]} {below})"


SECTION = Section("contacts", "Contacts", contacts_view)
