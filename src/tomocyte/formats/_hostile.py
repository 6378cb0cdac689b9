"""Checks that every reader makes before it believes a file: sizes, XML, other files named inside, changes while open.

Nothing here reads voxels or knows a format. To add a check, write a function that takes what the file declares and
either returns the checked value or raises an :class:`~tomocyte.errors.InputError` with a stable code.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import psutil
from numpy.typing import DTypeLike

from tomocyte.errors import InputError, ResourceError, TomocyteError

LARGEST_NDIM = 16
LARGEST_AXIS = 2**31 - 1
LARGEST_EXPANSION = 1000
EXPANSION_MATTERS_ABOVE = 4 * 2**30
XML_LARGEST_BYTES = 64 * 2**20

PARSER_ERRORS: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    StopIteration,
    SyntaxError,  # xml.etree.ElementTree.ParseError is one
    TypeError,
    ValueError,
    Warning,
    struct.error,
    zlib.error,
)
"""What a library may raise when it parses a damaged file."""

_DOCTYPE = re.compile(r"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)
_URL = re.compile(r"^[a-z][a-z0-9+.\-]*:", re.IGNORECASE)


@dataclass(frozen=True)
class FileStamp:
    """Size and modification time of a file when it was opened.

    Parameters
    ----------
    path : Path
        The file.
    nbytes : int
        Its size in bytes.
    mtime_ns : int
        Its modification time in ns.
    """

    path: Path
    nbytes: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> FileStamp:
        """The stamp of ``path`` as it is now.

        Raises
        ------
        InputError
            ``E-NOT-FOUND`` when the file cannot be looked at.
        """
        try:
            status = path.stat()
        except OSError as error:
            raise InputError(
                "E-NOT-FOUND", f"the file cannot be opened ({error.strerror}).", path=path, cure="Check the path."
            ) from error
        return cls(path, status.st_size, status.st_mtime_ns)

    def check(self) -> None:
        """Raise ``E-INPUT-CHANGED`` unless the file still has this size and modification time."""
        try:
            now = FileStamp.of(self.path)
        except InputError as error:
            raise _changed(self.path, "it was deleted") from error
        if now != self:
            raise _changed(self.path, f"{self.nbytes} bytes became {now.nbytes}, or it was written again")


def _changed(path: Path, change: str) -> InputError:
    return InputError(
        "E-INPUT-CHANGED",
        f"the file changed after it was opened: {change}.",
        path=path,
        cure="Wait until it is complete, then run again.",
    )


@contextmanager
def parsing(path: Path, code: str, *, what: str = "the file", also: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn whatever a library raises over a damaged file into one ``InputError``.

    Errors of this package pass unchanged. Keep the block small: it should hold calls into the parsing library, so that
    a mistake of our own is not taken for a damaged file.

    Parameters
    ----------
    path : Path
        The file, for the message.
    code : str
        Code of the error, e.g. ``E-TIFF``.
    what : str
        What was being read, e.g. ``"page 3"``.
    also : tuple of exception types
        The library's own, where they are not among :data:`PARSER_ERRORS`.

    Raises
    ------
    InputError
        ``code``, with the library's own words.
    """
    try:
        yield
    except TomocyteError:
        raise
    except (*PARSER_ERRORS, *also) as error:
        words = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise InputError(
            code, f"{what} cannot be read ({words}).", path=path, cure="It is damaged or incomplete; export it again."
        ) from error


def declared_nbytes(shape: Sequence[int], dtype: DTypeLike, path: Path) -> int:
    """Bytes that a file declares, computed without overflow.

    Parameters
    ----------
    shape : sequence of int
        Declared sizes, as found in the file; nothing is believed yet.
    dtype : dtype-like
        Declared type of one element.
    path : Path
        The file, for the message.

    Returns
    -------
    int
        ``prod(shape) * itemsize`` as a Python integer.

    Raises
    ------
    InputError
        ``E-SHAPE`` for no axis, more than 16 axes, a size below 1 or above 2³¹ - 1, or a type that is not a number.
    """
    kind = np.dtype(dtype)
    sizes = [int(size) for size in shape]
    if not 1 <= len(sizes) <= LARGEST_NDIM or any(not 1 <= size <= LARGEST_AXIS for size in sizes):
        shown = tuple(sizes[:LARGEST_NDIM])
        raise InputError(
            "E-SHAPE",
            f"declares the shape {shown}; each of 1 to {LARGEST_NDIM} axes must be 1 to {LARGEST_AXIS}.",
            path=path,
            cure="The header is damaged; export the file again.",
        )
    if kind.kind not in "biuf":
        raise InputError(
            "E-DTYPE",
            f"holds voxels of type {kind}; integers, floats and booleans can be read.",
            path=path,
            cure="Export it as float32 or an integer type.",
        )
    total = kind.itemsize
    for size in sizes:
        total *= size
    return total


def check_declared_bytes(
    shape: Sequence[int],
    dtype: DTypeLike,
    *,
    path: Path,
    stored_nbytes: int,
    is_compressed: bool,
    code: str = "E-TRUNC",
) -> int:
    """Compare what a file declares with what it holds, before anything is allocated.

    Parameters
    ----------
    shape : sequence of int
        Declared sizes.
    dtype : dtype-like
        Declared type of one element.
    path : Path
        The file, for the message.
    stored_nbytes : int
        Bytes that hold (or may at most hold) the voxels, e.g. the size of the file.
    is_compressed : bool
        Without compression the declared bytes must not exceed the stored ones; with it, more than 4 GiB that are more
        than 1000 times the stored bytes are refused.
    code : str
        Code of the error for missing bytes, e.g. ``E-TIFF-TRUNC``.

    Returns
    -------
    int
        Declared bytes.

    Raises
    ------
    InputError
        ``code``, ``E-BOMB``, ``E-SHAPE`` or ``E-DTYPE``.
    """
    declared = declared_nbytes(shape, dtype, path)
    if not is_compressed and declared > stored_nbytes:
        raise InputError(
            code,
            f"declares {declared} bytes of voxels {tuple(shape)} {np.dtype(dtype)} but holds at most {stored_nbytes}.",
            path=path,
            cure="It is cut off or damaged; copy or export it again.",
        )
    is_bomb = declared > EXPANSION_MATTERS_ABOVE and declared > LARGEST_EXPANSION * max(stored_nbytes, 1)
    if is_compressed and is_bomb:
        raise InputError(
            "E-BOMB",
            f"{stored_nbytes} stored bytes claim to unpack to {declared}, more than {LARGEST_EXPANSION} times as much.",
            path=path,
            cure="The header is damaged or hostile; export the file again.",
        )
    return declared


def memory_budget() -> int:
    """Bytes that one request may allocate now: nine tenths of the free memory."""
    return int(psutil.virtual_memory().available * 0.9)


def check_fits_memory(nbytes: int, *, path: Path, what: str, budget: int | None = None) -> None:
    """Raise ``E-MEM`` when ``what`` (e.g. ``"one plane"``) of ``nbytes`` does not fit into memory.

    ``budget`` in bytes replaces :func:`memory_budget`.
    """
    allowed = memory_budget() if budget is None else budget
    if nbytes > allowed:
        raise ResourceError(
            "E-MEM",
            f"{what} needs {nbytes} bytes; {allowed} are free.",
            path=path,
            cure="Use a machine with more memory, or crop or rechunk the file.",
        )


def check_xml(text: str | bytes, path: Path) -> str:
    """XML text without any document type, decoded.

    Raises
    ------
    InputError
        ``E-XML-DOCTYPE`` for a document type or entity declaration; ``E-XML`` when it is not text or above 64 MiB.
    """
    if len(text) > XML_LARGEST_BYTES:
        raise InputError("E-XML", f"holds {len(text)} bytes of XML, above {XML_LARGEST_BYTES}.", path=path)
    if isinstance(text, bytes):
        encoding = "utf-16" if text[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
        try:
            text = text.decode(encoding)
        except UnicodeDecodeError as error:
            raise InputError("E-XML", "its XML is not text.", path=path, cure="The file is damaged.") from error
    if _DOCTYPE.search(text):
        raise InputError(
            "E-XML-DOCTYPE",
            "its XML declares a document type or entity, which metadata never needs.",
            path=path,
            cure="Export the file again from the program that made it.",
        )
    return text


def companion_path(name: str, path: Path) -> Path:
    """A file named inside ``path``, resolved; it must lie inside the folder of ``path``.

    Parameters
    ----------
    name : str
        The name as written in the file, relative to the folder of ``path``; symbolic links are followed.
    path : Path
        The file that names it.

    Returns
    -------
    Path
        Absolute, resolved path of a regular file.

    Raises
    ------
    InputError
        ``E-COMPANION-OUTSIDE`` for an absolute name, a URL, a drive, or anything that leaves the folder;
        ``E-COMPANION-MISSING`` when there is no such file.
    """
    folder = path.resolve().parent
    plain = unquote(name)
    is_foreign = any(
        not text or "\0" in text or _URL.match(text) or text.startswith(("/", "\\")) or "\\" in text
        for text in (name, plain)
    )
    target = None if is_foreign else _resolved(folder, name)
    if target is None or not target.is_relative_to(folder) or target == folder:
        raise InputError(
            "E-COMPANION-OUTSIDE",
            f"names another file, {name!r}, outside its own folder.",
            path=path,
            cure="Put all files of the set into one folder and name them relative to it.",
        )
    if not target.is_file():
        raise InputError(
            "E-COMPANION-MISSING",
            f"names another file, {name!r}, that is not there.",
            path=path,
            cure="Copy all files of the set into one folder.",
        )
    return target


def _resolved(folder: Path, name: str) -> Path | None:
    try:
        return (folder / name).resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, a name the system refuses
        return None
