"""Estimates beside exact truth: which objects count, and what is learned from them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from tomocyte.comparison.own_truth import own_rows, with_own_ends
from tomocyte.confidence.objects import ObjectSums
from tomocyte.confidence.settings import StructureCalibration


def blocks(*places: tuple[int, int, int]) -> np.ndarray:
    """Blocks of a label, from one x to another, in a row of 40 voxels."""
    row = np.zeros((2, 3, 40), np.uint32)
    for label, start, stop in places:
        row[:, :, start:stop] = label
    return row


def test_whole_objects_that_were_found_count() -> None:
    # 4 is found as 1 (IoU 8/10), 5 is cut by the border, 6 is found only in part (3/10), 7 not at all.
    labels = blocks((1, 0, 8), (2, 12, 18), (3, 20, 23))
    true_labels = blocks((4, 0, 10), (5, 12, 18), (6, 20, 30), (7, 32, 38))
    table = pd.DataFrame(
        {
            "label": [1, 2, 3], "mean_ri": [1.36, 1.37, 1.38], "dry_mass_pg": [200.0, 100.0, 50.0],
            "volume_um3": [8.0, 6.0, 3.0], "surface_area_um2": [20.0, 15.0, math.nan],
            "mean_ri_estimator": "matrix", "dry_mass_pg_estimator": "matrix",
        }
    )  # fmt: skip
    truth = pd.DataFrame(
        {
            "structure": ["cell"] * 4 + ["nucleus"], "label": [4, 5, 6, 7, 4],
            "is_cut": [False, True, False, False, False],
            "mean_ri": [1.3625, 1.3, 1.3, 1.3, 1.3], "dry_mass_pg": [220.0, 1, 1, 1, 1],
            "volume_um3": [10.0, 6, 10, 6, 1], "height_um": [1.0] * 5,
        }
    )  # fmt: skip
    sums = ObjectSums(np.array([1, 2, 3]), *(np.full(3, 10.0) for _ in range(6)))
    rows = own_rows(table, labels, true_labels, truth, sums, "cell")
    assert set(rows["true_label"]) == {4}
    assert rows["iou"].tolist() == pytest.approx([0.8] * 3)
    # Neither a surface without its truth nor a height that was not measured.
    scores = dict(zip(rows["column"], rows["score"], strict=True))
    # The volume is expected twice as large (10 of 10 voxels inside, 10 missing), with 1 of uncertainty.
    volume = math.log(10 / 8) - math.log(2)
    assert scores == pytest.approx({"dry_mass_pg": math.log(1.1), "mean_ri": 0.0025, "volume_um3": volume})
    assert rows["estimator"].tolist() == ["matrix", "matrix", "mask"]
    index = own_rows(table, labels, true_labels, truth, sums, "cell", ["mean_ri"])
    assert index["column"].tolist() == ["mean_ri"]


def test_ends_are_learned_from_estimates_and_not_from_masks() -> None:
    scores = np.linspace(-0.09, 0.09, 19)
    rows = pd.DataFrame({"structure": "cell", "column": "mean_ri", "estimator": "matrix", "score": scores})
    calibration = {"cell": StructureCalibration(slope=0.7), "nucleus": StructureCalibration()}
    learned = with_own_ends(
        calibration, [rows, rows.assign(estimator="in-mask"), rows.head(5).assign(structure="nucleus")]
    )
    assert learned["cell"].own == {"mean_ri matrix": pytest.approx((-0.09, 0.09))}
    assert (learned["cell"].n_own, learned["cell"].slope) == (19, 0.7)
    assert learned["nucleus"].own == {}
    assert with_own_ends(calibration, []) == calibration
