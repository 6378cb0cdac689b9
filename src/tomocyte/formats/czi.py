"""Zeiss CZI through the package ``czifile``: scenes by name, sub-blocks by plane, mosaics put together.

The package takes the segments apart; planes are found in the directory of sub-blocks, of which those of the image
pyramid are left out. To understand another compression, add a line to :func:`_unpacked`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.formats import Format, ReadOptions
from tomocyte.formats._extra import agreed, chosen_image, library, package, volume_of_planes
from tomocyte.formats._hostile import (
    XML_LARGEST_BYTES,
    FileStamp,
    check_declared_bytes,
    check_fits_memory,
    check_xml,
)
from tomocyte.volume import Shape5, Volume

CODE: Final = "E-CZI"
WHAT: Final = "a Zeiss CZI file"
GREY: Final = {"<u1": np.uint8, "<u2": np.uint16, "<f4": np.float32, "<i4": np.uint32}
"""Zeiss' Gray32 is called signed by the package and is not: Gray8 to Gray32 are all counts."""
COMPRESSIONS: Final = {0: "none", 1: "JPEG", 2: "LZW", 4: "JPEG XR", 5: "Zstandard", 6: "Zstandard with a header"}
CHOSEN: Final = {"S": "scene", "V": "view", "R": "rotation", "I": "illumination", "H": "phase", "B": "block"}
PLACED: Final = "TCZ"


@dataclass(frozen=True)
class Tile:
    """One sub-block of a plane.

    Parameters
    ----------
    position : int
        Its segment in the file.
    row, column : int
        Where it lies in the plane.
    shape : tuple of 2 int
        Y, X.
    dtype : str
        As stored.
    compression : int
        Zeiss' number.
    """

    position: int
    row: int
    column: int
    shape: tuple[int, int]
    dtype: str
    compression: int


@dataclass(frozen=True)
class CziPlanes:
    """Reader of planes of one scene; picklable.

    Parameters
    ----------
    stamp : FileStamp
        The file, as it was when opened.
    tiles : mapping
        Tiles of a plane by frame, channel and plane.
    plane_shape : tuple of 2 int
        Y, X.
    dtype : numpy dtype
        Of the voxels.
    """

    stamp: FileStamp
    tiles: Mapping[tuple[int, int, int], tuple[Tile, ...]]
    plane_shape: tuple[int, int]
    dtype: np.dtype[Any]

    def __call__(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Planes (z_stop - z_start, Y, X); 0 where no tile lies."""
        path = self.stamp.path
        planes_shape = (z_stop - z_start, *self.plane_shape)
        check_fits_memory(math.prod(planes_shape) * self.dtype.itemsize, path=path, what="a read")
        self.stamp.check()
        planes = np.zeros(planes_shape, self.dtype)
        also = (package("czifile", path, what=WHAT).SegmentNotFoundError,)
        with library(path, CODE, what="its voxels", also=also), tifffile.FileHandle(path) as file:
            for place, plane in enumerate(range(z_start, z_stop)):
                for tile in self.tiles[frame, channel, plane]:
                    rows = slice(tile.row, tile.row + tile.shape[0])
                    columns = slice(tile.column, tile.column + tile.shape[1])
                    planes[place, rows, columns] = _pixels(tile, file, self.stamp)
        return planes


def verify(path: Path) -> bool:
    """Whether the file begins as a ZISRAW file; never raises."""
    try:
        with path.open("rb") as file:
            return file.read(10) == b"ZISRAWFILE"
    except (OSError, ValueError):
        return False


def read(path: Path, options: ReadOptions) -> Volume:
    """Open one scene of a CZI file lazily.

    Parameters
    ----------
    path : Path
        A CZI file that holds its own image.
    options : ReadOptions
        ``dataset``: the scene (or view, illumination, …) by name or index.

    Returns
    -------
    Volume
        Voxels as stored, all channels; channels of different types in the smallest type that holds all.

    Raises
    ------
    InputError
        ``E-FORMAT-EXTRA``, ``E-CZI`` (damaged), ``E-CZI-TRUNC``, ``E-CZI-SET``, ``E-CZI-PLANES``, ``E-CZI-CODEC``,
        ``E-RGB``, ``E-DATASET``, ``E-XML-DOCTYPE``, ``E-SHAPE``, ``E-DTYPE`` or ``E-BOMB``.
    """
    czifile = package("czifile", path, what=WHAT)
    stamp = FileStamp.of(path)
    also = (czifile.SegmentNotFoundError,)
    with library(path, CODE, what="its directory", also=also), tifffile.FileHandle(path) as file:
        header = czifile.Segment(file, 0).data()
        if header.file_part:
            raise InputError(
                "E-CZI-SET",
                f"is part {header.file_part} of an image that is spread over several files.",
                path=path,
                cure="Save it in ZEN as one file.",
            )
        entries = _entries(czifile, file, header.directory_position, stamp)
        root = _xml(czifile, file, header.metadata_position, stamp)
        times = _stamps(czifile, file, header.attachment_directory_position, stamp)
    with library(path, CODE, what="its metadata"):
        return _volume(entries, root, times, stamp, options)


def _segment(czifile: Any, file: Any, position: int, kind: str, stamp: FileStamp) -> Any:
    """A segment that must lie in the file."""
    if not 0 < position < stamp.nbytes:
        raise _cut(stamp.path, f"{kind} begins at byte {position} of {stamp.nbytes}")
    segment = czifile.Segment(file, position)
    if segment.sid != kind:
        raise InputError(CODE, f"has no {kind} at byte {position}.", path=stamp.path, cure="Export it again.")
    return segment.data()


def _cut(path: Path, problem: str) -> InputError:
    return InputError("E-CZI-TRUNC", f"is cut off: {problem}.", path=path, cure="Copy or export it again.")


def _entries(czifile: Any, file: Any, position: int, stamp: FileStamp) -> list[Any]:
    """The sub-blocks of full resolution."""
    entries = [
        entry
        for entry in _segment(czifile, file, position, "ZISRAWDIRECTORY", stamp).entries
        if not entry.pyramid_type and entry.shape == entry.stored_shape
    ]
    if not entries:
        raise InputError(CODE, "holds no image.", path=stamp.path, cure="Export it again from ZEN.")
    colours = {entry.dtype for entry in entries if entry.dtype not in GREY}
    if any(kind[1:2] in "34" for kind in colours):
        raise InputError(
            "E-RGB",
            "is a colour image.",
            path=stamp.path,
            cure="Split its channels in ZEN (Method > Channel > Split RGB).",
        )
    if colours:
        raise InputError("E-DTYPE", f"holds voxels of type {sorted(colours)}.", path=stamp.path)
    packed = {entry.compression for entry in entries} - set(COMPRESSIONS)
    if packed:
        raise InputError(
            "E-CZI-CODEC",
            f"is compressed by a camera's own method ({sorted(packed)}).",
            path=stamp.path,
            cure="Save it in ZEN without compression.",
        )
    return entries


def _xml(czifile: Any, file: Any, position: int, stamp: FileStamp) -> ElementTree.Element | None:
    if not position:
        return None
    segment = _segment(czifile, file, position, "ZISRAWMETADATA", stamp)
    if not 0 <= segment.xml_size <= min(XML_LARGEST_BYTES, stamp.nbytes - segment.xml_offset):
        raise _cut(stamp.path, f"its metadata of {segment.xml_size} bytes do not end")
    return ElementTree.fromstring(check_xml(segment.data(), stamp.path))


def _stamps(czifile: Any, file: Any, position: int, stamp: FileStamp) -> NDArray[np.float64] | None:
    """Seconds of the time points, from the attachment that has them."""
    if not position:
        return None
    for entry in _segment(czifile, file, position, "ZISRAWATTDIR", stamp).entries:
        if entry.content_file_type == "CZTIMS":
            attached = entry.data_segment()
            file.seek(attached.data_offset)
            size, number = np.frombuffer(file.read(8), "<i4")
            if not 0 <= number * 8 <= min(size, stamp.nbytes):
                raise _cut(stamp.path, f"its {number} times do not end")
            return np.frombuffer(file.read(int(number) * 8), "<f8")
    return None


def _volume(
    entries: list[Any],
    root: ElementTree.Element | None,
    times: NDArray[np.float64] | None,
    stamp: FileStamp,
    options: ReadOptions,
) -> Volume:
    path = stamp.path
    starts = [{each.dimension: each for each in entry.dimension_entries} for entry in entries]
    keys = [tuple(at[letter].start if letter in at else 0 for letter in CHOSEN) for at in starts]
    several = sorted(set(keys))
    names = _image_names(several, root)
    chosen, more = chosen_image(names, options.dataset, path)
    notes = list(more)
    own = [(entry, at) for entry, at, key in zip(entries, starts, keys, strict=True) if key == several[chosen]]
    tiles, shape = _placed(own, path)
    _check_tiles(tiles, shape, stamp, notes)
    kind = np.result_type(*{GREY[tile.dtype] for part in tiles.values() for tile in part})
    return volume_of_planes(
        CziPlanes(stamp, tiles, shape[3:], np.dtype(kind)),
        shape,
        np.dtype(kind),
        path=path,
        lengths=_lengths(root, shape[2], notes),
        times=_times(times, root, shape[0]),
        channels=(_channel_names(root, shape[1]), "CZI Channel Name"),
        images=names,
        metadata=_metadata(root),
        notes=notes,
    )


def _image_names(keys: Sequence[tuple[int, ...]], root: ElementTree.Element | None) -> list[str]:
    """Names of the scenes, with the number of the view, … where these differ."""
    scenes = {}
    for scene in () if root is None else root.iterfind(".//Dimensions/S/Scenes/Scene"):
        scenes[scene.get("Index", "")] = scene.get("Name") or ""
    varying = [index for index in range(len(CHOSEN)) if len({key[index] for key in keys}) > 1]
    words = list(CHOSEN.values())
    return [
        ", ".join(
            (scenes.get(str(key[index])) if index == 0 else "") or f"{words[index]} {key[index]}" for index in varying
        )
        or scenes.get(str(key[0]))
        or "0"
        for key in keys
    ]


def _placed(
    own: list[tuple[Any, dict[str, Any]]], path: Path
) -> tuple[dict[tuple[int, int, int], tuple[Tile, ...]], Shape5]:
    """The tiles of each plane, and the sizes T, C, Z, Y, X of the scene."""
    known = {*PLACED, *CHOSEN, "X", "Y", "M"}
    unknown = {letter for _, at in own for letter in at if letter not in known}
    if unknown or any(not {"X", "Y"} <= set(at) for _, at in own):
        raise InputError(
            CODE, f"has dimensions that are not understood: {sorted(unknown)}.", path=path, cure="Save it as OME-TIFF."
        )
    if any(at[letter].size != 1 for _, at in own for letter in at if letter not in "XY"):
        raise InputError(CODE, "has sub-blocks of several planes.", path=path, cure="Save it as OME-TIFF in ZEN.")
    levels = {letter: sorted({at[letter].start if letter in at else 0 for _, at in own}) for letter in PLACED}
    first = {letter: min(at[letter].start for _, at in own) for letter in "YX"}
    size = {letter: max(at[letter].start + at[letter].size for _, at in own) - first[letter] for letter in "YX"}
    shape: Shape5 = (*(len(levels[letter]) for letter in PLACED), size["Y"], size["X"])
    tiles: dict[tuple[int, int, int], list[tuple[int, Tile]]] = {}
    for entry, at in own:
        place = tuple(levels[letter].index(at[letter].start if letter in at else 0) for letter in PLACED)
        tile = Tile(
            int(entry.file_position),
            at["Y"].start - first["Y"],
            at["X"].start - first["X"],
            (at["Y"].size, at["X"].size),
            entry.dtype,
            int(entry.compression),
        )
        tiles.setdefault((place[0], place[1], place[2]), []).append((at["M"].start if "M" in at else 0, tile))
    ordered = {
        place: tuple(tile for _, tile in sorted(part, key=lambda each: each[0])) for place, part in tiles.items()
    }
    if len(ordered) != math.prod(shape[:3]):
        raise InputError(
            "E-CZI-PLANES",
            f"has {len(ordered)} planes of {shape[0]} times x {shape[1]} channels x {shape[2]} z.",
            path=path,
            cure="The recording was stopped or is damaged; save a complete part of it in ZEN.",
        )
    return ordered, shape


def _check_tiles(
    tiles: Mapping[tuple[int, int, int], tuple[Tile, ...]], shape: Shape5, stamp: FileStamp, notes: list[str]
) -> None:
    """Sizes before anything is allocated; a note when a plane is put together or has holes."""
    n_pixels = 0
    for part in tiles.values():
        for tile in part:
            if min(tile.shape) < 1 or not 0 < tile.position < stamp.nbytes:
                raise _cut(stamp.path, f"a sub-block of {tile.shape} begins at byte {tile.position}")
            n_pixels += math.prod(tile.shape)
    kinds = {GREY[tile.dtype] for part in tiles.values() for tile in part}
    is_packed = any(tile.compression for part in tiles.values() for tile in part)
    check_declared_bytes(
        (n_pixels,),
        min((np.dtype(kind) for kind in kinds), key=lambda kind: kind.itemsize),
        path=stamp.path,
        stored_nbytes=stamp.nbytes,
        is_compressed=is_packed,
        code="E-CZI-TRUNC",
    )
    n_most = max(len(part) for part in tiles.values())
    box = math.prod(shape[3:])
    if n_most == 1 and n_pixels != box * len(tiles):
        raise InputError(CODE, "has planes of different sizes.", path=stamp.path, cure="Save it as OME-TIFF in ZEN.")
    if box * len(tiles) > 1000 * n_pixels:
        raise InputError(
            CODE, f"has tiles far apart in {shape[3:]}.", path=stamp.path, cure="Export scenes one by one."
        )
    if n_most > 1:
        empty = "; where no tile lies stands 0" if n_pixels < box * len(tiles) else ""
        notes.append(f"W-CZI-MOSAIC: each plane is put together from up to {n_most} tiles{empty}.")


def _pixels(tile: Tile, file: Any, stamp: FileStamp) -> NDArray[Any]:
    """The pixels of a tile, (Y, X)."""
    czifile = package("czifile", stamp.path, what=WHAT)
    block = _segment(czifile, file, tile.position, "ZISRAWSUBBLOCK", stamp)
    entry = block.directory_entry
    nbytes = math.prod(tile.shape) * np.dtype(tile.dtype).itemsize
    is_same = entry.dtype == tile.dtype and int(entry.compression) == tile.compression
    sizes = {each.dimension: each.stored_size for each in entry.dimension_entries}
    if not is_same or (sizes.get("Y"), sizes.get("X")) != tile.shape or block.metadata_size < 0:
        raise InputError(CODE, "a sub-block is not what the directory says.", path=stamp.path, cure="Export it again.")
    if not 0 < block.data_size <= stamp.nbytes - block.data_offset:
        raise _cut(stamp.path, f"a sub-block of {block.data_size} bytes begins at byte {block.data_offset}")
    data = _unpacked(block.data(raw=True), tile, nbytes)
    pixels = np.frombuffer(data, tile.dtype) if isinstance(data, (bytes, bytearray)) else np.asarray(data)
    if pixels.nbytes != nbytes:
        raise _cut(stamp.path, f"a sub-block holds {pixels.nbytes} bytes of {nbytes}")
    return pixels.reshape(tile.shape).astype(GREY[tile.dtype], copy=False)


def _unpacked(data: bytes, tile: Tile, nbytes: int) -> Any:
    """Pixels, or their bytes, of one sub-block."""
    if tile.compression == 0:
        return data[:nbytes] if len(data) >= nbytes else data
    if tile.compression == 1:
        return imagecodecs.jpeg_decode(data)
    if tile.compression == 2:
        return imagecodecs.lzw_decode(data, out=nbytes)
    if tile.compression == 4:
        return imagecodecs.jpegxr_decode(data)
    if tile.compression == 5:
        return imagecodecs.zstd_decode(data, out=nbytes)
    # The header says its own length, and whether low and high bytes of 16 bits are stored apart.
    is_split = data[0] >= 3 and data[1] == 1 and bool(data[2] & 1)
    plain = imagecodecs.zstd_decode(data[data[0] :], out=nbytes)
    if not is_split:
        return plain
    halves = np.frombuffer(plain, np.uint8).reshape(2, -1)
    return halves.T.tobytes()


def _lengths(root: ElementTree.Element | None, n_planes: int, notes: list[str]) -> tuple[dict[str, float], str]:
    """Steps z, y, x in µm: the scaling, compared with the interval of the planes."""
    if root is None:
        return {}, ""
    scaling = {
        entry.get("Id", ""): _number(entry.findtext("Value"), 1e6)
        for entry in root.iterfind(".//Scaling/Items/Distance")
    }
    interval = _number(root.findtext(".//Information/Image/Dimensions/Z/Positions/Interval/Increment"), 1.0)
    lengths: dict[str, float] = {}
    fields = []
    for axis in "zyx":
        stated = {f"Scaling Distance {axis.upper()}": scaling.get(axis.upper())}
        if axis == "z":
            if n_planes == 1:
                continue
            stated["Dimensions/Z Interval Increment"] = None if interval is None else abs(interval)
        length, field = agreed(axis, stated, notes)
        if length is not None:
            lengths[axis] = length
            fields.append(field)
    return lengths, "CZI " + ", ".join(fields)


def _number(text: str | None, factor: float) -> float | None:
    try:
        return float(text or "") * factor
    except ValueError:
        return None


def _times(
    stamps: NDArray[np.float64] | None, root: ElementTree.Element | None, n_frames: int
) -> tuple[tuple[float, ...] | None, str]:
    """Seconds of each frame after the first: as stamped, or from the interval that was set."""
    if n_frames < 2:
        return None, ""
    if stamps is not None and len(stamps) >= n_frames:
        own = stamps[:n_frames]
        if bool(np.all(np.isfinite(own))) and bool(np.all(np.diff(own) > 0)):
            return tuple(float(time - own[0]) for time in own), "CZI TimeStamps"
    text = None if root is None else root.findtext(".//Information/Image/Dimensions/T/Positions/Interval/Increment")
    step = _number(text, 1.0)
    if step is not None and 0 < step < math.inf:
        return tuple(index * step for index in range(n_frames)), "CZI Dimensions/T Interval Increment (planned)"
    return None, ""


def _channel_names(root: ElementTree.Element | None, n_channels: int) -> list[str]:
    if root is None:
        return []
    found = root.findall(".//Information/Image/Dimensions/Channels/Channel")
    return [each.get("Name") or each.get("Id") or "" for each in found] if len(found) == n_channels else []


def _metadata(root: ElementTree.Element | None) -> dict[str, Any]:
    """What the metadata say of the optics and the recording."""
    if root is None:
        return {}
    fields = {
        "objective": ".//Information/Instrument/Objectives/Objective/Manufacturer/Model",
        "numerical_aperture": ".//Information/Instrument/Objectives/Objective/LensNA",
        "objective_magnification": ".//Information/Instrument/Objectives/Objective/NominalMagnification",
        "immersion": ".//Information/Instrument/Objectives/Objective/Immersion",
        "immersion_refractive_index": ".//Information/Image/ObjectiveSettings/RefractiveIndex",
        "acquired": ".//Information/Image/AcquisitionDateAndTime",
        "software": ".//Information/Application/Name",
        "software_version": ".//Information/Application/Version",
    }
    found = {name: root.findtext(place) for name, place in fields.items()}
    return {name: value for name, value in found.items() if value}


FORMAT = Format("czi", (".czi",), "Zeiss ZEN, with the extra `formats`", verify, read)
