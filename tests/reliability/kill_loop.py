"""KILL-LOOP: start a command, SIGKILL it at a random moment, start it again; in the end nothing may differ.

Any command that writes an output folder will do; ``{out}`` stands for the folder::

    python tests/reliability/kill_loop.py --kills 200 --work DIR -- tomocyte run a.tif b.tif -o {out} --modality odt

``--stub N`` takes the small batch of ``stub_batch`` instead, with N workers, forked from this process to save start-up.
The last line printed is a JSON summary; the exit code is 0 only where nothing was torn, lost, different or left over.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import stub_batch

from tomocyte.ledger import verify

# What may differ between two complete runs: times, and what holds their hash.
VOLATILE = ("run.json", "manifest.json", "report.html", ".lock")


def snapshot(out: Path) -> dict[str, str]:
    """Relative path -> sha256 of everything that must be the same; commit records without their timings."""
    found = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        name = path.relative_to(out).as_posix()
        if name in VOLATILE:
            continue
        data = path.read_bytes()
        if name.endswith(".done.json"):
            data = json.dumps(json.loads(data)["record"], sort_keys=True).encode()
        found[name] = hashlib.sha256(data).hexdigest()
    return found


def leftovers(out: Path) -> list[str]:
    """Unfinished writes."""
    return sorted(str(path.relative_to(out)) for path in out.rglob("*.part*"))


def forked(action: Callable[[], int]) -> int:
    """Run something in a forked child of its own group; returns its pid."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            os.setpgid(0, 0)
            code = action()
        finally:
            os._exit(code)
    with suppress(ProcessLookupError, PermissionError):
        os.setpgid(pid, pid)  # here too, so that the group exists whichever of the two comes first
    return pid


def started(command: list[str], out: Path) -> int:
    """Start a command in a session of its own; returns its pid."""
    process = subprocess.Popen(
        [word.replace("{out}", str(out)) for word in command], start_new_session=True, stdout=subprocess.DEVNULL
    )
    pid = process.pid
    process.returncode = 0  # we wait for it ourselves
    return pid


def killed_after(pid: int, seconds: float, *, is_whole_group: bool) -> int | None:
    """Kill at the given time; the exit code where it finished before."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(min(0.002, max(0.0, deadline - time.monotonic())))
    (os.killpg if is_whole_group else os.kill)(pid, signal.SIGKILL)
    return None if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL else 0


def kill_loop(start: Callable[[Path], int], work: Path, *, n_kills: int, rng: random.Random) -> dict[str, Any]:
    """Kill ``n_kills`` times over as many batches as it takes; finish the last one and compare each."""
    reference_out, out = work / "reference", work / "out"
    begin = time.monotonic()
    code = os.waitstatus_to_exitcode(os.waitpid(start(reference_out), 0)[1])
    duration = time.monotonic() - begin
    if code != 0:
        raise SystemExit(f"the unbroken run failed with exit code {code}")
    reference = snapshot(reference_out)
    summary: dict[str, Any] = {"kills": 0, "batches": 0, "torn": [], "different": [], "leftovers": [], "refused": 0}
    while summary["kills"] < n_kills or (out / ".tomocyte.json").exists():
        is_last = summary["kills"] >= n_kills
        moment = 600.0 if is_last else rng.uniform(0, 1.1 * duration)
        code = killed_after(start(out), moment, is_whole_group=rng.random() < 0.7)
        if code is None:
            summary["kills"] += 1
            if (out / ".tomocyte.json").exists():
                damage = [f for f in verify_when_free(out).findings if f.kind in ("changed", "missing")]
                summary["torn"] += [f"{f.path}: {f.problem}" for f in damage]
            continue
        if code != 0:
            summary["refused"] += 1
            break
        summary["batches"] += 1
        summary["leftovers"] += leftovers(out)
        now = snapshot(out)
        summary["different"] += sorted(
            name for name in now.keys() | reference.keys() if now.get(name) != reference.get(name)
        )
        summary["torn"] += [f"{f.path}: {f.problem}" for f in verify_when_free(out).findings]
        shutil.rmtree(out)
    return summary | {"n_files": len(reference), "duration_s": round(duration, 3)}


def verify_when_free(out: Path) -> Any:
    """Verify at once: the lock of a killed run is free without anybody's help."""
    return verify(out)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--stub", type=int, default=None)
    parser.add_argument("command", nargs="*")
    options = parser.parse_args()

    def start(out: Path) -> int:
        if options.stub is None:
            return started(options.command, out)
        return forked(lambda: stub_batch.guarded(out, n_workers=options.stub))

    begin = time.monotonic()
    summary = kill_loop(start, options.work, n_kills=options.kills, rng=random.Random(options.seed))
    summary["seconds"] = round(time.monotonic() - begin, 1)
    print(json.dumps(summary))
    is_clean = not (summary["torn"] or summary["different"] or summary["leftovers"] or summary["refused"])
    return 0 if is_clean and summary["kills"] >= options.kills and summary["batches"] > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
