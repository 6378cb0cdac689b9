"""CRASH: kill a run at each single call that touches the disk, one after the other, and finish it afterwards.

The kill loop hits moments at random; this hits every one. ``python crash_points.py --work DIR`` prints a JSON summary.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import stub_batch
from faults import Faults, dying
from kill_loop import forked, leftovers, snapshot

from tomocyte.ledger import verify


def batch(out: Path, faults: Faults, request: str = "r1") -> int:
    with faults:
        return stub_batch.guarded(out, n_workers=0, pause_s=0, n_items=2, request=request)


def crash_everywhere(work: Path, *, is_redo: bool) -> dict[str, Any]:
    """Kill at call 1, 2, … until a run is not reached any more; optionally a run that replaces an earlier one."""
    reference, out = work / "reference", work / "out"
    batch(reference, Faults())
    expected = snapshot(reference)
    summary: dict[str, Any] = {"crashes": 0, "different": [], "leftovers": [], "torn": []}
    for k in range(1, 10_000):
        if is_redo:
            batch(out, Faults(), request="an earlier one")
        pid = forked(lambda k=k: batch(out, Faults(k, dying)))  # type: ignore[misc]
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        summary["crashes"] += code != 0
        if (out / ".tomocyte.json").exists():
            summary["torn"] += [(k, f.path) for f in verify(out).findings if f.kind in ("changed", "missing")]
        if batch(out, Faults()) != 0 or snapshot(out) != expected:
            summary["different"].append(k)
        summary["leftovers"] += leftovers(out)
        shutil.rmtree(out)
        if code == 0:
            return summary
    raise SystemExit("never reached the end")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--redo", action="store_true")
    options = parser.parse_args()
    found = crash_everywhere(options.work, is_redo=options.redo)
    print(json.dumps(found))
    sys.exit(bool(found["different"] or found["leftovers"] or found["torn"]))
