"""Simulated data sets on disk: volumes in real formats, labels, tracks, truth tables and a card.

They are written with the same ledger as results: resumable, verified, the same bytes with any number of workers.
Inside: ``item`` (the work of one worker process), ``plan`` (what to make), ``from_labels`` (the same of label images of
the user's own). To write another file per item, add it to
:func:`tomocyte.runs.simulate.item.make_item`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte import __version__
from tomocyte.errors import OutputError
from tomocyte.ledger import CommitRecord, Ledger
from tomocyte.ledger.result import Failure, RunResult
from tomocyte.progress import Callback, Progress, silent
from tomocyte.provenance import environment, sha256_of_json
from tomocyte.runs.simulate.item import make_item
from tomocyte.runs.simulate.plan import ItemPlan, benchmark_plan, dataset_plan, with_backend

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ItemPlan", "benchmark_plan", "dataset_plan", "make_item", "make_missing", "with_backend", "write_dataset"]


def write_dataset(
    plans: list[ItemPlan],
    output: Path,
    *,
    file_format: str = "ome-tiff",
    structures: tuple[str, ...],
    n_workers: int = 1,
    callback: Callback = silent,
) -> RunResult:
    """Make every item that is not there yet, then publish the truth tables and the card of the set.

    Parameters
    ----------
    plans : list of ItemPlan
        From :func:`dataset_plan` or :func:`benchmark_plan`.
    output : Path
        Made if missing. ``items/<item>/<item>.ome.tif`` (or ``.TCF``) is the measured volume, ``items/<item>/labels/``
        the truth per structure, ``truth.csv``/``.parquet`` and ``tracks.csv`` are those of all items.
    file_format : str
        ``ome-tiff`` or ``tcf`` (tomograms only).
    structures : tuple of str
        Which label images to write.
    n_workers : int
    callback : callable

    Returns
    -------
    RunResult

    Raises
    ------
    SettingsError
        A field that cannot be simulated.
    OutputError
        The folder is locked, foreign, read-only or full.
    """
    result = RunResult()
    with Ledger(output, "simulate") as ledger:
        requests = {plan.name: _request(plan, file_format, structures) for plan in plans}
        make_missing(ledger, requests, make_item, result, n_workers=n_workers, callback=callback)
        _publish(ledger, plans, result)
        for name, kept in ledger.kept:
            result.notes.append(f"{name} was changed or added by somebody; that file is now {kept}.")
    return result


def _request(plan: ItemPlan, file_format: str, structures: tuple[str, ...]) -> dict[str, Any]:
    return {**plan.model_dump(mode="json"), "file_format": file_format, "structures": list(structures)}


def _is_done(ledger: Ledger, item: str, request: dict[str, Any]) -> bool:
    digest = sha256_of_json(request)
    record = ledger.committed(
        item, input_sha256=digest, request_sha256=digest, model_sha256=None, code_version=__version__
    )
    return record is not None


def make_missing(
    ledger: Ledger,
    requests: Mapping[str, dict[str, Any]],
    work: Callable[[dict[str, Any], Callback], Any],
    result: RunResult,
    *,
    extra: Mapping[str, dict[str, Any]] | None = None,
    n_workers: int,
    callback: Callback,
) -> None:
    """Make every item that is not there yet, and count what became of each in ``result``.

    Parameters
    ----------
    ledger : Ledger
        Locked.
    requests : mapping of str to dict
        Item -> what decides its contents, fit for JSON.
    work : callable
        Makes one item in a worker process; its task has ``item``, ``staged`` and ``request``.
    result : RunResult
        Changed in place.
    extra : mapping of str to dict, optional
        Further entries of an item's task, which do not decide its contents.
    n_workers : int
    callback : callable
    """
    todo = []
    for item, request in requests.items():
        try:
            ledger.refuse_changed(item)
        except OutputError as problem:  # a user changed it: it stays, and the others go on
            text = f"{problem.path}: {problem.problem}"
            result.failures.append(Failure(item, "", problem.code, text, problem.cure))
            callback(Progress(item=item, state="failed"))
            continue
        if _is_done(ledger, item, request):
            result.n_done += 1
            result.n_resumed += 1
            callback(Progress(item=item, state="resumed"))
        else:
            todo.append(item)
    _make(ledger, todo, requests, work, result, extra=extra or {}, n_workers=n_workers, callback=callback)


def _make(
    ledger: Ledger,
    todo: Sequence[str],
    requests: Mapping[str, dict[str, Any]],
    work: Callable[[dict[str, Any], Callback], Any],
    result: RunResult,
    *,
    extra: Mapping[str, dict[str, Any]],
    n_workers: int,
    callback: Callback,
) -> None:
    from tomocyte.batch import run_staged

    tasks = ({**extra.get(item, {}), "item": item, "request": requests[item]} for item in todo)
    for item, staged, outcome in run_staged(ledger, tasks, work, n_workers=n_workers, callback=callback):
        if outcome.error is not None:
            problem = outcome.error
            result.failures.append(Failure(item, "", problem.code, problem.problem, problem.cure, outcome.traceback))
        else:
            digest = sha256_of_json(requests[item])
            record = CommitRecord(
                item=item,
                source="simulated",
                input_sha256=digest,
                request_sha256=digest,
                code_version=__version__,
                n_rows=outcome.result["n_rows"],
                facts=outcome.result["facts"],
                timings={"seconds": outcome.seconds},
            )
            ledger.commit(item, staged, record)
            result.n_done += 1
        callback(Progress(item=item, state="done" if outcome.error is None else "failed"))
    result.failures.sort(key=lambda failure: failure.item)


def _publish(ledger: Ledger, plans: list[ItemPlan], result: RunResult) -> None:
    from tomocyte.simulation.cells.truth import ABSORPTION, COLUMNS
    from tomocyte.tables import data_dictionary, write_csv, write_parquet

    wanted = {plan.name for plan in plans} - {failure.item for failure in result.failures}
    made = [record.item for record in ledger.records() if record.item in wanted]
    truth = _joined(ledger, made, "truth.parquet")
    tracks = _joined(ledger, made, "tracks.parquet")
    columns = (*COLUMNS, ABSORPTION) if ABSORPTION.name in truth else COLUMNS
    if len(truth):
        result.n_objects = {str(name): int(count) for name, count in truth.groupby("structure").size().items()}
    card = {
        "is_simulated": True,
        "made_by": environment(),
        "items": [plan.model_dump(mode="json") for plan in sorted(plans, key=lambda plan: plan.name)],
        "failed": [failure.item for failure in result.failures],
        "files": {
            "items/<item>/": "the measured volume; labels/ holds the exact label images, card.json how it was made",
            "truth.csv": "one row per object and frame, from the continuous shapes, not from voxels",
            "tracks.csv": "track_id and parent_id (0: no known mother) of each cell's label in each frame",
        },
    }
    ledger.publish("truth.csv", partial(write_csv, truth))
    ledger.publish("truth.parquet", partial(write_parquet, truth))
    ledger.publish("truth.dictionary.csv", partial(write_csv, data_dictionary(columns)))
    ledger.publish("tracks.csv", partial(write_csv, tracks))
    text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    ledger.publish("card.json", lambda path: _write_text(path, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _joined(ledger: Ledger, items: list[str], name: str) -> pd.DataFrame:
    import pandas as pd

    parts = [pd.read_parquet(ledger.items / item / name) for item in items]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"item": []})
