"""Many inputs: find them, skip what is done, let workers do the rest, commit, and publish tables and report.

What the whole run leaves is written by :mod:`tomocyte.runs.publish`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte import __version__
from tomocyte.datasets.inputs import find_inputs
from tomocyte.errors import InputError, TomocyteError
from tomocyte.ledger import CommitRecord, Ledger, item_names
from tomocyte.ledger.result import Failure, RunResult
from tomocyte.modalities import modality
from tomocyte.names import encodable, natural_key, shown_name
from tomocyte.pipeline.settings import RunSettings
from tomocyte.progress import Callback, Progress, silent
from tomocyte.provenance import now_utc, sha256_of_json, sha256_of_path
from tomocyte.runs.publish import Key, is_current, publish

if TYPE_CHECKING:
    from tomocyte.batch import Outcome
    from tomocyte.corrections.edits import EditList

__all__ = ["Failure", "RunResult", "find_inputs", "run_inputs"]


def run_inputs(
    paths: list[Path],
    settings: RunSettings,
    output: Path,
    *,
    n_workers: int = 1,
    item_timeout_s: float | None = None,
    is_trusting_times: bool = False,
    callback: Callback = silent,
) -> RunResult:
    """Do every input that is not done yet, then publish tables and report.

    Parameters
    ----------
    paths : list of Path
    settings : RunSettings
    output : Path
        Made if missing; locked while this runs.
    n_workers : int
        Inputs at the same time, each in its own process.
    item_timeout_s : float, optional
    is_trusting_times : bool
        Whether a finished input whose size and modification time are as they were counts as unchanged; otherwise its
        content is hashed again.
    callback : callable
        Receives :class:`~tomocyte.progress.Progress` events.

    Returns
    -------
    RunResult

    Raises
    ------
    OutputError
        The output folder is locked, foreign, read-only or full; what was committed stays.
    SettingsError, InputError
        The modality or the model is unknown, or the model's card cannot be read; ``E-EDIT-…``: the edits cannot be
        read, or name an item that is not there.
    """
    from tomocyte.corrections.files import edits_sha256, load_edits
    from tomocyte.measurements import find_measurements
    from tomocyte.models.loaded import card_sha256
    from tomocyte.pipeline.planning import requested_card, requested_cells_card

    modality(settings.modality)
    find_measurements(settings.measurements)
    card = requested_card(settings)
    started = now_utc()
    names = dict(zip(item_names(paths), paths, strict=True))
    edits = {} if settings.edits is None else load_edits(Path(settings.edits), names)
    # Where a model or edits lie decides nothing; what they are does, by its hash.
    named = settings.model_copy(
        update={"edits": None} | ({} if card is None or settings.model == "auto" else {"model": card.name})
    )
    cells = requested_cells_card(settings)
    cells_sha256 = {} if cells is None else {"cells": card_sha256(cells)}
    request = sha256_of_json(named.request() | cells_sha256)
    corrected = {item: sha256_of_json([request, edits_sha256(entry)]) for item, entry in edits.items()}
    key = Key(request, None if card is None else card_sha256(card), corrected)
    result = RunResult()
    with Ledger(output) as ledger:
        todo = _not_done(ledger, names, key, result, is_trusting_times=is_trusting_times, callback=callback)
        todo = _with_fitting_edits(todo, edits, result, callback)
        if todo:
            _work(
                ledger,
                todo,
                settings.model_copy(update={"edits": None}),
                edits,
                key,
                result,
                n_workers=n_workers,
                item_timeout_s=item_timeout_s,
                callback=callback,
            )
        result.failures.sort(key=lambda failure: natural_key(failure.item))
        publish(ledger, names, settings, key, result, started)
    return result


def _not_done(
    ledger: Ledger,
    names: dict[str, Path],
    key: Key,
    result: RunResult,
    *,
    is_trusting_times: bool,
    callback: Callback,
) -> dict[str, tuple[Path, str]]:
    """Inputs still to do, with the hash of their content."""
    records = {record.item: record for record in ledger.records()} if is_trusting_times else {}
    todo: dict[str, tuple[Path, str]] = {}
    for item, path in sorted(names.items(), key=lambda entry: natural_key(entry[0])):
        try:
            content = _content_hash(path, records.get(item))
        except (OSError, TomocyteError) as problem:
            result.failures.append(_failure(item, path, problem))
            callback(Progress(item=item, state="failed"))
            continue
        is_done = ledger.committed(
            item,
            input_sha256=content,
            request_sha256=key.request_of(item),
            model_sha256=key.model_sha256,
            code_version=__version__,
        )
        if is_done is None or not is_current(is_done):
            todo[item] = (path, content)
        else:
            result.n_done += 1
            result.n_resumed += 1
            callback(Progress(item=item, state="resumed"))
    return todo


def _with_fitting_edits(
    todo: dict[str, tuple[Path, str]], edits: Mapping[str, EditList], result: RunResult, callback: Callback
) -> dict[str, tuple[Path, str]]:
    """What is still to do, without inputs whose edits were made for another content."""
    from tomocyte.corrections.files import check_input

    fitting = {}
    for item, (path, content) in todo.items():
        try:
            if item in edits:
                check_input(edits[item], content)
        except InputError as problem:
            result.failures.append(_failure(item, path, problem))
            callback(Progress(item=item, state="failed"))
        else:
            fitting[item] = (path, content)
    return fitting


def _stamp(path: Path) -> dict[str, float]:
    """Size and time of a plain file, for those who choose not to hash a finished 31 GB input again."""
    if not path.is_file():
        return {}
    status = path.stat()
    return {"input_bytes": float(status.st_size), "input_mtime_s": status.st_mtime_ns / 1e9}


def _content_hash(path: Path, record: CommitRecord | None) -> str:
    stamp = _stamp(path)
    if record is not None and stamp and all(record.timings.get(name) == value for name, value in stamp.items()):
        return record.input_sha256
    if not path.exists():
        raise InputError("E-NOT-FOUND", "no such file or folder.", path=path, cure="Check the path.")
    return sha256_of_path(path)


def _work(
    ledger: Ledger,
    todo: dict[str, tuple[Path, str]],
    settings: RunSettings,
    edits: Mapping[str, EditList],
    key: Key,
    result: RunResult,
    *,
    n_workers: int,
    item_timeout_s: float | None,
    callback: Callback,
) -> None:
    """Run the workers and commit what comes back, in the order it comes."""
    from tomocyte.batch import run_staged
    from tomocyte.pipeline import process_item

    stamps = {item: _stamp(path) for item, (path, _) in todo.items()}
    content = settings.model_dump(mode="json")
    tasks = (
        {"item": item, "path": str(path), "settings": content}
        | ({"edits": edits[item].model_dump(mode="json")} if item in edits else {})
        for item, (path, _) in todo.items()
    )
    for item, staged, outcome in run_staged(
        ledger, tasks, process_item, n_workers=n_workers, item_timeout_s=item_timeout_s, callback=callback
    ):
        path, input_sha256 = todo[item]
        if outcome.error is not None:
            result.failures.append(_failure(item, path, outcome.error, outcome.traceback))
        else:
            ledger.commit(item, staged, _record(outcome, path, input_sha256, key.request_of(item), stamps[item]))
            result.n_done += 1
        callback(Progress(item=item, state="done" if outcome.error is None else "failed"))


def _record(
    outcome: Outcome[dict[str, Any]], path: Path, content: str, request: str, stamp: dict[str, float]
) -> CommitRecord:
    done = outcome.result
    return CommitRecord(
        item=outcome.task["item"],
        source=path.name,
        input_sha256=content,
        request_sha256=request,
        # What the worker used or left out, should the model have been replaced meanwhile.
        model_sha256=done["facts"].get("trained_model", {}).get("card_sha256") or done["facts"].get("left_out_model"),
        code_version=__version__,
        n_rows=done["n_rows"],
        warnings=tuple(done["warnings"]),
        facts=done["facts"],
        timings={"seconds": done["seconds"], "peak_memory_bytes": done["peak_memory_bytes"], **stamp},
    )


def _failure(item: str, path: Path, problem: Exception, traceback: str = "") -> Failure:
    if isinstance(problem, TomocyteError):
        return Failure(item, shown_name(path.name), problem.code, problem.problem, problem.cure, encodable(traceback))
    text = encodable(f"cannot be read: {problem}.")
    return Failure(item, shown_name(path.name), "E-INPUT-IO", text, "Check the file.", encodable(traceback))
