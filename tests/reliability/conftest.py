"""Scripts of this folder run in processes of their own, because they fork and are killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def memory_folder() -> Iterator[Path]:
    """A folder in memory where the system has one: a kill cannot see whether a disk was reached, only the order."""
    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="tomocyte-", dir=parent))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def run_script() -> Callable[..., dict[str, Any]]:
    """Run a script of this folder; its last line is its summary, its exit code must be 0."""

    def run(name: str, *words: str | Path, timeout_s: float = 280) -> dict[str, Any]:
        command = [sys.executable, str(HERE / name), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        summary: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return summary

    return run
