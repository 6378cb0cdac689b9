"""MRC and REC: tomograms of soft X-ray and electron microscopes (MRC2014).

The header is believed only where the file's length agrees with it; where stamp, IMOD's flag, minimum and maximum or
the instrument's extended header say otherwise, that is a note. Voxel size: cell size in Å over the number of
intervals; a zero counts as missing. The header's minimum and maximum are compared with the voxels only by
:func:`check_statistics`, because that reads the whole file. To support another mode, add it to :func:`_stored_type`.

References
----------
Cheng et al. (2015), MRC2014: extensions to the MRC format header, https://doi.org/10.1016/j.jsb.2015.04.002
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from mrcfile import utils as mrc_utils
from mrcfile.dtypes import HEADER_DTYPE, get_ext_header_dtype
from numpy.typing import NDArray

from tomocyte.errors import InputError, MissingFact
from tomocyte.formats import Format, ReadOptions
from tomocyte.formats._axes import ambiguous_axes, checked_axes, properties_of_axes, shape_tczyx
from tomocyte.formats._flat import FlatPlanes, check_flat_size
from tomocyte.formats._hostile import FileStamp, parsing
from tomocyte.formats._lengths import disagreement, is_same_size
from tomocyte.volume import LARGEST_VOXEL_UM, SMALLEST_VOXEL_UM, Origin, Volume

HEADER_NBYTES: Final = 1024
UM_PER_ANGSTROM: Final = 1e-4
IMOD_STAMP: Final = 1146047817
MODE_NBYTES: Final = {0: 1, 1: 2, 2: 4, 3: 4, 4: 8, 6: 2, 12: 2}
METRES: Final = 1e6
CONVERT: Final = "Write it as float32 with IMOD: `newstack -mode 2 FILE new.mrc`; then open new.mrc."
LABELS_AS: Final = ((2**16 - 1, "u2"), (2**24, "f4"))
"""Largest label and the type that holds it exactly, for labels of 32 and 64 bits."""
WRITTEN_AS: Final = {"b1": "i1", "i1": "i1", "u1": "u2", "i2": "i2", "u2": "u2", "f2": "f2", "f4": "f4"}


def verify(path: Path) -> bool:
    """Whether the header has the map identifier, or else numbers with which the file's length agrees."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            raw = stream.read(HEADER_NBYTES)
        return len(raw) == HEADER_NBYTES and (raw[208:211] == b"MAP" or _fitting(raw, path.stat().st_size) is not None)
    except OSError:
        return False


def read(path: Path, options: ReadOptions) -> Volume:
    """Open an MRC file lazily.

    Parameters
    ----------
    path : Path
        A file with at least the 1,024 bytes of header.
    options : ReadOptions
        ``axes`` (slowest axis first) replaces what the header says.

    Returns
    -------
    Volume
        Voxels as stored (8- or 16-bit integers, float16, float32), ``quantity`` unknown.

    Raises
    ------
    InputError
        ``E-MRC-HEADER``, ``E-MRC-MODE``, ``E-MRC-TRUNC`` (shorter or longer than the header says).
    MetadataError
        ``E-AXES`` for a stack of 2-D images, where z, time and channel cannot be distinguished.
    """
    stamp = FileStamp.of(path)
    with parsing(path, "E-MRC-HEADER", what="its header"), path.open("rb") as stream:
        raw = stream.read(HEADER_NBYTES)
    header, notes = _parse(raw, stamp.nbytes, path)
    axes, sizes = _axes_and_sizes(header, options, path)
    stored, type_notes = _stored_type(header, raw, path)
    planes = FlatPlanes(
        stamp,
        HEADER_NBYTES + _extended_nbytes(header, path),
        stored,
        axes,
        sizes,
        code="E-MRC-TRUNC",
    )
    check_flat_size(planes)
    shape = shape_tczyx(axes, sizes)
    properties, size_notes = dict[str, Any](), list[str]()
    if options.voxel_size_um is None:  # else the user's word replaces the file's
        lengths_um = _lengths_um(header, axes, sizes, _instrument_um(header, path), size_notes)
        properties = properties_of_axes(shape, axes, lengths_um=lengths_um, notes=size_notes)
    origin: dict[str, Origin] = dict.fromkeys(properties, "file")
    return Volume(
        shape=shape,
        dtype=planes.dtype,
        read_planes=planes,
        origin=origin,
        sources=dict.fromkeys(properties, "MRC CELLA / MX MY MZ"),
        path=path,
        notes=(*notes, *type_notes, *size_notes),
        metadata=_metadata(header),
        **properties,
    )


def _parse(raw: bytes, nbytes: int, path: Path) -> tuple[Any, tuple[str, ...]]:
    """The header as a structured scalar in its own byte order, and a note when its stamp is not one of MRC2014.

    SerialEM, Amira and others write other stamps, or none. The byte order is then the one with which the header's
    numbers and the length of the file agree.
    """
    order = _stamped_order(raw)
    has_word = len(raw) == HEADER_NBYTES and raw[208:211] == b"MAP"
    fitting = _fitting(raw, nbytes)
    if has_word and order is not None and fitting in (order, None):
        return _header(raw, order), ()
    if fitting is None:
        raise InputError(
            "E-MRC-HEADER",
            "has no MRC2014 header (1,024 bytes with the word MAP and a stamp of the byte order), and its length "
            "agrees with its numbers in neither byte order.",
            path=path,
            cure="It is cut off, damaged, or of an older kind; copy it again, or convert it with mrcfile or IMOD.",
        )
    says = f"the stamp {raw[212:216].hex(' ')}" if has_word else "no word MAP"
    name = "little" if fitting == "<" else "big"
    return _header(raw, fitting), (
        f"W-MRC-STAMP: the header has {says}; it is read as {name}-endian, with which its numbers and the "
        "length of the file agree.",
    )


def _header(raw: bytes, order: str) -> Any:
    return np.frombuffer(raw[:HEADER_NBYTES], dtype=HEADER_DTYPE.newbyteorder(order))[0]


def _stamped_order(raw: bytes) -> str | None:
    """The byte order that the machine stamp names; ``None`` for a stamp that MRC2014 does not have."""
    return {b"\x44\x44": "<", b"\x44\x41": "<", b"\x11\x11": ">"}.get(raw[212:214])


def _fitting(raw: bytes, nbytes: int) -> str | None:
    """The byte order with which sizes, mode and axes of the header give exactly the length of the file."""
    if len(raw) < HEADER_NBYTES:
        return None
    for order in "<>":
        header = _header(raw, order)
        sizes = [int(header[name]) for name in ("nx", "ny", "nz")]
        mode, extended = int(header["mode"]), int(header["nsymbt"])
        axes = sorted(int(header[name]) for name in ("mapc", "mapr", "maps"))
        if min(sizes) < 1 or mode not in MODE_NBYTES or extended < 0 or axes not in ([0, 0, 0], [1, 2, 3]):
            continue
        if HEADER_NBYTES + extended + math.prod(sizes) * MODE_NBYTES[mode] == nbytes:
            return order
    return None


def _extended_nbytes(header: Any, path: Path) -> int:
    nbytes = int(header["nsymbt"])
    if nbytes < 0:
        raise InputError(
            "E-MRC-HEADER", f"declares an extended header of {nbytes} bytes.", path=path, cure="Copy it again."
        )
    return nbytes


def _stored_type(header: Any, raw: bytes, path: Path) -> tuple[np.dtype[Any], tuple[str, ...]]:
    """Type of a voxel by mode, IMOD's flag and the header's minimum and maximum, and a note where they differ."""
    mode = int(header["mode"])
    order = header.dtype["mode"].byteorder
    if mode not in (0, 1, 2, 6, 12):
        why = {3: "complex int16", 4: "complex float32", 16: "RGB", 101: "4-bit"}.get(mode, "unknown")
        magnitudes = (
            f"Write its magnitudes: python -c \"import mrcfile as m; f = m.open('{path.name}'); "
            "m.write('magnitudes.mrc', abs(f.data), voxel_size=f.voxel_size)\""
        )
        cure = magnitudes if mode == 4 else CONVERT
        raise InputError("E-MRC-MODE", f"stores voxels in mode {mode} ({why}).", path=path, cure=cure)
    stored: np.dtype[Any] = np.dtype(mrc_utils.dtype_from_mode(mode)).newbyteorder(order)
    # IMOD writes mode 0 unsigned unless bit 0 of its flags is set; only its own stamp tells.
    imod = np.frombuffer(raw[152:160], dtype=np.dtype("i4").newbyteorder(order))
    is_flagged = mode == 0 and imod[0] == IMOD_STAMP
    if is_flagged and not imod[1] & 1:
        stored = np.dtype(np.uint8)
    low, high = float(header["dmin"]), float(header["dmax"])
    if stored.kind not in "iu" or not (math.isfinite(low) and math.isfinite(high) and low < high):
        return stored, ()
    limits, other = np.iinfo(stored), np.dtype({"i": "u", "u": "i"}[stored.kind] + str(stored.itemsize))
    if limits.min <= low and high <= limits.max:
        return stored, ()
    said = f"the header gives {low:g} to {high:g} as the range of voxels of type {stored.name} (mode {mode})"
    if not is_flagged and np.iinfo(other).min <= low and high <= np.iinfo(other).max:
        return other.newbyteorder(order), (f"W-MRC-RANGE: {said}; they are read as {other.name}, which holds it.",)
    return stored, (f"W-MRC-RANGE: {said}, which cannot hold it.",)


def _instrument_um(header: Any, path: Path) -> dict[str, float]:
    """Pixel size y, x in µm that an FEI instrument wrote into the extended header, where it has one."""
    dtype = get_ext_header_dtype(bytes(header["exttyp"]), header.dtype["mode"].byteorder)
    if dtype is None or int(header["nsymbt"]) < dtype.itemsize:
        return {}
    with parsing(path, "E-MRC-HEADER", what="its extended header"), path.open("rb") as stream:
        stream.seek(HEADER_NBYTES)
        first = np.frombuffer(stream.read(dtype.itemsize), dtype=dtype)[0]
    found = {letter: float(first[f"Pixel size {letter.upper()}"]) * METRES for letter in "yx"}
    return {letter: size for letter, size in found.items() if SMALLEST_VOXEL_UM <= size <= LARGEST_VOXEL_UM}


def _axes_and_sizes(header: Any, options: ReadOptions, path: Path) -> tuple[str, tuple[int, ...]]:
    columns, rows, sections = (int(header[name]) for name in ("nx", "ny", "nz"))
    intervals = int(header["mz"])
    sizes: tuple[int, ...] = (sections, rows, columns)
    order = tuple(int(header[name]) for name in ("maps", "mapr", "mapc"))
    if order == (0, 0, 0):
        order = (3, 2, 1)  # MRC2014: readers should treat zeros as the default
    if sorted(order) != [1, 2, 3]:
        if options.axes is None:
            raise InputError(
                "E-MRC-HEADER",
                f"maps its axes to {order[::-1]}, not to 1, 2, 3.",
                path=path,
                missing=(MissingFact("axes", ("ZYX",)),),
            )
        order = (3, 2, 1)
    letters = "".join(" XYZ"[number] for number in order)
    if mrc_utils.spacegroup_is_volume_stack(int(header["ispg"])):
        if intervals >= 1 and sections % intervals == 0:
            sizes, letters = (sections // intervals, intervals, rows, columns), "T" + letters
        elif options.axes is None:
            raise InputError(
                "E-MRC-HEADER",
                f"is a stack of volumes whose {sections} sections are not a multiple of {intervals}.",
                path=path,
                missing=(MissingFact("axes", ("ZYX",)),),
            )
    if options.axes is not None:
        return checked_axes(options.axes, sizes, path), sizes
    if int(header["ispg"]) == 0 and sections > 1 and intervals == 1:
        raise ambiguous_axes(sizes, path, what="the header calls it a stack of images and does not say")
    return letters, sizes


def _lengths_um(
    header: Any, axes: str, sizes: tuple[int, ...], instrument: Mapping[str, float], notes: list[str]
) -> dict[str, float]:
    """µm per step along z, y, x by the cell, compared with all else that the header says of them."""
    counts = dict(zip(axes.lower(), sizes, strict=True))
    lengths: dict[str, float] = {}
    for letter in "zyx":
        intervals, length = int(header[f"m{letter}"]), float(str(header["cella"][letter]))
        if intervals < 1 or not (math.isfinite(length) and length > 0):
            continue
        lengths[letter] = size = length / intervals * UM_PER_ANGSTROM
        count = counts.get(letter, intervals)
        if count != intervals:
            notes.append(
                f"W-MRC-CELL: the header divides the cell into M{letter.upper()} = {intervals} intervals but holds "
                f"{count} voxels along {letter}: {letter} = {size:.6g} µm by the intervals (used), "
                f"{size * intervals / count:.6g} µm by the voxels."
            )
        if letter in instrument and not is_same_size(size, instrument[letter]):
            both = {"the cell": size, "the extended header": instrument[letter]}
            notes.append(disagreement(letter, both))
            return {}
    angles = [float(header["cellb"][name]) for name in ("alpha", "beta", "gamma")]
    if any(angle not in (0.0, 90.0) for angle in angles):
        notes.append(f"W-VOXEL-SIZE: the cell has the angles {angles}, so its voxels are no cuboids.")
        return {}
    if not {"y", "x"} <= lengths.keys():
        notes.append("W-NO-VOXEL: the cell in the header is zero, so the voxel size is unknown.")
    return lengths


def _metadata(header: Any) -> dict[str, Any]:
    numbers = {name: int(header[name]) for name in ("mode", "ispg", "mapc", "mapr", "maps")}
    statistics = {name: float(header[name]) for name in ("dmin", "dmax", "dmean", "rms")}
    labels = [bytes(text).decode("latin-1").strip() for text in header["label"]]
    return {**numbers, **statistics, "labels": [text for text in labels if text]}


def check_statistics(path: Path) -> tuple[str, ...]:
    """Compare the header's minimum, maximum and mean with the voxels; reads the whole file once.

    Returns
    -------
    tuple of str
        ``W-MRC-STATISTICS: …`` for each number that disagrees by more than 10⁻³ of the range; empty when all agree or
        when the header marks them as not set (MRC2014: dmax < dmin, dmean below both).

    Examples
    --------
    >>> check_statistics(Path("tomogram.mrc"))  # doctest: +SKIP
    ()
    """
    volume = read(path, ReadOptions(axes=None))
    declared = {name: float(volume.metadata[name]) for name in ("dmin", "dmax", "dmean")}
    if not declared["dmin"] < declared["dmax"]:
        return ()
    low, high, total = math.inf, -math.inf, 0.0
    for frame in range(volume.n_frames):
        for plane in range(volume.shape[2]):
            voxels = volume.planes(frame, 0, plane, plane + 1)
            low, high = min(low, float(voxels.min())), max(high, float(voxels.max()))
            total += float(voxels.sum(dtype=np.float64))
    found = {"dmin": low, "dmax": high, "dmean": total / (math.prod(volume.shape))}
    tolerance = 1e-3 * (declared["dmax"] - declared["dmin"])
    is_mean_set = declared["dmean"] >= declared["dmin"]
    return tuple(
        f"W-MRC-STATISTICS: the header says {name} = {declared[name]:g}, the voxels say {found[name]:g}."
        for name in declared
        if not abs(declared[name] - found[name]) <= tolerance and (name != "dmean" or is_mean_set)
    )


def write(path: Path, volume: Volume, on_planes: Callable[[int], None]) -> None:
    """Write an MRC2014 file, plane by plane; frames become a stack of volumes (space group 401).

    Parameters
    ----------
    path : Path
        Where to write; replaced.
    volume : Volume
        One channel; bool and uint8 are stored as int8 and uint16 (same values), int8, int16, uint16, float16 and
        float32 as they are; labels of other types as uint16 or, up to 2²⁴, as float32.
    on_planes : callable
        Called with the number of planes written so far.

    Raises
    ------
    InputError
        ``E-MRC-WRITE`` for more than one channel or a type that MRC cannot hold exactly.
    """
    kind = WRITTEN_AS.get(f"{volume.dtype.kind}{volume.dtype.itemsize}")
    if kind is None and volume.quantity == "labels" and volume.dtype.kind in "ui" and volume.n_channels == 1:
        kind = _label_kind(volume)
    if volume.n_channels != 1 or kind is None:
        raise InputError(
            "E-MRC-WRITE",
            f"MRC cannot store {volume.n_channels} channels of {volume.dtype}.",
            path=path,
            cure="Write one channel as float32, int16, uint16 or int8, or use .ome.zarr.",
        )
    stored = np.dtype(kind).newbyteorder("<")
    header = _new_header(volume, stored)
    n_written, low, high, total, squares = 0, math.inf, -math.inf, 0.0, 0.0
    with path.open("wb") as stream:
        stream.write(header.tobytes())
        for frame in range(volume.n_frames):
            for plane in range(volume.shape[2]):
                voxels = volume.planes(frame, 0, plane, plane + 1).astype(stored)
                stream.write(voxels.tobytes())
                low, high = min(low, float(voxels.min())), max(high, float(voxels.max()))
                total += float(voxels.sum(dtype=np.float64))
                squares += float(np.square(voxels, dtype=np.float64).sum())
                n_written += 1
                on_planes(n_written)
        mean = total / math.prod(volume.shape)
        rms = math.sqrt(max(squares / math.prod(volume.shape) - mean**2, 0.0))
        header["dmin"], header["dmax"], header["dmean"], header["rms"] = low, high, mean, rms
        stream.seek(0)
        stream.write(header.tobytes())


def _label_kind(volume: Volume) -> str | None:
    """The smallest type of MRC that holds all labels exactly, for which they are read once more."""
    low, high = 0, 0
    for frame in range(volume.n_frames):
        for plane in range(volume.shape[2]):
            voxels = volume.planes(frame, 0, plane, plane + 1)
            low, high = min(low, int(voxels.min())), max(high, int(voxels.max()))
    return None if low < 0 else next((kind for largest, kind in LABELS_AS if high <= largest), None)


def _new_header(volume: Volume, stored: np.dtype[Any]) -> NDArray[Any]:
    n_frames, _, depth, height, width = volume.shape
    header = np.zeros((), dtype=HEADER_DTYPE.newbyteorder("<"))
    header["nx"], header["ny"], header["nz"] = width, height, n_frames * depth
    header["mx"], header["my"], header["mz"] = width, height, depth
    header["mode"] = mrc_utils.mode_from_dtype(stored)
    if volume.voxel_size_um is not None:
        for name, size, count in zip("zyx", volume.voxel_size_um, volume.spatial_shape, strict=True):
            header["cella"][name] = 0.0 if math.isnan(size) else size / UM_PER_ANGSTROM * count
    header["cellb"]["alpha"] = header["cellb"]["beta"] = header["cellb"]["gamma"] = 90.0
    header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
    header["ispg"] = 401 if n_frames > 1 else 1
    header["nversion"], header["exttyp"], header["map"] = 20141, b"MRCO", b"MAP "
    header["machst"] = mrc_utils.machine_stamp_from_byte_order("<")
    header["nlabl"] = 1
    header["label"][0] = b"Written by tomocyte"
    return header


FORMAT = Format("mrc", (".mrc", ".rec", ".map", ".st"), "MRC2014 tomograms (soft X-ray, electron)", verify, read, write)
