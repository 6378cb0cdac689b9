"""Each input with its properties, pictures, charts, corrections and tables of objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte.runs.report.contents import MOST_ROWS, described, edit_rows, object_tables
from tomocyte.runs.report.facts import fact_lines, is_planar
from tomocyte.runs.report.planes import MOST_ITEMS, planes_view
from tomocyte.runs.report.section import ReportContent, ReportItem, Section, colour_class, data_uri
from tomocyte.runs.report.sections.files import link_of

if TYPE_CHECKING:
    import pandas as pd


ROWS_ON_PAGE = 200
"""Rows per structure over all inputs, so that a page of many inputs opens quickly; each input has four at least."""
PICTURES_ON_PAGE = 100
"""Overviews and close-ups over all inputs; each input has one at least, and links to the others."""

LINKED = (".ome.tif", ".csv", ".png", ".stl", ".ply")
"""Endings of the files of an input that are linked."""


def item_views(content: ReportContent) -> Iterator[dict[str, Any]]:
    """One item after the other, so that only one item's pictures are in memory."""
    table, dictionary = content.table, content.dictionary
    n_detailed = max(1, len(content.detailed))
    most_rows = max(4, min(MOST_ROWS, ROWS_ON_PAGE // n_detailed))
    most_pictures = max(1, PICTURES_ON_PAGE // n_detailed)
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
                    (caption, data_uri(Path(file).read_bytes()), _address(Path(file), content.folder))
                    for caption, file in item.pictures[:most_pictures]
                ],
                "charts": list(_charts(item, rows, dictionary)),
                "has_confidence": "confidence" in rows and bool(rows["confidence"].notna().any()),
                "edits": edit_rows(item.edits, is_planar=is_planar(item.facts)),
                "tables": [
                    {**shown, "colour": colour_class(shown["structure"])}
                    for shown in object_tables(rows, dictionary, most_rows=most_rows)
                ],
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


def _charts(
    item: ReportItem, rows: pd.DataFrame, dictionary: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[str, str]]:
    from tomocyte.figures import histogram_figure, time_course_figure

    unit, quantity = item.facts.get("unit", ""), item.facts.get("quantity", "")
    if "histogram" in item.facts:
        chart = histogram_figure(item.facts["histogram"], unit=unit, quantity=quantity)
        yield "Histogram of the voxel values in each structure (first frame of a series)", data_uri(chart)
    if not len(rows) or "frame" not in rows or rows["frame"].nunique() < 2:
        return
    cells = rows[rows["structure"] == "cell"]
    for column in ("volume_um3", "projected_area_um2", "dry_mass_pg", "projected_dry_mass_pg", "mean_ri", "mean_value"):
        if column in cells and cells[column].notna().any():
            note = described(column, dictionary)
            chart = time_course_figure(cells, column, note["unit"], label=note["heading"])
            yield f"Cells over time: {note['heading']}", data_uri(chart)


SECTION = Section("items", "Inputs in detail", item_views)
