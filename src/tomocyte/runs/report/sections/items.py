"""Each input with its properties, pictures, charts, corrections and tables of objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte.runs.report.charts import item_charts
from tomocyte.runs.report.contents import MOST_ROWS, edit_rows, measured_columns, object_tables, summary_rows
from tomocyte.runs.report.facts import fact_lines, is_planar
from tomocyte.runs.report.planes import MOST_ITEMS, planes_view
from tomocyte.runs.report.section import (
    COARSE,
    FINE,
    ReportContent,
    ReportItem,
    Section,
    chip_name,
    colour_class,
    shown_picture,
)
from tomocyte.runs.report.sections.files import link_of

if TYPE_CHECKING:
    import pandas as pd


MOST_WITH_OBJECTS = 8
"""Inputs up to which each object has a row; of more inputs, each has its means, so that the page opens quickly."""
CELLS_ON_PAGE = 12_000
"""Cells of the tables of objects, over all inputs; each table has four rows at least."""
PICTURES_ON_PAGE = 40
"""Overviews and close-ups over all inputs; each input has one at least, and links to the others."""

LINKED = (".ome.tif", ".csv", ".png", ".stl", ".ply")
"""Endings of the files of an input that are linked."""


def item_views(content: ReportContent) -> Iterator[dict[str, Any]]:
    """One item after the other, so that only one item's pictures are in memory."""
    table, dictionary = content.table, content.dictionary
    n_detailed = max(1, len(content.detailed))
    most_pictures = max(1, PICTURES_ON_PAGE // n_detailed)
    quality = FINE if n_detailed <= MOST_WITH_OBJECTS else COARSE
    with_planes = set(sorted(content.detailed)[:MOST_ITEMS])
    places = table.groupby("item").indices if len(table) else {}
    for number, item in enumerate(content.items):
        if item.error is not None:
            yield {
                "number": number + 1,
                "name": item.name,
                "path": item.path,
                "error": item.error,
                "warnings": item.warnings,
            }
        elif number in content.detailed:
            rows = table.iloc[places.get(item.name, [])]
            yield {
                "number": number + 1,
                "name": item.name,
                "path": item.path,
                "error": None,
                "warnings": item.warnings,
                "facts": list(fact_lines(item.facts)),
                "files": _files(item, content.folder),
                "planes": planes_view(item) if number in with_planes else None,
                "pictures": [
                    {
                        **shown_picture(Path(file).read_bytes(), quality=quality),
                        "caption": caption,
                        "href": _address(Path(file), content.folder),
                    }
                    for caption, file in item.pictures[:most_pictures]
                ],
                "charts": [
                    {**vars(chart), "legend": [(chip_name(colour), text) for colour, text in chart.legend]}
                    for chart in item_charts(item, rows, dictionary)
                ],
                "has_confidence": "confidence" in rows and bool(rows["confidence"].notna().any()),
                "edits": edit_rows(item.edits, is_planar=is_planar(item.facts)),
                "n_objects": len(rows),
                "means": _with_colours(summary_rows(rows, dictionary)) if n_detailed > MOST_WITH_OBJECTS else None,
                "tables": [
                    {**shown, "colour": colour_class(shown["structure"])}
                    for shown in object_tables(rows, dictionary, most_rows=_most_rows(rows, n_detailed))
                ]
                if n_detailed <= MOST_WITH_OBJECTS
                else [],
            }


def _address(file: Path, page_folder: Path) -> str:
    """A file's address from the page; empty where it lies elsewhere."""
    return link_of(file.relative_to(page_folder)) if file.is_relative_to(page_folder) else ""


def _files(item: ReportItem, page_folder: Path) -> list[dict[str, str]]:
    """Label images and tables of an input, with their addresses from the page."""
    if item.folder is None or not item.folder.is_dir():
        return []
    paths = sorted(path for path in item.folder.iterdir() if path.name.endswith(LINKED))
    addresses = [(path.name, _address(path, page_folder)) for path in paths]
    return [{"name": name, "href": href} for name, href in addresses if href]


def _most_rows(rows: pd.DataFrame, n_inputs: int) -> int:
    """Rows of each table of objects so that all inputs together keep to :data:`CELLS_ON_PAGE`."""
    n_cells = n_inputs * (rows["structure"].nunique() if len(rows) else 1) * max(1, len(measured_columns(rows)))
    return max(4, min(MOST_ROWS, CELLS_ON_PAGE // n_cells))


def _with_colours(means: dict[str, Any]) -> dict[str, Any]:
    return {**means, "structures": [{**one, "colour": colour_class(one["name"])} for one in means["structures"]]}


SECTION = Section("items", "Inputs in detail", item_views)
