"""SIGKILL at random moments: whatever is left, the training goes on and ends with the same weights."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.training import killed_training


def start(data: Path, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.training.killed_training", str(data), str(output)]
    root = Path(__file__).parent.parent.parent
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=root)


def weights_sha256(output: Path) -> str:
    return str(json.loads((output / "result.json").read_text())["weights_sha256"])


def kill_until_done(data: Path, output: Path, *, n_kills: int, rng: random.Random) -> tuple[int, int]:
    """Kill the training at random moments after its first checkpoint; the kills that hit, and the last step seen."""
    n_hits = n_runs = 0
    while n_hits < n_kills:
        process = start(data, output)
        n_runs += 1
        before = {entry.name for entry in (output / "checkpoints").glob("*")} if output.exists() else set()
        while process.poll() is None:
            now = {entry.name for entry in (output / "checkpoints").glob("step-*.safetensors")}
            if now - before:
                break
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.05))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            n_hits += 1
        _, errors = process.communicate()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, errors.decode()
    process = start(data, output)
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    return n_hits, n_runs


def test_killed_twice_it_ends_with_the_same_weights(data: Path, tmp_path: Path) -> None:
    killed_training.main(data, tmp_path / "whole")
    n_hits, _ = kill_until_done(data, tmp_path / "killed", n_kills=2, rng=random.Random(1))
    assert n_hits == 2
    assert weights_sha256(tmp_path / "killed") == weights_sha256(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_fifty_times_it_ends_with_the_same_weights(data: Path, tmp_path: Path) -> None:
    """Each training bears at most 28 kills of its 30 steps, so several are needed for fifty."""
    killed_training.main(data, tmp_path / "whole")
    rng, n_all = random.Random(2), 0
    for attempt in range(20):
        output = tmp_path / f"killed{attempt}"
        n_hits, _ = kill_until_done(data, output, n_kills=min(25, 50 - n_all), rng=rng)
        n_all += n_hits
        assert weights_sha256(output) == weights_sha256(tmp_path / "whole")
        leftovers = [entry.name for entry in output.rglob("*") if ".part" in entry.name]
        assert not leftovers
        if n_all >= 50:
            break
    assert n_all >= 50
