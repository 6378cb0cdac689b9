"""Counts of a compared image that add up, from which a row of scores is made.

``a + b`` is the tally of two images together; pooled rows are made this way alone. To count something new, add it to
one of the parts here and read it in a metric of :mod:`tomocyte.evaluation.metrics`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.evaluation.calibration import ReliabilityCounts, count_reliability
from tomocyte.evaluation.case import Case, ScoreSettings
from tomocyte.evaluation.counts import MaskCounts, count_mask, ratio
from tomocyte.evaluation.curves import PrecisionRecallCounts, count_precision_recall, precision_recall_curve
from tomocyte.evaluation.matching import (
    AP_MIN_IOUS,
    InstanceScores,
    OverlapTable,
    best_partners,
    overlap_table,
    score_overlaps,
)
from tomocyte.evaluation.metric import Metric
from tomocyte.evaluation.reasons import BOTH_EMPTY, NO_PROBABILITY, NO_VOXEL_SIZE, NOT_POOLED
from tomocyte.evaluation.surface import surface_distances

# Panoptic quality asks for an IoU of more than a half.
ABOVE_HALF = math.nextafter(0.5, 1.0)
Row = dict[str, Any]


@dataclass(frozen=True)
class SurfaceTally:
    """Distances of the surfaces of one or more images.

    Parameters
    ----------
    n_images : int
        Images whose voxel size is known.
    n_surface : int
        Surface voxels of both masks.
    n_within : int, optional
        Those within the tolerance; ``None`` without one.
    n_measured, sum_um : int, float
        Surface voxels whose distance is finite, and the sum of those distances.
    largest_um, hd95_um : float
        NaN without a finite distance; the percentile also where images are pooled.
    """

    n_images: int = 0
    n_surface: int = 0
    n_within: int | None = 0
    n_measured: int = 0
    sum_um: float = 0.0
    largest_um: float = math.nan
    hd95_um: float = math.nan

    def __add__(self, other: SurfaceTally) -> SurfaceTally:
        has_tolerance = self.n_within is not None and other.n_within is not None
        return SurfaceTally(
            self.n_images + other.n_images,
            self.n_surface + other.n_surface,
            (self.n_within or 0) + (other.n_within or 0) if has_tolerance else None,
            self.n_measured + other.n_measured,
            self.sum_um + other.sum_um,
            float(np.fmax(self.largest_um, other.largest_um)),
            math.nan,
        )

    @property
    def mean_um(self) -> float:
        """Mean of the finite distances; NaN without any."""
        return ratio(self.sum_um, self.n_measured)

    @property
    def share_within(self) -> float | None:
        """Share of the surface voxels within the tolerance; ``None`` without a tolerance."""
        return None if self.n_within is None else ratio(self.n_within, self.n_surface)


@dataclass(frozen=True)
class Matches:
    """Pairs of objects at one threshold of intersection over union, in one or more images.

    Parameters
    ----------
    min_iou : float
    n_matched : int
    sum_iou, mean_iou : float
        Of the pairs; the mean is NaN without any.
    """

    min_iou: float
    n_matched: int
    sum_iou: float
    mean_iou: float

    def __add__(self, other: Matches) -> Matches:
        n_matched, sum_iou = self.n_matched + other.n_matched, self.sum_iou + other.sum_iou
        return Matches(self.min_iou, n_matched, sum_iou, ratio(sum_iou, n_matched))


@dataclass(frozen=True)
class InstanceTally:
    """Objects of one or more images.

    Parameters
    ----------
    n_truth, n_prediction : int
    matches : tuple of Matches
        By ascending threshold.
    sum_dice : float
        Of the true objects with their best partners.
    """

    n_truth: int
    n_prediction: int
    matches: tuple[Matches, ...]
    sum_dice: float

    def __add__(self, other: InstanceTally) -> InstanceTally:
        return InstanceTally(
            self.n_truth + other.n_truth,
            self.n_prediction + other.n_prediction,
            tuple(matches + other_matches for matches, other_matches in zip(self.matches, other.matches, strict=True)),
            self.sum_dice + other.sum_dice,
        )

    def scores(self, min_iou: float) -> InstanceScores:
        """How many objects match at a threshold that was counted."""
        matches = self._at(min_iou)
        return InstanceScores(self.n_truth, self.n_prediction, matches.n_matched, matches.mean_iou)

    def sum_iou(self, min_iou: float) -> float:
        """Sum of the intersections over union of the pairs at a threshold that was counted."""
        return self._at(min_iou).sum_iou

    def _at(self, min_iou: float) -> Matches:
        for matches in self.matches:
            if matches.min_iou == min_iou:
                return matches
        raise SettingsError("E-IOU", f"objects were not matched at an IoU of {min_iou:g}.", cure="Add it to min_ious.")


@dataclass(frozen=True)
class ProbabilityTally:
    """Probabilities of one or more images, counted in bins.

    Parameters
    ----------
    reliability : ReliabilityCounts
    curve : PrecisionRecallCounts, optional
        ``None`` where it was dropped to save memory.
    exact_areas : tuple of 2 float, optional
        Area by trapezoids and average precision of a single image, without bins.
    """

    reliability: ReliabilityCounts
    curve: PrecisionRecallCounts | None
    exact_areas: tuple[float, float] | None = None

    def __add__(self, other: ProbabilityTally) -> ProbabilityTally:
        is_complete = self.curve is not None and other.curve is not None
        curve = self.curve + other.curve if is_complete else None  # type: ignore[operator]
        return ProbabilityTally(self.reliability + other.reliability, curve)

    @property
    def auc(self) -> float:
        """Area under precision against recall by trapezoids; NaN without true voxels."""
        if self.exact_areas is not None:
            return self.exact_areas[0]
        return self.curve.curve.auc if self.curve is not None else math.nan

    @property
    def average_precision(self) -> float:
        """Area under precision against recall by steps; NaN without true voxels."""
        if self.exact_areas is not None:
            return self.exact_areas[1]
        return self.curve.curve.average_precision if self.curve is not None else math.nan


@dataclass(frozen=True)
class Tally:
    """All counts of one or more images; a part is ``None`` where it was not needed or not given.

    Parameters
    ----------
    n_images : int
    masks : MaskCounts
    surfaces : SurfaceTally, optional
    instances : InstanceTally, optional
    probabilities : ProbabilityTally, optional
    images : mapping of str to float
        Name of a metric of the image itself -> its value; empty where images are pooled.
    """

    n_images: int
    masks: MaskCounts
    surfaces: SurfaceTally | None = None
    instances: InstanceTally | None = None
    probabilities: ProbabilityTally | None = None
    images: Mapping[str, float] = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.n_images + other.n_images,
            self.masks + other.masks,
            _sum(self.surfaces, other.surfaces),
            _sum(self.instances, other.instances),
            _sum(self.probabilities, other.probabilities),
        )

    def without_bins(self) -> Tally:
        """The same without the large counts, to keep one per image."""
        if self.probabilities is None:
            return self
        return replace(self, probabilities=replace(self.probabilities, curve=None))


def _sum(first: Any, second: Any) -> Any:
    return second if first is None else first if second is None else first + second


def count_case(
    case: Case, settings: ScoreSettings, metrics: Sequence[Metric], *, overlaps: OverlapTable | None = None
) -> Tally:
    """Count one image, as much as the metrics need.

    Parameters
    ----------
    case : Case
    settings : ScoreSettings
    metrics : sequence of Metric
    overlaps : OverlapTable, optional
        Of the objects, if it exists already.

    Raises
    ------
    SettingsError
        ``E-SHAPE``, ``E-LABELS-TYPE``, ``E-NAN``, ``E-PROBABILITY``; ``E-EMPTY`` with neither prediction nor
        probability.
    """
    needs = {metric.needs for metric in metrics}
    probabilities = None
    if case.probability is not None and "probabilities" in needs:
        probabilities = tally_probability(case.truth, case.probability, settings)
    prediction = predicted_mask(case, settings)
    masks = count_mask(case.truth, prediction)
    surfaces = instances = None
    if "surfaces" in needs:
        surfaces = tally_surface(case.truth, prediction, case.voxel_size_um, settings.tolerance_um)
    if "instances" in needs:
        table = overlap_table(case.truth, prediction) if overlaps is None else overlaps
        own = [metric.min_iou for metric in metrics if metric.min_iou is not None]
        instances = tally_instances(table, [*settings.min_ious, *own])
    images = {metric.name: _number(metric.function(case)) for metric in metrics if metric.needs == "images"}
    return Tally(1, masks, surfaces, instances, probabilities, images)


def predicted_mask(case: Case, settings: ScoreSettings) -> NDArray[Any]:
    """The prediction of an image, or its probability at the threshold.

    Raises
    ------
    SettingsError
        ``E-EMPTY`` with neither.
    """
    if case.prediction is not None:
        return case.prediction
    if case.probability is None:
        raise SettingsError("E-EMPTY", f"image {case.item!r} has neither prediction nor probability.")
    return np.asarray(case.probability >= settings.threshold)


def tally_probability(truth: NDArray[Any], probability: NDArray[Any], settings: ScoreSettings) -> ProbabilityTally:
    """Count the probabilities of one image."""
    curve = count_precision_recall(truth, probability, n_bins=settings.n_probability_bins)
    reliability = count_reliability(truth, probability, n_bins=settings.n_calibration_bins)
    if not settings.is_curve_exact:
        return ProbabilityTally(reliability, curve)
    exact = precision_recall_curve(truth, probability)
    return ProbabilityTally(reliability, curve, (exact.auc, exact.average_precision))


def tally_surface(
    truth: NDArray[Any], prediction: NDArray[Any], voxel_size_um: Sequence[float] | None, tolerance_um: float | None
) -> SurfaceTally:
    """Measure the surfaces of one image; without a voxel size, nothing."""
    if voxel_size_um is None:
        return SurfaceTally(n_within=None if tolerance_um is None else 0)
    distances = surface_distances(truth, prediction, voxel_size_um=voxel_size_um)
    n_surface = distances.truth_um.size + distances.prediction_um.size
    return SurfaceTally(
        1,
        n_surface,
        distances.n_within(tolerance_um) if tolerance_um is not None else None,
        n_surface if distances.is_defined else 0,
        float(distances.truth_um.sum() + distances.prediction_um.sum()) if distances.is_defined else 0.0,
        distances.hausdorff_um,
        distances.hd95_um,
    )


def tally_instances(table: OverlapTable, min_ious: Sequence[float]) -> InstanceTally:
    """Match the objects of one image at every threshold that a column needs."""
    matches = []
    for min_iou in sorted({*min_ious, *AP_MIN_IOUS, ABOVE_HALF} - {math.nan}):
        scores = score_overlaps(table, min_iou=min_iou)
        sum_iou = scores.n_matched * scores.mean_matched_iou if scores.n_matched else 0.0
        matches.append(Matches(min_iou, scores.n_matched, sum_iou, scores.mean_matched_iou))
    sum_dice = float(table.dice[best_partners(table)].sum())
    return InstanceTally(len(table.truth_labels), len(table.prediction_labels), tuple(matches), sum_dice)


def score_row(tally: Tally, metrics: Sequence[Metric]) -> Row:
    """The scores of a tally, with ``reason`` saying why cells are NaN.

    Parameters
    ----------
    tally : Tally
    metrics : sequence of Metric
        Those whose counts the tally lacks get no column.
    """
    row: Row = {"n_images": tally.n_images}
    empty: dict[str, list[str]] = {}
    for metric in metrics:
        value = _value(tally, metric)
        if value is None:
            continue
        row[metric.name] = value
        if isinstance(value, float) and math.isnan(value):
            empty.setdefault(_reason(tally, metric), []).append(metric.name)
    row["reason"] = _reason_text(empty)
    return row


def _value(tally: Tally, metric: Metric) -> float | None:
    if metric.needs == "images":
        return tally.images.get(metric.name, math.nan)
    counts = getattr(tally, metric.needs)
    return None if counts is None else metric.function(counts)


def _reason(tally: Tally, metric: Metric) -> str:
    """Why a metric of a tally is NaN."""
    if metric.needs == "images":
        return NOT_POOLED if tally.n_images > 1 else metric.when_empty
    surfaces = tally.surfaces
    if metric.needs == "surfaces" and surfaces is not None:
        if surfaces.n_images == 0:
            return NO_VOXEL_SIZE
        if not metric.is_pooled and tally.n_images > 1:
            return NOT_POOLED
        return BOTH_EMPTY if surfaces.n_surface == 0 else metric.when_empty
    return NOT_POOLED if not metric.is_pooled and tally.n_images > 1 else metric.when_empty


def _reason_text(empty: Mapping[str, Sequence[str]]) -> str:
    """``why: columns; why: columns``."""
    return "; ".join(f"{reason}: {', '.join(names)}" for reason, names in empty.items())


def without_probability(row: Row, metrics: Sequence[Metric]) -> Row:
    """A row with the columns of the probability, all NaN and their reason, for an image that has none."""
    names = [metric.name for metric in metrics if metric.needs == "probabilities"]
    reason = _reason_text({NO_PROBABILITY: names})
    return {**row, **dict.fromkeys(names, math.nan), "reason": "; ".join(filter(None, (row["reason"], reason)))}


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
