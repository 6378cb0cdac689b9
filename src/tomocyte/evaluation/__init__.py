"""Comparison with the truth: arrays in, numbers out.

Masks (``counts``), surfaces (``surface``), objects (``matching``, ``objects``), probabilities (``curves``,
``calibration``) and many images in one table (``score_table``), whose columns are the metrics of ``metrics``. To add a
metric, add it there; to add a kind of comparison, add a file here and name its functions below.
"""

from __future__ import annotations

from tomocyte.evaluation.calibration import ReliabilityCounts, count_reliability, fit_temperature, with_temperature
from tomocyte.evaluation.case import Case, ScoreSettings
from tomocyte.evaluation.classes import class_counts, confusion_matrix
from tomocyte.evaluation.confusion import ConfusionTable, class_image
from tomocyte.evaluation.counts import (
    MaskCounts,
    count_mask,
    dice,
    f05_as_published,
    f_beta,
    jaccard,
    moc,
    moc_as_published,
    pixel_accuracy,
    precision,
    recall,
)
from tomocyte.evaluation.curves import (
    PrecisionRecallCounts,
    PrecisionRecallCurve,
    count_precision_recall,
    precision_recall_curve,
)
from tomocyte.evaluation.matching import (
    InstanceScores,
    OverlapTable,
    hungarian_mean_dice,
    match_instances,
    mean_average_precision,
    overlap_table,
    score_instances,
    score_overlaps,
)
from tomocyte.evaluation.metric import Metric, all_metrics, find_metric
from tomocyte.evaluation.objects import score_objects
from tomocyte.evaluation.score_table import ScoreTable
from tomocyte.evaluation.surface import (
    SurfaceDistances,
    assd_um,
    hausdorff_um,
    hd95_um,
    surface_dice,
    surface_distances,
)

__all__ = [
    "Case",
    "ConfusionTable",
    "InstanceScores",
    "MaskCounts",
    "Metric",
    "OverlapTable",
    "PrecisionRecallCounts",
    "PrecisionRecallCurve",
    "ReliabilityCounts",
    "ScoreSettings",
    "ScoreTable",
    "SurfaceDistances",
    "all_metrics",
    "assd_um",
    "class_counts",
    "class_image",
    "confusion_matrix",
    "count_mask",
    "count_precision_recall",
    "count_reliability",
    "dice",
    "f05_as_published",
    "f_beta",
    "find_metric",
    "fit_temperature",
    "hausdorff_um",
    "hd95_um",
    "hungarian_mean_dice",
    "jaccard",
    "match_instances",
    "mean_average_precision",
    "moc",
    "moc_as_published",
    "overlap_table",
    "pixel_accuracy",
    "precision",
    "precision_recall_curve",
    "recall",
    "score_instances",
    "score_objects",
    "score_overlaps",
    "surface_dice",
    "surface_distances",
    "with_temperature",
]
