"""MATLAB ``.mat``: one array of a file of version 5, 7 or 7.3, chosen with ``--dataset``, its axes given by the user.

MATLAB says neither what an axis is nor how large a voxel. Axes are given in MATLAB's own order, that of ``size(A)``,
whatever the version: 7.3 is HDF5, which shows them backwards, and is turned here. Versions 5 and 7 can only be read
whole; the array is kept in memory. To take a voxel size from a file, there would have to be a convention first.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import h5py
import numpy as np
import scipy.io
from numpy.typing import NDArray

from tomocyte.errors import InputError, MetadataError, MissingFact
from tomocyte.formats import Format, ReadOptions
from tomocyte.formats._axes import ORDER, as_planes, checked_axes, selection, shape_tczyx
from tomocyte.formats._extra import library
from tomocyte.formats._handles import HandleCache
from tomocyte.formats._hdf5_safety import attribute, cached_file, check_dataset, datasets, is_hdf5, object_at, opened
from tomocyte.formats._hostile import FileStamp, check_declared_bytes, check_fits_memory
from tomocyte.volume import CHOICES, Volume

CODE: Final = "E-MAT"
HEADER: Final = b"MATLAB 5.0 MAT-file"
HEADER_73: Final = b"MATLAB 7.3 MAT-file"
NUMBERS: Final = {
    "double": "f8",
    "single": "f4",
    "logical": "u1",
    **{
        f"{kind}int{bits}": f"{letter}{bits // 8}"
        for kind, letter in (("", "i"), ("u", "u"))
        for bits in (8, 16, 32, 64)
    },
}
"""Types of NumPy by MATLAB's classes."""
MOST_SHOWN: Final = 20
HEADER_NBYTES: Final = 128
MATRIX: Final = 14
PACKED: Final = 15
KINDS: Final = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 14, 16, 17, 18})
"""MATLAB's numbers of the types that an element inside an array may have."""


class _Loaded:
    """An array in memory, as one that could be closed."""

    def __init__(self, voxels: NDArray[Any]) -> None:
        self.voxels = voxels

    def close(self) -> None:
        """Nothing is open."""


def _load(stamp: FileStamp, name: str) -> _Loaded:
    with library(stamp.path, CODE, what=name):
        return _Loaded(scipy.io.loadmat(stamp.path, variable_names=[name])[name])


_ARRAYS: HandleCache[str, _Loaded] = HandleCache(_load, n_open=1)


@dataclass(frozen=True)
class MatPlanes:
    """Reader of planes; picklable.

    Parameters
    ----------
    stamp : FileStamp
        The file, as it was when opened.
    name : str
        The array.
    axes : str
        In the order in which they are read: MATLAB's, or backwards in HDF5.
    is_hdf5 : bool
        Whether it is version 7.3.
    dtype : numpy dtype
        Of the voxels.
    plane_nbytes : int
        Bytes of one plane.
    """

    stamp: FileStamp
    name: str
    axes: str
    is_hdf5: bool
    dtype: np.dtype[Any]
    plane_nbytes: int

    def __call__(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Planes (z_stop - z_start, Y, X)."""
        check_fits_memory((z_stop - z_start) * self.plane_nbytes, path=self.stamp.path, what="a read")
        place = selection(self.axes, frame, channel, z_start, z_stop)
        if self.is_hdf5:
            with cached_file(self.stamp) as file:
                block = file.dataset(self.name)[place]
        else:
            self.stamp.check()
            with _ARRAYS.lend(self.stamp, self.name) as array:
                block = array.voxels[place]
        return as_planes(block, self.axes).astype(self.dtype, copy=False)


def verify(path: Path) -> bool:
    """Whether the file begins as MATLAB's of version 5, 7 or 7.3; never raises."""
    try:
        with path.open("rb") as file:
            head = file.read(len(HEADER))
    except (OSError, ValueError):
        return False
    return head == HEADER or (head == HEADER_73 and is_hdf5(path))


def read(path: Path, options: ReadOptions) -> Volume:
    """Open one array of a ``.mat`` file; lazily where it is version 7.3.

    Parameters
    ----------
    path : Path
        A file that ``save`` wrote.
    options : ReadOptions
        ``dataset``: the array, where there are several; ``axes``: what each axis of ``size(A)`` is, from three on.

    Returns
    -------
    Volume
        Voxels as stored; ``voxel_size_um`` and ``quantity`` unknown.

    Raises
    ------
    InputError
        ``E-MAT`` (damaged), ``E-DATASET`` (lists the arrays), ``E-MAT-COMPLEX``, ``E-SHAPE``, ``E-BOMB`` or
        ``E-HDF5-…``.
    MetadataError
        ``E-AXES``.
    ResourceError
        ``E-MEM``: an array of version 5 or 7 does not fit into memory.
    """
    stamp = FileStamp.of(path)
    notes: tuple[str, ...] = ()
    with path.open("rb") as file:
        is_new = file.read(len(HEADER)) == HEADER_73
    if is_new:
        with opened(stamp) as stored:
            arrays = _arrays_of_hdf5(stored, path)
            name = _chosen(arrays, options.dataset, path)
            found = object_at(stored, name, path)
            notes = check_dataset(found, stored, path)
            size, dtype = found.shape[::-1], found.dtype.newbyteorder("=")
    else:
        with library(path, CODE, what="its list of arrays"):
            check_elements(stamp)
            listed = scipy.io.whosmat(path)
        arrays = {name: shape for name, shape, kind in listed if kind in NUMBERS and _n_axes(shape) >= 2}
        name = _chosen(arrays, options.dataset, path)
        size, dtype = arrays[name], np.dtype(next(NUMBERS[kind] for other, _, kind in listed if other == name))
        nbytes = check_declared_bytes(size, dtype, path=path, stored_nbytes=stamp.nbytes, is_compressed=True)
        check_fits_memory(nbytes, path=path, what="the array, which MATLAB's versions 5 and 7 only give whole,")
        dtype = _stored_dtype(stamp, name, size)
    axes = _axes(options.axes, size, path)
    shape = shape_tczyx(axes, size)
    stored_axes = axes[::-1] if is_new else axes
    nbytes = shape[3] * shape[4] * dtype.itemsize
    if options.voxel_size_um is None:
        notes += ("W-NO-VOXEL: a MATLAB array does not say its voxel size: give it with --voxel-size-um Z Y X.",)
    return Volume(
        shape=shape,
        dtype=dtype,
        read_planes=MatPlanes(stamp, name, stored_axes, is_new, dtype, nbytes),
        path=path,
        notes=notes,
        metadata={
            "version": "7.3" if is_new else "5 or 7",
            "dataset": name,
            "size": tuple(size),
            CHOICES: tuple(arrays),
        },
    )


def check_elements(stamp: FileStamp) -> None:
    """Refuse a file of version 5 or 7 whose elements are of no known type or longer than what holds them.

    SciPy believes both and crashes. Packed elements have a checksum of their own.

    References
    ----------
    MathWorks, MAT-File Format, version 5, chapter 1.
    """
    with stamp.path.open("rb") as file:
        file.seek(126)
        order = {b"IM": "<", b"MI": ">"}.get(file.read(2), "")
        place = HEADER_NBYTES
        while order and place < stamp.nbytes:
            kind, nbytes, start = _tag(file, place, order)
            stop = start + nbytes
            if kind not in (MATRIX, PACKED) or stop > stamp.nbytes:
                raise _bad_element(stamp.path, place)
            if kind == MATRIX:
                _check_matrix(file, start, stop, order, stamp.path)
            place = stop
    if not order:
        raise _bad_element(stamp.path, 126)


def _tag(file: BinaryIO, place: int, order: str) -> tuple[int, int, int]:
    """Type, length and first byte of the data of an element; short ones keep both in four bytes."""
    file.seek(place)
    kind, nbytes = struct.unpack(f"{order}II", file.read(8))
    return (kind & 0xFFFF, kind >> 16, place + 4) if kind >> 16 else (kind, nbytes, place + 8)


def _check_matrix(file: BinaryIO, start: int, stop: int, order: str, path: Path) -> None:
    """Flags, sizes, name and numbers of one array; parts of structures and cells likewise."""
    place, kinds = start, []
    numbers = []
    is_nested = False
    while place < stop:
        kind, nbytes, data = _tag(file, place, order)
        if kind not in KINDS or data + nbytes > stop or (data == place + 4 and nbytes > 4):
            raise _bad_element(path, place)
        if kind == MATRIX:
            is_nested = True
            if nbytes:
                _check_matrix(file, data, data + nbytes, order, path)
        kinds.append(kind)
        numbers.append(nbytes)
        place = data + (4 if data == place + 4 else nbytes if kind == MATRIX else -(-nbytes // 8) * 8)
    is_sound = kinds[:3] == [6, 5, 1] and numbers[0] == 8 and numbers[1] % 4 == 0 and numbers[1] >= 8
    if not is_sound or (not is_nested and len(kinds) < 4):
        raise _bad_element(path, start)


def _bad_element(path: Path, place: int) -> InputError:
    return InputError(
        CODE, f"its element at byte {place} is damaged or cut off.", path=path, cure="Copy it again, or save it as 7.3."
    )


def _n_axes(shape: tuple[int, ...]) -> int:
    """Axes with more than one element: MATLAB calls a number a matrix of 1 x 1. None of arrays that are not read."""
    return sum(size > 1 for size in shape) if len(shape) <= len(ORDER) else 0


def _arrays_of_hdf5(stored: h5py.File, path: Path) -> dict[str, tuple[int, ...]]:
    """The numeric arrays, by name, with their size in MATLAB's order; not the parts of structures and cells."""
    found = {}
    for name, shape in datasets(stored, path).items():
        kind = attribute(object_at(stored, name, path), "MATLAB_class", path)
        if not name.startswith("#") and _n_axes(shape) >= 2 and (kind is None or str(kind[0]) in NUMBERS):
            found[name] = shape[::-1]
    return found


def _chosen(arrays: dict[str, tuple[int, ...]], given: str | None, path: Path) -> str:
    if given is not None and given in arrays:
        return given
    if given is None and len(arrays) == 1:
        return next(iter(arrays))
    listed = [f"{name} ({' x '.join(map(str, size))})" for name, size in arrays.items()]
    shown = ", ".join(listed[:MOST_SHOWN]) + (" …" if len(listed) > MOST_SHOWN else "")
    problem = f"holds {len(arrays)} arrays of two or more axes" if given is None else f"has no array {given!r}"
    if not arrays:
        raise InputError(
            "E-DATASET",
            "holds no array of numbers with two or more axes.",
            path=path,
            cure="Arrays inside structures and cells are not read: save the array under a name of its own.",
        )
    name = next(iter(arrays))
    missing = MissingFact("dataset", (name,), f"{name}, or another of them")
    raise InputError("E-DATASET", f"{problem}: {shown}.", path=path, missing=(missing,))


def _stored_dtype(stamp: FileStamp, name: str, size: tuple[int, ...]) -> np.dtype[Any]:
    """The type of an array, which must be real and as large as listed."""
    with _ARRAYS.lend(stamp, name) as array:
        voxels = array.voxels
    if not isinstance(voxels, np.ndarray) or voxels.shape != tuple(size):
        raise InputError(CODE, f"{name} is not what the list of arrays says.", path=stamp.path, cure="Save it again.")
    if voxels.dtype.kind == "c":
        raise InputError(
            "E-MAT-COMPLEX",
            f"{name} holds complex numbers.",
            path=stamp.path,
            cure=f"Save abs({name}), angle({name}) or real({name}) in MATLAB.",
        )
    check_declared_bytes(voxels.shape, voxels.dtype, path=stamp.path, stored_nbytes=voxels.nbytes, is_compressed=False)
    return voxels.dtype.newbyteorder("=")


def _axes(given: str | None, size: tuple[int, ...], path: Path) -> str:
    """Axes in the order of MATLAB's ``size``: the user's; a matrix has rows, y, and columns, x."""
    if given is not None:
        with suppress(MetadataError):  # its own words are those of stored arrays, in another order
            return checked_axes(given, size, path)
    elif len(size) == 2:
        return "YX"
    example = ("YX", "YXZ", "YXZT", "YXZCT")[min(len(size), 5) - 2]
    array = f"the array of {' x '.join(map(str, size))}"
    raise MetadataError(
        "E-AXES",
        f"nothing says which axis of {array} is y, x, z, time or channel."
        if given is None
        else f"axes {given!r} do not fit {array}.",
        path=path,
        cure="That is MATLAB's order, size(A), where rows are y and columns are x.",
        missing=(MissingFact("axes", (example,)),),
    )


FORMAT = Format("mat", (".mat",), "One array of a MATLAB file", verify, read)
