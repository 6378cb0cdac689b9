"""The recipe of Fig. 3: which two segmentations are compared, in what, and what the paper says of them."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from tomocyte.papers.recipe import PaperRecipe, RecipeData
from tomocyte.settings import Settings

Statement = Literal["same", "lower", "higher"]


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


class SegmentationsRecipe(PaperRecipe):
    """Two segmentations of the same cells."""

    experiment: Literal["two-segmentations"]
    """Which experiment."""
    data: RecipeData
    """What is simulated where no two segmentations are given."""
    model: str = "auto"
    """Model of the second segmentation of what is simulated."""
    modality: str = "odt"
    """Of what is simulated."""
    structure: str = "cell"
    """What is compared, in folders of runs and simulated data."""
    names: tuple[str, str] = ("truth", "model")
    """What the two are called."""
    voxel_size_um: tuple[float, float, float] | None = None
    """Voxel size z, y, x in µm of files that do not say it."""
    min_iou: float = Field(default=0.5, ge=0, le=1)
    """Smallest overlap (intersection over union) of two objects that are the same cell."""
    margin_percent: float = Field(default=5.0, gt=0, le=100)
    """Largest mean difference that does not matter, in percent of the mean of the first."""
    n_shown: int = Field(default=3, ge=0, le=20)
    """Cells whose differences are drawn: those with the largest difference of volume."""
    claims: tuple[MethodClaim, ...] = Field(min_length=1, max_length=16)
    """What the paper says."""
