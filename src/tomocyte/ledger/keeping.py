"""What a user made inside an output folder: found by comparing with what was written, and never lost.

A file that differs from what was written is *changed*, one that was not written is *added*. Changed results of an item
are never replaced (:class:`~tomocyte.ledger.Ledger` refuses), changed published files are kept under another name, and
added files are set aside while an item is made again and put back afterwards. A new kind of file that users may touch
is a new case of :func:`changes_of`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tomocyte.ledger.atomic import sha256_file, sync_folder
from tomocyte.ledger.record import CommitRecord, OutputFile
from tomocyte.names import LITTER

KEPT_NAME = "kept"
"""Folder for what stood in the way of new results and was not ours."""


@dataclass(frozen=True)
class Changes:
    """How an item's folder differs from what was written; relative paths with ``/``, sorted."""

    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether every file that was written is there as it was written."""
        return not (self.changed or self.missing)


def stamp(path: Path) -> tuple[int, int]:
    """Times of a file's content and of its entry, ns; a file whose size and stamp are as they were is unchanged."""
    status = os.lstat(path)
    return status.st_mtime_ns, status.st_ctime_ns


def changes_of(folder: Path, record: CommitRecord) -> Changes:
    """Compare an item's folder with its record.

    Size and both times decide where they are as they were; where one differs (a copied folder, an edit), the content is
    hashed, so an edit that keeps the size is seen.

    Raises
    ------
    OSError
        A file cannot be read.
    """
    present = dict(_all_files(folder)) if folder.is_dir() else {}
    changed = [
        name
        for name, output in record.outputs.items()
        if name in present and _differs(present[name], name, record, output)
    ]
    missing = [name for name in record.outputs if name not in present]
    added = [name for name in present if name not in record.outputs and name.rpartition("/")[2] not in LITTER]
    return Changes(tuple(sorted(changed)), tuple(sorted(missing)), tuple(sorted(added)))


def _differs(path: Path, name: str, record: CommitRecord, output: OutputFile) -> bool:
    status = os.lstat(path)
    if status.st_size != output.bytes:
        return True
    if record.stamps.get(name) == (status.st_mtime_ns, status.st_ctime_ns):
        return False
    return path.is_symlink() or sha256_file(path) != output.sha256


def _all_files(folder: Path, before: str = "") -> Iterator[tuple[str, Path]]:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _all_files(Path(entry.path), f"{before}{entry.name}/")
        else:
            yield f"{before}{entry.name}", Path(entry.path)


def set_aside(folder: Path, names: tuple[str, ...], kept: Path) -> None:
    """Move added files out of an item's folder, each by one rename, before the folder is replaced."""
    for name in names:
        target = free_name(kept / name)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(folder / name, target)
        sync_folder(target.parent)


def put_back(kept: Path, folder: Path) -> tuple[str, ...]:
    """Move what was set aside back into the item's folder; what has no place there stays, and is returned."""
    for name, path in sorted(_all_files(kept)):
        target = folder / name
        if not target.exists() and not target.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(path, target)
            sync_folder(target.parent)
    for place, _, _ in os.walk(kept, topdown=False):
        if not os.listdir(place):
            os.rmdir(place)
    return tuple(name for name, _ in sorted(_all_files(kept))) if kept.exists() else ()


def free_name(path: Path, word: str = "") -> Path:
    """The path itself, or with a number before the endings where it is taken; with ``word``, always ``.word-1``.

    Examples
    --------
    >>> free_name(Path("/nowhere/objects.csv")).name, free_name(Path("/nowhere/objects.csv"), "changed").name
    ('objects.csv', 'objects.changed-1.csv')
    """
    if not word and not os.path.lexists(path):
        return path
    head, dot, tail = path.name.partition(".")
    number = 1
    while os.path.lexists(free := path.with_name(f"{head}.{word or 'kept'}-{number}{dot}{tail}")):
        number += 1
    return free


def keep_changed(path: Path, written: Mapping[str, object] | None, accepted: tuple[str, ...] = ()) -> Path | None:
    """Give a file that is about to be replaced another name, unless it is exactly what was written.

    Parameters
    ----------
    path : Path
    written : mapping or None
        ``sha256`` and ``bytes`` as they were written; none where nobody knows.
    accepted : tuple of str
        Further hashes of content that is ours: of a replacement that was interrupted.

    Returns
    -------
    Path or None
        Where the changed file lies now; ``None`` where there is none.
    """
    if not os.path.lexists(path):
        return None
    if path.is_file() and not path.is_symlink():
        digest = sha256_file(path)
        if digest in accepted or (written is not None and digest == written["sha256"]):
            return None
    kept = free_name(path, "changed")
    os.rename(path, kept)
    sync_folder(kept.parent)
    return kept
