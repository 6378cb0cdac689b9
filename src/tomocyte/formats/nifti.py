"""NIfTI-1 and NIfTI-2 in one file (``.nii``, ``.nii.gz``).

Stored x fastest, so axes are turned to T, C, Z, Y, X; orientation (qform, sform) is not applied: voxels keep their
stored order, and ``Volume.affine`` has it. Spatial units other than metre, millimetre and micrometre count as unknown:
then there is no voxel size. To support another unit, add it to :data:`UM_PER_UNIT` or :data:`S_PER_UNIT`.

References
----------
https://nifti.nimh.nih.gov/nifti-1
"""

from __future__ import annotations

import gzip
import io
import math
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import IO, Any, Final

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from tomocyte.errors import InputError
from tomocyte.formats import Format, ReadOptions
from tomocyte.formats._axes import as_affine, checked_axes, shape_tczyx
from tomocyte.formats._flat import Compression, FlatPlanes, PackedFile, check_flat_size
from tomocyte.formats._hostile import PARSER_ERRORS, FileStamp, parsing
from tomocyte.formats._tiff_meta import disagreement, is_same_size
from tomocyte.volume import Affine, Origin, Volume, VoxelSize

UM_PER_UNIT: Final = {"meter": 1e6, "mm": 1e3, "micron": 1.0}
S_PER_UNIT: Final = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
HEADER_NBYTES: Final = 540
LARGEST_NIFTI1_AXIS: Final = 32767
WRITTEN_AS: Final = {"b1": "u1", "f2": "f4"}
STORED_KINDS: Final = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")


def _compression(path: Path) -> Compression:
    with path.open("rb") as stream:
        return "gzip" if stream.read(2) == b"\x1f\x8b" else ""


def verify(path: Path) -> bool:
    """Whether the (unpacked) file starts with a NIfTI header."""
    try:
        if not path.is_file():
            return False
        with closing(PackedFile(path, _compression(path))) as packed:
            _header_class(packed.read_at(0, HEADER_NBYTES), path)
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
        ``axes`` (slowest first, the reverse of NIfTI's own order) replaces x, y, z, t, channel.

    Returns
    -------
    Volume
        Voxels with the header's slope and intercept applied; ``quantity`` is ``labels`` for intent 1002.

    Raises
    ------
    InputError
        ``E-NIFTI-HEADER``, ``E-NIFTI-TRUNC``, ``E-DTYPE`` (colour or complex voxels).
    """
    stamp = FileStamp.of(path)
    with parsing(path, "E-NIFTI-HEADER", what="its header"):
        compression = _compression(path)
        with closing(PackedFile(path, compression)) as packed:
            raw = packed.read_at(0, HEADER_NBYTES)
        kind = _header_class(raw, path)
        header = kind(binaryblock=raw[: kind.template_dtype.itemsize], check=False)
        stored, offset, slope, intercept = _stored_type(header, path), *_offset_and_scale(header, path)
        axes, sizes = _axes_and_sizes(header, options, path)
        affine = _affine(header, axes)
        size, times, notes = _physical(header, axes, sizes)
        if options.voxel_size_um is not None:  # the user's word replaces the file's
            size, notes = None, ()
    planes = FlatPlanes(stamp, offset, stored, axes, sizes, compression, slope, intercept, code="E-NIFTI-TRUNC")
    check_flat_size(planes)
    origin: dict[str, Origin] = {} if size is None else {"voxel_size_um": "file"}
    if times is not None:
        origin["time_s"] = "file"
    return Volume(
        shape=shape_tczyx(axes, sizes),
        dtype=planes.dtype,
        read_planes=planes,
        voxel_size_um=size,
        quantity="labels" if int(header["intent_code"]) == 1002 and not planes.is_scaled else None,
        time_s=times,
        affine=affine,
        origin=origin,
        path=path,
        notes=notes,
        metadata={"description": bytes(header["descrip"]).decode("latin-1").strip("\0 ")},
    )


def _header_class(raw: bytes, path: Path) -> Any:
    """NIfTI-1 or -2 by the size of the header and the magic word of the one-file form."""
    for kind, place, magic in ((nib.Nifti1Header, 344, b"n+1\0"), (nib.Nifti2Header, 4, b"n+2\0")):
        nbytes = kind.template_dtype.itemsize
        is_size = raw[:4] in (nbytes.to_bytes(4, "little"), nbytes.to_bytes(4, "big"))
        if len(raw) >= nbytes and is_size and raw[place : place + 4] == magic:
            return kind
    raise InputError(
        "E-NIFTI-HEADER", "has no header of a one-file NIfTI.", path=path, cure="Convert it to .nii or .nii.gz."
    )


def _stored_type(header: Any, path: Path) -> np.dtype[Any]:
    stored: np.dtype[Any] = np.dtype(header.get_data_dtype())
    if f"{stored.kind}{stored.itemsize}" not in STORED_KINDS or int(header["bitpix"]) != 8 * stored.itemsize:
        raise InputError(
            "E-DTYPE",
            f"holds voxels of type {stored} in {int(header['bitpix'])} bits.",
            path=path,
            cure="Export one number per voxel, as float32 or an integer type.",
        )
    return stored


def _offset_and_scale(header: Any, path: Path) -> tuple[int, float, float]:
    offset, slope, intercept = (float(header[name]) for name in ("vox_offset", "scl_slope", "scl_inter"))
    smallest = header.template_dtype.itemsize + 4
    if not (math.isfinite(offset) and offset == int(offset) and offset >= smallest):
        raise InputError("E-NIFTI-HEADER", f"places its voxels at byte {offset}.", path=path, cure="Export it again.")
    # NIfTI-1: a slope of 0 means "no scaling"; some programs write NaN for the same.
    if slope == 0 or not math.isfinite(slope):
        return int(offset), 1.0, 0.0
    if not math.isfinite(intercept):
        raise InputError("E-NIFTI-HEADER", f"has the intercept {intercept}.", path=path, cure="Export it again.")
    return int(offset), slope, intercept


def _axes_and_sizes(header: Any, options: ReadOptions, path: Path) -> tuple[str, tuple[int, ...]]:
    count = int(header["dim"][0])
    sizes = [int(size) for size in header["dim"][1 : 1 + count]]
    while len(sizes) > 2 and sizes[-1] == 1:
        sizes.pop()
    if not 1 <= count <= 7 or not 2 <= len(sizes) <= 5 or min(sizes) < 1:
        raise InputError(
            "E-NIFTI-HEADER",
            f"declares {count} axes {tuple(sizes)}.",
            path=path,
            cure="Only x, y, z, time and channel can be read; export it again.",
        )
    stored = tuple(reversed(sizes))
    if options.axes is not None:
        return checked_axes(options.axes, stored, path), stored
    return "XYZTC"[: len(sizes)][::-1], stored


def _number(value: Any) -> float:
    """A stored number as written: 0.00017 in float32 stays 0.00017."""
    return float(str(value))


def _physical(
    header: Any, axes: str, sizes: tuple[int, ...]
) -> tuple[VoxelSize | None, tuple[float, ...] | None, tuple[str, ...]]:
    """Voxel size, times and notes; ``pixdim`` lies in the order of ``dim``."""
    space_unit, time_unit = _units(int(header["xyzt_units"]))
    steps = {letter: _number(header["pixdim"][1 + index]) for index, letter in enumerate(reversed(axes))}
    times = None
    if "T" in axes and time_unit in S_PER_UNIT and 0 < steps["T"] < math.inf:
        times = tuple(index * steps["T"] * S_PER_UNIT[time_unit] for index in range(sizes[axes.index("T")]))
    if space_unit not in UM_PER_UNIT:
        return None, times, ("W-NO-VOXEL: the header gives no unit of length, so the voxel size is unknown.",)
    factor = UM_PER_UNIT[space_unit]
    affine_steps, notes = _sform_steps(header, axes, steps, factor)
    if affine_steps is None:
        return None, times, notes
    steps = steps | affine_steps
    found = [steps.get(letter, math.nan) * factor for letter in "ZYX"]
    usable = [math.isfinite(size) and size > 0 for size in found]
    has_no_depth = "Z" not in axes or (sizes[axes.index("Z")] == 1 and not usable[0])
    if not all(usable[1:] if has_no_depth else usable):
        return None, times, ("W-NO-VOXEL: a voxel size in the header is not positive, so it is unknown.",)
    return (math.nan if has_no_depth else found[0], found[1], found[2]), times, notes


def _sform_steps(
    header: Any, axes: str, steps: Mapping[str, float], factor: float
) -> tuple[dict[str, float] | None, tuple[str, ...]]:
    """Lengths of a voxel by the sform, in the header's unit, compared with ``pixdim``.

    The sform alone counts when there is no qform and pixdim is at its default of 1, as nibabel and ITK have it; pixdim
    counts when the sform is at its default, the identity. Two other statements that differ give no voxel size.
    """
    if int(header["sform_code"]) <= 0:
        return {}, ()
    spatial = [letter for letter in reversed(axes) if letter in "ZYX"]
    rows = np.array([header[name][:3] for name in ("srow_x", "srow_y", "srow_z")], dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=0)
    stated = {letter: float(f"{lengths[place]:.7g}") for place, letter in enumerate("XYZ") if letter in spatial}
    if not all(math.isfinite(length) and length > 0 for length in stated.values()):
        return {}, ("W-NIFTI-SFORM: the sform has a length of zero and is not used; pixdim is.",)
    differing = [letter for letter in spatial if not is_same_size(stated[letter], abs(steps[letter]))]
    if not differing:
        return {}, ()
    is_default = int(header["qform_code"]) <= 0 and all(steps[letter] in (0.0, 1.0) for letter in spatial)
    if is_default:
        shown = ", ".join(f"{letter.lower()} = {stated[letter] * factor:.6g}" for letter in "ZYX" if letter in stated)
        return stated, (f"W-NIFTI-SFORM: pixdim is not set; the voxel size is that of the sform ({shown} µm).",)
    if all(stated[letter] == 1.0 for letter in spatial):
        return {}, ("W-NIFTI-SFORM: the sform is at its default of 1; the voxel size is that of pixdim.",)
    letter = differing[0]
    both = {"sform": stated[letter] * factor, "pixdim": abs(steps[letter]) * factor}
    return None, (disagreement(letter.lower(), both),)


def _affine(header: Any, axes: str) -> Affine | None:
    """Steps along z, y, x and the first voxel by the sform, or else the qform; ``None`` where neither is coded."""
    try:
        matrix = header.get_sform() if int(header["sform_code"]) > 0 else header.get_qform(coded=True)[0]
    except (ValueError, HeaderDataError):  # a quaternion that is none
        return None
    places = ["".join(reversed(axes)).find(letter) for letter in "ZYX"]
    places = [2 if letter not in axes else place for letter, place in zip("ZYX", places, strict=True)]
    if matrix is None or max(places) > 2 or not np.all(np.isfinite(matrix)):
        return None
    return as_affine(matrix[:3, [*places, 3]].T)


def _units(code: int) -> tuple[str, str]:
    """Names of the units of length and time in the two bit fields of ``xyzt_units``."""
    space = {1: "meter", 2: "mm", 3: "micron"}.get(code & 0x07, "unknown")
    time = {8: "sec", 16: "msec", 24: "usec"}.get(code & 0x38, "unknown")
    return space, time


def write(path: Path, volume: Volume, on_planes: Callable[[int], None]) -> None:
    """Write a NIfTI file, plane by plane, packed when the name ends in ``.gz``.

    Parameters
    ----------
    path : Path
        Where to write; replaced. An axis above 32,767 gives NIfTI-2.
    volume : Volume
        Irregular times are not kept (NIfTI has one step); bool is stored as uint8, float16 as float32.
    on_planes : callable
        Called with the number of planes written so far.

    Raises
    ------
    InputError
        ``E-NIFTI-WRITE`` for a type that NIfTI does not have.
    """
    name = f"{volume.dtype.kind}{volume.dtype.itemsize}"
    stored = np.dtype(WRITTEN_AS.get(name, name)).newbyteorder("<")
    if f"{stored.kind}{stored.itemsize}" not in STORED_KINDS:
        raise InputError(
            "E-NIFTI-WRITE",
            f"NIfTI cannot store {volume.dtype}.",
            path=path,
            cure="Convert to float32, or use .ome.zarr.",
        )
    with path.open("wb") as plain:
        if path.name.lower().endswith(".gz"):
            with gzip.GzipFile(filename="", mode="wb", fileobj=plain, compresslevel=4, mtime=0) as packed:
                _stream(packed, volume, stored, on_planes)
        else:
            _stream(plain, volume, stored, on_planes)


def _stream(
    target: IO[bytes] | gzip.GzipFile, volume: Volume, stored: np.dtype[Any], on_planes: Callable[[int], None]
) -> None:
    target.write(_new_header(volume, stored))
    n_written = 0
    for channel in range(volume.n_channels):  # the fifth axis is the slowest
        for frame in range(volume.n_frames):
            for plane in range(volume.shape[2]):
                target.write(volume.planes(frame, channel, plane, plane + 1).astype(stored).tobytes())
                n_written += 1
                on_planes(n_written)


def _new_header(volume: Volume, stored: np.dtype[Any]) -> bytes:
    n_frames, n_channels, depth, height, width = volume.shape
    sizes = [width, height, depth, n_frames, n_channels]
    while len(sizes) > 2 and sizes[-1] == 1:
        sizes.pop()
    is_large = max(sizes) > LARGEST_NIFTI1_AXIS
    header = (nib.Nifti2Header if is_large else nib.Nifti1Header)(endianness="<")
    header.set_data_dtype(stored)
    header.set_data_shape(tuple(sizes))
    step = volume.time_step_s
    size = volume.voxel_size_um or (1.0, 1.0, 1.0)
    depth_um = 0.0 if math.isnan(size[0]) else size[0]  # not positive: not known
    spacing = [size[2], size[1], depth_um, step or 1.0, 1.0]
    header["pixdim"][1 : 1 + len(sizes)] = spacing[: len(sizes)]
    header.set_xyzt_units("micron" if volume.voxel_size_um else "unknown", "sec" if step else "unknown")
    if volume.quantity == "labels":
        header.set_intent("label")
    offset = header.template_dtype.itemsize + 4
    header["vox_offset"], header["magic"] = offset, header.single_magic
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    buffer = io.BytesIO()
    buffer.write(header.binaryblock)
    buffer.write(bytes(4))  # no extension
    return buffer.getvalue()


FORMAT = Format("nifti", (".nii.gz", ".nii"), "NIfTI-1 and NIfTI-2 in one file", verify, read, write)
