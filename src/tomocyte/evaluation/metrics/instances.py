"""Metrics of objects: functions of how many match (:class:`~tomocyte.evaluation.tally.InstanceTally`)."""

from __future__ import annotations

import math
from functools import partial
from operator import attrgetter

from tomocyte.evaluation.counts import ratio
from tomocyte.evaluation.matching import AP_MIN_IOUS
from tomocyte.evaluation.metric import Metric
from tomocyte.evaluation.reasons import NO_MATCH, NO_OBJECT, NO_PREDICTED_OBJECT, NO_TRUE_OBJECT
from tomocyte.evaluation.tally import ABOVE_HALF, InstanceTally


def _precision(tally: InstanceTally, *, min_iou: float) -> float:
    return tally.scores(min_iou).precision


def _recall(tally: InstanceTally, *, min_iou: float) -> float:
    return tally.scores(min_iou).recall


def _f1(tally: InstanceTally, *, min_iou: float) -> float:
    return tally.scores(min_iou).f1


def _average_precision(tally: InstanceTally, *, min_iou: float) -> float:
    return tally.scores(min_iou).average_precision


def _panoptic_quality_at(tally: InstanceTally, *, min_iou: float) -> float:
    return tally.scores(min_iou).panoptic_quality


def _mean_average_precision(tally: InstanceTally) -> float:
    return math.fsum(tally.scores(min_iou).average_precision for min_iou in AP_MIN_IOUS) / len(AP_MIN_IOUS)


def _panoptic_quality(tally: InstanceTally) -> float:
    return ratio(2 * tally.sum_iou(ABOVE_HALF), tally.n_truth + tally.n_prediction)


def _segmentation_quality(tally: InstanceTally) -> float:
    return ratio(tally.sum_iou(ABOVE_HALF), tally.scores(ABOVE_HALF).n_matched)


def _recognition_quality(tally: InstanceTally) -> float:
    return tally.scores(ABOVE_HALF).f1


def _hungarian_dice(tally: InstanceTally) -> float:
    return ratio(tally.sum_dice, tally.n_truth)


_metric = partial(Metric, unit="1", needs="instances")
_per_iou = partial(_metric, min_iou=math.nan)
METRICS = (
    _metric(
        "n_true_objects",
        meaning="Objects of the truth.",
        function=attrgetter("n_truth"),
        is_higher_better=None,
        kind="integer",
    ),
    _metric(
        "n_predicted_objects",
        meaning="Objects of the prediction.",
        function=attrgetter("n_prediction"),
        is_higher_better=None,
        kind="integer",
    ),
    _per_iou(
        "instance_precision", meaning="Precision of objects.", function=_precision, when_empty=NO_PREDICTED_OBJECT
    ),
    _per_iou("instance_recall", meaning="Recall of objects.", function=_recall, when_empty=NO_TRUE_OBJECT),
    _per_iou(
        "instance_f1",
        meaning="F1 of objects.",
        function=_f1,
        when_empty=NO_OBJECT,
        heading="Objects: F1 (IoU 0.5)",
        aliases=("f1",),
        is_shown=True,
    ),
    _per_iou(
        "instance_ap",
        meaning="TP / (TP + FP + FN) of objects.",
        function=_average_precision,
        when_empty=NO_OBJECT,
    ),
    _per_iou(
        "instance_pq",
        meaning="Mean IoU of matched objects, times F1 of objects.",
        function=_panoptic_quality_at,
        when_empty=NO_OBJECT,
        is_default=False,
    ),
    _metric(
        "instance_ap_mean",
        meaning="Mean of TP / (TP + FP + FN) at IoU 0.5, 0.55 … 0.95.",
        function=_mean_average_precision,
        when_empty=NO_OBJECT,
        is_shown=True,
    ),
    _metric(
        "panoptic_quality",
        meaning="SQ times RQ.",
        function=_panoptic_quality,
        when_empty=NO_OBJECT,
        reference="doi:10.1109/CVPR.2019.00963",
        heading="Objects: PQ",
        is_shown=True,
    ),
    _metric(
        "segmentation_quality",
        meaning="SQ: mean IoU of pairs with IoU above 0.5.",
        function=_segmentation_quality,
        when_empty=NO_MATCH,
    ),
    _metric(
        "recognition_quality",
        meaning="RQ: F1 of objects at IoU above 0.5.",
        function=_recognition_quality,
        when_empty=NO_OBJECT,
    ),
    _metric(
        "hungarian_dice",
        meaning="Mean Dice of the true objects with their best partners.",
        function=_hungarian_dice,
        when_empty=NO_TRUE_OBJECT,
        heading="Objects: matched Dice",
        aliases=("matched_dice",),
        is_shown=True,
    ),
)
