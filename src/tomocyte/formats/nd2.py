"""Nikon ND2 through the package ``nd2``: frames by plane, positions by name, true times, calibrated axes only.

The map of frames is read here, not by the package, which silently gives zeros for a frame that is not there. To use
another loop of an experiment, add its letter to :data:`LOOPS`.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.formats import Format, ReadOptions
from tomocyte.formats._extra import agreed, chosen_image, library, package, volume_of_planes
from tomocyte.formats._handles import HandleCache
from tomocyte.formats._hostile import FileStamp, check_declared_bytes, check_fits_memory
from tomocyte.volume import Shape5, Volume

CODE: Final = "E-ND2"
MAGIC: Final = 0x0ABECEDA
LEGACY: Final = b"\x00\x00\x00\x0cjP  "
"""The signature of JPEG 2000, in which files before 2006 were kept."""
CHUNK: Final = struct.Struct("<IIQ")
MAP_SIGNATURE: Final = b"ND2 CHUNK MAP SIGNATURE 0000001!"
FRAME: Final = b"ImageDataSeq|"
FRAME_HEADER_NBYTES: Final = CHUNK.size + 4072 + 8
"""Of a frame: the header of its chunk, its name padded to 4072 bytes, its time."""
LARGEST_MAP_NBYTES: Final = 512 * 2**20
LOOPS: Final = {"TimeLoop": "T", "NETimeLoop": "T", "XYPosLoop": "P", "ZStackLoop": "Z"}
WHAT: Final = "a Nikon ND2 file"


def _open(stamp: FileStamp, options: None) -> Any:  # noqa: ARG001  there is one way to open it
    with library(stamp.path, CODE):
        return package("nd2", stamp.path, what=WHAT).ND2File(stamp.path)


_FILES: HandleCache[None, Any] = HandleCache(_open)


@dataclass(frozen=True)
class Nd2Planes:
    """Reader of planes of one position; picklable.

    Parameters
    ----------
    stamp : FileStamp
        The file, as it was when opened.
    shape : tuple of 5 int
        T, C, Z, Y, X.
    dtype : numpy dtype
        Of the voxels.
    frames : tuple of tuple of int
        For each time, the stored frame of each plane.
    """

    stamp: FileStamp
    shape: Shape5
    dtype: np.dtype[Any]
    frames: tuple[tuple[int, ...], ...]

    def __call__(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Planes (z_stop - z_start, Y, X)."""
        n_channels, _, n_rows, n_columns = self.shape[1:]
        path, n_planes = self.stamp.path, z_stop - z_start
        nbytes = n_planes * n_rows * n_columns * self.dtype.itemsize
        check_fits_memory(nbytes, path=path, what="a read")
        self.stamp.check()
        planes = np.empty((n_planes, n_rows, n_columns), self.dtype)
        with library(path, CODE, what="its voxels"), _FILES.lend(self.stamp, None) as file:
            for place, index in enumerate(self.frames[frame][z_start:z_stop]):
                stored = np.asarray(file.read_frame(index)).reshape(n_channels, n_rows, n_columns)
                planes[place] = stored[channel]
        return planes


def verify(path: Path) -> bool:
    """Whether the file begins as an ND2 file of any age; never raises."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except (OSError, ValueError):
        return False
    is_old = head == LEGACY and path.suffix.lower() == ".nd2"
    return is_old or head[:4] == struct.pack("<I", MAGIC)


def read(path: Path, options: ReadOptions) -> Volume:
    """Open one position of an ND2 file lazily.

    Parameters
    ----------
    path : Path
        An ND2 file of NIS-Elements 3 or later.
    options : ReadOptions
        ``dataset``: the position by name or index.

    Returns
    -------
    Volume
        Voxels as stored, all channels; times as measured for each frame.

    Raises
    ------
    InputError
        ``E-FORMAT-EXTRA``, ``E-ND2`` (damaged), ``E-ND2-TRUNC``, ``E-ND2-OLD``, ``E-ND2-LOOP``, ``E-RGB``,
        ``E-DATASET``, ``E-SHAPE`` or ``E-DTYPE``.
    """
    package("nd2", path, what=WHAT)
    stamp = FileStamp.of(path)
    with library(path, CODE, what="its map of frames"):
        stored = stored_frames(path, stamp.nbytes)
    with library(path, CODE, what="its metadata"), _FILES.lend(stamp, None) as file:
        return _volume(file, stored, stamp, options)


def stored_frames(path: Path, nbytes: int) -> dict[int, int]:
    """Bytes of each frame that lies whole in the file, by its index.

    Parameters
    ----------
    path : Path
        The file.
    nbytes : int
        Its size.

    Raises
    ------
    InputError
        ``E-ND2-OLD`` or ``E-ND2-TRUNC``.
    """
    with path.open("rb") as file:
        if file.read(8) == LEGACY:
            raise InputError(
                "E-ND2-OLD",
                "is an ND2 file of before 2006, which is another format.",
                path=path,
                cure="Open it in NIS-Elements or Fiji and save it as OME-TIFF.",
            )
        file.seek(max(nbytes - 40, 0))
        tail = file.read(40)
        place = int.from_bytes(tail[32:], "little")
        if tail[:32] != MAP_SIGNATURE or place + CHUNK.size > nbytes:
            raise _cut(path, "the map of its frames, which stands at the end, is not there")
        file.seek(place)
        magic, n_name, n_data = CHUNK.unpack(file.read(CHUNK.size))
        if magic != MAGIC or n_data > LARGEST_MAP_NBYTES or place + CHUNK.size + n_name + n_data > nbytes:
            raise _cut(path, "the map of its frames is damaged")
        file.seek(n_name, 1)
        entries = file.read(n_data)
        frames = {}
        start = 0
        while (stop := entries.find(b"!", start) + 1) and entries[start:stop] != MAP_SIGNATURE:
            name, (offset, size) = entries[start:stop], struct.unpack_from("<QQ", entries, stop)
            start = stop + 16
            if name.startswith(FRAME):
                frames[int(name[len(FRAME) : -1])] = _frame_nbytes(file, name, offset, size, nbytes, path)
    return frames


def _frame_nbytes(file: Any, name: bytes, offset: int, size: int, nbytes: int, path: Path) -> int:
    """Bytes of pixels of one frame, its header checked."""
    if offset + FRAME_HEADER_NBYTES > nbytes:
        raise _cut(path, f"{name.decode('latin-1')} begins at byte {offset} of {nbytes}")
    file.seek(offset)
    magic, n_name, n_data = CHUNK.unpack(file.read(CHUNK.size))
    if magic != MAGIC or not file.read(len(name)).startswith(name) or n_name != 4072:
        raise InputError(
            CODE, f"{name.decode('latin-1')} does not lie where the map says.", path=path, cure="Copy it again."
        )
    if offset + CHUNK.size + n_name + n_data > nbytes:
        raise _cut(path, f"{name.decode('latin-1')} ends at byte {offset + CHUNK.size + n_name + n_data} of {nbytes}")
    return int(min(n_data, size if size > 8 else n_data)) - 8


def _cut(path: Path, problem: str) -> InputError:
    return InputError("E-ND2-TRUNC", f"is cut off or damaged: {problem}.", path=path, cure="Copy or export it again.")


def _volume(file: Any, stored: dict[int, int], stamp: FileStamp, options: ReadOptions) -> Volume:
    path = stamp.path
    loops = [(LOOPS.get(loop.type, ""), int(loop.count), loop) for loop in file.experiment]
    letters = [letter for letter, count, _ in loops if letter or count > 1]
    if "" in letters or len(set(letters)) != len(letters):
        found = ", ".join(f"{loop.type} x {count}" for _, count, loop in loops)
        raise InputError(
            "E-ND2-LOOP",
            f"was recorded in loops that are not understood: {found}.",
            path=path,
            cure="Save it as OME-TIFF in NIS-Elements.",
        )
    shape, dtype = _frame_layout(file, stored, stamp)
    counts = {letter: count for letter, count, _ in loops if letter}
    by_letter = {letter: loop for letter, _, loop in loops if letter}
    names = _position_names(by_letter.get("P"))
    position, more = chosen_image(names, options.dataset, path)
    notes = list(more)
    order = [letter for letter, _, _ in loops if letter]
    frames = _frames(order, counts, position, stored, path, notes)
    full: Shape5 = (len(frames), shape[0], len(frames[0]), shape[1], shape[2])
    described = _described_channels(file, notes)
    channels = [str(channel.channel.name or "") for channel in described]
    return volume_of_planes(
        Nd2Planes(stamp, full, dtype, frames),
        full,
        dtype,
        path=path,
        lengths=_lengths(file, described, by_letter.get("Z"), full[2], notes),
        times=_times(file, [row[0] for row in frames], by_letter.get("T")),
        channels=(channels, "ND2 sPicturePlanes sDescription"),
        images=names,
        metadata=_metadata(file, described),
        notes=notes,
    )


def _frame_layout(file: Any, stored: dict[int, int], stamp: FileStamp) -> tuple[tuple[int, int, int], np.dtype[Any]]:
    """Channels, rows and columns of a frame and its type, compared with the bytes that are there."""
    said = file.attributes
    n_channels, n_components = int(said.channelCount or 1), int(said.componentCount)
    if n_components != n_channels:
        raise InputError(
            "E-RGB",
            f"is a colour image: {n_components} components in {n_channels} channel(s).",
            path=stamp.path,
            cure="Save it in NIS-Elements with grey channels (Image > Convert > Split Components).",
        )
    if said.bitsPerComponentInMemory not in (8, 16, 32):
        raise InputError("E-DTYPE", f"has {said.bitsPerComponentInMemory} bits per voxel.", path=stamp.path)
    dtype = np.dtype(file.dtype).newbyteorder("=")
    shape = (n_channels, int(said.heightPx), int(said.widthPx or 0))
    is_packed = said.compressionType is not None
    row = int(said.widthBytes or 0)
    if row and row < shape[2] * n_channels * dtype.itemsize:
        raise InputError(CODE, f"rows of {row} bytes cannot hold {shape[2]} pixels.", path=stamp.path)
    nbytes = min(stored.values(), default=0)
    check_declared_bytes(
        shape, dtype, path=stamp.path, stored_nbytes=nbytes, is_compressed=is_packed, code="E-ND2-TRUNC"
    )
    if row and not is_packed and row * shape[1] > nbytes:
        raise _cut(stamp.path, f"{row * shape[1]} bytes of a frame, of which {nbytes} are stored")
    return shape, dtype


def _position_names(loop: Any) -> list[str]:
    if loop is None:
        return ["0"]
    points = list(loop.parameters.points)
    return [
        str(points[index].name or f"position {index}") if index < len(points) else f"position {index}"
        for index in range(loop.count)
    ]


def _frames(
    order: list[str], counts: dict[str, int], position: int, stored: dict[int, int], path: Path, notes: list[str]
) -> tuple[tuple[int, ...], ...]:
    """For each time point that is complete, the stored frame of each plane of a position."""
    if min(counts.values(), default=1) < 1 or math.prod(counts.values()) > 1000 * max(len(stored), 1):
        raise _cut(path, f"its loops {counts} have far more frames than the {len(stored)} that are stored")
    n_times, n_planes = counts.get("T", 1), counts.get("Z", 1)
    rows = []
    for time in range(n_times):
        place = {"T": time, "P": position}
        row = tuple(_sequence(order, counts, {**place, "Z": plane}) for plane in range(n_planes))
        if not set(row) <= set(stored):
            break
        rows.append(row)
    if not rows:
        raise _cut(path, f"of {n_planes} plane(s) of its first time point some are not stored")
    if len(rows) < n_times:
        notes.append(
            f"W-ND2-STOPPED: {n_times} time points were planned and {len(rows)} are complete; the others are not read."
        )
    return tuple(rows)


def _sequence(order: list[str], counts: dict[str, int], place: dict[str, int]) -> int:
    """Index of a frame: the first loop is the slowest."""
    index = 0
    for letter in order:
        index = index * counts[letter] + place[letter]
    return index


def _described_channels(file: Any, notes: list[str]) -> list[Any]:
    """What the file says of each channel; nothing, with a note, where the package fails over one without a dye."""
    try:
        return list(file.metadata.channels or [])
    except UnboundLocalError:  # nd2 0.12 looks for the wavelengths of a probe that is not there
        notes.append(
            "W-ND2-PROBE: the package nd2 cannot read the description of a channel without a fluorescent probe, as in "
            "bright field, so names of channels and pixel sizes are unknown; a newer version of it may read them."
        )
        return []


def _lengths(
    file: Any, channels: list[Any], z_loop: Any, n_planes: int, notes: list[str]
) -> tuple[dict[str, float], str]:
    """Steps z, y, x in µm that all channels and the z loop agree on; only those that were calibrated."""
    lengths: dict[str, float] = {}
    fields = []
    for axis, place in (("z", 2), ("y", 1), ("x", 0)):
        stated: dict[str, float | None] = {}
        for index, channel in enumerate(channels):
            volume = channel.volume
            if volume.axesCalibrated[place]:
                stated[f"axesCalibration of channel {index}"] = float(volume.axesCalibration[place])
        if axis == "z":
            step = None if z_loop is None else abs(float(z_loop.parameters.stepUm))
            stated = {"dZStep": step, "(dZHigh - dZLow)/(n-1)": _z_extent(file)}
            if n_planes == 1:
                continue
        length, field = agreed(axis, stated, notes)
        if length is not None:
            lengths[axis] = length
            fields.append(f"{axis} {field}")
    return lengths, "ND2 " + ", ".join(fields)


def _z_extent(file: Any) -> float | None:
    """The step that follows from the ends of the z loop, in µm, if the file has them."""
    chunk = "ImageMetadataLV" if file.version >= (3, 0) else "ImageMetadata"
    todo: list[Any] = [file.unstructured_metadata(strip_prefix=False, include={chunk})]
    while todo:
        each = todo.pop()
        if not isinstance(each, dict):
            continue
        if "dZStep" in each and each.get("uiCount", 0) > 1:
            extent = abs(float(each.get("dZHigh", 0)) - float(each.get("dZLow", 0)))
            return extent / (int(each["uiCount"]) - 1) if extent > 0 else None
        todo.extend(each.values())
    return None


def _times(file: Any, frames: list[int], loop: Any) -> tuple[tuple[float, ...] | None, str]:
    """Seconds of each frame after the first, as measured, or else as planned; and the field."""
    if len(frames) < 2:
        return None, ""
    try:
        measured = [file.frame_metadata(index).channels[0].time.relativeTimeMs / 1000 for index in frames]
    except (LookupError, AttributeError, TypeError, UserWarning, UnboundLocalError):
        measured = []
    if measured and all(math.isfinite(time) for time in measured) and bool(np.all(np.diff(measured) > 0)):
        return tuple(time - measured[0] for time in measured), "ND2 AcqTimesCache"
    period = getattr(getattr(loop, "parameters", None), "periodMs", 0) or 0
    if period > 0:
        return tuple(index * period / 1000 for index in range(len(frames))), "ND2 TimeLoop periodMs (planned)"
    return None, ""


def _metadata(file: Any, channels: list[Any]) -> dict[str, Any]:
    """What else the file says."""
    found: dict[str, Any] = {"version": ".".join(map(str, file.version))}
    for channel in channels[:1]:
        microscope = channel.microscope
        found["objective"] = microscope.objectiveName
        found["objective_magnification"] = microscope.objectiveMagnification
        found["numerical_aperture"] = microscope.objectiveNumericalAperture
        found["immersion_refractive_index"] = microscope.immersionRefractiveIndex
        found["modality"] = ", ".join(microscope.modalityFlags or ())
    found.update({f"text.{name}": text for name, text in (file.text_info or {}).items()})
    return {name: value for name, value in found.items() if value not in (None, "")}


FORMAT = Format("nd2", (".nd2",), "Nikon NIS-Elements, with the extra `formats`", verify, read)
