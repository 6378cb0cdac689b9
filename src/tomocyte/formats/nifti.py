"""NIfTI-1 and NIfTI-2 in one file (``.nii``, ``.nii.gz``).

Stored x fastest, so axes are turned to T, C, Z, Y, X. Orientation is not applied: voxels keep their stored order, and
``Volume.affine`` has it. What a header says twice (``pixdim`` and sform, sform and qform, ``bitpix`` and ``datatype``,
``vox_offset`` and the length of the file) is compared. Spatial units other than metre, millimetre and micrometre count
as unknown: then there is no voxel size. To support another unit, add it to :data:`UM_PER_UNIT` or :data:`S_PER_UNIT`;
writing is in ``_nifti_write``.

References
----------
https://nifti.nimh.nih.gov/nifti-1
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.formats import Format, ReadOptions
from tomocyte.formats._axes import ambiguous_axes, checked_axes, named_axes, properties_of_axes, shape_tczyx
from tomocyte.formats._flat import Compression, FlatPlanes, PackedFile, check_flat_size
from tomocyte.formats._hostile import PARSER_ERRORS, FileStamp, parsing
from tomocyte.formats._label_tables import named_beside, with_table_beside
from tomocyte.formats._lengths import is_same_size
from tomocyte.formats._nifti_write import STORED_KINDS, write
from tomocyte.formats._placement import affine_of, agreed_length, shear_note, without_unit
from tomocyte.volume import Affine, Origin, Volume

UM_PER_UNIT: Final = {1: 1e6, 2: 1e3, 3: 1.0}
"""By the lowest three bits of ``xyzt_units``: metre, millimetre, micrometre."""
S_PER_UNIT: Final = {8: 1.0, 16: 1e-3, 24: 1e-6}
"""By the next three bits: seconds, milliseconds, microseconds."""
NO_TIME: Final = {32: "hertz", 40: "parts per million", 48: "radians per second"}
"""Units of a fourth axis that is no time."""
COLOURS: Final = {128: "RGB", 2304: "RGBA"}
"""Types of a voxel, and below intents of the fifth axis, that are colours."""
COLOUR_INTENTS: Final = {2003: "RGB", 2004: "RGBA"}
LABEL_INTENTS: Final = (1002, 1003)
IMAGE_INTENTS: Final = (0, 1001, *LABEL_INTENTS, 1007, 1011, 2001, *COLOUR_INTENTS)
"""Intents of which the values may be an image: none, estimate, labels, vector (what ITK calls channels), …"""
HEADER_NBYTES: Final = 540
SMALLEST_COSINE: Final = 0.999


def _compression(path: Path) -> Compression:
    with path.open("rb") as stream:
        return "gzip" if stream.read(2) == b"\x1f\x8b" else ""


def verify(path: Path) -> bool:
    """Whether the (unpacked) file starts with a NIfTI header."""
    try:
        if not path.is_file():
            return False
        _header(path, _compression(path))
    except PARSER_ERRORS:
        return False
    return True


def read(path: Path, options: ReadOptions) -> Volume:
    """Open a NIfTI file lazily.

    Parameters
    ----------
    path : Path
        ``.nii`` or ``.nii.gz``.
    options : ReadOptions
        ``axes`` (slowest first, the reverse of NIfTI's own order; axes of length 1 may be left out) replaces x, y, z,
        t, channel.

    Returns
    -------
    Volume
        Voxels with the header's slope and intercept applied; ``quantity`` is ``labels`` for the intents 1002 and 1003.

    Raises
    ------
    InputError
        ``E-NIFTI-HEADER``, ``E-NIFTI-TRUNC``, ``E-DTYPE`` (complex voxels), ``E-RGB``.
    MetadataError
        ``E-AXES``: the fourth axis is no time, or there are more than five.
    """
    stamp = FileStamp.of(path)
    notes: list[str] = []
    with parsing(path, "E-NIFTI-HEADER", what="its header"):
        compression = _compression(path)
        header = _header(path, compression)
        stored, n_samples = _stored_type(header, path, notes)
        stored_axes = _stored_axes(header, n_samples, options, path)
        offset, slope, intercept = _offset(header, path, notes), *_scale(header, path, notes)
        affine, affine_notes = _affine(header, stored_axes)
        lengths_um, size_source, size_notes = _lengths_um(header, stored_axes)
        time_step_s = _time_step_s(header, stored_axes)
    axes, sizes = stored_axes.axes, stored_axes.sizes
    planes = FlatPlanes(stamp, offset, stored, axes, sizes, compression, slope, intercept, code="E-NIFTI-TRUNC")
    check_flat_size(planes)
    missing: list[str] = []
    properties = properties_of_axes(
        shape_tczyx(axes, sizes), axes, lengths_um=lengths_um, time_step_s=time_step_s, notes=missing
    )
    if options.voxel_size_um is not None:  # the user's word replaces the file's
        properties.pop("voxel_size_um", None)
        missing, size_notes = [], []
    intent = int(header["intent_code"])
    if intent in LABEL_INTENTS and not planes.is_scaled:
        properties["quantity"] = "labels"
    sources = {"voxel_size_um": size_source, "time_s": "NIfTI pixdim[4]", "quantity": "NIfTI intent_code"}
    origin: dict[str, Origin] = dict.fromkeys(properties, "file")
    volume = Volume(
        shape=shape_tczyx(axes, sizes),
        dtype=planes.dtype,
        read_planes=planes,
        affine=affine,
        affine_unit="um" if _um_per_unit(header) is not None else "",
        origin=origin,
        sources={name: source for name, source in sources.items() if name in properties},
        path=path,
        notes=(*notes, *_value_notes(header, planes), *(size_notes or missing), *affine_notes),
        metadata=_metadata(header),
        **properties,
    )
    return with_table_beside(volume, ".nii.gz" if path.name.lower().endswith(".gz") else ".nii")


def _header(path: Path, compression: Compression) -> Any:
    """The header, NIfTI-1 or -2 by its size and the magic word of the one-file form."""
    with closing(PackedFile(path, compression)) as packed:
        raw = packed.read_at(0, HEADER_NBYTES)
    for kind, place, magic in ((nib.Nifti1Header, 344, b"n+1\0"), (nib.Nifti2Header, 4, b"n+2\0")):
        nbytes = kind.template_dtype.itemsize
        is_size = raw[:4] in (nbytes.to_bytes(4, "little"), nbytes.to_bytes(4, "big"))
        if len(raw) >= nbytes and is_size and raw[place : place + 4] == magic:
            return kind(binaryblock=raw[:nbytes], check=False)
    raise InputError(
        "E-NIFTI-HEADER", "has no header of a one-file NIfTI.", path=path, cure="Convert it to .nii or .nii.gz."
    )


def _stored_type(header: Any, path: Path, notes: list[str]) -> tuple[np.dtype[Any], int]:
    """Type of a number, and how many of them a voxel has: 3 or 4 for colours."""
    code, bits = int(header["datatype"]), int(header["bitpix"])
    try:
        dtype: np.dtype[Any] = np.dtype(header.get_data_dtype())
    except (KeyError, HeaderDataError):
        dtype = np.dtype("V")
    n_samples = len(COLOURS.get(code, "1"))
    stored = np.dtype(np.uint8) if n_samples > 1 else dtype
    if f"{stored.kind}{stored.itemsize}" not in STORED_KINDS:
        name = dtype.name if dtype.kind in "fc" else "unknown"
        raise InputError("E-DTYPE", f"holds voxels of NIfTI type {code} ({name}).", path=path, cure=_as_floats(path))
    if bits != 8 * dtype.itemsize:
        notes.append(
            f"W-NIFTI-BITPIX: the header gives {bits} bits for a voxel of type {code} ({8 * dtype.itemsize} bits); the "
            "type is used, with which the length of the file agrees."
        )
    return stored, n_samples


def _as_floats(path: Path) -> str:
    """How to write numbers of a type that is not read as others, magnitudes for complex ones."""
    return (
        "Write its magnitudes as floats: python -c \"import nibabel as n; i = n.load('"
        f"{path.name}'); n.save(n.Nifti1Image(abs(i.dataobj[...]).astype('f4'), i.affine, i.header, dtype='f4'), "
        "'magnitudes.nii')\". If that fails, export one number per voxel."
    )


def _offset(header: Any, path: Path, notes: list[str]) -> int:
    """Byte of the first voxel; where the header does not give it, the one behind the header."""
    offset, smallest = float(header["vox_offset"]), header.template_dtype.itemsize + 4
    if offset == 0:
        notes.append(
            f"W-NIFTI-OFFSET: the header does not say where the voxels begin; they are read from byte {smallest}, "
            "with which the length of the file agrees."
        )
        return int(smallest)
    if not (math.isfinite(offset) and offset == int(offset) and offset >= smallest):
        raise InputError("E-NIFTI-HEADER", f"places its voxels at byte {offset}.", path=path, cure="Export it again.")
    return int(offset)


def _scale(header: Any, path: Path, notes: list[str]) -> tuple[float, float]:
    """Slope and intercept of the values. A slope of 0 means "no scaling"; some programs write NaN for the same."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        if math.isinf(slope) or (math.isfinite(intercept) and intercept != 0):
            notes.append(
                f"W-NIFTI-SCALE: the slope {slope:g} of the header means no scaling, so that its intercept "
                f"{intercept:g} is not applied either."
            )
        return 1.0, 0.0
    if not math.isfinite(intercept):
        raise InputError("E-NIFTI-HEADER", f"has the intercept {intercept}.", path=path, cure="Export it again.")
    return slope, intercept


@dataclass(frozen=True)
class StoredAxes:
    """Final axes and sizes, slowest first, and for each letter the place in ``dim`` (0 = x) that the file gives it."""

    axes: str
    sizes: tuple[int, ...]
    places: Mapping[str, int]


def _stored_axes(header: Any, n_samples: int, options: ReadOptions, path: Path) -> StoredAxes:
    count = int(header["dim"][0])
    sizes = [int(size) for size in header["dim"][1 : 1 + count]]
    while len(sizes) > 2 and sizes[-1] == 1:
        sizes.pop()
    if not 1 <= count <= 7 or len(sizes) < 2 or min(sizes) < 1 or sum(size > 1 for size in sizes) > 5:
        raise InputError(
            "E-NIFTI-HEADER",
            f"declares {count} axes {tuple(sizes)}.",
            path=path,
            cure="2 to 5 axes longer than 1 can be read; export it again.",
        )
    places, colour = list(range(len(sizes))), COLOUR_INTENTS.get(int(header["intent_code"]), "")
    if n_samples > 1:  # the fastest axis, which dim does not have
        sizes, places, colour = [n_samples, *sizes], [-1, *places], COLOURS[int(header["datatype"])]
    if options.axes is not None:
        shape, backwards = tuple(sizes[::-1]), places[::-1]
        kept = named_axes(options.axes, shape)
        shape = tuple(shape[index] for index in kept)
        axes = checked_axes(options.axes, shape, path)
        return StoredAxes(axes, shape, dict(zip(axes, (backwards[index] for index in kept), strict=True)))
    names = "CXYZT" if n_samples > 1 else "XYZTC"
    letters = [letter for letter, size in zip(names, sizes, strict=False) if size > 1 or letter in "XY"]
    if colour and "C" in letters and sizes[names.index("C")] == len(colour):
        raise InputError(
            "E-RGB",
            f"is a colour image ({colour}), stored as {tuple(sizes[::-1])}.",
            path=path,
            cure="Convert it to grey values; or, if its colours are channels, give --axes "
            f"{''.join(reversed(letters))}.",
        )
    if len(sizes) > 5:
        raise ambiguous_axes([size for size in reversed(sizes) if size > 1], path)
    unit = NO_TIME.get(int(header["xyzt_units"]) & 0x38)
    if unit is not None and len(sizes) > 3 and sizes[3] > 1:
        raise ambiguous_axes(sizes[::-1], path, what=f"its fourth axis is in {unit}, and the header does not say")
    axes = names[: len(sizes)][::-1]
    return StoredAxes(axes, tuple(sizes[::-1]), dict(zip(axes, reversed(places), strict=True)))


def _number(value: Any) -> float:
    """A stored number as written: 0.00017 in float32 stays 0.00017."""
    return float(str(value))


def _um_per_unit(header: Any) -> float | None:
    return UM_PER_UNIT.get(int(header["xyzt_units"]) & 0x07)


def _time_step_s(header: Any, stored: StoredAxes) -> float | None:
    """Seconds between frames: the fourth ``pixdim``, where the fourth axis is the final T."""
    factor = S_PER_UNIT.get(int(header["xyzt_units"]) & 0x38)
    step = _number(header["pixdim"][4])
    return step * factor if factor is not None and stored.places.get("T") == 3 and 0 < step < math.inf else None


def _lengths_um(header: Any, stored: StoredAxes) -> tuple[dict[str, float], str, list[str]]:
    """Lengths of a voxel by the final name of the axis, the field that gives them, and notes.

    The sform alone counts when there is no qform and pixdim is at its default of 1, as nibabel and ITK have it; pixdim
    counts when the sform is at its default, the identity. Two other statements that differ give no length.
    """
    factor, notes = _um_per_unit(header), list[str]()
    places = {letter.lower(): stored.places[letter] for letter in "ZYX" if 0 <= stored.places.get(letter, -1) < 3}
    by_pixdim = {axis: _number(header["pixdim"][1 + place]) for axis, place in places.items()}
    if any(length < 0 for length in by_pixdim.values()):
        notes.append("W-NIFTI-PIXDIM: a pixdim of the header is negative; its amount is used.")
        by_pixdim = {axis: abs(length) for axis, length in by_pixdim.items()}
    if factor is None:
        return {}, "", [*notes, without_unit(by_pixdim)]
    by_sform = _sform_lengths(header, places, notes)
    source = "NIfTI pixdim"
    if _has_default_sform(header):
        if any(not is_same_size(by_sform[axis], by_pixdim[axis]) for axis in by_sform):
            notes.append("W-NIFTI-SFORM: the sform is at its default of 1; the voxel size is that of pixdim.")
        by_sform = {}
    elif by_sform and int(header["qform_code"]) <= 0 and all(length in (0, 1) for length in by_pixdim.values()):
        if any(not is_same_size(by_sform[axis], by_pixdim[axis]) for axis in by_sform):
            shown = ", ".join(f"{axis} = {length * factor:.6g}" for axis, length in by_sform.items())
            notes.append(f"W-NIFTI-SFORM: pixdim is not set; the voxel size is that of the sform ({shown} µm).")
            source = "NIfTI srow_x, srow_y, srow_z"
        by_pixdim = by_pixdim if source == "NIfTI pixdim" else by_sform
    lengths = {}
    for axis, place in places.items():
        stated = {"sform": by_sform.get(axis, math.nan) * factor, "pixdim": by_pixdim[axis] * factor}
        if axis == "z" and int(header["dim"][1 + place]) == 1 and not stated["pixdim"] > 0:
            continue  # the direction of a single plane is no thickness
        length = agreed_length(axis, stated, notes)
        if length is not None:
            lengths[axis] = length
    if not {"y", "x"} <= lengths.keys() and not any(note.startswith("W-VOXEL-SIZE") for note in notes):
        notes.append("W-VOXEL-SIZE: a length of a voxel in the header is not positive.")
    return lengths, source, notes


def _rows(header: Any) -> NDArray[np.float64]:
    """The first three columns of the sform: one step along x, y, z, one a row."""
    return np.array([header[name][:3] for name in ("srow_x", "srow_y", "srow_z")], dtype=np.float64).T


def _has_default_sform(header: Any) -> bool:
    return int(header["sform_code"]) > 0 and bool(np.all(np.linalg.norm(_rows(header), axis=1) == 1))


def _sform_lengths(header: Any, places: Mapping[str, int], notes: list[str]) -> dict[str, float]:
    if int(header["sform_code"]) <= 0:
        return {}
    lengths = np.linalg.norm(_rows(header), axis=1)
    if not all(math.isfinite(lengths[place]) and lengths[place] > 0 for place in places.values()):
        notes.append("W-NIFTI-SFORM: the sform has a length of zero and is not used; pixdim is.")
        return {}
    return {axis: float(f"{lengths[place]:.7g}") for axis, place in places.items()}


def _affine(header: Any, stored: StoredAxes) -> tuple[Affine | None, tuple[str, ...]]:
    """Steps along z, y, x and the first voxel by the sform, or else the qform, and notes where the two differ."""
    places = [stored.places.get(letter, 2) for letter in "ZYX"]
    if not all(0 <= place < 3 for place in places):
        return None, ()
    factor, notes = _um_per_unit(header) or 1.0, list[str]()
    found: dict[str, Affine] = {}
    for name, matrix in (("qform", _qform(header, notes)), ("sform", _sform(header))):
        rows = None if matrix is None else matrix[:3, [*places, 3]].T * factor
        affine = None if rows is None else affine_of(rows)
        if affine is not None:
            found[name] = affine
    used = "sform" if "sform" in found and not ("qform" in found and _has_default_sform(header)) else "qform"
    if len(found) == 2 and not _is_same_place(found["sform"], found["qform"]):
        notes.append(
            f"W-NIFTI-ORIENTATION: the sform (code {int(header['sform_code'])}) and the qform (code "
            f"{int(header['qform_code'])}) place the voxels differently; the {used} is used."
        )
    affine = found.get(used)
    return affine, (*notes, *(() if affine is None else shear_note(np.array(affine[:3]))))


def _sform(header: Any) -> NDArray[np.float64] | None:
    """The matrix of the sform; at its default of 1, with the lengths of ``pixdim``."""
    if int(header["sform_code"]) <= 0:
        return None
    matrix = np.asarray(header.get_sform(), dtype=np.float64)
    steps = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64))
    if _has_default_sform(header) and np.all(np.isfinite(steps)) and steps.all():
        matrix[:3, :3] *= steps
    return matrix


def _qform(header: Any, notes: list[str]) -> NDArray[np.float64] | None:
    """The matrix of the quaternion and ``pixdim``, whose first number and signs other programs do not always set."""
    if int(header["qform_code"]) <= 0:
        return None
    repaired = header.copy()
    steps = repaired["pixdim"]
    steps[1:4] = np.abs(steps[1:4])
    steps[0] = -1 if steps[0] == -1 else 1  # NIfTI-1: any other number counts as 1
    try:
        return np.asarray(repaired.get_qform(), dtype=np.float64)
    except (ValueError, HeaderDataError):
        notes.append("W-NIFTI-ORIENTATION: the quaternion of the qform is none, so it says no orientation.")
        return None


def _is_same_place(one: Affine, other: Affine) -> bool:
    """Whether two affines point the same way and lie within half a voxel."""
    steps, others = np.array(one[:3]), np.array(other[:3])
    lengths = np.linalg.norm(steps, axis=1)
    cosines = np.sum(steps * others, axis=1) / (lengths * np.linalg.norm(others, axis=1))
    shift = np.abs(steps @ (np.array(one[3]) - np.array(other[3]))) / lengths**2
    return bool(cosines.min() >= SMALLEST_COSINE and shift.max() <= 0.5)


def _value_notes(header: Any, planes: FlatPlanes) -> list[str]:
    """What the intent and the display range say against the values being an image of their type."""
    notes, intent = [], int(header["intent_code"])
    if intent not in IMAGE_INTENTS:
        names = nib.nifti1.intent_codes.label
        name = names[intent] if intent in names.keys() else "unknown"  # noqa: SIM118  a Recoder of nibabel
        notes.append(f"W-NIFTI-INTENT: the header says that the values are no image: intent {intent} ({name}).")
    high = float(header["cal_max"])
    if planes.stored.kind in "iu" and math.isfinite(high):
        limits = np.iinfo(planes.stored)
        highest = max(planes.slope * limits.min, planes.slope * limits.max) + planes.intercept
        if high > highest:
            notes.append(
                f"W-NIFTI-RANGE: the header shows values up to cal_max = {high:g}, which voxels of type "
                f"{planes.stored.name} cannot hold."
            )
    return notes


def _metadata(header: Any) -> dict[str, Any]:
    """Whatever else the header says, where it says anything."""
    texts = {
        name: bytes(header[field]).decode("latin-1").strip("\0 ")
        for name, field in (("description", "descrip"), ("intent_name", "intent_name"), ("aux_file", "aux_file"))
    }
    numbers = {
        name: _number(header[name]) for name in ("cal_min", "cal_max", "slice_duration", "scl_slope", "scl_inter")
    }
    codes = {name: int(header[name]) for name in ("intent_code", "qform_code", "sform_code", "slice_code")}
    factor, first = S_PER_UNIT.get(int(header["xyzt_units"]) & 0x38), _number(header["toffset"])
    if factor is not None and math.isfinite(first):
        numbers["time_of_first_frame_s"] = first * factor
    numbers = {name: value for name, value in numbers.items() if value and math.isfinite(value)}
    return {"description": texts.pop("description")} | {
        name: value for name, value in (texts | numbers | codes).items() if value
    }


FORMAT = Format(
    "nifti", (".nii.gz", ".nii"), "NIfTI-1 and NIfTI-2 in one file", verify, read, write, beside=named_beside
)
