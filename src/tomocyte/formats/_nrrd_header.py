"""The header of an NRRD file: its fields under one spelling each, and the key/value pairs that programs add.

Names of fields are not case-sensitive and some have two spellings; ``key:=value`` is another name space than
``field: value``. Values are parsed by pynrrd. To read another field, add its name to :data:`FIELDS`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nrrd import NRRDError, read_header

LARGEST_HEADER_NBYTES: Final = 2**20
PER_AXIS: Final = ("spacings", "thicknesses", "axis mins", "axis maxs", "centerings", "labels", "units", "kinds")
"""Fields with one entry for each stored axis, as ``sizes`` and ``space directions`` have."""
FIELDS: Final = (
    "content", "type", "dimension", "sizes", "endian", "encoding", "data file", "line skip", "byte skip", "min", "max",
    "old min", "old max", "sample units", "space", "space dimension", "space units", "space origin", "space directions",
    *PER_AXIS,
)  # fmt: skip
SPELLINGS: Final = {name.replace(" ", ""): name for name in FIELDS} | {"centers": "centerings"}
SEPARATOR: Final = re.compile(r":=|:(?=\s|$)")


@dataclass(frozen=True)
class NrrdHeader:
    """What the header says.

    Parameters
    ----------
    fields : mapping
        Name of a field -> its value, lists in the order of the file (fastest axis first).
    pairs : mapping
        Key -> value as text.
    data_files : tuple of str
        The names that follow ``data file: LIST``.
    end : int
        Byte of the file at which voxels may begin.
    notes : tuple of str
        What does not fit together.
    """

    fields: Mapping[str, Any]
    pairs: Mapping[str, str]
    data_files: tuple[str, ...]
    end: int
    notes: tuple[str, ...]


def read_nrrd_header(path: Path) -> NrrdHeader:
    """The header of a file.

    Raises
    ------
    ValueError, KeyError
        Whatever is wrong with it; for a caller that says which file it is.
    """
    lines, end = _lines(path)
    fields, pairs, data_files = [_text(lines[0])], dict[str, str](), list[str]()
    for number, line in enumerate(lines[1:], start=1):
        text = _text(line)
        if text.startswith("#"):
            continue
        separator = SEPARATOR.search(text) or re.search(":", text)
        if separator is None:
            raise ValueError(f"the line {text[:40]!r} is neither a field nor a comment")
        name, value = text[: separator.start()].strip(), text[separator.end() :].strip()
        if separator[0] == ":=":
            pairs[name] = value
            continue
        name = SPELLINGS.get(name.lower().replace(" ", ""), "")
        if name:
            fields.append(f"{name}: {_plain(name, value)}")
        if name == "data file" and value.split()[:1] == ["LIST"]:
            data_files = [_text(rest) for rest in lines[number + 1 :]]
            break
    try:
        parsed: Mapping[str, Any] = read_header(fields)
    except NRRDError as error:  # which is no ValueError
        raise ValueError(str(error)) from error
    fitting, notes = _fitting(parsed)
    return NrrdHeader(fitting, pairs, tuple(data_files), end, notes)


def _plain(name: str, value: str) -> str:
    """A value as pynrrd parses it: no spaces within vectors; whole numbers only where they count something."""
    if name in ("space directions", "space origin"):
        value = re.sub(r"\s*([,(])\s*", r"\1", value)
        return re.sub(r"\s*\)\s*", ") ", value).replace("(", " (").strip()
    if name == "sizes" and not all(re.fullmatch(r"[+-]?\d+", word) for word in value.split()):
        raise ValueError(f"the sizes {value[:40]!r} are not whole numbers")
    return value


def _fitting(parsed: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields without those of which the number of entries is not that of the axes or of the space."""
    fields, notes = dict(parsed), list[str]()
    n_axes, directions = len(fields["sizes"]), fields.get("space directions")
    n_space = int(fields["space dimension"]) if "space dimension" in fields else None
    if n_space is None and directions is not None:
        n_space = directions.shape[1]
    for names, expected, what in (
        ((*PER_AXIS, "space directions"), n_axes, "axes"),
        (("space units", "space origin"), n_space, "dimensions of space"),
    ):
        for name in names:
            if name in fields and expected is not None and len(fields[name]) != expected:
                found = len(fields.pop(name))
                notes.append(f"W-NRRD-FIELD: {name} has {found} entries for {expected} {what} and is not used.")
    if "space directions" in fields and directions is not None and directions.shape[1] != n_space:
        notes.append(
            f"W-NRRD-FIELD: space directions has vectors of {directions.shape[1]} numbers in a space of {n_space} "
            "dimensions and is not used."
        )
        del fields["space directions"]
    return fields, tuple(notes)


def _text(line: bytes) -> str:
    """A line of the header; UTF-8 or, in files of older programs, Latin-1."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _lines(path: Path) -> tuple[list[bytes], int]:
    """Lines of the header without the empty one that ends it, and the byte where voxels may start."""
    with path.open("rb") as stream:
        start = stream.read(LARGEST_HEADER_NBYTES)
    lines: list[bytes] = []
    place = 0
    while place < len(start):
        stop = start.find(b"\n", place)
        if stop < 0:
            if len(start) == LARGEST_HEADER_NBYTES:
                break
            stop = len(start)
        line = start[place:stop].rstrip(b"\r")
        place = stop + 1
        if not line:
            return lines, place
        lines.append(line)
    if path.stat().st_size > LARGEST_HEADER_NBYTES:
        raise ValueError(f"no empty line within {LARGEST_HEADER_NBYTES} bytes")
    return lines, len(start)  # a detached header may end without one
