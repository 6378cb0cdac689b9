"""Calibration of a model's probabilities, fitted on labelled images that were not used for training.

A sigmoid per structure for voxels, conformal intervals for volume and dry mass of objects, and the distribution of the
training images. To learn something else from the images, add it to :class:`Calibration` and :func:`fit_calibration`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tomocyte.confidence.assessment import Examined, assess
from tomocyte.confidence.levels import N_LEVELS, LevelCounts, conformal_ends, fit_platt
from tomocyte.confidence.objects import INTERVAL_LEVEL
from tomocyte.confidence.out_of_distribution import fit_training_distribution
from tomocyte.confidence.settings import StructureCalibration, TrainingDistribution
from tomocyte.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

FEWEST_TRAINING_IMAGES = 20


@dataclass(frozen=True)
class Calibration:
    """Calibration of a model.

    Parameters
    ----------
    structures : mapping of str to StructureCalibration
    distribution : TrainingDistribution, optional
        Of the training images; ``None`` where too few were described.
    """

    structures: Mapping[str, StructureCalibration]
    distribution: TrainingDistribution | None = None


def fit_calibration(
    validation: Callable[[], Iterable[Examined]], training_figures: Sequence[Mapping[str, float]] = ()
) -> Calibration:
    """Fit calibration, intervals, and the distribution of the training images.

    Parameters
    ----------
    validation : callable
        Returns an iterator over the validation images; called twice: first for the voxels, then for the objects.
    training_figures : sequence of mapping
        From :func:`tomocyte.confidence.out_of_distribution.describe_image`, of training images; with fewer than 20 of
        them there is no distribution.

    Returns
    -------
    Calibration
        Sigmoid of a·logit + b per structure, fitted to all validation voxels; b as well as a because class weights
        shift all logits alike.

    Raises
    ------
    InputError
        ``E-NO-DATA``: no validation image with a labelled structure.
    """
    counts: dict[str, LevelCounts] = {}
    validation_figures: list[dict[str, float]] = []
    for image in validation():
        for structure in image.truth:
            own = image.counts(structure)
            counts[structure] = counts[structure] + own if structure in counts else own
        if image.figures is not None:
            validation_figures.append(image.figures)
    if not counts:
        raise InputError(
            "E-NO-DATA", "there is no labelled image to calibrate on.", cure="Give validation images with labels."
        )
    voxels = {name: _fitted(own) for name, own in counts.items()}
    objects = assess(validation(), voxels).objects
    complete = {name: _with_intervals(own, objects[objects["structure"] == name]) for name, own in voxels.items()}
    is_described = len(training_figures) >= FEWEST_TRAINING_IMAGES
    return Calibration(
        complete, fit_training_distribution(training_figures, validation_figures) if is_described else None
    )


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
