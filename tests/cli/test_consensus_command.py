"""``tomocyte consensus`` on files: what is written, used for training, and refused."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.datasets.labelled import find_items
from tomocyte.datasets.settings import LabelledSettings
from tomocyte.formats import read_volume, write_volume
from tomocyte.volume import LabelName, Volume

PAGE = (Path(__file__).parent.parent.parent / "docs" / "consensus.md").read_text(encoding="utf-8")
SIZE = (0.7, 0.3, 0.2)


def boxes() -> list[np.ndarray]:
    """Three annotators of one box of 6 x 10 x 12; the second is one voxel lower, the third one to the right."""
    given = []
    for dy, dx in ((0, 0), (1, 0), (0, 1)):
        labels = np.zeros((10, 20, 24), np.uint8)
        labels[2:8, 5 + dy : 15 + dy, 6 + dx : 18 + dx] = 1
        given.append(labels)
    return given


def written(folder: Path, given: list[np.ndarray], names: list[tuple[LabelName, ...]] | None = None) -> list[str]:
    paths = []
    for index, labels in enumerate(given):
        path = folder / f"{'abcdef'[index]}.ome.tif"
        about = {"voxel_size_um": SIZE, "quantity": "labels", "label_names": names[index] if names else ()}
        write_volume(path, Volume.from_array(labels, **about))
        paths.append(str(path))
    return paths


def run(*words: str, exit_code: int = 0) -> str:
    done = CliRunner().invoke(app, ["consensus", *words])
    assert done.exit_code == exit_code, done.output
    return done.output


def test_the_commands_of_the_page_run_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, boxes())
    for name in ("ann", "ben", "cho"):
        (tmp_path / f"{name}.ome.tif").write_bytes((tmp_path / "a.ome.tif").read_bytes())
    lines = [line for block in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("tomocyte consensus")]
    assert len(commands) >= 3
    for line in commands:
        assert CliRunner().invoke(app, shlex.split(line, comments=True)[1:]).exit_code == 0, line
    assert (tmp_path / "consensus" / "agreed.ome.tif").exists()


def test_scores_by_hand(tmp_path: Path) -> None:
    """Of 720 voxels each, first and second share 648 (Dice 0.9), first and third 660 (0.91667), the others 594."""
    out = tmp_path / "out"
    printed = run(*written(tmp_path, boxes()), "-o", str(out))
    pairs = pd.read_csv(out / "pairs.csv")
    assert pairs["dice"].tolist() == pytest.approx([0.9, 660 / 720, 594 / 720])
    assert pairs["n_voxels_first"].tolist() == [720] * 3
    assert pairs["hd95_um"].tolist()[:2] == pytest.approx([0.3, 0.2])
    labels = np.array(read_volume(out / "majority.ome.tif").planes(0, 0))
    np.testing.assert_array_equal(labels, sum(one.astype(int) for one in boxes()) >= 2)
    record = json.loads((out / "consensus.json").read_text())
    union, common = np.maximum.reduce(boxes()).sum(), np.minimum.reduce(boxes()).sum()
    assert (record["n_labelled"], record["n_unanimous"], record["n_ignored"]) == (union, common, union - common)
    assert f"Of {union} voxels" in printed
    dictionary = pd.read_csv(out / "consensus.dictionary.csv")
    assert set(pairs) | set(pd.read_csv(out / "annotators.csv")) == set(dictionary["column"])


def test_what_all_agree_on_trains_and_the_rest_gives_no_loss(tmp_path: Path) -> None:
    out, mine = tmp_path / "out", tmp_path / "mine"
    run(*written(tmp_path, boxes()), "-o", str(out))
    image = np.random.default_rng(0).normal(size=(10, 20, 24)).astype(np.float32)
    mine.mkdir()
    write_volume(mine / "cell.ome.tif", Volume.from_array(image, voxel_size_um=SIZE, quantity="intensity"))
    (mine / "cell_labels.ome.tif").write_bytes((out / "agreed.ome.tif").read_bytes())
    (item,) = find_items(mine, LabelledSettings(structures=("cell",), ignore_label=255))
    frame = item.read_frame()
    given = boxes()
    is_same = (given[0] == given[1]) & (given[0] == given[2])
    np.testing.assert_array_equal(frame.is_labelled("cell"), is_same)
    np.testing.assert_array_equal(frame.labels["cell"][is_same], given[0][is_same])


def test_classes_go_by_their_names(tmp_path: Path) -> None:
    """One calls the nucleus 1, another 2, a third by another word of the same structure."""
    nucleus, cell = np.zeros((3, 8, 9), np.uint8), np.zeros((3, 8, 9), np.uint8)
    cell[:, 1:7, 1:8], nucleus[:, 3:5, 3:6] = 1, 1
    given = [np.where(nucleus, 1, 2 * cell), np.where(nucleus, 2, cell), np.where(nucleus, 1, 2 * cell)]
    names = [
        (LabelName(1, "nucleus", "#E69F00"), LabelName(2, "cell")),
        (LabelName(2, "nucleus"), LabelName(1, "cell")),
        (LabelName(1, "Nuclei"), LabelName(2, "membrane")),
    ]
    out = tmp_path / "out"
    run(*written(tmp_path, [one.astype(np.uint8) for one in given], names), "-o", str(out))
    assert pd.read_csv(out / "pairs.csv")["dice"].tolist() == [1.0] * 6
    majority = read_volume(out / "majority.ome.tif")
    np.testing.assert_array_equal(majority.planes(0, 0), given[0])
    assert majority.label_names == names[0]


def test_objects_are_matched_whatever_their_numbers(tmp_path: Path) -> None:
    """Three cells; the second annotator counts backwards, the third misses one: F1 of 1 and 0.8."""
    first = np.zeros((4, 12, 30), np.uint16)
    for number, x in enumerate((2, 12, 22), 1):
        first[:, 3:9, x : x + 6] = number
    second, third = np.where(first, 4 - first, 0), np.where(first == 3, 0, 7 * first)
    out = tmp_path / "out"
    run(*written(tmp_path, [one.astype(np.uint16) for one in (first, second, third)]), "--instances", "-o", str(out))
    pairs = pd.read_csv(out / "pairs.csv")
    assert pairs["object_f1"].tolist() == pytest.approx([1.0, 0.8, 0.8])
    assert pairs["n_objects_second"].tolist() == [3, 2, 2]
    for form in ("majority", "staple"):
        np.testing.assert_array_equal(read_volume(out / f"{form}.ome.tif").planes(0, 0), first)
    agreed = np.array(read_volume(out / "agreed.ome.tif").planes(0, 0))
    np.testing.assert_array_equal(agreed, np.where(first == 3, 255, first))


def test_nothing_is_written_without_being_asked(tmp_path: Path) -> None:
    paths = written(tmp_path, boxes())
    before = sorted(tmp_path.iterdir())
    assert "would write" in run(*paths, "-o", str(tmp_path / "out"), "--dry-run")
    found = json.loads(CliRunner().invoke(app, ["consensus", *paths, "--json"]).stdout)
    assert found["pairs"][0]["object_f1"] is None
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("change", "options", "code"),
    [
        ("one", (), "E-CONSENSUS-FILES"),
        ("twice", (), "E-CONSENSUS-FILES"),
        ("many labels", (), "E-CONSENSUS-KIND"),
        ("half named", ("--classes",), "E-CONSENSUS-NAMES"),
        ("shape", (), "E-SHAPE"),
        ("frames", (), "E-CONSENSUS-AXES"),
        ("none", ("--min-agreement", "0.5"), "E-SETTINGS"),
    ],
)
def test_what_is_refused(change: str, options: tuple[str, ...], code: str, tmp_path: Path) -> None:
    given = boxes()[:2]
    names: list[tuple[LabelName, ...]] = [(), ()]
    if change == "many labels":
        given[1] = given[1] * 2
    if change == "half named":
        names[0] = (LabelName(1, "cell"),)
    if change == "shape":
        given[1] = given[1][1:]
    if change == "frames":
        given[1] = np.stack([given[1][None]] * 2)
    paths = written(tmp_path, given, names)
    paths = {"one": paths[:1], "twice": paths[:1] * 2}.get(change, paths)
    done = CliRunner().invoke(app, ["consensus", *paths, *options])
    assert done.exit_code == 1
    assert getattr(done.exception, "code", "") == code, done.exception
    assert done.exception.cure


def test_a_file_that_was_changed_is_put_aside_and_named(tmp_path: Path) -> None:
    files, out = written(tmp_path, boxes()), tmp_path / "out"
    assert "was changed" not in run(*files, "-o", str(out))
    (out / "pairs.csv").write_text("mine", encoding="utf-8")
    printed = run(*files, "-o", str(out))
    (kept,) = (path for path in out.iterdir() if path.suffix == ".csv" and path.read_text(encoding="utf-8") == "mine")
    assert f"note: pairs.csv was changed or added by somebody; that file is now {kept.name}." in printed
    assert len(pd.read_csv(out / "pairs.csv")) == 3
