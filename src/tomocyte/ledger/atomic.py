"""Writing that survives a kill, a full disk and a failing system call.

Here live the primitives below the ledger: errors of the operating system in plain words, files that are either whole or
absent, and hashes. To add a primitive, write a function that goes through ``os`` (so that the tests can make each call
fail), syncs what it wrote, and raises :class:`~tomocyte.errors.OutputError`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tomocyte.errors import OutputError

PART = re.compile(r"\.part\d+-[0-9a-f]{8}(?=\.|$)")
"""What the name of everything unfinished contains: who wrote it (pid) and a token that no other run shares."""

LONGEST_NAME_BYTES = 255
"""Of one name on common file systems."""

_FULL = {errno.ENOSPC, errno.EFBIG, *([errno.EDQUOT] if hasattr(errno, "EDQUOT") else [])}
_FULL_WORDS = ("no space left on device", "disk quota exceeded", "file too large")  # libraries that drop the number
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
READ = os.O_RDONLY | getattr(os, "O_BINARY", 0)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or what caused it, says that the disk, quota or file size limit is reached."""
    if isinstance(error, OSError) and (error.errno in _FULL or any(w in str(error).lower() for w in _FULL_WORDS)):
        return True
    return error.__cause__ is not None and is_disk_full(error.__cause__)


def _free_bytes(path: Path) -> int | None:
    for folder in (path, *path.parents):
        if folder.exists():
            try:
                return shutil.disk_usage(folder).free
            except OSError:
                return None
    return None


def output_error(error: OSError, path: str | Path, *, needed_bytes: int | None = None) -> OutputError:
    """The same failure in plain words, with a stable code and a cure.

    Parameters
    ----------
    error : OSError
        What the operating system, or a library that writes, raised.
    path : path-like
        What was being written.
    needed_bytes : int, optional
        How much was to be written, where known.

    Returns
    -------
    OutputError
        ``E-DISK`` full disk, quota or size limit; ``E-OUT-RO`` no permission or read-only; ``E-OUT-NAME`` name too
        long; ``E-OUT-NOTDIR`` a file stands where a folder should be; ``E-OUT-IO`` anything else.

    Examples
    --------
    >>> output_error(OSError(28, "No space left on device"), "/nowhere/a.tif", needed_bytes=10).code
    'E-DISK'
    """
    if isinstance(error, OutputError):
        return error
    reason = error.strerror or str(error) or type(error).__name__
    if is_disk_full(error):
        needed = "" if needed_bytes is None else f"{needed_bytes} bytes needed, "
        free = _free_bytes(Path(path))
        problem = f"the disk is full ({needed}{'unknown' if free is None else free} bytes free; {reason})."
        return OutputError(
            "E-DISK", problem, path=path, cure="Free space or raise the quota, then run the same command again."
        )
    if error.errno in _FORBIDDEN:
        cure = "Choose a folder you may write to."
        return OutputError("E-OUT-RO", f"cannot be written ({reason}).", path=path, cure=cure)
    if error.errno == errno.ENAMETOOLONG:
        return OutputError("E-OUT-NAME", "the name is too long.", path=path, cure="Use a folder with a shorter path.")
    if isinstance(error, NotADirectoryError | FileExistsError):
        problem = f"a file stands where a folder is needed ({reason})."
        return OutputError("E-OUT-NOTDIR", problem, path=path, cure="Choose another folder.")
    cure = "Check the disk or the network share, then run the same command again."
    return OutputError("E-OUT-IO", f"writing failed ({reason}).", path=path, cure=cure)


@contextmanager
def writing(path: str | Path, *, needed_bytes: int | None = None) -> Iterator[None]:
    """Turn every :class:`OSError` of the block into an :class:`~tomocyte.errors.OutputError` about ``path``."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise output_error(error, path, needed_bytes=needed_bytes) from error


def part_name(name: str) -> str:
    """A name for the unfinished form of ``name``, never used before, with the same suffixes.

    Examples
    --------
    >>> part_name("objects.csv").startswith("objects.part"), part_name("objects.csv").endswith(".csv")
    (True, True)
    """
    head, dot, tail = name.partition(".")
    mark = f".part{os.getpid()}-{secrets.token_hex(4)}{dot}{tail}"
    n_bytes = max(1, LONGEST_NAME_BYTES - len(os.fsencode(mark)))
    return f"{os.fsdecode(os.fsencode(head)[:n_bytes])}{mark}"


def part_folder(name: str) -> str:
    """A name for the unfinished form of the folder ``name``; the mark stands at the end."""
    return f"{name}.part{os.getpid()}-{secrets.token_hex(4)}"


def sync_file(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    # Windows flushes only through a handle that may write.
    descriptor = os.open(path, os.O_RDWR | READ if sys.platform == "win32" else READ)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk (Windows has no such call and needs none)."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, READ)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits."""
    descriptor = os.open(path, READ)
    with os.fdopen(descriptor, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def plain_files(root: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a folder, as ``(relative path with /, path)`` in sorted order.

    Raises
    ------
    OutputError
        ``E-OUT-LINK``: a link, pipe or device, whose content cannot be verified.
    OSError
        A folder cannot be listed.
    """
    for entry in sorted(os.scandir(root), key=lambda e: e.name):
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            for relative, inner in plain_files(path):
                yield f"{entry.name}/{relative}", inner
        elif entry.is_file(follow_symlinks=False):
            yield entry.name, path
        else:
            raise OutputError("E-OUT-LINK", "is neither a file nor a folder.", path=path, cure="Write plain files.")


def sync_tree(root: Path) -> None:
    """Wait until all files and folders below ``root``, and ``root`` itself, are on the disk."""
    for _, path in plain_files(root):
        sync_file(path)
    for folder, _, _ in os.walk(root, topdown=False):
        sync_folder(Path(folder))


def write_whole(path: Path, data: bytes) -> None:
    """Write a new file and wait until it is on the disk; the file must not exist."""
    descriptor = os.open(path, _CREATE, 0o666)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_in_place(part: Path, final: Path) -> None:
    """Give a finished, synced file its final name; from here on it exists."""
    os.replace(part, final)
    sync_folder(final.parent)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that, whatever happens, its name holds the old content or the new, never a mixture."""
    with writing(path, needed_bytes=len(data)):
        part = path.with_name(part_name(path.name))
        write_whole(part, data)
        put_in_place(part, path)


def publish_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Like :func:`write_atomic`, for content that a library writes to the path it is given (same suffixes)."""
    with writing(path):
        part = path.with_name(part_name(path.name))
        try:
            write(part)
            sync_file(part)
            put_in_place(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
