"""A folder of numbered planes or frames, seen as one volume.

Files are 2-D TIFF or PNG images (planes) or TIFF stacks (frames) with one name apart from its numbers, such as
``cell_t003_z012_c1.tif``. Tokens say what a number counts; a bare number is ambiguous and needs ``--axes``. To
understand another token, add it to ``TOKENS``; to read planes of another type, add a case to :func:`_open_file`.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError, MetadataError, MissingFact
from tomocyte.formats import Format, ReadOptions
from tomocyte.formats.png import read_png
from tomocyte.formats.tiff import files_of_sets, is_ome_tiff, read_tiff
from tomocyte.names import is_hidden
from tomocyte.volume import ReadPlanes, Volume, VoxelSize

SUFFIXES = (".ome.tiff", ".ome.tif", ".tiff", ".tif", ".png")
CONTAINER_MARKS = ("zarr.json", ".zgroup", ".zarray", ".zattrs", "NDTiff.index", "man_track.txt", "res_track.txt")
TOKENS = {
    "t": "T", "time": "T", "timepoint": "T", "frame": "T",
    "z": "Z", "slice": "Z", "plane": "Z", "section": "Z",
    "c": "C", "ch": "C", "chan": "C", "channel": "C",
}  # fmt: skip

MOST_CHANNELS = 32
"""More files than this that only a ``c`` numbers are not taken for channels."""

_TOKEN = "|".join(f"{name}[ _-]?" if len(name) > 3 else name for name in sorted(TOKENS, key=len, reverse=True))
_NUMBER = re.compile(rf"(?:(?<![a-z])({_TOKEN}))?(?<![0-9])([0-9]+)", re.IGNORECASE)
_TOKEN_END = re.compile(rf"$|[^A-Za-z0-9]|(?:{_TOKEN})[0-9]", re.IGNORECASE)


@dataclass(frozen=True)
class NumberedFile:
    """One file of the folder.

    Parameters
    ----------
    path : Path
        The file.
    skeleton : str
        Its name with every number replaced, equal for all files of a volume.
    numbers : tuple of (str, int)
        Each number with the axis that its token names, or ``""``.
    """

    path: Path
    skeleton: str
    numbers: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, path: Path) -> NumberedFile | None:
        """The file if it is an image, else ``None``."""
        name = path.name
        suffix = next((ending for ending in SUFFIXES if name.lower().endswith(ending)), None)
        if suffix is None or is_hidden(name):
            return None
        stem = name[: -len(suffix)]
        numbers, skeleton, last = [], "", 0
        for match in _NUMBER.finditer(stem):
            is_token = match[1] is not None and _TOKEN_END.match(stem, match.end()) is not None
            numbers.append((TOKENS[match[1].lower().rstrip(" _-")] if is_token else "", int(match[2])))
            skeleton += stem[last : match.start(2)].lower() + "#"
            last = match.end()
        return cls(path, skeleton + stem[last:].lower() + suffix, tuple(numbers))


def _listed(path: Path) -> list[NumberedFile]:
    found = (NumberedFile.of(entry) for entry in sorted(path.iterdir(), key=lambda entry: entry.name))
    return [entry for entry in found if entry is not None and entry.path.is_file()]


def verify(path: Path) -> bool:
    """Whether the folder holds at least two images whose names differ only in numbers, and no others; never raises."""
    try:
        if not path.is_dir() or any((path / mark).exists() for mark in CONTAINER_MARKS):
            return False
        files = _listed(path)
    except OSError:
        return False
    return len(files) > 1 and len({entry.skeleton for entry in files}) == 1 and bool(files[0].numbers)


@dataclass(frozen=True, eq=False)
class ReadFolderPlanes:
    """``read_planes`` of a folder.

    Parameters
    ----------
    readers : tuple of callable
        ``read_planes`` of each file.
    table : ndarray (T, C, Z), int64
        Index into ``readers``; an axis that lies within the files has length 1.
    numbered : str
        The axes that the file names count, of ``TCZ``.
    plane_shape : tuple of 2 int
        Y, X.
    dtype : numpy dtype
        As returned.
    """

    readers: tuple[ReadPlanes, ...]
    table: NDArray[np.int64]
    numbered: str
    plane_shape: tuple[int, int]
    dtype: np.dtype[Any]

    def __call__(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Voxels (z_stop - z_start, Y, X)."""
        row = self.table[frame if "T" in self.numbered else 0, channel if "C" in self.numbered else 0]
        inner = (0 if "T" in self.numbered else frame, 0 if "C" in self.numbered else channel)
        if "Z" not in self.numbered:
            return self.readers[int(row[0])](*inner, z_start, z_stop)
        voxels = np.empty((z_stop - z_start, *self.plane_shape), dtype=self.dtype)
        for plane, index in enumerate(row[z_start:z_stop].tolist()):
            voxels[plane] = self.readers[index](*inner, 0, 1)[0]
        return voxels


def read_folder(path: Path, options: ReadOptions) -> Volume:
    """Open a folder of numbered planes or frames lazily.

    Parameters
    ----------
    path : Path
        The folder.
    options : ReadOptions
        ``axes``: the axes of the whole volume, the numbered one first; needed when the names hold a bare number.

    Returns
    -------
    Volume
        Files in the order of their numbers. The voxel size is the files', if they agree.

    Raises
    ------
    InputError
        ``E-FOLDER-GAP`` for a missing number, ``E-FOLDER-MIXED`` for files of different name, shape or type, and
        whatever a file raises.
    MetadataError
        ``E-AXES`` for a bare number.
    """
    files = _listed(path)
    if len(files) < 2 or len({entry.skeleton for entry in files}) > 1:
        raise _mixed(path, f"{len(files)} images whose names differ in more than numbers")
    return read_numbered(files, options, path)


def read_numbered(files: Sequence[NumberedFile], options: ReadOptions, path: Path) -> Volume:
    """Open numbered files of a folder lazily, as :func:`read_folder` does with all of them; one file is a frame.

    Parameters
    ----------
    files : sequence of NumberedFile
        Of one skeleton.
    options : ReadOptions
    path : Path
        The folder.

    Returns
    -------
    Volume
    """
    (parts,) = files_of_sets([files[0].path])
    if len(parts) > 1:
        if {entry.path.resolve() for entry in files} - set(parts):
            raise _mixed(path, f"an OME-TIFF set of {len(parts)} files among {len(files)}")
        return read_tiff(files[0].path, options)
    axes, keys = _counted(files, options, path=path)
    table, order = _arranged(axes, keys, path)
    inner = None if options.axes is None else "".join(letter for letter in options.axes.upper() if letter not in axes)
    volumes = [_open_file(files[index].path, replace(options, axes=inner)) for index in order]
    first = volumes[0]
    for volume in volumes:
        if volume.shape != first.shape or volume.dtype != first.dtype:
            shown = f"{volume.shape} {volume.dtype} beside {first.shape} {first.dtype}"
            raise _mixed(volume.path or path, f"files of different shape or type: {shown}")
    sizes = dict(zip("TCZ", first.shape, strict=False))
    doubled = [axis for axis in axes if sizes[axis] > 1]
    if doubled:
        raise _mixed(path, f"files that are numbered along {doubled[0]} and hold {sizes[doubled[0]]} of them each")
    return _volume(volumes, table, axes, path)


def _counted(files: Sequence[NumberedFile], options: ReadOptions, *, path: Path) -> tuple[str, list[tuple[int, ...]]]:
    """The axes that the names count, and each file's numbers along them."""
    places = range(len(files[0].numbers))
    changing = [place for place in places if len({entry.numbers[place][1] for entry in files}) > 1]
    changing = changing or list(places)[-1:] * (len(files) == 1)
    axes = [files[0].numbers[place][0] for place in changing]
    if axes == ["C"] and "C" not in (options.axes or "").upper():
        _refuse_items(files, path)
    if axes.count("") == 1:
        given_axes = [letter for letter in (options.axes or "").upper() if letter not in axes]
        if not given_axes or given_axes[0] not in "TCZ":
            name = files[0].path.name
            raise MetadataError(
                "E-AXES",
                f"{len(files)} numbered files such as {name!r}: the names do not show what the number counts.",
                path=path,
                cure="ZYX: the files are planes; TYX: frames. Or give the files themselves as inputs.",
                missing=(MissingFact("axes", ("ZYX", "TYX")),),
            )
        axes[axes.index("")] = given_axes[0]
    if not axes or "" in axes or len(set(axes)) < len(axes):
        raise _mixed(path, f"names with {len(axes)} changing numbers, such as {files[0].path.name!r}")
    return "".join(axes), [tuple(entry.numbers[place][1] for place in changing) for entry in files]


def _refuse_items(files: Sequence[NumberedFile], path: Path) -> None:
    """Raise unless files that only a ``c`` numbers can be channels: ``c000.ome.tif`` is as likely cell 0.

    An OME-TIFF lists its channels itself, and so many channels has no microscope.
    """
    first = files[0].path
    if len(files) > MOST_CHANNELS or is_ome_tiff(first):
        raise MetadataError(
            "E-AXES",
            f"{len(files)} files such as {first.name!r}: each is an image of its own, or a channel of one.",
            path=path,
            cure="CYX: they are planes, one channel each; CZYX: stacks. Or else give the files themselves as inputs.",
            missing=(MissingFact("axes", ("CYX", "CZYX")),),
        )


def _arranged(axes: str, keys: list[tuple[int, ...]], path: Path) -> tuple[NDArray[np.int64], list[int]]:
    """Table (T, C, Z) into the list of files in order; every combination of numbers must be there once."""
    values = [sorted({key[place] for key in keys}) for place in range(len(axes))]
    for axis, numbers in zip(axes, values, strict=True):
        missing = sorted(set(range(numbers[0], min(numbers[-1], numbers[0] + len(numbers)) + 1)) - set(numbers))
        if missing:
            raise _gap(path, f"{axis} {missing[0]} is missing between {numbers[0]} and {numbers[-1]}")
    place_of = dict(zip(keys, range(len(keys)), strict=True))
    if len(place_of) < len(keys):
        raise _mixed(path, "two files with the same numbers")
    wanted = [axis for axis in "TCZ" if axis in axes]
    order = []
    for combination in itertools.product(*(values[axes.index(axis)] for axis in wanted)):
        key = tuple(combination[wanted.index(axis)] for axis in axes)
        if key not in place_of:
            missing_file = ", ".join(f"{axis} {number}" for axis, number in zip(wanted, combination, strict=True))
            raise _gap(path, f"the file with {missing_file} is missing")
        order.append(place_of[key])
    lengths = {axis: len(values[axes.index(axis)]) for axis in wanted}
    return np.arange(len(order), dtype=np.int64).reshape([lengths.get(axis, 1) for axis in "TCZ"]), order


def _open_file(path: Path, options: ReadOptions) -> Volume:
    return (read_png if path.suffix.lower() == ".png" else read_tiff)(path, options)


def _volume(volumes: Sequence[Volume], table: NDArray[np.int64], axes: str, path: Path) -> Volume:
    first = volumes[0]
    shape = [
        table.shape[place] if axis in axes else length
        for place, (axis, length) in enumerate(zip("TCZ", first.shape[:3], strict=True))
    ]
    notes = list(dict.fromkeys(note for volume in volumes for note in volume.notes))
    properties: dict[str, Any] = {}
    size = _common_size([volume.voxel_size_um for volume in volumes], n_planes=shape[2], notes=notes)
    if size is not None:
        properties["voxel_size_um"] = size
    if "T" not in axes and first.time_s is not None:
        properties["time_s"] = first.time_s
    if "C" not in axes and first.channel_names:
        properties["channel_names"] = first.channel_names
    for name in ("quantity", "unit", "medium_ri"):
        values = {getattr(volume, name) for volume in volumes}
        if len(values) == 1 and (value := values.pop()):
            properties[name] = value
    return Volume(
        shape=(shape[0], shape[1], shape[2], *first.spatial_shape[1:]),
        dtype=first.dtype,
        read_planes=ReadFolderPlanes(
            readers=tuple(volume.read_planes for volume in volumes),
            table=table,
            numbered=axes,
            plane_shape=first.spatial_shape[1:],
            dtype=first.dtype,
        ),
        origin=dict.fromkeys(properties, "file"),
        path=path,
        notes=tuple(notes),
        metadata={"n_files": len(volumes), "first_file": volumes[0].path.name if volumes[0].path else ""},
        **properties,
    )


def _common_size(sizes: Sequence[VoxelSize | None], *, n_planes: int, notes: list[str]) -> VoxelSize | None:
    """The files' voxel size, if all have one, agree, and know the distance in z where there is one."""
    first = sizes[0]
    if any(size is None for size in sizes) or first is None:
        return None
    if not np.allclose(np.array(sizes, dtype=np.float64), first, rtol=1e-6, atol=0, equal_nan=True):
        notes.append("W-VOXEL-SIZE: the files of the folder give different voxel sizes; none is used.")
        return None
    if n_planes > 1 and math.isnan(first[0]):
        notes.append("W-VOXEL-SIZE: the planes give their pixel size but no distance in z.")
        return None
    return first


def _mixed(path: Path, what: str) -> InputError:
    return InputError(
        "E-FOLDER-MIXED",
        f"not one volume: {what}.",
        path=path,
        cure="Put the planes or frames of one volume, and nothing else, into one folder, or give the files as inputs.",
    )


def _gap(path: Path, what: str) -> InputError:
    return InputError(
        "E-FOLDER-GAP", f"{what}.", path=path, cure="Add the missing file, or number the files without gaps."
    )


FORMAT = Format(
    name="folder",
    suffixes=(),
    description="A folder of numbered TIFF or PNG planes or frames",
    verify=verify,
    read=read_folder,
)
