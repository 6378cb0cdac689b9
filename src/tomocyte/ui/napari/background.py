"""Work beside everything else in the window: a result or a refusal comes back, never neither."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tomocyte.errors import TomocyteError

T = TypeVar("T")


def in_background(work: Callable[[], T], then: Callable[[T | None, TomocyteError | None], None]) -> Any:
    """Do something in a thread of its own.

    Parameters
    ----------
    work : callable
    then : callable
        Called in the window's thread with the result, or with what was refused.

    Returns
    -------
    WorkerBase
        Of napari, started.
    """
    from napari.qt.threading import create_worker

    def guarded() -> tuple[T | None, TomocyteError | None]:
        try:
            return work(), None
        except TomocyteError as problem:  # in a pair, since a worker raises what it is returned
            return None, problem

    worker = create_worker(guarded)
    worker.returned.connect(lambda pair: then(*pair))
    worker.start()
    return worker
