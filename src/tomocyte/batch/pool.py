"""Many items over several processes: a crash, a hang or a bad file costs one item and never the run.

Workers are started afresh (never forked), live for many items and die with their parent. To run elsewhere (a cluster),
write another function with the signature of :func:`run_items`; the ledger stays with the caller.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, Generic, TypeVar

from tomocyte.batch.worker import serve
from tomocyte.errors import SettingsError, TomocyteError, WorkerError
from tomocyte.progress import Callback, Progress, silent

Task = TypeVar("Task")

THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS",
)  # fmt: skip
START_TIMEOUT_S = 300.0
STOP_GRACE_S = 3.0
PATIENCE_S = 5.0
_SPAWN = mp.get_context("spawn")


@dataclass(frozen=True)
class Outcome(Generic[Task]):
    """What became of one task.

    Parameters
    ----------
    index : int
        Position among the tasks, from 0.
    task
        As it was given (or renewed).
    result
        What ``work`` returned; ``None`` when it failed.
    error : TomocyteError or None
        Why it failed: the worker's own coded error, ``E-BUG``, ``E-DISK``, ``E-MEM``, ``E-WORKER-DIED``,
        ``E-TIMEOUT``.
    traceback : str
        The worker's traceback, for ``--debug``; empty where there is none.
    n_attempts : int
        1, or 2 when a worker died and the item was tried again alone.
    seconds : float
        Wall time of the last attempt.
    """

    index: int
    task: Task
    result: Any = None
    error: TomocyteError | None = None
    traceback: str = ""
    n_attempts: int = 1
    seconds: float = 0.0


def run_items(
    tasks: Iterable[Task],
    work: Callable[[Task, Callback], Any],
    *,
    n_workers: int,
    item_timeout_s: float | None = None,
    on_event: Callable[[Task, Progress], None] = silent,
    renew: Callable[[Task], Task] | None = None,
) -> Generator[Outcome[Task], None, None]:
    """Work through tasks in child processes and yield each outcome as it comes.

    Parameters
    ----------
    tasks : iterable
        Taken one at a time when a worker is free; each can be sent to another process.
    work : callable
        ``work(task, callback) -> result``; a function of an importable module. The callback sends an event.
    n_workers : int
        Child processes at once, ≥ 1. With 1 the work still runs in a child. Workers times threads stay within the
        cores this process may use.
    item_timeout_s : float, optional
        Seconds an item may take; then its worker is killed (``E-TIMEOUT``) and replaced.
    on_event : callable, optional
        ``on_event(task, event)`` in this process: what ``work`` reported, and the states ``started`` and ``retried``
        from
        here.
    renew : callable, optional
        Gives the task for the second attempt, for instance with a fresh staged folder.

    Yields
    ------
    Outcome
        In order of completion. Items whose worker died come last, after a second attempt alone.

    Raises
    ------
    SettingsError
        ``E-WORKERS``: fewer than one worker, or a timeout that is not positive.
    WorkerError
        ``E-WORKER-START``: no worker can be started at all.
    KeyboardInterrupt, SystemExit
        On Ctrl-C and on SIGTERM (code 143), after all workers have stopped.
    """
    if n_workers < 1:
        raise SettingsError("E-WORKERS", f"{n_workers} workers.", cure="Use at least 1.")
    if item_timeout_s is not None and not item_timeout_s > 0:
        raise SettingsError("E-WORKERS", f"a time limit of {item_timeout_s} s.", cure="Use a positive number.")
    pool = _Pool(work, n_workers, item_timeout_s, on_event)
    with sigterm_exits():
        try:
            first = (_Job(index, task) for index, task in enumerate(tasks))
            yield from pool.run(first, n_workers)
            for job in sorted(pool.casualties, key=lambda job: job.index):
                pool.stop()  # alone: an idle worker's memory may be what killed it
                task = job.task if renew is None else renew(job.task)
                pool.on_event(task, Progress(step=job.problem, state="retried"))
                yield from pool.run(iter([_Job(job.index, task, n_attempts=2)]), 1)
        finally:
            pool.stop()


@contextmanager
def sigterm_exits() -> Iterator[None]:
    """Let SIGTERM unwind this process like Ctrl-C (``SystemExit(143)``), so that cleaning up happens.

    Only in the main thread, and only where SIGTERM has no other handler.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _exit_143)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def n_usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _exit_143(number: int, frame: object) -> None:  # noqa: ARG001 - the signature of a signal handler
    raise SystemExit(143)


@dataclass
class _Job(Generic[Task]):
    index: int
    task: Task
    n_attempts: int = 1
    problem: str = ""


class _Worker:
    """One child process and the pipe to it."""

    def __init__(self, work: str, n_threads: int) -> None:
        self.pipe, theirs = _SPAWN.Pipe()
        is_main = threading.current_thread() is threading.main_thread()
        self.process = _SPAWN.Process(target=serve, args=(theirs, work, os.getpid(), is_main), daemon=True)
        with _child_settings(n_threads):
            self.process.start()
        theirs.close()
        self.is_ready = False
        self.job: _Job[Any] | None = None
        self.since = time.monotonic()

    def give(self, job: _Job[Any]) -> None:
        self.job, self.since = job, time.monotonic()
        with suppress(BrokenPipeError, ConnectionResetError):  # it has died; its end of the pipe tells
            self.pipe.send(job.task)

    def end(self, grace_s: float = STOP_GRACE_S) -> str:
        """Stop the process, gently then not, and say how it ended."""
        if self.process.is_alive():
            self.process.terminate()
            self.process.join(grace_s)
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.pipe.close()
        return _cause_of_end(self.process.exitcode)


class _Pool(Generic[Task]):
    """The workers, what each is doing, and the items whose worker died."""

    def __init__(
        self,
        work: Callable[[Task, Callback], Any],
        n_workers: int,
        item_timeout_s: float | None,
        on_event: Callable[[Task, Progress], None],
    ) -> None:
        self.work = f"{work.__module__}:{work.__qualname__}"
        self.n_threads = max(1, n_usable_cores() // n_workers)
        self.item_timeout_s = item_timeout_s
        self.on_event = on_event
        self.workers: list[_Worker] = []
        self.casualties: list[_Job[Task]] = []
        self.n_failed_starts = 0

    def run(self, jobs: Iterator[_Job[Task]], n_workers: int) -> Iterator[Outcome[Task]]:
        waiting: deque[_Job[Task]] = deque()
        outcomes: list[Outcome[Task]] = []
        while True:
            while len(waiting) < n_workers and (job := next(jobs, None)) is not None:
                waiting.append(job)
            self._hand_out(waiting, n_workers)
            yield from outcomes  # after handing out: the workers go on while the caller commits
            if not waiting and all(worker.job is None for worker in self.workers):
                return
            outcomes = self._listen()

    def _hand_out(self, waiting: deque[_Job[Task]], n_workers: int) -> None:
        for worker in self.workers:
            if waiting and worker.is_ready and worker.job is None:
                job = waiting.popleft()
                self.on_event(job.task, Progress(state="started"))
                worker.give(job)
        n_starting = sum(not worker.is_ready for worker in self.workers)
        for _ in range(min(len(waiting) - n_starting, n_workers - len(self.workers))):
            self.workers.append(_Worker(self.work, self.n_threads))

    def _listen(self) -> list[Outcome[Task]]:
        """Wait for news and handle all of it; a worker that ran out of time, or is gone, is news too."""
        pipes = {worker.pipe: worker for worker in self.workers}
        heard = wait(list(pipes), self._patience_s())
        outcomes = [self._hear(worker) for pipe, worker in pipes.items() if pipe in heard]
        for worker in list(self.workers):
            if worker.pipe.poll():
                continue
            if worker.process.exitcode is not None:  # a child of its own may keep the pipe open
                outcomes.append(self._bury(worker))
            elif self._is_overdue(worker):
                outcomes.append(self._expire(worker))
        return [outcome for outcome in outcomes if outcome is not None]

    def _limit_s(self, worker: _Worker) -> float | None:
        if not worker.is_ready:
            return START_TIMEOUT_S
        return self.item_timeout_s if worker.job is not None else None

    def _patience_s(self) -> float:
        now = time.monotonic()
        left = [limit - (now - w.since) for w in self.workers if (limit := self._limit_s(w)) is not None]
        return min([PATIENCE_S, *(max(0.0, seconds) + 0.01 for seconds in left)])

    def _is_overdue(self, worker: _Worker) -> bool:
        limit = self._limit_s(worker)
        return limit is not None and time.monotonic() - worker.since > limit

    def _hear(self, worker: _Worker) -> Outcome[Task] | None:
        try:
            kind, *content = worker.pipe.recv()
        except (EOFError, OSError):
            return self._bury(worker)
        if kind == "ready":
            worker.is_ready, self.n_failed_starts = True, 0
            return None
        job = worker.job
        if job is None:
            return None
        if kind == "event":
            self.on_event(job.task, content[0])
            return None
        worker.job = None
        seconds = time.monotonic() - worker.since
        if kind == "done":
            return Outcome(job.index, job.task, result=content[0], n_attempts=job.n_attempts, seconds=seconds)
        error, text = content
        return Outcome(job.index, job.task, None, error, text, job.n_attempts, seconds)

    def _bury(self, worker: _Worker) -> Outcome[Task] | None:
        """A worker has gone: try its item again later, or fail it."""
        self.workers.remove(worker)
        worker.process.join(STOP_GRACE_S)
        cause = worker.end()
        if not worker.is_ready:
            self._fail_start(cause)
            return None
        job = worker.job
        if job is None:
            return None
        job.problem = f"the worker process died ({cause})."
        if job.n_attempts == 1:
            self.casualties.append(job)
            return None
        cure = "Decoding the file may crash, or there is too little memory; the other inputs are not affected."
        error = WorkerError("E-WORKER-DIED", job.problem, cure=cure)
        seconds = time.monotonic() - worker.since
        return Outcome(job.index, job.task, error=error, n_attempts=job.n_attempts, seconds=seconds)

    def _expire(self, worker: _Worker) -> Outcome[Task] | None:
        self.workers.remove(worker)
        job, seconds = worker.job, time.monotonic() - worker.since
        worker.end()
        if not worker.is_ready:
            self._fail_start(f"no response for {START_TIMEOUT_S:g} s")
            return None
        if job is None:
            return None
        problem = f"took longer than {self.item_timeout_s:g} s and was stopped."
        error = WorkerError("E-TIMEOUT", problem, cure="Give such inputs more time with --item-timeout-s.")
        return Outcome(job.index, job.task, error=error, n_attempts=job.n_attempts, seconds=seconds)

    def _fail_start(self, cause: str) -> None:
        self.n_failed_starts += 1
        if self.n_failed_starts > 2:
            cure = "See the messages above; a script that calls this needs `if __name__ == '__main__':`."
            raise WorkerError("E-WORKER-START", f"no worker process can be started ({cause}).", cure=cure)

    def stop(self) -> None:
        """End all workers within a few seconds, whatever they do."""
        workers, self.workers = self.workers, []
        for worker in workers:
            worker.process.terminate()
        deadline = time.monotonic() + STOP_GRACE_S
        for worker in workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
        for worker in workers:
            worker.end(grace_s=0.0)


def _cause_of_end(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"


@contextmanager
def _child_settings(n_threads: int) -> Iterator[None]:
    """What a child inherits: few threads, set before it imports anything, and no Ctrl-C of its own."""
    caps = {name: str(n_threads) for name in THREAD_VARIABLES} | {"OMP_WAIT_POLICY": "PASSIVE"}
    for name in THREAD_VARIABLES:
        given = os.environ.get(name, "")
        if given.isdigit() and 0 < int(given) < n_threads:
            caps[name] = given
    before = {name: os.environ.get(name) for name in caps}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if sys.platform != "win32" else None
    os.environ.update(caps)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if sys.platform != "win32" and blocked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
