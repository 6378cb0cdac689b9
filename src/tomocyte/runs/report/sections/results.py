"""Conditions compared, where that was done, and the figures that were drawn, each with its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tomocyte.names import natural_key
from tomocyte.runs.report.comparison import analysis_sentences, comparison_rows
from tomocyte.runs.report.section import ReportContent, Section, shown_picture
from tomocyte.runs.report.sections.files import link_of

COMPARISON = Path("analysis") / "comparison.csv"
WORDS = Path("analysis") / "words.md"
FIGURE_FOLDERS = ("analysis", "analysis/figures", "figures")
MOST_FIGURES = 40
ENDINGS = (
    "mean", "superplot", "change", "rate", "distribution", "over_time", "over_time_normalised", "course",
    "start_to_end", "montage",
)  # fmt: skip
"""How names of figures of one quantity end, in the order of the page."""
FILMS = (".gif", ".mp4")


def results_view(content: ReportContent) -> dict[str, Any] | None:
    """The table of comparisons, the figures and the films; None where there is nothing of these."""
    table = comparison_rows(content.folder / COMPARISON)
    figures = list(_figures(content.folder))
    films = list(_films(content.folder))
    if table is None and not figures and not films:
        return None
    return {
        "table": table,
        "href": link_of(COMPARISON),
        "sentences": analysis_sentences(content.folder / WORDS),
        "figures": (_figure(content.folder, path) for path in figures[:MOST_FIGURES]),
        "n_figures": len(figures),
        "n_shown": min(len(figures), MOST_FIGURES),
        "films": films,
    }


def _figures(folder: Path) -> Iterator[Path]:
    """PNG files that have a CSV of the same name: figures of tables and images, not other pictures."""
    for name in FIGURE_FOLDERS:
        there = sorted((folder / name).glob("*.png"), key=_place)
        yield from (path for path in there if path.with_suffix(".csv").is_file())


def _place(path: Path) -> tuple[object, int]:
    """By what a figure shows, then by its kind."""
    fitting = [ending for ending in ENDINGS if path.stem.endswith(f"_{ending}")]
    ending = max(fitting, key=len, default="")
    return natural_key(path.stem.removesuffix(ending)), ENDINGS.index(ending) if ending else len(ENDINGS)


def _films(folder: Path) -> Iterator[dict[str, str]]:
    paths = sorted((folder / "figures").glob("*"), key=lambda path: natural_key(path.name))
    yield from (
        {"name": path.name, "href": link_of(path.relative_to(folder))} for path in paths if path.suffix in FILMS
    )


def _figure(folder: Path, path: Path) -> dict[str, Any]:
    endings = [ending for ending in ("svg", "png", "csv") if path.with_suffix(f".{ending}").is_file()]
    return {
        **shown_picture(path.read_bytes()),
        "name": _caption(path),
        "links": [
            {"ending": ending.upper(), "href": link_of(path.with_suffix(f".{ending}").relative_to(folder))}
            for ending in endings
        ],
    }


def _caption(path: Path) -> str:
    """What its CSV calls a figure; else the name of the file."""
    import pandas as pd

    name = path.stem.replace("_", " ")
    try:
        first = pd.read_csv(path.with_suffix(".csv"), nrows=1, dtype=str, keep_default_na=False)
    except ValueError:
        return name
    if not len(first) or not {"title", "quantity"} <= set(first):
        return name
    return ": ".join(text for text in (first["title"][0], first["quantity"][0]) if text) or name


SECTION = Section("results", "Results", results_view)
