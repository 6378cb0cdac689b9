"""Recipes of the figures: which stacks, what is done with them, and what the paper says of it.

To add an experiment, derive a recipe from :class:`CompartmentsRecipe`, give it a value of ``experiment``, and call its
function in ``experiment``. To add a kind of claim, add it to :data:`Statement` and judge it in ``claims``.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field

from tomocyte.papers.simulated_fields import SimulatedFieldsRecipe
from tomocyte.settings import Settings
from tomocyte.structures import CELL, ZHANGHAO_COMPARTMENTS

Statement = Literal["at-least", "all-present"]


class CompartmentClaim(Settings):
    """One sentence of the paper about compartments."""

    says: Statement
    """``at-least``: ``quantity`` is at least ``value`` in every one of the compartments; ``all-present``: each of them is
    there in every stack (or frame)."""
    words: str
    """The paper's, shortened."""
    quantity: str = ""
    """A column of the scores."""
    value: float = Field(default=math.nan)
    """What it is compared with."""
    compartments: tuple[str, ...] = ()
    """Which; empty: all of the recipe's."""
    published: str = ""
    """What the paper prints."""


class CompartmentsRecipe(SimulatedFieldsRecipe):
    """What the experiments share."""

    modality: str = "nile_red"
    """Of the stacks."""
    labelled: tuple[str, ...] = (CELL, *ZHANGHAO_COMPARTMENTS)
    """Structures whose labels are written with the simulated fields."""
    compartments: tuple[str, ...] = ZHANGHAO_COMPARTMENTS
    """What is looked at, in the order of tables."""
    run: dict[str, Any] = Field(default_factory=dict)
    """Settings of the run that finds and measures the compartments (see `tomocyte settings nile_red`)."""
    claims: tuple[CompartmentClaim, ...] = Field(default=(), max_length=32)
    """What the paper says."""
    notes: str = ""
    """What a reader must know, in words."""


class AnatomyRecipe(CompartmentsRecipe):
    """Fig. 1: the two channels as one picture, and the compartments found in them."""

    experiment: Literal["nile-red-anatomy"]
    """Which experiment."""
    panels: dict[str, tuple[str, ...]] = Field(min_length=1, max_length=12)
    """Caption -> compartments of one panel; the first is drawn large."""


class ScoringRecipe(CompartmentsRecipe):
    """Fig. 2: what is found against the truth."""

    experiment: Literal["nile-red-scores"]
    """Which experiment."""
    networks: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Name -> compartments that exclude each other, as of one network of the paper: each gets a confusion matrix."""
    published: dict[str, dict[str, float]] = Field(default_factory=dict)
    """Compartment -> score -> what the paper prints."""


class MitosisRecipe(CompartmentsRecipe):
    """Fig. S5: cells in mitosis, frame by frame."""

    experiment: Literal["nile-red-mitosis"]
    """Which experiment."""
    stages: dict[str, float] = Field(default_factory=dict)
    """Name of a stage -> time in h at which it begins, of simulated films."""
    panels: dict[str, tuple[str, ...]] = Field(min_length=1, max_length=1)
    """Caption -> compartments drawn of every shown frame."""
    n_shown: int = Field(default=6, ge=1, le=24)
    """Frames that are drawn, evenly spaced."""
