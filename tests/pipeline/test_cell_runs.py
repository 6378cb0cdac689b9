"""Runs in which touching cells are separated, with networks whose answers are known voxel by voxel."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from tests.unet_by_hand import MEDIUM_RI, OPTIONS, SIZE_UM, balls_ri, network_by_hand, save_by_hand
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.errors import SettingsError
from tomocyte.formats import write_volume
from tomocyte.models import ModelCard, NetworkChoice, save_package
from tomocyte.models.cells import cells_settings
from tomocyte.models.loaded import _load_cached
from tomocyte.models.settings import InferenceSettings
from tomocyte.pipeline import analyse, open_input
from tomocyte.pipeline.columns import object_columns
from tomocyte.pipeline.planning import plan_run, requested_cells_card
from tomocyte.pipeline.settings import RunSettings
from tomocyte.runs.run import run_inputs
from tomocyte.tables import data_dictionary, find_columns
from tomocyte.volume import Volume

CENTRES = ((0.0, 0.0, -2.7), (0.0, 0.0, 2.7))
"""Two cells of 3 µm that touch, nuclei of 1.5 µm well apart."""
LEVELS, GAINS = (0.5, 1.5), (40.0, 40.0)


def region_network(*, gain: float = 20.0) -> torch.nn.Module:
    """Claims with sigmoid(gain (v - 0.25)) of the second channel: the nucleus and the part that watershed gives it."""
    plain = network_by_hand((0.25,), (gain,))
    from tomocyte.networks import build_network

    network = build_network("unet3d", {**OPTIONS, "n_inputs": 3, "n_outputs": 1}).eval()
    state = plain.state_dict()
    for name, weights in network.state_dict().items():
        if weights.shape != state[name].shape:
            widened = torch.zeros_like(weights)
            widened[:, 1:2] = state[name]
            state[name] = widened
    network.load_state_dict(state)
    return network


def save_cells(folder: Path, *, gain: float = 20.0, **changes: Any) -> Path:
    fields: dict[str, Any] = {
        "name": folder.name,
        "role": "cell-by-cell",
        "modality": "odt",
        "quantity": "mask",
        "channels": ("membrane", "nucleus", "other_nuclei"),
        "dimensions": 3,
        "structures": ("cell",),
        "network": NetworkChoice(name="unet3d", options={**OPTIONS, "n_inputs": 3, "n_outputs": 1}),
        "voxel_size_um": SIZE_UM,
        "value_range": (0.0, 1.0),
        "tile_shape": (16, 32, 32),
        "recipe": {"data": {"cells": {"frame": "windows", "input": "regions"}}},
        **changes,
    }
    image = np.random.default_rng(1).random((3, 4, 8, 8)).astype(np.float32)
    save_package(folder, region_network(gain=gain).state_dict(), ModelCard(**fields), image, is_overwriting=True)
    return folder


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that finds cells and nuclei, and one that tells cells apart."""
    folder = tmp_path / "library"
    monkeypatch.setenv("TOMOCYTE_MODELS", str(folder))
    save_by_hand(folder / "by-hand", LEVELS, GAINS)
    save_cells(folder / "hand-cells")
    return folder


def volume(image: np.ndarray, *, n_frames: int = 1) -> Volume:
    known: dict[str, Any] = {"quantity": "refractive_index", "unit": "1", "medium_ri": MEDIUM_RI}
    return Volume.from_array(np.stack([image] * n_frames)[:, None], voxel_size_um=SIZE_UM, **known)


def settings(cells: str = "hand-cells", **changes: Any) -> RunSettings:
    how: dict[str, Any] = {"inference": InferenceSettings(engine="torch", precision="fp32"), **changes}
    return RunSettings(modality="odt", model="by-hand", cells=cells, **how)


def touching() -> np.ndarray:
    return np.minimum(balls_ri(*CENTRES), MEDIUM_RI + 0.04)


@pytest.mark.parametrize("cells", ["hand-cells", "watershed"])
@pytest.mark.usefixtures("library")
def test_touching_cells_are_told_apart_at_the_waist(cells: str) -> None:
    found = analyse(volume(touching(), n_frames=2), settings(cells))
    table = found.table.query("structure == 'cell' and frame == 1")
    assert len(table) == 2
    labels = np.concatenate(list(found.labels["cell"].frame(1)))
    columns = [np.flatnonzero((labels == label).any(axis=(0, 1))) for label in (1, 2)]
    middle = (labels.shape[2] - 1) / 2
    assert columns[0].max() < middle + 1 < columns[1].min() + 2
    assert table["volume_um3"].to_numpy() == pytest.approx([table["volume_um3"].mean()] * 2, rel=0.05)
    nuclei = found.table.query("structure == 'nucleus' and frame == 1")
    assert sorted(nuclei["cell_id"]) == [1, 2]
    assert list(table["flags"]) == ["", ""]
    if cells == "watershed":
        assert table["cell_confidence"].isna().all()
        assert found.facts["cells"]["method"] == "watershed"
    else:
        # sigmoid(20 (0.5 - 0.25)) in a cell, sigmoid(20) in its nucleus, sigmoid(-5) beside.
        assert table["cell_confidence"].between(0.98, 0.999).all()
        assert found.facts["cells"]["counts"]["n_nuclei"] == 4
        assert len(found.facts["cells"]["card_sha256"]) == 64
    assert not [text for text in found.warnings if text.startswith("W-CELLS")]


@pytest.mark.usefixtures("library")
def test_as_found_leaves_everything_alone() -> None:
    found = analyse(volume(touching()), settings("as-found"))
    assert "flags" not in found.table
    assert "cells" not in found.facts
    components = analyse(volume(touching()), settings("components"))
    assert list(components.table.query("structure == 'cell'")["flags"]) == ["two-nuclei"]
    assert [text for text in components.warnings if text.startswith("W-CELLS-TWO-NUCLEI: 1 cells")]


@pytest.mark.parametrize("cells", ["hand-cells", "watershed"])
@pytest.mark.usefixtures("library")
def test_pressed_cells_of_one_nucleus_each_are_told_apart_if_none_has_two(cells: str) -> None:
    """In a single image two cells without a waist are taken for one cell with two nuclei."""
    near = pressed()
    one = analyse(volume(near), settings(cells)).table.query("structure == 'cell'")
    assert list(one["flags"]) == ["two-nuclei"]
    two = analyse(volume(near), settings(cells, has_binucleate_cells=False)).table.query("structure == 'cell'")
    assert list(two["flags"]) == ["", ""]
    assert two["volume_um3"].sum() == pytest.approx(one["volume_um3"].sum(), rel=0.01)
    assert two["volume_um3"].to_numpy() == pytest.approx([two["volume_um3"].mean()] * 2, rel=0.1)


def pressed() -> np.ndarray:
    """Two balls, and a third that fills the waist between them."""
    between = np.minimum(balls_ri((0.0, 0.0, 0.0)), MEDIUM_RI + 0.02)
    return np.maximum(between, np.maximum(balls_ri((0.0, 0.0, -1.8)), balls_ri((0.0, 0.0, 1.8))))


def film(*images: np.ndarray) -> Volume:
    known: dict[str, Any] = {"quantity": "refractive_index", "unit": "1", "medium_ri": MEDIUM_RI}
    return Volume.from_array(np.stack(images)[:, None], voxel_size_um=SIZE_UM, **known)


@pytest.mark.parametrize("cells", ["hand-cells", "watershed"])
@pytest.mark.usefixtures("library")
def test_time_says_whether_two_nuclei_share_a_cell(cells: str) -> None:
    """Cells that press each other for two frames of six are two; what has no waist in any frame is one."""
    apart, near = touching(), pressed()
    two = analyse(film(apart, apart, near, near, apart, apart), settings(cells)).table.query("structure == 'cell'")
    assert two.groupby("frame").size().tolist() == [2] * 6
    assert (two["track_flags"] == "").all()
    never = analyse(film(*[near] * 6), settings(cells))
    one = never.table.query("structure == 'cell'")
    assert one.groupby("frame").size().tolist() == [1] * 6
    assert (one["track_flags"] == "").all()
    assert [edit.frame for edit in never.repairs] == list(range(6))
    nuclei = never.table.query("structure == 'nucleus'")
    assert nuclei.groupby("frame").size().tolist() == [2] * 6
    assert set(nuclei["cell_id"]) == set(one["label"])
    volumes = one["volume_um3"].to_numpy()
    alone = analyse(volume(near), settings(cells)).table.query("structure == 'cell'")["volume_um3"].item()
    assert volumes == pytest.approx([alone] * 6, rel=0.01)
    asked = analyse(film(apart, apart, near, apart), settings(cells, has_binucleate_cells=True, tracking=None)).table
    assert asked.query("structure == 'cell'").groupby("frame").size().tolist() == [2, 2, 1, 2]


@pytest.mark.usefixtures("library")
def test_a_time_lapse_is_told_apart_by_watershed_unless_a_network_is_named() -> None:
    assert plan_run(volume(touching()), settings("auto")).cells == "network"
    assert plan_run(volume(touching(), n_frames=2), settings("auto")).cells == "watershed"
    assert plan_run(volume(touching(), n_frames=2), settings("auto", tracking=None)).cells == "network"
    assert plan_run(volume(touching(), n_frames=2), settings("hand-cells")).cells == "network"


@pytest.mark.usefixtures("library")
def test_odd_cells_are_flagged_and_warned_of() -> None:
    image = balls_ri((0.0, 0.0, 0.0), shape=(22, 40, 64))
    z, y, x = np.meshgrid(
        *[(np.arange(n) - (n - 1) / 2) * s for n, s in zip(image.shape, SIZE_UM, strict=True)], indexing="ij"
    )
    image[(z**2 + y**2 + (x - 6.5) ** 2) < 2.9**2] = MEDIUM_RI + 0.02  # no nucleus, cut by the border
    found = analyse(volume(image), settings())
    table = found.table.query("structure == 'cell'")
    assert list(table["flags"]) == ["", "no-nucleus;touches-border"]
    assert table["cell_confidence"].isna().tolist() == [False, True]
    assert [text for text in found.warnings if text.startswith("W-CELLS-NO-NUCLEUS: 1 cells")]
    assert (found.table.query("structure == 'nucleus'")["flags"] == "").all()


@pytest.mark.usefixtures("library")
def test_each_kind_of_model_has_its_place(tmp_path: Path) -> None:
    write_volume(tmp_path / "cell.ome.tif", volume(touching()))
    for wrong in (settings("by-hand"), settings().model_copy(update={"model": "hand-cells"})):
        with pytest.raises(SettingsError, match="E-MODEL-ROLE"):
            open_input(tmp_path / "cell.ome.tif", wrong)
    with pytest.raises(SettingsError, match="E-MODEL-NAME"):
        requested_cells_card(settings("nobody"))
    for way in ("watershed", "hand-cells"):
        with pytest.raises(SettingsError, match="E-CELLS"):
            requested_cells_card(RunSettings(modality="odt", model="classical", cells=way))
    assert requested_cells_card(RunSettings(modality="odt", model="classical")) is None
    assert requested_cells_card(settings("watershed")) is None


def test_models_without_nuclei_leave_cells_as_found(library: Path) -> None:
    save_by_hand(library / "cells-alone", LEVELS[:1], GAINS[:1])
    assert requested_cells_card(RunSettings(modality="odt", model="cells-alone")) is None
    with pytest.raises(SettingsError, match="E-CELLS"):
        requested_cells_card(RunSettings(modality="odt", model="cells-alone", cells="watershed"))


def test_another_network_is_another_run(library: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_volume(tmp_path / "in" / "cell.ome.tif", volume(touching()))
    inputs = [tmp_path / "in" / "cell.ome.tif"]
    assert run_inputs(inputs, settings(), tmp_path / "out").n_resumed == 0
    assert run_inputs(inputs, settings(), tmp_path / "out").n_resumed == 1
    assert run_inputs(inputs, settings(str(library / "hand-cells")), tmp_path / "out").n_resumed == 1
    save_cells(library / "hand-cells", gain=21.0)
    assert run_inputs(inputs, settings(), tmp_path / "out").n_resumed == 0


@pytest.mark.usefixtures("library")
def test_the_option_reaches_the_tables(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_volume(tmp_path / "in" / "cell.ome.tif", volume(touching()))
    arguments = ["run", str(tmp_path / "in" / "cell.ome.tif"), "-o", str(tmp_path / "out"), "-m", "odt"]
    arguments += ["--model", "by-hand", "--cells", "components"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "out" / "objects.csv", keep_default_na=False)
    assert list(table.query("structure == 'cell'")["flags"]) == ["two-nuclei"]
    assert {"flags", "cell_confidence"} <= set(table.columns)
    said = data_dictionary(find_columns(["flags", "cell_confidence"], object_columns()))
    assert "two-nuclei" in said["meaning"][0]
    run = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert "components" in json.dumps(run)


def test_a_card_says_what_its_network_is_for(tmp_path: Path) -> None:
    save_cells(tmp_path / "hand-cells", threshold={"cell": 0.4})
    from tomocyte.models import read_card

    card = read_card(tmp_path / "hand-cells")
    chosen = cells_settings(card, (2, 4, 4))
    assert (chosen.frame, chosen.input, chosen.unclaimed) == ("windows", "regions", "attach")
    assert (chosen.voxel_size_um, chosen.divisor, chosen.threshold) == (SIZE_UM, (2, 4, 4), 0.4)
    published = card.model_copy(update={"recipe": {"data": {"cells": {"frame": "as-published"}}}})
    chosen = cells_settings(published, (2, 4, 4))
    assert (chosen.frame, chosen.input, chosen.unclaimed) == ("as-published", "masks", "background")
    for wrong in ({"channels": ("membrane",)}, {"structures": ("cell", "other")}, {"role": "other"}):
        with pytest.raises(ValidationError):
            ModelCard.model_validate({**card.model_dump(), **wrong})


def test_old_cards_find_structures() -> None:
    assert ModelCard.model_fields["role"].default == "organelles"


@pytest.fixture
def count_calls(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often a cell-by-cell package is loaded."""
    from tomocyte import models

    loads: list[str] = []
    load = models.load_package

    def counted(folder: Path) -> Any:
        package = load(folder)
        loads.append(package.card.role)
        return package

    monkeypatch.setattr("tomocyte.models.load_package", counted, raising=False)
    monkeypatch.setattr("tomocyte.models.loaded._load_cached", lru_cache(2)(_load_cached.__wrapped__))
    return lambda: loads.count("cell-by-cell")


@pytest.mark.usefixtures("library")
def test_a_worker_loads_the_network_once(count_calls: Callable[[], int]) -> None:
    for _ in range(2):
        analyse(volume(touching()), settings())
    assert count_calls() == 1
