"""The recipes of the eleven networks belong to the cascade that ships."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from tomocyte.models import ModelCard, NetworkChoice, save_package
from tomocyte.models.cascade import Cascade
from tomocyte.models.settings import InferenceSettings
from tomocyte.networks import build_network, count_parameters
from tomocyte.pipeline.analysis import segment_frame
from tomocyte.pipeline.settings import RunSettings
from tomocyte.segmentation.settings import InstanceSettings
from tomocyte.structures import ZHANGHAO_COMPARTMENTS
from tomocyte.training.data.targets import output_names
from tomocyte.training.loop import build_module
from tomocyte.training.recipe import Recipe, build_recipe, load_recipe
from tomocyte.volume import Volume


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


def untrained(folder: Path, name: str) -> None:
    """The model of a recipe before its first step, with as few feature maps as its network can have."""
    recipe = recipe_of(name, "network.options.width=2")
    softmax = recipe.loss.activation == "softmax"
    channels = recipe.data.channels or ("intensity",)
    module = build_module(recipe, len(channels)).eval()
    structures = ("background",) * softmax + output_names(recipe.data)
    options = {**recipe.network.options, "n_inputs": len(channels), "n_outputs": len(structures)}
    divisor = tuple(int(step) for step in module.divisor)  # type: ignore[union-attr]
    z_um, y_um, x_um = recipe.data.voxel_size_um or (None, 0.1, 0.1)
    card = ModelCard(
        name=name,
        modality=recipe.data.modality,
        quantity="intensity",
        channels=channels,
        dimensions=3 if len(divisor) == 3 else 2,
        structures=structures,
        activation=recipe.loss.activation,
        network=NetworkChoice(name=recipe.network.name, options=options),
        normalization=recipe.data.normalization,
        voxel_size_um=(z_um, y_um, x_um),
        value_range=(-1e6, 1e6),
        section_axis="z" if len(divisor) == 2 else None,
        tile_shape=tuple(max(16, 2 * step) for step in divisor),
    )
    image = np.random.default_rng(1).normal(size=(len(channels), *divisor)).astype(np.float32)
    save_package(folder / name, module.state_dict(), card, image)


def test_the_cascade_that_ships_finds_all_fifteen_and_the_cells(tmp_path: Path) -> None:
    shutil.copy(str(resources.files("tomocyte") / "recipes" / "nile-red-eleven.yaml"), tmp_path)
    for step in Cascade.model_validate(load_recipe("nile-red-eleven")).steps:
        untrained(tmp_path, step.model)
    counts = np.random.default_rng(2).poisson(300, (2, 8, 24, 40)).astype(np.uint16)
    stack = Volume.from_array(
        counts, voxel_size_um=(0.25, 0.1, 0.1), quantity="intensity", channel_names=("yellow", "red")
    )
    every = InstanceSettings(min_volume_um3=0, min_area_um2=0, is_hole_filled=False)
    inference = InferenceSettings(instances=dict.fromkeys((*ZHANGHAO_COMPARTMENTS, "cell"), every))
    settings = RunSettings(modality="nile_red", cascade=str(tmp_path / "nile-red-eleven.yaml"), inference=inference)
    _, state = segment_frame(stack, settings)
    assert set(state.labels) == {*ZHANGHAO_COMPARTMENTS, "cell"}
    assert all(labels.shape == (8, 24, 40) for labels in state.labels.values())
