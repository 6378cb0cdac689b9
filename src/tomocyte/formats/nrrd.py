"""NRRD, in one file (``.nrrd``) or with its voxels beside it (``.nhdr``).

Stored x fastest, so axes are turned to T, C, Z, Y, X. Voxel size from ``space directions`` with ``space units``, or
from ``spacings`` with ``units``; without a unit there is none. To support another unit, add it to :data:`UM_PER_UNIT`.

References
----------
https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from nrrd import NRRDError, read_header

from tomocyte.errors import InputError
from tomocyte.formats import Format, ReadOptions
from tomocyte.formats._axes import ambiguous_axes, checked_axes, shape_tczyx
from tomocyte.formats._flat import Compression, FlatPlanes, check_flat_size
from tomocyte.formats._hostile import FileStamp, companion_path, parsing
from tomocyte.formats._placement import affine_of
from tomocyte.formats._tiff_meta import disagreement, is_same_size
from tomocyte.volume import Affine, Origin, Volume, VoxelSize

LARGEST_HEADER_NBYTES: Final = 2**20
UM_PER_UNIT: Final = {
    **dict.fromkeys(("m", "meter", "metre", "meters", "metres"), 1e6),
    **dict.fromkeys(("mm", "millimeter", "millimetre", "millimeters", "millimetres"), 1e3),
    **dict.fromkeys(
        ("um", "µm", "μm", "micron", "microns", "micrometer", "micrometre", "micrometers", "micrometres"), 1.0
    ),
    **dict.fromkeys(("nm", "nanometer", "nanometre", "nanometers", "nanometres"), 1e-3),
    **dict.fromkeys(("angstrom", "angstroms", "å"), 1e-4),
}
S_PER_UNIT: Final = (
    {"s": 1.0, "sec": 1.0, "second": 1.0, "ms": 1e-3, "millisecond": 1e-3, "min": 60.0, "h": 3600.0}
    | dict.fromkeys(("us", "µs", "μs", "usec", "microsecond", "microseconds"), 1e-6)
    | {
        "seconds": 1.0,
        "msec": 1e-3,
        "milliseconds": 1e-3,
        "minute": 60.0,
        "minutes": 60.0,
        "hour": 3600.0,
        "hours": 3600.0,
    }
)
COMPRESSIONS: Final[dict[str, Compression]] = {
    "raw": "",
    "gzip": "gzip",
    "gz": "gzip",
    "bzip2": "bzip2",
    "bz2": "bzip2",
}
TYPES: Final = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
SIGNS: Final = {
    ("left-posterior-superior", "lps"): (-1, -1, 1),
    ("left-anterior-superior", "las"): (-1, 1, 1),
}
SEVERAL_FILES: Final = re.compile(r"LIST\b|\S*%\d*[du]\S*\s+-?\d+\s+-?\d+")
"""What stands in ``data file`` when it is not one name."""
SPATIAL_KINDS: Final = ("domain", "space")
SPATIAL: Final = "XYZ"
CHANNEL_KINDS: Final = ("list", "vector", "point", "2-vector", "3-vector", "4-vector", "3-color", "4-color")


def verify(path: Path) -> bool:
    """Whether the file starts with ``NRRD000`` and a version up to 5."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            start = stream.read(8)
    except OSError:
        return False
    return start[:7] == b"NRRD000" and start[7:] in (b"1", b"2", b"3", b"4", b"5")


def read(path: Path, options: ReadOptions) -> Volume:
    """Open an NRRD file lazily.

    Parameters
    ----------
    path : Path
        ``.nrrd``, or ``.nhdr`` with one raw, gzip or bzip2 file inside the same folder.
    options : ReadOptions
        ``axes`` (slowest first, the reverse of NRRD's own order) replaces what the header says.

    Returns
    -------
    Volume
        Voxels as stored; quantity, unit and times where tomocyte wrote them as key/value pairs.

    Raises
    ------
    InputError
        ``E-NRRD-HEADER``, ``E-NRRD-TRUNC``, ``E-NRRD-ENCODING``, ``E-NRRD-DATAFILE``, ``E-COMPANION-OUTSIDE``.
    MetadataError
        ``E-AXES`` when kinds or labels do not tell z, time and channel apart.
    """
    with parsing(path, "E-NRRD-HEADER", what="its header"):
        lines, end = _header_lines(path)
        header = _parsed(lines)
        sizes = _sizes(header, path)
        stored = _stored_type(header, path)
        axes = _axes(header, sizes, options, path)
        size, notes = _voxel_size_um(header, axes)
        if options.voxel_size_um is not None:  # the user's word replaces the file's
            size, notes = None, ()
        times = _times_s(header, axes, sizes)
        entries = {key: str(header[key]) for key in ("quantity", "unit") if key in header}
        shape = shape_tczyx(axes, sizes)
        medium_ri, names = _own_number(header, "medium_ri"), _own_names(header, shape[1])
        planes = _planes(header, path, end, stored=stored, axes=axes, sizes=sizes)
    check_flat_size(planes)
    origin: dict[str, Origin] = {} if size is None else {"voxel_size_um": "file"}
    if times is not None:
        origin["time_s"] = "file"
    if medium_ri is not None:
        origin["medium_ri"] = "file"
    if str(header.get("is_simulated", "")) == "true":
        origin = dict.fromkeys(origin, "simulated")
    return Volume(
        shape=shape,
        dtype=planes.dtype,
        read_planes=planes,
        voxel_size_um=size,
        quantity=entries.get("quantity"),
        unit=entries.get("unit", ""),
        time_s=times,
        affine=_affine(header, axes),
        affine_unit="um" if _space_factors(header) is not None else "",
        channel_names=names,
        medium_ri=medium_ri,
        origin=origin,
        path=path,
        notes=notes,
        metadata={key: str(header[key]) for key in ("space", "content") if key in header},
    )


def _parsed(lines: list[bytes]) -> Mapping[str, Any]:
    try:
        header: Mapping[str, Any] = read_header([_text(line) for line in lines])
    except NRRDError as error:  # which is no ValueError
        raise ValueError(str(error)) from error
    return header


def _text(line: bytes) -> str:
    """A line of the header; UTF-8 or, in files of older programs, Latin-1."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _header_lines(path: Path) -> tuple[list[bytes], int]:
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


def _sizes(header: Mapping[str, Any], path: Path) -> tuple[int, ...]:
    """Stored sizes, slowest first."""
    sizes = tuple(int(size) for size in reversed(header["sizes"]))
    if len(sizes) != int(header["dimension"]) or not 2 <= len(sizes) <= 5:
        raise InputError(
            "E-NRRD-HEADER",
            f"declares {header['dimension']} axes and the sizes {sizes[::-1]}.",
            path=path,
            cure="2 to 5 axes can be read; export it again.",
        )
    return sizes


def _stored_type(header: Mapping[str, Any], path: Path) -> np.dtype[Any]:
    name = str(header["type"])
    stored = np.dtype(TYPES[name]) if name in TYPES else None
    orders = {"little": "<", "big": ">"}
    order = "<" if stored is not None and stored.itemsize == 1 else orders.get(str(header.get("endian")))
    if stored is None or order is None:
        raise InputError(
            "E-NRRD-HEADER",
            f"has the type {name!r} and the byte order {header.get('endian')!r}.",
            path=path,
            cure="Export it as an integer or float type with a byte order.",
        )
    return stored.newbyteorder(order)  # type: ignore[arg-type]


def _axes(header: Mapping[str, Any], sizes: tuple[int, ...], options: ReadOptions, path: Path) -> str:
    if options.axes is not None:
        return checked_axes(options.axes, sizes, path)
    count = len(sizes)
    labels = [str(label).upper() for label in header.get("labels", [])]
    if len(labels) == count and len(set(labels)) == count and {"Y", "X"} <= set(labels) <= set("TCZYX"):
        kinds = [str(kind).lower() for kind in header.get("kinds", [])]
        if any(not _is_kind_of(kind, label) for kind, label in zip(kinds, labels, strict=False)):
            raise ambiguous_axes(sizes, path, what="its kinds and labels disagree on")
        return checked_axes("".join(reversed(labels)), sizes, path)
    letters = [_kind_letter(kind) for kind in header.get("kinds", [])] or _letters_without_kinds(header, count)
    n_spatial = letters.count("?")
    if len(letters) != count or "" in letters or n_spatial not in (2, 3):
        raise ambiguous_axes(sizes, path, what="its kinds and labels do not say")
    spatial = iter("XYZ")
    named = "".join(next(spatial) if letter == "?" else letter for letter in letters)
    return checked_axes(named[::-1], sizes, path)


def _is_kind_of(kind: str, label: str) -> bool:
    """Whether an axis of this label may be of this kind; ``domain`` and ``list`` are general."""
    if kind in ("time", "space"):
        return (kind == "time") == (label == "T") and (kind == "time" or label in SPATIAL)
    return not (kind in CHANNEL_KINDS and label in SPATIAL)


def _kind_letter(kind: str) -> str:
    """``?`` for space, ``T``, ``C``, or nothing when the kind does not say."""
    low = kind.lower()
    if low in SPATIAL_KINDS:
        return "?"
    if low == "time":
        return "T"
    return "C" if low in CHANNEL_KINDS or low.endswith("-color") else ""


def _letters_without_kinds(header: Mapping[str, Any], count: int) -> list[str]:
    """Two axes are y, x; three are space only when the header places them in a space of three dimensions."""
    directions = header.get("space directions")
    is_placed = directions is not None and len(directions) == count and not _has_gap(directions)
    has_units = len(header.get("units", [])) == count and all(_um(unit) for unit in header["units"])
    return ["?"] * count if count == 2 or (count == 3 and (is_placed or has_units)) else []


def _has_gap(directions: Sequence[Any]) -> bool:
    return any(row is None or not np.all(np.isfinite(row)) for row in directions)


def _um(unit: Any) -> float | None:
    return UM_PER_UNIT.get(str(unit).strip().lower())


def _voxel_size_um(header: Mapping[str, Any], axes: str) -> tuple[VoxelSize | None, tuple[str, ...]]:
    """µm per step along each stored axis, from whichever of the two ways the header uses."""
    steps: dict[str, float] = {}
    for index, letter in enumerate(reversed(axes)):
        if letter in SPATIAL:
            stated = {"space directions": _direction_um(header, index), "spacings": _spacing_um(header, index)}
            known = {name: length for name, length in stated.items() if math.isfinite(length) and length > 0}
            steps[letter] = next(iter(known.values()), math.nan)
            if len(known) == 2 and not is_same_size(*known.values()):
                return None, (disagreement(letter.lower(), known),)
    sizes_of = dict(zip(axes, (int(size) for size in reversed(header["sizes"])), strict=True))
    if sizes_of.get("Z", 1) == 1:
        steps.setdefault("Z", math.nan)  # a single plane may have no thickness
    needed = "ZYX" if sizes_of.get("Z", 1) > 1 else "YX"
    usable = all(math.isfinite(steps[letter]) and steps[letter] > 0 for letter in needed)
    if not usable:
        return None, ("W-NO-VOXEL: the header gives no spacing with a unit of length, so the voxel size is unknown.",)
    return (steps["Z"], steps["Y"], steps["X"]), ()


def _direction_um(header: Mapping[str, Any], index: int) -> float:
    directions, units = header.get("space directions"), header.get("space units", [])
    if directions is not None and index < len(directions) and not _has_gap([directions[index]]):
        row = np.asarray(directions[index], dtype=np.float64)
        factors = [_um(unit) for unit in units]
        if len(factors) != len(row) or None in factors:
            return math.nan
        return float(np.linalg.norm(row * np.asarray(factors, dtype=np.float64)))
    return math.nan


def _spacing_um(header: Mapping[str, Any], index: int) -> float:
    spacings, axis_units = header.get("spacings", []), header.get("units", [])
    factor = _um(axis_units[index]) if index < len(axis_units) else None
    return float(spacings[index]) * factor if factor is not None and index < len(spacings) else math.nan


def _times_s(header: Mapping[str, Any], axes: str, sizes: tuple[int, ...]) -> tuple[float, ...] | None:
    if "T" not in axes:
        return None
    n_frames, index = sizes[axes.index("T")], len(axes) - 1 - axes.index("T")
    if "time_s" in header:
        times = tuple(float(word) for word in str(header["time_s"]).split())
        return times if len(times) == n_frames and all(map(math.isfinite, times)) else None
    spacings, units = header.get("spacings", []), header.get("units", [])
    unit = str(units[index]).strip().lower() if index < len(units) else ""
    if index >= len(spacings) or unit not in S_PER_UNIT or not 0 < float(spacings[index]) < math.inf:
        return None
    return tuple(frame * float(spacings[index]) * S_PER_UNIT[unit] for frame in range(n_frames))


def _affine(header: Mapping[str, Any], axes: str) -> Affine | None:
    """Steps along z, y, x and the first voxel, turned to right, anterior, superior where ``space`` names a body."""
    directions, places = header.get("space directions"), ["".join(reversed(axes)).find(letter) for letter in "ZYX"]
    if directions is None or min(places) < 0 or len(directions) != len(axes):
        return None
    rows = [directions[place] for place in places]
    origin = np.asarray(header.get("space origin", (0.0, 0.0, 0.0)), dtype=np.float64)
    if _has_gap(rows) or any(len(row) != 3 for row in rows) or origin.shape != (3,) or not np.all(np.isfinite(origin)):
        return None
    space = str(header.get("space", "")).lower()
    signs = next((signs for names, signs in SIGNS.items() if space.removesuffix("-time") in names), (1, 1, 1))
    return affine_of(np.array([*rows, origin], dtype=np.float64) * signs * (_space_factors(header) or 1.0))


def _space_factors(header: Mapping[str, Any]) -> list[float] | None:
    """µm per unit along each axis of space, where the units of all of them are known."""
    factors = [_um(unit) for unit in header.get("space units", [])]
    known = [factor for factor in factors if factor is not None]
    return known if len(known) == len(factors) == 3 else None


def _own_number(header: Mapping[str, Any], key: str) -> float | None:
    value = float(str(header[key])) if key in header else math.nan
    return value if math.isfinite(value) else None


def _own_names(header: Mapping[str, Any], n_channels: int) -> tuple[str, ...]:
    """Channel names that tomocyte wrote, a list in JSON."""
    names = json.loads(str(header["channel_names"])) if "channel_names" in header else []
    usable = isinstance(names, list) and len(names) == n_channels and all(isinstance(name, str) for name in names)
    return tuple(names) if usable else ()


def _planes(
    header: Mapping[str, Any], path: Path, end: int, *, stored: np.dtype[Any], axes: str, sizes: tuple[int, ...]
) -> FlatPlanes:
    """Where the voxels are: in this file after the header, or in one companion."""
    encoding = str(header.get("encoding", "missing")).lower()
    if encoding not in COMPRESSIONS:
        raise InputError(
            "E-NRRD-ENCODING",
            f"stores its voxels as {encoding!r}.",
            path=path,
            cure="raw, gzip and bzip2 are understood; export it again.",
        )
    companion = header.get("data file", header.get("datafile"))
    skips = [int(header.get(name, header.get(name.replace(" ", ""), 0))) for name in ("line skip", "byte skip")]
    if companion is not None and SEVERAL_FILES.match(str(companion)):
        raise InputError(
            "E-NRRD-DATAFILE",
            f"spreads its voxels over several files ({companion}).",
            path=path,
            cure="Export one .nrrd file.",
        )
    stamp = FileStamp.of(path if companion is None else companion_path(str(companion), path))
    start = end if companion is None else 0
    compression = COMPRESSIONS[encoding]
    nbytes = stored.itemsize * math.prod(sizes)
    if skips[1] == -1 and not compression:  # NRRD: -1 means that the voxels are the last bytes of the file
        skips[1] = max(stamp.nbytes - nbytes - start, 0)
    if skips[0] != 0 or skips[1] < 0 or (compression and skips[1] != 0):
        raise InputError(
            "E-NRRD-ENCODING",
            f"skips {skips[0]} lines and {skips[1]} bytes before its voxels.",
            path=path,
            cure="Export it without line or byte skip.",
        )
    begin = {"offset": 0, "start": start} if compression else {"offset": start + skips[1]}
    return FlatPlanes(
        stamp, stored=stored, axes=axes, sizes=sizes, compression=compression, code="E-NRRD-TRUNC", **begin
    )


def write(path: Path, volume: Volume, on_planes: Callable[[int], None]) -> None:
    """Write one NRRD file with raw voxels, plane by plane.

    Parameters
    ----------
    path : Path
        Where to write, ``.nrrd``; replaced.
    volume : Volume
        bool is stored as uint8, float16 as float32. Quantity, unit and the time of each frame go into key/value pairs.
    on_planes : callable
        Called with the number of planes written so far.

    Raises
    ------
    InputError
        ``E-NRRD-WRITE`` for a type that NRRD does not have or a name that ends in ``.nhdr``.
    """
    name = f"{volume.dtype.kind}{volume.dtype.itemsize}"
    stored = np.dtype({"b1": "u1", "f2": "f4"}.get(name, name)).newbyteorder("<")
    kind = next((text for text, code in TYPES.items() if code == stored.str[1:]), None)
    if kind is None or path.name.lower().endswith(".nhdr"):
        raise InputError(
            "E-NRRD-WRITE",
            f"cannot write {volume.dtype} as {path.suffix}.",
            path=path,
            cure="Use the ending .nrrd and an integer type, float32 or float64.",
        )
    n_written = 0
    with path.open("wb") as stream:
        stream.write(_new_header(volume, kind).encode("utf-8"))
        for frame in range(volume.n_frames):
            for channel in range(volume.n_channels):
                for plane in range(volume.shape[2]):
                    stream.write(volume.planes(frame, channel, plane, plane + 1).astype(stored).tobytes())
                    n_written += 1
                    on_planes(n_written)


def _new_header(volume: Volume, kind: str) -> str:
    n_frames, n_channels, depth, height, width = volume.shape
    axes = [("x", width, "domain"), ("y", height, "domain"), ("z", depth, "domain")]
    axes += [("c", n_channels, "list")] if n_channels > 1 else []
    axes += [("t", n_frames, "time")] if n_frames > 1 else []
    if depth == 1 and len(axes) == 3:
        axes.pop()
    lines = ["NRRD0005", f"type: {kind}", f"dimension: {len(axes)}"]
    lines += ["sizes: " + " ".join(str(size) for _, size, _ in axes)]
    lines += ["endian: little", "encoding: raw", "kinds: " + " ".join(word for *_, word in axes)]
    lines += ["labels: " + " ".join(f'"{label}"' for label, *_ in axes)]
    if volume.voxel_size_um is not None:
        steps = dict(zip("zyx", volume.voxel_size_um, strict=True))
        lines += ["spacings: " + " ".join(repr(float(steps.get(label, math.nan))) for label, *_ in axes)]
        lines += ["units: " + " ".join('"um"' if label in steps else '""' for label, *_ in axes)]
    pairs = {"quantity": volume.quantity or "", "unit": volume.unit.replace("\n", " ")}
    if volume.time_s is not None:
        pairs["time_s"] = " ".join(repr(float(time)) for time in volume.time_s)
    if volume.channel_names:
        pairs["channel_names"] = json.dumps(volume.channel_names)
    if volume.medium_ri is not None:
        pairs["medium_ri"] = repr(float(volume.medium_ri))
    if volume.is_simulated:
        pairs["is_simulated"] = "true"
    lines += [f"{key}:={value}" for key, value in pairs.items() if value]
    return "\n".join(lines) + "\n\n"


FORMAT = Format("nrrd", (".nrrd", ".nhdr"), "NRRD, attached or with one data file beside it", verify, read, write)
