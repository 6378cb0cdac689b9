"""Reading an output folder back: is every bit what was committed?

Nothing here writes. A new kind of damage is a new ``kind`` of :class:`Finding`, found by one more step of
:func:`verify`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from tomocyte.errors import InputError, OutputError
from tomocyte.ledger.atomic import PART, sha256_file
from tomocyte.ledger.folder import ITEMS_NAME, LOCK_NAME
from tomocyte.ledger.kinds import MARKER_NAME, is_marker
from tomocyte.ledger.lock import FolderLock
from tomocyte.ledger.names import RECORD_SUFFIX
from tomocyte.ledger.published import MANIFEST_NAME
from tomocyte.ledger.record import CommitRecord, OutputFile, read_record
from tomocyte.ledger.sealed import unseal
from tomocyte.names import LITTER
from tomocyte.progress import silent

DRAWN_NAME = "figures"
"""Folder of what is drawn from the results: it can be drawn again at any time, and is not checked."""


class Finding(BaseModel):
    """One thing that is not as it was committed."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: Literal["changed", "missing", "unexpected", "leftover", "stale"]
    """Content differs; file missing; file that was not committed; unfinished write; tables older than the items."""
    path: str
    """Relative to the output folder, with ``/``."""
    problem: str
    """In words."""


class VerifyReport(BaseModel):
    """What :func:`verify` read and found."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    n_items: int
    """Committed items."""
    n_files: int
    """Files whose content was read and compared."""
    n_bytes: int
    """Their size in all."""
    findings: tuple[Finding, ...]
    """Sorted by path; empty where all is well."""

    @property
    def is_ok(self) -> bool:
        """Whether everything is as it was committed."""
        return not self.findings


def verify(out: str | Path, on_item: Callable[[str], None] = silent) -> VerifyReport:
    """Read every output of a run again and compare it with what was committed; never writes.

    Parameters
    ----------
    out : path-like
        Output folder of a run.
    on_item : callable
        Called with the name of each item and published file before it is read.

    Returns
    -------
    VerifyReport

    Raises
    ------
    OutputError
        ``E-OUT-NONE``: not an output folder of tomocyte; ``E-LOCKED``: a run is writing there; ``E-OUT-IO``: a file
        cannot be read.
    """
    out = Path(os.path.abspath(out))
    if not (out / MARKER_NAME).is_file():
        cure = "Give the folder that was passed as -o."
        raise OutputError("E-OUT-NONE", "is not an output folder of tomocyte.", path=out, cure=cure)
    lock = FolderLock(out / LOCK_NAME)
    if (out / LOCK_NAME).exists():
        lock.acquire(is_shared=True)
    try:
        return _Check(out, on_item).run()
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        problem = f"cannot be read ({error.strerror})."
        raise OutputError("E-OUT-IO", problem, path=error.filename or out, cure="Check the disk.") from error
    finally:
        lock.release()


class _Check:
    """One pass over an output folder."""

    def __init__(self, out: Path, on_item: Callable[[str], None]) -> None:
        self.out = out
        self.on_item = on_item
        self.present = set(_all_files(out))
        self.known = {LOCK_NAME}
        self.findings: list[Finding] = []
        self.n_files = self.n_bytes = 0

    def find(
        self, kind: Literal["changed", "missing", "unexpected", "leftover", "stale"], path: str, problem: str
    ) -> None:
        self.findings.append(Finding(kind=kind, path=path, problem=problem))

    def run(self) -> VerifyReport:
        self.marker()
        records = {record.item: record for record in self.records()}
        for item, record in sorted(records.items()):
            self.on_item(item)
            for relative, output in record.outputs.items():
                self.file(f"{ITEMS_NAME}/{item}/{relative}", output)
        self.manifest(records)
        self.nested()
        for path in sorted(self.present - self.known):
            if any(PART.search(part) for part in path.split("/")):
                self.find("leftover", path, "unfinished write of an interrupted run; run the same command again.")
            elif path.rsplit("/", 1)[-1] not in LITTER and not path.startswith(f"{DRAWN_NAME}/"):
                self.find("unexpected", path, "this file does not belong to the results.")
        findings = tuple(sorted(self.findings, key=lambda finding: (finding.path, finding.kind)))
        return VerifyReport(n_items=len(records), n_files=self.n_files, n_bytes=self.n_bytes, findings=findings)

    def marker(self) -> None:
        self.known.add(MARKER_NAME)
        if not is_marker(self.out / MARKER_NAME):
            self.find("changed", MARKER_NAME, "the marker of the folder is damaged.")

    def records(self) -> Iterator[CommitRecord]:
        for path in sorted(self.present):
            folder, _, name = path.rpartition("/")
            if folder != ITEMS_NAME or not name.endswith(RECORD_SUFFIX) or PART.search(name):
                continue
            self.known.add(path)
            try:
                record = read_record(self.out / path)
            except InputError as error:
                self.find("changed", path, error.problem)
                continue
            if record.item + RECORD_SUFFIX == name:
                yield record
            else:
                self.find("changed", path, f"is the record of {record.item!r}.")

    def nested(self) -> None:
        """Folders of other commands within this one, as that of an analysis: each by its own manifest."""
        for marker in sorted(path for path in self.present - self.known if path.endswith(f"/{MARKER_NAME}")):
            folder = marker.removesuffix(f"/{MARKER_NAME}")
            report = _Check(self.out / folder, self.on_item).run()
            self.known |= {path for path in self.present if path.startswith(f"{folder}/")}
            self.n_files += report.n_files
            self.n_bytes += report.n_bytes
            self.findings += [
                finding.model_copy(update={"path": f"{folder}/{finding.path}"}) for finding in report.findings
            ]

    def manifest(self, records: dict[str, CommitRecord]) -> None:
        if MANIFEST_NAME not in self.present:
            return
        self.known.add(MANIFEST_NAME)
        try:
            content: dict[str, Any] = unseal(self.out / MANIFEST_NAME)
        except InputError as error:
            self.find("changed", MANIFEST_NAME, error.problem)
            return
        for name, entry in content["files"].items():
            self.on_item(name)
            if entry is None:
                self.known.add(name)
                self.find("stale", name, "was being replaced when a run was interrupted; run the same command again.")
            else:
                self.file(name, OutputFile.model_validate(entry))
        now = {item: record.sha256() for item, record in records.items()}
        for item in sorted(
            item for item in now.keys() | content["items"].keys() if now.get(item) != content["items"].get(item)
        ):
            self.find(
                "stale",
                MANIFEST_NAME,
                f"the tables do not belong to the committed item {item!r}; run the same command again.",
            )

    def file(self, path: str, expected: OutputFile) -> None:
        self.known.add(path)
        if path not in self.present:
            self.find("missing", path, "was written and is missing now.")
            return
        full = self.out / path
        size = full.stat().st_size
        self.n_files += 1
        self.n_bytes += size
        if size != expected.bytes:
            self.find("changed", path, f"has {size} bytes, {expected.bytes} were written.")
        elif sha256_file(full) != expected.sha256:
            self.find("changed", path, "has changed since it was written.")


def _all_files(out: Path) -> Iterator[str]:
    """Every path below ``out`` that is not a real folder, relative, with ``/``; links are not followed."""
    for folder, folders, names in os.walk(out, onerror=_raise):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in names + links:
            yield Path(folder, name).relative_to(out).as_posix()


def _raise(error: OSError) -> None:
    raise error
