"""FULL: a disk that is full after N bytes, for many N.

Two ways: a limit on the size of a file (anywhere), and a small file system in memory (where this user may mount one).
``python disk_full.py --work DIR --sizes 40`` prints a JSON summary.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import shutil
import subprocess
import sys
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import stub_batch
from kill_loop import forked, leftovers, snapshot

from tomocyte.ledger import verify

LARGEST_FILE = 40_000
ALL_BYTES = 700_000


def limited(out: Path, limit: int, log: Path, n_workers: int) -> int:
    """A run in which no file may grow beyond ``limit`` bytes; what it says goes to ``log``."""
    said = io.StringIO()
    with redirect_stderr(said):
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT)
        os.write(descriptor, b" " * 2_000)
        os.lseek(descriptor, 0, os.SEEK_SET)
        if limit >= 0:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        code = stub_batch.guarded(out, n_workers=n_workers, pause_s=0)
        os.write(descriptor, said.getvalue().encode()[: limit if limit >= 0 else None][:2_000])
    return code


def attempt(out: Path, limit: int, log: Path, n_workers: int) -> int:
    log.unlink(missing_ok=True)
    pid = forked(lambda: limited(out, limit, log, n_workers))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def examine(summary: dict[str, Any], size: int, code: int, said: str, out: Path, expected: dict[str, str]) -> None:
    """After a failed run: coded, nothing torn; after one more with space: nothing differs."""
    if code != 2 or (len(said) > 100 and not said.startswith("E-DISK")):
        summary["unclear"].append((size, code, said[:200]))
    if (out / ".tomocyte.json").exists():
        summary["torn"] += [(size, f.path) for f in verify(out).findings if f.kind in ("changed", "missing")]
    # Space is freed by the next line for the mounted disk; a limit of a process ended with it.
    if expected:
        again = forked(lambda: stub_batch.guarded(out, n_workers=0, pause_s=0))
        if os.waitstatus_to_exitcode(os.waitpid(again, 0)[1]) != 0 or snapshot(out) != expected:
            summary["different"].append(size)
        summary["leftovers"] += leftovers(out)


def sweep_limits(work: Path, n_sizes: int, n_workers: int, expected: dict[str, str]) -> dict[str, Any]:
    summary: dict[str, Any] = {"way": "limit", "sizes": 0, "unclear": [], "torn": [], "different": [], "leftovers": []}
    out = work / "out"
    for n in range(n_sizes):
        limit = n * (LARGEST_FILE - 1) // max(1, n_sizes - 1)
        code = attempt(out, limit, work / "log", n_workers)
        said = (work / "log").read_text().strip()
        examine(summary, limit, code, said, out, expected)
        shutil.rmtree(out, ignore_errors=True)
        summary["sizes"] += 1
    return summary


def sweep_mounts(work: Path, n_sizes: int, n_workers: int, expected: dict[str, str]) -> dict[str, Any]:
    summary: dict[str, Any] = {"way": "mount", "sizes": 0, "unclear": [], "torn": [], "different": [], "leftovers": []}
    disk = work / "disk"
    disk.mkdir()
    for n in range(n_sizes):
        size = 4_096 * (1 + n * (ALL_BYTES // 4_096) // n_sizes)
        mount(disk, f"size={size}")
        try:
            code = attempt(disk / "out", -1, work / "log", n_workers)
            said = (work / "log").read_text().strip()
            examine(summary, size, code, said, disk / "out", {})
            mount(disk, "remount,size=16m")
            examine({**summary, "unclear": []}, size, code, said, disk / "out", expected)
        finally:
            subprocess.run(["umount", str(disk)], check=True)
        summary["sizes"] += 1
    return summary


def mount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=True, capture_output=True)


def may_mount(work: Path) -> bool:
    """Whether this user may mount a file system in memory."""
    disk = work / "probe"
    disk.mkdir()
    try:
        mount(disk, "size=64k")
    except (OSError, subprocess.CalledProcessError):
        return False
    subprocess.run(["umount", str(disk)], check=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sizes", type=int, default=40)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--mount", action="store_true", help="a small disk, where this user may mount one")
    options = parser.parse_args()
    reference = options.work / "reference"
    if stub_batch.guarded(reference, n_workers=0, pause_s=0) != 0:
        return 1
    sweep = sweep_mounts if options.mount and may_mount(options.work) else sweep_limits
    summary = sweep(options.work, options.sizes, options.workers, snapshot(reference))
    print(json.dumps(summary))
    return int(any(summary[key] for key in ("unclear", "torn", "different", "leftovers")))


if __name__ == "__main__":
    sys.exit(main())
