"""What a model card stores: calibration per structure, and the distribution of the training images.

Light, because every card contains it; the functions that use it are in ``voxels``, ``objects`` and
``out_of_distribution``. To learn something more about a structure, add a field with a default.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from tomocyte.settings import Settings


class StructureCalibration(Settings):
    """What was learned on validation images about one output of a model."""

    slope: float = Field(default=1.0, gt=0, le=1000, allow_inf_nan=False)
    """a of sigmoid(a logit(p) + b); 1/a is the temperature."""
    bias: float = Field(default=0.0, ge=-100, le=100, allow_inf_nan=False)
    """b; reverses the shift of all logits that class weights in the loss cause."""
    floor: float = Field(default=0.0, ge=0, le=1)
    """Measured share of true voxels where the network gives 0."""
    ceiling: float = Field(default=1.0, ge=0, le=1)
    """Measured share of true voxels where the network gives 1."""
    volume: tuple[float, float] | None = None
    """Ends of the interval on volume, in uncertainties of the object; empty where too few objects were matched."""
    dry_mass: tuple[float, float] | None = None
    """The same for the dry mass."""
    own: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """Ends of the intervals on an object's own value, by column and estimator (``dry_mass_pg matrix``), learned against
    the exact truth; see :mod:`tomocyte.confidence.own`."""
    n_own: int = Field(default=0, ge=0)
    """How many objects with exact truth they were learned on."""
    n_objects: int = Field(default=0, ge=0)
    """How many matched objects the intervals were learned on."""


class TrainingDistribution(Settings):
    """The distribution of a model's training images."""

    names: tuple[str, ...] = Field(min_length=1, max_length=64)
    """Figures, in order."""
    centre: tuple[float, ...]
    """Their medians over the training images."""
    scale: tuple[float, ...]
    """Their robust standard deviations (1.4826 MAD)."""
    correlation: tuple[tuple[float, ...], ...]
    """Between the scaled figures, shrunk towards none."""
    limit: float = Field(gt=0, allow_inf_nan=False)
    """Distance above which an image is out of distribution."""
    n_images: int = Field(ge=1)
    """How many training images these come from."""

    @model_validator(mode="after")
    def _same_length(self) -> TrainingDistribution:
        n = len(self.names)
        rows = (self.centre, self.scale, *self.correlation)
        if len(self.correlation) != n or any(len(row) != n or not all(map(math.isfinite, row)) for row in rows):
            raise ValueError("centre, scale and correlation need one finite number per figure")
        if min(self.scale) <= 0:
            raise ValueError("scales must be above 0")
        return self


class UncertaintySettings(Settings):
    """How the uncertainty of a trained 3-D model is estimated."""

    method: Literal["auto", "none", "single", "flips", "ensemble"] = "auto"
    """``single``: from the model's own probabilities. ``flips``: mean and spread over all flips of the image, at eight
    times the cost. ``ensemble``: over several models. ``auto``: ``single`` where the model is calibrated."""
    models: tuple[str, ...] = Field(default=(), max_length=15)
    """``ensemble``: further models of the same structures."""
    is_map_written: bool = False
    """Whether each structure's entropy is written beside its mask, voxel by voxel."""

    @model_validator(mode="after")
    def _fits(self) -> UncertaintySettings:
        if (self.method == "ensemble") != bool(self.models):
            raise ValueError("give 'models' with method 'ensemble', and only then")
        if self.method == "none" and self.is_map_written:
            raise ValueError("'is_map_written' needs a method")
        return self
