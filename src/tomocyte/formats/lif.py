"""Leica LIF through the package ``liffile``: images by name, planes by their own byte steps, true times.

The package finds images and memory blocks; each dimension states its length from the first to the last element and its
step in bytes, from which a plane is read alone. To understand another dimension, add it to :data:`DIMENSIONS`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.formats import Format, ReadOptions
from tomocyte.formats._extra import agreed, chosen_image, library, package, volume_of_planes
from tomocyte.formats._hostile import FileStamp, check_declared_bytes, check_fits_memory, check_xml, parsing
from tomocyte.volume import Shape5, Volume

CODE: Final = "E-LIF"
WHAT: Final = "a Leica LIF file"
HEADER: Final = struct.Struct("<IIBI")
DIMENSIONS: Final = {1: "X", 2: "Y", 3: "Z", 4: "T", 10: "M"}
"""Of Leica's numbers of dimensions those that are read; M are the tiles of a scan, each an image of its own."""
OTHER_DIMENSIONS: Final = {
    5: "emission wavelength",
    6: "rotation",
    7: "x scan",
    8: "time scan",
    9: "excitation wavelength",
}
LENGTH_UNITS_UM: Final = {"m": 1e6, "meter": 1e6, "": 1e6, "mm": 1e3, "µm": 1.0, "um": 1.0}
SETTINGS: Final = {
    "ObjectiveName": "objective",
    "NumericalAperture": "numerical_aperture",
    "Magnification": "objective_magnification",
    "RefractionIndex": "immersion_refractive_index",
    "Immersion": "immersion",
    "SystemTypeName": "microscope",
}


@dataclass(frozen=True)
class Dimension:
    """One stored dimension.

    Parameters
    ----------
    letter : str
        Of ``XYZTM``, or a name of :data:`OTHER_DIMENSIONS`.
    size : int
        Number of elements.
    length : float
        From the first to the last element, in ``unit``.
    unit : str
        As the file writes it.
    step : int
        Bytes from one element to the next.
    """

    letter: str
    size: int
    length: float
    unit: str
    step: int


@dataclass(frozen=True)
class LifPlanes:
    """Reader of planes; picklable.

    Parameters
    ----------
    stamp : FileStamp
        The file, as it was when opened.
    offset : int
        First byte of the image.
    steps : mapping
        Bytes from one element to the next along T, Z, Y and X.
    channels : tuple of int
        First byte of each channel, from ``offset``.
    plane_shape : tuple of 2 int
        Y, X.
    dtype : numpy dtype
        Of the voxels.
    """

    stamp: FileStamp
    offset: int
    steps: Mapping[str, int]
    channels: tuple[int, ...]
    plane_shape: tuple[int, int]
    dtype: np.dtype[Any]

    def __call__(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Planes (z_stop - z_start, Y, X)."""
        path = self.stamp.path
        planes_shape = (z_stop - z_start, *self.plane_shape)
        check_fits_memory(math.prod(planes_shape) * self.dtype.itemsize, path=path, what="a read")
        self.stamp.check()
        planes = np.empty(planes_shape, self.dtype)
        strides = self.steps["Y"], self.steps["X"]
        extent = extent_nbytes(self.plane_shape, strides, self.dtype.itemsize)
        start = self.offset + frame * self.steps["T"] + self.channels[channel]
        with parsing(path, CODE, what="its voxels"), path.open("rb") as file:
            for place, plane in enumerate(range(z_start, z_stop)):
                file.seek(start + plane * self.steps["Z"])
                planes[place] = np.ndarray(self.plane_shape, self.dtype, file.read(extent), strides=strides)
        return planes


def extent_nbytes(shape: tuple[int, ...], steps: tuple[int, ...], itemsize: int) -> int:
    """Bytes from the first to the last element, both included.

    Examples
    --------
    >>> extent_nbytes((3, 4), (10, 2), 2)
    28
    """
    return sum((size - 1) * step for size, step in zip(shape, steps, strict=True)) + itemsize


def verify(path: Path) -> bool:
    """Whether the file begins as Leica's and is called ``.lif``; never raises."""
    if path.suffix.lower() != ".lif":
        return False
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except (OSError, ValueError):
        return False
    return head[:4] == b"\x70\0\0\0" and head[8:] == b"\x2a"


def read(path: Path, options: ReadOptions) -> Volume:
    """Open one image of a LIF file lazily.

    Parameters
    ----------
    path : Path
        A ``.lif`` file.
    options : ReadOptions
        ``dataset``: the image by name or index; a tile of a scan is an image.

    Returns
    -------
    Volume
        Voxels as stored, all channels; times as measured where the file has them.

    Raises
    ------
    InputError
        ``E-FORMAT-EXTRA``, ``E-LIF`` (damaged), ``E-LIF-TRUNC``, ``E-LIF-DIMENSION``, ``E-RGB``, ``E-DATASET``,
        ``E-XML-DOCTYPE``, ``E-SHAPE`` or ``E-DTYPE``.
    """
    liffile = package("liffile", path, what=WHAT)
    stamp = FileStamp.of(path)
    _check_header(stamp)
    with library(path, CODE, what="its list of images"), liffile.LifFile(path) as file:
        images = [image for image in file.images if image.xml_element.find("./Data/Image") is not None]
        tiles = [(image, tile) for image in images for tile in range(_n_tiles(image.xml_element, path))]
        if not tiles:
            raise InputError(
                CODE, "holds no image.", path=path, cure="It may hold only lifetimes or settings; export it again."
            )
        names = [
            f"{image.path} tile {tile}" if _n_tiles(image.xml_element, path) > 1 else str(image.path)
            for image, tile in tiles
        ]
        index, notes = chosen_image(names, options.dataset, path)
        image, tile = tiles[index]
        block = image.memory_block
        place = int(block.offset), int(block.size)
        times = image.timestamps
    with library(path, CODE, what="its metadata"):
        return _volume(image.xml_element, tile, place, times, stamp, names, index, list(notes))


def _check_header(stamp: FileStamp) -> None:
    """The XML in the head, before the package parses it."""
    with parsing(stamp.path, CODE, what="its header"), stamp.path.open("rb") as file:
        n_characters = HEADER.unpack(file.read(HEADER.size))[3]
        if HEADER.size + 2 * n_characters > stamp.nbytes:
            raise _cut(stamp.path, f"its header of {2 * n_characters} bytes does not end")
        text = file.read(2 * n_characters).decode("utf-16-le")
    check_xml(text, stamp.path)


def _cut(path: Path, problem: str) -> InputError:
    return InputError("E-LIF-TRUNC", f"is cut off: {problem}.", path=path, cure="Copy or export it again.")


def _dimensions(element: ElementTree.Element) -> list[Dimension]:
    return [
        Dimension(
            DIMENSIONS.get(int(entry.attrib["DimID"]), "")
            or OTHER_DIMENSIONS.get(int(entry.attrib["DimID"]), f"dimension {entry.attrib['DimID'][:8]}"),
            int(entry.attrib["NumberOfElements"]),
            float(entry.attrib.get("Length") or "nan"),
            entry.attrib.get("Unit", ""),
            int(entry.attrib["BytesInc"]),
        )
        for entry in element.findall("./Data/Image/ImageDescription/Dimensions/DimensionDescription")
    ]


def _n_tiles(element: ElementTree.Element, path: Path) -> int:
    n_tiles = next((dimension.size for dimension in _dimensions(element) if dimension.letter == "M"), 1)
    if not 1 <= n_tiles <= 100_000:
        raise InputError(CODE, f"declares {n_tiles} tiles.", path=path, cure="It is damaged; export it again.")
    return n_tiles


def _volume(
    element: ElementTree.Element,
    tile: int,
    place: tuple[int, int],
    times: Any,
    stamp: FileStamp,
    images: list[str],
    index: int,
    notes: list[str],
) -> Volume:
    path = stamp.path
    dimensions = {dimension.letter: dimension for dimension in _dimensions(element)}
    others = [name for name, dimension in dimensions.items() if name not in DIMENSIONS.values() and dimension.size > 1]
    if others or not {"X", "Y"} <= set(dimensions):
        found = ", ".join(f"{name} x {dimension.size}" for name, dimension in dimensions.items())
        raise InputError(
            "E-LIF-DIMENSION",
            f"the image has dimensions that are not read: {found}.",
            path=path,
            cure="Choose another image with --dataset, or export it from LAS X as OME-TIFF.",
        )
    channels, names, dtype = _channels(element, path)
    sizes = {letter: dimensions[letter].size if letter in dimensions else 1 for letter in "TZYX"}
    shape: Shape5 = (sizes["T"], len(channels), sizes["Z"], sizes["Y"], sizes["X"])
    steps = {letter: dimensions[letter].step if letter in dimensions else 0 for letter in "TZYX"}
    offset = place[0] + (tile * dimensions["M"].step if "M" in dimensions else 0)
    _check_extent(shape, steps, channels, dtype, offset - place[0], place, stamp)
    if steps["X"] == 3 * dtype.itemsize and len(channels) == 3 and _is_rgb(element):
        raise InputError(
            "E-RGB",
            f"is a colour image, stored as {shape[3:]} x 3.",
            path=path,
            cure="Convert it to grey values in LAS X, or export the channels one by one.",
        )
    return volume_of_planes(
        LifPlanes(stamp, offset, steps, channels, shape[3:], dtype),
        shape,
        dtype,
        path=path,
        lengths=_lengths(element, dimensions, notes),
        times=_times(dimensions, times, shape[0]),
        channels=(names, "LIF ChannelProperty or LUTName"),
        images=images,
        metadata={"image": images[index], **_metadata(element)},
        notes=notes,
    )


def _channels(element: ElementTree.Element, path: Path) -> tuple[tuple[int, ...], list[str], np.dtype[Any]]:
    """First byte, name and common type of the channels."""
    found = element.findall("./Data/Image/ImageDescription/Channels/ChannelDescription")
    kinds = {(int(each.attrib["DataType"]), -(-int(each.attrib["Resolution"]) // 8)) for each in found}
    if len(kinds) != 1:
        raise InputError("E-DTYPE", f"has channels of {len(kinds)} types.", path=path, cure="Export it as OME-TIFF.")
    kind, nbytes = kinds.pop()
    letter, nbytes = "f" if kind == 1 else "u", {3: 4}.get(nbytes, nbytes)
    if kind not in (0, 1) or nbytes not in ((2, 4, 8) if kind == 1 else (1, 2, 4, 8)):
        raise InputError("E-DTYPE", f"has voxels of type {kind} with {nbytes} bytes.", path=path)
    names = []
    for each in found:
        said = {entry.findtext("Key", ""): entry.findtext("Value", "") for entry in each.findall("ChannelProperty")}
        names.append(said.get("DyeName") or each.attrib.get("LUTName", ""))
    return tuple(int(each.attrib["BytesInc"]) for each in found), names, np.dtype(f"<{letter}{nbytes}")


def _is_rgb(element: ElementTree.Element) -> bool:
    found = element.findall("./Data/Image/ImageDescription/Channels/ChannelDescription")
    return {each.attrib.get("ChannelTag") for each in found} == {"1", "2", "3"}


def _check_extent(
    shape: Shape5,
    steps: Mapping[str, int],
    channels: tuple[int, ...],
    dtype: np.dtype[Any],
    start: int,
    place: tuple[int, int],
    stamp: FileStamp,
) -> None:
    """Every voxel lies inside the image's block, and the block inside the file; no two voxels share a byte."""
    path = stamp.path
    check_declared_bytes(shape, dtype, path=path, stored_nbytes=place[1], is_compressed=False, code="E-LIF-TRUNC")
    if place[0] + place[1] > stamp.nbytes:
        raise _cut(path, f"an image ends at byte {place[0] + place[1]} of {stamp.nbytes}")
    sizes = dict(zip("TZYX", (shape[0], *shape[2:]), strict=True))
    axes = [(sizes[letter], steps[letter]) for letter in "TZYX" if sizes[letter] > 1]
    last = start + max(channels) + sum((size - 1) * step for size, step in axes) + dtype.itemsize
    is_apart = all(step >= dtype.itemsize for _, step in axes) and len(set(channels)) == len(channels)
    if min(start, *channels, *(step for _, step in axes), 0) < 0 or last > place[1] or not is_apart:
        raise InputError(
            CODE, f"its byte steps {dict(steps)} do not fit {place[1]} bytes.", path=path, cure="Export it again."
        )
    corners = [
        sum(index * step for index, (_, step) in zip(at, axes, strict=True)) for at in product((0, 1), repeat=len(axes))
    ]
    if len({channel + corner for channel in channels for corner in corners}) != len(channels) * len(corners):
        raise InputError(CODE, f"its byte steps {dict(steps)} overlap.", path=path, cure="Export it again.")


def _lengths(
    element: ElementTree.Element, dimensions: Mapping[str, Dimension], notes: list[str]
) -> tuple[dict[str, float], str]:
    """Steps z, y, x in µm: length over gaps, compared with the size that the scanner noted."""
    noted = {entry.get("Identifier", ""): entry.get("Variant", "") for entry in element.iter("ScannerSettingRecord")}
    lengths: dict[str, float] = {}
    fields = []
    for axis in "zyx":
        dimension = dimensions.get(axis.upper())
        if dimension is None or dimension.size < 2:
            continue
        factor = LENGTH_UNITS_UM.get(dimension.unit.strip().lower())
        step = None if factor is None else abs(dimension.length) / (dimension.size - 1) * factor
        stated = {f"{axis} Length/(n-1)": step, f"dblVoxel{axis.upper()}": _metres(noted, f"dblVoxel{axis.upper()}")}
        length, field = agreed(axis, stated, notes)
        if length is not None:
            lengths[axis] = length
            fields.append(field)
    return lengths, "LIF " + ", ".join(fields)


def _metres(noted: Mapping[str, str], name: str) -> float | None:
    """A length that the scanner notes in metres, in µm."""
    try:
        return float(noted[name]) * 1e6
    except (KeyError, ValueError):
        return None


def _times(dimensions: Mapping[str, Dimension], stamps: Any, n_frames: int) -> tuple[tuple[float, ...] | None, str]:
    """Seconds of each frame after the first: as stamped, or from the length of the time axis."""
    if n_frames < 2:
        return None, ""
    if stamps is not None and len(stamps) and len(stamps) % n_frames == 0:
        firsts = np.asarray(stamps).astype("datetime64[ms]").astype(np.int64)[:: len(stamps) // n_frames] / 1000
        if bool(np.all(np.diff(firsts) > 0)):
            return tuple(float(time - firsts[0]) for time in firsts), "LIF TimeStampList"
    dimension = dimensions["T"]
    step = dimension.length / (n_frames - 1)
    if dimension.unit.strip().lower() in ("s", "") and math.isfinite(step) and step > 0:
        return tuple(index * step for index in range(n_frames)), "LIF t Length/(n-1)"
    return None, ""


def _metadata(element: ElementTree.Element) -> dict[str, Any]:
    """What the settings say of the optics."""
    found: dict[str, Any] = {}
    for entry in element.iter("ATLConfocalSettingDefinition"):
        found.update({name: entry.attrib[key] for key, name in SETTINGS.items() if entry.attrib.get(key)})
        break
    return found


FORMAT = Format("lif", (".lif",), "Leica LAS, with the extra `formats`", verify, read)
