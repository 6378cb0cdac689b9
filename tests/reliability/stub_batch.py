"""A small real batch on top of the ledger and the workers, for the reliability tests.

Twelve items of three files each, every byte a function of item and request, so that any two complete runs must be
equal. Run as a script it is a command like any other: ``python stub_batch.py OUT --workers 2``.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tomocyte.batch import run_items
from tomocyte.errors import TomocyteError, WorkerError
from tomocyte.ledger import CommitRecord, Ledger, writing
from tomocyte.progress import Progress

N_ITEMS = 12
SOURCE = {f"cell {n:02d}": hashlib.sha256(b"input %d" % n).hexdigest() for n in range(N_ITEMS)}


def content(item: str, part: str, request: str, n_bytes: int) -> bytes:
    """Bytes that depend on all arguments."""
    seed = hashlib.sha256(f"{item}|{part}|{request}".encode()).digest()
    return (seed * (n_bytes // len(seed) + 1))[:n_bytes]


def work(task: dict[str, Any], report: Any) -> dict[str, Any]:
    """Write three files of different sizes into the staged folder, in several steps."""
    staged = Path(task["staged"])
    for part, n_bytes in (("labels.bin", 40_000), ("nested/chunk.bin", 9_000), ("rows.json", 2_500)):
        report(Progress(step=part))
        path = staged / part
        if path.parent != staged:
            path.parent.mkdir()
        data = content(task["item"], part, task["request"], n_bytes)
        with path.open("wb") as stream:
            for start in range(0, n_bytes, 8_000):
                stream.write(data[start : start + 8_000])
        time.sleep(task.get("pause_s", 0.005))
    return {"n_rows": len(task["item"])}


def work_here(task: dict[str, Any]) -> dict[str, Any]:
    """:func:`work` in this process, its write errors in plain words."""
    with writing(task["staged"]):
        return work(task, lambda event: None)


def die(task: dict[str, Any], report: Any) -> dict[str, Any]:
    """Like :func:`work`, but items named in ``fates`` end their process instead."""
    fate = task["fates"].get(task["item"])
    if fate == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fate == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif fate == "exit":
        os._exit(7)
    elif fate == "once":
        flag = Path(task["flag"])
        if not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    elif fate == "hang":
        time.sleep(1000)
    elif fate == "bug":
        raise ZeroDivisionError("nobody foresaw this")
    elif fate == "coded":
        raise WorkerError("E-TEST", "on purpose.", path="a b.tif", cure="None.")
    return work(task, report)


def run(out: Path, *, n_workers: int = 2, request: str = "r1", pause_s: float = 0.005, n_items: int = N_ITEMS) -> int:
    """One batch; with 0 workers in this very process. Returns how many items were made (not resumed)."""
    made = 0
    with Ledger(out) as ledger:
        facts = {
            item: {
                "input_sha256": SOURCE[item], "request_sha256": request, "model_sha256": "weights", "code_version": "1",
            }
            for item in sorted(SOURCE)[:n_items]
        }  # fmt: skip
        todo = [item for item in facts if ledger.committed(item, **facts[item]) is None]

        def tasks() -> Any:
            for item in todo:
                yield {"item": item, "request": request, "staged": str(ledger.stage(item)), "pause_s": pause_s}

        def renew(task: dict[str, Any]) -> dict[str, Any]:
            ledger.discard(Path(task["staged"]))
            return {**task, "staged": str(ledger.stage(task["item"]))}

        if n_workers:
            outcomes = ((o.task, o.result, o.error) for o in run_items(tasks(), work, n_workers=n_workers, renew=renew))
        else:
            outcomes = ((task, work_here(task), None) for task in tasks())
        for task, result, error in outcomes:
            if error is not None:
                raise error
            item = task["item"]
            record = CommitRecord(item=item, source=f"{item}.tif", **facts[item], n_rows=result["n_rows"])
            ledger.commit(item, Path(task["staged"]), record)
            made += 1
        records = [record for record in ledger.records() if record.item in facts]
        ledger.publish("objects.csv", lambda path: write_table(path, records))
        ledger.publish("run.json", lambda path: path.write_text(json.dumps({"finished": time.time()})))
    return made


def write_table(path: Path, records: list[CommitRecord]) -> None:
    """The final table, from the commit records alone."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        for record in records:
            for name, output in sorted(record.outputs.items()):
                writer.writerow([record.item, record.request_sha256, record.n_rows, name, output.sha256])


def guarded(out: Path, **options: Any) -> int:
    """Exit code of a run: 0, or 2 with the coded error in one line on stderr."""
    try:
        run(out, **options)
    except TomocyteError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--request", default="r1")
    parser.add_argument("--pause-s", type=float, default=0.005)
    options = parser.parse_args()
    return guarded(options.out, n_workers=options.workers, request=options.request, pause_s=options.pause_s)


if __name__ == "__main__":
    sys.exit(main())
