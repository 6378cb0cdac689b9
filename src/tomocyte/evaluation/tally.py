"""What is kept of a compared image: counts that add up, from which a row of scores is made.

``a + b`` is the tally of two images together; pooled rows come from nothing else. To add a score, count what it needs
here, put it into :func:`score_row`, and describe the column in :mod:`tomocyte.evaluation.columns`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.evaluation.calibration import ReliabilityCounts
from tomocyte.evaluation.columns import BOTH_EMPTY, NO_PROBABILITY, NO_VOXEL_SIZE, NOT_POOLED, describe_column
from tomocyte.evaluation.counts import MaskCounts, ratio
from tomocyte.evaluation.curves import PrecisionRecallCounts
from tomocyte.evaluation.matching import AP_MIN_IOUS, OverlapTable, best_partners, score_overlaps
from tomocyte.evaluation.surface import surface_distances

# Panoptic quality asks for an IoU of more than a half.
ABOVE_HALF = math.nextafter(0.5, 1.0)
MASK_SCORES = ("dice", "jaccard", "precision", "recall", "f05_as_published", "pixel_accuracy", "moc")
SURFACE_SCORES = ("hausdorff_um", "hd95_um", "assd_um")
Row = dict[str, Any]


@dataclass(frozen=True)
class SurfaceTally:
    """Distances of the surfaces of one or more images.

    Parameters
    ----------
    n_images : int
        Images whose voxel size is known.
    n_surface, n_within : int
        Surface voxels of both masks, and those within the tolerance (0 without one).
    n_measured, sum_um : int, float
        Surface voxels whose distance is finite, and the sum of those distances.
    largest_um, hd95_um : float
        NaN without a finite distance; the percentile also where images are pooled.
    """

    n_images: int = 0
    n_surface: int = 0
    n_within: int = 0
    n_measured: int = 0
    sum_um: float = 0.0
    largest_um: float = math.nan
    hd95_um: float = math.nan

    def __add__(self, other: SurfaceTally) -> SurfaceTally:
        return SurfaceTally(
            self.n_images + other.n_images,
            self.n_surface + other.n_surface,
            self.n_within + other.n_within,
            self.n_measured + other.n_measured,
            self.sum_um + other.sum_um,
            float(np.fmax(self.largest_um, other.largest_um)),
            math.nan,
        )


@dataclass(frozen=True)
class InstanceTally:
    """Objects of one or more images.

    Parameters
    ----------
    n_truth, n_prediction : int
    matched : tuple of (float, int, float)
        Threshold of IoU, pairs, sum of their IoU; ascending.
    sum_dice : float
        Of the true objects with their best partners.
    """

    n_truth: int
    n_prediction: int
    matched: tuple[tuple[float, int, float], ...]
    sum_dice: float

    def __add__(self, other: InstanceTally) -> InstanceTally:
        matched = tuple(
            (min_iou, n + more, iou + further)
            for (min_iou, n, iou), (_, more, further) in zip(self.matched, other.matched, strict=True)
        )
        return InstanceTally(
            self.n_truth + other.n_truth,
            self.n_prediction + other.n_prediction,
            matched,
            self.sum_dice + other.sum_dice,
        )


@dataclass(frozen=True)
class Tally:
    """Everything counted of one or more images; a part is ``None`` where it was not asked for or not given.

    Parameters
    ----------
    n_images : int
    mask : MaskCounts
    surface : SurfaceTally, optional
    instances : InstanceTally, optional
    curve : PrecisionRecallCounts, optional
    reliability : ReliabilityCounts, optional
    exact_areas : tuple of 2 float, optional
        Area by trapezoids and average precision of a single image, without bins.
    """

    n_images: int
    mask: MaskCounts
    surface: SurfaceTally | None = None
    instances: InstanceTally | None = None
    curve: PrecisionRecallCounts | None = None
    reliability: ReliabilityCounts | None = None
    exact_areas: tuple[float, float] | None = None

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.n_images + other.n_images,
            self.mask + other.mask,
            _sum(self.surface, other.surface),
            _sum(self.instances, other.instances),
            _sum(self.curve, other.curve),
            _sum(self.reliability, other.reliability),
        )

    def without_bins(self) -> Tally:
        """The same without the large counts, to keep one per image."""
        return replace(self, curve=None)


def _sum(first: Any, second: Any) -> Any:
    return second if first is None else first if second is None else first + second


def tally_surface(
    truth: NDArray[Any], prediction: NDArray[Any], voxel_size_um: Sequence[float] | None, tolerance_um: float | None
) -> SurfaceTally:
    """Measure the surfaces of one image; without a voxel size, nothing."""
    if voxel_size_um is None:
        return SurfaceTally()
    found = surface_distances(truth, prediction, voxel_size_um=voxel_size_um)
    n_surface = found.truth_um.size + found.prediction_um.size
    return SurfaceTally(
        1,
        n_surface,
        found.n_within(tolerance_um) if tolerance_um is not None else 0,
        n_surface if found.is_defined else 0,
        float(found.truth_um.sum() + found.prediction_um.sum()) if found.is_defined else 0.0,
        found.hausdorff_um,
        found.hd95_um,
    )


def tally_instances(table: OverlapTable, min_ious: Sequence[float]) -> InstanceTally:
    """Match the objects of one image at every threshold that a column needs."""
    matched = []
    for min_iou in sorted({*min_ious, *AP_MIN_IOUS, ABOVE_HALF}):
        scores = score_overlaps(table, min_iou=min_iou)
        sum_iou = scores.n_matched * scores.mean_matched_iou if scores.n_matched else 0.0
        matched.append((min_iou, scores.n_matched, sum_iou))
    sum_dice = float(table.dice[best_partners(table)].sum())
    return InstanceTally(len(table.truth_labels), len(table.prediction_labels), tuple(matched), sum_dice)


def score_row(tally: Tally, *, min_ious: Sequence[float], has_tolerance: bool) -> Row:
    """The scores of a tally, with ``reason`` saying why cells are NaN.

    Parameters
    ----------
    tally : Tally
    min_ious : sequence of float
        Thresholds that get columns of their own.
    has_tolerance : bool
        Whether a surface Dice was counted.
    """
    row: Row = {"n_images": tally.n_images, **mask_row(tally.mask)}
    special: dict[str, str] = {}
    if tally.curve is not None or tally.exact_areas is not None or tally.reliability is not None:
        row |= _probability_row(tally)
    if tally.surface is not None:
        surface, reasons = _surface_row(tally.surface, has_tolerance)
        row |= surface
        special |= reasons
        if tally.n_images > 1 and tally.surface.n_images:
            special["hd95_um"] = NOT_POOLED
    if tally.instances is not None:
        row |= _instance_row(tally.instances, min_ious)
    row["reason"] = reason_text(row, special)
    return row


def mask_row(counts: MaskCounts) -> Row:
    """Columns that follow from the four counts."""
    row: Row = {
        "n_voxels": counts.n_voxels,
        "n_true_positive": counts.n_true_positive,
        "n_false_positive": counts.n_false_positive,
        "n_false_negative": counts.n_false_negative,
        "n_true_negative": counts.n_true_negative,
    }
    row |= {name: getattr(counts, name) for name in MASK_SCORES}
    row["f05"] = counts.f_beta(0.5)
    row["relative_volume_error"] = ratio(counts.n_prediction - counts.n_truth, counts.n_truth)
    return row


def _probability_row(tally: Tally) -> Row:
    auc = average = math.nan
    if tally.exact_areas is not None:
        auc, average = tally.exact_areas
    elif tally.curve is not None:
        curve = tally.curve.curve
        auc, average = curve.auc, curve.average_precision
    reliability = tally.reliability
    return {
        "auc_pr": auc,
        "average_precision": average,
        "ece": reliability.ece if reliability is not None else math.nan,
        "brier": reliability.brier if reliability is not None else math.nan,
    }


def _surface_row(surface: SurfaceTally, has_tolerance: bool) -> tuple[Row, dict[str, str]]:
    row: Row = {
        "hausdorff_um": surface.largest_um,
        "hd95_um": surface.hd95_um,
        "assd_um": ratio(surface.sum_um, surface.n_measured),
    }
    if has_tolerance:
        row["surface_dice"] = ratio(surface.n_within, surface.n_surface)
    if surface.n_images == 0:
        return row, dict.fromkeys(row, NO_VOXEL_SIZE)
    return row, dict.fromkeys(SURFACE_SCORES, BOTH_EMPTY) if surface.n_surface == 0 else {}


def _instance_row(tally: InstanceTally, min_ious: Sequence[float]) -> Row:
    n_matched = {min_iou: n for min_iou, n, _ in tally.matched}
    n_all = tally.n_truth + tally.n_prediction
    row: Row = {"n_true_objects": tally.n_truth, "n_predicted_objects": tally.n_prediction}
    for min_iou in min_ious:
        percent, n = iou_suffix(min_iou), n_matched[min_iou]
        row[f"instance_precision_iou{percent}"] = ratio(n, tally.n_prediction)
        row[f"instance_recall_iou{percent}"] = ratio(n, tally.n_truth)
        row[f"instance_f1_iou{percent}"] = ratio(2 * n, n_all)
        row[f"instance_ap_iou{percent}"] = ratio(n, n_all - n)
    row["instance_ap_mean"] = math.fsum(ratio(n_matched[t], n_all - n_matched[t]) for t in AP_MIN_IOUS) / len(
        AP_MIN_IOUS
    )
    n_above, sum_iou = next((n, iou) for min_iou, n, iou in tally.matched if min_iou == ABOVE_HALF)
    row["panoptic_quality"] = ratio(2 * sum_iou, n_all)
    row["segmentation_quality"] = ratio(sum_iou, n_above)
    row["recognition_quality"] = ratio(2 * n_above, n_all)
    row["hungarian_dice"] = ratio(tally.sum_dice, tally.n_truth)
    return row


def iou_suffix(min_iou: float) -> str:
    """``50`` for 0.5, ``62_5`` for 0.625: the end of a column's name."""
    return f"{round(100 * min_iou, 6):g}".replace(".", "_")


def reason_text(row: Row, special: dict[str, str]) -> str:
    """``why: columns; why: columns`` for the cells of a row that are NaN."""
    names: dict[str, list[str]] = {}
    for name, value in row.items():
        if isinstance(value, float) and math.isnan(value):
            names.setdefault(special.get(name, describe_column(name).when_empty), []).append(name)
    return "; ".join(f"{reason}: {', '.join(columns)}" for reason, columns in names.items())


def without_probability(row: Row) -> Row:
    """A row with the columns of the probability, all NaN and their reason, for an image that has none."""
    empty = dict.fromkeys(("auc_pr", "average_precision", "ece", "brier"), math.nan)
    told = reason_text(empty, dict.fromkeys(empty, NO_PROBABILITY))
    return {**row, **empty, "reason": "; ".join(part for part in (row["reason"], told) if part)}
