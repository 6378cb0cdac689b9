"""OME-Zarr 0.4 (Zarr 2) and 0.5 (Zarr 3): read the finest level, write 0.5 with a pyramid.

Axes, units and scales come from ``multiscales``; an axis of space without a unit gives no voxel size. A missing chunk
reads as zeros: in files that tomocyte wrote that is an error, in others a counted note. To support another layout of
images inside a store, extend :func:`_image_group`.

References
----------
https://ngff.openmicroscopy.org/0.4/ and https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
import zarr
from numpy.typing import NDArray

from tomocyte.errors import InputError, TomocyteError
from tomocyte.formats import Format, ReadOptions
from tomocyte.formats._axes import ambiguous_axes, as_planes, checked_axes, selection, shape_tczyx
from tomocyte.formats._hostile import FileStamp, check_fits_memory, parsing
from tomocyte.formats._ome_zarr_write import OWN_KEY, write
from tomocyte.formats._zarr_store import (
    StoredArray,
    attributes_of,
    check_chunk,
    inside,
    is_group,
    n_missing_chunks,
    stored_array,
)
from tomocyte.volume import Origin, Volume, VoxelSize

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
}
S_PER_UNIT: Final = {"second": 1.0, "s": 1.0, "millisecond": 1e-3, "ms": 1e-3, "minute": 60.0, "hour": 3600.0}
SPATIAL: Final = "ZYX"
COLLECTIONS: Final = {
    "multiscales": "an image",
    "bioformats2raw.layout": "a collection of images",
    "plate": "a plate",
    "well": "a well of a plate",
    "labels": "a group of label images",
}
"""What a group with one of these attributes is."""
MOST_SHOWN: Final = 20
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
    """Whether the folder is a Zarr group whose attributes hold OME metadata."""
    try:
        return path.is_dir() and not COLLECTIONS.keys().isdisjoint(_ome(path)[0])
    except (OSError, TomocyteError):
        return False


def _ome(group: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """OME metadata of a group, and all of its attributes."""
    attributes, version = attributes_of(group)
    ome = attributes.get("ome", {}) if version == 3 else attributes
    return (ome if isinstance(ome, dict) else {}), attributes


def read(path: Path, options: ReadOptions) -> Volume:
    """Open the finest level of an OME-Zarr image lazily.

    Parameters
    ----------
    path : Path
        Folder of the image, or of a plate, a well, a group of labels or a collection with ``bioformats2raw.layout``.
    options : ReadOptions
        ``dataset``: path of an image group inside the store; ``axes`` replaces the axes of the metadata.

    Returns
    -------
    Volume
        Voxels as stored; quantity, unit and medium where tomocyte wrote them, ``labels`` for an ``image-label``.

    Raises
    ------
    InputError
        ``E-ZARR-METADATA``, ``E-ZARR-PATH``, ``E-ZARR-CODEC``, ``E-ZARR-CHUNK``, ``E-ZARR-MISSING-CHUNKS`` (own files).
    MetadataError
        ``E-AXES``.
    """
    root = _image_group(path, options)
    ome, attributes = _ome(root)
    with parsing(root, "E-ZARR-METADATA", what="its multiscales"):
        image = ome["multiscales"][0]
        level = image["datasets"][0]
        array = stored_array(inside(root, str(level["path"])))
        axes, units = _axes(image, array.shape, options, root)
        scale, scale_notes = _scale(image, level, len(array.shape))
        shape = shape_tczyx(axes, array.shape)
        own = attributes.get(OWN_KEY)
        steps = {axis: (step, unit) for axis, step, unit in zip(axes, scale, units, strict=True)}
        size, notes = _voxel_size_um(steps, shape[2])
        notes = scale_notes or notes
        if options.voxel_size_um is not None:  # the user's word replaces the file's
            size, notes = None, ()
        properties = _own_properties(own, shape) if isinstance(own, dict) else {}
        properties.setdefault("time_s", _times_s(steps, shape[0]))
        names = _channel_names(ome, shape[1])
    if "image-label" in ome:
        properties["quantity"] = "labels"
    notes += _missing_chunks(array, is_own=isinstance(own, dict), is_label="image-label" in ome)
    values = {"voxel_size_um": size, "time_s": properties["time_s"], "medium_ri": properties.get("medium_ri")}
    noted = own.get("origin") if isinstance(own, dict) else None
    made = {key for key, value in noted.items() if value == "simulated"} if isinstance(noted, dict) else set()
    origin: dict[str, Origin] = {
        key: "simulated" if key in made else "file" for key, value in values.items() if value is not None
    }
    return Volume(
        shape=shape,
        dtype=array.dtype.newbyteorder("="),
        read_planes=ZarrPlanes(
            array, FileStamp.of(array.path / ("zarr.json" if array.version == 3 else ".zarray")), axes
        ),
        voxel_size_um=size,
        channel_names=names,
        origin=origin,
        path=path,
        notes=notes,
        metadata={"dataset": str(level["path"]), "version": str(ome.get("version", image.get("version", "")))},
        **properties,
    )


def _image_group(path: Path, options: ReadOptions) -> Path:
    """The group that holds ``multiscales``: the folder itself, the one named, or the only image of a collection."""
    if options.dataset is not None:
        root = inside(path, options.dataset)
        if not is_group(root):
            raise _no_image(f"has no image {options.dataset!r}.", path, path)
        ome, _ = _ome(root)
    else:
        root = path
        ome, _ = _ome(root)
    if "multiscales" in ome:
        return root
    if "bioformats2raw.layout" in ome:
        images = list(_images_in(root))
        if len(images) == 1:
            return inside(root, images[0])
    kind = next((what for key, what in COLLECTIONS.items() if key in ome), "a group")
    raise _no_image(f"is {kind} and no image itself.", root, path)


def _no_image(problem: str, root: Path, path: Path) -> InputError:
    """The refusal that lists the images below ``root`` as ``--dataset`` takes them."""
    prefix = "" if root == path else f"{root.relative_to(path.resolve()).as_posix()}/"
    names = [f"{prefix}{name}" for name in itertools.islice(_images_in(root), MOST_SHOWN + 1)]
    shown = ", ".join(f'"{name}"' if " " in name else name for name in names[:MOST_SHOWN])
    more = ", …" if len(names) > MOST_SHOWN else ""
    cure = f"Give --dataset with one of: {shown}{more}." if names else "No image lies in it: export it again."
    return InputError("E-ZARR-DATASET", problem, path=path, cure=cure)


def _images_in(root: Path) -> Iterator[str]:
    """Paths of the images of a collection, a plate, a well or a group of labels, those that exist."""
    try:
        ome, _ = _ome(root)
    except InputError:
        return
    if "plate" in ome:
        for well in _paths(ome["plate"], "wells"):
            yield from (
                f"{well}/{name}" for name in _images_in(inside(root, well)) if is_group(inside(root, f"{well}/{name}"))
            )
        return
    if "well" in ome:
        found = _paths(ome["well"], "images")
    elif isinstance(ome.get("labels"), list):
        found = [str(name) for name in ome["labels"]]
    else:
        found = sorted((each.name for each in root.iterdir() if each.name.isdigit() and each.is_dir()), key=int)
    yield from (name for name in found if is_group(inside(root, name)))


def _paths(owner: Any, key: str) -> list[str]:
    """The ``path`` of each entry of a list in the metadata; what is no such list has none."""
    entries = owner.get(key) if isinstance(owner, dict) else None
    return [str(entry["path"]) for entry in entries or [] if isinstance(entry, dict) and "path" in entry]


def _axes(
    image: Mapping[str, Any], shape: tuple[int, ...], options: ReadOptions, path: Path
) -> tuple[str, tuple[str, ...]]:
    """One letter and one unit (or nothing) per stored axis."""
    axes = image.get("axes")
    if not isinstance(axes, list):  # before 0.3 the axes were always t, c, z, y, x and had no unit
        axes = list("tczyx") if len(shape) == 5 else []
    entries = [{"name": entry} if isinstance(entry, str) else dict(entry) for entry in axes]
    units = tuple(str(entry.get("unit", "")) for entry in entries) or ("",) * len(shape)
    if options.axes is not None:
        letters = checked_axes(options.axes, shape, path)
        is_same = len(entries) == len(letters) and "".join(str(e.get("name")) for e in entries).upper() == letters
        return letters, units if is_same else ("",) * len(shape)
    if len(entries) != len(shape):
        raise ambiguous_axes(shape, path)
    return checked_axes("".join(str(entry.get("name", "?")) for entry in entries), shape, path), units


def _scale(image: Mapping[str, Any], level: Mapping[str, Any], ndim: int) -> tuple[list[float], tuple[str, ...]]:
    """Scale of the level times that of the whole pyramid; unknown, with a note, when it does not fit the axes."""
    total = [1.0] * ndim
    for owner in (level, image):
        for step in owner.get("coordinateTransformations") or []:
            if step["type"] == "scale":
                factors = [float(factor) for factor in step["scale"]]
                if len(factors) != ndim:
                    return [math.nan] * ndim, (
                        f"W-VOXEL-SIZE: the scale has {len(factors)} numbers and the array {ndim} axes.",
                    )
                total = [before * factor for before, factor in zip(total, factors, strict=True)]
    return total, ()


def _voxel_size_um(steps: Mapping[str, tuple[float, str]], n_planes: int) -> tuple[VoxelSize | None, tuple[str, ...]]:
    found = {}
    for axis in SPATIAL:
        step, unit = steps.get(axis, (math.nan, ""))
        found[axis] = step * UM_PER_UNIT.get(unit, math.nan)
    usable = [math.isfinite(size) and size > 0 for size in found.values()]
    if not all(usable[1:] if n_planes == 1 else usable):
        return None, ("W-NO-VOXEL: an axis of space has no usable unit or scale, so the voxel size is unknown.",)
    return (found["Z"] if usable[0] else math.nan, found["Y"], found["X"]), ()


def _times_s(steps: Mapping[str, tuple[float, str]], n_frames: int) -> tuple[float, ...] | None:
    step, unit = steps.get("T", (math.nan, ""))
    seconds = step * S_PER_UNIT.get(unit, math.nan)
    return tuple(index * seconds for index in range(n_frames)) if 0 < seconds < math.inf else None


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


def _channel_names(ome: Mapping[str, Any], n_channels: int) -> tuple[str, ...]:
    channels = (ome.get("omero") or {}).get("channels") or []
    names = tuple(str(channel.get("label", "")) for channel in channels if isinstance(channel, dict))
    return names if len(names) == n_channels and all(names) else ()


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
