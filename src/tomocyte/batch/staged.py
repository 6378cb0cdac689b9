"""Workers that each fill a staged folder of a ledger: staging, renewing, discarding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tomocyte.batch.pool import Outcome, run_items
from tomocyte.errors import OutputError
from tomocyte.ledger import Ledger
from tomocyte.progress import Callback, silent

Task = dict[str, Any]
FATAL_CODES = ("E-DISK", "E-OUT", "E-LOCK")


def run_staged(
    ledger: Ledger,
    tasks: Iterable[Task],
    work: Callable[[Task, Callback], Any],
    *,
    n_workers: int,
    item_timeout_s: float | None = None,
    callback: Callback = silent,
) -> Iterator[tuple[str, Path, Outcome[Task]]]:
    """Work through tasks, each with a fresh folder to write into.

    Parameters
    ----------
    ledger : Ledger
        Locked.
    tasks : iterable of dict
        Each with ``item``; ``staged``, the folder, is added.
    work, n_workers, item_timeout_s
        See :func:`tomocyte.batch.run_items`.
    callback : callable
        Receives the workers' events with ``item`` added.

    Yields
    ------
    item, staged, outcome
        The caller commits what succeeded; what failed is already discarded.

    Raises
    ------
    OutputError
        The output folder cannot be written: the run cannot go on.
    """

    def staged(task: Task) -> Task:
        return {**task, "staged": str(ledger.stage(task["item"]))}

    def renew(task: Task) -> Task:
        ledger.discard(Path(task["staged"]))
        return staged(task)

    outcomes = run_items(
        (staged(task) for task in tasks),
        work,
        n_workers=n_workers,
        item_timeout_s=item_timeout_s,
        on_event=lambda task, event: callback(replace(event, item=task["item"])),
        renew=renew,
    )
    for outcome in outcomes:
        folder = Path(outcome.task["staged"])
        if outcome.error is not None:
            if isinstance(outcome.error, OutputError) and outcome.error.code.startswith(FATAL_CODES):
                raise outcome.error
            ledger.discard(folder)
        yield outcome.task["item"], folder, outcome
