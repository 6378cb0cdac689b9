"""Tables, run.json and the report, built from the commit records alone.

They are the same however often a run was interrupted and however many workers it had. To publish another file for the
whole run, add it to :func:`publish`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_from_bytes

from tomocyte.errors import OutputError
from tomocyte.ledger import CommitRecord, Ledger, place_of, portable_paths
from tomocyte.ledger.result import Failure, RunResult
from tomocyte.modalities import modality
from tomocyte.names import encodable, natural_key, shown_name
from tomocyte.pipeline.settings import RunSettings
from tomocyte.provenance import code_version, environment, now_utc, sha256_of_json
from tomocyte.runs.report_of_run import REPORT, RunContent, has_impossible_results, write_run_report

if TYPE_CHECKING:
    import pandas as pd

    from tomocyte.tables import Column


@dataclass(frozen=True)
class Key:
    """What the items of one run have in common: hashes of the request and of the model (none: classical).

    Items that were corrected by hand have a request of their own.
    """

    request_sha256: str
    model_sha256: str | None
    corrected: dict[str, str] = field(default_factory=dict)

    def request_of(self, item: str) -> str:
        """Hash of what was asked for one item."""
        return self.corrected.get(item, self.request_sha256)

    def holds(self, record: CommitRecord) -> bool:
        """Whether an item was made with this request, this model and this version."""
        request = self.corrected.get(record.item) or self._with_its_edits(record)
        return record.request_sha256 == request and self._is_made_so(record)

    def holds_but_edits(self, record: CommitRecord) -> bool:
        """Whether an item was made with this request, model and version, whatever corrections it has."""
        return record.request_sha256 == self._with_its_edits(record) and self._is_made_so(record)

    def _with_its_edits(self, record: CommitRecord) -> str:
        edits: Any = record.facts.get("edits")
        masks: Any = record.facts.get("masks")
        request = self.request_sha256 if masks is None else masked_request(self.request_sha256, masks["sha256"])
        return request if edits is None else corrected_request(request, edits["sha256"])

    def _is_made_so(self, record: CommitRecord) -> bool:
        return (record.model_sha256, record.code_version) == (self.model_sha256, code_version())


def corrected_request(request_sha256: str, edits_sha256: str) -> str:
    """Hash of a request with corrections."""
    return sha256_of_json([request_sha256, edits_sha256])


def masked_request(request_sha256: str, masks_sha256: str) -> str:
    """Hash of a request with masks of the user's own."""
    return sha256_of_json(["masks", request_sha256, masks_sha256])


def shown_items(items: Collection[str]) -> str:
    """The first names of many."""
    return ", ".join(list(items)[:5]) + (", …" if len(items) > 5 else "")


def publish(
    ledger: Ledger, names: dict[str, Path], settings: RunSettings, key: Key, result: RunResult, started: str
) -> None:
    """Tables, run.json and the report from the commit records alone."""
    from tomocyte.pipeline.columns import contact_columns, object_columns, pair_columns, track_columns
    from tomocyte.tables import data_dictionary, find_columns, write_csv, write_parquet

    current, other = _current(ledger.records(), key, result.failures)
    if other:
        them = "it" if len(other) == 1 else "them"
        items = shown_items([record.item for record in other])
        result.notes.append(f"not in the tables, since other settings or another version made {them}: {items}.")
    places = _places([*current, *other], names)
    current, tables = _readable(ledger, current, result.failures)
    objects = _with_places(_objects(tables), places)
    result.n_implausible = sum(map(has_impossible_results, current))
    result.n_objects = {str(name): int(count) for name, count in objects.groupby("structure").size().items()}
    dictionary = data_dictionary(find_columns(objects.columns, (*object_columns(), *_own_columns(current))))
    status = _with_places(_status(current, other, result.failures), places)
    run = {
        "request_sha256": key.request_sha256,
        "model_sha256": key.model_sha256,
        "model": next((record.facts["trained_model"] for record in current if "trained_model" in record.facts), None),
        "settings": json.loads(settings.model_dump_json()),
        "engine": json.loads((settings.segmentation or modality(settings.modality).segmentation).model_dump_json()),
        "plans": {record.item: record.facts["plan"] for record in current if "plan" in record.facts},
        "environment": environment(),
        "started": started,
        "finished": now_utc(),
        "inputs": [_input_entry(item, names[item]) for item in sorted(names, key=natural_key)],
        "input_sha256": {record.item: record.input_sha256 for record in current},
        "timings": {record.item: record.timings for record in current},
        "failures": [
            {name: getattr(failure, name) for name in ("item", "source", "code", "problem", "cure")}
            for failure in result.failures
        ],
    }
    entries = [{str(key): str(value) for key, value in row.items()} for row in dictionary.to_dict(orient="records")]
    further = {stem: _further(ledger, current, stem) for stem in ("pairs", "contacts", "tracks")}
    files: dict[str, Callable[[Path], Any]] = {
        # What happened comes first: it must be there even if a table cannot be written.
        "status.csv": partial(write_csv, status),
        "run.json": lambda path: _write_text(path, json.dumps(run, indent=1, ensure_ascii=False)),
        "objects.csv": partial(write_csv, objects),
        "objects.parquet": partial(write_parquet, objects),
        "objects.dictionary.csv": partial(write_csv, dictionary),
    }
    described = {"pairs": pair_columns(), "contacts": contact_columns(), "tracks": track_columns()}
    for stem, columns in described.items():
        table = further[stem]
        if table is None:
            for name in (f"{stem}.csv", f"{stem}.parquet", f"{stem}.dictionary.csv"):
                ledger.withdraw(name)
            continue
        table = _with_places(table, places)
        files |= {
            f"{stem}.csv": partial(write_csv, table),
            f"{stem}.parquet": partial(write_parquet, table),
            f"{stem}.dictionary.csv": partial(write_csv, data_dictionary(find_columns(table.columns, columns))),
        }
    content = RunContent(ledger.items, current, result.failures, objects, places, run, entries, further["contacts"])
    # Last, since it links what is there.
    _publish_all(ledger, files | {REPORT: partial(write_run_report, content)})


def _publish_all(ledger: Ledger, files: Mapping[str, Callable[[Path], Any]]) -> None:
    """Publish each file; one that cannot be made does not keep the others from being written."""
    problems: list[Exception] = []
    for name, write in files.items():
        try:
            ledger.publish(name, write)
        except OutputError:
            raise
        except Exception as problem:  # noqa: BLE001 - raised below, when everything else is written
            problems.append(problem)
    if problems:
        raise problems[0]


def _current(
    records: list[CommitRecord], key: Key, failures: list[Failure]
) -> tuple[list[CommitRecord], list[CommitRecord]]:
    """Records of the tables, and those made with other settings; an item that failed is in neither.

    Where edits cannot be applied, the results before them stay, in the tables too.
    """
    codes = {failure.item: failure.code for failure in failures}
    current: list[CommitRecord] = []
    other: list[CommitRecord] = []
    for record in records:
        code = codes.get(record.item)
        if code is None:
            (current if key.holds(record) else other).append(record)
        elif code.startswith("E-EDIT-") and key.holds_but_edits(record):
            current.append(record)
    return current, other


def _places(records: list[CommitRecord], names: Mapping[str, Path]) -> dict[str, tuple[str, str]]:
    """Item -> path of its input and folder of that, relative to the folder that all inputs have in common."""
    paths = {record.item: record.place or record.source for record in records} | {
        item: place_of(path) for item, path in names.items()
    }
    relative = dict(zip(paths, portable_paths(list(paths.values())), strict=True))
    return {item: (path, path.rpartition("/")[0] or ".") for item, path in relative.items()}


def _with_places(table: pd.DataFrame, places: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """The table with the columns ``path`` and ``folder`` after ``item``."""
    placed = table.copy()
    for position, name in enumerate(("path", "folder")):
        values = [places.get(item, ("", ""))[position] for item in table["item"]]
        placed.insert(1 + position, name, values)
    return placed


def _input_entry(item: str, path: Path) -> dict[str, str]:
    """Where an input lies; a path that is no text, or not on one line, also as a URL quotes its bytes."""
    entry = {"item": item, "path": shown_name(path)}
    return entry if entry["path"] == str(path) else entry | {"path_quoted": quote_from_bytes(os.fsencode(path))}


def _write_text(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8")


def _readable(
    ledger: Ledger, records: list[CommitRecord], failures: list[Failure]
) -> tuple[list[CommitRecord], list[pd.DataFrame]]:
    """Records with their tables of objects; an item whose table is damaged becomes a failure, the others stay."""
    import pandas as pd

    readable, tables = [], []
    for record in records:
        path = ledger.items / record.item / "objects.parquet"
        try:
            table = pd.read_parquet(path)
        except (OSError, ValueError) as problem:  # the latter includes what pyarrow raises
            text = encodable(f"its table of objects cannot be read back ({problem}).")
            cure = f"Move the folder {path.parent.name} out of items/ and give the same command again."
            failures.append(Failure(record.item, record.source, "E-OUT-IO", text, cure))
        else:
            readable.append(record)
            tables.append(table)
    return readable, tables


def _objects(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all items; without any item, a table without rows."""
    import pandas as pd

    from tomocyte.tables import arrange

    filled = [part for part in parts if len(part)]
    if filled:
        objects = pd.concat(filled, ignore_index=True)
        if "edited" in objects:
            objects["edited"] = objects["edited"].astype(object).fillna("")
        if "track_id" in objects:  # inputs of one frame have none
            numbers = ["track_id", "parent_id", "generation"]
            objects[numbers] = objects[numbers].astype("Int64")
            objects["track_flags"] = objects["track_flags"].astype(object).fillna("")
        return arrange(objects)
    return (
        parts[0] if parts else pd.DataFrame({name: [] for name in ("item", "frame", "structure", "label", "cell_id")})
    )


def _own_columns(records: list[CommitRecord]) -> list[Column]:
    """What columns mean that only some inputs have, such as those of their channels."""
    from tomocyte.tables import Column

    own: dict[str, Column] = {}
    for record in records:
        described: Any = record.facts.get("columns", [])
        own |= {entry["name"]: Column(**entry) for entry in described}
    return list(own.values())


def _further(ledger: Ledger, records: list[CommitRecord], stem: str) -> pd.DataFrame | None:
    """The pairs of objects, the contacts or the tracks of all items, where there are any."""
    import pandas as pd

    paths = [ledger.items / record.item / f"{stem}.parquet" for record in records]
    parts = [pd.read_parquet(path) for path in paths if path.exists()]
    return pd.concat(parts, ignore_index=True) if parts else None


def _status(current: list[CommitRecord], other: list[CommitRecord], failures: list[Failure]) -> pd.DataFrame:
    import pandas as pd

    columns = [
        "item",
        "source",
        "state",
        "code",
        "message",
        "n_frames",
        "n_objects",
        "n_rows",
        "input_sha256",
        "warnings",
    ]
    rows: list[dict[str, Any]] = []
    failed = {failure.item: failure for failure in failures}
    for record in current:
        failure = failed.pop(record.item, None)
        facts: dict[str, Any] = dict(record.facts)
        rows.append(
            {
                "item": record.item,
                "source": record.source,
                "state": "failed" if failure is not None else "check" if has_impossible_results(record) else "ok",
                "code": "" if failure is None else failure.code,
                "message": "" if failure is None else f"{failure.message} The tables hold its results before that.",
                "n_frames": facts["shape_tczyx"][0],
                "n_objects": facts["n_objects"][facts["primary"]],
                "n_rows": record.n_rows,
                "input_sha256": record.input_sha256,
                "warnings": " | ".join(record.warnings),
            }
        )
    for failure in failed.values():
        rows.append(
            {
                "item": failure.item,
                "source": failure.source,
                "state": "failed",
                "code": failure.code,
                "message": failure.message,
            }
        )
    for record in other:
        message = "Made with other settings or another version; not in the tables. Run it again to include it."
        rows.append({"item": record.item, "source": record.source, "state": "other settings", "message": message})
    rows.sort(key=_item_of)
    table = pd.DataFrame(rows, columns=columns)
    counts = ["n_frames", "n_objects", "n_rows"]
    table[counts] = table[counts].astype("Int64")
    texts = ["code", "message", "input_sha256", "warnings"]
    table[texts] = table[texts].astype(object).fillna("")
    return table


def _item_of(row: dict[str, Any]) -> tuple[object, ...]:
    return natural_key(str(row["item"]))
