"""Charts of the tables of a run: distributions, superplots, courses, starts and ends, lineages.

Objects that the border cuts are left out; the number of them stands in the title.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tomocyte.figures.experiment import course_table, write_figure
from tomocyte.measurements import measurements
from tomocyte.runs.report.rounding import heading
from tomocyte.tables import LEADING

if TYPE_CHECKING:
    import pandas as pd

    from tomocyte.statistics.design import Design

ALL = "all inputs"
"""The condition where there is one only."""
_TRACK = ("condition", "replicate", "track_id")
END_WORDS = {
    "last-frame": "end of the film",
    "border": "left the field",
    "disappears": "lost",
    "merge": "merged with another",
}
"""How a track ends, as ``tracks.csv`` says it -> as a figure says it."""


def chart_run(
    objects: pd.DataFrame, folder: Path, quantities: Sequence[str], structure: str, design: Design | None = None
) -> Iterator[Path]:
    """Write the charts of some quantities of one structure.

    Parameters
    ----------
    objects : DataFrame
        The table of a run.
    folder : Path
        Where files are written.
    quantities : sequence of str
        Columns.
    structure : str
    design : Design, optional
        Conditions and replicates of the inputs; without it, folders are conditions and inputs replicates.

    Yields
    ------
    Path
        Of each file.
    """
    cells, n_cut = cells_of(objects, structure, design)
    for quantity in quantities:
        unit = unit_of(quantity)
        name = heading(quantity, unit)
        stem = folder / f"{structure}_{quantity}"
        rows = cells.rename(columns={quantity: "value"})
        about = {"quantity": f"{name} of {structure.replace('_', ' ')}", "unit": unit, "title": _left_out(n_cut)}
        kept = [column for column in ("item", "frame", "label", "condition", "replicate", "value") if column in rows]
        first = first_frame(rows)[kept]
        once = about
        if len(first) < len(rows):
            own = objects[objects["structure"] == structure]
            once = {**about, "title": _joined("first frame", _left_out(len(first_frame(own)) - len(first)))}
        yield from write_figure(_named(stem, "distribution"), "distribution", first, **once)
        yield from write_figure(_named(stem, "superplot"), "superplot", first, **once)
        yield from _course_files(rows, stem, about)


def cells_of(objects: pd.DataFrame, structure: str, design: Design | None) -> tuple[pd.DataFrame, int]:
    """The whole objects of a structure with ``condition`` and ``replicate``, and how many the border cuts.

    With a design, its first condition comes first.
    """
    rows = objects[objects["structure"] == structure]
    if design is None:
        rows = _with_folders(rows)
    else:
        order = list(design.conditions)
        rows = design.join(rows).sort_values("condition", key=lambda part: part.map(order.index), kind="stable")
    if "time_zero_s" in rows and "time_s" in rows:
        rows = rows.assign(time_s=rows["time_s"] - rows["time_zero_s"])
    if "is_cut" not in rows:
        return rows, 0
    is_cut = rows["is_cut"].astype(bool)
    return rows[~is_cut], int(is_cut.sum())


def _left_out(n_cut: int) -> str:
    return f"without {n_cut} cut by the border" if n_cut else ""


def first_frame(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first frame of each input: a cell that is there for long counts once."""
    if "frame" not in rows:
        return rows
    return rows[rows["frame"] == rows.groupby("item")["frame"].transform("min")]


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def unit_of(column: str) -> str:
    """The unit of a column of the table of objects; empty where it has none or it is not known."""
    leading = {entry.name: entry.unit for entry in LEADING}
    known = measurements()
    unit = known[column].unit if column in known else leading.get(column, "")
    return "" if unit in ("1", "native") else unit


def _with_folders(rows: pd.DataFrame) -> pd.DataFrame:
    has_folders = "folder" in rows and rows["folder"].nunique() > 1
    return rows.assign(condition=rows["folder"] if has_folders else ALL, replicate=rows["item"])


def _course_files(rows: pd.DataFrame, stem: Path, about: dict[str, str]) -> Iterator[Path]:
    if "time_s" not in rows or rows["time_s"].isna().all() or rows["time_s"].nunique() < 2:
        return
    bands = course_bands(rows)
    if "track_id" not in rows or rows["track_id"].isna().all():
        yield from write_figure(_named(stem, "course"), "time-course", course_table(bands), **about)
        return
    tracks = rows.dropna(subset=["track_id"])[[*_TRACK, "time_s", "value"]]
    yield from write_figure(_named(stem, "course"), "time-course", course_table(bands, tracks), **about)
    yield from write_figure(_named(stem, "start_to_end"), "start-to-end", tracks, **about)


def course_bands(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over the cells of a condition at each time."""
    groups = rows.groupby(["condition", "time_s"], sort=False)["value"]
    table = groups.agg(mean="mean", sd="std").reset_index().fillna({"sd": 0.0})
    table["low"], table["high"] = table["mean"] - table["sd"], table["mean"] + table["sd"]
    return table.drop(columns="sd").assign(band="SD over cells")


def lineage_files(tracks: pd.DataFrame, objects: pd.DataFrame, folder: Path) -> Iterator[Path]:
    """Write a lineage of each film: all tracks of its main objects, also of those that the border cuts.

    Parameters
    ----------
    tracks : DataFrame
        ``tracks.csv`` of a run.
    objects : DataFrame
        Its table of objects, which says when the frames were taken.
    folder : Path
    """
    for (item, structure), rows in tracks.groupby(["item", "structure"], sort=False):
        table = rows[["track_id", "parent_id", "first_frame", "last_frame", "end"]].reset_index(drop=True)
        if not table["last_frame"].max() > table["first_frame"].min():
            continue
        table["end"] = table["end"].map(lambda end: END_WORDS.get(end, end))
        own = objects[objects["item"] == item]
        if "time_s" in own:
            times = own.groupby("frame")["time_s"].first()
            for side in ("first", "last"):
                table[f"{side}_time_s"] = table[f"{side}_frame"].map(times).astype(float)
        path = folder / f"{structure}_lineage_{item}"
        yield from write_figure(path, "lineage", table, quantity="frame", unit="", title=str(item))


def _named(stem: Path, kind: str) -> Path:
    return stem.with_name(f"{stem.name}_{kind}")
