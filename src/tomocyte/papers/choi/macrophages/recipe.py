"""The recipe of Fig. 4: films of each condition, how they are analysed, and what the paper says of them.

To add a kind of claim, add it to :data:`Statement` and decide it in ``claims``.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveInt, field_validator

from tomocyte.papers.recipe import PaperRecipe
from tomocyte.settings import Settings

Statement = Literal["up", "down", "same", "up-then-constant"]


class SimulatedCondition(Settings):
    """Films of one condition."""

    experiment: str
    """Time-lapse experiment of the simulator."""
    n_cells: PositiveInt
    """Per replicate."""
    n_frames: PositiveInt | None = None
    """Time points; those of the recipe where not given."""
    time_step_s: float | None = Field(default=None, gt=0, le=86400)
    """Seconds between them; those of the recipe where not given."""
    field: dict[str, Any] = Field(default_factory=dict)
    """What differs from the recipe's ``field``."""


class Claim(Settings):
    """One sentence of the paper about a quantity under LPS, against the control."""

    structure: str
    """What it is about."""
    quantity: str
    """Column of the table of objects, or a number per cell."""
    says: Statement
    """``up-then-constant``: up within the first hours, and constant afterwards."""
    words: str
    """The paper's, shortened."""


class MacrophagesRecipe(PaperRecipe):
    """Simulated cells of several conditions over time."""

    experiment: Literal["macrophages"]
    """Which experiment."""
    conditions: dict[str, SimulatedCondition] = Field(min_length=2, max_length=8)
    """Name -> films; the first is the control."""
    longer: dict[str, SimulatedCondition] = Field(default_factory=dict, max_length=8)
    """Films that are shown and measured, but not compared."""
    n_replicates: PositiveInt = 3
    """Fields of each condition, one per replicate."""
    n_longer: PositiveInt = 1
    """Fields of each longer film."""
    n_frames: int = Field(default=17, ge=2, le=200)
    """Time points."""
    time_step_s: float = Field(default=1800.0, gt=0, le=86400)
    """Seconds between them."""
    field: dict[str, Any] = Field(default_factory=dict)
    """Settings that all films share, as of a simulated data set (see `tomocyte simulate`)."""
    seed: int = Field(default=1, ge=0)
    """Of all cells."""
    run: dict[str, Any] = Field(default_factory=dict)
    """Settings of the run that analyses the films (see `tomocyte settings odt`)."""
    keep: tuple[str, ...] = ()
    """Flags of cells that are compared nevertheless (see `tomocyte analyse --keep`)."""
    n0: float = Field(default=1.3337, gt=1, lt=2)
    """Index of the medium in the paper's Eq. 1."""
    shown_h: tuple[float, ...] = Field(default=(0.0, 2.0, 4.0, 8.0), min_length=1, max_length=12)
    """Hours at which planes are shown."""
    early_h: float = Field(default=2.0, gt=0)
    """What the paper calls the beginning."""
    same_ri: float = Field(default=0.002, gt=0)
    """Largest difference of an index that counts as none."""
    same_percent: float = Field(default=10.0, gt=0)
    """Largest change of another quantity that counts as none, in percent."""
    claims: tuple[Claim, ...] = Field(min_length=1, max_length=64)
    """What the paper says."""

    @field_validator("conditions", "longer")
    @classmethod
    def _are_names(cls, given: dict[str, SimulatedCondition]) -> dict[str, SimulatedCondition]:
        wrong = [name for name in given if not name.replace("-", "").isalnum()]
        if wrong:
            raise ValueError(f"names of conditions are letters, digits and hyphens, not {wrong[0]!r}")
        return given
