"""Who made this output: versions, machine facts and hashes.

Only what decides a result goes into hashes; times and paths never do. To record another fact, add it to
:func:`environment`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tomocyte import __version__
from tomocyte.errors import InputError
from tomocyte.names import LITTER
from tomocyte.progress import silent

RECORDED_LIBRARIES = (
    "numpy", "scipy", "scikit-image", "tifffile", "zarr", "h5py", "mrcfile", "numba", "torch",
    "edt", "fill-voids", "fastremap", "pandas", "pyarrow", "statsmodels",
)  # fmt: skip
HASH_CHUNK_BYTES = 4 << 20
WITHOUT_RESULTS = ("agreement", "cli", "comparison", "papers", "propagation", "runs", "training", "ui")
"""Rooms whose code decides nothing of what a run computes for an input."""


def environment() -> dict[str, Any]:
    """Versions of the program, Python and the libraries that decide a result, and the kind of machine."""
    versions: dict[str, str] = {}
    for name in RECORDED_LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "tomocyte": code_version(),
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "byte_order": sys.byteorder,
        "libraries": versions,
    }


@cache
def code_version() -> str:
    """The program's version with a hash of the code that decides the results of a run, e.g. ``0.1.0+c0ffee123456``.

    Results of one release and of a checkout between two releases are thereby told apart.
    """
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        place = file.relative_to(root)
        if place.parts[0] not in WITHOUT_RESULTS:
            digest.update(place.as_posix().encode() + b"\0" + file.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return f"{__version__}+{digest.hexdigest()[:12]}"


def now_utc() -> str:
    """The time now, UTC, ISO 8601 to the second; for people, never for a decision."""
    return datetime.now(tz=UTC).isoformat(timespec="seconds")


def sha256_of_json(content: Any) -> str:
    """SHA-256 of a JSON-able object, independent of the order of keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def sha256_of_path(path: Path, on_bytes: Callable[[int], None] = silent, *, beside: Sequence[Path] = ()) -> str:
    """SHA-256 of a file, of a file and those that belong to it, or of a folder's files with their relative names.

    Parameters
    ----------
    path : Path
        A file, or a folder (an OME-Zarr store, a folder of planes).
    on_bytes : callable
        Called with the number of bytes read since the last call.
    beside : sequence of Path
        Files beside or below a file that hold voxels of the same volume; with their names, relative to its folder.

    Raises
    ------
    InputError
        ``E-INPUT-CHANGED`` when a file's size or modification time changed while it was read.
    """
    digest = hashlib.sha256()
    folder = path.parent if beside else path
    files = [path] if path.is_file() else sorted(entry for entry in path.rglob("*") if _is_content(entry))
    for file in [*files, *sorted(beside)]:
        if file is not path:
            digest.update(os.fsencode(file.relative_to(folder).as_posix()) + b"\0")
        before = file.stat()
        with file.open("rb") as stream:
            while chunk := stream.read(HASH_CHUNK_BYTES):
                digest.update(chunk)
                on_bytes(len(chunk))
        after = file.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise InputError("E-INPUT-CHANGED", "the file changed while it was read.", path=file, cure="Run again.")
    return digest.hexdigest()


def _is_content(path: Path) -> bool:
    """Whether a file in a folder is part of its content: not what a file browser or a Mac's share dropped there."""
    return path.is_file() and path.name not in LITTER and not path.name.startswith("._")
