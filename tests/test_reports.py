"""The reports count what a hand counts; ``make sizes`` runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests import reports

ROOT = Path(__file__).parent.parent


def write(path: Path, lines: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x = 1\n" * lines)
    return path


def test_modules_folders_and_prefixes_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "exact.py", 250)
    write(tmp_path / "inner" / "long.py", 251)
    for name in ("_tiff_a", "tiff_b", "tiff", "tiff_c", "other_a", "other_b", "other_c"):
        write(tmp_path / "formats" / f"{name}.py")
    for n in range(16):
        write(tmp_path / "full" / f"m{n}.py")
    headings = {part.split("\n")[0]: part.split("\n")[1:] for part in reports.size_report(tmp_path).split("\n\n")}
    assert headings["1 modules over 250 lines"] == ["  251  inner/long.py"]
    assert headings["1 folders with more than 15 files"] == ["   16  full/"]
    assert headings["1 more than 3 files with one prefix"] == ["    4  formats/tiff*"]


def test_functions_are_counted(tmp_path: Path) -> None:
    body = '    """Not counted."""\n\n    # nor this\n' + "    y = (\n        x)\n" * 20
    code = f"def fits(self, a, b, c, d, e, f, *, g):\n{body}\ndef large(a, b, c, d, e, f, *, g, h):\n{body}    y = 1\n"
    (tmp_path / "a.py").write_text(code)
    report = reports.size_report(tmp_path)
    assert "1 functions over 40 lines of code\n   41  a.py:46 large" in report
    assert "1 functions with more than 7 parameters\n    8  a.py:46 large" in report


@pytest.mark.parametrize(("n_tests", "is_enough"), [(10, True), (9, False)])
def test_coverage_per_room_and_ratio(n_tests: int, is_enough: bool, tmp_path: Path) -> None:
    write(tmp_path / "src" / "a.py", 20)
    write(tmp_path / "tests" / "test_a.py", n_tests)
    files = {
        "src/tomocyte/labels/runs.py": {"summary": {"covered_lines": 3, "num_statements": 4}},
        "src/tomocyte/labels/stack.py": {"summary": {"covered_lines": 0, "num_statements": 2}},
        "src/tomocyte/volume.py": {"summary": {"covered_lines": 5, "num_statements": 5}},
    }
    (tmp_path / "coverage.json").write_text(json.dumps({"files": files}))
    folders = tmp_path / "src", tmp_path / "tests"
    text, goal_reached = reports.coverage_report(tmp_path / "coverage.json", *folders)
    assert " 50.0%  labels (3 of 6)\n100.0%  volume (5 of 5)\n 72.7%  all\n" in text
    assert f"{n_tests} lines of tests, 20 of source: {n_tests / 20:.2f}" in text
    assert goal_reached == is_enough


def test_make_sizes_runs() -> None:
    """As the Makefile has it, with this Python; a report about size never fails."""
    make = shutil.which("make")
    assert make is not None
    done = subprocess.run([make, "-s", "sizes", f"PYTHON={sys.executable}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "modules over 250 lines" in done.stdout
