"""The contents of the page's tables: statistics per structure, and the rows of an item's objects, ready to be written.

Everything here returns plain text and numbers; escaping is the template's work. To give the summary another column,
add its name to ``KEY_COLUMNS``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.runs.report.rounding import heading, like, rounded
from tomocyte.structures import in_drawing_order
from tomocyte.tables import LEADING

if TYPE_CHECKING:
    import pandas as pd

KEY_COLUMNS = (
    "volume_um3", "area_um2", "projected_area_um2", "equivalent_diameter_um", "sphericity", "mean_ri", "mean_value",
    "mean_lac_per_um", "concentration_mg_per_ml", "dry_mass_pg", "projected_dry_mass_pg", "confidence",
)  # fmt: skip
LOW, HIGH = "_low", "_high"
IDENTITY_COLUMNS = (*(column.name for column in LEADING), "medium_ri")
CUT_COLUMN = "is_cut"
MOST_ROWS = 100
MOST_UPRIGHT = 4
NO_REASON = "no value"

Dictionary = Mapping[str, Mapping[str, str]]


def summary_rows(table: pd.DataFrame, dictionary: Dictionary, structures: Sequence[str] = ()) -> dict[str, Any]:
    """Mean ± SD (n) of the key columns for each structure, over all objects of the run that the border does not cut.

    Where it cuts every object of a structure, over all of them.

    Parameters
    ----------
    table : DataFrame
        One row per object, with ``structure``.
    dictionary : mapping
        Column -> unit, meaning, nan_reason.
    structures : sequence of str
        Structures that were looked for, so that one without any object is listed too.

    Returns
    -------
    dict
        ``structures`` (name and number of objects), ``rows`` (a column's name, unit, meaning and its cells) and
        ``left_out``, which objects the means leave out, in words.
    """
    measured = [str(name) for name in table["structure"]] if len(table) else []
    names = in_drawing_order([*structures, *measured])
    if not measured:
        return {"structures": [{"name": name, "n": 0} for name in names], "rows": [], "left_out": ""}
    groups = {name: table[table["structure"] == name] for name in names}
    present = measured_columns(table)
    keys = [column for column in KEY_COLUMNS if column in present] or present[:6]
    rows = [
        {**described(column, dictionary), "cells": [mean_and_deviation(whole(groups[name]), column) for name in names]}
        for column in keys
    ]
    structures_found = [{"name": name, "n": len(groups[name])} for name in names]
    return {"structures": structures_found, "rows": rows, "left_out": left_out(groups)}


def whole(table: pd.DataFrame) -> pd.DataFrame:
    """The objects that the border does not cut, or all where it cuts every one."""
    if "is_cut" not in table:
        return table
    kept = table[~table["is_cut"].astype(bool)]
    return kept if len(kept) else table


def left_out(groups: Mapping[str, pd.DataFrame]) -> str:
    """Which objects the means leave out because the border cuts them, in words.

    Examples
    --------
    >>> import pandas as pd
    >>> cells = pd.DataFrame({"is_cut": [True, False]})
    >>> left_out({"cell": cells, "nucleus": cells[:1]})
    'Without objects cut by the border: 1 of 2 cell. All are cut of: nucleus.'
    """
    counts = {name: (len(table) - len(whole(table)), len(table)) for name, table in groups.items()}
    some = ", ".join(f"{n} of {total} {name.replace('_', ' ')}" for name, (n, total) in counts.items() if n)
    is_all = [
        name.replace("_", " ")
        for name, table in groups.items()
        if len(table) and "is_cut" in table and table["is_cut"].astype(bool).all()
    ]
    parts = [f"Without objects cut by the border: {some}."] if some else []
    parts += [f"All are cut of: {', '.join(is_all)}."] if is_all else []
    return " ".join(parts)


def mean_and_deviation(table: pd.DataFrame, column: str) -> dict[str, str]:
    """Mean, sample standard deviation and number of the values that exist, as text."""
    values = table[column].to_numpy(dtype=np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return {"mean": "–", "sd": "", "n": "0"}
    mean = rounded(float(values.mean()), column)
    deviation = like(float(np.std(values, ddof=1)), mean) if values.size > 1 else ""
    return {"mean": mean, "sd": deviation, "n": str(values.size)}


def measured_columns(table: pd.DataFrame) -> list[str]:
    """The columns that hold numbers measured on an object, in their order."""
    return [
        str(column) for column in table.columns if column not in IDENTITY_COLUMNS and table[column].dtype.kind in "fiu"
    ]


def described(column: str, dictionary: Dictionary) -> dict[str, str]:
    """A column for people: its name, heading, unit, meaning and why it may be empty."""
    entry = dictionary.get(column, {})
    unit = entry.get("unit", "")
    shown = "" if unit in ("", "1") else unit
    return {
        "column": column,
        "heading": heading(column, unit),
        "unit": shown,
        "meaning": entry.get("meaning", ""),
        "nan_reason": entry.get("nan_reason", "") or NO_REASON,
    }


def object_tables(table: pd.DataFrame, dictionary: Dictionary, *, most_rows: int = MOST_ROWS) -> list[dict[str, Any]]:
    """One table per structure of an item's objects.

    Parameters
    ----------
    table : DataFrame
        The rows of one item.
    dictionary : mapping
        Column -> unit, meaning, nan_reason.
    most_rows : int
        Rows shown of each table.

    Returns
    -------
    list of dict
        ``structure``, ``n`` (all objects), ``n_shown``, ``is_upright`` (few objects: one column each), ``columns``,
        ``rows`` and ``empty`` (columns left out of a long table because no row has a value); a row is a list of cells
        with ``text``, ``value`` (for sorting, empty when missing) and ``title`` (why it is missing).
    """
    if not len(table):
        return []
    return [
        _object_table(structure, table[table["structure"] == structure], dictionary, most_rows)
        for structure in in_drawing_order([str(name) for name in table["structure"]])
    ]


def edit_rows(log: Sequence[Mapping[str, Any]], *, is_planar: bool) -> dict[str, Any]:
    """What was corrected by hand, for people.

    Parameters
    ----------
    log : sequence of mapping
        Entries of ``edits_log.json``.
    is_planar : bool
        Whether sizes are areas.

    Returns
    -------
    dict
        ``unit``, ``n`` (all edits), and ``rows`` of text: number, frame, what was done, objects before and after,
        voxels changed and their size, and note with warnings.
    """
    rows = [
        [
            str(entry["number"]),
            str(entry["frame"]),
            f"{entry['do']} {str(entry['structure']).replace('_', ' ')}",
            _labels(entry["old"]) or "background",
            _labels(entry["new"]) or "background",
            str(entry["n_voxels"]),
            rounded(float(entry["size"]), "area_um2" if is_planar else "volume_um3"),
            " ".join([*([entry["note"]] if entry["note"] else []), *entry["warnings"]]),
        ]
        for entry in log[:MOST_ROWS]
    ]
    return {"unit": "µm²" if is_planar else "µm³", "n": len(log), "rows": rows}


def _labels(objects: Sequence[Sequence[int]]) -> str:
    """Labels with their voxels, the first ten."""
    shown = ", ".join(f"{label} ({count})" for label, count in objects[:10])
    return shown + (", …" if len(objects) > 10 else "")


def _object_table(structure: str, rows: pd.DataFrame, dictionary: Dictionary, most_rows: int) -> dict[str, Any]:
    columns = without_ends(_shown_columns(rows, structure))
    is_upright = len(rows) <= MOST_UPRIGHT
    # In a long table a column without any number is only noise: it is named below with the reason instead.
    empty = [column for column in columns if not is_upright and rows[column].isna().all()]
    columns = [column for column in columns if column not in empty]
    notes = [described(column, dictionary) for column in columns]
    cells = [
        [_cell(value, note) for value, note in zip(row, notes, strict=True)]
        for row in rows[columns].head(most_rows).itertuples(index=False, name=None)
    ]
    for at, column in enumerate(columns):
        if column + LOW in rows and column + HIGH in rows:
            ends = rows[[column + LOW, column + HIGH]].head(most_rows).itertuples(index=False, name=None)
            for line, (low, high) in zip(cells, ends, strict=True):
                line[at] = _with_interval(line[at], low, high, column)
    return {
        "structure": structure,
        "n": len(rows),
        "n_shown": len(cells),
        "is_upright": is_upright,
        "columns": notes,
        "rows": cells,
        "empty": [described(column, dictionary) for column in empty],
    }


def without_ends(columns: Sequence[str]) -> list[str]:
    """The columns without those that are the ends of another one's interval: they stand in its cells.

    Examples
    --------
    >>> without_ends(["volume_um3", "volume_um3_low", "volume_um3_high", "tide_low"])
    ['volume_um3', 'tide_low']
    """
    all_names = set(columns)
    ends = {name + end for name in columns for end in (LOW, HIGH) if {name + LOW, name + HIGH} <= all_names}
    return [name for name in columns if name not in ends]


def _with_interval(cell: dict[str, str], low: float, high: float, column: str) -> dict[str, str]:
    """A cell with its interval behind the value, where there is one."""
    if not cell["value"] or not (np.isfinite(low) and np.isfinite(high)):
        return cell
    between = f"{like(low, cell['text'])} to {like(high, cell['text'])}"
    return {**cell, "text": f"{cell['text']} ({between})", "title": f"90 % interval of {column}: {between}"}


def _shown_columns(rows: pd.DataFrame, structure: str) -> list[str]:
    """Label and cell first; frame and time only in a time series, the cell's own number only for organelles."""
    is_series = "frame" in rows and rows["frame"].nunique() > 1
    wanted = ["label", "track_id", "parent_id"]
    wanted += ["cell_id"] if structure != "cell" else []
    wanted = (["frame", "time_s"] if is_series else []) + wanted
    identity = [column for column in wanted if column in rows and rows[column].notna().any()]
    cut = [CUT_COLUMN] if CUT_COLUMN in rows else []
    return [*identity, *measured_columns(rows), *cut]


def _cell(value: Any, note: Mapping[str, str]) -> dict[str, str]:
    import pandas as pd

    if pd.isna(value):
        return {"text": "–", "value": "", "title": note["nan_reason"]}
    if isinstance(value, bool | np.bool_):
        return {"text": "yes" if value else "no", "value": str(int(value)), "title": ""}
    # Numbers of tracks are decimal in a table where some are missing.
    is_number_of = isinstance(value, int | np.integer) or note["column"].endswith("_id")
    number = int(value) if is_number_of else float(value)
    return {"text": rounded(number, note["column"]), "value": repr(number), "title": ""}
