"""The output folder of a run: who may write, what is unfinished, what is committed, what is published.

Layout: ``.lock``, ``.tomocyte.json`` (our marker), ``items/<item>/`` with ``items/<item>.done.json``, published files,
and ``manifest.json`` with their hashes. A new kind of output goes through :meth:`Ledger.commit` or
:meth:`Ledger.publish`; nothing else writes here, but users do: what they changed or added is never lost
(:mod:`tomocyte.ledger.keeping`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tomocyte.errors import InputError, OutputError, SettingsError
from tomocyte.ledger.atomic import (
    PART,
    part_folder,
    plain_files,
    put_in_place,
    sha256_file,
    sync_folder,
    sync_tree,
    write_whole,
    writing,
)
from tomocyte.ledger.keeping import KEPT_NAME, Changes, changes_of, free_name, put_back, set_aside, stamp
from tomocyte.ledger.kinds import marked_kind, refuse_foreign, refuse_other_kind, write_marker
from tomocyte.ledger.lock import FolderLock
from tomocyte.ledger.names import RECORD_SUFFIX, is_safe_name
from tomocyte.ledger.published import MANIFEST_NAME, PublishedFiles
from tomocyte.ledger.record import CommitRecord, OutputFile, read_record, record_bytes
from tomocyte.names import natural_key

LOCK_NAME = ".lock"
ITEMS_NAME = "items"


class Ledger:
    """An output folder, locked for this process from ``with`` to the end of the block.

    Parameters
    ----------
    out : path-like
        The folder; made where missing.
    kind : str
        The command whose results it holds; empty: any.
    about : str
        What must not be mixed in one folder, as the modality of a run. It may change while no item is committed.

    Raises
    ------
    OutputError
        On entering: ``E-LOCKED`` another run works here; ``E-OUT-RO`` it cannot be written; ``E-OUT-FOREIGN`` it holds
        other people's files; ``E-OUT-KIND`` another command's results; ``E-OUT-NOTDIR`` it is a file; ``E-DISK`` no
        space; ``E-OUT-IO`` the disk fails.

    Attributes
    ----------
    kept : list of (str, str)
        Path of a file of the user's that stood in the way -> its path now, both relative to the folder.

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

    def __init__(self, out: str | Path, kind: str = "", about: str = "") -> None:
        self.out = Path(os.path.abspath(out))
        self.items = self.out / ITEMS_NAME
        self._kind, self._about = kind, about
        self._lock = FolderLock(self.out / LOCK_NAME)
        self._kept: list[tuple[str, str]] = []
        self._records: dict[str, CommitRecord] = {}
        self._stamps: dict[str, tuple[int, int]] = {}

    def __enter__(self) -> Self:
        with writing(self.out):
            self.out.mkdir(parents=True, exist_ok=True)
            self._refuse_other_kind()
            refuse_foreign(self.out, LOCK_NAME)
        self._lock.acquire()
        try:
            with writing(self.out):
                self._mark()
                self.items.mkdir(exist_ok=True)
                sync_folder(self.out)
            self._sweep()
            self._published = PublishedFiles(self.out)
            self._published.items = {record.item: record.sha256() for record in self.records()}
        except BaseException:
            self._lock.release()
            raise
        return self

    @property
    def kept(self) -> list[tuple[str, str]]:
        """What was kept, and under which name."""
        return [*self._kept, *self._published.kept]

    def _refuse_other_kind(self) -> None:
        has_items = self.items.is_dir() and any(name.endswith(RECORD_SUFFIX) for name in os.listdir(self.items))
        refuse_other_kind(self.out, self._kind, self._about if has_items else "")

    def _mark(self) -> None:
        """Write, sync and rename once, before anybody computes for hours."""
        kind, about = (self._kind, self._about) if self._kind else marked_kind(self.out)
        write_marker(self.out, kind, about)

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

    def commit(self, item: str, staged: Path, record: CommitRecord, *, is_discarding: bool = False) -> CommitRecord:
        """Make a staged folder the item's output; the last step, one atomic write of its record, is what counts.

        Files that a user added to the item's folder move into the new one.

        Parameters
        ----------
        item : str
        staged : Path
            From :meth:`stage` of the same item; nothing is written to it any more.
        record : CommitRecord
            Its ``outputs`` are filled in here.
        is_discarding : bool
            Whether results that were changed since they were written may be replaced.

        Returns
        -------
        CommitRecord
            As written.

        Raises
        ------
        OutputError
            ``E-OUT-CHANGED``: results that stand there were changed by somebody; ``E-DISK``, ``E-OUT-RO``,
            ``E-OUT-IO``, ``E-OUT-LINK``, ``E-LOCK-LOST``. The item is then not committed.
        """
        self._lock.check()
        final, done = self.items / item, self._done(item)
        changes = self.changes(item)
        if changes.changed and not is_discarding:
            raise self._changed(item, changes)
        with writing(final):
            sync_tree(staged)
            outputs, stamps = {}, {}
            for relative, path in plain_files(staged):
                outputs[relative] = OutputFile(sha256=sha256_file(path), bytes=path.stat().st_size)
                stamps[relative] = stamp(path)
            record = record.model_copy(update={"item": item, "outputs": outputs, "stamps": stamps})
            pending = self.items / f"{part_folder(item)}{RECORD_SUFFIX}"
            # The pending record comes first: whatever stands at the final name without a record is then known as ours.
            if self._read(done) is None and final.exists():
                self._keep_unrecorded(item)
            write_whole(pending, record_bytes(record))
            if changes.added:
                set_aside(final, changes.added, self.out / KEPT_NAME / item)
            self._withdraw(item)
            os.rename(staged, final)
            sync_folder(self.items)
            put_in_place(pending, done)
            self._put_back(item)
        self._published.items[item] = record.sha256()
        return record

    def record(self, item: str) -> CommitRecord | None:
        """The item's record, where there is one that can be trusted, whatever it was made for."""
        record = self._read(self._done(item))
        return None if record is None or record.item != item else record

    def changes(self, item: str) -> Changes:
        """How the item's files differ from what was written; nothing differs where no record says what was."""
        record = self.record(item)
        with writing(self.items / item):
            return Changes() if record is None else changes_of(self.items / item, record)

    def refuse_changed(self, item: str) -> None:
        """Raise ``E-OUT-CHANGED`` where results of the item were changed since they were written.

        Raises
        ------
        OutputError
        """
        changes = self.changes(item)
        if changes.changed:
            raise self._changed(item, changes)

    def _changed(self, item: str, changes: Changes) -> OutputError:
        names = ", ".join(changes.changed[:3]) + (", …" if len(changes.changed) > 3 else "")
        return OutputError(
            "E-OUT-CHANGED",
            f"changed since written: {names}; nothing of it was replaced.",
            path=self.items / item,
            cure="Move them to another place and give the same command again, or choose another folder with -o.",
        )

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

    def _keep_unrecorded(self, item: str) -> None:
        """A folder that no record vouches for may hold anything: it is moved, not removed."""
        kept = free_name(self.out / KEPT_NAME / item, "unrecorded")
        kept.parent.mkdir(exist_ok=True)
        os.rename(self.items / item, kept)
        sync_folder(kept.parent)
        self._kept.append((f"{ITEMS_NAME}/{item}", kept.relative_to(self.out).as_posix()))

    def _put_back(self, item: str) -> None:
        kept = self.out / KEPT_NAME / item
        if kept.is_dir():
            for name in put_back(kept, self.items / item):
                self._kept.append((f"{ITEMS_NAME}/{item}/{name}", f"{KEPT_NAME}/{item}/{name}"))
            if not os.listdir(kept.parent):
                kept.parent.rmdir()

    def committed(
        self, item: str, *, input_sha256: str, request_sha256: str, model_sha256: str | None, code_version: str
    ) -> CommitRecord | None:
        """The item's record, where it was made from exactly this and its files are there as they were written.

        Returns
        -------
        CommitRecord or None
            ``None``: the item must be made (again).
        """
        record = self.record(item)
        if record is None:
            return None
        asked = (input_sha256, request_sha256, model_sha256, code_version)
        if asked != (record.input_sha256, record.request_sha256, record.model_sha256, record.code_version):
            return None
        with writing(self.items / item):
            return record if changes_of(self.items / item, record).is_whole else None

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
            Of the published file. ``manifest.json`` then holds its hash and the hash of every commit record. A file
            that a user changed is kept under another name, see :attr:`kept`.

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
        return self._published.publish(name, write)

    def withdraw(self, name: str) -> None:
        """Remove a published file that no longer belongs to the run; nothing happens where there is none.

        Raises
        ------
        OutputError
            ``E-OUT-RO``, ``E-OUT-IO``, ``E-LOCK-LOST``.
        """
        self._lock.check()
        self._published.withdraw(name)

    def _done(self, item: str) -> Path:
        return self.items / f"{item}{RECORD_SUFFIX}"

    def _read(self, done: Path) -> CommitRecord | None:
        """A record, read again only where its file is not as it was."""
        try:
            now = stamp(done)
            if self._stamps.get(done.name) != now:
                self._records[done.name] = read_record(done)
                self._stamps[done.name] = now
            return self._records[done.name]
        except (FileNotFoundError, InputError):
            return None
        except OSError as error:
            raise OutputError(
                "E-OUT-IO", f"cannot be read ({error.strerror}).", path=done, cure="Check the disk."
            ) from error

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
            self._put_back_interrupted()

    def _put_back_interrupted(self) -> None:
        """What a killed run had set aside goes back to where its user put it."""
        kept = self.out / KEPT_NAME
        if kept.is_dir():
            for entry in sorted(kept.iterdir()):
                if (self.items / entry.name).is_dir() and self._done(entry.name).exists():
                    self._put_back(entry.name)
            if kept.is_dir() and not os.listdir(kept):
                kept.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):
            os.unlink(path)
