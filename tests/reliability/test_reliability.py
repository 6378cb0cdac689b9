"""Runs that cannot lie: kills, full disks, failing calls, order of writes, races, interrupts.

The expected value is never a number from the code: it is an unbroken run, the exit code, or the order that makes a
power cut harmless.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stub_batch
from faults import Faults, raising, relative
from kill_loop import leftovers, snapshot

from tomocyte.errors import OutputError
from tomocyte.ledger import verify

HERE = Path(__file__).parent
Script = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(("n_workers", "n_kills"), [(2, 60), (0, 60)])
def test_killed_runs_end_like_an_unbroken_one(
    run_script: Script, memory_folder: Path, n_workers: int, n_kills: int
) -> None:
    summary = run_script("kill_loop.py", "--kills", str(n_kills), "--stub", str(n_workers), "--work", memory_folder)
    assert summary["kills"] >= n_kills
    assert summary["batches"] >= 1
    assert summary["n_files"] == 2 + stub_batch.N_ITEMS * 4  # marker, table; per item three files and a record


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("n_kills", [200, 1000])
def test_many_kills_on_the_disk(run_script: Script, tmp_path: Path, n_kills: int) -> None:
    summary = run_script("kill_loop.py", "--kills", str(n_kills), "--stub", "2", "--work", tmp_path, timeout_s=2900)
    assert summary["kills"] >= n_kills


def test_kill_loop_takes_any_command(run_script: Script, memory_folder: Path) -> None:
    command = [sys.executable, str(HERE / "stub_batch.py"), "{out}", "--workers", "1"]
    assert run_script("kill_loop.py", "--kills", "5", "--work", memory_folder, "--", *command)["kills"] >= 5


def test_kill_loop_notices_a_writer_without_commit(run_script: Script, memory_folder: Path) -> None:
    """The harness itself can fail: a command whose result depends on how often it was started."""
    code = "import sys,pathlib,time;o=pathlib.Path(sys.argv[1]);o.mkdir(exist_ok=True);(o/str(time.time())).touch()"
    with pytest.raises(AssertionError):
        run_script("kill_loop.py", "--kills", "1", "--work", memory_folder, "--", sys.executable, "-c", code, "{out}")


@pytest.mark.parametrize("extra", [[], ["--redo"]], ids=["first run", "replacing an earlier run"])
def test_killed_at_every_single_call(run_script: Script, memory_folder: Path, extra: list[str]) -> None:
    summary = run_script("crash_points.py", "--work", memory_folder, *extra)
    assert summary["crashes"] > 80


@pytest.mark.parametrize(
    "extra", [[], ["--mount"], ["--workers", "2", "--sizes", "6"]], ids=["limit", "mount", "workers"]
)
def test_full_disk(run_script: Script, memory_folder: Path, extra: list[str]) -> None:
    assert run_script("disk_full.py", "--work", memory_folder, *extra)["sizes"] in (40, 6)


def test_of_four_runs_at_once_one_works(run_script: Script, memory_folder: Path) -> None:
    assert run_script("race.py", "--work", memory_folder, "--races", "10", "--runs", "4")["races"] == 10


@pytest.mark.slow
def test_two_hundred_races(run_script: Script, tmp_path: Path) -> None:
    assert run_script("race.py", "--work", tmp_path, "--races", "200", "--runs", "8")["races"] == 200


@pytest.mark.parametrize(
    ("number", "codes"),
    [(errno.EIO, {"E-OUT-IO"}), (errno.ENOSPC, {"E-DISK"}), (errno.EACCES, {"E-OUT-RO", "E-LOCKED"})],
    ids=["EIO", "ENOSPC", "EACCES"],
)
def test_every_failing_call_is_an_error(memory_folder: Path, number: int, codes: set[str]) -> None:
    """Call k fails, for each k: never success, a code, nothing torn, and the next run ends like an unbroken one."""
    reference, out = memory_folder / "reference", memory_folder / "out"
    with Faults() as faults:
        stub_batch.run(reference, n_workers=0, n_items=1, pause_s=0)
    n_calls, expected = len(faults.calls), snapshot(reference)
    assert n_calls > 50
    for k in range(1, n_calls + 1):
        with pytest.raises(OutputError) as caught, Faults(k, raising(number)):
            stub_batch.run(out, n_workers=0, n_items=1, pause_s=0)
        assert caught.value.code in codes, f"call {k}: {caught.value}"
        if (out / ".tomocyte.json").exists():
            assert not [f for f in verify(out).findings if f.kind in ("changed", "missing")], f"call {k}"
        stub_batch.run(out, n_workers=0, n_items=1, pause_s=0)
        assert snapshot(out) == expected, f"call {k}"
        assert leftovers(out) == []
        shutil.rmtree(out)


def test_order_of_writes(memory_folder: Path) -> None:
    """What a power cut can reorder is fenced: content, then names, then the record, each synced before the next."""
    out = memory_folder / "out"
    with Faults() as faults:
        stub_batch.run(out, n_workers=0, n_items=1, pause_s=0)
    calls = relative(faults.calls, out)

    def at(name: str, part: str, after: int = -1) -> int:
        return next(n for n, call in enumerate(calls) if n > after and call[0] == name and part in call[1])

    folder = at("rename", "items/cell 00")
    for written in ("labels.bin", "nested/chunk.bin", "rows.json"):
        assert at("fsync", written) < folder
    assert at("fsync", "nested", at("fsync", "rows.json")) < folder  # the folders, after their files
    assert at("write", "done.json") < at("fsync", "done.json") < folder
    items_synced = next(n for n in range(folder, len(calls)) if calls[n] == ("fsync", "items"))
    record = at("replace", "cell 00.done.json")
    assert folder < items_synced < record
    assert next(n for n in range(record, len(calls)) if calls[n] == ("fsync", "items")) == record + 2  # open, sync
    table = at("replace", "objects.csv")
    assert record < at("fsync", "objects.part") < table
    assert calls[table + 1 : table + 3] == [("open", "."), ("fsync", ".")]
    manifest = at("replace", "manifest.json", table)
    assert table < at("write", "manifest.part", table) < at("fsync", "manifest.part", table) < manifest
    assert calls[manifest + 2] == ("fsync", ".")


def start_slow_run(out: Path) -> subprocess.Popen[bytes]:
    """A run that takes minutes, once it has begun to work."""
    command = [sys.executable, str(HERE / "stub_batch.py"), str(out), "--workers", "2", "--pause-s", "20"]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(list(out.glob("items/*.part*/*.bin"))) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    return process


def is_group_gone(group: int) -> bool:
    """Whether all processes of a group end within a few seconds (some notice the end of their parent by themselves)."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    ("number", "is_whole_group", "code"),
    [(signal.SIGINT, True, -signal.SIGINT), (signal.SIGINT, False, -signal.SIGINT), (signal.SIGTERM, False, 143)],
    ids=["ctrl-c", "interrupt", "terminate"],
)
def test_interrupted_run_stops_and_cleans(memory_folder: Path, number: int, is_whole_group: bool, code: int) -> None:
    process = start_slow_run(memory_folder / "out")
    start = time.monotonic()
    (os.killpg if is_whole_group else os.kill)(process.pid, number)
    _, said = process.communicate(timeout=30)
    assert time.monotonic() - start < 10
    assert process.returncode == code, said.decode()
    assert said.count(b"Traceback") <= 1, said.decode()  # the workers say nothing
    assert leftovers(memory_folder / "out") == []
    assert is_group_gone(process.pid)


def test_no_orphans_when_only_the_parent_is_killed(memory_folder: Path) -> None:
    process = start_slow_run(memory_folder / "out")
    process.kill()
    process.wait(timeout=30)  # not communicate(): orphans would hold its pipe, and the test would wait for them
    assert process.stderr is not None
    process.stderr.close()
    assert is_group_gone(process.pid)
