"""What the charts of learning and scores draw, read back from the SVG or from the axes."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from tomocyte.errors import SettingsError
from tomocyte.evaluation.calibration import count_reliability
from tomocyte.evaluation.curves import precision_recall_curve
from tomocyte.figures import (
    agreement_figure,
    curves,
    fold_scores_figure,
    precision_recall_figure,
    reliability_figure,
    training_figure,
)
from tomocyte.figures.curves import course_figure


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure as it was before it became bytes."""
    kept: list[Figure] = []

    def keep(figure: Figure, file_format: Any) -> bytes:
        figure.canvas.draw()
        kept.append(figure)
        return b""

    monkeypatch.setattr(curves, "picture", keep)
    return kept


def texts_of(figure: Figure) -> str:
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    return " | ".join(text.get_text() for legend in legends if legend for text in legend.get_texts())


def test_training_curves_skip_what_was_not_measured(drawn: list[Figure]) -> None:
    panels = {"loss": {"train": [3.0, 2.0, 1.0], "validation": [math.nan, 2.5, math.nan]}, "Dice": {"v": [0.1, 0.2]}}
    training_figure(panels, best_epoch=2)
    loss, dice = drawn[0].axes
    train, validation, kept = loss.get_lines()
    assert np.asarray(train.get_xydata()).tolist() == [[1, 3], [2, 2], [3, 1]]
    assert np.asarray(validation.get_xydata()).tolist() == [[2, 2.5]]
    assert list(np.asarray(kept.get_xdata())) == [2, 2]
    assert (loss.get_ylabel(), dice.get_ylabel(), dice.get_xlabel()) == ("loss", "Dice", "epoch")


def test_a_course_leaves_out_what_is_not_known(drawn: list[Figure]) -> None:
    panels = {
        "volume (µm³)": {"cell": [3.0, math.nan, 5.0], "nucleus": [1.0, 2.0, 1.5]},
        "mass (pg)": {"cell": [math.nan] * 3},
    }
    course_figure([0.0, 0.5, 1.5], panels, x_label="time (h)")
    volume, mass = drawn[0].axes
    assert [np.asarray(line.get_xydata()).tolist() for line in volume.get_lines()] == [
        [[0, 3], [1.5, 5]],
        [[0, 1], [0.5, 2], [1.5, 1.5]],
    ]
    assert (volume.get_xlabel(), volume.get_ylabel(), mass.get_ylabel()) == ("time (h)", "volume (µm³)", "mass (pg)")
    with pytest.raises(SettingsError, match="E-PICTURE"):
        course_figure([0.0], {}, x_label="time (h)")


def test_precision_recall_says_the_area(drawn: list[Figure]) -> None:
    # By hand: thresholds .9 (1 of 1), .8 (1 of 2), .7 (2 of 3): recall 1/2, 1/2, 1 at precision 1, 1/2, 2/3.
    truth, probability = np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1])
    precision_recall_figure({"a model": precision_recall_curve(truth, probability)})
    area = 0.5 * 1 + 0.5 * (1 / 2 + 2 / 3) / 2
    assert f"a model (area {area:.3f})" in texts_of(drawn[0])
    points = np.asarray(drawn[0].axes[0].get_lines()[0].get_xydata())
    assert [0.5, 1.0] in points.tolist()
    assert [0.5, 0.5] in points.tolist()


def test_reliability_shows_bins_that_hold_voxels(drawn: list[Figure]) -> None:
    counts = count_reliability(np.array([0, 1, 1, 1]), np.array([0.25, 0.25, 0.75, 0.75]), n_bins=4)
    reliability_figure({"m": counts})
    points = np.asarray(drawn[0].axes[0].get_lines()[1].get_xydata()).tolist()
    assert points == [[0.25, 0.5], [0.75, 1.0]]
    assert "ECE 0.2500" in texts_of(drawn[0])


def test_bland_altman_lines(drawn: list[Figure]) -> None:
    truth, prediction = [10.0, 12.0, 14.0, math.nan], [11.0, 12.0, 16.0, 9.0]
    agreement_figure(truth, prediction, name="diameter", unit="µm")
    chart = drawn[0].axes[1]
    points, zero, bias, low, high = chart.get_lines()
    assert np.asarray(points.get_xydata()).tolist() == [[10.5, 1], [12, 0], [15, 2]]
    levels = [float(np.asarray(line.get_ydata())[0]) for line in (zero, bias, low, high)]
    assert levels == pytest.approx([0, 1, 1 - 1.96, 1 + 1.96])  # differences 1, 0, 2: mean 1, SD 1
    assert "n = 3" in chart.get_title(loc="right")
    assert drawn[0].axes[0].get_xlabel() == "diameter (µm), truth"


@pytest.mark.parametrize("n", [0, 1])
def test_agreement_of_few_pairs(n: int) -> None:
    assert agreement_figure([1.0] * n, [2.0] * n, name="volume", unit="µm³")[:4] == b"\x89PNG"


def test_folds_means_and_the_papers_mean(drawn: list[Figure]) -> None:
    scores = {"one": [0.8, 0.9, math.nan, 0.7, 0.6], "two": [0.5]}
    fold_scores_figure(scores, name="DICE", published={"two": 0.55})
    axes = drawn[0].axes[0]
    x = [np.asarray(line.get_xdata()).tolist() for line in axes.get_lines()]
    assert [0.75, 0.75] in x
    assert [0.8, 0.9, 0.7, 0.6] in x
    assert [0.5, 0.5] in x
    assert [0.5] in x
    assert [0.55] in x
    assert len(axes.patches) == 1  # a box needs four folds
    assert [label.get_text() for label in axes.get_yticklabels()] == ["one", "two"]
    assert "mean in the paper (real data)" in texts_of(drawn[0])


def test_same_bytes_and_other_formats() -> None:
    scores = {"U-Net16 + GCN": [0.8, 0.9], "$x_{": [math.nan, math.nan]}
    assert fold_scores_figure(scores, name="DICE") == fold_scores_figure(scores, name="DICE")
    assert fold_scores_figure(scores, name="DICE", file_format="pdf")[:5] == b"%PDF-"
    svg = fold_scores_figure(scores, name="DICE", file_format="svg")
    assert b"<svg" in svg
    assert not re.search(rb"<dc:date>", svg)


@pytest.mark.parametrize("draw", [training_figure, precision_recall_figure, reliability_figure])
def test_nothing_to_draw_is_refused(draw: Any) -> None:
    with pytest.raises(SettingsError, match="E-PICTURE"):
        draw({})
    with pytest.raises(SettingsError, match="E-PICTURE"):
        fold_scores_figure({}, name="DICE")
