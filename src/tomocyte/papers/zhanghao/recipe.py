"""Recipes of the figures: which stacks, what is done with them, and what the paper says of it.

To add an experiment, derive a recipe from :class:`CompartmentsRecipe`, give it a value of ``experiment``, and call its
function in ``experiment``. To add a kind of claim, add it to :data:`Statement` and judge it in ``claims``.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, PositiveInt

from tomocyte.papers.acseg.trainings.recipe import NetworkRow
from tomocyte.papers.recipe import PaperRecipe
from tomocyte.papers.simulated_fields import SimulatedFieldsRecipe
from tomocyte.settings import Settings
from tomocyte.structures import CELL, ZHANGHAO_COMPARTMENTS

Statement = Literal["at-least", "all-present", "gains", "hardly", "above"]


class CompartmentClaim(Settings):
    """One sentence of the paper about compartments."""

    says: Statement
    """``at-least``: ``quantity`` is at least ``value`` in every one of the compartments; ``all-present``: each of them
    is there in every stack (or frame); ``gains``, ``hardly``: with a channel, F1 of every compartment in ``case`` is
    higher (its interval above 0), or differs by at most ``value``; ``above``: ``quantity`` of the method ``case`` is
    above that of ``other`` on average."""
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
    case: str = ""
    """A case, or a method."""
    other: str = ""
    """A second method."""


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


class RatioRecipe(CompartmentsRecipe):
    """Fig. S4: networks that learn with and without a channel."""

    experiment: Literal["nile-red-ratio"]
    """Which experiment."""
    channel: str = "ratio"
    """Which channel is left out."""
    network: NetworkRow
    """What is trained."""
    minutes: float = Field(default=10.0, gt=0)
    """Core minutes of one training."""
    n_epochs: PositiveInt = 8
    """Into so many epochs it is divided."""
    n_seeds: int = Field(default=2, ge=1, le=32)
    """Pairs of trainings in each case."""
    held_out_share: float = Field(default=0.34, gt=0, lt=1)
    """Share of the stacks of a case that are scored and not learned from."""


class ForegroundRecipe(PaperRecipe):
    """Fig. S3: a network and thresholds that find what is in focus in images of a stain."""

    experiment: Literal["nile-red-foreground"]
    """Which experiment."""
    network: NetworkRow
    """What is trained."""
    minutes: float = Field(default=4.0, gt=0)
    """Core minutes of its training."""
    n_epochs: PositiveInt = 8
    """Into so many epochs it is divided."""
    n_images: PositiveInt = 40
    """Simulated images to learn from, and as many to score."""
    seeds: tuple[int, int] = (95001, 95101)
    """Of both."""
    held_out_share: float = Field(default=0.5, gt=0, lt=1)
    """Share that is scored of images that are given."""
    thresholds: dict[str, tuple[dict[str, float], ...]] = Field(min_length=1)
    """Method -> its settings to choose from: those of the highest mean Dice on the images that are learned from."""
    claims: tuple[CompartmentClaim, ...] = Field(min_length=1, max_length=16)
    """What the paper says."""
    notes: str = ""
    """What a reader must know, in words."""


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
