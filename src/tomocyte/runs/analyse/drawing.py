"""Figures of an analysis: superplots of what was compared, courses over time, each with the table it is drawn from.

To add a figure, add it to :func:`figure_tables`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tomocyte.figures.experiment import course_table, superplot_table, write_figure
from tomocyte.runs.analyse.analysis import Analysis, has_zero
from tomocyte.runs.analyse.reading import Measured
from tomocyte.runs.analyse.words import quantity_words

if TYPE_CHECKING:
    import pandas as pd

    from tomocyte.ledger import PublishedFiles

FOLDER = "figures"
MAX_TRACKS = 150
"""More thin lines than this hide the bands."""


@dataclass(frozen=True, eq=False)
class FigureTable:
    """A figure to draw.

    Parameters
    ----------
    name : str
        Of its files.
    kind : str
        One of :data:`tomocyte.figures.experiment.FIGURES`.
    table : DataFrame
    quantity, unit, title : str
    """

    name: str
    kind: str
    table: pd.DataFrame
    quantity: str
    unit: str
    title: str


def figure_tables(measured: Measured, analysis: Analysis) -> Iterator[FigureTable]:
    """Every figure of an analysis, one after the other."""
    import pandas as pd

    for (structure, quantity, summary), cells in analysis.cells.items():
        rows = cells.loc[cells["value"].notna()]
        if rows.empty:
            continue
        column = measured.column(quantity)
        unit = "" if column.unit == "1" else column.unit
        words, shown = quantity_words(column), structure.replace("_", " ")
        order = list(analysis.design.conditions)
        control = analysis.settings.comparison.control or order[0]
        order.sort(key=lambda name: name != control)
        keys = [name for name in ("condition", "replicate", "item", "track") if name in rows]
        per_cell = rows.groupby(keys, sort=False)["value"].mean().reset_index()
        per_cell = per_cell.sort_values("condition", key=lambda part: part.map(order.index), kind="stable")
        against = [
            {
                "condition": one.comparison.condition,
                "value": one.comparison.difference.value,
                "low": one.comparison.difference.low,
                "high": one.comparison.difference.high,
                "level": analysis.settings.comparison.level,
            }
            for one in analysis.tested
            if (one.structure, one.quantity, one.summary) == (structure, quantity, summary)
            and one.comparison.control == control
        ]
        yield FigureTable(
            f"{structure}_{quantity}_{summary}",
            "superplot",
            superplot_table(per_cell[["condition", "replicate", "value"]], pd.DataFrame(against)),
            {"mean": words, "change": f"change of {words}", "rate": f"rate of {words}"}[summary],
            {"mean": unit, "change": "%" if has_zero(quantity) else unit, "rate": f"{unit or '1'}/h"}[summary],
            shown,
        )
    if analysis.by_condition.empty:
        return
    whole = analysis.by_condition[analysis.by_condition["generation"] == "all"]
    for (part, name, of), bands in whole.groupby(["structure", "quantity", "of"], sort=False):
        structure, quantity = str(part), str(name)
        column = measured.column(quantity)
        if bands["mean"].isna().all():
            continue
        unit = "" if column.unit == "1" or of == "normalised" else column.unit
        kind = analysis.settings.band
        if kind != "interval":
            bands = bands.assign(low=bands["mean"] - bands[kind], high=bands["mean"] + bands[kind])
        band = bands[["condition", "time_s", "mean", "low", "high", "n_replicates", "n_cells"]]
        words = quantity_words(column)
        yield FigureTable(
            f"{structure}_{quantity}_over_time" + ("_normalised" if of == "normalised" else ""),
            "time-course",
            course_table(band.assign(band=_band_words(analysis)), _tracks(analysis, structure, quantity, str(of))),
            _normalised_words(words, quantity) if of == "normalised" else words,
            unit,
            structure.replace("_", " "),
        )


def _tracks(analysis: Analysis, structure: str, quantity: str, of: str) -> pd.DataFrame | None:
    """Single tracks beneath the bands, with their events: all, or where these are too many those that divide or die."""
    series = analysis.series
    rows = series[(series["structure"] == structure) & (series["quantity"] == quantity)]
    rows = rows[(rows["track"].astype(str) != "field") & rows[of].notna()]
    if rows.empty:
        return None
    rows = rows.assign(track_id=rows["item"].astype(str) + "/" + rows["track"].astype(str), value=rows[of])
    if rows["track_id"].nunique() > MAX_TRACKS:
        rows = rows[rows["track_id"].isin(rows.loc[rows["event"].fillna("") != "", "track_id"])]
        if rows.empty or rows["track_id"].nunique() > MAX_TRACKS:
            return None
    return rows[["track_id", "condition", "replicate", "time_s", "value", "event"]]


def _band_words(analysis: Analysis) -> str:
    """What a band is."""
    level = analysis.settings.comparison.level
    return {
        "interval": f"{100 * level:g} % interval over replicates",
        "sd": "mean ± SD of replicates",
        "sem": "mean ± SEM over replicates",
    }[analysis.settings.band]


def _normalised_words(words: str, quantity: str) -> str:
    return f"{words} over its baseline" if has_zero(quantity) else f"{words} minus its baseline"


def write_figures(published: PublishedFiles, measured: Measured, analysis: Analysis) -> list[Path]:
    """Draw every figure, and write it as SVG, PNG and CSV into the folder ``figures``."""
    written = []
    with tempfile.TemporaryDirectory() as folder:
        for figure in figure_tables(measured, analysis):
            drawn = write_figure(
                Path(folder) / figure.name,
                figure.kind,
                figure.table,
                quantity=figure.quantity,
                unit=figure.unit,
                title=figure.title,
            )
            written += [published.publish(f"{FOLDER}/{path.name}", partial(shutil.copyfile, path)) for path in drawn]
    return written
