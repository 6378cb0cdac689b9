"""What a model of several channels takes is exported with the corrections, so that it can be trained further."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from tests.in_process import tomocyte, workers_in_this_process

from tomocyte.datasets.labelled import find_items
from tomocyte.datasets.settings import LabelledSettings
from tomocyte.formats import read_volume, write_volume
from tomocyte.models import ModelCard, read_card, save_package
from tomocyte.models.card import NetworkChoice
from tomocyte.networks import build_network
from tomocyte.volume import Volume

STAINS = ("DNA", "actin", "Golgi")
SHAPE = (3, 32, 48)


def stained(path: Path) -> np.ndarray:
    """One frame of three stains, each with values of its own."""
    voxels = np.random.default_rng(4).integers(0, 50, (1, 3, *SHAPE)).astype(np.float32)
    voxels += np.arange(3, dtype=np.float32).reshape(1, 3, 1, 1, 1) * 60
    size: Any = {"voxel_size_um": (0.5, 0.3, 0.2), "channel_names": STAINS, "quantity": "intensity", "unit": "1"}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, Volume.from_array(voxels, **size))
    return voxels


def two_channel_model(folder: Path) -> Path:
    """Golgi first, then DNA; the weights are drawn."""
    options = {"width": 4, "n_inputs": 2, "n_outputs": 1}
    with torch.random.fork_rng():
        torch.manual_seed(2)
        module = build_network("osnet", options).eval()
    card = ModelCard(
        name="two-stains",
        modality="fluorescence",
        quantity="intensity",
        channels=("Golgi", "DNA"),
        dimensions=2,
        structures=("nucleus",),
        network=NetworkChoice(name="osnet", options=options),
        voxel_size_um=(None, 0.3, 0.2),
        value_range=(-500, 500),
        section_axis="z",
        tile_shape=(32, 48),
    )
    image = np.random.default_rng(1).normal(size=(2, 32, 48)).astype(np.float32)
    save_package(folder, module.state_dict(), card, image)
    return folder


def test_a_model_of_two_channels_is_trained_on_its_corrected_results(tmp_path: Path) -> None:
    voxels = stained(tmp_path / "in" / "a.ome.tif")
    model = two_channel_model(tmp_path / "two-stains")
    box = {"box": {"low": {"voxel": [0, 4, 4]}, "high": {"voxel": [2, 16, 20]}}}
    edit = {"do": "add", "structure": "nucleus", "label": 9, "shape": box}
    (tmp_path / "edits.yaml").write_text(yaml.safe_dump({"version": 1, "items": {"a": {"edits": [edit]}}}))
    with workers_in_this_process():
        run = ("run", tmp_path / "in", "-o", tmp_path / "out", "-m", "fluorescence", "--model", model)
        done = tomocyte(*run, "--edits", tmp_path / "edits.yaml", "--channel", "actin")
    assert done.exit_code == 0, (done.output, done.exception)
    done = tomocyte("edits", "export", tmp_path / "out", "-o", tmp_path / "set")
    assert done.exit_code == 0, (done.output, done.exception)
    (item,) = find_items(tmp_path / "set", LabelledSettings(structures=("nucleus",)))
    image = read_volume(item.image)
    assert image.channel_names == ("Golgi", "DNA"), "actin was only measured; the model's order is kept"
    np.testing.assert_array_equal(image.planes(0, 0), voxels[0, 2])
    np.testing.assert_array_equal(image.planes(0, 1), voxels[0, 0])
    tuned = tomocyte(
        "fine-tune", model, "--data", tmp_path / "set", "-o", tmp_path / "tuned", "--set", "loop.n_epochs=1"
    )
    assert tuned.exit_code == 0, (tuned.output, tuned.exception)
    card = read_card(tmp_path / "tuned" / "model")
    assert card.channels == ("Golgi", "DNA"), "so that a run finds them again by their names"
    assert card.network.options["n_inputs"] == 2
