"""What the report is made from, and what a section of it is.

To show something new of an input, add a field to :class:`ReportItem`; a new section is a file in ``sections/``.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte.structures import structure_colour

if TYPE_CHECKING:
    import pandas as pd

_PNG = b"\x89PNG"
_SIGNATURES = {_PNG: "image/png", b"RIFF": "image/webp"}
FINE, COARSE = 88, 65
"""Qualities of pictures, of 100: on a page of few inputs, and of many."""


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
    folder : Path, optional
        Where the results of this input lie: its small pictures, and the files that are linked.
    """

    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    pictures: tuple[tuple[str, Path], ...] = ()
    error: Mapping[str, str] | None = None
    edits: tuple[Mapping[str, Any], ...] = ()
    path: str = ""
    folder: Path | None = None

    def previews(self, kind: str) -> list[dict[str, Any]]:
        """The small pictures of a kind that are there, as the facts describe them, with their ``path``."""
        folder = self.folder
        if folder is None:
            return []
        wanted = [preview for preview in self.facts.get("previews", ()) if preview["kind"] == kind]
        with_paths = [{**preview, "path": folder / preview["picture"]} for preview in wanted]
        return [preview for preview in with_paths if preview["path"].is_file()]


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


@dataclass(frozen=True, eq=False)
class ReportContent:
    """All that a section may show.

    Parameters
    ----------
    items : sequence of ReportItem
        All inputs, in the order of the page.
    table : DataFrame
        All objects of all items; see :func:`tomocyte.runs.report.write_report`.
    run : ReportRun
    dictionary : mapping of str to mapping
        Column -> its entry: ``column``, ``unit``, ``meaning`` and, where it can be empty, ``nan_reason``.
    detailed : set of int
        Places in ``items`` of those that are shown with pictures and tables.
    folder : Path
        Where the page lies; other files of the run are found from here.
    contacts : DataFrame, optional
        One row per cell and two structures, where contacts were measured.
    """

    items: Sequence[ReportItem]
    table: pd.DataFrame
    run: ReportRun
    dictionary: Mapping[str, Mapping[str, str]]
    detailed: frozenset[int]
    folder: Path
    contacts: pd.DataFrame | None = None


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Parameters
    ----------
    name : str
        Of its template ``sections/<name>.html.j2``, which finds the view under ``view``; also its anchor.
    title : str
        As it stands in the list of contents.
    view : callable
        From the content to what the template needs; None: there is nothing to show, and the section is left out.
    """

    name: str
    title: str
    view: Callable[[ReportContent], Any]


def data_uri(picture: bytes, *, quality: int = FINE) -> str:
    """A picture as the address of an image that lies in the page itself; a PNG as WebP, a fifth of its size."""
    small = _as_webp(picture, quality) if picture[:4] == _PNG else picture
    kind = _SIGNATURES.get(small[:4], "application/octet-stream")
    return f"data:{kind};base64,{base64.b64encode(small).decode('ascii')}"


def shown_picture(picture: bytes, *, quality: int = FINE) -> dict[str, Any]:
    """``uri``, ``width`` and ``height`` of a picture: with these, nothing moves when it is drawn at last."""
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as image:
        width, height = image.size
    return {"uri": data_uri(picture, quality=quality), "width": width, "height": height}


def _as_webp(picture: bytes, quality: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as image:
        image.convert("RGB").save(buffer, format="WEBP", quality=quality, method=2)
    return min(picture, buffer.getvalue(), key=len)


def colour_class(name: str) -> str:
    """The name of a structure's colour in the style of the page."""
    return chip_name(structure_colour(name))


def chip_name(colour: str) -> str:
    """The name of a colour ``#rrggbb`` in the style of the page."""
    return colour.removeprefix("#")
