"""`tomocyte plan`: what it reads from tables and from folders of other commands, what it prints and writes."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from tests.comparison.test_stored_scores import recipe
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.comparison.crossval import CrossvalResult
from tomocyte.comparison.plan_inputs import read_training_sizes
from tomocyte.errors import InputError
from tomocyte.evaluation import ScoreTable
from tomocyte.papers.osnet.tables import write_tables
from tomocyte.papers.result import ExperimentResult, write_result

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "planning.md").read_text(encoding="utf-8")


def type_it(line: str, exit_code: int = 0) -> str:
    done = CliRunner().invoke(app, shlex.split(line)[1:], catch_exceptions=False)
    assert done.exit_code == exit_code, done.output
    return done.output


def evaluated(folder: Path, shares: dict[str, int]) -> None:
    """A folder of ``tomocyte evaluate``: of ten true voxels so many are found, nothing else; Dice 2 n / (n + 10)."""
    for kind in ("prediction", "truth"):
        (folder / kind).mkdir(parents=True)
    for name, n_found in shares.items():
        for kind, n in (("prediction", n_found), ("truth", 10)):
            mask = np.zeros((1, 4, 20), np.uint8)
            mask[0, 1, :n] = 1
            tifffile.imwrite(folder / kind / f"{name}.tif", mask, photometric="minisblack", metadata={"axes": "ZYX"})
    size = "--voxel-size-um 1 1 1"
    type_it(f"tomocyte evaluate {folder / 'prediction'} {folder / 'truth'} -o {folder / 'scores'} {size}")


def test_folders_of_evaluate_with_the_number_of_volumes(tmp_path: Path) -> None:
    for n, shares in {5: {"a": 5, "b": 6}, 10: {"a": 7, "b": 6}, 20: {"a": 8, "b": 9}}.items():
        evaluated(tmp_path / str(n), shares)
    results = [f"{n}={tmp_path / str(n) / 'scores'}" for n in (20, 5, 10)]
    sizes = {size.n_volumes: size for size in read_training_sizes(results)}
    assert sizes[5].by_volume == pytest.approx({"a": 10 / 15, "b": 12 / 16})
    assert sizes[20].score == pytest.approx((16 / 18 + 18 / 19) / 2)
    with pytest.raises(InputError, match="E-PLAN-COUNT") as caught:
        read_training_sizes([str(tmp_path / "5" / "scores")])
    assert f"N={tmp_path / '5' / 'scores'}" in str(caught.value)


def test_folders_of_crossval_know_how_many_images_they_learned_from(tmp_path: Path) -> None:
    """Folds of two, three and four images: 7, 6 and 5 were learned from, 6 on average; held-out sets do not count."""
    scores, images = ScoreTable(), ScoreTable()
    folds = ["ab", "cde", "fghi"]
    for fold, names in enumerate(folds, 1):
        scores.add_row({"method": "wide", "set": "validation", "fold": fold, "dice": 0.5, "n_images": len(names)})
        for name in names:
            row = {"method": "wide", "fold": fold, "image": name, "group": name, "output": "cell"}
            images.add_row({**row, "set": "validation", "dice": 0.5 if name in "ab" else 0.8})
            images.add_row({**row, "set": "other", "dice": 0.1})
    write_tables(recipe(), CrossvalResult(scores, images, {"wide": 1}, True), tmp_path)
    (tmp_path / "folds.json").write_text(json.dumps([list(names) for names in folds]))
    (tmp_path / "crossval.json").write_text("{}")
    (size,) = read_training_sizes([str(tmp_path)])
    assert size.n_volumes == 6
    assert size.score == pytest.approx((2 * 0.5 + 7 * 0.8) / 9)


def test_folders_of_reproduce(tmp_path: Path) -> None:
    """Seeds of a field are averaged; sets of cell lines stand apart unless they are asked for together."""
    rows = [
        {"row": "ours", "seed": seed, "set": name, "item": f"{name}-1", "structure": "nucleus", "dice": dice}
        for name, dices in {"A549": (0.5, 0.7), "HeLa": (0.8, 0.8)}.items()
        for seed, dice in enumerate(dices)
    ]
    write_result(ExperimentResult({"fields": pd.DataFrame(rows)}, {}, "text"), tmp_path, about={})
    (one,) = read_training_sizes([f"40={tmp_path}"], where={"set": "A549"})
    assert (one.n_volumes, one.by_volume) == (40, {"A549-1": pytest.approx(0.6)})
    (both,) = read_training_sizes([f"40={tmp_path}"], where={"set": "*"})
    assert both.score == pytest.approx(0.7)
    with pytest.raises(InputError, match=r"E-PLAN-SERIES.*more than one set.*--where set=…") as caught:
        read_training_sizes([f"40={tmp_path}"])
    assert "A549, HeLa" in str(caught.value)


def test_a_table_with_a_row_per_test_volume(tmp_path: Path) -> None:
    text = "n_training,volume,jaccard\n5,a,0.5\n5,b,0.7\n10,a,0.6\n10,b,\n"
    (tmp_path / "t.csv").write_text(text)
    five, ten = read_training_sizes([str(tmp_path / "t.csv")], score="jaccard")
    assert five.by_volume == {"a": 0.5, "b": 0.7}
    assert ten.by_volume == {"a": 0.6}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("n_training,iou\n5,0.5\n", "E-PLAN-COLUMN"),
        ("n_training,dice,sd\n5,0.5,0.1\n", "E-PLAN-COLUMN"),
        ("n,dice\n5,0.5\n", "E-PLAN-COUNT"),
        ("n_training,dice\n5,\n", "E-PLAN-RESULT"),
        ("", "E-PLAN-RESULT"),
        ("n_training,dice,labels\n5,0.5,a\n5,0.6,b\n", "E-PLAN-SERIES"),
    ],
)
def test_tables_that_say_too_little(tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=code):
        read_training_sizes([str(tmp_path / "t.csv")])


def test_what_is_not_there(tmp_path: Path) -> None:
    for result in (tmp_path, tmp_path / "absent.csv"):
        with pytest.raises(InputError, match="E-PLAN-RESULT"):
            read_training_sizes([str(result)])


def test_the_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("acseg-table-1.csv").write_bytes((ROOT / "docs" / "acseg-table-1.csv").read_bytes())
    first, second, third = [line for line in PAGE.splitlines() if line.startswith("tomocyte plan ")]
    printed = type_it(first)
    assert "cannot be extrapolated" in printed
    # The table of the page is what is printed.
    rows = [
        line.strip("| ").split(" | ")
        for line in PAGE.splitlines()
        if re.fullmatch(r"\| `.*`.*\|.*\|.* to .*\|.*\|", line)
    ]
    assert len(rows) == 6
    for curve, volumes, interval, _ in rows:
        name = curve.split("`")[1]
        (row,) = [line for line in printed.splitlines() if line.startswith(f"{name} ")]
        assert f" {volumes.split()[0].rstrip(':')} " in row
        assert row.endswith(interval)
    printed = type_it(second)
    assert "After training on 60: " in printed
    assert "After training on 95: " in printed
    rng = np.random.default_rng(0)
    for n in (5, 10, 20, 40, 80):
        scores = 1 - 0.5 * n**-0.5 + 0.002 * rng.normal(size=10)
        Path(f"scores-{n}").mkdir()
        table = pd.DataFrame({"level": "image", "group": list("abcdefghij"), "dice": scores})
        table.to_csv(f"scores-{n}/scores.csv", index=False)
        Path(f"scores-{n}/evaluation.json").write_text("{}")
    printed = type_it(third)
    assert "The goal 0.96 takes about " in printed
    answered = json.loads(Path("plan/plan.json").read_text())
    # 1 - 0.5 n^-0.5 is 0.96 at n = 156.
    assert answered["n_volumes_low"] < 156 < answered["n_volumes_high"]
    assert answered["can_be_extrapolated"]
    assert {path.name for path in Path("plan").iterdir()} >= {"plan.md", "plan.csv", "plan.dictionary.csv", "plan.png"}
    table = pd.read_csv("plan/plan.csv")
    assert set(pd.read_csv("plan/plan.dictionary.csv")["column"]) == set(table.columns)
    power = table.set_index("curve").loc["power", "parameters"]
    assert float(power.split("a = ")[1]) == pytest.approx(0.5, abs=0.02)
    assert float(power.split("b = ")[1].split(",")[0]) == pytest.approx(0.5, abs=0.02)


def test_one_json_object(tmp_path: Path) -> None:
    """What never happens is null."""
    (tmp_path / "t.csv").write_text("n_training,dice\n" + "".join(f"{n},0.5\n" for n in (5, 10, 20, 40)))
    content = json.loads(type_it(f"tomocyte plan {tmp_path / 't.csv'} --goal 0.9 --json"))
    assert content["n_volumes"] is None
    assert not content["can_be_extrapolated"]
    assert [size["n_training"] for size in content["sizes"]] == [5, 10, 20, 40]
