"""Recipes of the papers' experiments: what all of them share, and where their data come from.

Each experiment has a class of its own in its paper's folder, with a value of ``experiment`` that names it. To add one,
derive it from :class:`PaperRecipe` and name it in ``reproduce``.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from tomocyte.settings import Settings
from tomocyte.training.recipe import TaggedRecipe

Split = Literal["train", "validation", "test", "shifted-test"]


class RecipeData(Settings):
    """Where an experiment's files come from: the benchmark, or fields simulated for it."""

    benchmark: str | None = Field(default=None, pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")
    """EXPERIMENT/SIZE of the benchmark."""
    splits: tuple[Split, ...] = ("test",)
    """Of the benchmark."""
    dataset: dict[str, Any] | None = None
    """Instead: settings of a simulated data set (see ``tomocyte simulate``)."""
    n_items: PositiveInt = 1
    """Of ``dataset``."""
    seed: int = Field(default=1, ge=0)
    """Of ``dataset``."""

    @model_validator(mode="after")
    def _one_source(self) -> RecipeData:
        if (self.benchmark is None) == (self.dataset is None):
            raise ValueError("give 'benchmark' or 'dataset', one of them")
        return self


class PaperRecipe(TaggedRecipe):
    """One experiment of a paper."""

    kind: Literal["paper"] = "paper"
    """An experiment of a paper."""
    title: str
    """In words; stands above tables and pictures together with "simulated"."""
    paper: str
    """Which part of which paper, with DOI."""
    experiment: str
    """Which experiment; decides the class and the function."""
