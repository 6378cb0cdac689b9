"""Frames of a TCF file: plain datasets and tiles, and how their integers become refractive index.

Everything the file declares about a frame is checked when it is opened; voxels are read plane by plane. To support
another storage form, return its tiles from :func:`read_frame`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.formats._hdf5_safety import attribute, cached_file, check_dataset, object_at
from tomocyte.formats._hostile import FileStamp, check_fits_memory

INTEGERS_SINCE: Final = (1, 3)
LARGEST_RI: Final = 2.0
SLAB: Final = 16
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
        with cached_file(self.stamp) as file:
            for tile in wanted.tiles:
                low, high = max(z_start, tile.start[0]), min(z_stop, tile.stop[0])
                if low >= high:
                    continue
                stored = file.dataset(tile.name)
                rows, columns = (slice(0, tile.stop[axis] - tile.start[axis]) for axis in (1, 2))
                for first in range(low, high, SLAB):  # small pieces: no second copy of the whole frame
                    last = min(first + SLAB, high)
                    place = (slice(first - z_start, last - z_start), *map(slice, tile.start[1:], tile.stop[1:]))
                    values[place] = stored[first - tile.start[0] : last - tile.start[0], rows, columns]
        if wanted.divisor != 1.0:
            values /= self.dtype.type(wanted.divisor)
        if wanted.offset != 0.0:
            values += np.float64(wanted.offset)  # added in float64, rounded once
        return values


def header_error(what: str, path: Path, code: str = "E-TCF-HEADER") -> InputError:
    return InputError(code, f"{what}.", path=path, cure="It is damaged or of an unknown kind; export it again.")


def number(owner: Any, name: str, path: Path) -> float | None:
    """First element of a numeric attribute: TCF stores each as an array of one."""
    values = attribute(owner, name, path)
    if values is None or values.size == 0 or values.dtype.kind not in "biuf":
        return None
    return float(values.ravel()[0])


def whole_number(owner: Any, name: str, path: Path) -> int:
    value = number(owner, name, path)
    if value is None or value != int(value):
        raise header_error(f"{owner.name} has no whole number {name}", path)
    return int(value)


def read_frame(
    file: h5py.File, name: str, sizes: Box, version: tuple[int, ...] | None, path: Path
) -> tuple[Frame, np.dtype[Any], tuple[str, ...]]:
    """One time point, the type of its values, and notes; ``version`` is ``None`` for fluorescence."""
    item = object_at(file, name, path)
    if isinstance(item, h5py.Dataset):
        if item.shape != sizes:
            raise header_error(f"{name} has the shape {item.shape}, not {sizes} as declared", path, "E-TCF-TRUNC")
        notes = check_dataset(item, file, path)
        divisor, dtype = _scaling(item.dtype, version, path)
        return Frame((Tile(name, (0, 0, 0), sizes),), divisor), dtype, notes
    tiles, stored, notes = _tiles(file, item, sizes, path)
    kind = whole_number(item, "ScalarType", path) if version is not None else None
    minimum = number(item, "RIMin", path)
    if kind is None:
        return Frame(tiles), stored, notes
    if kind == 0 and stored == np.uint16:
        return Frame(tiles, 1e4), np.dtype(np.float32), notes
    if kind == 1 and stored == np.uint8 and minimum is not None and 0 < minimum <= LARGEST_RI:
        return Frame(tiles, 1e3, minimum), np.dtype(np.float32), notes
    raise header_error(f"{name} has scalar type {kind}, {stored} voxels and the minimum {minimum}", path)


def _scaling(stored: np.dtype[Any], version: tuple[int, ...] | None, path: Path) -> tuple[float, np.dtype[Any]]:
    """Divisor and type of the values of a plain dataset."""
    native = stored.newbyteorder("=")
    if version is None:
        return 1.0, native
    is_integer = stored.kind in "iu"
    if is_integer != (version >= INTEGERS_SINCE):
        shown = ".".join(map(str, version))
        raise header_error(
            f"says format version {shown} but stores {stored}: the scaling is unknown", path, "E-TCF-VERSION"
        )
    if is_integer and np.iinfo(native).max < 1e4:  # no refractive index is below 1
        raise header_error(f"stores {stored}, which cannot hold refractive index in steps of 0.0001", path)
    return (1e4, np.dtype(np.float32)) if is_integer else (1.0, native)


def _tiles(
    file: h5py.File, group: h5py.Group, sizes: Box, path: Path
) -> tuple[tuple[Tile, ...], np.dtype[Any], tuple[str, ...]]:
    """Tiles at full sampling; together they must cover the frame."""
    tiles: list[Tile] = []
    stored: set[np.dtype[Any]] = set()
    children = sorted(str(name) for name in group if re.fullmatch(r"TILE_\d+", name))
    notes = [
        f"W-TCF-SIZE: {group.name} DataSize{axis} is {stated:.15g}; its tiles cover {size}."
        for axis, size in zip("ZYX", sizes, strict=True)
        if (stated := number(group, f"DataSize{axis}", path)) not in (None, size)
    ]
    if (declared := number(group, "NumberOfTiles", path)) not in (None, len(children)):
        notes.append(f"W-TCF-COUNT: {group.name} declares {declared:.15g} tiles and holds {len(children)}.")
    for child in children:
        tile = object_at(file, f"{group.name}/{child}", path)
        if whole_number(tile, "SamplingStep", path) != 1:
            continue
        start = tuple(whole_number(tile, f"DataIndexOffsetPoint{axis}", path) for axis in "ZYX")
        last = tuple(whole_number(tile, f"DataIndexLastPoint{axis}", path) for axis in "ZYX")
        stop = tuple(each + 1 for each in last)  # the last point belongs to the tile
        is_inside = all(0 <= low < high <= size for low, high, size in zip(start, stop, sizes, strict=True))
        notes += check_dataset(tile, file, path)
        is_filled = tile.ndim == 3 and all(
            high - low <= size for low, high, size in zip(start, stop, tile.shape, strict=False)
        )
        if not is_inside or not is_filled:
            raise header_error(
                f"{tile.name} {tile.shape} does not fit {start} to {stop} in {sizes}", path, "E-TCF-TILES"
            )
        stored.add(tile.dtype.newbyteorder("="))
        tiles.append(Tile(tile.name, (start[0], start[1], start[2]), (stop[0], stop[1], stop[2])))
    if len(stored) != 1 or not _covers(tiles, sizes):
        raise header_error(f"the {len(tiles)} tiles of {group.name} do not cover {sizes}", path, "E-TCF-TILES")
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
