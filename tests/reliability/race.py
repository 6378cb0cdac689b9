"""RACE: several runs start on one output folder at the same moment; exactly one may work.

``python race.py --work DIR --races 10 --runs 4`` prints a JSON summary.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import stub_batch
from kill_loop import forked, leftovers, snapshot

from tomocyte.errors import OutputError
from tomocyte.ledger import Ledger

WON, REFUSED, WRONG = 0, 11, 12


def racer(out: Path, pipes: tuple[tuple[int, int], ...], *, dies: bool) -> int:
    """Wait for the start, try to enter; whoever is in stays until all others have been refused."""
    start, hold, entered = pipes
    signal.alarm(60)  # where nobody is refused, nobody would ever leave
    for mine_not in (start[1], hold[1], entered[0]):
        os.close(mine_not)
    os.read(start[0], 1)
    try:
        with Ledger(out):
            os.write(entered[1], b".")
            os.read(hold[0], 1)
            if dies:
                os.kill(os.getpid(), signal.SIGKILL)
    except OutputError as error:
        return REFUSED if error.code == "E-LOCKED" else WRONG
    return WON


def race(out: Path, n_runs: int, *, dies: bool) -> list[int]:
    """Exit codes of all runs, the last to end at the end, and how many ever were inside."""
    start, hold, entered = pipes = (os.pipe(), os.pipe(), os.pipe())
    for _ in range(n_runs):
        forked(lambda: racer(out, pipes, dies=dies))
    for theirs in (start[0], hold[0], entered[1]):
        os.close(theirs)
    os.close(start[1])  # all read the end at once
    codes = [os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(n_runs - 1)]
    os.close(hold[1])  # the winner may go
    codes.append(os.waitstatus_to_exitcode(os.wait()[1]))
    n_entered = len(os.read(entered[0], 100))
    os.close(entered[0])
    return [*codes, n_entered]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--races", type=int, default=10)
    parser.add_argument("--runs", type=int, default=4)
    options = parser.parse_args()
    summary: dict[str, Any] = {"races": 0, "wrong": [], "different": 0}
    reference = options.work / "reference"
    stub_batch.guarded(reference, n_workers=0, pause_s=0, n_items=2)
    for n in range(options.races):
        out, dies = options.work / f"out{n}", n % 2 == 1
        codes = race(out, options.runs, dies=dies)
        winner = -signal.SIGKILL if dies else WON
        if codes != [*[REFUSED] * (options.runs - 1), winner, 1]:
            summary["wrong"].append(codes)
        stub_batch.guarded(out, n_workers=0, pause_s=0, n_items=2)  # nobody unlocks anything by hand
        summary["different"] += snapshot(out) != snapshot(reference) or bool(leftovers(out))
        summary["races"] += 1
    print(json.dumps(summary))
    return int(bool(summary["wrong"] or summary["different"]))


if __name__ == "__main__":
    sys.exit(main())
