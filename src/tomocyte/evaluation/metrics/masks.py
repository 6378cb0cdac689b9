"""Metrics of masks: functions of the four counts of voxels (:class:`~tomocyte.evaluation.counts.MaskCounts`)."""

from __future__ import annotations

from functools import partial
from operator import attrgetter

from tomocyte.evaluation.counts import MaskCounts, dice_of, jaccard_of, precision_of, ratio, recall_of
from tomocyte.evaluation.metric import Metric
from tomocyte.evaluation.reasons import BOTH_EMPTY, NO_PREDICTION, NO_TRUTH, ONE_EMPTY


def _f05(counts: MaskCounts) -> float:
    return counts.f_beta(0.5)


def _relative_volume_error(counts: MaskCounts) -> float:
    return ratio(counts.n_prediction - counts.n_truth, counts.n_truth)


_count = partial(Metric, unit="1", needs="masks", is_higher_better=None, kind="integer")
METRICS = (
    _count("n_voxels", meaning="All voxels.", function=attrgetter("n_voxels")),
    _count("n_true_positive", meaning="Voxels inside both.", function=attrgetter("n_true_positive")),
    _count("n_false_positive", meaning="Voxels inside the prediction only.", function=attrgetter("n_false_positive")),
    _count("n_false_negative", meaning="Voxels inside the truth only.", function=attrgetter("n_false_negative")),
    _count("n_true_negative", meaning="Voxels outside both.", function=attrgetter("n_true_negative")),
    Metric(
        "dice",
        "1",
        "2 TP / (2 TP + FP + FN), also F1.",
        "masks",
        attrgetter("dice"),
        when_empty=BOTH_EMPTY,
        reference="doi:10.2307/1932409",
        heading="DICE",
        is_shown=True,
        interval=dice_of,
    ),
    Metric(
        "jaccard",
        "1",
        "TP / (TP + FP + FN).",
        "masks",
        attrgetter("jaccard"),
        when_empty=BOTH_EMPTY,
        reference="doi:10.1111/j.1469-8137.1912.tb05611.x",
        heading="Jaccard",
        is_shown=True,
        interval=jaccard_of,
    ),
    Metric(
        "precision",
        "1",
        "TP / (TP + FP).",
        "masks",
        attrgetter("precision"),
        when_empty=NO_PREDICTION,
        heading="Precision",
        is_shown=True,
        interval=lambda tp, fp, _: precision_of(tp, fp),
    ),
    Metric(
        "recall",
        "1",
        "TP / (TP + FN).",
        "masks",
        attrgetter("recall"),
        when_empty=NO_TRUTH,
        heading="Recall",
        is_shown=True,
        interval=lambda tp, _, fn: recall_of(tp, fn),
    ),
    Metric(
        "f05_as_published",
        "1",
        "F0.5 with recall misprinted as TP / (FP + FN), as in the OS-Net paper; exceeds 1.",
        "masks",
        attrgetter("f05_as_published"),
        when_empty=BOTH_EMPTY,
        heading="F0.5 as published",
    ),
    Metric(
        "pixel_accuracy",
        "1",
        "(TP + TN) / all.",
        "masks",
        attrgetter("pixel_accuracy"),
        heading="Pixel accuracy",
        is_shown=True,
    ),
    Metric(
        "moc",
        "1",
        "Overlap coefficient of the masks.",
        "masks",
        attrgetter("moc"),
        when_empty=ONE_EMPTY,
        reference="doi:10.1111/j.1365-2818.1993.tb03313.x",
        heading="MOC",
        is_shown=True,
    ),
    Metric(
        "moc_as_published",
        "1",
        "Overlap coefficient misprinted with a sum for the root of the product, as by Zhanghao et al.; half of Dice.",
        "masks",
        attrgetter("moc_as_published"),
        when_empty=BOTH_EMPTY,
        reference="doi:10.1101/2021.12.13.472520",
        heading="MOC as published",
    ),
    Metric(
        "f05",
        "1",
        "F-score with beta 0.5: precision weighs more.",
        "masks",
        _f05,
        when_empty=BOTH_EMPTY,
        heading="F0.5",
        is_shown=True,
    ),
    Metric(
        "relative_volume_error",
        "1",
        "(predicted - true voxels) / true voxels.",
        "masks",
        _relative_volume_error,
        is_higher_better=None,
        when_empty=NO_TRUTH,
    ),
)
