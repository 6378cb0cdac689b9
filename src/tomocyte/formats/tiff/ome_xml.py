"""The OME-XML that we write into an OME-TIFF; ``ome`` reads it.

To carry another property, add it to the annotation in :func:`ome_xml` and to ``declared_by_ome``, or use OME's own
attribute where there is one.
"""

from __future__ import annotations

import json
import math
import re
from xml.etree import ElementTree

import numpy as np

from tomocyte.formats._label_tables import label_entries
from tomocyte.formats.tiff.ome import NAMESPACE, OME_DTYPES
from tomocyte.volume import Volume

SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


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
        Type=names[str(volume.dtype.newbyteorder("="))],
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
    annotations["instrument"] = volume.instrument
    if volume.label_names:
        annotations["label_names"] = json.dumps(label_entries(volume.label_names), ensure_ascii=False)
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
