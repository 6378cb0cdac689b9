"""Generic HDF5: one array in a file that says its voxel size in ``element_size_um`` (z, y, x).

Read only: a full disk ends a process that writes HDF5, so results never go there. Axes come from the user, from
ilastik's ``axistags``, from ``DIMENSION_LABELS``, or from three numbers in ``element_size_um`` on a 3-D array. To
understand another way of saying the axes, add a function to :func:`_axes`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError, MissingFact
from tomocyte.formats import Format, ReadOptions, mat, tcf
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
from tomocyte.formats._hdf5_safety import (
    attribute,
    cached_file,
    check_dataset,
    datasets,
    has_object,
    is_hdf5,
    object_at,
    opened,
)
from tomocyte.formats._hostile import FileStamp, check_fits_memory
from tomocyte.volume import Volume

SIZE_ATTRIBUTE: Final = "element_size_um"


@dataclass(frozen=True)
class Hdf5Planes:
    """Reader of planes from one dataset; picklable.

    Parameters
    ----------
    stamp : FileStamp
        The file, as it was when opened.
    dataset : str
        Path inside the file.
    axes : str
        Stored axes, slowest first.
    plane_nbytes : int
        Bytes of one plane, to check the memory before reading.
    rows, columns : int, optional
        What the image has of each stored plane, where the rest is padding.
    """

    stamp: FileStamp
    dataset: str
    axes: str
    plane_nbytes: int
    rows: int | None = None
    columns: int | None = None

    def __call__(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Planes (z_stop - z_start, Y, X)."""
        path = self.stamp.path
        check_fits_memory((z_stop - z_start) * self.plane_nbytes, path=path, what="a read")
        with cached_file(self.stamp) as file:
            stored = file.dataset(self.dataset)
            planes = as_planes(stored[selection(self.axes, frame, channel, z_start, z_stop)], self.axes)
            return np.ascontiguousarray(planes[:, : self.rows, : self.columns])


def verify(path: Path) -> bool:
    """Whether the file has HDF5's signature and is neither a TCF nor a MATLAB file."""
    return is_hdf5(path) and not tcf.verify(path) and not mat.verify(path)


def read(path: Path, options: ReadOptions) -> Volume:
    """Open one array of an HDF5 file lazily.

    Parameters
    ----------
    path : Path
        An HDF5 file.
    options : ReadOptions
        ``dataset`` names the array when there are several, ``axes`` its axes.

    Returns
    -------
    Volume
        Voxels as stored, ``quantity`` unknown.

    Raises
    ------
    InputError
        ``E-HDF5-DATASET`` (lists what is there), ``E-HDF5-…`` for a file that is damaged or pulls in other files.
    MetadataError
        ``E-AXES`` when neither the file nor the user says what the axes are.
    """
    stamp = FileStamp.of(path)
    with opened(stamp) as file:
        name = _choose(file, options, path)
        stored = object_at(file, name, path)
        if not isinstance(stored, h5py.Dataset) or stored.shape is None or len(stored.shape) < 2:
            raise _which(file, path, f"{name} is not an array of two or more axes")
        notes = [*check_dataset(stored, file, path)]
        step = attribute(stored, SIZE_ATTRIBUTE, path)
        is_given = options.voxel_size_um is not None
        declared = _declared_sizes(stored, path)
        axes = "ZYX" if declared and options.axes is None else _axes(stored, step, options, path)
        shape, dtype = shape_tczyx(axes, stored.shape), stored.dtype.newbyteorder("=")
        plane_nbytes, rows, columns = shape[3] * shape[4] * dtype.itemsize, None, None
        if declared and axes == "ZYX" and declared != stored.shape:
            shape, (rows, columns) = (1, 1, *declared), declared[1:]
            notes.append(f"W-HDF5-PADDED: the array {stored.shape} holds an image of {declared} (ImageSizeZ, Y, X).")
        lengths = {} if is_given else _lengths_um(step, shape[2], path)
    if not lengths and not is_given:
        notes.append(f"W-NO-VOXEL: the array has no attribute {SIZE_ATTRIBUTE}, so the voxel size is unknown.")
    properties = properties_of_axes(shape, axes, lengths_um=lengths, notes=notes)
    return Volume(
        shape=shape,
        dtype=dtype,
        read_planes=Hdf5Planes(stamp, name, axes, plane_nbytes, rows, columns),
        path=path,
        notes=tuple(notes),
        metadata={"dataset": name},
        **said_by_file(properties, {"voxel_size_um": f"HDF5 {name} {SIZE_ATTRIBUTE}"}),
    )


def _choose(file: h5py.File, options: ReadOptions, path: Path) -> str:
    if options.dataset is not None:
        if not has_object(file, options.dataset, path):
            raise _which(file, path, f"has no array {options.dataset!r}")
        return options.dataset
    found = datasets(file, path)
    if len(found) != 1:
        raise _which(file, path, f"holds {len(found) or 'no'} arrays of two or more axes, of integers or floats")
    return next(iter(found))


def _which(file: h5py.File, path: Path, problem: str) -> InputError:
    found = {name: shape for name, shape in datasets(file, path).items() if len(shape) <= len(ORDER)}
    listed = [f'"{name}" {shape}' if " " in name else f"{name} {shape}" for name, shape in found.items()]
    shown = ", ".join(listed[:20]) + (" …" if len(listed) > 20 else "")
    if not listed:
        return InputError("E-HDF5-DATASET", f"{problem}.", path=path, cure="Export the image as integers or floats.")
    missing = MissingFact("dataset", tuple(found), f"with one of: {shown}")
    return InputError("E-HDF5-DATASET", f"{problem}.", path=path, missing=(missing,))


def _axes(stored: h5py.Dataset, step: NDArray[Any] | None, options: ReadOptions, path: Path) -> str:
    """Axes from the user, axistags, dimension labels, or the three numbers of the voxel size."""
    shape = stored.shape
    if options.axes is not None:
        return checked_axes(options.axes, shape, path)
    tags, labels = _axistags(stored, path).upper(), _dimension_labels(stored, path)
    if tags and labels and tags != labels:
        raise ambiguous_axes(shape, path, what=f"its axistags ({tags}) and its DIMENSION_LABELS ({labels}) disagree on")
    if tags or labels:
        return checked_axes(tags or labels, shape, path)
    if len(shape) == 2:
        return "YX"
    if len(shape) == 3 and step is not None and step.size == 3:
        return "ZYX"
    raise ambiguous_axes(shape, path)


def _declared_sizes(stored: h5py.Dataset, path: Path) -> tuple[int, int, int] | None:
    """Size of the image z, y, x by Imaris, whose arrays are padded to whole chunks; ``None`` in other files."""
    if len(stored.shape) != 3:
        return None
    found = []
    for letter, size in zip("ZYX", stored.shape, strict=True):
        text = attribute(stored.parent, f"ImageSize{letter}", path)
        word = "" if text is None else "".join(part.decode() if isinstance(part, bytes) else str(part) for part in text)
        if not (word.isdecimal() and 1 <= int(word) <= size):
            return None
        found.append(int(word))
    return found[0], found[1], found[2]


def _axistags(stored: h5py.Dataset, path: Path) -> str:
    """Keys of ilastik's JSON, e.g. ``zyx``."""
    text = attribute(stored, "axistags", path)
    if text is None:
        return ""
    try:
        return "".join(str(tag["key"]) for tag in json.loads(str(text[0]))["axes"])
    except (ValueError, LookupError, TypeError):  # no axes in it: they are asked for
        return ""


def _dimension_labels(stored: h5py.Dataset, path: Path) -> str:
    labels = attribute(stored, "DIMENSION_LABELS", path)
    letters = [] if labels is None else [str(label).strip().upper() for label in labels]
    return "".join(letters) if letters and all(len(letter) == 1 for letter in letters) else ""


def _lengths_um(step: NDArray[Any] | None, depth: int, path: Path) -> dict[str, float]:
    """Steps z, y, x in µm from the attribute; all zeros mean that nobody knows."""
    if step is None:
        return {}
    sizes = [float(size) for size in step.ravel()[:4]] if step.dtype.kind in "iuf" else []
    axes = "yx" if len(sizes) == 2 and depth == 1 else "zyx"
    if len(sizes) != len(axes):
        raise InputError(
            "E-VOXEL-SIZE",
            f"{SIZE_ATTRIBUTE} is {np.array2string(step, threshold=8)}, not three numbers (z, y, x).",
            path=path,
            cure="And correct the attribute.",
            missing=(MissingFact("voxel_size_um", ("Z Y X",)),),
        )
    return dict(zip(axes, sizes, strict=True)) if any(sizes) else {}


FORMAT = Format("hdf5", (".hdf5", ".h5", ".hdf"), "One array of an HDF5 file", verify, read)
