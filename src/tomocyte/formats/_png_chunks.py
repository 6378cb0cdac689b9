"""The chunks of a PNG file, checked before a decoder sees them, and the reader of its one plane.

A PNG is a signature and then chunks of length, type, body and checksum. Only those that make up the pixels reach the
decoder: compressed texts and colour profiles, which can hide a bomb, do not. To use another chunk that stands before
the pixels (say ``tIME``), add its type to ``KEPT`` and read its body in :func:`read_head`.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.formats._hostile import FileStamp, check_declared_bytes, check_fits_memory, parsing

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEPT = (b"IHDR", b"pHYs", b"acTL")
PIXEL_CHUNKS = (b"IHDR", b"IDAT", b"IEND")
LARGEST_EXPANSION = 1100
"""Deflate cannot unpack a byte to more than 1032."""
MOST_CHUNKS_BEFORE_PIXELS = 10_000
MOST_CHUNKS = 2**20
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Bits per sample that the standard allows for each colour type."""
COLOURS = {
    2: ("an RGB image", "Convert it to grey values, or save its colours as channels of a TIFF."),
    3: ("an image with a palette", "Convert it to grey values; if its colours stand for labels, save the label numbers "
        "as 8 or 16 bit grey."),
    4: ("a grey image with an alpha channel", "Save it without transparency."),
    6: ("an RGB image with an alpha channel", "Convert it to grey values, or save its colours as channels of a TIFF."),
}  # fmt: skip


@dataclass(frozen=True)
class PngHead:
    """What a PNG says before its pixels.

    Parameters
    ----------
    plane_shape : tuple of 2 int
        Y, X.
    dtype : numpy dtype
        uint8 or uint16.
    pixels_per_metre : tuple of 2 int, optional
        Along y and x, each at least 1; ``None`` where the file does not say, or gives a mere ratio.
    """

    plane_shape: tuple[int, int]
    dtype: np.dtype[Any]
    pixels_per_metre: tuple[int, int] | None


def read_head(stamp: FileStamp) -> PngHead:
    """Read and check everything before the pixels; nothing is unpacked.

    Parameters
    ----------
    stamp : FileStamp
        The file.

    Returns
    -------
    PngHead
        Size, type and pixels per metre.

    Raises
    ------
    InputError
        ``E-PNG`` (damaged, cut off), ``E-PNG-KIND`` (animated), ``E-RGB``, ``E-DTYPE`` (fewer than 8 bits),
        ``E-SHAPE`` or ``E-BOMB``.
    ResourceError
        ``E-MEM``.
    """
    path = stamp.path
    with parsing(path, "E-PNG", what="its header"), path.open("rb") as file:
        bodies = _before_pixels(file, path)
    if b"acTL" in bodies and int.from_bytes(bodies[b"acTL"][:4], "big") > 1:
        raise InputError(
            "E-PNG-KIND", "is an animated PNG.", path=path, cure="Export its frames as a TIFF stack or one by one."
        )
    shape, dtype = _shape_and_type(bodies[b"IHDR"], path)
    nbytes = check_declared_bytes(shape, dtype, path=path, stored_nbytes=stamp.nbytes, is_compressed=True)
    if nbytes > LARGEST_EXPANSION * stamp.nbytes:
        raise InputError(
            "E-BOMB",
            f"{stamp.nbytes} stored bytes cannot unpack to {nbytes}.",
            path=path,
            cure="The header is damaged or hostile; export the file again.",
        )
    check_fits_memory(nbytes + 2 * stamp.nbytes, path=path, what="the image")
    return PngHead(shape, dtype, _pixels_per_metre(bodies.get(b"pHYs"), path))


def _before_pixels(file: BinaryIO, path: Path) -> dict[bytes, bytes]:
    """Bodies of the chunks of :data:`KEPT`, the header among them, from before the first chunk of pixels."""
    if file.read(len(SIGNATURE)) != SIGNATURE:
        raise damaged(path, "is not a PNG file.")
    bodies: dict[bytes, bytes] = {}
    for place in range(MOST_CHUNKS_BEFORE_PIXELS):
        start = file.read(8)
        if len(start) < 8:
            raise damaged(path, "ends before its pixels.")
        length, kind = int.from_bytes(start[:4], "big"), start[4:]
        if (place == 0) != (kind == b"IHDR"):
            raise damaged(path, f"has a chunk {kind!r} of {length} bytes at place {place}.")
        if kind == b"IDAT":
            return bodies
        if kind not in KEPT:
            file.seek(length + 4, 1)
            continue
        if kind in bodies or length != {b"IHDR": 13, b"pHYs": 9, b"acTL": 8}[kind]:
            raise damaged(path, f"has a chunk {kind!r} of {length} bytes, or two of them.")
        body, checksum = file.read(length), file.read(4)
        if zlib.crc32(body, zlib.crc32(kind)).to_bytes(4, "big") != checksum:
            raise damaged(path, f"has a wrong checksum in its chunk {kind!r}.")
        bodies[kind] = body
    raise damaged(path, f"has {MOST_CHUNKS_BEFORE_PIXELS} chunks and no pixels among them.")


def _shape_and_type(header: bytes, path: Path) -> tuple[tuple[int, int], np.dtype[Any]]:
    n_columns, n_rows, depth, colour, packing, filtering, interlace = struct.unpack(">IIBBBBB", header)
    if depth not in DEPTHS.get(colour, ()) or packing or filtering or interlace > 1:
        raise damaged(path, f"has a header that is not valid for PNG: {tuple(header[8:])}.")
    if colour in COLOURS:
        what, cure = COLOURS[colour]
        raise InputError("E-RGB", f"is {what}; only 8 or 16 bit grey can be read.", path=path, cure=cure)
    if depth < 8:
        raise InputError(
            "E-DTYPE", f"holds {depth} bits per pixel.", path=path, cure="Save it with 8 or 16 bits per pixel."
        )
    return (n_rows, n_columns), np.dtype(np.uint8 if depth == 8 else np.uint16)


def _pixels_per_metre(body: bytes | None, path: Path) -> tuple[int, int] | None:
    if body is None:
        return None
    along_x, along_y, unit = struct.unpack(">IIB", body)
    if unit > 1:
        raise damaged(path, f"gives its pixel size in unit {unit}, which PNG does not allow.")
    return (along_y, along_x) if unit == 1 and along_x and along_y else None


def pixel_chunks(data: bytes, path: Path) -> bytes:
    """The same PNG without any chunk that its pixels do not need; every checksum is compared.

    Parameters
    ----------
    data : bytes
        The whole file.
    path : Path
        The file, for messages.

    Returns
    -------
    bytes
        Signature, header, pixels and end mark.

    Raises
    ------
    InputError
        ``E-PNG``: cut off, a wrong checksum, or a chunk that must be understood and is not.
    """
    whole, parts, start = memoryview(data), [memoryview(SIGNATURE)], len(SIGNATURE)
    for _ in range(MOST_CHUNKS):
        length, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        stop = start + 12 + length
        if len(kind) < 4 or stop > len(data):
            raise damaged(path, f"is cut off at byte {len(data)}.")
        if zlib.crc32(whole[start + 4 : stop - 4]).to_bytes(4, "big") != data[stop - 4 : stop]:
            raise damaged(path, f"has a wrong checksum in its chunk {kind!r} at byte {start}.")
        if kind in PIXEL_CHUNKS:
            parts.append(whole[start:stop])
        elif not kind[0] & 32:  # a first letter in upper case: the image must not be read without this chunk
            raise damaged(path, f"needs a chunk {kind!r} that is not understood.")
        if kind == b"IEND":
            return b"".join(parts)
        start = stop
    raise damaged(path, f"has more than {MOST_CHUNKS} chunks.")


def damaged(path: Path, what: str) -> InputError:
    """The error for a PNG that is not as the standard wants it."""
    return InputError("E-PNG", what, path=path, cure="It is damaged or incomplete; copy or export it again.")


@dataclass(frozen=True, eq=False)
class ReadPngPlane:
    """``read_planes`` of one grey PNG; picklable, keeps no open file.

    Parameters
    ----------
    stamp : FileStamp
        The file, as it was when opened.
    plane_shape : tuple of 2 int
        Y, X.
    dtype : numpy dtype
        uint8 or uint16.
    """

    stamp: FileStamp
    plane_shape: tuple[int, int]
    dtype: np.dtype[Any]

    def __call__(self, _frame: int, _channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Voxels (1, Y, X), or none where ``z_start`` is ``z_stop``."""
        import imagecodecs

        path = self.stamp.path
        self.stamp.check()
        with parsing(path, "E-PNG"):
            data = path.read_bytes()
        # Checked before decoding, so that a file that changed meanwhile is called changed and not damaged.
        self.stamp.check()
        chunks = pixel_chunks(data, path)
        del data
        with parsing(path, "E-PNG"):
            pixels = np.asarray(imagecodecs.png_decode(chunks))
        if pixels.shape != self.plane_shape or pixels.dtype != self.dtype:
            raise damaged(path, f"holds {pixels.shape} {pixels.dtype}, not {self.plane_shape} {self.dtype}.")
        return pixels[np.newaxis][z_start:z_stop]
