"""Comparison with the truth: arrays in, numbers out.

Masks (``counts``, ``overlap``), surfaces (``surface``), objects (``matching``, ``objects``), probabilities
(``curves``, ``calibration``) and many images in one table (``scores``). To add a kind of score, add a file here and
name its functions below.
"""

from __future__ import annotations

from tomocyte.evaluation.calibration import ReliabilityCounts, count_reliability, fit_temperature, with_temperature
from tomocyte.evaluation.counts import (
    MaskCounts,
    class_counts,
    confusion_matrix,
    count_mask,
    f05_as_published,
    f_beta,
    moc,
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
from tomocyte.evaluation.objects import score_objects
from tomocyte.evaluation.overlap import dice, jaccard
from tomocyte.evaluation.scores import Case, ScoreSettings, ScoreTable
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
    "InstanceScores",
    "MaskCounts",
    "OverlapTable",
    "PrecisionRecallCounts",
    "PrecisionRecallCurve",
    "ReliabilityCounts",
    "ScoreSettings",
    "ScoreTable",
    "SurfaceDistances",
    "assd_um",
    "class_counts",
    "confusion_matrix",
    "count_mask",
    "count_precision_recall",
    "count_reliability",
    "dice",
    "f05_as_published",
    "f_beta",
    "fit_temperature",
    "hausdorff_um",
    "hd95_um",
    "hungarian_mean_dice",
    "jaccard",
    "match_instances",
    "mean_average_precision",
    "moc",
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
