"""OME-Zarr 0.4 (Zarr 2) and 0.5 (Zarr 3): read the finest level, write 0.5 with a pyramid.

Axes, units and scales come from ``multiscales``; an axis of space without a unit gives no voxel size. Arrays without
such metadata open with ``--axes``. A missing chunk reads as zeros: in files that tomocyte wrote that is an error, in
others a counted note. Which array of a store is read stands in ``_ome_zarr_find``.

References
----------
https://ngff.openmicroscopy.org/0.4/ and https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
import zarr
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.formats import Format, ReadOptions
from tomocyte.formats._axes import (
    ORDER,
    ambiguous_axes,
    as_planes,
    checked_axes,
    properties_of_axes,
    said_by_file,
    selection,
    shape_tczyx,
)
from tomocyte.formats._hostile import FileStamp, check_fits_memory, parsing
from tomocyte.formats._label_tables import label_names_of
from tomocyte.formats._ome_zarr_find import FoundArray, find_array
from tomocyte.formats._ome_zarr_write import OWN_KEY, write
from tomocyte.formats._placement import affine_of
from tomocyte.formats._zarr_store import StoredArray, check_chunk, kind_of_node, n_missing_chunks
from tomocyte.volume import CHOICES, Affine, LabelName, Volume

UM_PER_UNIT: Final = {
    "angstrom": 1e-4,
    "centimeter": 1e4,
    "meter": 1e6,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "nanometer": 1e-3,
    "µm": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
    "picometer": 1e-6,
    "\u03bcm": 1.0,
}
S_PER_UNIT: Final = {
    "second": 1.0,
    "s": 1.0,
    "millisecond": 1e-3,
    "ms": 1e-3,
    "microsecond": 1e-6,
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86_400.0,
}
SPATIAL: Final = "ZYX"
KINDS: Final = {"space": SPATIAL, "time": "T", "channel": "C"}
"""Letters that an axis of a type may have."""
LARGEST_LAYER_NBYTES: Final = 256 * 2**20
LARGEST_HOLLOWNESS: Final = 100
"""An array with fewer than one written chunk in so many is incomplete, not sparse."""


_LAYERS: dict[tuple[Any, ...], NDArray[Any]] = {}
"""The layer of chunks unpacked last in this process, under the state of its files."""
_LAYER_LOCK = Lock()


@dataclass(frozen=True)
class ZarrPlanes:
    """Reader of planes from one Zarr array; picklable.

    Parameters
    ----------
    array : StoredArray
        The array, its metadata checked.
    stamp : FileStamp
        Its metadata file, as it was when opened.
    axes : str
        Stored axes, slowest first.
    """

    array: StoredArray
    stamp: FileStamp
    axes: str

    def __call__(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Planes (z_stop - z_start, Y, X); each chunk file is checked before it is unpacked."""
        self.stamp.check()
        low, high = self._layer(z_start)
        plane_voxels = math.prod(self.array.shape[self.axes.index(letter)] for letter in "YX")
        layer_nbytes = (high - low) * plane_voxels * self.array.dtype.itemsize
        is_part = z_start < z_stop <= high and z_stop - z_start < high - low
        if not is_part or layer_nbytes > LARGEST_LAYER_NBYTES:
            self._check(frame, channel, z_start, z_stop)
            return self._read(frame, channel, z_start, z_stop)
        # a few planes of a layer of chunks: unpack it once, not once per plane
        key = (self.array.path, self.axes, frame, channel, low, self._check(frame, channel, low, high))
        with _LAYER_LOCK:
            if key not in _LAYERS:
                _LAYERS.clear()
                _LAYERS[key] = self._read(frame, channel, low, high)
            return _LAYERS[key][z_start - low : z_stop - low].copy()

    def _layer(self, plane: int) -> tuple[int, int]:
        """First plane, and one past the last, of the layer of chunks that holds ``plane``."""
        axis = self.axes.find("Z")
        if axis < 0:
            return 0, 1
        step = self.array.chunks[axis]
        return plane // step * step, min(plane // step * step + step, self.array.shape[axis])

    def _check(self, frame: int, channel: int, z_start: int, z_stop: int) -> tuple[tuple[int, int], ...]:
        """Check every chunk file of a request; returns their sizes and times."""
        array = self.array
        selected = selection(self.axes, frame, channel, z_start, z_stop)
        spans = [
            range(part, part + 1) if isinstance(part, int) else range(*part.indices(size))
            for part, size in zip(selected, array.shape, strict=True)
        ]
        nbytes = math.prod(map(len, spans)) * array.dtype.itemsize
        check_fits_memory(nbytes, path=array.path, what="a read")
        grid = (
            range(span.start // step, -(-span.stop // step)) if span else range(0)
            for span, step in zip(spans, array.chunks, strict=True)
        )
        return tuple(check_chunk(array, index) for index in itertools.product(*grid))

    def _read(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        array = self.array
        with parsing(array.path, "E-ZARR-CHUNK", what="a chunk"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            store = zarr.storage.LocalStore(array.path, read_only=True)
            opened = zarr.open_array(store, mode="r", zarr_format=2 if array.version == 2 else 3)
            selected = selection(self.axes, frame, channel, z_start, z_stop)
            return as_planes(np.asarray(opened[selected]), self.axes)


def verify(path: Path) -> bool:
    """Whether the folder is a Zarr group or array, of OME or not."""
    return bool(kind_of_node(path))


def read(path: Path, options: ReadOptions) -> Volume:
    """Open an OME-Zarr image at its finest level, or a plain Zarr array, lazily.

    Parameters
    ----------
    path : Path
        Folder of the image, of an array, or of a plate, a well, a group of labels or any other group of images.
    options : ReadOptions
        ``dataset``: path of an image, of one of its levels, or of an array inside the store; ``axes`` replaces the axes
        of the metadata.

    Returns
    -------
    Volume
        Voxels as stored; quantity, unit and medium where tomocyte wrote them, ``labels`` for an ``image-label``.

    Raises
    ------
    InputError
        ``E-ZARR-DATASET``, ``E-ZARR-METADATA``, ``E-ZARR-PATH``, ``E-ZARR-CODEC``, ``E-ZARR-CHUNK``,
        ``E-ZARR-MISSING-CHUNKS`` (own files).
    MetadataError
        ``E-AXES``.
    """
    found = find_array(path, options.dataset)
    array, notes = found.array, list(found.notes)
    is_given = options.voxel_size_um is not None  # the user's word replaces the file's
    with parsing(array.path, "E-ZARR-METADATA", what="what describes it"):
        axes, units = _axes(found, options, path)
        shape = shape_tczyx(axes, array.shape)
        is_own = isinstance(found.attributes.get(OWN_KEY), dict)
        own = found.attributes[OWN_KEY] if is_own else {}
        scale, position, size_notes = _placement(found, len(array.shape))
        affine = _affine(axes, units, scale, position)
        steps = {axis: (step, unit) for axis, step, unit in zip(axes, scale, units, strict=True)}
        lengths = {} if is_given else _lengths_um(steps, shape[2], size_notes)
        properties = properties_of_axes(
            shape,
            axes,
            lengths_um=lengths,
            time_step_s=_time_step_s(steps),
            channel_names=_channel_names(found.ome, shape[1], notes),
            notes=size_notes,
        )
        properties |= _own_properties(own, shape)
    is_label = "image-label" in found.ome
    if is_label:
        properties["quantity"] = "labels"
        properties["label_names"] = _label_names(found.ome["image-label"])
    notes += [note for note in size_notes if note.startswith("W-ZARR-POSITION") or not is_given][:1]
    notes += _missing_chunks(array, is_own=is_own, is_label=is_label)
    noted = own.get("origin")
    simulated = {key for key, value in noted.items() if value == "simulated"} if isinstance(noted, dict) else set()
    version = str(found.ome.get("version", found.image.get("version", "")))
    listed = {CHOICES: found.choices, "levels": found.levels} if found.choices else {}
    return Volume(
        shape=shape,
        dtype=array.dtype.newbyteorder("="),
        read_planes=ZarrPlanes(
            array, FileStamp.of(array.path / ("zarr.json" if array.version == 3 else ".zarray")), axes
        ),
        affine=affine,
        affine_unit="um" if affine is not None else "",
        path=path,
        notes=tuple(notes),
        metadata={"dataset": found.name, "version": version, **listed},
        **said_by_file(properties, _fields(own, is_label=is_label), simulated=simulated),
    )


def _fields(own: Mapping[str, Any], *, is_label: bool) -> dict[str, str]:
    """Which entry of the metadata says a property."""
    fields = {
        "voxel_size_um": "OME-Zarr scale and units of axes",
        "time_s": "OME-Zarr scale and unit of t",
        "channel_names": "OME-Zarr omero channels",
    }
    fields |= {name: f"{OWN_KEY} {name}" for name in ("quantity", "unit", "medium_ri", "time_s") if name in own}
    labelled = {"quantity": "OME-Zarr image-label", "label_names": "OME-Zarr image-label properties and colors"}
    return fields | (labelled if is_label else {})


def _axes(found: FoundArray, options: ReadOptions, path: Path) -> tuple[str, tuple[str, ...]]:
    """One letter and one unit (or nothing) per stored axis."""
    shape = found.array.shape
    axes = found.image.get("axes")
    if not isinstance(axes, list):  # before 0.3 the axes were always t, c, z, y, x and had no unit
        axes = list("tczyx") if found.image and len(shape) == 5 else []
    entries = [{"name": entry} if isinstance(entry, str) else dict(entry) for entry in axes]
    letters = "".join(_letter(entry) for entry in entries)
    names = "".join(_letter({"name": name}) for name in found.array.dimension_names)
    units = tuple(str(entry.get("unit", "")) for entry in entries) or ("",) * len(shape)
    if options.axes is not None:
        given = checked_axes(options.axes, shape, path)
        return given, units if letters == given else ("",) * len(shape)
    for entry in entries:
        kind, name = entry.get("type"), str(entry.get("name"))
        if kind in KINDS and _letter(entry) not in KINDS[kind]:
            raise ambiguous_axes(shape, path, what=f"its axes call {name!r} a {kind}, and do not agree")
    if not entries and len(shape) == 2:
        return "YX", units
    if not entries and not set(names) <= set(ORDER):
        names = ""
    if letters and len(letters) == len(names) and letters != names and set(names) <= set(ORDER):
        disagreeing = f"its axes ({letters.lower()}) and the names of the array ({names.lower()}) do not agree"
        raise ambiguous_axes(shape, path, what=disagreeing)
    if len(letters or names) != len(shape):
        raise ambiguous_axes(shape, path)
    return checked_axes(letters or names, shape, path), units


def _letter(entry: Mapping[str, Any]) -> str:
    """An axis by its name, or by its type where the name is a word."""
    name = str(entry.get("name", "?"))
    return (
        {"time": "T", "channel": "C"}.get(str(entry.get("type", name.lower())), "?") if len(name) != 1 else name.upper()
    )


def _placement(found: FoundArray, n_axes: int) -> tuple[list[float], list[float], list[str]]:
    """Scale and position of a level, then those of the pyramid; unknown, with a note, without one number per axis."""
    scale, position = [1.0] * n_axes, [0.0] * n_axes
    for owner in (found.level, found.image):
        for step in owner.get("coordinateTransformations") or []:
            kind = str(step["type"])
            if kind == "identity":
                continue
            numbers = step.get(kind)
            if kind not in ("scale", "translation") or not isinstance(numbers, list):
                problem = f"the voxels are placed by {kind[:40]!r} and no list of numbers."
            elif len(numbers) != n_axes:
                problem = f"the {kind} has {len(numbers)} numbers and the array {n_axes} axes."
            else:
                factors = [float(number) for number in numbers]
                if kind == "scale":
                    scale = [before * factor for before, factor in zip(scale, factors, strict=True)]
                    position = [before * factor for before, factor in zip(position, factors, strict=True)]
                else:
                    position = [before + shift for before, shift in zip(position, factors, strict=True)]
                continue
            if kind == "translation":
                return scale, [math.nan] * n_axes, [f"W-ZARR-POSITION: {problem}"]
            return [math.nan] * n_axes, [math.nan] * n_axes, [f"W-VOXEL-SIZE: {problem}"]
    return scale, position, []


def _affine(axes: str, units: tuple[str, ...], scale: list[float], position: list[float]) -> Affine | None:
    """Where the voxels lie, in µm, where the file says that it is not at its beginning."""
    factors = {axis: UM_PER_UNIT.get(unit, math.nan) for axis, unit in zip(axes, units, strict=True)}
    steps = {axis: step * factors[axis] for axis, step in zip(axes, scale, strict=True)}
    first = {axis: shift * factors[axis] for axis, shift in zip(axes, position, strict=True) if axis in SPATIAL}
    if not any(first.values()):
        return None
    rows = np.zeros((4, 3))
    for row, axis in enumerate(SPATIAL):
        rows[row, 2 - row] = steps.get(axis, 1.0)  # without an axis z it is only a direction
        rows[3, 2 - row] = first.get(axis, 0.0)
    return affine_of(rows)


def _lengths_um(steps: Mapping[str, tuple[float, str]], n_planes: int, notes: list[str]) -> dict[str, float]:
    """Steps z, y, x in µm, as far as the file gives them with a unit."""
    lengths = {}
    for axis in SPATIAL:
        step, unit = steps.get(axis, (math.nan, ""))
        length = step * UM_PER_UNIT.get(unit, math.nan)
        if math.isfinite(length) and length > 0:
            lengths[axis.lower()] = length
    if not {"y", "x"} <= set(lengths) or (n_planes > 1 and "z" not in lengths):
        notes.append("W-NO-VOXEL: an axis of space has no usable unit or scale, so the voxel size is unknown.")
        return {}
    return lengths


def _time_step_s(steps: Mapping[str, tuple[float, str]]) -> float | None:
    step, unit = steps.get("T", (math.nan, ""))
    seconds = step * S_PER_UNIT.get(unit, math.nan)
    return seconds if 0 < seconds < math.inf else None


def _own_properties(own: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """What tomocyte wrote beside the OME metadata."""
    found: dict[str, Any] = {}
    if isinstance(own.get("quantity"), str):
        found["quantity"] = own["quantity"]
    if isinstance(own.get("unit"), str):
        found["unit"] = own["unit"]
    if isinstance(own.get("medium_ri"), int | float):
        found["medium_ri"] = float(own["medium_ri"])
    times = own.get("time_s")
    if isinstance(times, list) and len(times) == shape[0]:
        found["time_s"] = tuple(float(time) for time in times)
    return found


def _label_names(label: Any) -> tuple[LabelName, ...]:
    """Names and colours of labels: ``properties`` with a name, or class, of a value, and ``colors``."""
    lists = [label.get(key) if isinstance(label, dict) else None for key in ("properties", "colors")]
    entries, colours = ([one for one in found or [] if isinstance(one, dict)] if isinstance(found, list) else []
                        for found in lists)  # fmt: skip
    rgba = {one.get("label-value"): one.get("rgba") for one in colours if type(one.get("label-value")) is int}
    return label_names_of(
        [
            {
                "value": one.get("label-value"),
                "name": one.get("name", one.get("class")),
                "colour": _hex(rgba.get(one.get("label-value") if type(one.get("label-value")) is int else None)),
                "channel": one.get("channel", 0),
            }
            for one in entries
        ]
    )


def _hex(rgba: Any) -> str:
    is_colour = isinstance(rgba, list) and len(rgba) >= 3 and all(type(x) is int and 0 <= x < 256 for x in rgba[:3])
    return "#" + "".join(f"{part:02X}" for part in rgba[:3]) if is_colour else ""


def _channel_names(ome: Mapping[str, Any], n_channels: int, notes: list[str]) -> tuple[str, ...]:
    """Names of all channels; none, with a note, where there are more or fewer names than channels."""
    omero = ome.get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    entries = channels if isinstance(channels, list) else []
    names = tuple(str(entry.get("label") or "") if isinstance(entry, dict) else "" for entry in entries)
    if any(names) and len(names) != n_channels:
        notes.append(
            f"W-ZARR-CHANNELS: the metadata name {len(names)} channels and the array has {n_channels}; the names are "
            "not used."
        )
        return ()
    return names


def _missing_chunks(array: StoredArray, *, is_own: bool, is_label: bool) -> tuple[str, ...]:
    missing, expected = n_missing_chunks(array)
    if missing == 0:
        return ()
    filling = "zeros" if array.fill_value == 0 else "the fill value of the metadata"
    problem = f"{missing} of {expected} chunks are missing and read as {filling}."
    is_empty = is_label and array.fill_value == 0  # other programs do not write the chunks of a background
    if is_own or ((expected - missing) * LARGEST_HOLLOWNESS < expected and not is_empty):
        raise InputError(
            "E-ZARR-MISSING-CHUNKS", problem, path=array.path, cure="It is incomplete; write or copy it again."
        )
    return (f"W-ZARR-MISSING-CHUNKS: {problem}",)


FORMAT = Format(
    "ome-zarr",
    (".ome.zarr", ".zarr"),
    "OME-Zarr 0.4 and 0.5 folders; written as 0.5 with a pyramid",
    verify,
    read,
    write,
)
