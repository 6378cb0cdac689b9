"""Charts of Fig. 4: courses of every quantity, the truth beside what is found (4b), and start against end (4c)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tomocyte.figures.canvas import PictureFormat
from tomocyte.figures.experiment import FIGURES, course_table
from tomocyte.papers.choi.macrophages.recipe import MacrophagesRecipe
from tomocyte.runs.analyse import Analysis, Measured
from tomocyte.runs.analyse.analysis import has_zero
from tomocyte.runs.analyse.drawing import figure_tables
from tomocyte.runs.analyse.words import quantity_words

if TYPE_CHECKING:
    import pandas as pd

SHORT = {"exact truth": "exact", "through the pipeline": "found"}
"""Sources in legends."""
CHANGED_WORDS = {True: "over its first value", False: "minus its first value"}


def chart_pictures(
    recipe: MacrophagesRecipe,
    analyses: Mapping[str, Analysis],
    measured: Measured,
    *,
    file_format: PictureFormat,
) -> dict[str, bytes]:
    """Every chart by file name; boxes and superplots are of the last source."""
    pictures: dict[str, bytes] = {}
    last = list(analyses.values())[-1]
    pairs = dict.fromkeys((claim.structure, claim.quantity) for claim in recipe.claims)
    for structure, quantity in pairs:
        column = measured.column(quantity)
        unit = "" if column.unit == "1" else column.unit
        title = structure.replace("_", " ")
        table = course_of(analyses, structure, quantity)
        if len(table):
            pictures[f"course-{structure}-{quantity}"] = FIGURES["time-course"](
                table,
                quantity=f"{quantity_words(column)} {CHANGED_WORDS[has_zero(quantity)]}",
                unit="" if has_zero(quantity) else unit,
                title=title,
                file_format=file_format,
            )
        ends = ends_of(last, structure, quantity)
        if len(ends):
            pictures[f"start-to-end-{structure}-{quantity}"] = FIGURES["start-to-end"](
                ends, quantity=quantity_words(column), unit=unit, title=title, file_format=file_format
            )
    for figure in figure_tables(measured, last):
        if figure.kind == "superplot":
            pictures[f"change-{figure.name.removesuffix('_change')}"] = FIGURES[figure.kind](
                figure.table, quantity=figure.quantity, unit=figure.unit, title=figure.title, file_format=file_format
            )
    return pictures


def course_of(analyses: Mapping[str, Analysis], structure: str, quantity: str) -> pd.DataFrame:
    """The normalised courses of one quantity from every source, each condition a line."""
    import pandas as pd

    parts = []
    for source, analysis in analyses.items():
        rows = analysis.by_condition
        if rows.empty:
            continue
        chosen = (rows["structure"] == structure) & (rows["quantity"] == quantity) & (rows["of"] == "normalised")
        rows = rows[chosen & (rows["generation"] == "all") & rows["mean"].notna()]
        parts.append(rows.assign(condition=rows["condition"] + f", {SHORT.get(source, source)}"))
    names = ["condition", "time_s", "mean", "low", "high", "n_replicates", "n_cells"]
    if not any(len(part) for part in parts):
        return pd.DataFrame(columns=names)
    table = pd.concat([part for part in parts if len(part)])[names]
    return course_table(table.assign(band="95 % interval over replicates"))


def ends_of(analysis: Analysis, structure: str, quantity: str) -> pd.DataFrame:
    """The values of every track over time, as the chart of start and end takes them."""
    rows = analysis.series
    if rows.empty:
        return rows
    rows = rows[(rows["structure"] == structure) & (rows["quantity"] == quantity) & rows["value"].notna()]
    rows = rows.assign(track_id=rows["item"] + " " + rows["track"])
    return rows[["track_id", "condition", "replicate", "time_s", "value"]]
