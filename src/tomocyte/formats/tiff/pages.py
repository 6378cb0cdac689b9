"""TIFF pages: opening a file, checking every page against the bytes present, and reading planes from it.

What the pages *mean* (axes, voxel size) is read in ``meta``; here are only directories, segments and pixels. To
allow a harmless message of the TIFF library, add its words to ``HARMLESS``; to allow a codec's larger expansion, add it
to ``EXPANSION``.
"""

from __future__ import annotations

import io
import logging
import math
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray

from tomocyte.errors import InputError, TomocyteError
from tomocyte.formats._axes import as_planes, selection, shape_tczyx
from tomocyte.formats._hostile import FileStamp, check_fits_memory, declared_nbytes, parsing
from tomocyte.volume import Shape5

HARMLESS = (
    "GDAL_NODATA",
    "GeoKeyDirectory",
    "coercing invalid ASCII",
    "<tifffile.imagej_metadata>",
    "<tifffile.read_micromanager_metadata>",
)
EXPANSION = {1: 1, 5: 3000, 8: 1032, 32773: 64, 32946: 1032, 34925: 10_000, 34926: 40_000, 50000: 40_000}
"""By how much each known codec can expand: none, LZW, deflate, PackBits, old deflate, LZMA, zstd (old and new code).

Lossy and bilevel codecs are left out: a measurement needs the true values, and some crash the process on damaged data.
"""
LZW = 5
SLACK_NBYTES = 4096
LARGEST_TAG_COUNT = 4096
TYPE_NBYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}

LIBRARY_ERRORS = (tifffile.TiffFileError,)
MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


@dataclass(frozen=True)
class Page:
    """One checked page.

    Parameters
    ----------
    offset : int
        Where its directory (IFD) begins, in bytes.
    plane_shape : tuple of 2 int
        Y, X.
    dtype : numpy dtype
        As voxels are returned, in native byte order.
    n_samples : int
        Values per pixel, 1 unless the image is in colour.
    is_planar : bool
        Whether samples are stored one plane after the other.
    is_reduced : bool
        Whether it is a thumbnail or a level of a pyramid.
    is_described : bool
        Whether it carries a JSON description of its own, as the first page of each of tifffile's images does.
    raw_offset : int or None
        Where its pixels begin when they lie in one uncompressed run, else ``None``.
    """

    offset: int
    plane_shape: tuple[int, int]
    dtype: np.dtype[Any]
    n_samples: int
    is_planar: bool
    is_reduced: bool
    is_described: bool
    raw_offset: int | None

    @property
    def kind(self) -> tuple[object, ...]:
        """What pages of one image share."""
        return self.plane_shape, self.dtype, self.n_samples, self.is_planar


def truncated(path: Path, problem: str) -> InputError:
    """The error for missing bytes or planes."""
    return InputError(
        "E-TIFF-TRUNC", problem, path=path, cure="The file is cut off or damaged; copy or export it again."
    )


class _Listener(logging.Filter):
    """Keeps, and keeps quiet, what the TIFF library logs in this thread at WARNING or above."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()
        self.heard: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the first line of the message and let only other threads' records pass."""
        if record.thread != self.thread or record.levelno < logging.WARNING:
            return True
        self.heard.append(record.getMessage().split("\n", 1)[0][:200])
        return False


def is_tiff(path: Path) -> bool:
    """Whether the file begins like a TIFF or BigTIFF; never raises."""
    try:
        with path.open("rb") as file:
            return file.read(4) in MAGIC
    except OSError:
        return False


@contextmanager
def open_tiff(path: Path, stream: BinaryIO | None = None) -> Iterator[tifffile.TiffFile]:
    """A ``TiffFile`` whose complaints are errors and whose series (which follow other files) are never touched.

    ``stream`` is a TIFF that lies inside the file ``path``, which then only names it.

    Raises
    ------
    InputError
        ``E-TIFF-TRUNC`` or ``E-TIFF``.
    """
    listener = _Listener()
    logger = logging.getLogger("tifffile")
    logger.addFilter(listener)
    try:
        with parsing(path, "E-TIFF", also=LIBRARY_ERRORS):
            tif = tifffile.TiffFile(path if stream is None else stream)
        with tif:
            yield tif
    finally:
        logger.removeFilter(listener)
    complaints = [words for words in listener.heard if not any(phrase in words for phrase in HARMLESS)]
    if complaints:
        raise truncated(path, f"the TIFF structure is damaged ({complaints[0]}).")


def first_tags(path: Path) -> frozenset[int]:
    """The numbers of the tags of the first page, read before any library looks at what they hold; none if damaged."""
    with path.open("rb") as file:
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
        is_big = head[2:4] in (b"+\x00", b"\x00+")
        offset_format, count_format, entry_nbytes = ("Q", "Q", 20) if is_big else ("I", "H", 12)
        place = head[8:16] if is_big else head[4:8]
        if not order or len(place) != struct.calcsize(offset_format):
            return frozenset()
        offset = struct.unpack(order + offset_format, place)[0]
        if offset >= file.seek(0, io.SEEK_END):
            return frozenset()
        file.seek(offset)
        count = file.read(struct.calcsize(count_format))
        if len(count) != struct.calcsize(count_format):
            return frozenset()
        n_tags = min(struct.unpack(order + count_format, count)[0], LARGEST_TAG_COUNT)
        body = file.read(n_tags * entry_nbytes)
    starts = range(0, len(body) - entry_nbytes + 1, entry_nbytes)
    return frozenset(struct.unpack(order + "H", body[start : start + 2])[0] for start in starts)


def directory_offsets(path: Path) -> list[int]:
    """Offsets of all directories (IFDs), each checked to lie, with all its tags' values, inside the file.

    Raises
    ------
    InputError
        ``E-TIFF-TRUNC`` for anything outside the file, ``E-TIFF`` for a circular or absurd chain.
    """
    with path.open("rb") as file:
        nbytes = file.seek(0, io.SEEK_END)
        file.seek(0)
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
        if head[:4] not in MAGIC or len(head) < 8:
            raise InputError(
                "E-TIFF", "not a TIFF file.", path=path, cure="Check the file; give it the ending of its real format."
            )
        is_big = head[2:4] in (b"+\x00", b"\x00+")
        if is_big and len(head) < 16:
            raise truncated(path, f"holds only {nbytes} bytes.")
        offset = int(struct.unpack(order + "Q", head[8:16])[0] if is_big else struct.unpack(order + "I", head[4:8])[0])
        found: list[int] = []
        offsets: set[int] = set()
        while offset:
            if offset in offsets:
                raise InputError("E-TIFF", f"page {len(found)} leads back to an earlier one.", path=path)
            if offset >= nbytes:
                raise truncated(path, f"page {len(found)} should begin at byte {offset} of {nbytes}.")
            offsets.add(offset)
            found.append(offset)
            file.seek(offset)
            offset = _next_directory(file, order, is_big, nbytes=nbytes, index=len(found) - 1, path=path)
    if not found:
        raise truncated(path, "holds no page.")
    return found


def _next_directory(file: io.BufferedReader, order: str, is_big: bool, *, nbytes: int, index: int, path: Path) -> int:
    """Check the directory at the file's position and return the offset of the next, 0 after the last."""
    count_format, entry_format, offset_format = ("Q", "HHQQ", "Q") if is_big else ("H", "HHII", "I")
    head = file.read(struct.calcsize(count_format))
    n_tags = struct.unpack(order + count_format, head)[0] if len(head) == struct.calcsize(count_format) else 0
    if not 1 <= n_tags <= LARGEST_TAG_COUNT:
        raise truncated(path, f"the directory of page {index} is damaged ({n_tags} tags).")
    entry_nbytes = struct.calcsize(order + entry_format)
    body = file.read(n_tags * entry_nbytes + struct.calcsize(offset_format))
    if len(body) != n_tags * entry_nbytes + struct.calcsize(offset_format):
        raise truncated(path, f"the file ends within the directory of page {index}.")
    inline = struct.calcsize(offset_format)
    for tag, kind, count, value in struct.iter_unpack(order + entry_format, body[:-inline]):
        size = TYPE_NBYTES.get(kind, 1) * count
        if size > inline and value + size > nbytes:
            raise truncated(path, f"tag {tag} of page {index} needs {size} bytes at {value} of {nbytes}.")
    return int(struct.unpack(order + offset_format, body[-inline:])[0])


def load_page(tif: tifffile.TiffFile, offset: int, index: int) -> tifffile.TiffPage:
    """The page whose directory begins at ``offset``."""
    tif.filehandle.seek(offset)
    return tifffile.TiffPage(tif, index=index)


def check_page(page: tifffile.TiffPage, path: Path, *, file_nbytes: int) -> Page:
    """Check one page: its shape, type and size, and that every segment lies inside the file.

    Raises
    ------
    InputError
        ``E-TIFF-TRUNC``, ``E-TIFF``, ``E-TIFF-CODEC``, ``E-SHAPE``, ``E-DTYPE`` or ``E-BOMB``.
    """
    if page.dtype is None:
        raise InputError(
            "E-DTYPE", f"{page.bitspersample}-bit pixels of format {page.sampleformat} are not understood.", path=path
        )
    if page.imagedepth != 1:
        raise InputError(
            "E-TIFF-KIND", f"page {page.index} holds {page.imagedepth} planes.", path=path, cure="Export as OME-TIFF."
        )
    if int(page.compression) not in EXPANSION:
        raise InputError(
            "E-TIFF-CODEC",
            f"is compressed with {getattr(page.compression, 'name', page.compression)}.",
            path=path,
            cure="Export it without compression or with a lossless one: zlib (deflate), LZW, zstd, LZMA or PackBits.",
        )
    shape = (page.imagelength, page.imagewidth, page.samplesperpixel)
    declared_nbytes(shape, page.dtype, path)
    _check_segments(page, path, file_nbytes)
    is_raw = page.is_contiguous and page.fillorder == 1 and page.predictor == 1
    if is_raw and page.dataoffsets[0] + page.nbytes > file_nbytes:
        raise truncated(path, f"page {page.index} ends at byte {page.dataoffsets[0] + page.nbytes} of {file_nbytes}.")
    return Page(
        offset=page.offset,
        plane_shape=shape[:2],
        dtype=page.dtype.newbyteorder("="),
        n_samples=page.samplesperpixel,
        is_planar=page.planarconfig == 2 and page.samplesperpixel > 1,
        is_reduced=page.is_reduced,
        is_described=page.is_shaped,
        raw_offset=page.dataoffsets[0] if is_raw and page.samplesperpixel == 1 else None,
    )


def _check_segments(page: tifffile.TiffPage, path: Path, file_nbytes: int) -> None:
    offsets, counts = page.dataoffsets, page.databytecounts
    n_segments = math.prod(page.chunked)
    if not len(offsets) == len(counts) == n_segments:
        raise truncated(path, f"page {page.index} has {len(offsets)} of {n_segments} strips or tiles.")
    for offset, count in zip(offsets, counts, strict=True):
        if offset <= 0 or count <= 0 or offset + count > file_nbytes:
            problem = f"page {page.index}: {count} bytes of pixels at byte {offset} of {file_nbytes}."
            raise truncated(path, problem)
    bits = page.bitspersample if isinstance(page.bitspersample, int) else 8 * page.dtype.itemsize
    n_samples = 1 if page.planarconfig == 2 else page.samplesperpixel
    if page.is_tiled:
        segment = page.tilelength * -(-page.tilewidth * n_samples * bits // 8)
        needed = n_segments * segment
    else:
        n_rows = page.imagelength * (page.samplesperpixel if page.planarconfig == 2 else 1)
        needed = n_rows * -(-page.imagewidth * n_samples * bits // 8)
    compression = int(page.compression)
    limit = EXPANSION[compression]
    stored = sum(counts)
    if compression == 1 and needed > stored:
        raise truncated(path, f"page {page.index} needs {needed} bytes of pixels and has {stored}.")
    if compression != 1 and needed > limit * stored + SLACK_NBYTES:
        raise InputError(
            "E-BOMB",
            f"page {page.index}: {stored} stored bytes cannot unpack to {needed}.",
            path=path,
            cure="The header is damaged or hostile; export the file again.",
        )
    check_fits_memory(needed, path=path, what=f"page {page.index}")


def _check_lzw(page: tifffile.TiffPage, path: Path) -> None:
    """Raise ``E-TIFF`` unless every LZW segment can be unpacked without leaving the decoder's table."""
    import imagecodecs

    from tomocyte.formats._lzw import is_sound_lzw

    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        page.parent.filehandle.seek(offset)
        stream = page.parent.filehandle.read(count)
        if page.fillorder == 2:
            stream = imagecodecs.bitorder_decode(stream)
        if not is_sound_lzw(stream):
            raise InputError(
                "E-TIFF", f"the LZW data at byte {offset} are damaged.", path=path, cure="Export the file again."
            )


def scan(tif: tifffile.TiffFile, path: Path) -> list[Page]:
    """Every page, checked."""
    file_nbytes = tif.filehandle.size
    pages = []
    for index, offset in enumerate(directory_offsets(path)):
        with parsing(path, "E-TIFF", what=f"page {index}", also=LIBRARY_ERRORS):
            pages.append(check_page(load_page(tif, offset, index), path, file_nbytes=file_nbytes))
    return pages


@dataclass(frozen=True, eq=False)
class ReadTiffPlanes:
    """``read_planes`` of a TIFF volume; opens the files itself, so any process or thread may call it.

    Parameters
    ----------
    stamps : tuple of FileStamp
        The files, as they were when opened.
    table : ndarray (T, C, Z, 3), int64
        For each plane: index into ``stamps``, byte offset of the page's directory (of its pixels when ``is_raw``), and
        the sample to take, -1 when the page has only one.
    plane_shape : tuple of 2 int
        Y, X.
    dtype : numpy dtype
        As returned, in native byte order.
    is_raw : bool
        Whether planes without directories follow each other uncompressed.
    raw_byte_order : str
        ``<`` or ``>``, for ``is_raw``.
    """

    stamps: tuple[FileStamp, ...]
    table: NDArray[np.int64]
    plane_shape: tuple[int, int]
    dtype: np.dtype[Any]
    is_raw: bool = False
    raw_byte_order: str = "<"

    def __call__(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Voxels (z_stop - z_start, Y, X).

        Raises
        ------
        InputError
            ``E-INPUT-CHANGED``, ``E-TIFF`` or ``E-TIFF-TRUNC``.
        ResourceError
            ``E-MEM``.
        """
        shape = (z_stop - z_start, *self.plane_shape)
        path = self.stamps[0].path
        if shape[0]:
            check_fits_memory(declared_nbytes(shape, self.dtype, path), path=path, what=f"{shape[0]} planes")
        voxels = np.empty(shape, dtype=self.dtype)
        rows = self.table[frame, channel, z_start:z_stop]
        for index in np.unique(rows[:, 0]).tolist():
            self._read_file(self.stamps[index], rows, np.flatnonzero(rows[:, 0] == index), voxels)
        return voxels

    def _read_file(
        self, stamp: FileStamp, rows: NDArray[np.int64], wanted: NDArray[np.intp], voxels: NDArray[Any]
    ) -> None:
        stamp.check()
        try:
            if self.is_raw:
                self._read_raw(stamp.path, rows, wanted, voxels)
            else:
                self._read_pages(stamp.path, rows, wanted, voxels)
        except TomocyteError:
            stamp.check()  # a file that shrank while we read is not a damaged file
            raise
        stamp.check()

    def _read_pages(self, path: Path, rows: NDArray[np.int64], wanted: NDArray[np.intp], voxels: NDArray[Any]) -> None:
        with open_tiff(path) as tif:
            for plane in wanted.tolist():
                _, offset, sample = rows[plane].tolist()
                with parsing(path, "E-TIFF", what=f"the page at byte {offset}", also=LIBRARY_ERRORS):
                    page = load_page(tif, offset, 1)
                    if int(page.compression) == LZW:
                        _check_lzw(page, path)
                    pixels = page.asarray(maxworkers=1)
                if sample >= 0:
                    pixels = pixels[sample] if page.planarconfig == 2 else pixels[..., sample]
                if pixels.shape != self.plane_shape or pixels.dtype.newbyteorder("=") != self.dtype:
                    raise truncated(path, f"the page at byte {offset} holds {pixels.shape}, not {self.plane_shape}.")
                voxels[plane] = pixels

    def _read_raw(self, path: Path, rows: NDArray[np.int64], wanted: NDArray[np.intp], voxels: NDArray[Any]) -> None:
        n_pixels = math.prod(self.plane_shape)
        stored = self.dtype.newbyteorder(self.raw_byte_order)  # type: ignore[arg-type]
        with path.open("rb") as file:
            for plane in wanted.tolist():
                pixels = np.fromfile(file, dtype=stored, count=n_pixels, offset=int(rows[plane, 1]) - file.tell())
                if pixels.size != n_pixels:
                    raise truncated(path, f"the plane at byte {rows[plane, 1]} is incomplete.")
                voxels[plane] = pixels.reshape(self.plane_shape)


@dataclass(frozen=True, eq=False)
class ReadReorderedPlanes:
    """``read_planes`` of a TIFF whose pages are not planes Y, X of the volume, such as one with channels last.

    Parameters
    ----------
    pages : ReadTiffPlanes
        Reads pages as they are stored; its table has one axis per letter of ``axes`` but the last two.
    axes : str
        Letters of the stored array: those of the table, then the two of a page.
    """

    pages: ReadTiffPlanes
    axes: str

    @property
    def shape(self) -> Shape5:
        """T, C, Z, Y, X."""
        return shape_tczyx(self.axes, (*self.pages.table.shape[:-1], *self.pages.plane_shape))

    def __call__(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Voxels (z_stop - z_start, Y, X); reads every page that holds some of them.

        Raises
        ------
        TomocyteError
            As :class:`ReadTiffPlanes`.
        """
        grid, page = self.axes[:-2], self.axes[-2:]
        rows = self.pages.table[selection(grid, frame, channel, z_start, z_stop)]
        inner = selection(page, frame, channel, z_start, z_stop)
        table = rows.reshape(1, 1, -1, 3)
        stored = replace(self.pages, table=table)(0, 0, 0, table.shape[2])
        block = stored.reshape(*rows.shape[:-1], *self.pages.plane_shape)[(..., *inner)]
        return as_planes(block, self.axes)
