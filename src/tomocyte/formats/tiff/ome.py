"""OME-XML: the images that it describes, and what it says of one of them.

What it says twice is compared: a length that two places give differently is not used. ``ome_xml`` writes; to
read another property, add it to :func:`declared_by_ome`.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from tomocyte.errors import InputError, MissingFact
from tomocyte.formats._hostile import check_xml, parsing
from tomocyte.formats._lengths import disagreement, is_same_size
from tomocyte.formats.tiff.meta import Declared, Placement, damaged, length_in_um, length_um, number, seconds, whole
from tomocyte.volume import LARGEST_VOXEL_UM, SMALLEST_VOXEL_UM

NAMESPACE = "tomocyte/volume"
"""Namespace of the annotation in which we keep what OME has no place for: quantity, unit, medium RI."""

OME_DTYPES = {
    "int8": "i1", "int16": "i2", "int32": "i4", "uint8": "u1", "uint16": "u2", "uint32": "u4",
    "float": "f4", "double": "f8", "bit": "b1",
}  # fmt: skip
STEP_TOLERANCE = 0.05
"""Positions of a stage scatter; their median step is compared with a stated distance to 5 %."""
MISTAKEN_UNIT = 10.0
"""Two times that differ by more than this factor do not differ by the speed of an instrument but by a unit."""


@dataclass(frozen=True)
class OmeImage:
    """One image of OME-XML.

    Parameters
    ----------
    index : int
        Its place in the XML.
    id, name : str
        As written; may be empty.
    pixels : Element
        Its ``Pixels``.
    """

    index: int
    id: str
    name: str
    pixels: ElementTree.Element

    @property
    def targets(self) -> tuple[tuple[str | None, str | None], ...]:
        """Name and UUID of each file that holds planes of it, in order, each once; both ``None``: the file itself."""
        found = dict.fromkeys(_target(data) for data in _children(self.pixels, "TiffData"))
        return tuple(found) or ((None, None),)

    @property
    def label(self) -> str:
        """What a user may give to choose it."""
        return self.name or self.id or str(self.index)


def _local(element: ElementTree.Element) -> str:
    return str(element.tag).rsplit("}", 1)[-1]


def _children(element: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [child for child in element if _local(child) == name]


def ome_root(text: str, path: Path) -> ElementTree.Element:
    """The root of OME-XML, parsed.

    Raises
    ------
    InputError
        ``E-XML-DOCTYPE`` or ``E-TIFF-META``.
    """
    with parsing(path, "E-TIFF-META", what="its OME-XML"):
        root = ElementTree.fromstring(check_xml(text, path))
    if _local(root) != "OME":
        raise damaged(path, f"its XML is {_local(root)[:40]!r}, not OME.")
    return root


def ome_master(root: ElementTree.Element) -> str | None:
    """Name of the file that holds the metadata of this one (``BinaryOnly``), if any."""
    found = _children(root, "BinaryOnly")
    return found[0].get("MetadataFile", "") if found else None


def ome_images(root: ElementTree.Element, path: Path) -> list[OmeImage]:
    """The images that OME-XML describes, in order.

    Raises
    ------
    InputError
        ``E-TIFF-META`` when there is none.
    """
    found = [
        OmeImage(index, image.get("ID", ""), image.get("Name", ""), pixels)
        for index, image in enumerate(_children(root, "Image"))
        for pixels in _children(image, "Pixels")[:1]
    ]
    if not found:
        raise damaged(path, "its OME-XML describes no image.")
    return found


def named_image(images: Sequence[OmeImage], name: str, path: Path) -> OmeImage:
    """The image with a name, an ID, or an index.

    Raises
    ------
    InputError
        ``E-DATASET`` with the images that there are.
    """
    for key in (lambda image: image.name, lambda image: image.id, lambda image: str(image.index)):
        fitting = [image for image in images if key(image) == name]
        if len(fitting) == 1:
            return fitting[0]
    raise InputError(
        "E-DATASET",
        f"there is no image {name!r} in it.",
        path=path,
        missing=(missing_image(images),),
    )


def missing_image(images: Sequence[OmeImage]) -> MissingFact:
    """That the user must choose one of several images."""
    return MissingFact("dataset", (str(images[0].index),), f"with one of: {shown_images(images)}")


def shown_images(images: Sequence[OmeImage], *, most: int = 12) -> str:
    """The images as a user may give them; those of one name by index."""
    names = [image.label for image in images]
    labels = [str(image.index) if names.count(name) > 1 else name for image, name in zip(images, names, strict=True)]
    more = f", … ({len(labels)} images)" if len(labels) > most else ""
    return ", ".join(f'"{label}"' if " " in label else label for label in labels[:most]) + more


def declared_by_ome(root: ElementTree.Element, image: OmeImage, path: Path) -> Declared:
    """What OME-XML says of one of its images.

    Parameters
    ----------
    root : Element
        The OME-XML.
    image : OmeImage
        One of :func:`ome_images`.
    path : Path
        The file, for messages.

    Raises
    ------
    InputError
        ``E-TIFF-META``.

    References
    ----------
    OME-TIFF specification, https://ome-model.readthedocs.io/en/stable/ome-tiff/specification.html
    """
    pixels = image.pixels
    attributes = pixels.attrib
    order = attributes.get("DimensionOrder", "")
    if order[:2] != "XY" or sorted(order[2:]) != ["C", "T", "Z"]:
        raise damaged(path, f"DimensionOrder = {order[:20]!r} is not one of OME's.")
    size = {axis: whole(attributes.get(f"Size{axis}"), path, f"Size{axis}") for axis in "XYZCT"}
    channels = _children(pixels, "Channel")
    samples = {whole(channel.get("SamplesPerPixel", "1"), path, "SamplesPerPixel") for channel in channels} or {1}
    per_pixel = samples.pop()
    if samples or size["C"] % per_pixel:
        raise damaged(path, f"SizeC = {size['C']} does not fit the samples per pixel of its channels.")
    size["C"] //= per_pixel
    if attributes.get("Type") not in OME_DTYPES:
        raise damaged(path, f"Type = {attributes.get('Type', '')[:40]!r} is not understood.")
    axes = order[:1:-1]
    sizes = tuple(size[axis] for axis in axes)
    names = tuple(channel.get("Name", "") for channel in channels)
    notes: list[str] = []
    ours = _our_annotation(root)
    step = seconds(attributes.get("TimeIncrement"), attributes.get("TimeIncrementUnit", "s"))
    depth_notes: list[str] = []
    lengths = _lengths(pixels, notes, depth_notes)
    times = _plane_times(pixels, size["T"], notes)
    times, step = _agreed_times(times, step if step is not None and step > 0 else None, notes)
    bits = number(attributes.get("SignificantBits"))
    width = 8 * np.dtype(OME_DTYPES[attributes["Type"]]).itemsize
    if bits is not None and bits > width:
        notes.append(f"W-TIFF-META: SignificantBits = {bits:g}, but voxels of Type {attributes['Type']} have {width}.")
    return Declared(
        kind="ome",
        axes=axes,
        sizes=sizes,
        plane_shape=(size["Y"], size["X"]),
        dtype=OME_DTYPES[attributes["Type"]],
        placements=_placements(pixels, axes, sizes, path=path),
        lengths_um=lengths,
        length_fields={axis: f"OME PhysicalSize{axis.upper()}" for axis in lengths},
        time_s=times,
        time_step_s=step,
        channel_names=names if len(names) == size["C"] else (),
        quantity=ours.get("quantity") or None,
        unit=ours.get("unit", ""),
        medium_ri=number(ours["medium_ri"]) if "medium_ri" in ours else None,
        notes=tuple(notes),
        depth_notes=tuple(depth_notes),
        metadata={"image_name": image.name, **{f"tomocyte.{key}": value for key, value in ours.items()}},
    )


def _placements(pixels: ElementTree.Element, axes: str, sizes: tuple[int, ...], *, path: Path) -> tuple[Placement, ...]:
    """Where each ``TiffData`` says its planes are; its defaults are those of the OME-TIFF specification."""
    found = []
    for data in _children(pixels, "TiffData"):
        first = [whole(data.get(f"First{axis}", "0"), path, f"First{axis}", least=0) for axis in axes]
        if any(start >= length for start, length in zip(first, sizes, strict=True)):
            raise damaged(path, f"a TiffData begins outside the image, at {axes} = {first}.")
        plane = 0
        for start, length in zip(first, sizes, strict=True):
            plane = plane * length + start
        default = "1" if "IFD" in data.attrib else None
        count = data.get("PlaneCount", data.get("NumPlanes", default))
        name, uuid = _target(data)
        found.append(
            Placement(
                file_name=name,
                uuid=uuid,
                first_page=whole(data.get("IFD", "0"), path, "IFD", least=0),
                first_plane=plane,
                n_planes=None if count is None else whole(count, path, "PlaneCount"),
            )
        )
    return tuple(found)


def _target(data: ElementTree.Element) -> tuple[str | None, str | None]:
    named = next(iter(_children(data, "UUID")), None)
    if named is None:
        return None, None
    return named.get("FileName"), (named.text or "").strip() or None


def _lengths(pixels: ElementTree.Element, notes: list[str], depth_notes: list[str]) -> dict[str, float]:
    """Physical sizes; the distance of planes is compared with their positions."""
    lengths: dict[str, float] = {}
    for axis in "ZYX":
        size = length_um(
            pixels.get(f"PhysicalSize{axis}"),
            pixels.get(f"PhysicalSize{axis}Unit", "µm"),
            axis=axis.lower(),
            notes=depth_notes if axis == "Z" else notes,
        )
        if size is not None:
            lengths[axis.lower()] = size
    step = _step_of_positions(pixels)
    if step is None:
        return lengths
    if "z" not in lengths:
        lengths["z"] = step
        depth_notes.append(
            f"W-VOXEL-SIZE: the distance of planes, {step:.6g} µm, is that of their positions (PositionZ)."
        )
    elif not is_same_size(lengths["z"], step, tolerance=STEP_TOLERANCE):
        depth_notes.append(disagreement("z", {"PhysicalSizeZ": lengths.pop("z"), "the positions of its planes": step}))
    return lengths


def _step_of_positions(pixels: ElementTree.Element) -> float | None:
    """The distance of planes in µm by their ``PositionZ``, when all of a frame have one and they are regular."""
    places: dict[int, float] = {}
    for plane in _children(pixels, "Plane"):
        if plane.get("TheT", "0") != "0" or plane.get("TheC", "0") != "0":
            continue
        index = number(plane.get("TheZ", "0"))
        place = length_in_um(plane.get("PositionZ"), plane.get("PositionZUnit", "reference frame"))
        if index is not None and place is not None:
            places[int(index)] = place
    if len(places) < 2 or sorted(places) != list(range(len(places))) or str(len(places)) != pixels.get("SizeZ", ""):
        return None
    steps = [places[index + 1] - places[index] for index in range(len(places) - 1)]
    step = statistics.median(steps)
    is_regular = all(abs(one - step) <= STEP_TOLERANCE * abs(step) for one in steps)
    return abs(step) if is_regular and SMALLEST_VOXEL_UM <= abs(step) <= LARGEST_VOXEL_UM else None


def _agreed_times(
    times: tuple[float, ...] | None, step: float | None, notes: list[str]
) -> tuple[tuple[float, ...] | None, float | None]:
    """Measured times and stated interval: the measured ones count, unless the two differ as units do."""
    if times is None or step is None:
        return times, step
    measured = statistics.median(later - sooner for sooner, later in itertools.pairwise(times))
    if is_same_size(measured, step, tolerance=STEP_TOLERANCE):
        return times, step
    both = f"the file gives {step:.6g} s between frames (TimeIncrement) and {measured:.6g} s by its planes (DeltaT)"
    if max(measured / step, step / measured) >= MISTAKEN_UNIT:
        notes.append(f"W-TIME: {both}, as if one had the wrong unit. None is used: give --time-step-s.")
        return None, None
    notes.append(f"W-TIME: {both}; the times of the planes are used.")
    return times, None


def _plane_times(pixels: ElementTree.Element, n_frames: int, notes: list[str]) -> tuple[float, ...] | None:
    """Seconds of each frame after the first: the earliest ``DeltaT`` of its planes, when all frames have one."""
    earliest: dict[int, float] = {}
    for plane in _children(pixels, "Plane"):
        frame = number(plane.get("TheT", "0"))
        time = seconds(plane.get("DeltaT"), plane.get("DeltaTUnit", "s"))
        if frame is not None and time is not None:
            earliest[int(frame)] = min(time, earliest.get(int(frame), math.inf))
    if n_frames < 2 or len(earliest) < n_frames or any(frame not in earliest for frame in range(n_frames)):
        return None
    times = [earliest[frame] for frame in range(n_frames)]
    if any(later <= sooner for sooner, later in itertools.pairwise(times)):
        notes.append("W-TIME: the times of the planes (DeltaT) do not increase from frame to frame and are not used.")
        return None
    return tuple(time - times[0] for time in times)


def _our_annotation(root: ElementTree.Element) -> dict[str, str]:
    for group in _children(root, "StructuredAnnotations"):
        for entry in _children(group, "MapAnnotation"):
            if entry.get("Namespace") == NAMESPACE:
                pairs = [pair for value in _children(entry, "Value") for pair in _children(value, "M")]
                return {pair.get("K", ""): pair.text or "" for pair in pairs}
    return {}
