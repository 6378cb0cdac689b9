"""Tables of label names: label descriptions of ITK-SNAP, colour tables of 3D Slicer and FreeSurfer, and ours in JSON.

To read another table, add its line as a pattern to :data:`LINES`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from tomocyte.errors import InputError
from tomocyte.names import shown_name
from tomocyte.volume import LabelName, Volume

LARGEST_NBYTES: Final = 16 * 2**20
BESIDE: Final = (".label.txt", "_labels.txt", ".txt", ".ctbl")
"""How a table beside a label image ends, in place of the image's own ending; the first is the one that is written."""
LINES: Final = (
    re.compile(
        r'(?P<value>\d+)\s+(?P<r>\d+)\s+(?P<g>\d+)\s+(?P<b>\d+)\s+(?:\d*\.)?\d+\s+[01]\s+[01]\s+"(?P<name>[^"]*)"'
    ),
    re.compile(r'(?P<value>\d+)\s+"?(?P<name>[^\s"]+)"?\s+(?P<r>\d+)\s+(?P<g>\d+)\s+(?P<b>\d+)\s+\d+'),
)
"""A line of ITK-SNAP (value, r, g, b, opacity, visible, mesh, "name"), and one of Slicer (value, name, r, g, b, a)."""
SNAP_HEADER: Final = """################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################
"""
GREY: Final = "#808080"


def read_label_table(path: Path) -> tuple[LabelName, ...]:
    """Names and colours from a table, by value; those of the background are left out.

    Raises
    ------
    InputError
        ``E-LABEL-TABLE``: a line that is of no known table, or a value twice. ``E-NOT-FOUND``.
    """
    text = _text(path)
    if text is None:
        raise InputError("E-NOT-FOUND", "the table of label names cannot be opened.", path=path, cure="Check the path.")
    names: dict[int, LabelName] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        entry = next((found for pattern in LINES if (found := pattern.fullmatch(words))), None)
        parts = [] if entry is None else [int(entry[part]) for part in "rgb"]
        if entry is None or max(parts) > 255 or int(entry["value"]) in names:
            raise InputError(
                "E-LABEL-TABLE",
                f"line {number} of it, {words[:60]!r}, is no new entry of a table of label names.",
                path=path,
                cure='Write lines like `1 255 0 0 1 1 1 "cell"` (ITK-SNAP) or `1 cell 255 0 0 255` (3D Slicer), each '
                "value once, colours up to 255.",
            )
        value = int(entry["value"])
        names[value] = LabelName(value, entry["name"], "#" + "".join(f"{part:02X}" for part in parts))
    return tuple(names[value] for value in sorted(names) if value > 0)


def table_beside(path: Path, ending: str) -> Path | None:
    """The table of names beside a label image; a ``.txt`` only where it calls itself a label description.

    Parameters
    ----------
    path : Path
    ending : str
        The image's own ending, as ``.nii.gz``.
    """
    stem = path.name[: len(path.name) - len(ending)] if path.name.lower().endswith(ending) else path.stem
    for name in BESIDE:
        table = path.with_name(stem + name)
        if table.is_file() and (name == ".ctbl" or "itk-snap label" in (_text(table) or "")[:400].lower()):
            return table
    return None


def with_table_beside(volume: Volume, ending: str) -> Volume:
    """Labels with the names of the table beside their file, where it has none itself; other volumes as they are."""
    if volume.path is None or volume.label_names or volume.dtype.kind not in "ui" or volume.n_channels > 1:
        return volume
    table = table_beside(volume.path, ending)
    if table is None:
        return volume
    return volume.with_properties(
        quantity="labels",
        label_names=read_label_table(table),
        origin={"quantity": "file", "label_names": "file"},
        sources={"quantity": shown_name(table.name), "label_names": shown_name(table.name)},
    )


def named_beside(path: Path, volume: Volume) -> dict[str, bytes]:
    """Names and colours of labels as a label description of ITK-SNAP for a NIfTI file, by the name of the file."""
    if volume.quantity != "labels" or not volume.label_names:
        return {}
    stem = re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)
    return {stem + BESIDE[0]: label_description(one for one in volume.label_names if one.channel == 0).encode()}


def _text(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            return stream.read(LARGEST_NBYTES).decode("utf-8", "replace")
    except OSError:
        return None


def label_description(names: Iterable[LabelName]) -> str:
    """A label description file of ITK-SNAP; labels without a colour are grey.

    Examples
    --------
    >>> print(label_description([LabelName(2, "nucleus", "#E69F00")]).splitlines()[-1])
    2 230 159 0 1 1 1 "nucleus"
    """
    lines = ['0 0 0 0 0 0 0 "Clear Label"']
    for one in names:
        colour = one.colour or GREY
        parts = " ".join(str(int(colour[place : place + 2], 16)) for place in (1, 3, 5))
        plain = one.name.replace('"', "'").replace("\n", " ")
        lines.append(f'{one.value} {parts} 1 1 1 "{plain}"')
    return SNAP_HEADER + "\n".join(lines) + "\n"


def label_names_of(entries: Any) -> tuple[LabelName, ...]:
    """Names from a list of objects as :func:`label_entries` makes them; what is of another form is left out.

    Examples
    --------
    >>> label_names_of([{"value": 2, "name": "cell"}, {"value": "x"}])
    (LabelName(value=2, name='cell', colour='', channel=0),)
    """
    names = []
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            continue
        value, channel, colour = entry.get("value"), entry.get("channel", 0), str(entry.get("colour", ""))
        if type(value) is int and value > 0 and type(channel) is int and channel >= 0:
            is_colour = re.fullmatch(r"#[0-9A-Fa-f]{6}", colour)
            names.append(LabelName(value, entry["name"], colour.upper() if is_colour else "", channel))
    return tuple(names)


def label_names_of_text(text: str) -> tuple[LabelName, ...]:
    """The same from JSON; nothing from text that is none."""
    try:
        return label_names_of(json.loads(text)) if text else ()
    except ValueError:
        return ()


def label_entries(names: Iterable[LabelName]) -> list[dict[str, Any]]:
    """Names as objects for JSON, without what is empty.

    Examples
    --------
    >>> label_entries([LabelName(2, "cell")])
    [{'value': 2, 'name': 'cell'}]
    """
    return [{key: value for key, value in vars(one).items() if value not in ("", 0)} for one in names]
