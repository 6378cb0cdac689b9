"""Adding a metric: one file, found in the score table, in the dictionary of columns and in what the command prints."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from tomocyte.cli.evaluate import evaluate
from tomocyte.errors import SettingsError
from tomocyte.evaluation import Case, Metric, ScoreSettings, ScoreTable, all_metrics, find_metric
from tomocyte.evaluation.columns import describe_column
from tomocyte.evaluation.metric import with_min_ious
from tomocyte.formats import write_volume
from tomocyte.volume import Volume

DUMMY = '''
"""A metric of a test."""
from tomocyte.evaluation.metric import Metric

METRICS = (
    Metric(
        "n_wrong_share", "1", "Wrong voxels of all.", "masks",
        lambda counts: (counts.n_false_positive + counts.n_false_negative) / counts.n_voxels,
        is_higher_better=False, reference="a test", is_shown=True,
    ),
    Metric(
        "first_voxel", "1", "Whether the first voxel is right.", "images",
        lambda case: float(bool(case.truth.flat[0]) == bool(case.prediction.flat[0])), when_empty="no prediction",
    ),
)
'''
TRUTH = np.array([[[1, 1, 0, 0, 0]]], np.uint8)
PREDICTION = np.array([[[1, 0, 1, 0, 0]]], np.uint8)


@pytest.fixture
def dummy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A file with two metrics in a second folder of the room."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    (folder / "aa_dummy.py").write_text(DUMMY, encoding="utf-8")
    package = importlib.import_module("tomocyte.evaluation.metrics")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    yield
    sys.modules.pop("tomocyte.evaluation.metrics.aa_dummy", None)
    vars(package).pop("aa_dummy", None)


def test_a_metric_in_a_file_is_a_column_of_the_score_table(dummy: None) -> None:
    table = ScoreTable(ScoreSettings(is_surface_scored=False))
    table.add_all([Case("a", "a", TRUTH, PREDICTION), Case("b", "b", TRUTH, TRUTH)])
    frame = table.table().set_index("level")
    assert frame.loc["image", "n_wrong_share"].tolist() == [0.4, 0.0]
    assert frame.loc["pooled", "n_wrong_share"] == 0.2
    assert frame.loc["mean", "first_voxel"] == 1.0
    assert math.isnan(frame.loc["pooled", "first_voxel"])
    assert "not defined for pooled images: first_voxel" in frame.loc["pooled", "reason"]
    # Behind the room's own columns of its kind.
    names = list(frame.columns)
    assert names.index("n_wrong_share") == names.index("relative_volume_error") + 1


def test_a_metric_in_a_file_stands_in_the_dictionary(dummy: None) -> None:
    column = describe_column("n_wrong_share")
    assert (column.unit, column.meaning, column.reference) == ("1", "Wrong voxels of all.", "a test")
    with pytest.raises(SettingsError, match=r"E-SCORE.*n_wrong_share"):
        find_metric("no_such_score")


def test_a_metric_in_a_file_is_printed_and_written_by_the_command(dummy: None, tmp_path: Path) -> None:
    for name, voxels in (("p", PREDICTION), ("t", TRUTH)):
        write_volume(tmp_path / f"{name}.ome.tif", Volume.from_array(voxels, voxel_size_um=(1.0, 1.0, 1.0)))
    app = typer.Typer()
    app.command()(evaluate)
    arguments = [str(tmp_path / "p.ome.tif"), str(tmp_path / "t.ome.tif"), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    line = next(line for line in done.output.splitlines() if line.startswith("n_wrong_share"))
    assert line.split()[1] == "0.4000"
    assert pd.read_csv(tmp_path / "out" / "scores.csv")["first_voxel"].iloc[0] == 1
    meanings = pd.read_csv(tmp_path / "out" / "scores.dictionary.csv").set_index("column")
    assert meanings.loc["first_voxel", "meaning"] == "Whether the first voxel is right."


def test_without_the_file_there_is_no_such_metric() -> None:
    assert "n_wrong_share" not in {metric.name for metric in all_metrics()}
    assert "n_wrong_share" not in ScoreTable(ScoreSettings(is_surface_scored=False)).add(
        Case("a", "a", TRUTH, PREDICTION)
    )


def test_two_metrics_of_one_name_are_refused(dummy: None, tmp_path: Path) -> None:
    again = DUMMY.replace("first_voxel", "dice")
    (tmp_path / "metrics" / "aa_dummy.py").write_text(again, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"E-METRIC.*dice"):
        all_metrics()


def test_a_metric_of_the_caller_needs_no_file() -> None:
    own = Metric("n_hits", "1", "Right voxels.", "masks", lambda counts: counts.n_true_positive, is_higher_better=None)
    scores = ScoreTable(metrics=["dice"], extra_metrics=[own])
    scores.add_all([Case("a", "a", TRUTH, PREDICTION), Case("b", "b", TRUTH, TRUTH)])
    assert scores.values("n_hits") == [1.0, 2.0]
    assert scores.pooled()["n_hits"] == 3
    assert set(scores.rows[0]) >= {"dice", "n_hits"}
    assert "recall" not in scores.rows[0]


def test_metrics_say_what_is_better() -> None:
    by_name = {metric.name: metric for metric in all_metrics()}
    lower = {name for name, metric in by_name.items() if metric.is_higher_better is False}
    assert lower == {"ece", "brier", "hausdorff_um", "hd95_um", "assd_um"}
    assert {name for name, metric in by_name.items() if metric.is_higher_better is None} == {
        "n_voxels", "n_true_positive", "n_false_positive", "n_false_negative", "n_true_negative",
        "relative_volume_error", "n_true_objects", "n_predicted_objects",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dice", "dice"),
        ("pr_auc", "auc_pr"),
        ("f1", "instance_f1_iou50"),
        ("matched_dice", "hungarian_dice"),
        ("instance_recall_iou62_5", "instance_recall_iou62_5"),
    ],
)
def test_metrics_are_found_by_the_names_of_stored_tables(name: str, expected: str) -> None:
    assert find_metric(name).name == expected


def test_metrics_per_threshold_are_repeated_side_by_side() -> None:
    metrics = [find_metric("dice"), *(metric for metric in all_metrics() if metric.is_per_iou and metric.is_default)]
    names = [metric.name for metric in with_min_ious([*metrics, find_metric("hungarian_dice")], (0.5, 0.9))]
    per_iou = [f"instance_{kind}_iou{percent}" for percent in (50, 90) for kind in ("precision", "recall", "f1", "ap")]
    assert names == ["dice", *per_iou, "hungarian_dice"]
