"""Files of a whole result (tables, ``run.json``, a report): whole or absent, listed with their hashes.

``manifest.json`` holds the hash of each. A file that a user changed since it was written is kept under another name
(``objects.changed-1.csv``) before a new one takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tomocyte.errors import InputError
from tomocyte.ledger.atomic import part_name, put_in_place, sha256_file, sync_file, write_atomic, writing
from tomocyte.ledger.keeping import keep_changed
from tomocyte.ledger.sealed import seal, unseal

MANIFEST_NAME = "manifest.json"


class PublishedFiles:
    """The published files of one folder, which nobody else writes at the same time.

    Parameters
    ----------
    out : Path

    Attributes
    ----------
    kept : list of (str, str)
        Name of a file that a user had changed -> name that the changed file has now.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.kept: list[tuple[str, str]] = []
        self.items: dict[str, str] = {}
        self._files: dict[str, Any] = {}
        self._replacing: dict[str, list[str]] = {}
        self._read()

    def _read(self) -> None:
        try:
            content: dict[str, Any] = unseal(self.out / MANIFEST_NAME)
            files, replacing = content["files"], content.get("replacing", {})
        except (FileNotFoundError, InputError, KeyError):
            return
        self._files = {name: entry for name, entry in files.items() if (self.out / name).exists()}
        self._replacing = {name: hashes for name, hashes in replacing.items() if name in self._files}

    def publish(self, name: str, write: Callable[[Path], Any]) -> Path:
        """Write a file, whole or not at all; its name may have a folder. See :meth:`tomocyte.ledger.Ledger.publish`."""
        path = self.out / name
        with writing(path):
            if not path.parent.is_dir():
                path.parent.mkdir(exist_ok=True)
            part = path.with_name(part_name(path.name))
            try:
                write(part)
                sync_file(part)
                entry = {"sha256": sha256_file(part), "bytes": part.stat().st_size}
                self._keep(name)
                # Until it is in place, both contents are ours; a run killed here must not look like somebody's change.
                before = self._files.get(name)
                known = self._replacing.get(name, []) if before is None else [str(before["sha256"])]
                self._replacing[name] = [*known, str(entry["sha256"])]
                self._files[name] = None
                self.write_manifest()
                put_in_place(part, path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            self._files[name] = entry
            del self._replacing[name]
        self.write_manifest()
        return path

    @property
    def names(self) -> list[str]:
        """Of the published files, as they were given."""
        return list(self._files)

    def withdraw(self, name: str) -> None:
        """Remove a published file that no longer belongs to the result; one that a user changed is kept."""
        if name in self._files:
            with writing(self.out / name):
                self._keep(name)
                del self._files[name]
                self._replacing.pop(name, None)
                self.write_manifest()
                (self.out / name).unlink(missing_ok=True)

    def _keep(self, name: str) -> None:
        written: Mapping[str, object] | None = self._files.get(name)
        kept = keep_changed(self.out / name, written, tuple(self._replacing.get(name, ())))
        if kept is not None:
            self.kept.append((name, kept.name))

    def write_manifest(self) -> None:
        """Write the hashes of all published files, and of the items that they were made from."""
        content: dict[str, Any] = {"files": self._files, "items": dict(sorted(self.items.items()))}
        if self._replacing:
            content["replacing"] = self._replacing
        write_atomic(self.out / MANIFEST_NAME, seal(content))
