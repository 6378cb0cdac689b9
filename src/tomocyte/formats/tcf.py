"""Tomocube TCF: refractive-index tomograms and, on their own grids, fluorescence channels (an HDF5 file).

A frame is a dataset or a group of tiles; integers become refractive index as the file's version and scalar type say.
The refractive index opens by default, fluorescence with ``options.dataset = "3DFL/CH0"``. Versions are compared as
numbers: 1.10 is later than 1.3. To support another storage form, return its tiles from ``_tcf_frames.read_frame``.
"""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from tomocyte.errors import InputError
from tomocyte.formats import Format, ReadOptions
from tomocyte.formats._hdf5_safety import attribute, has_object, is_hdf5, object_at, opened
from tomocyte.formats._hostile import PARSER_ERRORS, FileStamp, declared_nbytes
from tomocyte.formats._tcf_frames import Box, TcfPlanes, header_error, number, read_frame, whole_number
from tomocyte.formats._tcf_write import write
from tomocyte.volume import Origin, Volume, VoxelSize

RI_GROUP: Final = "Data/3D"
FLUORESCENCE_GROUP: Final = "Data/3DFL"
MEDIUM_RI_RANGE: Final = (1.0, 2.0)


def verify(path: Path) -> bool:
    """Whether the file is HDF5 that is called .tcf, or has a format version and image data where TCF keeps them."""
    if not is_hdf5(path):
        return False
    if path.name.lower().endswith(".tcf"):  # damaged or not, this reader knows best what is wrong with it
        return True
    try:
        with opened(FileStamp.of(path)) as file:
            is_named = attribute(file, "FormatVersion", path) is not None
            return is_named and (has_object(file, RI_GROUP, path) or has_object(file, FLUORESCENCE_GROUP, path))
    except PARSER_ERRORS:
        return False


def read(path: Path, options: ReadOptions) -> Volume:
    """Open a TCF file lazily.

    Parameters
    ----------
    path : Path
        A TCF file.
    options : ReadOptions
        ``dataset``: nothing or ``"3D"`` for the refractive index, ``"3DFL/CH0"`` … for a fluorescence channel.

    Returns
    -------
    Volume
        ``refractive_index`` in unit ``1`` (float32 where integers are stored), with the medium's refractive index and
        the channels of fluorescence listed in ``metadata["fluorescence"]``; or ``intensity`` as stored, on its own
        grid.

    Raises
    ------
    InputError
        ``E-TCF-DATASET``, ``E-TCF-VERSION``, ``E-TCF-HEADER``, ``E-TCF-TRUNC``, ``E-TCF-TILES``, ``E-HDF5-…``.
    """
    stamp = FileStamp.of(path)
    with opened(stamp) as file:
        name = _group_name(file, options, path)
        is_ri = name == RI_GROUP
        group = object_at(file, name, path)
        owners = [group] if is_ri else [group, object_at(file, FLUORESCENCE_GROUP, path)]
        sizes = _sizes(owners, group, path)
        names = _frame_names(group, owners[0], path)
        version = _version(file, path) if is_ri else None
        found = [read_frame(file, f"{name}/{frame}", sizes, version, path) for frame in names]
        dtypes = {dtype for _, dtype, _ in found}
        if len(dtypes) != 1:
            raise header_error(f"stores its frames as {sorted(map(str, dtypes))}", path)
        size, notes = _voxel_size_um(owners, path)
        if options.voxel_size_um is not None:
            size, notes = None, ()
        times, time_notes = _times_s(group, owners, names, path)
        medium, medium_notes = _medium_ri(file, path)
        metadata = _metadata(file, group, path)
    notes = (
        *notes,
        *time_notes,
        *(medium_notes if is_ri else ()),
        *dict.fromkeys(itertools.chain(*(n for *_, n in found))),
    )
    properties = {"voxel_size_um": size, "time_s": times, "medium_ri": medium}
    source: Origin = "simulated" if metadata.get("DeviceModelType") in ("simulated", b"simulated") else "file"
    origin: dict[str, Origin] = {key: source for key, value in properties.items() if value is not None}
    (dtype,) = dtypes
    return Volume(
        shape=(len(names), 1, *sizes),
        dtype=dtype,
        read_planes=TcfPlanes(stamp, tuple(frame for frame, *_ in found), sizes[1:], dtype),
        voxel_size_um=size,
        quantity="refractive_index" if is_ri else "intensity",
        unit="1" if is_ri else "",
        time_s=times,
        channel_names=() if is_ri else (name.rsplit("/", 1)[-1],),
        medium_ri=medium,
        origin=origin,
        path=path,
        notes=notes,
        metadata=metadata,
    )


def _channels(file: h5py.File, path: Path) -> list[str]:
    if not has_object(file, FLUORESCENCE_GROUP, path):
        return []
    names = (str(name) for name in object_at(file, FLUORESCENCE_GROUP, path))
    return sorted(f"3DFL/{name}" for name in names if re.fullmatch(r"CH\d+", name))


def _group_name(file: h5py.File, options: ReadOptions, path: Path) -> str:
    names = (["3D"] if has_object(file, RI_GROUP, path) else []) + _channels(file, path)
    wanted = "3D" if options.dataset is None else options.dataset.strip("/").removeprefix("Data/")
    if wanted not in names:
        raise InputError(
            "E-TCF-DATASET",
            f"holds no image {wanted!r}.",
            path=path,
            cure=f"Name one with --dataset; found: {', '.join(names) or 'none'}.",
        )
    return f"Data/{wanted}"


def _version(file: h5py.File, path: Path) -> tuple[int, ...]:
    """The format version as numbers, so that 1.10 > 1.3."""
    version = attribute(file, "FormatVersion", path)
    text = "" if version is None or version.size == 0 else str(version.ravel()[0]).strip("\0 ")
    if not re.fullmatch(r"\d{1,4}(\.\d{1,4}){0,5}", text):
        raise header_error(f"has the format version {text!r}", path, "E-TCF-VERSION")
    return tuple(int(part) for part in text.split("."))


def _sizes(owners: list[Any], group: Any, path: Path) -> Box:
    owner = next((each for each in owners if attribute(each, "SizeX", path) is not None), group)
    depth, height, width = (whole_number(owner, f"Size{axis}", path) for axis in "ZYX")
    declared_nbytes((depth, height, width), np.uint8, path)
    return depth, height, width


def _frame_names(group: Any, owner: Any, path: Path) -> tuple[str, ...]:
    """000000, 000001, … as many as DataCount says, none missing."""
    names = tuple(sorted(str(name) for name in group if re.fullmatch(r"\d{6}", name)))
    declared = number(owner, "DataCount", path)
    is_counted = declared is None or len(names) == declared
    if not names or not is_counted or names != tuple(f"{index:06d}" for index in range(len(names))):
        raise header_error(f"{group.name} declares {declared} frames and holds {len(names)}", path, "E-TCF-TRUNC")
    return names


def _voxel_size_um(owners: list[Any], path: Path) -> tuple[VoxelSize | None, tuple[str, ...]]:
    for owner in owners:
        found = [number(owner, f"Resolution{axis}", path) for axis in "ZYX"]
        if all(size is not None and math.isfinite(size) and size > 0 for size in found):
            depth, height, width = (float(size or 0) for size in found)
            return (depth, height, width), ()
    return None, ("W-NO-VOXEL: ResolutionX, Y and Z are missing or not positive, so the voxel size is unknown.",)


def _times_s(
    group: Any, owners: list[Any], names: tuple[str, ...], path: Path
) -> tuple[tuple[float, ...] | None, tuple[str, ...]]:
    """Each frame's own time; the interval only where frames carry none."""
    found = [number(group[name], "Time", path) for name in names]
    valid_times = [time for time in found if time is not None and math.isfinite(time)]
    if len(valid_times) == len(names):
        times = tuple(time - valid_times[0] for time in valid_times)
        is_ordered = all(before < after for before, after in itertools.pairwise(times))
        return times, () if is_ordered else ("W-TCF-TIME: the frames' times do not increase.",)
    if len(names) == 1:
        return None, ()
    step = next((value for owner in owners if (value := number(owner, "TimeInterval", path))), None)
    if step is None or not 0 < step < math.inf:
        return None, ("W-TCF-TIME: frames have no time.",)
    return tuple(index * step for index in range(len(names))), (
        "W-TCF-TIME: frames have no time of their own; the file's interval was used.",
    )


def _medium_ri(file: h5py.File, path: Path) -> tuple[float | None, tuple[str, ...]]:
    value = number(object_at(file, "Info/Device", path), "RI", path) if has_object(file, "Info/Device", path) else None
    if value is None or value == 0:
        return None, ()
    if not MEDIUM_RI_RANGE[0] <= value <= MEDIUM_RI_RANGE[1]:
        return None, (f"W-TCF-MEDIUM: the medium's refractive index {value:g} is not usable.",)
    return value, ()


def _metadata(file: h5py.File, group: Any, path: Path) -> dict[str, Any]:
    """What else the file says, for provenance: device, registration and position of fluorescence."""
    metadata: dict[str, Any] = {"dataset": str(group.name), "fluorescence": tuple(_channels(file, path))}
    wanted = {
        "/": ("FormatVersion", "RecordingTime", "Title", "DeviceModelType", "SoftwareVersion"),
        "Info/Device": ("Magnification", "NA", "Wavelength", "Iteration"),
        "Info/MetaData/FL/Registration": ("Rotation", "Scale", "TranslationX", "TranslationY"),
        group.name: ("OffsetZ", "RIMin", "RIMax"),
    }
    for place, names in wanted.items():
        if has_object(file, place, path):
            owner = object_at(file, place, path)
            values = {name: attribute(owner, name, path) for name in names}
            metadata |= {
                name: value.ravel()[0].item() if value.dtype.kind != "U" else str(value.ravel()[0])
                for name, value in values.items()
                if value is not None and value.size
            }
    return metadata


FORMAT = Format("tcf", (".tcf",), "Tomocube TCF: refractive index and fluorescence", verify, read, write)
