"""Voxels that lie one after another, plain, packed or as text, in one file or several (MRC, NIfTI, NRRD).

To read another format of this kind, find offset, stored type and axes from its header, call
:func:`check_flat_size`, and hand a :class:`FlatPlanes` to the volume.
"""

from __future__ import annotations

import bz2
import gzip
import io
import math
import struct
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.formats._axes import as_planes
from tomocyte.formats._handles import HandleCache
from tomocyte.formats._hostile import FileStamp, check_declared_bytes, check_fits_memory, parsing

Compression = Literal["", "gzip", "bzip2", "ascii", "hex"]
"""How the bytes of the voxels are stored; the last two are text, of numbers and of the bytes."""
TEXTS: Final = ("ascii", "hex")
COUNT_STEP = 2**20
BYTES_PER_LETTER: Final = 40
"""Memory that parsing a text takes for each of its bytes."""


class PackedFile:
    """The unpacked bytes of a file, from ``start`` on, read at any place; going back means unpacking again.

    Parameters
    ----------
    path : Path
        The file.
    compression : str
        A :data:`Compression`.
    start : int
        Byte of the file at which the (compressed) stream begins.
    stored : numpy dtype, optional
        Type of the numbers that an ``ascii`` text holds, and with which they are handed out.
    """

    def __init__(self, path: Path, compression: Compression, start: int = 0, stored: str = "u1") -> None:
        self._path, self._plain = path, path.open("rb")
        self._compression, self._start, self._stored = compression, start, np.dtype(stored)
        self._stream: IO[bytes] | gzip.GzipFile | bz2.BZ2File | None = None

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
        is_whole = isinstance(self._stream, io.BytesIO)
        if self._stream is None or (self._stream.tell() > place and not is_whole):
            self._plain.seek(self._start)
            if self._compression in TEXTS:
                self._stream = io.BytesIO(self._bytes_of_text())
            elif self._compression == "gzip":
                self._stream = gzip.GzipFile(fileobj=self._plain, mode="rb")
            else:
                self._stream = bz2.BZ2File(self._plain)
        self._stream.seek(place)
        return self._stream

    def _bytes_of_text(self) -> bytes:
        """The voxels of a text as bytes. Numbers that the type cannot hold are errors, as is anything else."""
        nbytes = self._path.stat().st_size - self._start
        check_fits_memory(nbytes * BYTES_PER_LETTER, path=self._path, what="a text of voxels")
        text = self._plain.read()
        if self._compression == "hex":
            return bytes.fromhex(text.decode("ascii"))
        if text and not text[-1:].isspace():
            raise ValueError("its last number has no line end: it may be cut off; add one if it is whole")
        words = text.replace(b",", b" ").split()
        return np.array(words, dtype=np.bytes_).astype(self._stored).tobytes() if words else b""

    def close(self) -> None:
        """Close the file."""
        self._stream = None
        self._plain.close()


class Packing(NamedTuple):
    """How a stream is packed, the byte of the file at which it begins, and the type of the numbers in it."""

    compression: Compression
    start: int
    stored: str


def _open(stamp: FileStamp, packing: Packing) -> PackedFile:
    return PackedFile(stamp.path, packing.compression, packing.start, packing.stored)


_FILES: HandleCache[Packing, PackedFile] = HandleCache(_open)


class Piece(NamedTuple):
    """A file that holds some voxels: as it was when opened, their byte in its stream, the byte where that begins."""

    stamp: FileStamp
    offset: int
    start: int = 0


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
        A :data:`Compression`.
    slope, intercept : float
        ``value = slope * stored + intercept``.
    code : str
        Code of the error for missing bytes.
    start : int
        Byte of the file at which a compressed stream or a text begins.
    more : tuple of Piece
        Further files, of which each, like the first, holds as many of the voxels as any other.
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
    more: tuple[Piece, ...] = ()

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """All files, in the order of the voxels."""
        return (Piece(self.stamp, self.offset, self.start), *self.more)

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
        """Voxels from the one with index ``first`` on, from as many files as hold them."""
        voxels = np.empty(count, dtype=self.stored)
        pieces, done = self.pieces, 0
        n_each = math.prod(self.sizes) // len(pieces)
        while done < count:
            index, inside = divmod(first + done, n_each)
            stop = min(done + n_each - inside, count)
            self._fill(voxels[done:stop], pieces[index], inside, n_each)
            done = stop
        return voxels

    def _fill(self, voxels: NDArray[Any], piece: Piece, first: int, n_each: int) -> None:
        piece.stamp.check()
        start = piece.offset + first * self.stored.itemsize
        end = piece.offset + n_each * self.stored.itemsize
        path, packing = piece.stamp.path, Packing(self.compression, piece.start, self.stored.str)
        with parsing(path, self.code, what="its packed voxels"), _FILES.lend(piece.stamp, packing) as packed:
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


def check_flat_size(planes: FlatPlanes) -> None:
    """Compare the declared voxels with the files before anything is allocated.

    A plain file must end exactly at its last voxel, a text at its last number; a gzip stream must unpack to that size
    (its trailer is believed when it agrees, else the stream is counted); bzip2 says nothing beforehand and is checked
    when read.

    Raises
    ------
    InputError
        The code of ``planes`` for fewer or more bytes, ``E-BOMB``, ``E-SHAPE`` or ``E-DTYPE``.
    """
    pieces, compression = planes.pieces, planes.compression
    available = sum(piece.stamp.nbytes - (0 if compression else piece.offset) for piece in pieces)
    if compression == "ascii":  # each number takes a letter and a space
        available = (available + 1) // 2 * planes.stored.itemsize
    declared = check_declared_bytes(
        planes.sizes,
        planes.stored,
        path=planes.stamp.path,
        stored_nbytes=available,
        is_compressed=compression in ("gzip", "bzip2"),
        code=planes.code,
    )
    for piece in pieces:
        expected = piece.offset + declared // len(pieces)
        if compression == "":
            actual = piece.stamp.nbytes
        elif compression == "gzip":
            actual = _gzip_nbytes(planes.code, piece, expected)
        elif compression in TEXTS:
            packing = Packing(compression, piece.start, planes.stored.str)
            with parsing(piece.stamp.path, planes.code, what="its text"), _FILES.lend(piece.stamp, packing) as packed:
                actual = len(packed.read_at(0, expected + 1))
        else:
            continue
        if actual != expected:
            raise InputError(
                planes.code,
                f"holds {actual} bytes (counted up to {expected + 1}); its header declares {expected}.",
                path=piece.stamp.path,
                cure="It is cut off, damaged, or contains something else as well; export it again.",
            )


def count_unpacked(path: Path, compression: Compression, start: int, limit: int) -> int:
    """Bytes of an unpacked stream, counted up to ``limit`` at most."""
    total = 0
    with closing(PackedFile(path, compression, start)) as packed:
        while total < limit and (piece := packed.read_at(total, min(COUNT_STEP, limit - total))):
            total += len(piece)
    return total


def _gzip_nbytes(code: str, piece: Piece, expected: int) -> int:
    """Unpacked size of a gzip stream, counted at most one byte past ``expected``."""
    path = piece.stamp.path
    with parsing(path, code, what="its packed stream"):
        with path.open("rb") as plain:
            plain.seek(-4, 2)
            (low,) = struct.unpack("<I", plain.read(4))
        return expected if low == expected % 2**32 else count_unpacked(path, "gzip", piece.start, expected + 1)
