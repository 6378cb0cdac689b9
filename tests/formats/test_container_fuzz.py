"""Damaged MRC, NIfTI, NRRD, HDF5, TCF and OME-Zarr: a clear error or what the bytes justify, and no dead process."""

from __future__ import annotations

import time

import pytest
from container_samples import SAMPLES
from damage_child import Job, Report, jobs, run

LARGEST_GROWTH_MIB = 512


def _check(reports: dict[Job, Report]) -> None:
    for job, report in reports.items():
        counts = report.outcome.counts
        assert not report.outcome.broken, (job, report.outcome.broken[:5])
        assert not report.died, (job, report.died)
        assert counts.total() >= job.n_files
        assert report.outcome.slowest_s < 5, job
        assert report.grown_mib < LARGEST_GROWTH_MIB, (job, report.grown_mib)
        if job.is_truncation:
            assert counts["error"] + counts["exact"] == counts.total()


def test_damaged_files_give_a_clear_error_or_what_the_bytes_justify() -> None:
    todo = [job for name in SAMPLES for job in jobs(name, n_mutated=45, n_cut=24, seed=7)]
    _check(run(todo))


def test_the_harness_sees_and_survives_a_crash() -> None:
    crashing, sound = Job("mrc", False, 10, seed=1, crash_at=4), Job("nrrd_raw", False, 6, seed=1)
    reports = run([crashing, sound])
    assert reports[crashing].died == ["case 4: exit -11"]
    assert reports[crashing].outcome.counts.total() == 5  # cases 5 to 9, in the next child
    assert reports[sound].died == []
    assert reports[sound].outcome.counts.total() == 6


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SAMPLES)
def test_many_damaged_files(name: str) -> None:
    started = time.perf_counter()
    reports = run(jobs(name, n_mutated=2000, n_cut=200, seed=2024))
    for job, report in reports.items():
        kind = "cut" if job.is_truncation else "changed"
        print(
            f"\n{name} {job.member} {kind}: {dict(report.outcome.counts)} {dict(report.outcome.codes)}; died "
            f"{report.died}; slowest {report.outcome.slowest_s:.2f} s; grown {report.grown_mib:.0f} MiB",
            end="",
        )
    print(f"; {time.perf_counter() - started:.0f} s")
    _check(reports)
