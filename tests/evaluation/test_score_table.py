"""The table over many images: rows, pooling, means, reasons, intervals."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from sklearn import metrics
from tests.evaluation.shapes import boxes

from tomocyte.errors import SettingsError
from tomocyte.evaluation import (
    Case,
    ScoreSettings,
    ScoreTable,
    dice,
    hungarian_mean_dice,
    mean_average_precision,
    score_instances,
    surface_distances,
)
from tomocyte.evaluation.columns import INTERVAL_COLUMNS, describe_columns
from tomocyte.statistics.bootstrap import BootstrapSettings

VOXEL = (0.5, 0.2, 0.3)
EVERYTHING = ScoreSettings(structure="nucleus", tolerance_um=0.3, min_ious=(0.5, 0.625))


def cases(*, has_probability: bool = True) -> list[Case]:
    """Six images of three groups; each is smaller than the one before."""
    rng = np.random.default_rng(6)
    made = []
    for index in range(6):
        truth = np.zeros((5, 12 - index, 14), np.uint8)
        truth[1:4, 2 : 8 - index // 2, 3:9] = 1
        probability = np.clip(0.5 * truth + 0.7 * rng.random(truth.shape), 0, 1)
        prediction = None if has_probability else probability >= 0.5
        made.append(
            Case(
                f"image{index}",
                f"cell{index // 2}",
                truth,
                prediction,
                probability if has_probability else None,
                VOXEL,
                is_simulated=index == 5,
            )
        )
    return made


def filled(made: list[Case], settings: ScoreSettings = EVERYTHING) -> ScoreTable:
    scores = ScoreTable(settings)
    scores.add_all(made)
    return scores


def test_pooled_rows_are_the_scores_of_all_voxels_together() -> None:
    made = cases()
    table = filled(made).table().set_index("level")
    truth = np.concatenate([case.truth.ravel() for case in made])
    probability = np.concatenate([case.probability.ravel() for case in made])
    prediction = probability >= 0.5
    pooled = table.loc["pooled"]
    assert pooled["dice"] == pytest.approx(metrics.f1_score(truth, prediction), abs=1e-12)
    assert pooled["f05"] == pytest.approx(metrics.fbeta_score(truth, prediction, beta=0.5), abs=1e-12)
    assert pooled["average_precision"] == pytest.approx(metrics.average_precision_score(truth, probability), abs=1e-3)
    assert pooled["brier"] == pytest.approx(metrics.brier_score_loss(truth, probability), abs=1e-12)
    assert pooled["n_voxels"] == truth.size
    assert (pooled["n_images"], pooled["structure"], pooled["frame"]) == (6, "nucleus", -1)
    distances = [surface_distances(c.truth, c.probability >= 0.5, voxel_size_um=VOXEL) for c in made]
    everything = np.concatenate([np.concatenate([one.truth_um, one.prediction_um]) for one in distances])
    assert pooled["hausdorff_um"] == pytest.approx(everything.max())
    assert pooled["assd_um"] == pytest.approx(everything.mean())
    assert pooled["surface_dice"] == pytest.approx(np.mean(everything <= 0.3 * (1 + 1e-6)))
    assert math.isnan(pooled["hd95_um"])
    assert "hd95_um" in pooled["reason"]


def test_group_rows_and_means() -> None:
    made = cases()
    table = filled(made).table()
    images, groups = table[table["level"] == "image"], table[table["level"] == "group"]
    assert images["item"].tolist() == [f"image{index}" for index in range(6)]
    assert groups["group"].tolist() == ["cell0", "cell1", "cell2"]
    truth = np.concatenate([case.truth.ravel() for case in made[2:4]])
    prediction = np.concatenate([case.probability.ravel() for case in made[2:4]]) >= 0.5
    assert groups["jaccard"].iloc[1] == pytest.approx(metrics.jaccard_score(truth, prediction), abs=1e-12)
    mean, sd = (table[table["level"] == level].iloc[0] for level in ("mean", "sd"))
    for name in ("dice", "auc_pr", "hd95_um", "ece"):
        assert mean[name] == pytest.approx(images[name].mean(), abs=1e-12)
        assert sd[name] == pytest.approx(images[name].std(ddof=1), abs=1e-12)
    one = made[3]
    expected = metrics.average_precision_score(one.truth.ravel(), one.probability.ravel())
    assert images["average_precision"].iloc[3] == pytest.approx(expected, abs=1e-12)
    assert images["is_simulated"].tolist() == [False] * 5 + [True]
    assert bool(mean["is_simulated"])


def test_instances_pool_by_their_counts() -> None:
    truth, prediction = boxes()
    settings = ScoreSettings(is_instance_scored=True, min_ious=(0.3, 0.5), is_surface_scored=False)
    scores = filled([Case("a", "a", truth, prediction), Case("b", "b", truth, truth)], settings)
    table = scores.table().set_index("level")
    first = table.loc["image"].iloc[0]
    for min_iou, percent in ((0.3, 30), (0.5, 50)):
        expected = score_instances(truth, prediction, min_iou=min_iou)
        found = tuple(first[f"instance_{name}_iou{percent}"] for name in ("precision", "recall", "f1", "ap"))
        assert found == pytest.approx((expected.precision, expected.recall, expected.f1, expected.average_precision))
        # 30 objects are perfect in the second image; the first one holds 30 true and 22 predicted ones.
        n_matched = expected.n_matched + 30
        assert table.loc["pooled", f"instance_f1_iou{percent}"] == pytest.approx(2 * n_matched / (60 + 52))
    assert first["instance_ap_mean"] == pytest.approx(mean_average_precision(truth, prediction))
    above = score_instances(truth, prediction, min_iou=math.nextafter(0.5, 1))
    assert first["panoptic_quality"] == pytest.approx(above.panoptic_quality)
    assert first["segmentation_quality"] * first["recognition_quality"] == pytest.approx(first["panoptic_quality"])
    objects = scores.objects()
    assert (objects["item"] == "b").sum() == 30
    assert objects.loc[objects["item"] == "b", "object_dice"].tolist() == [1.0] * 30
    assert "hausdorff_um" not in table.columns


def test_reasons_of_empty_cells() -> None:
    empty, some = np.zeros((2, 3, 4), np.uint8), np.ones((2, 3, 4), np.uint8)
    made = [
        Case("both", "1", empty, empty, None, VOXEL),
        Case("no truth", "2", empty, some, None, VOXEL),
        Case("no prediction", "3", some, empty, None, VOXEL),
        Case("no size", "4", some, some),
    ]
    table = filled(made).table().set_index("item")
    assert "both masks are empty: dice" in table.loc["both", "reason"]
    assert table.loc["both", "reason"].count("hd95_um") == 1
    assert "the truth is empty: recall" in table.loc["no truth", "reason"]
    assert "a mask is empty: moc, hausdorff_um" in table.loc["no truth", "reason"]
    assert table.loc["no truth", "dice"] == 0
    assert table.loc["no prediction", "surface_dice"] == 0
    assert "the prediction is empty: precision" in table.loc["no prediction", "reason"]
    assert table.loc["no size", "reason"] == "no voxel size is known: hausdorff_um, hd95_um, assd_um, surface_dice"
    mean = filled(made).table().set_index("level").loc["mean"]
    assert mean["dice"] == pytest.approx((0 + 0 + 1) / 3)
    assert "of 4: dice 1" in mean["reason"]
    # Every NaN has its reason, and nothing else has one.
    for _, row in filled(made).table().iterrows():
        if row["level"] in ("image", "pooled"):
            for name in row.index:
                if isinstance(row[name], float):
                    assert math.isnan(row[name]) == (name in re.split(r"[,;: ]+", row["reason"])), name


def test_images_with_and_without_probability() -> None:
    made = [cases()[0], cases(has_probability=False)[1]]
    table = filled(made).table().set_index("item")
    assert "no probability was given: auc_pr, average_precision, ece, brier" in table.loc["image1", "reason"]
    assert table.loc["image0", "ece"] > 0


def test_every_column_is_described() -> None:
    truth, prediction = boxes()
    settings = EVERYTHING.model_copy(update={"is_instance_scored": True})
    scores = filled([*cases(), Case("boxes", "boxes", truth, prediction, None, VOXEL)], settings)
    table, intervals = scores.table(), scores.intervals(rng=np.random.default_rng(1))
    assert "instance_f1_iou62_5" in table.columns
    assert describe_columns(["instance_f1_iou62_5"])[0].meaning.endswith("0.625.")
    for one in (table, scores.objects(), intervals):
        meanings = describe_columns(one.columns)
        assert all(column.meaning for column in meanings)
    assert set(intervals.columns) == {column.name for column in INTERVAL_COLUMNS} | {"reason"}
    with pytest.raises(SettingsError, match="E-COLUMN"):
        describe_columns(["no_such_score"])


def test_intervals_resample_groups_and_agree_with_the_table() -> None:
    scores = filled(cases())
    settings = BootstrapSettings(n_resamples=500)
    found = scores.intervals(rng=np.random.default_rng(4), settings=settings)
    again = scores.intervals(rng=np.random.default_rng(4), settings=settings)
    assert found.equals(again)
    table = scores.table().set_index("level")
    keyed = found.set_index(["statistic", "metric"])
    assert keyed.loc[("mean", "dice"), "value"] == pytest.approx(table.loc["mean", "dice"])
    for name in ("dice", "jaccard", "precision", "recall"):
        row = keyed.loc[("pooled", name)]
        assert row["value"] == pytest.approx(table.loc["pooled", name])
        assert row["low"] <= row["value"] <= row["high"]
    assert set(found["n_groups"]) == {3}
    # With three groups the widest resample is one group alone.
    groups = table.loc["image"].groupby("group")["dice"].mean()
    row = keyed.loc[("mean", "dice")]
    assert (row["low"], row["high"]) == pytest.approx((groups.min(), groups.max()), abs=0.01)


def test_all_or_none() -> None:
    scores = ScoreTable(EVERYTHING)
    wrong = Case("wrong", "w", np.ones((2, 3), np.uint8), np.ones((3, 2), np.uint8), None, VOXEL)
    with pytest.raises(SettingsError, match="E-SHAPE"):
        scores.add_all([cases()[0], wrong])
    assert len(scores) == 0
    scores.add(cases()[0])
    with pytest.raises(SettingsError, match="E-DUPLICATE"):
        scores.add(cases()[0])
    assert len(scores) == 1


def test_wrong_input_is_refused() -> None:
    with pytest.raises(SettingsError, match="E-EMPTY"):
        ScoreTable().table()
    with pytest.raises(SettingsError, match="E-EMPTY"):
        ScoreTable().add(Case("a", "a", np.ones((2, 3), np.uint8)))
    with pytest.raises(SettingsError, match="E-IOU"):
        ScoreTable(ScoreSettings(min_ious=(0.0,)))
    with pytest.raises(SettingsError, match="E-NAN"):
        ScoreTable().add(Case("a", "a", np.ones((2, 3), np.uint8), None, np.full((2, 3), np.nan)))


def test_one_image_has_no_spread() -> None:
    table = filled(cases()[:1]).table()
    assert table["level"].tolist() == ["image", "pooled", "mean", "sd"]
    sd = table.set_index("level").loc["sd"]
    assert math.isnan(sd["dice"])
    assert sd["reason"] == "one image has no spread"


def test_methods_and_structures_have_rows_of_their_own() -> None:
    """Two images, each segmented by two methods: Dice 2/3 and 1 by one, 0 and 0 by the other."""
    truth, half, none = np.array([1, 1, 0]), np.array([1, 0, 0]), np.array([0, 0, 1])
    scores = ScoreTable(ScoreSettings(is_surface_scored=False))
    for name, (first, second) in {"good": (half, truth), "bad": (none, none)}.items():
        scores.add(Case("a", "a", truth, first, method=name, structure="nucleus"))
        scores.add(Case("b", "b", truth, second, method=name, structure="nucleus"))
    assert scores.values("dice", method="good") == pytest.approx([2 / 3, 1])
    assert scores.mean_and_sd("dice", method="good") == pytest.approx((5 / 6, math.sqrt(2) / 6))
    assert scores.unique("method") == ["good", "bad"]
    table = scores.table()
    assert list(table.columns)[:6] == ["level", "item", "frame", "group", "structure", "method"]
    keyed = table.set_index(["method", "level"])["dice"]
    assert keyed["good", "pooled"] == pytest.approx(2 * 3 / (4 + 3))
    assert keyed["bad", "mean"] == 0
    assert scores.pooled()["n_true_positive"] == 3
    with pytest.raises(SettingsError, match="E-SUBJECTS"):
        scores.intervals(rng=np.random.default_rng(1))
    with pytest.raises(SettingsError, match="E-DUPLICATE"):
        scores.add(Case("a", "a", truth, half, method="good", structure="nucleus"))


def test_scores_from_files_are_added_as_they_are() -> None:
    scores = ScoreTable.of_folds({"otsu": {"dice": [0.5, 0.75], "pr_auc": [0.25]}, "unet": {"dice": [1.0, math.nan]}})
    scores.add_row({"method": "late", "fold": 1, "dice": None})
    assert scores.values("dice", method="otsu") == [0.5, 0.75]
    assert scores.values("pr_auc") == [0.25]
    assert scores.mean_and_sd("dice", method="unet")[0] == 1.0
    assert math.isnan(scores.values("dice", method="late")[0])
    assert list(scores.frame().columns) == ["method", "fold", "dice", "pr_auc"]
    with pytest.raises(SettingsError, match="E-EMPTY"):
        scores.pooled()


def test_named_metrics_are_those_of_the_functions_to_the_last_bit() -> None:
    """Tables of comparisons hold these numbers in full."""
    rng = np.random.default_rng(12)
    for _ in range(20):
        truth = np.repeat(np.repeat(rng.integers(0, 6, (6, 7)), 3, axis=0), 4, axis=1).astype(np.uint16)
        prediction = np.roll(truth, int(rng.integers(0, 4)), axis=1)
        prediction[rng.random(truth.shape) < 0.1] = 0
        names = ["dice", "instance_f1_iou50", "instance_pq_iou50", "hungarian_dice", "n_true_objects"]
        row = ScoreTable(metrics=names).add(Case("a", "a", truth, prediction))
        expected = score_instances(truth, prediction)
        assert row["dice"] == dice(truth, prediction)
        assert row["instance_f1_iou50"] == expected.f1
        assert row["instance_pq_iou50"] == expected.panoptic_quality
        assert row["hungarian_dice"] == hungarian_mean_dice(truth, prediction)
        assert row["n_true_objects"] == expected.n_truth


def test_groups_need_not_be_pooled() -> None:
    settings = EVERYTHING.model_copy(update={"is_group_pooled": False, "is_curve_exact": False})
    scores, whole = filled(cases(), settings), filled(cases())
    assert "group" not in set(scores.table()["level"])
    pooled = [table.table().set_index("level").loc["pooled", "auc_pr"] for table in (scores, whole)]
    assert pooled[0] == pooled[1]
    # Counted in bins, the curve of one image is close to the exact one.
    assert scores.values("auc_pr") == pytest.approx(whole.values("auc_pr"), abs=1e-3)
