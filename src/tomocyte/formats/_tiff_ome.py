"""OME-XML: what it says of the first image of an OME-TIFF, and the OME-XML that we write.

Both directions live here so that what is written is what is read. To carry another property, add it to the annotation
in :func:`ome_xml` and to :func:`declared_by_ome`, or use OME's own attribute where there is one.
"""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from tomocyte.formats._hostile import check_xml, parsing
from tomocyte.formats._tiff_meta import Declared, Placement, damaged, length_um, number, seconds, whole
from tomocyte.volume import Volume

SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
NAMESPACE = "tomocyte/volume"
"""Namespace of the annotation in which we keep what OME has no place for: quantity, unit, medium RI."""

OME_DTYPES = {
    "int8": "i1", "int16": "i2", "int32": "i4", "uint8": "u1", "uint16": "u2", "uint32": "u4",
    "float": "f4", "double": "f8", "bit": "b1",
}  # fmt: skip


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


def declared_by_ome(root: ElementTree.Element, path: Path) -> Declared:
    """What OME-XML says of its first image.

    Raises
    ------
    InputError
        ``E-TIFF-META``.

    References
    ----------
    OME-TIFF specification, https://ome-model.readthedocs.io/en/stable/ome-tiff/specification.html
    """
    images = _children(root, "Image")
    pixels = _children(images[0], "Pixels") if images else []
    if not pixels:
        raise damaged(path, "its OME-XML describes no image.")
    attributes = pixels[0].attrib
    order = attributes.get("DimensionOrder", "")
    if order[:2] != "XY" or sorted(order[2:]) != ["C", "T", "Z"]:
        raise damaged(path, f"DimensionOrder = {order[:20]!r} is not one of OME's.")
    size = {axis: whole(attributes.get(f"Size{axis}"), path, f"Size{axis}") for axis in "XYZCT"}
    channels = _children(pixels[0], "Channel")
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
    lengths = {
        axis.lower(): length_um(
            attributes.get(f"PhysicalSize{axis}"),
            attributes.get(f"PhysicalSize{axis}Unit", "µm"),
            axis=axis.lower(),
            notes=notes,
        )
        for axis in "ZYX"
    }
    return Declared(
        kind="ome",
        axes=axes,
        sizes=sizes,
        plane_shape=(size["Y"], size["X"]),
        dtype=OME_DTYPES[attributes["Type"]],
        placements=_placements(root, pixels[0], axes, sizes, path=path),
        lengths_um={axis: value for axis, value in lengths.items() if value is not None},
        time_s=_plane_times(pixels[0], size["T"], notes),
        time_step_s=step if step is not None and step > 0 else None,
        channel_names=names if len(names) == size["C"] and all(names) else (),
        quantity=ours.get("quantity") or None,
        unit=ours.get("unit", ""),
        medium_ri=number(ours["medium_ri"]) if "medium_ri" in ours else None,
        n_more=len(images) - 1,
        notes=tuple(notes),
        metadata={"image_name": images[0].get("Name", ""), **{f"tomocyte.{key}": value for key, value in ours.items()}},
    )


def _placements(
    root: ElementTree.Element, pixels: ElementTree.Element, axes: str, sizes: tuple[int, ...], *, path: Path
) -> tuple[Placement, ...]:
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
        named = next(iter(_children(data, "UUID")), None)
        is_own = named is None or (named.text is not None and named.text == root.get("UUID"))
        found.append(
            Placement(
                file_name=None if is_own or named is None else named.get("FileName", ""),
                first_page=whole(data.get("IFD", "0"), path, "IFD", least=0),
                first_plane=plane,
                n_planes=None if count is None else whole(count, path, "PlaneCount"),
            )
        )
    return tuple(found)


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


def ome_xml(volume: Volume) -> bytes:
    """OME-XML that describes a volume whose planes are written in the order T, C, Z, the last fastest.

    Parameters
    ----------
    volume : Volume
        Of a type that OME knows: 8- to 32-bit integers, float32, float64, bool.

    Returns
    -------
    bytes
        UTF-8, without an XML declaration of another encoding.

    References
    ----------
    OME schema 2016-06, https://www.openmicroscopy.org/Schemas/OME/2016-06
    """
    ElementTree.register_namespace("", SCHEMA)
    names = {str(np.dtype(code)): name for name, code in OME_DTYPES.items()}
    n_frames, n_channels, n_planes, n_rows, n_columns = volume.shape
    root = _element(None, "OME", Creator="tomocyte")  # no UUID: equal volumes give equal bytes
    image = _element(root, "Image", ID="Image:0", Name=volume.path.name if volume.path else "volume")
    size = {"SizeX": n_columns, "SizeY": n_rows, "SizeZ": n_planes, "SizeC": n_channels, "SizeT": n_frames}
    pixels = _element(
        image,
        "Pixels",
        ID="Pixels:0",
        DimensionOrder="XYZCT",
        Type=names[str(volume.dtype)],
        **{key: str(value) for key, value in size.items()},
        **_lengths(volume),
    )
    for channel in range(n_channels):
        name = {"Name": volume.channel_names[channel]} if volume.channel_names else {}
        _element(pixels, "Channel", ID=f"Channel:0:{channel}", SamplesPerPixel="1", **name)
    _element(pixels, "TiffData", IFD="0", PlaneCount=str(n_frames * n_channels * n_planes))
    if volume.time_s is not None and n_frames > 1:
        if volume.time_step_s is not None:
            pixels.set("TimeIncrement", repr(float(volume.time_step_s)))
            pixels.set("TimeIncrementUnit", "s")
        for frame, time in enumerate(volume.time_s):
            _element(pixels, "Plane", TheZ="0", TheC="0", TheT=str(frame), DeltaT=repr(float(time)), DeltaTUnit="s")
    _annotate(root, image, volume)
    xml: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return xml


def _lengths(volume: Volume) -> dict[str, str]:
    """Physical sizes; a thickness without meaning (NaN) is left out."""
    attributes: dict[str, str] = {}
    for axis, size in zip("ZYX", volume.voxel_size_um or (), strict=False):
        if math.isfinite(size):
            attributes[f"PhysicalSize{axis}"] = repr(float(size))
            attributes[f"PhysicalSize{axis}Unit"] = "µm"
    return attributes


def _annotate(root: ElementTree.Element, image: ElementTree.Element, volume: Volume) -> None:
    annotations = {"quantity": volume.quantity or "", "unit": volume.unit}
    if volume.medium_ri is not None:
        annotations["medium_ri"] = repr(float(volume.medium_ri))
    annotations |= {f"origin.{name}": origin for name, origin in volume.origin.items()}
    annotations = {key: value for key, value in annotations.items() if value}
    if not annotations:
        return
    _element(image, "AnnotationRef", ID="Annotation:0")
    group = _element(root, "StructuredAnnotations")
    value = _element(_element(group, "MapAnnotation", ID="Annotation:0", Namespace=NAMESPACE), "Value")
    for key, text in annotations.items():
        _element(value, "M", K=key).text = _printable(text)


def _element(parent: ElementTree.Element | None, name: str, /, **attributes: str) -> ElementTree.Element:
    tag = f"{{{SCHEMA}}}{name}"
    attributes = {key: _printable(value) for key, value in attributes.items()}
    return ElementTree.Element(tag, attributes) if parent is None else ElementTree.SubElement(parent, tag, attributes)


def _printable(text: str) -> str:
    """Text without the characters that XML 1.0 cannot hold."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
