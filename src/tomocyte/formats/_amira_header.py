"""The text before the data of an Amira or Avizo file: lattice, arrays, parameters, materials.

The format has no published definition; what is read here is what independent readers agree on. To use another
parameter, look it up in :attr:`AmiraHeader.parameters`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

LARGEST_HEADER_NBYTES: Final = 16 * 2**20
DEEPEST: Final = 32
FIRST_LINE: Final = re.compile(
    r"#\s*(?:AmiraMesh|Avizo)\b[^\n]*?(?P<kind>BINARY-LITTLE-ENDIAN|BINARY|ASCII)\b", re.IGNORECASE
)
MARKER: Final = re.compile(rb"^@(\d+)[ \t]*\r?\n", re.MULTILINE)
TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{},\n]|[^\s{},"]+')
LATTICE: Final = re.compile(r"^\s*define\s+Lattice((?:\s+\d+)+)\s*$", re.MULTILINE | re.IGNORECASE)
ARRAY: Final = re.compile(
    r"^\s*(?P<grid>[\w-]+)\s*\{\s*(?P<type>\w+)\s*(?:\[\s*(?P<n>\d+)\s*\])?\s+(?P<name>[\w.:-]+)\s*\}\s*=?\s*(?:\w+\s*\(\s*)?@"
    r"(?P<number>\d+)\s*\)?\s*(?:\(\s*(?P<coding>\w+)\s*,\s*(?P<nbytes>\d+)\s*\))?\s*$",
    re.MULTILINE,
)
ENTRIES: Final = "Parameters"

Block = dict[str, Any]
"""Name -> a block, or the words behind the name."""


@dataclass(frozen=True)
class AmiraArray:
    """One array as the header declares it.

    Parameters
    ----------
    grid : str
        What it lies on: ``Lattice`` for voxels, else vertices, points, …
    kind : str
        Type of a number, as ``byte``.
    n_components : int
        Numbers per voxel.
    name : str
    number : int
        Of its data section.
    coding : str
        ``HxByteRLE``, ``HxZip`` or empty.
    nbytes : int
        Stored bytes, where they are coded.
    """

    grid: str
    kind: str
    n_components: int
    name: str
    number: int
    coding: str
    nbytes: int


@dataclass(frozen=True)
class AmiraHeader:
    """What stands before the data.

    Parameters
    ----------
    encoding : str
        ``little``, ``big`` or ``text``.
    sizes : tuple of int
        X, Y, Z of the lattice; empty without one.
    arrays : tuple of AmiraArray
    parameters : mapping
        Nested, as the file has them.
    end : int
        Byte of the first data section's marker.
    """

    encoding: str
    sizes: tuple[int, ...]
    arrays: tuple[AmiraArray, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    end: int = 0


def read_amira_header(path: Path) -> AmiraHeader:
    """Read and parse what stands before the data.

    Raises
    ------
    ValueError
        Whatever is wrong with it; for a caller that says which file it is.
    """
    with path.open("rb") as stream:
        raw = stream.read(LARGEST_HEADER_NBYTES)
    marker = MARKER.search(raw)
    if marker is None:
        raise ValueError("no data section (@1) follows its header")
    text = _decoded(raw[: marker.start()])
    first = FIRST_LINE.match(text)
    if first is None:
        raise ValueError(f"the first line {text[:60].splitlines()[:1]} names no encoding that is known")
    words = {"ascii": "text", "binary": "big", "binary-little-endian": "little"}
    bare = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    lattice = LATTICE.search(bare)
    arrays = tuple(
        AmiraArray(
            found["grid"],
            found["type"].lower(),
            int(found["n"] or 1),
            found["name"],
            int(found["number"]),
            found["coding"] or "",
            int(found["nbytes"] or 0),
        )
        for found in ARRAY.finditer(bare)
    )
    start = re.search(r"^\s*Parameters\s*\{", bare, re.MULTILINE)
    parameters = {} if start is None else _block(_tokens(bare[start.end() :]), DEEPEST)
    sizes = () if lattice is None else tuple(int(word) for word in lattice[1].split())
    return AmiraHeader(words[first["kind"].lower()], sizes, arrays, parameters, marker.start())


def _decoded(raw: bytes) -> str:
    """Text in UTF-8 or, in files of older programs, Latin-1."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return text.replace("\r\n", "\n")


def _tokens(text: str) -> Iterator[str]:
    return (found[0] for found in TOKEN.finditer(text))


def _block(tokens: Iterator[str], depth: int) -> Block:
    """Entries up to the brace that closes the block; an entry ends with its line or a comma."""
    if depth == 0:
        raise ValueError(f"its parameters are nested more than {DEEPEST} deep")
    block: Block = {}
    words: list[str] = []
    for token in tokens:
        if token == "{":
            if not words:
                raise ValueError("a block of its parameters has no name")
            name, n = words[0], 2
            while name in block:  # a place in the list of materials counts
                name, n = f"{words[0]} ({n})", n + 1
            block[name] = _block(tokens, depth - 1)
            words = []
            continue
        if token == "\n" and len(words) == 1:
            continue  # the brace may stand on the next line
        if token in (",", "\n", "}"):
            if words:
                block[words[0]] = words[1:]
            words = []
            if token == "}":
                return block
            continue
        words.append(token[1:-1] if token.startswith('"') else token)
    raise ValueError("its parameters have no end")


def numbers_of(block: Mapping[str, Any], name: str, count: int) -> tuple[float, ...]:
    """Finite numbers behind a name; empty unless there are so many.

    Examples
    --------
    >>> numbers_of({"BoundingBox": ["0", "3"]}, "BoundingBox", 2), numbers_of({"Color": ["a"]}, "Color", 1)
    ((0.0, 3.0), ())
    """
    words = block.get(name)
    if not isinstance(words, list) or len(words) != count:
        return ()
    try:
        numbers = tuple(float(word) for word in words)
    except ValueError:
        return ()
    return numbers if all(map(math.isfinite, numbers)) else ()


def word_of(block: Mapping[str, Any], *names: str) -> str:
    """The words behind nested names as one text; empty where there are none.

    Examples
    --------
    >>> word_of({"Units": {"Coordinates": ["m"]}}, "Units", "Coordinates")
    'm'
    """
    value: Any = block
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return " ".join(value) if isinstance(value, list) else ""
