"""A cascade on the road: small networks of random weights, in both published forms, from file to tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.models.test_cascade import card_of, stored_model, write
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.errors import ModalityError, SettingsError
from tomocyte.formats import read_volume, write_volume
from tomocyte.models.settings import InferenceSettings
from tomocyte.pipeline.analysis import segment_frame
from tomocyte.pipeline.planning import plan_run
from tomocyte.pipeline.settings import RunSettings
from tomocyte.pipeline.stages.cascade import CascadeStage
from tomocyte.progress import silent
from tomocyte.segmentation.settings import InstanceSettings
from tomocyte.settings import build_settings
from tomocyte.volume import Volume

SIZE_UM = (0.25, 0.1, 0.1)
RETICULUM = ("background", "endoplasmic_reticulum", "nuclear_membrane", "nuclear_reticulum")
SPACES = ("background", "nucleus", "cytosol", "extracellular")
STEPS = [
    {"model": "droplets", "inputs": ["intensity", "ratio"]},
    {"model": "er", "inputs": ["intensity", "ratio"], "finds": [], "makes": {"er_mask": {"structure": "reticulum"}}},
    {"model": "er-nm-nr", "inputs": ["er_mask"]},
    {"model": "spaces", "inputs": ["intensity"]},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    stored_model(tmp_path, card_of("droplets", ("intensity", "ratio"), ("lipid_droplet",)), form="preprint")
    stored_model(tmp_path, card_of("er", ("intensity", "ratio"), ("reticulum",)))
    stored_model(tmp_path, card_of("er-nm-nr", ("mask",), RETICULUM))
    stored_model(tmp_path, card_of("spaces", ("intensity",), SPACES), form="preprint")
    rng = np.random.default_rng(3)
    counts = rng.poisson(100 + 300 * rng.random((2, 8, 6, 8)).repeat(8, 2).repeat(8, 3)).astype(np.uint16)
    stack = Volume.from_array(counts, voxel_size_um=SIZE_UM, quantity="intensity", channel_names=("yellow", "red"))
    write_volume(tmp_path / "stack.ome.tif", stack)
    write(tmp_path, STEPS)
    return tmp_path


def test_a_frame_has_what_all_networks_find_and_cells_that_are_what_is_left(folder: Path) -> None:
    names = ("lipid_droplet", *RETICULUM, *SPACES)
    every = dict.fromkeys(names, InstanceSettings(min_volume_um3=0, is_hole_filled=False))
    settings = RunSettings(
        modality="nile_red", cascade=str(folder / "own.yaml"), inference=InferenceSettings(instances=every)
    )
    plan, state = segment_frame(read_volume(folder / "stack.ome.tif"), settings)
    assert [name for name in plan.stages if name in ("channels", "model", "cascade", "bodies", "classical")] == [
        "channels",
        "cascade",
        "bodies",
        "classical",
    ]
    assert {"lipid_droplet", *RETICULUM[1:], *SPACES[1:], "cell"} <= set(state.labels)
    assert "reticulum" not in state.labels
    spaces = sum((state.labels[name] > 0).astype(int) for name in SPACES[1:])
    assert spaces.max() == 1  # one class per voxel
    reticulum = sum((state.labels[name] > 0).astype(int) for name in RETICULUM[1:])
    assert reticulum.max() == 1


def test_what_a_network_is_shown_is_planned_and_recorded(folder: Path) -> None:
    volume = read_volume(folder / "stack.ome.tif")
    plan = plan_run(volume, RunSettings(modality="nile_red", cascade=str(folder / "own.yaml")))
    assert plan.describe()["model"] == "own"
    stage = CascadeStage(plan, silent)
    stage.prepare(volume)
    steps = stage.facts["cascade"]["steps"]
    assert steps == plan.describe()["cascade"]
    assert steps[1] == {
        "model": "er 0.1.0",
        "inputs": ["intensity", "ratio"],
        "finds": [],
        "makes": {"er_mask": {"structure": "reticulum"}},
    }
    assert steps[2]["inputs"] == ["er_mask"]
    assert [entry["name"] for entry in stage.facts["cascade"]["models"]] == [step["model"] for step in STEPS]


def test_a_dry_run_shows_the_steps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    line = "run stack.ome.tif -m nile_red --cascade own.yaml -o out"
    done = CliRunner().invoke(app, [*line.split(), "--dry-run"])
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    assert "er-nm-nr 0.1.0 sees er_mask, finds endoplasmic_reticulum, nuclear_membrane, nuclear_reticulum" in text
    assert not (folder / "out").exists()


def test_an_input_that_a_network_was_not_made_for_is_refused(folder: Path) -> None:
    volume = read_volume(folder / "stack.ome.tif").with_properties(voxel_size_um=(0.25, 0.4, 0.4))
    with pytest.raises(ModalityError, match=r"E-MODEL-FIT-VOXEL-SIZE.*droplets"):
        segment_frame(volume, RunSettings(modality="nile_red", cascade=str(folder / "own.yaml")))


def test_a_cascade_and_a_model_are_not_taken_together() -> None:
    with pytest.raises(SettingsError, match="not both"):
        build_settings(RunSettings, {"modality": "nile_red", "model": "classical", "cascade": "nile-red-eleven"})
