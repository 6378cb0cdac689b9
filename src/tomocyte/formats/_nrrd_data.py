"""Where the voxels of an NRRD file are: behind its header, in a file beside it, or in several.

``data file`` names one file, a pattern with numbers, or ``LIST``; ``line skip`` and ``byte skip`` say what comes before
the voxels, in each file. To read another encoding, add it to :data:`ENCODINGS` and unpack it in ``_flat``.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, Final

import numpy as np

from tomocyte.errors import InputError
from tomocyte.formats._flat import COUNT_STEP, Compression, FlatPlanes, Piece, count_unpacked
from tomocyte.formats._hostile import FileStamp, companion_path, parsing
from tomocyte.formats._nrrd_header import NrrdHeader

ENCODINGS: Final[dict[str, Compression]] = {
    "raw": "",
    **dict.fromkeys(("txt", "text", "ascii"), "ascii"),
    "hex": "hex",
    **dict.fromkeys(("gz", "gzip"), "gzip"),
    **dict.fromkeys(("bz2", "bzip2"), "bzip2"),
}
TYPES: Final = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long"), "i8"),
    **dict.fromkeys(("signed long long int", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
PATTERN: Final = re.compile(r"(?P<start>[^%]*)%(?P<form>0?\d{0,2})[dui](?P<end>[^%]*?)(?P<numbers>(\s+-?\d+){3,4})")
"""``name%03d.raw MIN MAX STEP [SUBDIM]``."""
LARGEST_N_FILES: Final = 100_000
LARGEST_SKIP_NBYTES: Final = 2**26
"""What may lie before the voxels in a packed stream whose end says where they begin."""


def stored_type(header: NrrdHeader, path: Path) -> np.dtype[Any]:
    """Type and byte order of a stored number; a text has no byte order.

    Raises
    ------
    InputError
        ``E-NRRD-HEADER``.
    """
    name = " ".join(str(header.fields["type"]).lower().split())
    stored = np.dtype(TYPES[name]) if name in TYPES else None
    if stored is not None and (stored.itemsize == 1 or _encoding(header) == "ascii"):
        return stored
    order = {"little": "<", "big": ">"}.get(str(header.fields.get("endian", "")).lower())
    if stored is None or order is None:
        problem = f"the type {name!r}" if stored is None else f"no byte order for the type {name!r}"
        raise InputError(
            "E-NRRD-HEADER",
            f"has {problem}.",
            path=path,
            cure="Export it as an integer or float type; or write the line `endian: little` (or big) into its header.",
        )
    return stored.newbyteorder(order)  # type: ignore[arg-type]


def flat_planes(
    header: NrrdHeader, path: Path, *, stored: np.dtype[Any], axes: str, sizes: tuple[int, ...]
) -> FlatPlanes:
    """The reader of the voxels.

    Raises
    ------
    InputError
        ``E-NRRD-ENCODING``, ``E-NRRD-DATAFILE``, ``E-NRRD-TRUNC``, ``E-COMPANION-OUTSIDE``, ``E-COMPANION-MISSING``.
    """
    compression = ENCODINGS.get(_encoding(header))
    if compression is None:
        raise InputError(
            "E-NRRD-ENCODING",
            f"stores its voxels as {_encoding(header)!r}.",
            path=path,
            cure="raw, ascii, hex, gzip and bzip2 are understood. Write it as one of them, with Teem: unu save -f nrrd "
            f"-e raw -i {path.name} -o new.nrrd",
        )
    names = _data_files(header, sizes, path)
    stamps = [FileStamp.of(companion_path(name, path)) for name in names] or [FileStamp.of(path)]
    start = 0 if names else header.end
    nbytes = stored.itemsize * math.prod(sizes) // len(stamps)
    pieces = [_piece(header, stamp, start, compression, nbytes, path) for stamp in stamps]
    return FlatPlanes(
        *pieces[0][:2],
        stored=stored,
        axes=axes,
        sizes=sizes,
        compression=compression,
        code="E-NRRD-TRUNC",
        start=pieces[0].start,
        more=tuple(pieces[1:]),
    )


def files_beside(header: NrrdHeader, path: Path) -> list[Path]:
    """The files with the voxels of a header, resolved; none where they follow it.

    Raises
    ------
    InputError
        ``E-NRRD-DATAFILE``, ``E-COMPANION-OUTSIDE``, ``E-COMPANION-MISSING``.
    """
    sizes = tuple(int(size) for size in reversed(header.fields["sizes"]))
    return [companion_path(name, path) for name in _data_files(header, sizes, path)]


def _encoding(header: NrrdHeader) -> str:
    return str(header.fields.get("encoding", "missing")).lower()


def _data_files(header: NrrdHeader, sizes: tuple[int, ...], path: Path) -> list[str]:
    """Names of the files beside the header; none where the voxels follow it."""
    text = header.fields.get("data file")
    if text is None:
        return []
    words, pattern = str(text).split(), PATTERN.fullmatch(str(text))
    numbers, dimension = range(0), len(sizes) - 1
    if words[:1] == ["LIST"]:
        n_files, dimension = len(header.data_files), int(words[1]) if len(words) > 1 else dimension
    elif pattern is not None:
        first, last, step, *rest = (int(word) for word in pattern["numbers"].split())
        numbers = range(first, last + (1 if step > 0 else -1), step) if step else numbers
        n_files, dimension = len(numbers), rest[0] if rest else dimension
    else:
        return [str(text)]
    if dimension < len(sizes):
        is_fitting = n_files == math.prod(sizes[: len(sizes) - max(dimension, 0)])
    else:
        is_fitting = n_files > 0 and sizes[0] % n_files == 0
    if not is_fitting or n_files > LARGEST_N_FILES:
        raise InputError(
            "E-NRRD-DATAFILE",
            f"spreads voxels {sizes} over {n_files} files, each with {dimension} of the axes, which does not fit.",
            path=path,
            cure="Correct `data file` in its header: one file for each step of the slowest axis, or the number of axes "
            "in a file behind LIST or the pattern.",
        )
    if pattern is None:
        return list(header.data_files)
    return [f"{pattern['start']}{number:{pattern['form']}d}{pattern['end']}" for number in numbers]


def _piece(
    header: NrrdHeader, stamp: FileStamp, start: int, compression: Compression, nbytes: int, path: Path
) -> Piece:
    """Where in a file its voxels begin. Lines are skipped first, bytes then, in a packed stream once it is unpacked."""
    n_lines, n_bytes = (int(header.fields.get(name, 0)) for name in ("line skip", "byte skip"))
    is_packed = compression in ("gzip", "bzip2")
    if n_lines < 0 or n_bytes < (0 if compression in ("ascii", "hex") else -1):
        raise InputError(
            "E-NRRD-ENCODING",
            f"skips {n_lines} lines and {n_bytes} bytes before its voxels ({_encoding(header)}).",
            path=path,
            cure="Write 0 or more in its header, or `byte skip: -1` where the voxels are raw and the last of the file.",
        )
    with parsing(stamp.path, "E-NRRD-TRUNC", what="what comes before its voxels"):
        start = _after_lines(stamp.path, start, n_lines)
        if n_bytes == -1:  # NRRD: the voxels are the last bytes
            total = stamp.nbytes
            if is_packed:
                total = count_unpacked(stamp.path, compression, start, nbytes + LARGEST_SKIP_NBYTES)
            n_bytes = max(total - nbytes, 0) - (0 if is_packed else start)
    if compression == "":
        return Piece(stamp, start + max(n_bytes, 0))
    return Piece(stamp, n_bytes, start) if is_packed else Piece(stamp, 0, start + n_bytes)


def _after_lines(path: Path, start: int, n_lines: int) -> int:
    """The byte behind so many lines."""
    place = start
    with path.open("rb") as stream:
        stream.seek(start)
        while n_lines > 0 and (block := stream.read(COUNT_STEP)):
            n_here, stop = block.count(b"\n"), len(block)
            if n_here >= n_lines:
                stop = 0
                for _ in range(n_lines):
                    stop = block.index(b"\n", stop) + 1
            n_lines, place = max(n_lines - n_here, 0), place + stop
    if n_lines > 0:
        raise ValueError(f"{n_lines} lines fewer than the header skips")
    return place
