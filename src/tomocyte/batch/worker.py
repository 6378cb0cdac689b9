"""The child's side: one process that takes tasks from a pipe, works, and dies with its parent.

Imports stay few: the work's own module decides what a worker loads. A new kind of failure gets its code in
:func:`_coded`.
"""

from __future__ import annotations

import ctypes
import importlib
import multiprocessing as mp
import os
import signal
import sys
import threading
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from tomocyte.errors import OutputError, ResourceError, TomocyteError

_PR_SET_PDEATHSIG = 1


def serve(pipe: Connection, work_name: str, parent: int, is_parents_main_thread: bool) -> None:
    """Life of a worker: take a task, work, answer, until the pipe closes.

    Parameters
    ----------
    pipe : Connection
    work_name : str
        ``module:qualname`` of the work, imported here, after the thread limits are set.
    parent : int
        Process id that must be alive.
    is_parents_main_thread : bool
        Whether the thread that started us lives as long as its process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _die_with_parent(parent, is_parents_main_thread)
    module, _, qualname = work_name.partition(":")
    work: Any = importlib.import_module(module if module != "__main__" else "__mp_main__")
    for part in qualname.split("."):
        work = getattr(work, part)
    pipe.send(("ready",))
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        try:
            answer = ("done", work(task, lambda event: pipe.send(("event", event))))
            pipe.send(answer)
        except Exception as error:  # noqa: BLE001 - the border of the process: whatever it was becomes one failed item
            pipe.send(("failed", _coded(error), traceback.format_exc()))


def _coded(error: Exception) -> TomocyteError:
    from tomocyte.ledger.atomic import is_disk_full, output_error

    if isinstance(error, TomocyteError):
        return error
    if isinstance(error, MemoryError):
        return ResourceError("E-MEM", f"not enough memory ({error}).", cure="Use fewer workers or smaller tiles.")
    if isinstance(error, OSError) and is_disk_full(error):
        coded: OutputError = output_error(error, error.filename or "output")
        return coded
    problem = f"an unexpected error: {type(error).__name__}: {error}."
    return TomocyteError("E-BUG", problem, cure="Please report it; --debug shows where.")


def _die_with_parent(parent: int, is_parents_main_thread: bool) -> None:
    """No orphans: the kernel kills this process with its parent, and a thread watches where it cannot."""
    if sys.platform == "linux" and is_parents_main_thread:  # the kernel watches the thread that started us
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if sys.platform != "win32" and os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=_watch_parent, daemon=True).start()


def _watch_parent() -> None:
    process = mp.parent_process()
    if process is not None:
        wait([process.sentinel])
        os._exit(1)
