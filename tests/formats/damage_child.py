"""Damaged container files read in a child process, so that a crash of a C library is seen, counted and survived.

:func:`run` starts one child; when it dies, the case it died on is recorded and another child goes on after it.
"""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import os
import resource
import signal
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from container_samples import SAMPLES, Sample, read_all
from fuzz import Outcome, cut_points, fuzz, mutated, truncated

TIME_LIMIT_S = 1500
EXPANSION = {
    "hdf5_gzip": 3000,
    "hdf5_latest": 3000,
    "tcf": 20_000,
    "nifti_gz": 3000,
    "nrrd_gzip": 3000,
    "nrrd_segments": 1000,
    "zarr_04": 20_000,
    "png": 1100,
    "mat_7": 3000,
    "mat_73": 3000,
    "amira_zip": 1100,
    "amira_rle": 64,
}


@dataclass(frozen=True)
class Job:
    """Which damage to do to which sample; ``member``: a file inside a folder format; ``crash_at`` tries the harness."""

    name: str
    is_truncation: bool
    n_files: int
    seed: int = 0
    member: str = ""
    crash_at: int = -1


@dataclass
class Report:
    """Outcome of a job, the cases on which a child died, and the memory it grew by."""

    outcome: Outcome = field(default_factory=Outcome)
    died: list[str] = field(default_factory=list)
    grown_mib: float = 0.0


def members(name: str) -> tuple[str, ...]:
    """Files of a format of several files to damage, one of each kind."""
    if name == "oif":
        return ("sample.oif", "sample.oif.files/s_C001Z004.tif")
    if name == "zarr_05":
        return ("zarr.json", "0/zarr.json", "0/c/0/0/0/0/0")
    if name == "zarr_04":
        return (".zattrs", "a/full/.zarray", "a/full/1/0/2")
    return ("",)


def jobs(name: str, *, n_mutated: int, n_cut: int, seed: int) -> list[Job]:
    """Truncations and mutations of a sample, shared out over its members."""
    parts = members(name)
    share = [(kind, -(-count // len(parts))) for kind, count in ((True, n_cut), (False, n_mutated))]
    return [Job(name, kind, count, seed, part) for part in parts for kind, count in share]


def run(todo: list[Job]) -> dict[Job, Report]:
    """Do each job in a child process and report."""
    context = multiprocessing.get_context("spawn")
    reports = {job: Report() for job in todo}
    remaining, skip = list(todo), 0
    while remaining:
        receiver, sender = context.Pipe(duplex=False)
        place = context.Value("i", -1)
        child = context.Process(target=_child, args=(remaining, skip, place, sender), daemon=True)
        child.start()
        sender.close()
        done = _collect(receiver, reports)
        child.join(30)
        remaining = remaining[done:]
        if remaining and child.exitcode is not None and child.exitcode >= 0:
            raise RuntimeError(f"the child could not do {remaining[0]}, see its traceback")
        if remaining:  # the child died within the first of these
            reports[remaining[0]].died.append(f"case {place.value}: exit {child.exitcode}")
            skip = place.value + 1
    return reports


def _collect(receiver: Connection, reports: dict[Job, Report]) -> int:
    done = 0
    try:
        while receiver.poll(TIME_LIMIT_S):
            job, outcome, grown = receiver.recv()
            reports[job].outcome.merge(outcome)
            reports[job].grown_mib = max(reports[job].grown_mib, grown)
            done += 1
    except EOFError:
        pass
    return done


def _child(todo: list[Job], skip: int, place: Any, sender: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("error")
    for job in todo:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        outcome = _do(job, skip, place)
        skip = 0
        sender.send((job, outcome, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))
    sender.close()


def _do(job: Job, skip: int, place: Any) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        sample = SAMPLES[job.name](Path(folder))
        place_of_members = sample.path if sample.path.is_dir() else sample.path.parent
        target = place_of_members / job.member if job.member else sample.path
        whole = target.read_bytes()
        expected = read_all(sample.path, sample.options)
        cuts = cut_points(len(whole), job.n_files)
        cases = truncated(whole, cuts) if job.is_truncation else mutated(whole, job.n_files, seed=job.seed)
        return fuzz(
            _counted(itertools.islice(cases, skip, None), skip, place, job.crash_at),
            functools.partial(_read_store if job.member else _read_moved, sample=sample),
            place=target,
            expected=expected,
            is_truncation=job.is_truncation,
            expansion=EXPANSION.get(job.name, 1000 if job.member else 1),
        )


def _counted(cases: Iterator[tuple[str, bytes]], start: int, place: Any, crash_at: int) -> Iterator[tuple[str, bytes]]:
    for index, case in enumerate(cases, start):
        place.value = index
        if index == crash_at:
            os.kill(os.getpid(), signal.SIGSEGV)
        yield case


def _read_store(path: Path, sample: Sample) -> np.ndarray:
    return read_all(sample.path, sample.options)


def _read_moved(path: Path, sample: Sample) -> np.ndarray:
    """Under a name of its own: two cases written within one tick of the clock would look like the same file."""
    fresh = path.with_name(f"{_SERIAL.__next__()}_{path.name}")
    path.rename(fresh)
    try:
        return read_all(fresh, sample.options)
    finally:
        fresh.unlink()


_SERIAL = itertools.count()
