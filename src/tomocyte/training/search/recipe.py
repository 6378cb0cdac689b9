"""Recipes of an architecture search: a training's recipe whose network is still to be found.

To add a setting, add a field to :class:`SearchSettings` and use it in ``search``; to add an experiment, add a YAML file
with ``kind: search`` to ``recipes/``.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from tomocyte.networks.scnas.network import ScNasFormSettings
from tomocyte.settings import Settings, build_settings
from tomocyte.training.optimisation import OptimiserSettings
from tomocyte.training.recipe import Recipe

NETWORK = "scnas"
_UNUSED = ("ema_decay", "select", "select_by", "patience", "validate_every")


class SearchSettings(Settings):
    """How the choice among operations and sources is learned."""

    update: Literal["alternating", "joint"] = "alternating"
    """``alternating``: weights on training patches, then the choice on validation patches (first order). ``joint``:
    both on the same training patches, in half the time; the choice then fits the patches that the weights fit."""
    n_warm_up_epochs: int = Field(default=1, ge=0)
    """First epochs in which all operations are drawn equally often and only weights learn, so that operations without
    weights have no head start."""
    optimiser: OptimiserSettings = OptimiserSettings(learning_rate=0.02, betas=(0.5, 0.999))
    """Of the choice; that of the weights is ``loop.optimiser``."""
    n_operations: Literal[1, 2] = 2
    """How many operations an edge runs where the choice learns; where weights learn it is one."""
    first_temperature: float = Field(default=2.0, gt=0, le=100)
    """Of the relaxation after the warm-up; falls geometrically."""
    last_temperature: float = Field(default=0.5, gt=0, le=100)
    """Of the relaxation in the last step."""


class SearchRecipe(Recipe):
    """One search; ``network`` gives the form (width, layers, strides, norm) without a genotype."""

    kind: Literal["search"] = "search"  # type: ignore[assignment]  # a search is no training, but has all of its parts
    """A search."""
    search: SearchSettings = SearchSettings()
    """How the choice is learned."""

    @model_validator(mode="after")
    def _is_a_search(self) -> Self:
        if self.network.name != NETWORK:
            raise ValueError(f"only the network {NETWORK!r} has cells that can be searched, not {self.network.name!r}")
        if "genotype" in self.network.options:
            raise ValueError("network.options.genotype is what a search finds; leave it out")
        if self.data.patch_shape is None:
            raise ValueError("a search needs data.patch_shape")
        if self.search.n_warm_up_epochs >= self.loop.n_epochs:
            raise ValueError("search.n_warm_up_epochs must be below loop.n_epochs")
        defaults = type(self.loop).model_fields
        for name in _UNUSED:
            if getattr(self.loop, name) != defaults[name].default:
                raise ValueError(f"loop.{name} does not apply to a search")
        if self.held_out is not None:
            raise ValueError("a search is not scored; held_out belongs to the training of what it finds")
        return self

    def form(self, n_inputs: int, n_outputs: int) -> ScNasFormSettings:
        """Size, resolutions and normalisation of the network of the search.

        Raises
        ------
        SettingsError
            ``E-SETTINGS``: an option that the network does not have.
        """
        options = {**self.network.options, "n_inputs": n_inputs, "n_outputs": n_outputs}
        return build_settings(ScNasFormSettings, options)
