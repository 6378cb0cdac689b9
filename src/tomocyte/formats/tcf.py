"""Tomocube TCF: refractive-index tomograms and, on their own grids, fluorescence channels (an HDF5 file).

A frame is a dataset or a group of tiles; integers become refractive index as the file's version and scalar type say.
The refractive index opens by default, fluorescence with ``options.dataset = "3DFL/CH0"``. Versions are compared as
numbers: 1.10 is later than 1.3. To support another storage form, return its tiles from :func:`_frame`.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.formats import Format, ReadOptions
from tomocyte.formats._hdf5_safety import attribute, check_dataset, has_object, is_hdf5, object_at, opened
from tomocyte.formats._hostile import PARSER_ERRORS, FileStamp, check_fits_memory, declared_nbytes
from tomocyte.formats._tcf_write import write
from tomocyte.volume import Origin, Volume, VoxelSize

RI_GROUP: Final = "Data/3D"
FLUORESCENCE_GROUP: Final = "Data/3DFL"
INTEGERS_SINCE: Final = (1, 3)
MEDIUM_RI_RANGE: Final = (1.0, 2.0)
Box = tuple[int, int, int]


@dataclass(frozen=True)
class Tile:
    """A box of voxels stored in one dataset.

    Parameters
    ----------
    name : str
        Path of the dataset inside the file.
    start, stop : tuple of 3 int
        First voxel and one past the last, z, y, x.
    """

    name: str
    start: Box
    stop: Box


@dataclass(frozen=True)
class Frame:
    """One time point: ``value = stored / divisor + offset``.

    Parameters
    ----------
    tiles : tuple of Tile
        One for a plain dataset.
    divisor, offset : float
        The scaling of the stored integers; 1 and 0 for values stored as they are.
    """

    tiles: tuple[Tile, ...]
    divisor: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class TcfPlanes:
    """Reader of planes; picklable.

    Parameters
    ----------
    stamp : FileStamp
        The file, as it was when opened.
    frames : tuple of Frame
        One per time point.
    plane_shape : tuple of 2 int
        Y, X.
    dtype : numpy dtype
        Type of the values.
    """

    stamp: FileStamp
    frames: tuple[Frame, ...]
    plane_shape: tuple[int, int]
    dtype: np.dtype[Any]

    def __call__(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:  # noqa: ARG002
        """Planes (z_stop - z_start, Y, X); there is only channel 0."""
        path, wanted = self.stamp.path, self.frames[frame]
        shape = (z_stop - z_start, *self.plane_shape)
        check_fits_memory(math.prod(shape) * self.dtype.itemsize, path=path, what="a read")
        values = np.zeros(shape, dtype=self.dtype)
        with opened(self.stamp, is_kept=True) as file:
            for tile in wanted.tiles:
                low, high = max(z_start, tile.start[0]), min(z_stop, tile.stop[0])
                if low >= high:
                    continue
                stored = object_at(file, tile.name, path)
                rows, columns = (slice(0, tile.stop[axis] - tile.start[axis]) for axis in (1, 2))
                place = (slice(low - z_start, high - z_start), *map(slice, tile.start[1:], tile.stop[1:]))
                values[place] = stored[low - tile.start[0] : high - tile.start[0], rows, columns]
        if wanted.divisor != 1.0:
            values /= self.dtype.type(wanted.divisor)
        if wanted.offset != 0.0:
            values += np.float64(wanted.offset)  # added in float64, rounded once
        return values


def verify(path: Path) -> bool:
    """Whether the file is HDF5 with a format version and image data where TCF keeps them."""
    if not is_hdf5(path):
        return False
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
        found = [_frame(file, f"{name}/{frame}", sizes, version, path) for frame in names]
        dtypes = {dtype for _, dtype, _ in found}
        if len(dtypes) != 1:
            raise _header_error(f"stores its frames as {sorted(map(str, dtypes))}", path)
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
    origin: dict[str, Origin] = {key: "file" for key, value in properties.items() if value is not None}
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


def _header_error(what: str, path: Path, code: str = "E-TCF-HEADER") -> InputError:
    return InputError(code, f"{what}.", path=path, cure="It is damaged or of an unknown kind; export it again.")


def _number(owner: Any, name: str, path: Path) -> float | None:
    """First element of a numeric attribute: TCF stores each as an array of one."""
    values = attribute(owner, name, path)
    if values is None or values.size == 0 or values.dtype.kind not in "biuf":
        return None
    return float(values.ravel()[0])


def _whole(owner: Any, name: str, path: Path) -> int:
    value = _number(owner, name, path)
    if value is None or value != int(value):
        raise _header_error(f"{owner.name} has no whole number {name}", path)
    return int(value)


def _channels(file: h5py.File, path: Path) -> list[str]:
    if not has_object(file, FLUORESCENCE_GROUP, path):
        return []
    names = (str(name) for name in object_at(file, FLUORESCENCE_GROUP, path))
    return sorted(f"3DFL/{name}" for name in names if re.fullmatch(r"CH\d+", name))


def _group_name(file: h5py.File, options: ReadOptions, path: Path) -> str:
    known = (["3D"] if has_object(file, RI_GROUP, path) else []) + _channels(file, path)
    wanted = "3D" if options.dataset is None else options.dataset.strip("/").removeprefix("Data/")
    if wanted not in known:
        raise InputError(
            "E-TCF-DATASET",
            f"holds no image {wanted!r}.",
            path=path,
            cure=f"Name one with --dataset; found: {', '.join(known) or 'none'}.",
        )
    return f"Data/{wanted}"


def _version(file: h5py.File, path: Path) -> tuple[int, ...]:
    """The format version as numbers, so that 1.10 > 1.3."""
    said = attribute(file, "FormatVersion", path)
    text = "" if said is None or said.size == 0 else str(said.ravel()[0]).strip("\0 ")
    if not re.fullmatch(r"\d{1,4}(\.\d{1,4}){0,5}", text):
        raise _header_error(f"has the format version {text!r}", path, "E-TCF-VERSION")
    return tuple(int(part) for part in text.split("."))


def _sizes(owners: list[Any], group: Any, path: Path) -> Box:
    owner = next((each for each in owners if attribute(each, "SizeX", path) is not None), group)
    depth, height, width = (_whole(owner, f"Size{axis}", path) for axis in "ZYX")
    declared_nbytes((depth, height, width), np.uint8, path)
    return depth, height, width


def _frame_names(group: Any, owner: Any, path: Path) -> tuple[str, ...]:
    """000000, 000001, … as many as DataCount says, none missing."""
    names = tuple(sorted(str(name) for name in group if re.fullmatch(r"\d{6}", name)))
    declared = _number(owner, "DataCount", path)
    is_counted = declared is None or len(names) == declared
    if not names or not is_counted or names != tuple(f"{index:06d}" for index in range(len(names))):
        raise _header_error(f"{group.name} declares {declared} frames and holds {len(names)}", path, "E-TCF-TRUNC")
    return names


def _frame(
    file: h5py.File, name: str, sizes: Box, version: tuple[int, ...] | None, path: Path
) -> tuple[Frame, np.dtype[Any], tuple[str, ...]]:
    """One time point, the type of its values, and notes; ``version`` is ``None`` for fluorescence."""
    item = object_at(file, name, path)
    if isinstance(item, h5py.Dataset):
        if item.shape != sizes:
            raise _header_error(f"{name} has the shape {item.shape}, not {sizes} as declared", path, "E-TCF-TRUNC")
        notes = check_dataset(item, file, path)
        divisor, dtype = _scaling(item.dtype, version, path)
        return Frame((Tile(name, (0, 0, 0), sizes),), divisor), dtype, notes
    tiles, stored, notes = _tiles(file, item, sizes, path)
    kind = _whole(item, "ScalarType", path) if version is not None else None
    minimum = _number(item, "RIMin", path)
    if kind is None:
        return Frame(tiles), stored, notes
    if kind == 0 and stored == np.uint16:
        return Frame(tiles, 1e4), np.dtype(np.float32), notes
    if kind == 1 and stored == np.uint8 and minimum is not None and 0 < minimum <= MEDIUM_RI_RANGE[1]:
        return Frame(tiles, 1e3, minimum), np.dtype(np.float32), notes
    raise _header_error(f"{name} has scalar type {kind}, {stored} voxels and the minimum {minimum}", path)


def _scaling(stored: np.dtype[Any], version: tuple[int, ...] | None, path: Path) -> tuple[float, np.dtype[Any]]:
    """Divisor and type of the values of a plain dataset."""
    native = stored.newbyteorder("=")
    if version is None:
        return 1.0, native
    is_integer = stored.kind in "iu"
    if is_integer != (version >= INTEGERS_SINCE):
        shown = ".".join(map(str, version))
        raise _header_error(
            f"says format version {shown} but stores {stored}: the scaling is unknown", path, "E-TCF-VERSION"
        )
    return (1e4, np.dtype(np.float32)) if is_integer else (1.0, native)


def _tiles(
    file: h5py.File, group: h5py.Group, sizes: Box, path: Path
) -> tuple[tuple[Tile, ...], np.dtype[Any], tuple[str, ...]]:
    """Tiles at full sampling; together they must cover the frame."""
    tiles: list[Tile] = []
    notes: list[str] = []
    stored: set[np.dtype[Any]] = set()
    for child in sorted(str(name) for name in group if re.fullmatch(r"TILE_\d+", name)):
        tile = object_at(file, f"{group.name}/{child}", path)
        if _whole(tile, "SamplingStep", path) != 1:
            continue
        start = tuple(_whole(tile, f"DataIndexOffsetPoint{axis}", path) for axis in "ZYX")
        stop = tuple(_whole(tile, f"DataIndexLastPoint{axis}", path) + 1 for axis in "ZYX")  # inclusive in the file
        is_inside = all(0 <= low < high <= size for low, high, size in zip(start, stop, sizes, strict=True))
        notes += check_dataset(tile, file, path)
        is_filled = tile.ndim == 3 and all(
            high - low <= size for low, high, size in zip(start, stop, tile.shape, strict=False)
        )
        if not is_inside or not is_filled:
            raise _header_error(
                f"{tile.name} {tile.shape} does not fit {start} to {stop} in {sizes}", path, "E-TCF-TILES"
            )
        stored.add(tile.dtype.newbyteorder("="))
        tiles.append(Tile(tile.name, (start[0], start[1], start[2]), (stop[0], stop[1], stop[2])))
    if len(stored) != 1 or not _covers(tiles, sizes):
        raise _header_error(f"the {len(tiles)} tiles of {group.name} do not cover {sizes}", path, "E-TCF-TILES")
    return tuple(tiles), stored.pop(), tuple(notes)


def _covers(tiles: list[Tile], sizes: Box) -> bool:
    """Whether every voxel lies in a tile, decided on the grid of all tile borders."""
    cuts = [
        sorted({0, size, *(edge for tile in tiles for edge in (tile.start[axis], tile.stop[axis]))})
        for axis, size in enumerate(sizes)
    ]
    covered = np.zeros([len(edges) - 1 for edges in cuts], dtype=bool)
    for tile in tiles:
        covered[
            tuple(slice(cuts[axis].index(tile.start[axis]), cuts[axis].index(tile.stop[axis])) for axis in range(3))
        ] = True
    return bool(covered.all())


def _voxel_size_um(owners: list[Any], path: Path) -> tuple[VoxelSize | None, tuple[str, ...]]:
    for owner in owners:
        found = [_number(owner, f"Resolution{axis}", path) for axis in "ZYX"]
        if all(size is not None and math.isfinite(size) and size > 0 for size in found):
            depth, height, width = (float(size or 0) for size in found)
            return (depth, height, width), ()
    return None, ("W-NO-VOXEL: ResolutionX, Y and Z are missing or not positive, so the voxel size is unknown.",)


def _times_s(
    group: Any, owners: list[Any], names: tuple[str, ...], path: Path
) -> tuple[tuple[float, ...] | None, tuple[str, ...]]:
    """Each frame's own time; the interval only where frames carry none."""
    found = [_number(group[name], "Time", path) for name in names]
    known = [time for time in found if time is not None and math.isfinite(time)]
    if len(known) == len(names):
        times = tuple(time - known[0] for time in known)
        is_ordered = all(before < after for before, after in itertools.pairwise(times))
        return times, () if is_ordered else ("W-TCF-TIME: the frames' times do not increase.",)
    if len(names) == 1:
        return None, ()
    step = next((value for owner in owners if (value := _number(owner, "TimeInterval", path))), None)
    if step is None or not 0 < step < math.inf:
        return None, ("W-TCF-TIME: frames carry no time.",)
    return tuple(index * step for index in range(len(names))), (
        "W-TCF-TIME: frames carry no time of their own; the file's interval was used.",
    )


def _medium_ri(file: h5py.File, path: Path) -> tuple[float | None, tuple[str, ...]]:
    value = _number(object_at(file, "Info/Device", path), "RI", path) if has_object(file, "Info/Device", path) else None
    if value is None or value == 0:
        return None, ()
    if not MEDIUM_RI_RANGE[0] <= value <= MEDIUM_RI_RANGE[1]:
        return None, (f"W-TCF-MEDIUM: the medium's refractive index {value:g} is not usable.",)
    return value, ()


def _metadata(file: h5py.File, group: Any, path: Path) -> dict[str, Any]:
    """What else the file says, for provenance: device, registration and position of fluorescence."""
    said: dict[str, Any] = {"dataset": str(group.name), "fluorescence": tuple(_channels(file, path))}
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
            said |= {
                name: value.ravel()[0].item() if value.dtype.kind != "U" else str(value.ravel()[0])
                for name, value in values.items()
                if value is not None and value.size
            }
    return said


FORMAT = Format("tcf", (".tcf",), "Tomocube TCF: refractive index and fluorescence", verify, read, write)
