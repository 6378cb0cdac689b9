"""NRRD, in one file (``.nrrd``) or with its voxels in one or several files beside it (``.nhdr``).

Stored x fastest, so axes are turned to T, C, Z, Y, X. Voxel size from ``space directions`` with ``space units``, from
``spacings`` with ``units``, or from ``axis mins`` and ``axis maxs``, which must agree; without a unit there is none.
To support another unit, add it to :data:`UM_PER_UNIT`. The header is parsed in ``_nrrd_header``, voxels are found in
``_nrrd_data``, writing is in ``_nrrd_write``.

References
----------
https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tomocyte.errors import InputError, TomocyteError
from tomocyte.formats import Format, ReadOptions
from tomocyte.formats._axes import ambiguous_axes, checked_axes, named_axes, properties_of_axes, shape_tczyx
from tomocyte.formats._flat import FlatPlanes, check_flat_size
from tomocyte.formats._hostile import parsing
from tomocyte.formats._label_tables import with_table_beside
from tomocyte.formats._nrrd_data import files_beside, flat_planes, stored_type
from tomocyte.formats._nrrd_header import NrrdHeader, read_nrrd_header
from tomocyte.formats._nrrd_segments import whole_segmentation
from tomocyte.formats._nrrd_write import write
from tomocyte.formats._placement import affine_of, agreed_length, shear_note, without_unit
from tomocyte.volume import Affine, Origin, Volume

UM_PER_UNIT: Final = {
    **dict.fromkeys(("m", "meter", "metre", "meters", "metres"), 1e6),
    **dict.fromkeys(("cm", "centimeter", "centimetre", "centimeters", "centimetres"), 1e4),
    **dict.fromkeys(("mm", "millimeter", "millimetre", "millimeters", "millimetres"), 1e3),
    **dict.fromkeys(
        ("um", "µm", "μm", "micron", "microns", "micrometer", "micrometre", "micrometers", "micrometres"), 1.0
    ),
    **dict.fromkeys(("nm", "nanometer", "nanometre", "nanometers", "nanometres"), 1e-3),
    **dict.fromkeys(("angstrom", "angstroms", "å"), 1e-4),
}
S_PER_UNIT: Final = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "μs", "usec", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
}
SIGNS: Final = {
    **dict.fromkeys(("left-posterior-superior", "lps", "left-posterior-superior-time", "lpst"), (-1, -1, 1)),
    **dict.fromkeys(("left-anterior-superior", "las", "left-anterior-superior-time", "last"), (-1, 1, 1)),
}
SPATIAL: Final = "XYZ"
KIND_SIZES: Final = {
    "stub": 1, "scalar": 1, "complex": 2, "2-vector": 2, "3-vector": 3, "3-gradient": 3, "3-normal": 3, "4-vector": 4,
    "quaternion": 4, "3-color": 3, "rgb-color": 3, "hsv-color": 3, "xyz-color": 3, "4-color": 4, "rgba-color": 4,
    "2d-symmetric-matrix": 3, "2d-masked-symmetric-matrix": 4, "2d-matrix": 4, "2d-masked-matrix": 5,
    "3d-symmetric-matrix": 6, "3d-masked-symmetric-matrix": 7, "3d-matrix": 9, "3d-masked-matrix": 10,
}  # fmt: skip
"""Kinds of an axis with a fixed number of entries, by the definition of the format."""
CHANNEL_KINDS: Final = (
    "list", "vector", "covariant-vector", "normal", "point", "scalar", "stub", "2-vector", "3-vector", "4-vector",
    "3-gradient", "3-normal",
)  # fmt: skip


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
        ``.nrrd``, or ``.nhdr`` with its voxels in files inside the same folder.
    options : ReadOptions
        ``axes`` (slowest first, the reverse of NRRD's own order; axes of length 1 may be left out) replaces what the
        header says.

    Returns
    -------
    Volume
        Voxels as stored; quantity, unit and times where tomocyte wrote them as key/value pairs; of a segmentation of 3D
        Slicer labels with their names, its layers as channels, on the grid of its image.

    Raises
    ------
    InputError
        ``E-NRRD-HEADER``, ``E-NRRD-TRUNC``, ``E-NRRD-ENCODING``, ``E-NRRD-DATAFILE``, ``E-RGB``,
        ``E-COMPANION-OUTSIDE``, ``E-COMPANION-MISSING``.
    MetadataError
        ``E-AXES`` when kinds, labels and units do not tell z, time and channel apart.
    """
    with parsing(path, "E-NRRD-HEADER", what="its header"):
        header = read_nrrd_header(path)
        stored = stored_type(header, path)
        kept = _stored_axes(header, options, path)
        axes, shape = kept.axes, shape_tczyx(kept.axes, kept.sizes)
        lengths_um, size_source, size_notes = _lengths_um(header, kept)
        time_step_s = _length(header, kept.places["T"], S_PER_UNIT)[0] if "T" in axes else None
        times_s, medium_ri = _own_times_s(header), _own_number(header, "medium_ri")
        names = _own_names(header)
        affine, affine_notes = _affine(header, kept)
        planes = flat_planes(header, path, stored=stored, axes=axes, sizes=kept.sizes)
    check_flat_size(planes)
    missing: list[str] = []
    properties = properties_of_axes(
        shape,
        axes,
        lengths_um=lengths_um,
        times_s=times_s,
        time_step_s=time_step_s,
        channel_names=names,
        notes=missing,
    )
    if options.voxel_size_um is not None:  # the user's word replaces the file's
        properties.pop("voxel_size_um", None)
        missing, size_notes = [], []
    properties |= {key: header.pairs[key] for key in ("quantity", "unit") if header.pairs.get(key)}
    if medium_ri is not None:
        properties["medium_ri"] = medium_ri
    is_simulated = header.pairs.get("is_simulated") == "true"
    origin: dict[str, Origin] = dict.fromkeys(properties, "simulated" if is_simulated else "file")
    own = {name: f"NRRD {name}" for name in ("quantity", "unit", "medium_ri", "channel_names")}
    time_source = "NRRD time_s" if times_s is not None else "NRRD spacings"
    sources = {"voxel_size_um": size_source, "time_s": time_source, **own}
    volume = Volume(
        shape=shape,
        dtype=planes.dtype,
        read_planes=planes,
        affine=affine,
        affine_unit="um" if _space_factors(header) is not None else "",
        origin=origin,
        sources={name: source for name, source in sources.items() if name in properties},
        path=path,
        notes=(*header.notes, *_value_notes(header, planes), *(size_notes or missing), *affine_notes),
        metadata=_metadata(header),
        **properties,
    )
    whole = whole_segmentation(volume, header.pairs) if options.axes is None else volume
    return with_table_beside(whole, ".nrrd")


@dataclass(frozen=True)
class StoredAxes:
    """Final axes and sizes, slowest first, and for each letter the place in ``sizes`` of the header (0 = fastest)."""

    axes: str
    sizes: tuple[int, ...]
    places: Mapping[str, int]


def _stored_axes(header: NrrdHeader, options: ReadOptions, path: Path) -> StoredAxes:
    sizes = tuple(int(size) for size in reversed(header.fields["sizes"]))
    if (
        len(sizes) != int(header.fields["dimension"])
        or not 2 <= len(sizes) <= 16
        or sum(size > 1 for size in sizes) > 5
    ):
        raise InputError(
            "E-NRRD-HEADER",
            f"declares {header.fields['dimension']} axes and the sizes {sizes[::-1]}.",
            path=path,
            cure="Correct the lines `dimension` and `sizes` in its header: 2 to 5 axes longer than 1 can be read.",
        )
    kept = list(range(len(sizes)))
    if options.axes is not None:
        kept = named_axes(options.axes, sizes)
        axes = checked_axes(options.axes, [sizes[index] for index in kept], path)
    else:
        axes = _axes(header, sizes, path)
    places = {letter: len(sizes) - 1 - index for letter, index in zip(axes, kept, strict=True)}
    return StoredAxes(axes, tuple(sizes[index] for index in kept), places)


def _axes(header: NrrdHeader, sizes: tuple[int, ...], path: Path) -> str:
    """The axes by labels, kinds and units, which must not contradict each other."""
    count = len(sizes)
    if count > 5:
        raise ambiguous_axes([size for size in sizes if size > 1], path)
    labels = [str(label).upper() for label in header.fields.get("labels", [])]
    kinds = [str(kind).lower() for kind in header.fields.get("kinds", [])]
    units = [str(unit).strip().lower() for unit in header.fields.get("units", [])] or [""] * count
    if any(KIND_SIZES.get(kind, size) != size for kind, size in zip(kinds, reversed(sizes), strict=False)):
        raise ambiguous_axes(sizes, path, what="its kinds and sizes disagree on")
    if any(kind.endswith("-color") for kind in kinds):
        raise _colour(kinds, sizes, path)
    is_labelled = len(set(labels)) == count and {"Y", "X"} <= set(labels) <= set("TCZYX")
    letters = labels if is_labelled else [_kind_letter(*pair) for pair in zip(kinds, units, strict=False)]
    letters = letters or _letters_without_kinds(header, units)
    n_spatial = letters.count("?")
    if len(letters) != count or "" in letters or (not is_labelled and n_spatial not in (2, 3)):
        raise ambiguous_axes(sizes, path, what="its kinds and labels do not say")
    spatial = iter(SPATIAL)
    named = "".join(next(spatial) if letter == "?" else letter for letter in letters)
    if any(not _is_kind_of(kind, letter) for kind, letter in zip(kinds, named, strict=False)):
        raise ambiguous_axes(sizes, path, what="its kinds and labels disagree on")
    if any(
        (unit in S_PER_UNIT and letter in SPATIAL) or (unit in UM_PER_UNIT and letter == "T")
        for unit, letter in zip(units, named, strict=True)
    ):
        raise ambiguous_axes(sizes, path, what="its units and kinds disagree on")
    return checked_axes(named[::-1], sizes, path)


def _colour(kinds: list[str], sizes: tuple[int, ...], path: Path) -> InputError:
    """The refusal of colours, with the axes under which they are channels where those are plain."""
    channels = [kind.endswith("-color") for kind in kinds]
    spatial = iter(SPATIAL)
    letters = ["C" if is_channel else "T" if kind == "time" else next(spatial, "")
               for kind, is_channel in zip(kinds, channels, strict=True)]  # fmt: skip
    axes = "".join(reversed(letters))
    is_plain = channels.count(True) == 1 and len(axes) == len(set(axes)) == len(sizes)
    shown = f"; or, if its colours are channels, give --axes {axes}" if is_plain else ""
    return InputError(
        "E-RGB", f"is a colour image, stored as {sizes}.", path=path, cure=f"Convert it to grey values{shown}."
    )


def _is_kind_of(kind: str, letter: str) -> bool:
    """Whether an axis of this letter may be of this kind; ``domain`` and ``list`` are general."""
    if kind in ("time", "space"):
        return (kind == "time") == (letter == "T") and (kind == "time" or letter in SPATIAL)
    return not (kind in CHANNEL_KINDS and letter in SPATIAL)


def _kind_letter(kind: str, unit: str) -> str:
    """``?`` for space, ``T``, ``C``, or nothing when the kind does not say; a ``domain`` in seconds is time."""
    if kind in ("domain", "space"):
        return "T" if kind == "domain" and unit in S_PER_UNIT else "?"
    if kind == "time":
        return "T"
    return "C" if kind in CHANNEL_KINDS else ""


def _letters_without_kinds(header: NrrdHeader, units: list[str]) -> list[str]:
    """Two axes are y, x; more are what the units of all say, or space where each of three has a direction in it."""
    directions, count = header.fields.get("space directions"), len(units)
    is_placed = count == 3 and directions is not None and bool(np.all(np.isfinite(directions)))
    if count == 2 or is_placed:
        return ["?"] * count
    letters = ["?" if unit in UM_PER_UNIT else "T" if unit in S_PER_UNIT else "" for unit in units]
    return letters if "" not in letters else []


def _units(header: NrrdHeader, field: str, table: Mapping[str, float]) -> list[float]:
    """Factors of a list of units, NaN where a unit is not in the table."""
    return [table.get(str(unit).strip().lower(), math.nan) for unit in header.fields.get(field, [])]


def _length(header: NrrdHeader, place: int, table: Mapping[str, float]) -> tuple[float | None, dict[str, float]]:
    """A step along one stored axis in the unit of a table, the first that is stated; and all statements by field."""
    stated = {
        "space directions": _direction(header, place, table),
        "spacings": _per_axis(header, "spacings", place) * _factor(header, place, table),
        "axis mins and maxs": _extent(header, place) * _factor(header, place, table),
    }
    known = [length for length in stated.values() if math.isfinite(length) and length > 0]
    return (known[0] if known else None), stated


def _per_axis(header: NrrdHeader, field: str, place: int) -> float:
    values = header.fields.get(field)
    return math.nan if values is None else float(values[place])


def _factor(header: NrrdHeader, place: int, table: Mapping[str, float]) -> float:
    factors = _units(header, "units", table)
    return factors[place] if factors else math.nan


def _direction(header: NrrdHeader, place: int, table: Mapping[str, float]) -> float:
    directions = header.fields.get("space directions")
    if directions is None or not np.all(np.isfinite(directions[place])):
        return math.nan
    row = np.asarray(directions[place], dtype=np.float64)
    factors = _units(header, "space units", table) or [math.nan] * len(row)
    parts = [part * factor for part, factor in zip(row, factors, strict=True) if part != 0]
    return float(np.linalg.norm(parts)) if parts else math.nan


def _extent(header: NrrdHeader, place: int) -> float:
    """The step by the ends of an axis: centres of its first and last entries (node), or their outer borders (cell)."""
    centerings = [str(word).lower() for word in header.fields.get("centerings", [])]
    size = int(header.fields["sizes"][place])
    n_steps = {"cell": size, "node": size - 1}.get(centerings[place] if centerings else "", 0)
    length = _per_axis(header, "axis maxs", place) - _per_axis(header, "axis mins", place)
    return abs(length) / n_steps if n_steps > 0 else math.nan


def _lengths_um(header: NrrdHeader, kept: StoredAxes) -> tuple[dict[str, float], str, list[str]]:
    """Lengths of a voxel by axis, the field that gives them, and notes."""
    lengths, bare = dict[str, float](), dict[str, float]()
    notes, source = list[str](), ""
    for letter in (letter for letter in "ZYX" if letter in kept.places):
        place, axis = kept.places[letter], letter.lower()
        _, stated = _length(header, place, UM_PER_UNIT)
        length = agreed_length(axis, stated, notes)
        if length is not None:
            lengths[axis] = length
            source = source or next(f"NRRD {field}" for field, value in stated.items() if value > 0)
            continue
        row = header.fields.get("space directions", {place: [math.nan]})[place]
        numbers = (float(np.linalg.norm(row)), _per_axis(header, "spacings", place))
        bare[axis] = next((number for number in numbers if math.isfinite(number) and number > 0), math.nan)
    if not {"y", "x"} <= lengths.keys() and not any(note.startswith("W-VOXEL-SIZE") for note in notes):
        notes.append(without_unit(bare))
    return lengths, source, notes


def _space_factors(header: NrrdHeader) -> list[float] | None:
    """µm per unit along the three axes of space, where the units of all of them are known."""
    factors = _units(header, "space units", UM_PER_UNIT)[:3]
    return factors if len(factors) == 3 and all(map(math.isfinite, factors)) else None


def _affine(header: NrrdHeader, kept: StoredAxes) -> tuple[Affine | None, tuple[str, ...]]:
    """Steps along z, y, x and the first voxel, turned to right, front, up where ``space`` names a body; notes."""
    directions = header.fields.get("space directions")
    if directions is None or not set(SPATIAL) <= kept.places.keys() or directions.shape[1] not in (3, 4):
        return None, ()
    origin = np.asarray(header.fields.get("space origin", np.zeros(3)), dtype=np.float64)[:3]
    signs = SIGNS.get(str(header.fields.get("space", "")).lower(), (1, 1, 1))
    rows = np.array([*(directions[kept.places[letter]][:3] for letter in "ZYX"), origin], dtype=np.float64)
    affine = affine_of(rows * signs * (_space_factors(header) or [1.0] * 3))
    return affine, () if affine is None else shear_note(np.array(affine[:3]))


def _own_times_s(header: NrrdHeader) -> tuple[float, ...] | None:
    """Times of the frames that tomocyte wrote."""
    times = tuple(float(word) for word in header.pairs.get("time_s", "").split())
    return times if times and all(map(math.isfinite, times)) else None


def _own_number(header: NrrdHeader, key: str) -> float | None:
    value = float(header.pairs.get(key, "nan"))
    return value if math.isfinite(value) else None


def _own_names(header: NrrdHeader) -> tuple[str, ...]:
    """Channel names that tomocyte wrote, a list in JSON."""
    names = json.loads(header.pairs.get("channel_names", "[]"))
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()


def _value_notes(header: NrrdHeader, planes: FlatPlanes) -> list[str]:
    """What the header says of the values that are read as they are stored."""
    fields, notes = header.fields, []
    if "old min" in fields or "old max" in fields:
        shown = " to ".join(f"{float(fields[name]):g}" for name in ("old min", "old max") if name in fields)
        notes.append(
            f"W-NRRD-QUANTISED: the voxels were made integers from values of {shown} (old min, old max); they are read "
            "as they are stored."
        )
    if planes.stored.kind in "iu":
        limits = np.iinfo(planes.stored)
        for name in ("min", "max"):
            value = float(fields.get(name, 0))
            if math.isfinite(value) and not limits.min <= value <= limits.max:
                notes.append(
                    f"W-NRRD-RANGE: the header gives {name}: {value:g}, which voxels of type {planes.stored.name} "
                    "cannot hold."
                )
    return notes


def _metadata(header: NrrdHeader) -> dict[str, Any]:
    """Whatever else the header says."""
    own = {"quantity", "unit", "medium_ri", "channel_names", "time_s", "is_simulated"}
    shown = ("space", "content", "sample units", "encoding", "type")
    fields = {name.replace(" ", "_"): str(header.fields[name]) for name in shown if name in header.fields}
    lists = {
        name: [plain if isinstance(plain, str) else float(plain) for plain in header.fields[name]]
        for name in ("thicknesses", "centerings", "kinds", "labels")
        if name in header.fields
    }
    return fields | lists | {key: value for key, value in header.pairs.items() if key not in own}


def parts(paths: Sequence[Path]) -> list[tuple[Path, ...]]:
    """For each header itself and the files with its voxels, resolved and sorted; itself alone where it is damaged."""
    return [_parts(path) for path in paths]


def _parts(path: Path) -> tuple[Path, ...]:
    here = path.resolve()
    try:
        header = read_nrrd_header(path)
        return tuple(sorted({here, *files_beside(header, path)}))
    except (TomocyteError, OSError, LookupError, ValueError):
        return (here,)


FORMAT = Format(
    "nrrd",
    (".seg.nrrd", ".nrrd", ".nhdr"),
    "NRRD, attached or with its voxels beside it; segmentations of 3D Slicer",
    verify,
    read,
    write,
    parts,
)
