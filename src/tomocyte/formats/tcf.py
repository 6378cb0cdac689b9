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

from tomocyte.errors import InputError, MissingFact
from tomocyte.formats import Format, ReadOptions
from tomocyte.formats._axes import properties_of_axes, said_by_file
from tomocyte.formats._extra import agreed
from tomocyte.formats._hdf5_safety import attribute, has_object, is_hdf5, object_at, opened
from tomocyte.formats._hostile import PARSER_ERRORS, FileStamp, declared_nbytes
from tomocyte.formats._lengths import is_same_size
from tomocyte.formats._tcf_frames import Box, TcfPlanes, header_error, number, read_frame, whole_number
from tomocyte.formats._tcf_write import write
from tomocyte.volume import CHOICES, Volume

RI_GROUP: Final = "Data/3D"
FLUORESCENCE_GROUP: Final = "Data/3DFL"
PROJECTION_GROUP: Final = "Data/2DMIP"
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
    notes: list[str] = []
    with opened(stamp) as file:
        name = _group_name(file, options, path)
        is_ri = name == RI_GROUP
        group = object_at(file, name, path)
        owners = [group] if is_ri else [group, object_at(file, FLUORESCENCE_GROUP, path)]
        sizes = _sizes(owners, group, path)
        names = _frame_names(group, owners[0], path, notes)
        version = _version(file, path) if is_ri else None
        found = [read_frame(file, f"{name}/{frame}", sizes, version, path) for frame in names]
        dtypes = {dtype for _, dtype, _ in found}
        if len(dtypes) != 1:
            raise header_error(f"stores its frames as {sorted(map(str, dtypes))}", path)
        lengths, length_field = ({}, "") if options.voxel_size_um is not None else _lengths_um(owners, path, notes)
        times, time_field = _times_s(group, owners, names, path, notes)
        medium = _medium_ri(file, path, notes if is_ri else [])
        notes += _other_statements(file, owners, sizes, lengths, path)
        metadata = _metadata(file, group, path)
    notes += dict.fromkeys(itertools.chain(*(n for *_, n in found)))
    (dtype,) = dtypes
    properties = properties_of_axes(
        (len(names), 1, *sizes),
        "TZYX",
        lengths_um=lengths,
        times_s=times,
        channel_names=() if is_ri else (name.rsplit("/", 1)[-1],),
        notes=notes,
    ) | {
        "quantity": "refractive_index" if is_ri else "intensity",
        "unit": "1" if is_ri else "",
        "medium_ri": medium,
        "instrument": _device(metadata) if is_ri else "",
    }
    fields = {
        "voxel_size_um": length_field,
        "time_s": time_field,
        "medium_ri": "TCF Info/Device RI",
        "instrument": "TCF DeviceModelType",
        **dict.fromkeys(("quantity", "unit", "channel_names"), f"TCF {name}"),
    }
    is_simulated = metadata.get("DeviceModelType") in ("simulated", b"simulated")
    return Volume(
        shape=(len(names), 1, *sizes),
        dtype=dtype,
        read_planes=TcfPlanes(stamp, tuple(frame for frame, *_ in found), sizes[1:], dtype),
        path=path,
        notes=tuple(notes),
        metadata=metadata,
        **said_by_file(properties, fields, simulated=properties if is_simulated else ()),
    )


def _device(metadata: dict[str, Any]) -> str:
    """The device, where the file names one; what the program writes itself are no names."""
    name = metadata.get("DeviceModelType", "")
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
    return "" if text.strip() in ("simulated", "unknown") else text.strip()


def _channels(file: h5py.File, path: Path) -> list[str]:
    if not has_object(file, FLUORESCENCE_GROUP, path):
        return []
    names = (str(name) for name in object_at(file, FLUORESCENCE_GROUP, path))
    return sorted(f"3DFL/{name}" for name in names if re.fullmatch(r"CH\d+", name))


def _group_name(file: h5py.File, options: ReadOptions, path: Path) -> str:
    names = (["3D"] if has_object(file, RI_GROUP, path) else []) + _channels(file, path)
    if not names:
        raise header_error(f"has neither {RI_GROUP} nor channels in {FLUORESCENCE_GROUP}", path)
    wanted = "3D" if options.dataset is None else options.dataset.strip("/").removeprefix("Data/")
    if wanted not in names:
        raise InputError(
            "E-TCF-DATASET",
            f"holds no image {wanted!r}.",
            path=path,
            missing=(MissingFact("dataset", tuple(names), f"with one of: {', '.join(names)}"),),
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


def _frame_names(group: Any, owner: Any, path: Path, notes: list[str]) -> tuple[str, ...]:
    """000000, 000001, … none missing; more than DataCount says are all read, with a note."""
    names = tuple(sorted(str(name) for name in group if re.fullmatch(r"\d{6}", name)))
    declared = number(owner, "DataCount", path)
    count = len(names) if declared is None else declared
    if not names or len(names) < count or names != tuple(f"{index:06d}" for index in range(len(names))):
        raise header_error(f"{group.name} declares {count:.15g} frames and holds {len(names)}", path, "E-TCF-TRUNC")
    if len(names) > count:
        notes.append(
            f"W-TCF-COUNT: {group.name} declares {count:.15g} frames and holds {len(names)} whole ones; all are read."
        )
    return names


def _lengths_um(owners: list[Any], path: Path, notes: list[str]) -> tuple[dict[str, float], str]:
    """Steps z, y, x in µm on which the group, and that of all channels, agree; and the field."""
    lengths: dict[str, float] = {}
    for axis in "zyx":
        field = f"Resolution{axis.upper()}"
        length, _ = agreed(axis, {f"{owner.name} {field}": number(owner, field, path) for owner in owners}, notes)
        if length is not None:
            lengths[axis] = length
    if len(lengths) < 3:
        notes.append("W-NO-VOXEL: ResolutionX, Y and Z give no usable length, so the voxel size is unknown.")
        return {}, ""
    owner = next(each for each in owners if number(each, "ResolutionX", path))
    return lengths, f"TCF {owner.name.strip('/')} ResolutionZ, Y, X"


def _other_statements(
    file: h5py.File, owners: list[Any], sizes: Box, lengths: dict[str, float], path: Path
) -> list[str]:
    """Notes on what the file says once more and differently; the array and its own group are believed."""
    notes = []
    others = owners[1:]
    if owners[0].name.strip("/") == RI_GROUP and has_object(file, PROJECTION_GROUP, path):
        others = [object_at(file, PROJECTION_GROUP, path)]
    for owner in others:
        for axis, size in zip("ZYX", sizes, strict=True):
            stated = number(owner, f"Size{axis}", path)
            if stated is not None and stated != size:
                notes.append(f"W-TCF-SIZE: {owner.name} Size{axis} is {stated:.15g}; the array has {size}.")
            length = number(owner, f"Resolution{axis}", path)
            own = lengths.get(axis.lower())
            if owner not in owners and own and length and length > 0 and not is_same_size(own, length):
                notes.append(f"W-TCF-SIZE: {owner.name} Resolution{axis} is {length:g} µm; {own:g} µm is used.")
    stated = number(owners[-1], "Channels", path) if others == owners[1:] else None
    n_channels = len(_channels(file, path))
    if stated is not None and stated != n_channels:
        notes.append(f"W-TCF-COUNT: {owners[-1].name} declares {stated:.15g} channels and holds {n_channels}.")
    return notes


def _times_s(
    group: Any, owners: list[Any], names: tuple[str, ...], path: Path, notes: list[str]
) -> tuple[tuple[float, ...] | None, str]:
    """Each frame's own time, or the interval where frames carry none; and the field."""
    found = [number(group[name], "Time", path) for name in names]
    own = [time for time in found if time is not None and math.isfinite(time)]
    intervals = {owner.name: number(owner, "TimeInterval", path) for owner in owners}
    place, step = next(((name, value) for name, value in intervals.items() if value), ("", None))
    is_step = step is not None and 0 < step < math.inf
    if len(own) == len(names):
        times = tuple(time - own[0] for time in own)
        if any(after <= before for before, after in itertools.pairwise(times)):
            notes.append("W-TCF-TIME: the frames' times do not increase.")
        elif step is not None and is_step and len(times) > 1:
            mean = times[-1] / (len(times) - 1)
            if not is_same_size(mean, step):
                notes.append(
                    f"W-TCF-TIME: TimeInterval is {step:g} s, and the frames' own times lie {mean:g} s apart; these "
                    "are used."
                )
        return times, "TCF Time of each frame"
    if len(names) == 1:
        return None, ""
    if step is None or not is_step:
        notes.append("W-TCF-TIME: frames have no time.")
        return None, ""
    notes.append("W-TCF-TIME: frames have no time of their own; the file's interval was used.")
    return tuple(index * step for index in range(len(names))), f"TCF {place.strip('/')} TimeInterval"


def _medium_ri(file: h5py.File, path: Path, notes: list[str]) -> float | None:
    value = number(object_at(file, "Info/Device", path), "RI", path) if has_object(file, "Info/Device", path) else None
    if value is None or value == 0:
        return None
    if not MEDIUM_RI_RANGE[0] <= value <= MEDIUM_RI_RANGE[1]:
        notes.append(f"W-TCF-MEDIUM: the medium's refractive index {value:g} is not usable.")
        return None
    return value


def _metadata(file: h5py.File, group: Any, path: Path) -> dict[str, Any]:
    """What else the file says, for provenance: device, registration and position of fluorescence."""
    fluorescence = tuple(_channels(file, path))
    metadata: dict[str, Any] = {"dataset": str(group.name), "fluorescence": fluorescence}
    if fluorescence and has_object(file, RI_GROUP, path):
        metadata[CHOICES] = ("3D", *fluorescence)
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
