"""The recipes of the eleven networks belong to the cascade that ships."""

from __future__ import annotations

import torch

from tomocyte.models.cascade import Cascade
from tomocyte.networks import build_network, count_parameters
from tomocyte.structures import ZHANGHAO_COMPARTMENTS
from tomocyte.training.data.targets import output_names
from tomocyte.training.loop import build_module
from tomocyte.training.recipe import Recipe, build_recipe, load_recipe


def recipe_of(name: str, *changes: str) -> Recipe:
    return build_recipe(load_recipe(name, list(changes)))


def test_eleven_recipes_find_each_compartment_once() -> None:
    cascade = Cascade.model_validate(load_recipe("nile-red-eleven"))
    found: list[str] = []
    n_recipes = 0
    for step in cascade.steps:
        if step.model == "fg-net":
            continue
        recipe, n_recipes = recipe_of(step.model), n_recipes + 1
        assert len(recipe.data.channels) == len(step.inputs)
        assert {entry.structure for entry in step.makes.values()} <= set(output_names(recipe.data))
        found += output_names(recipe.data) if step.finds is None else step.finds
    assert n_recipes == 11
    assert sorted(found) == sorted(ZHANGHAO_COMPARTMENTS)


def test_the_published_recipe_has_the_published_networks() -> None:
    with torch.device("meta"):
        published = build_module(recipe_of("zhanghao-published"), 2)
        preprint = build_module(recipe_of("zhanghao-published", "network.options.form=preprint"), 2)
    assert count_parameters(published) == 5_402_781
    assert count_parameters(preprint) == 17_606_925


def test_one_network_for_all_is_small_enough_to_ship() -> None:
    """12 MB as 16-bit numbers."""
    recipe = recipe_of("nile-red-15")
    options = {**recipe.network.options, "n_inputs": 2, "n_outputs": 15}
    with torch.device("meta"):
        assert 2 * count_parameters(build_network(recipe.network.name, options)) < 12e6
