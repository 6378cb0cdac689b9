"""The data sections of an Amira file: where they are, and their voxels, plain, run-length coded, packed or as text.

Plain voxels are read plane by plane; coded ones and text are unpacked whole and kept for the file used last, because
neither can be entered in the middle. To read another coding, decode it in :func:`_unpacked`.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.formats._amira_header import MARKER, AmiraArray, AmiraHeader
from tomocyte.formats._axes import as_planes
from tomocyte.formats._handles import HandleCache
from tomocyte.formats._hostile import FileStamp, check_declared_bytes, check_fits_memory, parsing

TYPES: Final = {
    "byte": "u1", "sbyte": "i1", "ushort": "u2", "short": "i2", "uint": "u4", "int": "i4", "float": "f4",
    "double": "f8",
}  # fmt: skip
"""Types of a number; a byte has no sign."""
ORDERS: Final = {"little": "<", "big": ">", "text": "="}
CODINGS: Final = ("", "HxByteRLE", "HxZip")
LONGEST_RUN: Final = 127
BYTES_PER_LETTER: Final = 40
MOST_PER_BYTE: Final = {"HxByteRLE": 64, "HxZip": 1032, "": 1}
"""Bytes that one stored byte can stand for: 127 by two of a run, 1,032 by deflate."""


class Section(NamedTuple):
    """Where the voxels of an array lie: first byte, stored bytes, coding, type, and how many numbers they are."""

    start: int
    nbytes: int
    coding: str
    stored: str
    n_numbers: int


class Unpacked:
    """All numbers of a section in memory."""

    def __init__(self, voxels: NDArray[Any]) -> None:
        self.voxels = voxels

    def close(self) -> None:
        """Forget them."""
        self.voxels = self.voxels[:0]


def _open(stamp: FileStamp, section: Section) -> Unpacked:
    return Unpacked(_unpacked(stamp.path, section))


_UNPACKED: HandleCache[Section, Unpacked] = HandleCache(_open, n_open=1)


@dataclass(frozen=True)
class AmiraPlanes:
    """Reader of planes from a section; picklable, keeps no open file.

    Parameters
    ----------
    stamp : FileStamp
    section : Section
    axes : str
        Stored axes, slowest first.
    sizes : tuple of int
    """

    stamp: FileStamp
    section: Section
    axes: str
    sizes: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels, in the machine's byte order."""
        return np.dtype(self.section.stored).newbyteorder("=")

    def __call__(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Planes (z_stop - z_start, Y, X)."""
        self.stamp.check()
        selected: dict[str, int | slice] = {"T": frame, "C": channel, "Z": slice(z_start, z_stop)}
        if self.axes[0] == "Z" and self.section.coding == "":
            block = self._plain(z_start, z_stop)
            index = tuple(slice(None) if letter == "Z" else selected.get(letter, slice(None)) for letter in self.axes)
            return as_planes(block[index], _kept(self.axes))
        with _UNPACKED.lend(self.stamp, self.section) as unpacked:
            block = unpacked.voxels.reshape(self.sizes)
            planes = as_planes(
                block[tuple(selected.get(letter, slice(None)) for letter in self.axes)], _kept(self.axes)
            )
            return planes.copy() if np.shares_memory(planes, block) else planes

    def _plain(self, start: int, stop: int) -> NDArray[Any]:
        """Steps of the slowest axis, read from the file."""
        inner, stored = math.prod(self.sizes[1:]), np.dtype(self.section.stored)
        check_fits_memory((stop - start) * inner * stored.itemsize, path=self.stamp.path, what="a read")
        with parsing(self.stamp.path, "E-AMIRA-TRUNC", what="its voxels"), self.stamp.path.open("rb") as stream:
            stream.seek(self.section.start + start * inner * stored.itemsize)
            voxels = np.fromfile(stream, stored, (stop - start) * inner)
            return voxels.reshape(stop - start, *self.sizes[1:])


def _kept(axes: str) -> str:
    """Axes that are left when a frame and a channel are chosen."""
    return axes.replace("T", "").replace("C", "")


def section_of(header: AmiraHeader, array: AmiraArray, path: Path) -> Section:
    """Where the voxels of an array are, after those of the arrays before it.

    Raises
    ------
    InputError
        ``E-AMIRA-KIND``: a type or coding that is not read. ``E-AMIRA-TRUNC``: fewer bytes than declared, or no data
        section of that number. ``E-BOMB``, ``E-SHAPE``.
    """
    total, start = path.stat().st_size, header.end
    by_number = {one.number: one for one in header.arrays}
    while True:
        number, start = _marker(path, start)
        one = by_number.get(number)
        if one is None or (one.grid.lower() != "lattice" and number != array.number):
            raise InputError(
                "E-AMIRA-KIND",
                f"has the data section @{number} before the voxels @{array.number}, of which it does not say the size.",
                path=path,
                cure="Save the label field alone, in Amira: File > Save Data As.",
            )
        section = _declared(header, one, start, total, path)
        if number == array.number:
            return section
        start += section.nbytes


def _marker(path: Path, start: int) -> tuple[int, int]:
    """Number of the next data section and its first byte; blank lines may come before it."""
    with path.open("rb") as stream:
        stream.seek(start)
        raw = stream.read(256)
    blank = len(raw) - len(raw.lstrip(b"\r\n\t "))
    found = MARKER.match(raw, blank)
    if found is None:
        raise InputError(
            "E-AMIRA-TRUNC",
            f"has no data section at byte {start}, where its header places one.",
            path=path,
            cure="It is cut off or damaged; copy or export it again.",
        )
    return int(found[1]), start + found.end()


def _declared(header: AmiraHeader, array: AmiraArray, start: int, total: int, path: Path) -> Section:
    """A section as declared, compared with the length of the file."""
    if array.kind not in TYPES or array.coding not in CODINGS or (header.encoding == "text" and array.coding):
        raise InputError(
            "E-AMIRA-KIND",
            f"stores {array.name!r} as {array.kind}{f' ({array.coding})' if array.coding else ''}.",
            path=path,
            cure=f"Convert it in Amira to one of: {', '.join(TYPES)}; plain, HxByteRLE and HxZip are understood.",
        )
    stored = np.dtype(ORDERS[header.encoding] + TYPES[array.kind])
    shape = (*reversed(header.sizes), array.n_components)
    count = math.prod(shape)
    if header.encoding == "text":
        end = _end_of_text(path, start, total)
        is_last = end == total
        available = (end - start + int(is_last)) // 2 * stored.itemsize  # each number takes a digit and a space
        check_declared_bytes(
            shape, stored, path=path, stored_nbytes=available, is_compressed=False, code="E-AMIRA-TRUNC"
        )
        return Section(start, end - start, "text", stored.str, count)
    nbytes = array.nbytes if array.coding else count * stored.itemsize
    if start + nbytes > total:
        raise InputError(
            "E-AMIRA-TRUNC",
            f"declares {nbytes} bytes of {array.name!r} but holds {max(total - start, 0)}.",
            path=path,
            cure="It is cut off; copy or export it again.",
        )
    declared = check_declared_bytes(
        shape, stored, path=path, stored_nbytes=nbytes, is_compressed=bool(array.coding), code="E-AMIRA-TRUNC"
    )
    if declared > nbytes * MOST_PER_BYTE[array.coding]:
        raise InputError(
            "E-AMIRA-TRUNC",
            f"declares {declared} bytes of voxels, which {nbytes} bytes of {array.coding} cannot hold.",
            path=path,
            cure="The header is damaged; copy or export it again.",
        )
    return Section(start, nbytes, array.coding, stored.str, count)


def _end_of_text(path: Path, start: int, total: int) -> int:
    """The byte at which the next data section of a text file begins, or its end."""
    check_fits_memory((total - start) * BYTES_PER_LETTER, path=path, what="a text of voxels")
    with path.open("rb") as stream:
        stream.seek(start)
        found = MARKER.search(stream.read())
    return total if found is None else start + found.start()


def check_section(planes: AmiraPlanes) -> None:
    """Unpack a section that is coded or text, once, so that damage is seen when the file is opened.

    Raises
    ------
    InputError
        ``E-AMIRA-TRUNC``.
    """
    if planes.section.coding:
        with _UNPACKED.lend(planes.stamp, planes.section):
            pass


def _unpacked(path: Path, section: Section) -> NDArray[Any]:
    stored = np.dtype(section.stored)
    nbytes = section.n_numbers * stored.itemsize
    needed = section.nbytes * BYTES_PER_LETTER if section.coding == "text" else nbytes + section.nbytes
    check_fits_memory(needed, path=path, what="a label field")
    with parsing(path, "E-AMIRA-TRUNC", what="its voxels"), path.open("rb") as stream:
        stream.seek(section.start)
        raw = stream.read(section.nbytes)
        if section.coding == "text":
            words = raw.split()
            if raw and not raw[-1:].isspace():
                raise ValueError("its last number has no line end: it may be cut off; add one if it is whole")
            voxels = np.array(words, dtype=np.bytes_).astype(stored) if words else np.zeros(0, stored)
            n_found = len(voxels) * stored.itemsize
        elif section.coding == "HxZip":
            unpacker = zlib.decompressobj()
            plain = unpacker.decompress(raw, nbytes + 1)
            n_found = len(plain)
            if not unpacker.eof:
                n_found = min(n_found, nbytes - 1)  # cut off, or its checksum is missing
            voxels = np.frombuffer(plain, stored) if n_found == nbytes else np.zeros(0, stored)
        else:
            target = np.empty(nbytes, np.uint8)
            n_found = int(decode_runs(np.frombuffer(raw, np.uint8), target))
            voxels = target.view(stored)
    if n_found != nbytes:
        raise InputError(
            "E-AMIRA-TRUNC",
            f"its {section.nbytes} stored bytes hold {'more' if n_found > nbytes else 'fewer'} than the {nbytes} bytes "
            "of voxels that its header declares.",
            path=path,
            cure="It is cut off or damaged; copy or export it again.",
        )
    return voxels


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def decode_runs(source: NDArray[np.uint8], target: NDArray[np.uint8]) -> int:
    """Decode HxByteRLE into ``target``; returns the bytes that there are, one more than fit where there are more.

    A byte up to 127 says how often the next one is repeated; from 129 on, less 128, how many follow as they are. A run
    of none and a stream that ends within a run count as damage: as fewer bytes.

    Examples
    --------
    >>> out = np.zeros(5, np.uint8)
    >>> decode_runs(np.array([3, 9, 130, 1, 2], np.uint8), out), out.tolist()
    (5, [9, 9, 9, 1, 2])
    """
    place, filled, size = 0, 0, len(target)
    while place < len(source):
        control = source[place]
        place += 1
        n = control & 127
        is_plain = control > 127
        n_needed = n if is_plain else 1
        if place + n_needed > len(source):
            return min(filled, size - 1)
        if n == 0:
            return min(filled, size - 1)
        if filled + n > size:
            return size + 1
        for index in range(n):
            target[filled + index] = source[place + index] if is_plain else source[place]
        filled += n
        place += n_needed
    return filled


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def encode_runs(source: NDArray[np.uint8], target: NDArray[np.uint8]) -> int:
    """Encode bytes as HxByteRLE into ``target``; returns the bytes used.

    Parameters
    ----------
    source : ndarray (N,), uint8
    target : ndarray, uint8
        At least N + N // 127 + 1 long.

    Examples
    --------
    >>> out = np.zeros(9, np.uint8)
    >>> out[: encode_runs(np.array([9, 9, 9, 1, 2], np.uint8), out)].tolist()
    [3, 9, 130, 1, 2]
    """
    place, used, size = 0, 0, len(source)
    while place < size:
        n = 1
        while n < 127 and place + n < size and source[place + n] == source[place]:
            n += 1
        if n > 2:  # shorter runs stay among the bytes that are stored as they are, so that nothing grows
            target[used], target[used + 1] = n, source[place]
            used += 2
            place += n
            continue
        head = used
        used += 1
        n = 0
        while n < 127 and place < size:
            if place + 2 < size and source[place] == source[place + 1] == source[place + 2]:
                break
            target[used] = source[place]
            used += 1
            place += 1
            n += 1
        target[head] = 128 + n
    return used
