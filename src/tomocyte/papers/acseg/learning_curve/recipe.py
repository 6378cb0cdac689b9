"""The recipe of Table 1: how many volumes are learned from, with which labels, and what the paper says of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from tomocyte.papers.acseg.trainings.claims import TableClaim
from tomocyte.papers.acseg.trainings.recipe import LabelKind, NetworkRow, TrainingsRecipe
from tomocyte.papers.recipe import RecipeData
from tomocyte.settings import Settings


class CurveNetwork(NetworkRow):
    """One network of Table 1."""

    sizes: tuple[PositiveInt, ...] = ()
    """Numbers of training volumes; empty: all of the table's."""
    labels: tuple[LabelKind, ...] = ()
    """Kinds of labels; empty: all of the table's."""


class NeededClaim(Settings):
    """How many volumes a score takes, as the paper extrapolates it."""

    words: str
    """In words, shortened."""
    labels: LabelKind
    """Of which labels."""
    goal: float = Field(gt=0, lt=1)
    """The score."""
    published: float = Field(gt=0)
    """The paper's number."""


class LearningCurveRecipe(TrainingsRecipe):
    """Trainings on more and more volumes."""

    experiment: Literal["learning-curve"]
    """Which experiment."""
    networks: dict[str, CurveNetwork] = Field(min_length=1, max_length=8)
    """Name in the tables -> which network."""
    data: RecipeData
    """What is simulated where no volumes are given."""
    n_test: PositiveInt = 10
    """Volumes that are tested, where the data do not say which."""
    sizes: tuple[PositiveInt, ...] = Field(default=(5, 10, 20, 30, 43), min_length=1, max_length=32)
    """Numbers of training volumes; the smaller ones are part of the larger."""
    labels: tuple[LabelKind, ...] = Field(default=("propagated", "manual"), min_length=1, max_length=3)
    """Kinds of labels that are learned from; tested is always against those of the data."""
    published: str | None = None
    """YAML file of what the paper prints, of those that ship; its table ``table-1`` has the rows ``LABELS/SIZE``."""
    claims: tuple[TableClaim, ...] = ()
    """What the paper says; rows are ``LABELS/SIZE``."""
    needed: tuple[NeededClaim, ...] = ()
    """How many volumes the paper says that a score takes."""

    @model_validator(mode="after")
    def _are_ordered(self) -> LearningCurveRecipe:
        if list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError("'sizes' must rise")
        return self

    def trainings_of(self, network: str) -> list[tuple[LabelKind, int]]:
        """Labels and sizes of a network's trainings, in the order in which they are done."""
        row = self.networks[network]
        kinds = [kind for kind in self.labels if not row.labels or kind in row.labels]
        return [(kind, size) for kind in kinds for size in self.sizes if not row.sizes or size in row.sizes]
