"""How many inputs and objects there are, what was measured on average, and the list of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tomocyte.confidence.plausibility import is_implausible
from tomocyte.runs.report.contents import summary_rows
from tomocyte.runs.report.section import ReportContent, ReportItem, Section, colour_class

if TYPE_CHECKING:
    import pandas as pd


def summary_view(content: ReportContent) -> dict[str, Any]:
    """Tiles, means per structure, and one line per input."""
    items = content.items
    wanted = dict.fromkeys(structure for item in items for structure in item.facts.get("n_objects", {}))
    summary = summary_rows(content.table, content.dictionary, list(wanted))
    return {
        **summary,
        "structures": [
            {**entry, "colour": colour_class(entry["name"]), "of_film": _of_films(content.table, entry["name"], items)}
            for entry in summary["structures"]
        ],
        "statuses": [_status(number, item, number in content.detailed) for number, item in enumerate(items)],
        "n_good": sum(item.error is None for item in items),
        "n_detailed": len(content.detailed),
    }


def _of_films(table: pd.DataFrame, structure: str, items: Sequence[ReportItem]) -> str:
    """That objects are counted in every frame of a film, and how many of them were followed; empty without films."""
    if not len(table) or "frame" not in table or table["frame"].nunique() < 2:
        return ""
    is_main = structure in {item.facts.get("primary", "cell") for item in items}
    if not is_main or "track_id" not in table:
        return "in all frames"
    own = table[(table["structure"] == structure) & table["track_id"].notna()]
    n_tracks = len(own[["item", "track_id"]].drop_duplicates())
    return f"in all frames, {n_tracks} {'track' if n_tracks == 1 else 'tracks'}"


def _status(number: int, item: ReportItem, is_detailed: bool) -> dict[str, Any]:
    counts = item.facts.get("n_objects", {})
    notes = [(item.error["code"], item.error["problem"])] if item.error is not None else _codes(item.warnings)
    return {
        "number": number + 1,
        "name": item.name,
        "path": item.path,
        "is_good": item.error is None,
        "is_implausible": any(map(is_implausible, item.warnings)),
        "is_detailed": is_detailed or item.error is not None,
        "counts": ", ".join(f"{structure.replace('_', ' ')}: {count}" for structure, count in counts.items()),
        "notes": notes,
    }


def _codes(warnings: Sequence[str]) -> list[tuple[str, str]]:
    """Each code once, with what the first warning of it says."""
    parts = [warning.partition(": ") for warning in reversed(warnings)]
    return list({code: text for code, _, text in parts}.items())[::-1]


SECTION = Section("summary", "Summary", summary_view)
