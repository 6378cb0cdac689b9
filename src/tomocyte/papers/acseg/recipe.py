"""Recipes of Fig. 3 to 6: which simulated fields, which model, what is compared, and what the paper says of it.

Every experiment has a class of its own, derived from :class:`FieldsRecipe`; to add one, derive another, give it a value
of ``experiment``, and call its function in ``experiment``.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, PositiveInt

from tomocyte.papers.simulated_fields import SimulatedFieldsRecipe
from tomocyte.settings import Settings

Statement = Literal["same", "lower", "higher"]


class FieldsRecipe(SimulatedFieldsRecipe):
    """What the experiments on simulated fields, or on tomograms with masks, share."""

    modality: str = "sxt"
    """Of the fields."""
    structure: str = "cell"
    """What is compared; of soft X-ray tomograms the whole cell body, which the paper calls cytoplasm."""


class MethodClaim(Settings):
    """One sentence of the paper about a quantity of the second segmentation, against the first."""

    quantity: str
    """A measurement of objects."""
    says: Statement
    """What the second is."""
    words: str
    """The paper's, shortened."""
    p_published: float = Field(default=math.nan)
    """The paper's p value of its t test, where it prints one."""


class SegmentationsRecipe(FieldsRecipe):
    """Two segmentations of the same cells."""

    experiment: Literal["two-segmentations"]
    """Which experiment."""
    names: tuple[str, str] = ("truth", "model")
    """What the two are called."""
    min_iou: float = Field(default=0.5, ge=0, le=1)
    """Smallest overlap (intersection over union) of two objects that are the same cell."""
    margin_percent: float = Field(default=5.0, gt=0, le=100)
    """Largest mean difference that does not matter, in percent of the mean of the first."""
    n_shown: int = Field(default=3, ge=0, le=20)
    """Cells whose differences are drawn: those with the lowest Dice."""
    tolerance_voxels: float = Field(default=1.5, ge=0, le=20)
    """What lies further than this many voxels from the other segmentation is drawn as missing or added."""
    claims: tuple[MethodClaim, ...] = Field(min_length=1, max_length=16)
    """What the paper says."""


class ScoreClaim(Settings):
    """One sentence of the paper about Dice scores of a method in the cases."""

    method: str
    """Whose scores; ``model`` is the model that is compared."""
    says: Literal["accurate", "poor-in-most", "above", "varies", "finds-all", "case-above", "nearer"]
    """``accurate``: at least ``value`` in every case; ``poor-in-most``: below ``value`` in more than half of the cases;
    ``above``: above ``other`` on average; ``varies``: settings of its own gain at least ``value`` in some case over
    those of ``other``, the same for all; ``finds-all``: every cell in every case but ``unless``, and not there;
    ``case-above``: higher in ``case`` than in ``other``; ``nearer``: in ``quantity``, ``case`` is nearer to ``other``
    than to ``unless``."""
    words: str
    """The paper's, shortened."""
    value: float = Field(default=math.nan)
    """Dice, or difference of Dice."""
    other: str = ""
    """A second method, or a second case."""
    unless: str = ""
    """A case."""
    case: str = ""
    """A case."""
    quantity: str = ""
    """A column of the scores."""
    published: str = ""
    """Values that the paper prints."""


class ScoresRecipe(FieldsRecipe):
    """Methods compared by Dice in the cases."""

    claims: tuple[ScoreClaim, ...] = Field(min_length=1, max_length=16)
    """What the paper says."""
    published: str = ""
    """Values that the paper prints, in words."""


class ThresholdSettings(Settings):
    """Which thresholds and which processing are tried."""

    smoothings_um: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3)
    """Gaussian sigma before the threshold, in µm."""
    blocks_um: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 12.0)
    """Side of the neighbourhood whose weighted mean is the adaptive threshold, in µm."""
    offsets_sd: tuple[float, ...] = (-0.25, 0.0, 0.25, 0.5)
    """What is added to that mean, in standard deviations of the image."""
    n_classes: tuple[int, ...] = (3, 4, 5)
    """Classes of multi-Otsu's thresholds; which of them are cells is chosen, too."""
    openings_um: tuple[float, ...] = (0.0, 0.2, 0.4)
    """Radius of an opening of the mask, in µm."""
    min_volumes_um3: tuple[float, ...] = (0.0, 20.0)
    """Smaller parts are dropped, in µm³."""
    tuning_voxels: PositiveInt = 800_000
    """Settings are chosen on every so many-th voxel, about so many of a field; then all voxels count."""


class ThresholdingRecipe(ScoresRecipe):
    """Thresholds against a model in difficult cases."""

    experiment: Literal["thresholding"]
    """Which experiment."""
    thresholds: ThresholdSettings = ThresholdSettings()
    """What is tried."""


Role = Literal["image", "points", "labels", "boxes", "mask", "has_mask", "size", "masks", "scores"]
Prompts = Literal["points", "boxes", "auto"]


class PromptableSettings(Settings):
    """A promptable 2-D segmentation model of the user's, in ONNX."""

    encoder: str = ""
    """File of the image encoder; empty where one file does all."""
    decoder: str = ""
    """File of the prompt decoder, or of the whole model; empty: the model is left out of the comparison."""
    roles: dict[str, Role] = Field(default_factory=dict)
    """What the tensors of the files are, by name. Inputs: image, points, labels, boxes, mask, has_mask, size; outputs:
    masks, scores. What else the decoder asks for is taken from the encoder's outputs of the same name."""
    side: PositiveInt | None = None
    """Longest side of the image in pixels; empty: the file's own, or the plane's where the file leaves it free."""
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    """Subtracted from grey values of 0 to 255 in each of three channels."""
    sd: tuple[float, float, float] = (58.395, 57.12, 57.375)
    """What they are divided by then."""
    is_padded: bool = True
    """Whether a point that counts for nothing (label -1) is added where no box is given, as SAM expects."""
    threshold: float = 0.0
    """A pixel belongs to a mask above this value of the output."""
    grid: int = Field(default=8, ge=1, le=64)
    """Points along each side, for ``auto``."""
    min_score: float = 0.5
    """Masks that the model itself scores lower are dropped, for ``auto``."""
    max_share: float = Field(default=0.6, gt=0, le=1)
    """Masks that fill more of the plane are background, for ``auto``."""
    max_iou: float = Field(default=0.7, gt=0, le=1)
    """Of masks that overlap more (intersection over union), the best stays, for ``auto``."""


class PromptableRecipe(ScoresRecipe):
    """A promptable 2-D model against the model that is compared, plane by plane."""

    experiment: Literal["promptable"]
    """Which experiment."""
    promptable: PromptableSettings = PromptableSettings()
    """The promptable model."""
    prompts: tuple[Prompts, ...] = ("points", "boxes", "auto")
    """``points``: the deepest pixel of every true cell; ``boxes``: a box around it; ``auto``: a grid of points, of
    whose masks each true cell gets the one that overlaps it most."""
    slices: Literal["central", "all"] = "central"
    """The middle z plane of every tomogram, as in the paper, or all planes with cells."""


class CellTypesRecipe(ScoresRecipe):
    """One model over several cell types."""

    experiment: Literal["cell-types"]
    """Which experiment."""
    thin_um: float = Field(default=0.25, gt=0, le=2)
    """Protrusions are what a ball of this radius in µm does not reach inside the cells …"""
    min_length_um: float = Field(default=0.3, gt=0, le=20)
    """… and that reaches at least this far from the rest in µm."""
