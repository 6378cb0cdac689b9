"""The recipe of Table 2: cell types, training sets made of them, networks, and what the paper says."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from tomocyte.models.settings import InferenceSettings
from tomocyte.papers.acseg.trainings.claims import TableClaim
from tomocyte.papers.acseg.trainings.recipe import LabelKind, NetworkRow, TrainingCost, TrainingsRecipe
from tomocyte.settings import Settings


class CellType(Settings):
    """Volumes of one cell type."""

    dataset: dict[str, Any]
    """Settings of the simulated data set where none are given (see ``tomocyte simulate``)."""
    n_train: int = Field(default=0, ge=0)
    """Volumes to learn from at most."""
    n_test: int = Field(default=0, ge=0)
    """Volumes to test; 0: none."""
    seed: int = Field(default=1, ge=0)
    """Of the simulated volumes to learn from; those to test have the next one."""


class TransferNetwork(NetworkRow):
    """One network of Table 2."""

    training_sets: tuple[str, ...] = ()
    """What it learns from; empty: each of the table's that contains the first one."""
    tests: tuple[str, ...] = ()
    """Cell types on which it is tested; empty: all that are tested."""
    axes: tuple[Literal["z", "y", "x"], ...] = ("z",)
    """2-D networks: what the sections that it learns from are perpendicular to."""
    inference: InferenceSettings | None = None
    """How it is applied; empty: as the table says."""
    continues: bool = True
    """Whether it takes part in ``continues`` of the table."""


class Continued(Settings):
    """Trainings that begin with the weights of another one instead of anew."""

    training_set: str
    """Whose weights they begin with."""
    minutes: float | None = Field(default=None, gt=0)
    """Core minutes of each; empty: a quarter of those of a training from the beginning."""
    n_steps: PositiveInt | None = None
    """Steps of each, instead of minutes."""
    changes: dict[str, Any] = Field(default_factory=dict)
    """What differs from the network's recipe, e.g. the learning rate."""


class TransferRecipe(TrainingsRecipe):
    """Training sets of several cell types, each tested on several."""

    experiment: Literal["transfer"]
    """Which experiment."""
    networks: dict[str, TransferNetwork] = Field(min_length=1, max_length=8)
    """Name in the tables -> which network."""
    cell_types: dict[str, CellType] = Field(min_length=1, max_length=16)
    """Cell type -> its volumes."""
    training_sets: dict[str, dict[str, PositiveInt]] = Field(min_length=1, max_length=32)
    """Name of a set -> cell type -> how many of its volumes are learned from; the first is what others are compared
    with."""
    labels: LabelKind = "propagated"
    """Labels that are learned from; tested is always against those of the data."""
    continues: Continued | None = None
    """Training sets that contain another one begin with the weights that it gave; empty: all from the beginning, as in
    the paper."""
    published: str | None = None
    """YAML file of what the paper prints, of those that ship; its table ``table-2`` has the rows ``SET/CELL TYPE``."""
    claims: tuple[TableClaim, ...] = ()
    """What the paper says; rows are ``SET/CELL TYPE``, or ``SET/all`` over the cell types that were added anywhere."""

    @model_validator(mode="after")
    def _names_are_known(self) -> TransferRecipe:
        sets = {name for row in self.networks.values() for name in row.training_sets}
        if self.continues is not None:
            sets.add(self.continues.training_set)
        types = {name for parts in self.training_sets.values() for name in parts}
        types |= {name for row in self.networks.values() for name in row.tests}
        if sets - set(self.training_sets) or types - set(self.cell_types):
            unknown = sorted((sets - set(self.training_sets)) | (types - set(self.cell_types)))
            raise ValueError(f"no such training set or cell type: {', '.join(unknown)}")
        return self

    @property
    def added(self) -> tuple[str, ...]:
        """Cell types that some training set has and the first has not, and that are tested."""
        first = next(iter(self.training_sets.values()))
        names = [name for parts in self.training_sets.values() for name in parts if name not in first]
        return tuple(name for name in dict.fromkeys(names) if self.cell_types[name].n_test)

    def sets_of(self, network: str) -> list[str]:
        """Training sets of a network; what others continue comes first."""
        base = next(iter(self.training_sets.values()))
        common = [name for name, parts in self.training_sets.items() if set(base) <= set(parts)]
        names = list(self.networks[network].training_sets or common)
        first = self.continues.training_set if self.continues is not None else ""
        return sorted(names, key=lambda name: name != first)

    def tests_of(self, network: str) -> list[str]:
        """Cell types on which a network is tested."""
        return list(self.networks[network].tests or [name for name, one in self.cell_types.items() if one.n_test])

    def is_continued(self, network: str, training_set: str) -> bool:
        """Whether a training begins with the weights of another one."""
        if self.continues is None or not self.networks[network].continues:
            return False
        base = self.training_sets[self.continues.training_set]
        own = self.training_sets[training_set]
        return own != base and all(own.get(name, 0) >= n for name, n in base.items())

    def cost_of_continued(self, network: str) -> TrainingCost:
        """How long one training is that begins with the weights of another one."""
        whole, part = self.cost_of(network), self.continues
        if part is None:
            return whole
        return TrainingCost(part.minutes or whole.minutes / 4, part.n_steps, whole.n_epochs)
