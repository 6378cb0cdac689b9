"""The scripts of ``benchmarks/`` run; inside, each compares its numbers with the peer's before it times them."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

OTHERS = {"agreement": "compares numbers only; tests/measurements/test_other_programs.py", "networks": "below"}
SCRIPTS = sorted(path for path in (Path(__file__).parent.parent / "benchmarks").glob("*.py") if path.stem not in OTHERS)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_prints_ratios(script: Path, capsys) -> None:
    runpy.run_path(str(script))["main"](["--small", "--repeats", "1"])
    ratios = re.findall(r" ([\d.]+) x$", capsys.readouterr().out, re.MULTILINE)
    assert len(ratios) >= 3
    assert all(float(ratio) > 1 for ratio in ratios)


def test_the_benchmark_of_networks_says_what_is_equal(capsys) -> None:
    """Which network is faster is not decided by it: MONAI's U-Net with strides does less."""
    runpy.run_path(str(SCRIPTS[0].parent / "networks.py"))["main"](["--small", "--repeats", "1"])
    text = capsys.readouterr().out
    assert len(re.findall(r" [\d.]+ x$", text, re.MULTILINE)) >= 4
    assert len(re.findall(r"[\d.]+ million parameters, \d+ kFLOP per voxel", text)) == 3
    moved, dice = re.search(r"by at most (\S+), Dice of all masks (\S+)", text).groups()
    assert float(moved) < 1e-4
    assert float(dice) > 0.9999
