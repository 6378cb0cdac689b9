"""How well a calibration holds on labelled images: reliability of voxels, confidence and intervals of objects.

Images come as :class:`Examined`: prediction beside truth; the caller makes them, so that objects are those of a run. To
check something more about objects, add it to :func:`object_rows`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.confidence.levels import LevelCounts, count_levels, coverage
from tomocyte.confidence.objects import change_score, interval, sum_over_objects
from tomocyte.confidence.out_of_distribution import out_of_distribution_distance
from tomocyte.confidence.settings import StructureCalibration, TrainingDistribution
from tomocyte.confidence.voxels import calibrated_levels
from tomocyte.evaluation import ReliabilityCounts, overlap_table
from tomocyte.evaluation.matching import best_partners
from tomocyte.labels.resample import resample_labels
from tomocyte.volume import VoxelSize

if TYPE_CHECKING:
    import pandas as pd

MIN_IOU = 0.5
"""From this IoU on an object counts as matched; intervals are learned and checked on matched objects."""
UNCERTAIN = (0.05, 0.95)
"""Reliability is measured on voxels whose probability, before calibration, lies in this range."""


@dataclass(frozen=True, eq=False)
class Examined:
    """A labelled image and a model's prediction of it.

    Parameters
    ----------
    name : str
    image : ndarray (Z, Y, X), float32
        Physical values.
    voxel_size_um : tuple of 3 float
    medium : float or None
        Value from which dry mass is counted, in the image's unit.
    probability : ndarray (K, z, y, x), uint8
        round(255 p), on the network's grid.
    labels, truth : dict of str to ndarray (Z, Y, X), unsigned integer
        Predicted and true objects of the structures that are outputs of the model and were labelled.
    outputs : dict of str to int
        Which output a structure is.
    figures : dict of str to float, or None
        From :func:`tomocyte.confidence.out_of_distribution.describe_image`.
    """

    name: str
    image: NDArray[np.float32]
    voxel_size_um: VoxelSize
    medium: float | None
    probability: NDArray[np.uint8]
    labels: Mapping[str, NDArray[Any]]
    truth: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, int]
    figures: dict[str, float] | None

    def counts(self, structure: str) -> LevelCounts:
        """How many voxels have each probability, and how many of them lie inside, on the network's grid.

        The truth is read at the nearest voxel.
        """
        probability, truth = self.probability[self.outputs[structure]], self.truth[structure]
        if probability.shape != truth.shape:
            truth = resample_labels(truth, probability.shape)
        return count_levels(truth > 0, probability)


@dataclass(frozen=True)
class Assessment:
    """How well a calibration holds on some images.

    Parameters
    ----------
    before, after : dict of str to ReliabilityCounts
        Per structure, of the network's own probabilities and of the calibrated ones, where the former lie between
        0.05 and 0.95.
    objects : DataFrame
        One row per predicted object: ``item``, ``structure``, ``label``, ``iou`` (with its true partner; 0 without),
        ``confidence``, and, for matched ones, ``volume_ratio`` and ``dry_mass_ratio`` (true over predicted) with
        the ends of their intervals, ``…_low`` and ``…_high``.
    distances : dict of str to float
        Per image, its distance from the training images over the limit; NaN where unknown.
    """

    before: dict[str, ReliabilityCounts]
    after: dict[str, ReliabilityCounts]
    objects: pd.DataFrame
    distances: dict[str, float] = field(default_factory=dict)

    def figures(self) -> dict[str, dict[str, float]]:
        """Figures per structure.

        ``ece_before``, ``ece_after``, ``brier_before``, ``brier_after``: of voxels that the network itself gives 0.05
        to 0.95 (nearly all others are easy background). ``n_objects``, ``n_matched``. ``confidence_rank_correlation``:
        Spearman's, with the IoU; ``confidence_auc``: of separating matched objects from others. ``volume_coverage``,
        ``dry_mass_coverage``: of the 90 % intervals; ``volume_width``: median of upper over lower end, minus 1.
        """
        result = {}
        for structure, before in self.before.items():
            rows = self.objects[self.objects["structure"] == structure]
            after = self.after[structure]
            matched = rows[rows["iou"] >= MIN_IOU]
            result[structure] = {
                "ece_before": before.ece,
                "ece_after": after.ece,
                "brier_before": before.brier,
                "brier_after": after.brier,
                "n_objects": float(len(rows)),
                "n_matched": float(len(matched)),
                "confidence_rank_correlation": rank_correlation(rows["confidence"], rows["iou"]),
                "confidence_auc": auc(rows["confidence"], rows["iou"] >= MIN_IOU),
                **{f"{name}_coverage": _coverage(matched, name) for name in ("volume", "dry_mass")},
                "volume_width": float((matched["volume_high"] / matched["volume_low"]).median() - 1),
            }
        return result


def assess(
    images: Iterable[Examined],
    calibration: Mapping[str, StructureCalibration],
    distribution: TrainingDistribution | None = None,
) -> Assessment:
    """Check a calibration on labelled images.

    Parameters
    ----------
    images : iterable of Examined
        Not those that it was fitted to, for a fair result.
    calibration : mapping of str to StructureCalibration
        Structures without one keep the network's own probabilities.
    distribution : TrainingDistribution, optional
        Of the training images.
    """
    import pandas as pd

    before: dict[str, ReliabilityCounts] = {}
    after: dict[str, ReliabilityCounts] = {}
    distances: dict[str, float] = {}
    tables = []
    for image in images:
        for structure in image.truth:
            own = calibration.get(structure)
            counts = image.counts(structure).between(*UNCERTAIN)
            for total, levels in ((before, calibrated_levels(None)), (after, calibrated_levels(own))):
                reliability = counts.reliability(levels)
                total[structure] = total[structure] + reliability if structure in total else reliability
            tables.append(object_rows(image, structure, own))
        distances[image.name] = math.nan
        if image.figures is not None and distribution is not None:
            distances[image.name] = out_of_distribution_distance(image.figures, distribution) / distribution.limit
    objects = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"structure": [], "iou": []})
    return Assessment(before, after, objects, distances)


def object_rows(examined: Examined, structure: str, calibration: StructureCalibration | None) -> pd.DataFrame:
    """Objects of one structure in one image, with their true partners; columns as in :class:`Assessment`, and the
    scores that intervals are learned from.
    """
    import pandas as pd

    predicted, truth = examined.labels[structure], examined.truth[structure]
    sums = sum_over_objects(
        predicted,
        examined.probability[examined.outputs[structure]],
        calibrated_levels(calibration),
        examined.voxel_size_um,
        image=examined.image,
        medium=examined.medium,
    )
    partner, iou, volume, mass = _partners(examined, truth, predicted, sums.label)
    rows: dict[str, Any] = {
        "item": examined.name,
        "structure": structure,
        "label": sums.label,
        "true_label": partner,
        "iou": iou,
        "confidence": sums.confidence,
    }
    ends = (None, None) if calibration is None else (calibration.volume, calibration.dry_mass)
    changes = (sums.volume_change(), sums.mass_change())
    for name, ratio, change, ends_of in zip(("volume", "dry_mass"), (volume, mass), changes, ends, strict=True):
        low, high = interval(np.ones(len(ratio)), change, ends_of)
        rows |= {f"{name}_ratio": ratio, f"{name}_low": low, f"{name}_high": high}
        rows[f"{name}_score"] = change_score(ratio, change)
    return pd.DataFrame(rows)


def _partners(
    examined: Examined, truth: NDArray[Any], predicted: NDArray[Any], labels: NDArray[np.int64]
) -> tuple[Any, ...]:
    """For each predicted object: true partner (0: none), IoU, true over predicted volume, and the same of dry mass."""
    table = overlap_table(truth, predicted)
    partner = np.zeros(len(labels), dtype=np.int64)
    iou = np.zeros(len(labels))
    volume, mass = np.full((2, len(labels)), np.nan)
    weights = [_mass_of(examined, numbered) for numbered in (truth, predicted)]
    for pair in best_partners(table):
        at, row = int(table.truth_index[pair]), int(table.prediction_index[pair])
        true_label, label = int(table.truth_labels[at]), int(labels[row])
        partner[row], iou[row] = true_label, table.iou[pair]
        if iou[row] < MIN_IOU:
            continue
        volume[row] = table.truth_sizes[at] / table.prediction_sizes[row]
        true_mass, its_mass = weights[0][true_label], weights[1][label]
        mass[row] = true_mass / its_mass if min(true_mass, its_mass) > 0 else math.nan
    return partner, iou, volume, mass


def _mass_of(examined: Examined, labels: NDArray[Any]) -> NDArray[np.float64]:
    """Sum of each label's values above the medium, up to a factor; NaN without a medium."""
    n = int(labels.max(initial=0)) + 1
    if examined.medium is None:
        return np.full(n, np.nan)
    held = np.nan_to_num(examined.image.astype(np.float64) - examined.medium, posinf=0.0, neginf=0.0)
    return np.asarray(np.bincount(labels.ravel(), weights=held.ravel(), minlength=n), dtype=np.float64)


def rank_correlation(first: Any, second: Any) -> float:
    """Spearman's; NaN where one of them does not vary."""
    from scipy import stats

    if len(first) < 3 or len(set(first)) < 2 or len(set(second)) < 2:
        return math.nan
    return float(stats.spearmanr(first, second).statistic)


def auc(score: Any, is_positive: Any) -> float:
    """How often a positive has a higher score than a negative; NaN where there is only one kind.

    References
    ----------
    Hanley & McNeil, Radiology 143, 29 (1982), doi:10.1148/radiology.143.1.7063747.
    """
    from scipy import stats

    score, positive = np.asarray(score, dtype=np.float64), np.asarray(is_positive, dtype=bool)
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if min(n_positive, n_negative) == 0:
        return math.nan
    return float(
        (stats.rankdata(score)[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)
    )


def _coverage(rows: pd.DataFrame, name: str) -> float:
    return coverage(*(rows[f"{name}_{end}"].to_numpy(np.float64) for end in ("ratio", "low", "high")))
