"""The commit record: the one fact that decides whether an item is done.

To record another fact about an item, put it into ``facts`` (it is hashed) or ``timings`` (it is not); add a field only
when it must decide whether an item is computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from tomocyte.errors import InputError
from tomocyte.ledger.names import RECORD_SUFFIX
from tomocyte.ledger.sealed import seal, unseal
from tomocyte.names import shown_name

_HEAD_BYTES = 16_384
_PLACE = re.compile(rb'\{\n "place": ("[^\n]*"),\n')
_UNHASHED = ("timings", "stamps", "place", "source_parts")


class OutputFile(BaseModel):
    """One file of an item as it was when committed."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    sha256: str
    """SHA-256 of the content, 64 hexadecimal digits."""
    bytes: int = Field(ge=0)
    """Size of the file."""


class CommitRecord(BaseModel):
    """What was done for one item, from which input, with what, and which files came out.

    Everything but ``timings``, ``stamps``, ``place`` and ``source_parts`` depends only on input, request, model and
    code, so it is the same on every run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    item: str
    """Name of the item, as :func:`tomocyte.ledger.item_names` gives it."""
    source: str
    """Name of the input file; no folder."""
    input_sha256: str
    """Hash of the input's bytes, with those of ``source_parts``."""
    source_parts: tuple[str, ...] = ()
    """Other files that hold voxels of the input, relative to its folder (with ``/``); known by ``input_sha256``."""
    request_sha256: str
    """Hash of settings, modality and overrides."""
    model_sha256: str | None = None
    """Hash of the model's card, which holds that of its weights; none for a classical method."""
    code_version: str
    """Version of the program."""
    outputs: dict[str, OutputFile] = {}
    """Relative path (with ``/``) -> file; filled in by :meth:`tomocyte.ledger.Ledger.commit`."""
    n_rows: int = Field(default=0, ge=0)
    """Rows of the item's table."""
    warnings: tuple[str, ...] = ()
    """``W-…: …`` in the order they came."""
    facts: dict[str, JsonValue] = {}
    """Anything else worth keeping; no NaN, no paths, no times."""
    timings: dict[str, float] = {}
    """Seconds per step; not part of the hash."""
    stamps: dict[str, tuple[int, int]] = {}
    """Relative path -> times of the written file, ns, by which an unchanged one is known; not part of the hash."""
    place: str = ""
    """Absolute path of the input when it was read, as shown to people; not part of the hash."""

    @field_validator("source", mode="before")
    @classmethod
    def _only_a_name(cls, source: Any) -> Any:
        if not isinstance(source, str):
            return source
        return shown_name(source.rstrip("/").rsplit("/", 1)[-1])

    def sha256(self) -> str:
        """Hash of everything but timings, stamps, place and source_parts."""
        return hashlib.sha256(seal(self.model_dump(mode="json", exclude=set(_UNHASHED)))).hexdigest()


def record_bytes(record: CommitRecord) -> bytes:
    """The content of a commit record's file."""
    content = record.model_dump(mode="json")
    unhashed = {name: content.pop(name) for name in _UNHASHED}
    return seal({"record": content, **unhashed})


def read_record(path: Path) -> CommitRecord:
    """Read a commit record back.

    Raises
    ------
    InputError
        ``E-RECORD``: not a record, or changed after it was written.
    OSError
        The file cannot be read.
    """
    content = unseal(path)
    try:
        return CommitRecord.model_validate(
            {**content["record"], **{name: content[name] for name in _UNHASHED if name in content}}
        )
    except (ValidationError, KeyError, TypeError) as error:
        raise InputError("E-RECORD", "is a record of another version of tomocyte.", path=path) from error


def known_items(out: Path) -> dict[str, str]:
    """Which input has which name in an output folder: absolute path, as text -> item; empty where there is no folder.

    Read without a lock, to name the inputs of a run before it starts; damaged records are left out.
    """
    items: dict[str, str] = {}
    folder = out / "items"
    for name in sorted(os.listdir(folder)) if folder.is_dir() else ():
        place = ""
        if name.endswith(RECORD_SUFFIX):
            with (folder / name).open("rb") as stream:
                found = _PLACE.match(stream.read(_HEAD_BYTES))  # its key comes first in the sorted file
            with suppress(ValueError):  # a damaged record names nothing
                place = "" if found is None else str(json.loads(found[1]))
            if place:
                items.setdefault(place, name.removesuffix(RECORD_SUFFIX))
    return items
