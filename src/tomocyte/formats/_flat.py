"""Voxels that lie one after another in a file, plain or in one compressed stream (MRC, NIfTI, NRRD).

To read another format of this kind, find offset, stored type and axes from its header, call
:func:`check_flat_size`, and hand a :class:`FlatPlanes` to the volume.
"""

from __future__ import annotations

import bz2
import gzip
import math
import struct
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.formats._axes import as_planes
from tomocyte.formats._handles import HandleCache
from tomocyte.formats._hostile import FileStamp, check_declared_bytes, check_fits_memory, parsing

Compression = Literal["", "gzip", "bzip2"]
COUNT_STEP = 2**20


class PackedFile:
    """The unpacked bytes of a file, from ``start`` on, read at any place; going back means unpacking again.

    Parameters
    ----------
    path : Path
        The file.
    compression : str
        ``""``, ``"gzip"`` or ``"bzip2"``.
    start : int
        Byte of the file at which the (compressed) stream begins.
    """

    def __init__(self, path: Path, compression: Compression, start: int = 0) -> None:
        self._plain = path.open("rb")
        self._compression, self._start = compression, start
        self._stream: gzip.GzipFile | bz2.BZ2File | None = None

    def read_at(self, place: int, count: int) -> bytes:
        """At most ``count`` unpacked bytes from ``place`` on."""
        data: bytes = self._at(place).read(count)
        return data

    def read_into(self, place: int, buffer: memoryview) -> int:
        """Fill ``buffer`` with the unpacked bytes from ``place`` on; returns how many there were."""
        stream, filled = self._at(place), 0
        while filled < len(buffer):
            piece = stream.readinto(buffer[filled : filled + COUNT_STEP])
            if not piece:
                break
            filled += piece
        return filled

    def _at(self, place: int) -> Any:
        """The unpacked stream at ``place``."""
        if self._compression == "":
            self._plain.seek(self._start + place)
            return self._plain
        if self._stream is None or self._stream.tell() > place:
            self._plain.seek(self._start)
            if self._compression == "gzip":
                self._stream = gzip.GzipFile(fileobj=self._plain, mode="rb")
            else:
                self._stream = bz2.BZ2File(self._plain)
        self._stream.seek(place)
        return self._stream

    def close(self) -> None:
        """Close the file."""
        self._stream = None
        self._plain.close()


class Packing(NamedTuple):
    """How a stream is packed, and the byte of the file at which it begins."""

    compression: Compression
    start: int


def _open(stamp: FileStamp, packing: Packing) -> PackedFile:
    return PackedFile(stamp.path, packing.compression, packing.start)


_FILES: HandleCache[Packing, PackedFile] = HandleCache(_open)


@dataclass(frozen=True)
class FlatPlanes:
    """Reader of planes from consecutive voxels; picklable, keeps no open file.

    Parameters
    ----------
    stamp : FileStamp
        The file that holds the voxels, as it was when opened.
    offset : int
        Byte of the first voxel in the unpacked stream.
    stored : numpy dtype
        Type and byte order in the file.
    axes : str
        Stored axes, slowest first.
    sizes : tuple of int
        Size of each stored axis.
    compression : str
        ``""``, ``"gzip"`` or ``"bzip2"``.
    slope, intercept : float
        ``value = slope * stored + intercept``.
    code : str
        Code of the error for missing bytes.
    start : int
        Byte of the file at which a compressed stream begins.
    """

    stamp: FileStamp
    offset: int
    stored: np.dtype[Any]
    axes: str
    sizes: tuple[int, ...]
    compression: Compression = ""
    slope: float = 1.0
    intercept: float = 0.0
    code: str = "E-TRUNC"
    start: int = 0

    @property
    def is_scaled(self) -> bool:
        """Whether the stored numbers are not the values."""
        return (self.slope, self.intercept) != (1.0, 0.0)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values: as stored, or float when scaled."""
        if not self.is_scaled:
            return self.stored.newbyteorder("=")
        is_small = self.stored.itemsize <= 2 or self.stored == np.float32
        return np.dtype(np.float32 if is_small else np.float64)

    def __call__(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Planes (z_stop - z_start, Y, X)."""
        self.stamp.check()
        first, inner, sizes = 0, self.axes, self.sizes
        selected = {"T": frame, "C": channel}
        while inner[0] in selected:  # leading frames and channels are skipped, not read
            first += selected[inner[0]] * math.prod(sizes[1:])
            inner, sizes = inner[1:], sizes[1:]
        is_sliced = inner[0] == "Z"
        if is_sliced:
            first += z_start * math.prod(sizes[1:])
            sizes = (z_stop - z_start, *sizes[1:])
        count = math.prod(sizes)
        check_fits_memory(count * max(self.stored.itemsize, self.dtype.itemsize), path=self.stamp.path, what="a read")
        block = self._voxels(first, count).reshape(sizes)
        rest = tuple(
            slice(z_start, z_stop) if letter == "Z" and not is_sliced else selected.get(letter, slice(None))
            for letter in inner
        )
        planes = as_planes(block[rest], inner)
        if not self.is_scaled:
            return planes
        wide = planes.astype(self.dtype)
        wide *= self.dtype.type(self.slope)
        wide += self.dtype.type(self.intercept)
        return wide

    def _voxels(self, first: int, count: int) -> NDArray[Any]:
        voxels = np.empty(count, dtype=self.stored)
        start = self.offset + first * self.stored.itemsize
        end = self.offset + math.prod(self.sizes) * self.stored.itemsize
        path = self.stamp.path
        packing = Packing(self.compression, self.start)
        with parsing(path, self.code, what="its packed voxels"), _FILES.lend(self.stamp, packing) as packed:
            found = packed.read_into(start, voxels.view(np.uint8).data)
            # reading past the last voxel makes gzip compare its checksum
            is_longer = bool(self.compression) and start + voxels.nbytes == end and packed.read_at(end, 1) != b""
        if found != voxels.nbytes or is_longer:
            raise InputError(
                self.code,
                f"holds {'more' if is_longer else 'fewer'} voxels than its header declares.",
                path=path,
                cure="It is cut off or damaged; copy or export it again.",
            )
        return voxels


def check_flat_size(planes: FlatPlanes) -> None:
    """Compare the declared voxels with the file before anything is allocated.

    A plain file must end exactly at its last voxel; a gzip stream must unpack to that size (its trailer is believed
    when it agrees, else the stream is counted); bzip2 says nothing beforehand and is checked when read.

    Raises
    ------
    InputError
        The code of ``planes`` for fewer or more bytes, ``E-BOMB``, ``E-SHAPE`` or ``E-DTYPE``.
    """
    path, stored_nbytes = planes.stamp.path, planes.stamp.nbytes
    available = stored_nbytes if planes.compression else stored_nbytes - planes.offset
    declared = check_declared_bytes(
        planes.sizes,
        planes.stored,
        path=path,
        stored_nbytes=available,
        is_compressed=bool(planes.compression),
        code=planes.code,
    )
    expected = planes.offset + declared
    if planes.compression == "":
        actual = stored_nbytes
    elif planes.compression == "gzip":
        actual = _gzip_nbytes(planes, expected)
    else:
        return
    if actual != expected:
        raise InputError(
            planes.code,
            f"holds {actual} bytes (counted up to {expected + 1}); its header declares {expected}.",
            path=path,
            cure="It is cut off, damaged, or contains something else as well; export it again.",
        )


def _gzip_nbytes(planes: FlatPlanes, expected: int) -> int:
    """Unpacked size of a gzip stream, counted at most one byte past ``expected``."""
    path = planes.stamp.path
    with parsing(path, planes.code, what="its packed stream"):
        with path.open("rb") as plain:
            plain.seek(-4, 2)
            (low,) = struct.unpack("<I", plain.read(4))
        if low == expected % 2**32:
            return expected
        total = 0
        with closing(PackedFile(path, "gzip", planes.start)) as packed:
            while total <= expected and (piece := packed.read_at(total, COUNT_STEP)):
                total += len(piece)
        return min(total, expected + 1)
