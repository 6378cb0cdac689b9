"""Workers: who does what, and what a death, a hang or an error costs."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tomocyte.batch import Outcome, n_usable_cores, run_items, sigterm_exits
from tomocyte.errors import InputError, SettingsError
from tomocyte.progress import Progress


def double(task: int, report: Any) -> tuple[int, int]:
    report(Progress(step="half", frame=task))
    return 2 * task, os.getpid()


def environment(task: str, report: Any) -> str:
    return os.environ.get(task, "")


def fate(task: dict[str, str], report: Any) -> str:
    """Ends the way the task says."""
    what = task["fate"]
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif what == "exit":
        os._exit(7)
    elif what == "leave":
        sys.exit(3)
    elif what == "hang":
        time.sleep(1000)
    elif what == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(1000)
    elif what == "bug":
        raise ZeroDivisionError("nobody foresaw this")
    elif what == "coded":
        raise InputError("E-TIFF-TRUNC", "3 of 5 planes.", path="a b.tif", cure="Copy it again.")
    elif what == "disk":
        raise OSError(errno.ENOSPC, "No space left on device", "labels.tif")
    elif what == "memory":
        raise MemoryError
    elif what == "unsendable":
        return threading.Lock()  # type: ignore[return-value]
    return what


def siblings_on_second_try(task: str, report: Any) -> int:
    flag = Path(task)
    if not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return len(workers_of(os.getppid()))


def nothing(task: Any, report: Any) -> None:
    """Returns at once."""


def workers_of(pid: int) -> list[psutil.Process]:
    return [
        child for child in psutil.Process(pid).children(recursive=True) if "spawn_main" in " ".join(child.cmdline())
    ]


def outcomes(tasks: Any, work: Any, **options: Any) -> dict[int, Outcome[Any]]:
    found = list(run_items(tasks, work, **options))
    assert len({outcome.index for outcome in found}) == len(found), "an item came twice"
    return {outcome.index: outcome for outcome in found}


@pytest.mark.parametrize("n_workers", [1, 2, 3])
def test_all_items_come_once_from_other_processes(n_workers: int) -> None:
    found = outcomes(range(7), double, n_workers=n_workers)
    assert {index: outcome.result[0] for index, outcome in found.items()} == {n: 2 * n for n in range(7)}
    pids = {outcome.result[1] for outcome in found.values()}
    assert os.getpid() not in pids
    assert 1 <= len(pids) <= n_workers
    assert all(outcome.error is None and outcome.n_attempts == 1 for outcome in found.values())


def test_no_items_is_a_result() -> None:
    assert outcomes([], double, n_workers=2) == {}


def test_events_reach_the_parent_in_order() -> None:
    heard: list[tuple[int, Progress]] = []
    outcomes([5, 6], double, n_workers=1, on_event=lambda task, event: heard.append((task, event)))
    assert heard == [
        (5, Progress(state="started")),
        (5, Progress(step="half", frame=5)),
        (6, Progress(state="started")),
        (6, Progress(step="half", frame=6)),
    ]


def test_deaths_hangs_and_errors_cost_exactly_their_items() -> None:
    fates = ["ok", "kill", "ok", "segv", "exit", "bug", "ok", "coded", "hang", "disk", "memory", "leave", "ok"]
    found = outcomes([{"fate": what} for what in fates], fate, n_workers=2, item_timeout_s=2.0)
    codes = {n: "" if outcome.error is None else outcome.error.code for n, outcome in found.items()}
    expected = {
        "ok": "", "kill": "E-WORKER-DIED", "segv": "E-WORKER-DIED", "exit": "E-WORKER-DIED", "leave": "E-WORKER-DIED",
        "bug": "E-BUG", "coded": "E-TIFF-TRUNC", "hang": "E-TIMEOUT", "disk": "E-DISK", "memory": "E-MEM",
    }  # fmt: skip
    assert codes == {n: expected[what] for n, what in enumerate(fates)}
    assert "SIGKILL" in str(found[1].error)
    assert "SIGSEGV" in str(found[3].error)
    assert "exit code 7" in str(found[4].error)
    assert found[1].n_attempts == found[3].n_attempts == 2
    assert "ZeroDivisionError: nobody foresaw this" in found[5].traceback
    assert str(found[7].error) == str(
        InputError("E-TIFF-TRUNC", "3 of 5 planes.", path="a b.tif", cure="Copy it again.")
    )
    assert isinstance(found[7].error, InputError)
    assert workers_of(os.getpid()) == []


def test_an_item_whose_worker_died_is_tried_again_alone(tmp_path: Path) -> None:
    tasks = [str(tmp_path / name) for name in "abcd"]
    for survivor in tasks[1:]:
        Path(survivor).touch()
    heard: list[tuple[str, str]] = []
    renewed: list[str] = []

    def renew(task: str) -> str:
        renewed.append(task)
        return task

    def listen(task: str, event: Progress) -> None:
        heard.append((task, event.state))

    found = outcomes(tasks, siblings_on_second_try, n_workers=3, renew=renew, on_event=listen)
    assert found[0].result == 1  # nobody but itself: the idle ones were stopped
    assert [found[n].n_attempts for n in range(4)] == [2, 1, 1, 1]
    assert renewed == [tasks[0]]
    assert heard[-2:] == [(tasks[0], "retried"), (tasks[0], "started")]


def test_a_worker_deaf_to_termination_is_killed() -> None:
    start = time.monotonic()
    found = outcomes([{"fate": "deaf"}, {"fate": "ok"}], fate, n_workers=1, item_timeout_s=1.0)
    assert found[0].error is not None
    assert found[0].error.code == "E-TIMEOUT"
    assert found[1].result == "ok"
    assert time.monotonic() - start < 30


def test_a_result_that_cannot_travel_is_a_bug_not_a_hang() -> None:
    error = outcomes([{"fate": "unsendable"}], fate, n_workers=1)[0].error
    assert error is not None
    assert error.code == "E-BUG"


def test_threads_times_workers_stay_within_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"]
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = dict(os.environ)
    found = outcomes([*names, "OMP_WAIT_POLICY"], environment, n_workers=2)
    assert found[0].result == "1"  # the user asked for fewer
    assert [int(found[n].result) for n in (1, 2, 3)] == [max(1, n_usable_cores() // 2)] * 3
    assert found[4].result == "PASSIVE"
    assert dict(os.environ) == before


def test_tasks_are_taken_only_when_needed() -> None:
    taken: list[int] = []

    def tasks() -> Any:
        for n in range(50):
            taken.append(n)
            yield n

    run = run_items(tasks(), double, n_workers=2)
    next(run)
    assert len(taken) <= 6
    run.close()
    assert workers_of(os.getpid()) == []


def test_workers_cannot_start_is_an_error_not_a_loop(tmp_path: Path) -> None:
    """A script without the main guard, the classic mistake."""
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from tomocyte.batch import run_items\n"
        "from tomocyte.errors import WorkerError\n"
        "def work(task, report): return task\n"
        "try:\n    list(run_items([1], work, n_workers=1))\n"
        "except WorkerError as error:\n    raise SystemExit(error.code)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("E-WORKER-START")


def test_work_of_a_script_is_found(tmp_path: Path) -> None:
    script = tmp_path / "guarded.py"
    script.write_text(
        "from tomocyte.batch import run_items\n"
        "def work(task, report): return task + 1\n"
        "if __name__ == '__main__':\n"
        "    raise SystemExit(sum(outcome.result for outcome in run_items([1, 2], work, n_workers=1)))\n"
    )
    assert subprocess.run([sys.executable, str(script)], timeout=100).returncode == 5


@pytest.mark.parametrize("options", [{"n_workers": 0}, {"n_workers": 1, "item_timeout_s": 0.0}])
def test_impossible_settings_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="E-WORKERS"):
        list(run_items([1], nothing, **options))


def test_termination_unwinds_like_ctrl_c() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught, sigterm_exits():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before
