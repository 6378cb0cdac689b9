"""What a model's probabilities are worth, learned on labelled images that it never saw, and written onto its card.

Images come as :class:`Examined`: what the model found beside what is true; who makes them (the pipeline) is the
caller's choice, so that objects are those of a run. To learn something else from them, add it to :func:`fit_card`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.confidence.levels import (
    N_LEVELS,
    LevelCounts,
    conformal_ends,
    count_levels,
    coverage,
    fit_platt,
)
from tomocyte.confidence.objects import INTERVAL_LEVEL, change_score, interval, sum_over_objects
from tomocyte.confidence.settings import StructureCalibration
from tomocyte.confidence.typical_images import domain_distance, fit_domain
from tomocyte.confidence.voxels import calibrated_levels
from tomocyte.errors import InputError
from tomocyte.evaluation import ReliabilityCounts, overlap_table
from tomocyte.evaluation.matching import best_partners
from tomocyte.models import ModelCard
from tomocyte.volume import VoxelSize

if TYPE_CHECKING:
    import pandas as pd

Levels = NDArray[np.float32]
MIN_IOU = 0.5
"""From this IoU on an object counts as matched; intervals are learned and checked on matched objects."""
DOUBTFUL = (0.05, 0.95)


@dataclass(frozen=True, eq=False)
class Examined:
    """A labelled image and what a model makes of it.

    Parameters
    ----------
    name : str
    image : ndarray (Z, Y, X), float32
        Physical values.
    voxel_size_um : tuple of 3 float
    medium : float or None
        What the dry mass counts from, in the image's unit.
    probability : ndarray (K, z, y, x), uint8
        round(255 p), on the network's grid.
    labels, truth : dict of str to ndarray (Z, Y, X), unsigned integer
        Objects found, and true objects, of the structures that are outputs of the model and were labelled.
    outputs : dict of str to int
        Which output a structure is.
    figures : dict of str to float, or None
        From :func:`tomocyte.confidence.typical_images.describe_domain`.
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


@dataclass(frozen=True)
class Assessment:
    """How far a card's calibration holds on some images.

    Parameters
    ----------
    before, after : dict of str to ReliabilityCounts
        Per structure, of the network's own probabilities and of the calibrated ones, where the network says 0.05 to
        0.95.
    objects : DataFrame
        One row per object found: ``item``, ``structure``, ``label``, ``iou`` (with its true partner; 0 without),
        ``confidence``, and, for matched ones, ``volume_ratio`` and ``dry_mass_ratio`` (true over found) with
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
        Spearman's, with the IoU; ``confidence_auc``: of telling matched objects from others. ``volume_coverage``,
        ``dry_mass_coverage``: of the 90 % intervals; ``volume_width``: median of upper over lower end, minus 1.
        """
        found = {}
        for structure, before in self.before.items():
            rows = self.objects[self.objects["structure"] == structure]
            after = self.after[structure]
            matched = rows[rows["iou"] >= MIN_IOU]
            found[structure] = {
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
        return found


def fit_card(
    card: ModelCard,
    validation: Callable[[], Iterable[Examined]],
    training_figures: Sequence[Mapping[str, float]] = (),
) -> ModelCard:
    """A card with calibration, intervals, and the look of the training images.

    Parameters
    ----------
    card : ModelCard
    validation : callable
        Gives the validation images one by one, twice: first for the voxels, then for the objects.
    training_figures : sequence of mapping
        From :func:`tomocyte.confidence.typical_images.describe_domain`, of training images; with fewer than 20 of them
        the
        card gets no word on its domain.

    Returns
    -------
    ModelCard
        Sigmoid of a·logit + b per structure, fitted to all validation voxels; b as well as a because class weights
        shift all logits alike. Weights and thresholds, and so the masks, stay as they are.

    Raises
    ------
    InputError
        ``E-NO-DATA``: no validation image with a labelled structure.
    """
    counts: dict[str, LevelCounts] = {}
    seen: list[dict[str, float]] = []
    for one in validation():
        for structure in one.truth:
            counted = count_levels(*_side_by_side(one, structure))
            counts[structure] = counts[structure] + counted if structure in counts else counted
        if one.figures is not None:
            seen.append(one.figures)
    if not counts:
        raise InputError("E-NO-DATA", "no labelled image to calibrate on.", cure="Give validation images with labels.")
    voxels = {card.structures[_output_of(card, name)]: _fitted(one) for name, one in counts.items()}
    card = card.model_copy(update={"calibration": voxels})
    rows = assess(card, validation()).objects
    complete = {
        name: _with_intervals(calibration, rows[rows["structure"] == name]) for name, calibration in voxels.items()
    }
    enough = len(training_figures) >= 20
    domain = fit_domain(training_figures, seen) if enough else card.domain
    return card.model_copy(update={"calibration": complete, "domain": domain})


def assess(card: ModelCard, images: Iterable[Examined]) -> Assessment:
    """Check a card's calibration on labelled images.

    Parameters
    ----------
    card : ModelCard
        Calibrated.
    images : iterable of Examined
        Other ones than it was calibrated on, to be believed.
    """
    import pandas as pd

    before: dict[str, ReliabilityCounts] = {}
    after: dict[str, ReliabilityCounts] = {}
    distances: dict[str, float] = {}
    parts = []
    for one in images:
        for structure in one.truth:
            calibration = card.calibration.get(structure)
            levels = calibrated_levels(calibration)
            counts = count_levels(*_side_by_side(one, structure)).between(*DOUBTFUL)
            for total, said in ((before, calibrated_levels(None)), (after, levels)):
                now = counts.reliability(said)
                total[structure] = total[structure] + now if structure in total else now
            parts.append(object_rows(one, structure, calibration))
        if one.figures is not None and card.domain is not None:
            distances[one.name] = domain_distance(one.figures, card.domain) / card.domain.limit
        else:
            distances[one.name] = math.nan
    objects = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"structure": [], "iou": []})
    return Assessment(before, after, objects, distances)


def object_rows(one: Examined, structure: str, calibration: StructureCalibration | None) -> pd.DataFrame:
    """Objects of one structure in one image, with their true partners; columns as in :class:`Assessment`, and the
    scores that intervals are learned from.
    """
    import pandas as pd

    found, truth = one.labels[structure], one.truth[structure]
    sums = sum_over_objects(
        found,
        one.probability[one.outputs[structure]],
        calibrated_levels(calibration),
        one.voxel_size_um,
        image=one.image,
        medium=one.medium,
    )
    partner, iou, volume, mass = _partners(one, truth, found, sums.label)
    rows: dict[str, Any] = {
        "item": one.name,
        "structure": structure,
        "label": sums.label,
        "true_label": partner,
        "iou": iou,
        "confidence": sums.confidence,
    }
    ends = (None, None) if calibration is None else (calibration.volume, calibration.dry_mass)
    changes = (sums.volume_change(), sums.mass_change())
    for name, ratio, change, between in zip(("volume", "dry_mass"), (volume, mass), changes, ends, strict=True):
        low, high = interval(np.ones(len(ratio)), change, between)
        rows |= {f"{name}_ratio": ratio, f"{name}_low": low, f"{name}_high": high}
        rows[f"{name}_score"] = change_score(ratio, change)
    return pd.DataFrame(rows)


def _partners(one: Examined, truth: NDArray[Any], found: NDArray[Any], labels: NDArray[np.int64]) -> tuple[Any, ...]:
    """For each object found: its true partner (0: none), IoU, true over found volume, and the same of the dry mass."""
    table = overlap_table(truth, found)
    partner = np.zeros(len(labels), dtype=np.int64)
    iou = np.zeros(len(labels))
    volume, mass = np.full((2, len(labels)), np.nan)
    weights = [_mass_of(one, numbered) for numbered in (truth, found)]
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


def _mass_of(one: Examined, labels: NDArray[Any]) -> NDArray[np.float64]:
    """What each label holds above the medium, up to a factor; NaN without a medium."""
    n = int(labels.max(initial=0)) + 1
    if one.medium is None:
        return np.full(n, np.nan)
    held = np.nan_to_num(one.image.astype(np.float64) - one.medium, posinf=0.0, neginf=0.0)
    return np.asarray(np.bincount(labels.ravel(), weights=held.ravel(), minlength=n), dtype=np.float64)


def _side_by_side(one: Examined, structure: str) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Truth and probability on the network's grid; the truth is read at the nearest voxel."""
    said, truth = one.probability[one.outputs[structure]], one.truth[structure]
    at = [((np.arange(n) + 0.5) * m / n).astype(np.int64) for n, m in zip(said.shape, truth.shape, strict=True)]
    same = said.shape == truth.shape
    return (truth if same else truth[np.ix_(*at)]) > 0, said


def _output_of(card: ModelCard, structure: str) -> int:
    return card.structures.index(structure)


def _fitted(counts: LevelCounts) -> StructureCalibration:
    slope, bias = fit_platt(counts)
    floor, ceiling = counts.share_inside(0), counts.share_inside(N_LEVELS - 1)
    return StructureCalibration(
        slope=slope,
        bias=bias,
        floor=floor if math.isfinite(floor) else 0.0,
        ceiling=ceiling if math.isfinite(ceiling) else 1.0,
    )


def _with_intervals(calibration: StructureCalibration, rows: pd.DataFrame) -> StructureCalibration:
    update = {
        "volume": conformal_ends(rows["volume_score"].to_numpy(), level=INTERVAL_LEVEL),
        "dry_mass": conformal_ends(rows["dry_mass_score"].to_numpy(), level=INTERVAL_LEVEL),
        "n_objects": int(np.isfinite(rows["volume_score"]).sum()),
    }
    return calibration.model_copy(update=update)


def rank_correlation(first: Any, second: Any) -> float:
    """Spearman's; NaN where one of them does not vary."""
    from scipy import stats

    if len(first) < 3 or len(set(first)) < 2 or len(set(second)) < 2:
        return math.nan
    return float(stats.spearmanr(first, second).statistic)


def auc(score: Any, is_good: Any) -> float:
    """How often a good object has a higher score than a bad one; NaN where there is only one kind."""
    from scipy import stats

    score, good = np.asarray(score, dtype=np.float64), np.asarray(is_good, dtype=bool)
    n_good, n_bad = int(good.sum()), int((~good).sum())
    if min(n_good, n_bad) == 0:
        return math.nan
    return float((stats.rankdata(score)[good].sum() - n_good * (n_good + 1) / 2) / (n_good * n_bad))


def _coverage(rows: pd.DataFrame, name: str) -> float:
    return coverage(*(rows[f"{name}_{part}"].to_numpy(np.float64) for part in ("ratio", "low", "high")))
