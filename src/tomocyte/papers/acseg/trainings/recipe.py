"""Settings that the tables of ACSeg share: volumes, labels, networks and how long they learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from tomocyte.comparison.crossval_recipe import merged
from tomocyte.models.settings import InferenceSettings
from tomocyte.papers.recipe import PaperRecipe
from tomocyte.settings import Settings
from tomocyte.simulation.painting import PaintingSettings
from tomocyte.training.recipe import Recipe, build_recipe, load_recipe

LabelKind = Literal["propagated", "manual", "truth"]
"""Labels that are learned from: propagated from a few painted slices, painted in every slice, or as they are."""


class LabellingSettings(Settings):
    """How labels are made from the true ones, as a laboratory makes them."""

    every: PositiveInt = 20
    """``propagated``: every so many-th slice is painted."""
    painting: PaintingSettings = PaintingSettings()
    """How slices are painted."""
    method: str = "image-guided"
    """``propagated``: a method of `tomocyte propagate`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Of that method."""
    seed: int = Field(default=1, ge=0)
    """Of the painting."""


@dataclass(frozen=True)
class TrainingCost:
    """How long one training is: core minutes, or steps instead where they are given, in so many epochs."""

    minutes: float
    n_steps: int | None
    n_epochs: int


class NetworkRow(Settings):
    """One network of a table: a training recipe and what differs from it."""

    recipe: str
    """Name of a training recipe that ships, or a YAML file."""
    changes: dict[str, Any] = Field(default_factory=dict)
    """What differs from it, e.g. the voxel size at which it works."""
    minutes: float | None = Field(default=None, gt=0)
    """Core minutes of one training; empty: the table's."""
    n_steps: PositiveInt | None = None
    """Steps of one training instead of minutes, so that another machine does the same."""
    n_epochs: PositiveInt | None = None
    """Into so many epochs its steps are divided; empty: the table's."""


class TrainingsRecipe(PaperRecipe):
    """Trainings of equal cost, scored on whole volumes. A class derived from it names its ``networks``."""

    structure: str = "cell"
    """What is scored. ACSeg's "cytoplasm" is the whole cell body."""
    labelling: LabellingSettings = LabellingSettings()
    """How labels are made."""
    minutes: float = Field(default=20.0, gt=0)
    """Core minutes of one training, those of all threads together; the same for every network."""
    n_epochs: PositiveInt = 8
    """Into so many epochs the steps of a training are divided; a network that is validated is so after each."""
    seeds: tuple[int, ...] = Field(default=(1,), min_length=1, max_length=32)
    """Every training is done once with each."""
    order_seed: int = Field(default=1, ge=0)
    """Of the order in which volumes are learned from, and of which are tested where the data do not say it."""
    inference: InferenceSettings = InferenceSettings()
    """How the networks are applied to the test volumes."""

    @model_validator(mode="after")
    def _seeds_differ(self) -> TrainingsRecipe:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("'seeds' names a seed twice")
        return self

    @property
    def rows(self) -> Mapping[str, NetworkRow]:
        """The networks by their names in the tables."""
        rows: Mapping[str, NetworkRow] = self.networks  # type: ignore[attr-defined]
        return rows

    def training(self, network: str, seed: int = 1) -> Recipe:
        """The training recipe of a network, as long as its own file says.

        Raises
        ------
        SettingsError
            ``E-RECIPE``, ``E-SETTINGS``: no such recipe, or a wrong change.
        """
        row = self.rows[network]
        content = merged(load_recipe(row.recipe), row.changes)
        return build_recipe(merged(content, {"loop": {"seed": seed}, "held_out": None, "calibrate": False}))

    def cost_of(self, network: str) -> TrainingCost:
        """How long one training of a network is."""
        row = self.rows[network]
        return TrainingCost(row.minutes or self.minutes, row.n_steps, row.n_epochs or self.n_epochs)

    def structures(self) -> tuple[str, ...]:
        """What is scored and what any of the networks learns, each once."""
        learned = [name for network in self.rows for name in self.training(network).data.structures]
        return tuple(dict.fromkeys((self.structure, *learned)))

    def check_parts(self) -> None:
        """Refuse a network whose recipe is none."""
        for name in self.rows:
            self.training(name)
