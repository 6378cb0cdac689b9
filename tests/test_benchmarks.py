"""The scripts of ``benchmarks/`` run; inside, each compares its numbers with the peer's before it times them."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parent.parent / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_prints_ratios(script: Path, capsys) -> None:
    runpy.run_path(str(script))["main"](["--small", "--repeats", "1"])
    ratios = re.findall(r" ([\d.]+) x$", capsys.readouterr().out, re.MULTILINE)
    assert len(ratios) >= 3
    assert all(float(ratio) > 1 for ratio in ratios)
