"""A model package as one .zip: written the same byte for byte every time, read as if it came from an enemy.

The standard library parses the archive, but every member is judged here before a byte is unpacked, and nothing is ever
written under a name that the archive chose. A further trick of hostile archives belongs into :func:`_judge`.
"""

from __future__ import annotations

import io
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tomocyte.errors import InputError
from tomocyte.ledger.atomic import publish_atomic
from tomocyte.models.card import LARGEST_CARD_BYTES
from tomocyte.models.package import load_package
from tomocyte.models.reading import CARD_FILE, PACKAGE_FILES, SELFTEST_FILE, WEIGHTS_FILE, read_plain
from tomocyte.models.selftest import LARGEST_SELFTEST_BYTES

MOST_MEMBERS = 64
LARGEST_DIRECTORY_BYTES = 1 << 16
LARGEST_TOTAL_BYTES = 1 << 30
LARGEST_RATIO = 200
LARGEST = {CARD_FILE: LARGEST_CARD_BYTES, WEIGHTS_FILE: LARGEST_TOTAL_BYTES, SELFTEST_FILE: LARGEST_SELFTEST_BYTES}
_END = struct.Struct("<4s4H2LH")
_ZIP64_LOCATOR = b"PK\x06\x07"
_ZIP64_LOCATOR_BYTES = 20
_DRIVE = re.compile(r"^[A-Za-z]:")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
_EPOCH = (1980, 1, 1, 0, 0, 0)
CURE = "Do not use this file; get the package from a source that you trust."


def read_archive(path: Path) -> dict[str, bytes]:
    """The three files of a package in a .zip, at its top or in its only folder; other members are judged, not unpacked.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict of str to bytes
        ``card.json``, ``weights.safetensors`` and ``selftest.safetensors``.

    Raises
    ------
    InputError
        ``E-MODEL-ZIP``: no plain .zip, too large, cut, encrypted, or without the three files; ``E-MODEL-ZIP-NAME``: a
        name that leaves the folder, is absolute, hidden from view or clashes with another; ``E-MODEL-ZIP-LINK``: a link
        or device; ``E-MODEL-ZIP-BOMB``: more members, bytes or compression than a package has.
    """
    try:
        _check_end(path)
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _judge(members, path)
            selected = _choose(members, path)
            return {name: _unpack(archive, member, LARGEST[name], path) for name, member in selected.items()}
    except (
        zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, OSError, NotImplementedError, UnicodeError,
        ValueError, struct.error,
    ) as error:  # fmt: skip
        if isinstance(error, InputError):
            raise
        raise InputError("E-MODEL-ZIP", f"cannot be unpacked ({error}).", path=path, cure=CURE) from error


def _check_end(path: Path) -> None:
    """Look at the end of the archive before a library parses a directory of any length."""
    size = path.stat().st_size
    if size > LARGEST_TOTAL_BYTES + LARGEST_SELFTEST_BYTES:
        raise InputError("E-MODEL-ZIP-BOMB", f"has {size:,} bytes, too many for a package.", path=path, cure=CURE)
    with path.open("rb") as stream:
        stream.seek(max(0, size - _END.size - _ZIP64_LOCATOR_BYTES))
        tail = stream.read()
    end = tail[-_END.size :]
    if len(end) < _END.size or not end.startswith(b"PK\x05\x06") or end[-2:] != b"\0\0":
        raise InputError("E-MODEL-ZIP", "is cut off, has a comment, or is not a .zip file.", path=path, cure=CURE)
    if tail[: -_END.size].startswith(_ZIP64_LOCATOR):
        raise InputError("E-MODEL-ZIP", "is a ZIP64 archive, which a model package never is.", path=path, cure=CURE)
    _, _, _, _, count, directory_nbytes, _, _ = _END.unpack(end)
    if count > MOST_MEMBERS or directory_nbytes > LARGEST_DIRECTORY_BYTES:
        problem = f"declares {count} members; a package has {len(PACKAGE_FILES)}, {MOST_MEMBERS} are allowed."
        raise InputError("E-MODEL-ZIP-BOMB", problem, path=path, cure=CURE)


def _judge(members: list[zipfile.ZipInfo], path: Path) -> None:
    if len(members) > MOST_MEMBERS:
        problem = f"has {len(members)} members; {MOST_MEMBERS} are allowed."
        raise InputError("E-MODEL-ZIP-BOMB", problem, path=path, cure=CURE)
    names: set[str] = set()
    for member in members:
        name = member.orig_filename
        problem = _name_problem(name)
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold()).rstrip("/")
        if not problem and folded in names:
            problem = "occurs twice (or differs only in case or Unicode form)"
        names.add(folded)
        if problem:
            raise InputError("E-MODEL-ZIP-NAME", f"member {name!r} {problem}.", path=path, cure=CURE)
        kind = stat.S_IFMT(member.external_attr >> 16)
        wanted = stat.S_IFDIR if name.endswith("/") else stat.S_IFREG
        if kind not in (0, wanted):
            raise InputError("E-MODEL-ZIP-LINK", f"member {name!r} is not a plain file.", path=path, cure=CURE)
        if member.flag_bits & 0x1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            problem = f"member {name!r} is encrypted or compressed in an unusual way."
            raise InputError("E-MODEL-ZIP", problem, path=path, cure=CURE)
        if member.file_size > LARGEST_RATIO * max(1, member.compress_size):
            problem = f"member {name!r} grows from {member.compress_size:,} to {member.file_size:,} bytes."
            raise InputError("E-MODEL-ZIP-BOMB", problem, path=path, cure=CURE)
    total = sum(member.file_size for member in members)
    if total > LARGEST_TOTAL_BYTES:
        problem = f"would unpack to {total:,} bytes; {LARGEST_TOTAL_BYTES:,} are allowed."
        raise InputError("E-MODEL-ZIP-BOMB", problem, path=path, cure=CURE)


def _name_problem(name: str) -> str:
    parts = name.removesuffix("/").split("/")
    if not name or any(unicodedata.category(character)[0] == "C" for character in name) or "\\" in name:
        return "has a name with hidden characters or backslashes"
    if name.startswith("/") or _DRIVE.match(name):
        return "has an absolute name"
    if any(part in ("", ".", "..") for part in parts):
        return "has a name that leaves its folder"
    if any(part.partition(".")[0].casefold() in _RESERVED or part != part.rstrip(". ") for part in parts):
        return "has a name that some systems cannot store"
    return ""


def _choose(members: list[zipfile.ZipInfo], path: Path) -> dict[str, zipfile.ZipInfo]:
    files = {member.filename: member for member in members if not member.filename.endswith("/")}
    cards = sorted(name for name in files if PurePosixPath(name).name == CARD_FILE and name.count("/") <= 1)
    if len(cards) != 1:
        problem = f"has {len(cards)} files {CARD_FILE} at its top level or in a folder there; a package has one."
        raise InputError("E-MODEL-ZIP", problem, path=path, cure=CURE)
    place = cards[0].removesuffix(CARD_FILE)
    missing = [name for name in PACKAGE_FILES if place + name not in files]
    if missing:
        raise InputError("E-MODEL-ZIP", f"does not contain {', '.join(missing)}.", path=path, cure=CURE)
    return {name: files[place + name] for name in PACKAGE_FILES}


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, largest_nbytes: int, path: Path) -> bytes:
    if member.file_size > largest_nbytes:
        problem = f"member {member.filename!r} has {member.file_size:,} bytes; {largest_nbytes:,} are allowed."
        raise InputError("E-MODEL-ZIP-BOMB", problem, path=path, cure=CURE)
    with archive.open(member) as stream:
        data = stream.read(member.file_size + 1)
    if len(data) != member.file_size:
        raise InputError("E-MODEL-ZIP", f"member {member.filename!r} is cut off.", path=path, cure=CURE)
    return data


def write_archive(path: Path, files: dict[str, bytes], *, is_compressed: bool = False) -> None:
    """Write a .zip whole or not at all; the same files always give the same bytes (no times, no owners).

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    files : dict of str to bytes
        In the order they are to stand.
    is_compressed : bool
        Weights hardly shrink, so the default stores them.

    Raises
    ------
    OutputError
        What :func:`tomocyte.ledger.writing` raises.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED if is_compressed else zipfile.ZIP_STORED
            archive.writestr(entry, data)
    publish_atomic(path, lambda part: _write(part, buffer.getvalue()))


def _write(part: Path, data: bytes) -> None:
    part.write_bytes(data)


def export_zip(folder: Path, path: Path) -> None:
    """A package as a .zip that ``tomocyte models import`` takes; the package is checked first.

    Parameters
    ----------
    folder : Path
        A package.
    path : Path
        The .zip; replaced if it exists.

    Raises
    ------
    InputError
        What :func:`tomocyte.models.load_package` raises.
    OutputError
        What :func:`tomocyte.ledger.writing` raises.
    """
    card = load_package(folder).card
    files = {name: read_plain(folder / name, largest_nbytes=LARGEST[name]) for name in PACKAGE_FILES}
    write_archive(path, {f"{card.name}/{name}": data for name, data in files.items()})
