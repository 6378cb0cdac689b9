"""The files of an analysis: tables with their dictionary, figures, sentences, each whole or not at all.

A file that a user changed is kept under another name. To write another file, add it in :func:`write_analysis`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte.ledger import PublishedFiles, claim_folder, sha256_file
from tomocyte.names import shown_name
from tomocyte.provenance import environment, now_utc
from tomocyte.runs.analyse.analysis import Analysis, AnalysisSettings, Tested, analyse_objects, has_zero
from tomocyte.runs.analyse.drawing import FOLDER as FIGURES
from tomocyte.runs.analyse.drawing import write_figures
from tomocyte.runs.analyse.reading import Measured, make_design, read_measured
from tomocyte.runs.analyse.words import analysis_words
from tomocyte.statistics.design import COLUMNS as DESIGN_COLUMNS
from tomocyte.tables import Column, data_dictionary, find_columns, table_from_rows, write_csv

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "analysis"
KIND = "analyse"
_N = "1"

COMPARISON = (
    Column("structure", "", "What was compared.", kind="text"),
    Column("quantity", "", "Column of the table of objects, or a number per cell.", kind="text"),
    Column("unit_of_quantity", "", "Unit of means and difference; % of the baseline for changes.", kind="text"),
    Column(
        "summary",
        "",
        "What of each cell: mean over its frames, change from the baseline to the end in %, rate per hour.",
        kind="text",
    ),
    Column("condition", "", "What was done.", kind="text"),
    Column("control", "", "What it is compared with.", kind="text"),
    Column("n_cells", _N, "Cells (tracks) of the condition with a value.", kind="integer"),
    Column("n_cells_control", _N, "Cells (tracks) of the control with a value.", kind="integer"),
    Column("n_replicates", _N, "Replicates of the condition.", kind="integer"),
    Column("n_replicates_control", _N, "Replicates of the control.", kind="integer"),
    Column("mean", "native", "Mean over replicates of the condition.", "No values."),
    Column("mean_control", "native", "Mean over replicates of the control.", "No values."),
    Column("difference", "native", "Condition minus control.", "No values."),
    Column("difference_low", "native", "Lower end of the interval of the difference.", "With one replicate."),
    Column("difference_high", "native", "Upper end of the interval of the difference.", "With one replicate."),
    Column(
        "bootstrap_low", "native", "Lower percentile of the hierarchical bootstrap.", "With one replicate.",
        "arXiv:2007.07797",
    ),
    Column(
        "bootstrap_high", "native", "Upper percentile of the hierarchical bootstrap.", "With one replicate.",
        "arXiv:2007.07797",
    ),
    Column("ratio", "1", "Condition over control.", "Unless both means are above 0."),
    Column("ratio_low", "1", "Lower end of the interval of the ratio.", "With one replicate."),
    Column("ratio_high", "1", "Upper end of the interval of the ratio.", "With one replicate."),
    Column(
        "hedges_g", "1", "Difference in standard deviations between replicates.", "Without spread.",
        "doi:10.3102/10769986006002107",
    ),
    Column("hedges_g_low", "1", "Lower end of its interval.", "For pairs, and with one replicate."),
    Column("hedges_g_high", "1", "Upper end of its interval.", "For pairs, and with one replicate."),
    Column("test", "", "The test.", "Where there is none; reason says why.", kind="text"),
    Column("unit", "", "What counts as one independent observation.", kind="text"),
    Column("assumptions", "", "What the test assumes.", "Where there is no test.", kind="text"),
    Column("statistic", "1", "Student's t.", "Where there is no test."),
    Column("df", "1", "Degrees of freedom.", "Where there is no test."),
    Column("p", "1", "Two-sided p value.", "Where there is no test."),
    Column("p_holm", "1", "The same, corrected for all tests of this table.", "Where there is no test."),
    Column("reason", "", "Why there is no test.", "Where there is one.", kind="text"),
    Column(
        "detectable_difference", "native", "Smallest true difference that 8 of 10 such experiments find.",
        "With one replicate.",
    ),
    Column(
        "n_replicates_needed", _N, "Replicates per condition to find the difference asked for in 8 of 10 experiments.",
        "With one replicate; where more than 1000 are needed.",
    ),
    Column("notes", "", "What is unusual about this comparison.", "Nothing.", kind="text"),
)  # fmt: skip

SERIES = (
    Column("item", "", "Name of the input.", kind="text"),
    Column("track", "", "Track of the cell; `field` for all cells of an input without tracks.", kind="text"),
    Column("frame", _N, "Index of the time point, from 0.", kind="integer"),
    Column("time_s", "s", "Time after time_zero_s."),
    Column(
        "value", "native", "The quantity; of what a cell holds, the mean over the objects in it.", "As in the table."
    ),
    Column("normalised", "1", "Value over the baseline of its track; of an index, minus it.", "Without a baseline."),
    Column("parent", "", "Track of the mother cell.", "For none.", kind="text"),
    Column("generation", _N, "Divisions before, from 0; `all` for every cell."),
    Column("event", "", "born, division or death in this frame.", "Nothing happened.", kind="text"),
    Column("of", "", "Whether the course is that of the value or of the normalised value.", kind="text"),
    Column("mean", "native", "Mean over replicates."),
    Column("sd", "native", "Standard deviation between replicates.", "With one replicate."),
    Column("sem", "native", "Standard error of the mean over replicates.", "With one replicate."),
    Column(
        "low",
        "native",
        "Lower end of the interval: of the mean over replicates, of a track's rate.",
        "With one replicate.",
    ),
    Column("high", "native", "Upper end of the interval.", "With one replicate."),
    Column("sd_cells", "native", "Standard deviation between all cells.", "With one cell."),
    Column("n_replicates", _N, "Replicates with a value.", kind="integer"),
    Column("n_cells", _N, "Cells with a value.", kind="integer"),
    Column("n_times", _N, "Frames of the line.", kind="integer"),
    Column("first_track", "", "One daughter.", kind="text"),
    Column("second_track", "", "The other.", kind="text"),
    Column("first_value", "native", "Mean of the one over its frames."),
    Column("second_value", "native", "Mean of the other over its frames."),
)
"""Columns of series, courses, rates and sisters."""
_ABOUT = ("structure", "quantity", "condition", "replicate", "dish", "item", "track")


def analyse_folder(
    source: Path,
    *,
    conditions: Path | None = None,
    levels: Sequence[str] | None = None,
    is_from_folders: bool = False,
    settings: AnalysisSettings | None = None,
    output: Path | None = None,
    has_figures: bool = True,
    is_dry_run: bool = False,
) -> tuple[Analysis, str, list[Path]]:
    """Read what a command left, compare its conditions, and write the result.

    Parameters
    ----------
    source : Path
        Folder of ``run``, ``measure``, ``track`` or ``simulate``, or a table of objects.
    conditions : Path, optional
        Table of the design; else ``levels`` or ``is_from_folders``.
    levels : sequence of str, optional
        What folders mean, the outermost first.
    is_from_folders : bool
    settings : AnalysisSettings, optional
    output : Path, optional
        ``analysis`` in the folder by default.
    has_figures : bool
        Whether figures are drawn.
    is_dry_run : bool
        Whether everything is computed and nothing written.

    Returns
    -------
    analysis : Analysis
    words : str
    files : list of Path
        As written; empty after a dry run.

    Raises
    ------
    InputError, SettingsError, OutputError
        Coded, with a cure.
    """
    measured = read_measured(source)
    design = make_design(measured, conditions=conditions, levels=levels, is_from_folders=is_from_folders)
    analysis = analyse_objects(measured, design, settings)
    words = analysis_words(analysis, measured.column, title=f"Analysis of {shown_name(source.name or str(source))}")
    if is_dry_run:
        return analysis, words, []
    folder = output or (source if source.is_dir() else source.parent) / FOLDER
    return analysis, words, write_analysis(folder, measured, analysis, words, has_figures=has_figures)


def write_analysis(
    folder: Path, measured: Measured, analysis: Analysis, words: str, *, has_figures: bool = True
) -> list[Path]:
    """Write tables, dictionary, sentences and the record of how they were made.

    Returns
    -------
    list of Path

    Raises
    ------
    OutputError
        ``E-OUT-KIND``, ``E-OUT-FOREIGN``: the folder holds something else; ``E-DISK``, ``E-OUT-RO``.
    """
    claim_folder(folder, KIND)
    published = PublishedFiles(folder)
    tables = {
        "comparison": comparison_table(analysis, measured),
        "design": analysis.design.table(),
        "left_out": _left_out(analysis),
        "cells": _cells(analysis),
        "series": _ordered(analysis.series, drop=("time_zero_s", "position", "day")),
        "series_by_condition": _ordered(analysis.by_condition),
        "rates": _ordered(analysis.rates),
        "sisters": _ordered(analysis.sisters),
    }
    columns = (*COMPARISON, *(one for one in (*DESIGN_COLUMNS, *SERIES, *_LEFT_OUT) if one.name not in _NAMES))
    described = _described(columns)
    record: dict[str, Any] = {
        "source": measured.source.name,
        "source_sha256": sha256_file(measured.source),
        "settings": analysis.settings.model_dump(mode="json"),
        "notices": [str(notice) for notice in analysis.notices],
        "environment": environment(),
        "finished": now_utc(),
    }
    files: dict[str, Callable[[Path], Any]] = {}
    names: list[str] = []
    for name, table in tables.items():
        if len(table) or name in ("comparison", "design"):
            files[f"{name}.csv"] = partial(write_csv, table)
            names += [column for column in table.columns if column not in names]
        else:
            published.withdraw(f"{name}.csv")
    files["dictionary.csv"] = partial(write_csv, data_dictionary(find_columns(names, described)))
    files["words.md"] = lambda path: path.write_text(words, encoding="utf-8")
    files["analysis.json"] = lambda path: path.write_text(
        json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    written = [published.publish(name, write) for name, write in files.items()]
    drawn = write_figures(published, measured, analysis) if has_figures else []
    # Figures of an earlier analysis would show another design or other settings.
    for name in published.names:
        if name.startswith(f"{FIGURES}/") and published.out / name not in drawn:
            published.withdraw(name)
    return [*written, *drawn]


_LEFT_OUT = (
    Column("reason", "", "Why these are left out.", kind="text"),
    Column("n_rows", _N, "Objects left out, counted per frame.", kind="integer"),
    Column("cell", "", "The cell: its input and track.", kind="text"),
)
_NAMES = {column.name for column in COMPARISON}


def _described(columns: Sequence[Column]) -> list[Column]:
    """Each name once: the first description stands."""
    return list({column.name: column for column in reversed(columns)}.values())


def comparison_table(analysis: Analysis, measured: Measured) -> pd.DataFrame:
    """One row per structure, quantity, summary and pair of conditions; the columns are :data:`COMPARISON`."""
    return table_from_rows([_comparison_row(one, measured) for one in analysis.tested], COMPARISON)


def _comparison_row(one: Tested, measured: Measured) -> dict[str, Any]:
    comparison = one.comparison
    unit = measured.column(one.quantity).unit
    units = {"mean": unit, "change": "%" if has_zero(one.quantity) else unit, "rate": f"{unit} per hour"}
    return {
        "structure": one.structure,
        "quantity": one.quantity,
        "unit_of_quantity": units[one.summary],
        "summary": one.summary,
        "condition": comparison.condition,
        "control": comparison.control,
        "n_cells": comparison.n_cells,
        "n_cells_control": comparison.n_cells_control,
        "n_replicates": comparison.n_replicates,
        "n_replicates_control": comparison.n_replicates_control,
        "mean": comparison.mean,
        "mean_control": comparison.mean_control,
        "difference": comparison.difference.value,
        "difference_low": comparison.difference.low,
        "difference_high": comparison.difference.high,
        "bootstrap_low": comparison.bootstrap.low,
        "bootstrap_high": comparison.bootstrap.high,
        "ratio": comparison.ratio.value,
        "ratio_low": comparison.ratio.low,
        "ratio_high": comparison.ratio.high,
        "hedges_g": comparison.hedges_g.value,
        "hedges_g_low": comparison.hedges_g.low,
        "hedges_g_high": comparison.hedges_g.high,
        "test": comparison.test,
        "unit": comparison.unit,
        "assumptions": comparison.assumptions,
        "statistic": comparison.statistic,
        "df": comparison.df,
        "p": comparison.p,
        "p_holm": one.p_holm,
        "reason": comparison.reason,
        "detectable_difference": comparison.detectable,
        "n_replicates_needed": comparison.n_replicates_needed,
        "notes": "; ".join(comparison.notes),
    }


def _left_out(analysis: Analysis) -> pd.DataFrame:
    columns = (COMPARISON[0], *_LEFT_OUT[:2])
    rows = [
        {"structure": structure, "reason": reason, "n_rows": count}
        for (structure, reason), count in analysis.left_out.counts.items()
    ]
    return table_from_rows(rows, columns)


def _cells(analysis: Analysis) -> pd.DataFrame:
    """One row per structure, quantity, summary and cell: what superplots are drawn from."""
    import pandas as pd

    parts = []
    for (structure, quantity, summary), cells in analysis.cells.items():
        keys = [name for name in ("condition", "replicate", "dish", "item", "track") if name in cells]
        means = cells.groupby(keys, sort=False, dropna=False)["value"].mean().reset_index()
        parts.append(means.assign(structure=structure, quantity=quantity, summary=summary))
    return _ordered(pd.concat(parts, ignore_index=True)) if parts else pd.DataFrame()


def _ordered(table: pd.DataFrame, drop: Sequence[str] = ()) -> pd.DataFrame:
    kept = [name for name in table.columns if name not in drop]
    first = [name for name in (*_ABOUT[:2], "summary", "of", "generation", *_ABOUT[2:]) if name in kept]
    return table[[*first, *(name for name in kept if name not in first)]]
