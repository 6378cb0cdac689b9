"""Recipes of Fig. 3 to 6: which simulated fields, which model, what is compared, and what the paper says of it.

Every experiment has a class of its own, derived from :class:`FieldsRecipe`; to add one, derive another, give it a value
of ``experiment``, and call its function in ``experiment``.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from tomocyte.papers.recipe import PaperRecipe
from tomocyte.settings import Settings
from tomocyte.volume import VoxelSize

Statement = Literal["same", "lower", "higher"]
Size = Literal["small", "full"]


class Grid(Settings):
    """Size of a simulated field."""

    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    """Voxels z, y, x."""
    voxel_size_um: VoxelSize
    """z, y, x in µm."""


class FieldSet(Settings):
    """Some simulated fields of one kind."""

    dataset: dict[str, Any] = Field(default_factory=dict)
    """Settings of these fields over those of all (see ``tomocyte simulate``)."""
    n_items: PositiveInt = 1
    """How many."""
    seed: int = Field(default=1, ge=0)
    """Of them."""


class FieldsRecipe(PaperRecipe):
    """What the experiments on simulated fields, or on tomograms with masks, share."""

    fields: dict[str, FieldSet] = Field(min_length=1)
    """Name of a case -> fields simulated for it where no data are given."""
    dataset: dict[str, Any] = Field(default_factory=dict)
    """Settings of all simulated fields."""
    size: Size = "small"
    """Which of ``grids`` is simulated."""
    grids: dict[Size, Grid] = Field(min_length=1)
    """Sizes to choose from."""
    labelled: tuple[str, ...] = ("cell",)
    """Structures whose labels are written with the simulated fields."""
    model: str = "auto"
    """Model that segments the fields."""
    modality: str = "sxt"
    """Of the fields."""
    structure: str = "cell"
    """What is compared; of soft X-ray tomograms the whole cell body, which the paper calls cytoplasm."""
    voxel_size_um: VoxelSize | None = None
    """Voxel size z, y, x in µm of files that do not say it."""

    @model_validator(mode="after")
    def _size_is_there(self) -> FieldsRecipe:
        if self.size not in self.grids:
            raise ValueError(f"'grids' has no {self.size!r}")
        return self


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
    says: Literal["accurate", "poor-in-most", "above", "varies", "finds-all"]
    """``accurate``: at least ``value`` in every case; ``poor-in-most``: below ``value`` in more than half of the cases;
    ``above``: above ``other`` on average; ``varies``: settings of its own gain at least ``value`` in some case over
    those of ``other``, the same for all; ``finds-all``: every cell in every case but ``unless``, and not there."""
    words: str
    """The paper's, shortened."""
    value: float = Field(default=math.nan)
    """Dice, or difference of Dice."""
    other: str = ""
    """A second method."""
    unless: str = ""
    """A case."""
    published: str = ""
    """Values that the paper prints."""
