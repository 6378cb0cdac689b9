"""Every command of docs/statistics.md as printed, on small films, and its table of conditions."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.in_process import tomocyte
from tests.runs.analyse.test_analyse import film

from tomocyte.statistics import read_design

PAGE = Path(__file__).parents[3] / "docs" / "statistics.md"
TEXT = PAGE.read_text(encoding="utf-8")
LINES = [line for line in TEXT.splitlines() if line.startswith("tomocyte ")]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    film(folder / "out")
    shutil.move(folder / "out" / "conditions.csv", folder / "conditions.csv")
    return folder


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("tomocyte analyse")])
def test_a_line_of_the_page(line: str, films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(films)
    done = tomocyte(*shlex.split(line)[1:], "--no-figures")
    assert done.exit_code == 0, done.exception
    assert "## cell" in done.output


def test_the_run_of_the_page(ball_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of the page, and the run that takes it: four folders of two days."""
    (table,) = re.findall(r"```csv\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "conditions.csv").write_text(table, encoding="utf-8")
    source = ball_file("ball.ome.tif")
    for folder in ("monday/control", "monday/lps", "tuesday/control", "tuesday/lps"):
        target = tmp_path / "data" / folder / "f.ome.tif"
        target.parent.mkdir(parents=True)
        shutil.copy(source, target)
    monkeypatch.chdir(tmp_path)
    (line,) = (line for line in LINES if line.startswith("tomocyte run"))
    done = tomocyte(*shlex.split(line)[1:], "--dry-run")
    assert done.exit_code == 0, done.output
    assert "condition LPS: 2 inputs, 2 replicates" in done.output
    names = {
        name: [f"data/{name}/f.ome.tif"] for name in ("monday/control", "monday/lps", "tuesday/control", "tuesday/lps")
    }
    design = read_design(tmp_path / "conditions.csv", names)
    assert {entry.dish for entry in design.assignments if entry.condition == "LPS"} == {"B"}
