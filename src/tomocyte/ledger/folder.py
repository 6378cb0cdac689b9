"""The output folder of a run: who may write, what is unfinished, what is committed, what is published.

Layout: ``.lock``, ``.tomocyte.json`` (our marker), ``items/<item>/`` with ``items/<item>.done.json``, published files,
and ``manifest.json`` with their hashes. A new kind of output goes through :meth:`Ledger.commit` or
:meth:`Ledger.publish`; nothing else writes here.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tomocyte.errors import InputError, OutputError, SettingsError
from tomocyte.ledger.atomic import (
    PART,
    part_folder,
    part_name,
    plain_files,
    publish_atomic,
    put_in_place,
    sha256_file,
    sync_folder,
    sync_tree,
    write_atomic,
    write_whole,
    writing,
)
from tomocyte.ledger.lock import FolderLock
from tomocyte.ledger.names import RECORD_SUFFIX, is_safe_name
from tomocyte.ledger.record import CommitRecord, OutputFile, read_record, record_bytes
from tomocyte.ledger.sealed import seal, unseal
from tomocyte.names import LITTER, natural_key

LOCK_NAME = ".lock"
MARKER_NAME = ".tomocyte.json"
MANIFEST_NAME = "manifest.json"
ITEMS_NAME = "items"
MARKER = {"format": "tomocyte output", "layout": 1}


class Ledger:
    """An output folder, locked for this process from ``with`` to the end of the block.

    Parameters
    ----------
    out : path-like
        The folder; made where missing.

    Raises
    ------
    OutputError
        On entering: ``E-LOCKED`` another run works here; ``E-OUT-RO`` it cannot be written; ``E-OUT-FOREIGN`` it holds
        other people's files; ``E-OUT-NOTDIR`` it is a file; ``E-DISK`` no space; ``E-OUT-IO`` the disk fails.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Ledger(folder) as ledger:
    ...     staged = ledger.stage("cell_1")
    ...     _ = (staged / "volume_um3.txt").write_text("523.6")
    ...     facts = CommitRecord(
    ...         item="cell_1", source="cell_1.tif", input_sha256="a", request_sha256="b", code_version="1"
    ...     )
    ...     sorted(ledger.commit("cell_1", staged, facts).outputs)
    ['volume_um3.txt']
    """

    def __init__(self, out: str | Path) -> None:
        self.out = Path(os.path.abspath(out))
        self.items = self.out / ITEMS_NAME
        self._lock = FolderLock(self.out / LOCK_NAME)
        self._published: dict[str, Any] = {}
        self._committed: dict[str, str] = {}

    def __enter__(self) -> Self:
        with writing(self.out):
            self.out.mkdir(parents=True, exist_ok=True)
            refuse_foreign(self.out)
        self._lock.acquire()
        try:
            self._probe()
            with writing(self.out):
                self.items.mkdir(exist_ok=True)
                sync_folder(self.out)
            self._sweep()
            self._published = self._read_manifest()
            self._committed = {record.item: record.sha256() for record in self.records()}
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._sweep()
            else:
                with suppress(OSError):  # what went wrong first is what the user must hear; the next run sweeps
                    self._sweep()
        finally:
            self._lock.release()

    def stage(self, item: str) -> Path:
        """A fresh, empty folder to write an item's files into.

        Raises
        ------
        SettingsError
            ``E-ITEM-NAME``: not a safe name; take it from :func:`tomocyte.ledger.item_names`.
        OutputError
            ``E-DISK``, ``E-OUT-RO``, ``E-OUT-IO``.
        """
        if not is_safe_name(item):
            raise SettingsError("E-ITEM-NAME", f"{item!r} cannot be the name of an item.", cure="Use item_names().")
        staged = self.items / part_folder(item)
        with writing(staged):
            os.mkdir(staged)
        return staged

    def discard(self, staged: Path) -> None:
        """Remove a staged folder that will not be committed."""
        if PART.search(staged.name) is None or staged.parent != self.items:
            raise SettingsError("E-ITEM-NAME", "is not a staged folder.", path=staged, cure="Pass what stage() gave.")
        with writing(staged):
            _remove(staged)

    def commit(self, item: str, staged: Path, record: CommitRecord) -> CommitRecord:
        """Make a staged folder the item's output; the last step, one atomic write of its record, is what counts.

        Parameters
        ----------
        item : str
        staged : Path
            From :meth:`stage` of the same item; nothing is written to it any more.
        record : CommitRecord
            Its ``outputs`` are filled in here.

        Returns
        -------
        CommitRecord
            As written.

        Raises
        ------
        OutputError
            ``E-DISK``, ``E-OUT-RO``, ``E-OUT-IO``, ``E-OUT-LINK``, ``E-LOCK-LOST``; the item is then not committed.
        """
        self._lock.check()
        final, done = self.items / item, self._done(item)
        with writing(final):
            sync_tree(staged)
            outputs = {
                relative: OutputFile(sha256=sha256_file(path), bytes=path.stat().st_size)
                for relative, path in plain_files(staged)
            }
            record = record.model_copy(update={"item": item, "outputs": outputs})
            pending = self.items / f"{part_folder(item)}{RECORD_SUFFIX}"
            # The pending record comes first: whatever stands at the final name without a record is then known as ours.
            write_whole(pending, record_bytes(record))
            self._withdraw(item)
            os.rename(staged, final)
            sync_folder(self.items)
            put_in_place(pending, done)
        self._committed[item] = record.sha256()
        return record

    def drop(self, item: str) -> None:
        """Forget a committed item and remove its files; harmless where there is none."""
        with writing(self.items / item):
            self._withdraw(item)
        self._committed.pop(item, None)

    def _withdraw(self, item: str) -> None:
        """The record goes first, so that no moment shows a record without its files."""
        final, done = self.items / item, self._done(item)
        if done.exists():
            os.unlink(done)
            sync_folder(self.items)
        if final.exists():
            stale = self.items / part_folder(item)
            os.rename(final, stale)
            _remove(stale)

    def committed(
        self, item: str, *, input_sha256: str, request_sha256: str, model_sha256: str | None, code_version: str
    ) -> CommitRecord | None:
        """The item's record, where it was made from exactly this and its files are there with the recorded sizes.

        Returns
        -------
        CommitRecord or None
            ``None``: the item must be made (again).
        """
        record = self._read(self._done(item))
        if record is None or record.item != item:
            return None
        asked = (input_sha256, request_sha256, model_sha256, code_version)
        if asked != (record.input_sha256, record.request_sha256, record.model_sha256, record.code_version):
            return None
        final = self.items / item
        is_whole = final.is_dir() and all(
            _size(final / relative) == output.bytes for relative, output in record.outputs.items()
        )
        return record if is_whole else None

    def records(self) -> list[CommitRecord]:
        """All commit records that can be trusted, in natural order of items, whatever request they were made for."""
        with writing(self.items):
            names = sorted(entry for entry in os.listdir(self.items) if entry.endswith(RECORD_SUFFIX))
        records = (self._read(self.items / name) for name in names if PART.search(name) is None)
        return sorted((record for record in records if record is not None), key=lambda record: natural_key(record.item))

    def publish(self, name: str, write: Callable[[Path], None]) -> Path:
        """Write a file of the whole run (a table, ``run.json``, ``report.html``) so that it is whole or absent.

        Parameters
        ----------
        name : str
            File name in the output folder.
        write : callable
            Writes the content to the path it is given, which has the same suffixes as ``name``.

        Returns
        -------
        Path
            Of the published file. ``manifest.json`` then holds its hash and the hash of every commit record.

        Raises
        ------
        SettingsError
            ``E-ITEM-NAME``: the name is reserved or not a plain name.
        OutputError
            ``E-DISK``, ``E-OUT-RO``, ``E-OUT-IO``, ``E-LOCK-LOST``.
        """
        if not is_safe_name(name) or name in {MANIFEST_NAME, ITEMS_NAME}:
            raise SettingsError("E-ITEM-NAME", f"{name!r} cannot be published.", cure="Use a plain file name.")
        self._lock.check()
        path = self.out / name
        # Until its hash is known again a file vouches for nothing; a run killed here must not look like damage.
        self._published[name] = None
        self._write_manifest()
        publish_atomic(path, write)
        with writing(path):
            self._published[name] = {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        self._write_manifest()
        return path

    def withdraw(self, name: str) -> None:
        """Remove a published file that no longer belongs to the run; nothing happens where there is none.

        Raises
        ------
        OutputError
            ``E-OUT-RO``, ``E-OUT-IO``, ``E-LOCK-LOST``.
        """
        self._lock.check()
        if name in self._published:
            del self._published[name]
            self._write_manifest()
            with writing(self.out / name):
                (self.out / name).unlink(missing_ok=True)

    def _write_manifest(self) -> None:
        content = {"files": self._published, "items": dict(sorted(self._committed.items()))}
        write_atomic(self.out / MANIFEST_NAME, seal(content))

    def _done(self, item: str) -> Path:
        return self.items / f"{item}{RECORD_SUFFIX}"

    def _read(self, done: Path) -> CommitRecord | None:
        try:
            return read_record(done)
        except (FileNotFoundError, InputError):
            return None
        except OSError as error:
            raise OutputError(
                "E-OUT-IO", f"cannot be read ({error.strerror}).", path=done, cure="Check the disk."
            ) from error

    def _read_manifest(self) -> dict[str, Any]:
        try:
            files: dict[str, Any] = unseal(self.out / MANIFEST_NAME)["files"]
        except (FileNotFoundError, InputError, KeyError):
            return {}
        return {name: entry for name, entry in files.items() if (self.out / name).exists()}

    def _probe(self) -> None:
        """Write, sync and rename once, before anybody computes for hours."""
        with writing(self.out):
            part = self.out / part_name(MARKER_NAME)
            write_whole(part, seal(MARKER))
            put_in_place(part, self.out / MARKER_NAME)

    def _sweep(self) -> None:
        """Remove what an interrupted run left; only names that carry our mark, or that a pending record names."""
        with writing(self.out):
            for folder in (self.items, self.out):
                for name in sorted(os.listdir(folder)):
                    mark = PART.search(name)
                    if mark is None:
                        continue
                    item = name[: mark.start()]
                    is_pending = folder == self.items and name.endswith(RECORD_SUFFIX) and bool(item)
                    if is_pending and not self._done(item).exists() and (self.items / item).is_dir():
                        _remove(self.items / item)
                    _remove(folder / name)


def refuse_foreign(out: Path) -> None:
    """Raise ``E-OUT-FOREIGN`` where a folder holds files but not our marker.

    Raises
    ------
    OutputError
    """
    names = set(os.listdir(out)) - LITTER
    strange = sorted(name for name in names if name != LOCK_NAME and PART.search(name) is None)
    if strange and MARKER_NAME not in names:
        problem = (
            f"holds files that tomocyte did not write ({', '.join(strange[:3])}{', …' if len(strange) > 3 else ''})."
        )
        raise OutputError("E-OUT-FOREIGN", problem, path=out, cure="Choose an empty folder or an earlier output.")


def is_output_folder(path: Path) -> bool:
    """Whether a folder holds results of tomocyte."""
    return (path / MARKER_NAME).is_file()


def _size(path: Path) -> int | None:
    try:
        return os.lstat(path).st_size
    except (FileNotFoundError, NotADirectoryError):
        return None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):
            os.unlink(path)
