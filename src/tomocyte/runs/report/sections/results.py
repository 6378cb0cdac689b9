"""Conditions compared, where that was done, and the figures that were drawn, each with its files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tomocyte.names import natural_key
from tomocyte.runs.report.rounding import like, rounded
from tomocyte.runs.report.section import ReportContent, Section, data_uri
from tomocyte.runs.report.sections.files import link_of

COMPARISON = Path("analysis") / "comparison.csv"
FIGURE_FOLDERS = ("analysis", "analysis/figures", "figures")
KEY_COLUMNS = (
    "structure", "quantity", "unit_of_quantity", "summary", "condition", "control", "n_replicates",
    "n_replicates_control", "n_cells", "n_cells_control", "mean", "mean_control", "difference", "hedges_g", "p",
    "p_holm", "test", "reason",
)  # fmt: skip
"""Columns of the comparison that the page shows, where it has any of them; all are in the file."""
MOST_FIGURES = 40
MOST_ROWS = 200


def results_view(content: ReportContent) -> dict[str, Any] | None:
    """The table of comparisons and the figures; None where there are neither."""
    table = comparison_table(content.folder / COMPARISON)
    figures = list(_figures(content.folder))
    if table is None and not figures:
        return None
    return {
        "table": table,
        "href": link_of(COMPARISON),
        "figures": (_figure(content.folder, path) for path in figures[:MOST_FIGURES]),
        "n_figures": len(figures),
        "n_shown": min(len(figures), MOST_FIGURES),
    }


def comparison_table(path: Path) -> dict[str, Any] | None:
    """The rows of ``comparison.csv`` as text, with the numbers behind them; None where there is no such table."""
    import pandas as pd

    if not path.is_file():
        return None
    whole = pd.read_csv(path)
    keys = [name for name in KEY_COLUMNS if name in whole and whole[name].notna().any()]
    table = whole[keys] if keys else whole
    rows = [
        [_cell(row[column], str(column), row) for column in table] for row in whole.head(MOST_ROWS).to_dict("records")
    ]
    columns = [str(column).replace("_", " ") for column in table.columns]
    is_text = [bool(table[column].dtype.kind not in "fiub") for column in table.columns]
    return {"columns": columns, "is_text": is_text, "rows": rows, "n": len(table), "n_shown": len(rows)}


def _cell(value: Any, column: str, row: Mapping[Any, Any]) -> dict[str, str]:
    """A cell; a number with the ends of its interval behind it, where the row has them."""
    import pandas as pd

    if pd.isna(value):
        return {"text": "–", "value": ""}
    if isinstance(value, bool):
        return {"text": "yes" if value else "no", "value": str(int(value))}
    if isinstance(value, int | float):
        text = rounded(value, column)
        low, high = (float(row.get(f"{column}_{side}", math.nan)) for side in ("low", "high"))
        if math.isfinite(low) and math.isfinite(high):
            text = f"{text} ({like(low, text)} to {like(high, text)})"
        return {"text": text, "value": repr(value)}
    return {"text": str(value), "value": str(value)}


def _figures(folder: Path) -> Iterator[Path]:
    """PNG files that have a CSV of the same name: figures of tables and images, not other pictures."""
    for name in FIGURE_FOLDERS:
        there = sorted((folder / name).glob("*.png"), key=lambda path: natural_key(path.name))
        yield from (path for path in there if path.with_suffix(".csv").is_file())


def _figure(folder: Path, path: Path) -> dict[str, Any]:
    endings = [ending for ending in ("svg", "png", "csv") if path.with_suffix(f".{ending}").is_file()]
    return {
        "name": path.stem.replace("_", " "),
        "uri": data_uri(path.read_bytes()),
        "links": [
            {"ending": ending.upper(), "href": link_of(path.with_suffix(f".{ending}").relative_to(folder))}
            for ending in endings
        ],
    }


SECTION = Section("results", "Results", results_view)
