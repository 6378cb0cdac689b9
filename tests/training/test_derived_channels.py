"""A network that learns from derived channels sees the same numbers when it is applied, found by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tomocyte.channels import intensity_and_ratio
from tomocyte.datasets.labelled import find_items
from tomocyte.formats import read_volume, write_volume
from tomocyte.models import read_card
from tomocyte.pipeline.analysis import segment_frame
from tomocyte.pipeline.settings import RunSettings
from tomocyte.training.data.samples import Samples
from tomocyte.training.recipe import Recipe, build_recipe, load_recipe
from tomocyte.training.training import LabelledData, train_network
from tomocyte.volume import Volume

SIZE_UM = (0.25, 0.1, 0.1)


@pytest.fixture
def stacks(tmp_path: Path) -> Path:
    """Two stacks, red stored first: dim cells with a droplet that is bright and yellow."""
    (tmp_path / "data").mkdir()
    rng = np.random.default_rng(5)
    for index in range(2):
        cell, droplet = np.zeros((8, 48, 64), bool), np.zeros((8, 48, 64), bool)
        cell[:, 10:40, 8 + index : 56] = True
        droplet[2:6, 20:28, 30:38] = True
        yellow, red = 100 + 200 * cell + 600 * droplet, 100 + 300 * cell + 300 * droplet
        image = rng.poisson(np.stack([red, yellow])).astype(np.uint16)
        names = ("red", "yellow")
        stack = Volume.from_array(image, voxel_size_um=SIZE_UM, quantity="intensity", channel_names=names)
        write_volume(tmp_path / "data" / f"s{index}.ome.tif", stack)
        for name, mask in (("cell", cell), ("lipid_droplet", droplet)):
            labels = Volume.from_array(mask.astype(np.uint8), voxel_size_um=SIZE_UM, quantity="labels")
            write_volume(tmp_path / "data" / f"s{index}_{name}.ome.tif", labels)
    return tmp_path / "data"


def recipe_of(channels: list[str]) -> Recipe:
    changes = [
        f"data.channels={channels}".replace("'", ""),
        *("data.structures=[cell,lipid_droplet]", "data.patch_shape=[8,32,32]", "loss.positive_weights=[1,3]"),
        *(
            "loop.initial_shares=[0.4,0.05]",
            "held_out=null",
            "loop.n_epochs=1",
            "loop.samples_per_epoch=4",
            "augmentation=none",
        ),
        *("network.options.width=4", "loop.schedule.n_warm_up_steps=1", "loop.precision=fp32"),
    ]
    return build_recipe(load_recipe("nile-red-15", changes))


def test_a_network_learns_from_what_a_run_shows_it(stacks: Path, tmp_path: Path) -> None:
    recipe = recipe_of(["intensity", "ratio"])
    items = find_items(stacks, recipe.data)
    samples = Samples(items, recipe.data, n_axes=3)
    red, yellow = read_volume(stacks / "s0.ome.tif").frame(0)
    derived = intensity_and_ratio(yellow, red)
    seen, _ = samples.whole(0)
    for channel, values in zip(seen, derived, strict=True):
        low, high = np.percentile(values.astype(np.float64), (1, 99))
        np.testing.assert_allclose(channel, (values - low) / (high - low), atol=1e-5)
    train_network(recipe, LabelledData(items, []), folder=tmp_path / "out")
    card = read_card(tmp_path / "out" / "model")
    assert card.channels == ("intensity", "ratio")
    settings = RunSettings(modality="nile_red", model=str(tmp_path / "out" / "model"))
    plan, state = segment_frame(read_volume(stacks / "s0.ome.tif"), settings)
    assert [plan.channels[index].name for index in plan.model_channels] == ["intensity", "ratio"]
    np.testing.assert_array_equal(state.frame.image[list(plan.model_channels)], derived)
    assert {"cell", "lipid_droplet"} <= set(state.labels)


def test_a_network_of_one_derived_channel_is_applied_to_it(stacks: Path, tmp_path: Path) -> None:
    """Not to the channel that happens to stand first."""
    recipe = recipe_of(["ratio"])
    items = find_items(stacks, recipe.data)
    train_network(recipe, LabelledData(items, []), folder=tmp_path / "out")
    settings = RunSettings(modality="nile_red", model=str(tmp_path / "out" / "model"))
    plan, _ = segment_frame(read_volume(stacks / "s0.ome.tif"), settings)
    assert [plan.channels[index].name for index in plan.model_channels] == ["ratio"]
