"""The scripts of ``benchmarks/`` run; inside, each compares its numbers with the peer's before it times them."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score
from tests.training.conftest import write_pair

from tomocyte.channels.foreground import ForegroundMethod, stain_foreground
from tomocyte.datasets.labelled import find_items
from tomocyte.datasets.settings import LabelledSettings

OTHERS = {
    "agreement": "compares numbers only; tests/measurements/test_other_programs.py",
    "foreground": "compares a training with thresholds; below",
    "lineages": "compares with a simulated truth; tests/tracking/test_simulated_lineages.py",
    "networks": "below",
    "control_against_control": "no times; tests/statistics/test_control_against_control.py",
    "films": "its numbers are another program's; tests/test_films.py",
    "next_slice": "below",
    "propagation": "below",
    "propagation_inputs": "what it propagates labels in",
    "sparse_training": "compares trainings; below",
    "propagation_worker": "one method in a process of its own",
}
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


def test_the_benchmark_of_propagation_scores_what_it_ran(tmp_path: Path, capsys) -> None:
    """Dice by scikit-learn from what is stored; a second call takes the peer's result from the cache."""
    main = runpy.run_path(str(SCRIPTS[0].parent / "propagation.py"))["main"]
    line = ["--small", "--repeats", "1", "--only", "easy", "--cache", str(tmp_path), "--ours", "signed-distance"]
    main([*line, "--peer", "scikit-image:cg_j"])
    text = capsys.readouterr().out
    assert "Biomedisa is left out" in text
    assert len(re.findall(r" [\d.]+ x$", text, re.MULTILINE)) == 1
    with np.load(tmp_path / "inputs" / "easy-0.npz") as case:
        truth, slices = case["truth"], case["slices"].tolist()
        assert (case["sparse"][slices] == truth[slices]).all()
    rest = [z for z in range(len(truth)) if z not in slices]
    for method in ("tomocyte.signed-distance", "scikit-image.cg_j"):
        (path,) = tmp_path.glob(f"easy-0.{method}.*.npz")
        with np.load(path) as stored:
            labels, seconds = stored["labels"], float(stored["seconds"])
        dice = [f1_score((truth[rest] == k).ravel(), (labels[rest] == k).ravel()) for k in (1, 2)]
        assert f"{method.replace('.', ':'):30} Dice {np.mean(dice):.4f}" in text
        assert f"{seconds:9.2f} s" in text
    before = path.stat().st_mtime_ns
    main([*line, "--peer", "scikit-image:cg_j"])
    assert path.stat().st_mtime_ns == before


def test_the_comparison_of_sparse_labels_paints_every_nth_slice(tmp_path: Path) -> None:
    """A block in planes 17 to 28 is in planes 16 to 27 of what is cut out: the 20th and the 25th were painted."""
    script = runpy.run_path(str(SCRIPTS[0].parent / "sparse_training.py"))
    labels = np.zeros((46, 80, 80), np.uint32)
    labels[17:29, 30:50, 30:50] = 3
    image = np.random.default_rng(0).normal(1.337, 0.0005, labels.shape) + 0.02 * (labels > 0)
    write_pair(tmp_path / "fields", "a", image, labels)
    items = find_items(tmp_path / "fields", LabelledSettings(structures=("nucleus",)))
    facts = script["write_kinds"](items, "nucleus", 5, tmp_path / "out")
    assert (facts["n_painted"], facts["n_slices"]) == (2, 12)
    assert facts["dice_of_propagated"] > 0.5
    for kind in script["KINDS"]:
        recipe = script["recipe_for"](kind, "unet3d", structure="nucleus", n_epochs=1, seed=1)
        (item,) = find_items(tmp_path / "out" / script["FOLDERS"].get(kind, kind), recipe.data)
        shown = (item.read_labels("nucleus") == 1).any((1, 2))
        assert shown.sum() == 2 if kind.startswith("painted") else shown.sum() > 2, kind
        assert bool(item.uncertainty) == (kind == "propagated, weights")
        assert item.are_empty_slices_unlabelled == (kind == "painted")


def test_the_benchmark_of_next_slices_compares_at_equal_labour(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS[0].parent))
    runpy.run_path(str(SCRIPTS[0].parent / "next_slice.py"))["main"](["--small"])
    rows = re.findall(r"^(?:easy|hard)-0 +4  ([\d.]+)  ([\d.]+)    ([\d.]+) ", capsys.readouterr().out, re.MULTILINE)
    assert len(rows) == 2
    assert all(0 < float(score) < 1 for row in rows for score in row)


def test_the_benchmark_of_foreground_scores_methods_on_images_that_they_did_not_see(tmp_path: Path, capsys) -> None:
    """A few steps of FG-net; Otsu's Dice is scikit-learn's, with the factor that is best on the training images."""
    main = runpy.run_path(str(SCRIPTS[0].parent / "foreground.py"))["main"]
    line = ["--images", "4", "--set", "loop.n_epochs=1", "--set", "loop.samples_per_epoch=8"]
    line += ["--set", "loop.schedule.n_warm_up_steps=0"]
    rows = main(["-o", str(tmp_path), *line])
    assert {row["method"] for row in rows} == {"fg-net", "otsu", "adaptive", "top-hat"}
    assert {row["set"] for row in rows} == {"simulated planes"}
    factor = float(re.search(r"otsu: .*'factor': ([\d.]+)", capsys.readouterr().out).group(1))
    rule, otsu = ForegroundMethod(factor=factor), []
    for item in find_items(tmp_path / "test", LabelledSettings(structures=("foreground",))):
        frame = item.read_frame()
        found = stain_foreground(frame.image[0], (0.1, 0.1), rule)
        otsu.append(f1_score(frame.labels["foreground"].ravel() > 0, found.ravel()))
    score = next(row["dice"] for row in rows if row["method"] == "otsu" and row["stain"] == "all")
    assert score == pytest.approx(np.mean(otsu))
