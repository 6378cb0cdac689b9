"""The page: what a run left behind, put into one HTML file without any reference to the outside.

Pictures are read one by one while the page is written, so that a long run needs little memory. Names of files,
channels and columns are hostile until proven otherwise: the template escapes everything, and the page's own policy
forbids foreign scripts and all network. A new section stands in ``sections/``.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte.figures.axes import LINE_COLOURS
from tomocyte.figures.canvas import BACKGROUND_COLOUR, COMPARISON_COLOURS, TRACK_COLOUR
from tomocyte.runs.report.section import ReportContent, ReportItem, ReportRun
from tomocyte.runs.report.sections import SECTIONS
from tomocyte.structures import SPARE_COLOURS, structures

if TYPE_CHECKING:
    import pandas as pd


def write_report(
    path: Path,
    items: Sequence[ReportItem],
    table: pd.DataFrame,
    run: ReportRun,
    *,
    dictionary: Sequence[Mapping[str, str]],
    contacts: pd.DataFrame | None = None,
    max_items: int = 200,
) -> None:
    """Write one self-contained HTML page about a run.

    Parameters
    ----------
    path : Path
        The file to write; it appears whole or not at all.
    items : sequence of ReportItem
        All inputs, in the order of the page.
    table : DataFrame
        All objects of all items, one row each, with ``item``, ``structure``, ``label`` and the measurements; may have
        no rows.
    run : ReportRun
    dictionary : sequence of mapping
        One per column: ``column``, ``unit`` (``native``: that of the image), ``meaning`` and, where it can be empty,
        ``nan_reason``.
    contacts : DataFrame, optional
        One row per cell and two structures of all items, where contacts were measured.
    max_items : int
        How many items get pictures and tables; the others get their row in the list of inputs, and the page says so.

    Raises
    ------
    OSError
        The file cannot be written, or a picture cannot be read.
    """
    entries = _with_native_unit(dictionary, items)
    detailed = frozenset([number for number, item in enumerate(items) if item.error is None][:max_items])
    content = ReportContent(items, table, run, entries, detailed, path.parent, contacts)
    write_sections(path, _views(content), run)


def write_sections(path: Path, sections: Sequence[Mapping[str, Any]], run: ReportRun) -> None:
    """Write one self-contained HTML page of these sections.

    Parameters
    ----------
    path : Path
        The file to write; it appears whole or not at all.
    sections : sequence of mapping
        ``name`` of each (its template is ``sections/<name>.html.j2``), ``title`` (empty: not in the list of contents)
        and ``view``, what the template finds under that name.
    run : ReportRun
        Its title, and what stands below it.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    script = _resource("page.js")
    context = {
        "run": run,
        "started": re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*\+00:00$", r"\1 \2 UTC", run.started),
        "sections": sections,
        "style": _resource("page.css") + _chip_style(),
        "script": script,
        "script_hash": "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    part = path.with_name(f"{path.name}.part{os.getpid()}")
    try:
        with part.open("wb") as stream:
            for text in _environment().get_template("page.html.j2").generate(context):
                # A name that is not valid Unicode is shown with its odd bytes spelled out.
                stream.write(text.encode("utf-8", errors="backslashreplace"))
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _views(content: ReportContent) -> list[dict[str, Any]]:
    """Name, title and view of each section that has something to show."""
    views = [(section, section.view(content)) for section in SECTIONS]
    return [{"name": section.name, "title": section.title, "view": view} for section, view in views if view is not None]


def _with_native_unit(
    dictionary: Sequence[Mapping[str, str]], items: Sequence[ReportItem]
) -> dict[str, dict[str, str]]:
    """The dictionary by column, with the images' own unit written out where all images have the same."""
    units = {str(item.facts["unit"]) for item in items if "unit" in item.facts}
    native = units.pop() if len(units) == 1 else "native"
    shown = [{**entry, "unit": entry.get("unit", "")} for entry in dictionary]
    return {
        entry["column"]: {**entry, "unit": native if entry["unit"] == "native" else entry["unit"]} for entry in shown
    }


def _environment() -> Any:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def load(name: str) -> str:
        return _resource(name if name == "page.html.j2" else f"sections/{name}")

    return Environment(
        loader=FunctionLoader(load), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def _resource(name: str) -> str:
    return files("tomocyte.runs.report").joinpath(name).read_text(encoding="utf-8")


def _chip_style() -> str:
    """The colours in pictures and charts, for the page; a chip carries its colour, never a structure's text."""
    own = (LINE_COLOURS[0], BACKGROUND_COLOUR, TRACK_COLOUR, COMPARISON_COLOURS["truth"])
    colours = dict.fromkeys((*(entry.colour for entry in structures()), *SPARE_COLOURS, *own))
    return "".join(f'.chip[data-at="{colour[1:]}"]{{background:{colour}}}' for colour in colours)
