"""The page: what a run left behind, put into one HTML file without any reference to the outside.

Pictures are read one by one while the page is written, so that a long run needs little memory. Names of files,
channels and columns are hostile until proven otherwise: the template escapes everything, and the page's own policy
forbids foreign scripts and all network. To show something new, add it to a view here and to ``page.html.j2``.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte.confidence.plausibility import is_implausible
from tomocyte.runs.report.closure import closure_lines
from tomocyte.runs.report.contents import described, edit_rows, object_tables, summary_rows
from tomocyte.runs.report.rounding import rounded
from tomocyte.structures import SPARE_COLOURS, structure_colour, structures

if TYPE_CHECKING:
    import pandas as pd

_SIGNATURES = {b"\x89PNG": "image/png", b"RIFF": "image/webp"}


@dataclass(frozen=True)
class ReportItem:
    """One input of the run.

    Parameters
    ----------
    name : str
        As it stands in the column ``item``.
    facts : mapping
        What the analysis found out: ``shape_tczyx``, ``voxel_size_um``, ``quantity``, ``unit``, ``medium_ri`` (one per
        frame), ``origin``, ``n_objects``, ``histogram`` (as :func:`tomocyte.figures.histogram` gives it). Whatever is
        absent is not shown.
    warnings : tuple of str
        ``W-…: …``.
    pictures : tuple of (str, Path)
        Caption and PNG or WebP file of each picture.
    error : mapping, optional
        ``code``, ``problem`` and ``cure`` of an input that failed.
    edits : tuple of mapping
        What was corrected by hand, one entry per edit, as in ``edits_log.json``.
    path : str
        Where the input lies below the folder that all have in common; empty: not shown.
    """

    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    pictures: tuple[tuple[str, Path], ...] = ()
    error: Mapping[str, str] | None = None
    edits: tuple[Mapping[str, Any], ...] = ()
    path: str = ""


@dataclass(frozen=True)
class ReportRun:
    """What was run.

    Parameters
    ----------
    modality, model : str
    title : str
    started : str
        Date and time as text; empty: not shown.
    settings : mapping
        Nested settings, as written to ``run.json``.
    versions : mapping of str to str
        Program and libraries.
    limits : tuple of str
        What a reader must know before trusting the numbers, one sentence each.
    """

    modality: str
    model: str
    title: str = "tomocyte report"
    started: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[str, ...] = ()


def write_report(
    path: Path,
    items: Sequence[ReportItem],
    table: pd.DataFrame,
    run: ReportRun,
    *,
    dictionary: Sequence[Mapping[str, str]],
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
    max_items : int
        How many items get pictures and tables; the others get their row in the list of inputs, and the page says so.

    Raises
    ------
    OSError
        The file cannot be written, or a picture cannot be read.
    """
    entries = _with_native_unit(dictionary, items)
    good = [number for number, item in enumerate(items) if item.error is None]
    detailed = set(good[:max_items])
    script = _resource("page.js")
    context = {
        "run": run,
        "statuses": [_status(number, item, number in detailed) for number, item in enumerate(items)],
        "n_good": len(good),
        "n_detailed": len(detailed),
        "summary": _summary(items, table, entries),
        "items": _item_views(items, detailed, table, entries),
        "dictionary": list(entries.values()),
        "settings": list(_flattened(run.settings)),
        "style": _resource("page.css") + _chip_style(),
        "script": script,
        "script_hash": "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    part = path.with_name(f"{path.name}.part{os.getpid()}")
    try:
        with part.open("wb") as stream:
            for text in _template().generate(context):
                # A name that is not valid Unicode is shown with its odd bytes spelled out.
                stream.write(text.encode("utf-8", errors="backslashreplace"))
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


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


def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_resource("page.html.j2"))


def _resource(name: str) -> str:
    return files("tomocyte.runs.report").joinpath(name).read_text(encoding="utf-8")


def _chip_style() -> str:
    """The structures' colours in the pictures, for the page; a chip carries its colour, never a structure's text."""
    colours = dict.fromkeys((*(entry.colour for entry in structures()), *SPARE_COLOURS))
    return "".join(f'.chip[data-at="{colour[1:]}"]{{background:{colour}}}' for colour in colours)


def _colour_class(name: str) -> str:
    return structure_colour(name).removeprefix("#")


def _status(number: int, item: ReportItem, is_detailed: bool) -> dict[str, Any]:
    counts = item.facts.get("n_objects", {})
    notes = [f"{item.error['code']}: {item.error['problem']}"] if item.error is not None else list(item.warnings)
    return {
        "number": number + 1,
        "name": item.name,
        "path": item.path,
        "is_good": item.error is None,
        "is_implausible": any(map(is_implausible, item.warnings)),
        "is_detailed": is_detailed or item.error is not None,
        "counts": ", ".join(f"{structure.replace('_', ' ')}: {count}" for structure, count in counts.items()),
        "notes": notes,
    }


def _summary(
    items: Sequence[ReportItem], table: pd.DataFrame, dictionary: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    wanted = dict.fromkeys(structure for item in items for structure in item.facts.get("n_objects", {}))
    summary = summary_rows(table, dictionary, list(wanted))
    structures = [{**entry, "colour": _colour_class(entry["name"])} for entry in summary["structures"]]
    return {**summary, "structures": structures}


def _item_views(
    items: Sequence[ReportItem], detailed: set[int], table: pd.DataFrame, dictionary: Mapping[str, Mapping[str, str]]
) -> Iterator[dict[str, Any]]:
    """One item after the other, so that only one item's pictures are in memory."""
    places = table.groupby("item").indices if len(table) else {}
    for number, item in enumerate(items):
        if item.error is not None:
            yield {
                "number": number + 1,
                "name": item.name,
                "path": item.path,
                "error": item.error,
                "warnings": item.warnings,
            }
        elif number in detailed:
            rows = table.iloc[places.get(item.name, [])]
            yield {
                "number": number + 1,
                "name": item.name,
                "path": item.path,
                "error": None,
                "warnings": item.warnings,
                "facts": list(_fact_lines(item.facts)),
                "pictures": [(caption, _data_uri(Path(file).read_bytes())) for caption, file in item.pictures],
                "charts": list(_charts(item, rows, dictionary)),
                "has_confidence": "confidence" in rows and bool(rows["confidence"].notna().any()),
                "edits": edit_rows(item.edits, is_planar=_is_planar(item.facts)),
                "tables": [
                    {**shown, "colour": _colour_class(shown["structure"])} for shown in object_tables(rows, dictionary)
                ],
            }


def _fact_lines(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The properties of an input and their origin, as pairs of name and value."""
    origin = facts.get("origin", {})

    def source(name: str) -> str:
        texts = {
            "file": "from the file",
            "user": "given by the user",
            "measured": "measured outside the cells",
            "estimated": "estimated from the image",
            "simulated": "from the simulation",
        }
        return f" ({texts.get(origin[name], origin[name])})" if name in origin else ""

    if "shape_tczyx" in facts:
        frames, channels, *space = facts["shape_tczyx"]
        planar = space[0] == 1
        size = " × ".join(str(n) for n in (space[1:] if planar else space)) + (
            " pixels (y, x)" if planar else " voxels (z, y, x)"
        )
        yield (
            "size",
            size + (f", {frames} frames" if frames > 1 else "") + (f", {channels} channels" if channels > 1 else ""),
        )
    if "voxel_size_um" in facts:
        sizes = [size for size in facts["voxel_size_um"] if size is not None]
        words = "voxel size" if len(sizes) == 3 else "pixel size"
        yield words, " × ".join(f"{size:.4g}" for size in sizes) + " µm" + source("voxel_size_um")
    if "quantity" in facts:
        unit = facts.get("unit", "")
        yield (
            "quantity",
            facts["quantity"].replace("_", " ") + (f" in {unit}" if unit not in ("", "1") else "") + source("quantity"),
        )
    if facts.get("quantity") == "refractive_index":
        media = [value for value in facts.get("medium_ri", []) if value is not None]
        low, high = (rounded(float(end), "medium_ri") for end in (min(media), max(media))) if media else ("", "")
        medium = low if low == high else f"{low} to {high}"
        yield (
            "medium RI",
            medium + source("medium_ri") if media else "unknown: concentration and dry mass cannot be computed",
        )
    if facts.get("domain"):
        worst = max(facts["domain"], key=lambda one: one["distance"] / one["limit"])
        verdict = f"different: {worst['what']}" if worst["is_outside"] else "similar"
        times = f"distance {worst['distance'] / worst['limit']:.2f} of the limit"
        yield "compared with the model's training images", f"{verdict} ({times})"
    diameters = [value for value in facts.get("object_diameter_um", ()) if value is not None]
    if diameters:
        low, high = (f"{end:.3g}" for end in (min(diameters), max(diameters)))
        yield "object diameter", f"{low if low == high else f'{low} to {high}'} µm" + source("object_diameter_um")
    yield from closure_lines(facts.get("missing_cone") or ())
    if facts.get("n_masked_voxels"):
        yield "voxels without a value", str(facts["n_masked_voxels"])


def _is_planar(facts: Mapping[str, Any]) -> bool:
    return bool(facts.get("shape_tczyx", [1, 1, 0, 0, 0])[2] == 1)


def _charts(
    item: ReportItem, rows: pd.DataFrame, dictionary: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[str, str]]:
    from tomocyte.figures import histogram_figure, time_course_figure

    unit, quantity = item.facts.get("unit", ""), item.facts.get("quantity", "")
    if "histogram" in item.facts:
        chart = histogram_figure(item.facts["histogram"], unit=unit, quantity=quantity)
        yield "Histogram of the voxel values in each structure (first frame of a series)", _data_uri(chart)
    if not len(rows) or "frame" not in rows or rows["frame"].nunique() < 2:
        return
    cells = rows[rows["structure"] == "cell"]
    for column in ("volume_um3", "projected_area_um2", "dry_mass_pg", "projected_dry_mass_pg", "mean_ri", "mean_value"):
        if column in cells and cells[column].notna().any():
            note = described(column, dictionary)
            chart = time_course_figure(cells, column, note["unit"], label=note["heading"])
            yield f"Cells over time: {note['heading']}", _data_uri(chart)


def _data_uri(picture: bytes) -> str:
    kind = _SIGNATURES.get(picture[:4], "application/octet-stream")
    return f"data:{kind};base64,{base64.b64encode(picture).decode('ascii')}"


def _flattened(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "not set" if value is None else str(value)
