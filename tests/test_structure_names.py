"""A structure answers to every one of its names wherever a user gives one; tables and files have the registered one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from tests.conftest import BALL_SIZE_UM, MEDIUM_RI, ball_ri
from tests.in_process import tomocyte, workers_in_this_process
from tests.unet_by_hand import SIZE_UM, balls_ri, save_by_hand

from tomocyte.formats import read_volume, write_volume
from tomocyte.models.settings import InferenceSettings
from tomocyte.pipeline import analyse
from tomocyte.pipeline.settings import RunSettings
from tomocyte.segmentation.settings import InstanceSettings
from tomocyte.volume import Volume

EXACT = InferenceSettings(engine="torch", precision="fp32")
RI = {"quantity": "refractive_index", "unit": "1", "medium_ri": MEDIUM_RI}


@pytest.fixture(scope="module", autouse=True)
def in_this_process() -> Iterator[None]:
    with workers_in_this_process():
        yield


def test_the_main_objects_get_their_registered_name() -> None:
    assert RunSettings(modality="odt", structure="nuclei").structure == "nucleus"
    assert RunSettings(modality="odt", structure="lamella").structure == "lamella"
    with pytest.raises(ValidationError):
        RunSettings(modality="odt", structure="../nuclei")


def test_outputs_of_a_card_are_cells_and_nuclei_by_any_name(tmp_path: Path) -> None:
    """The same labels as from a card with the registered names, and settings by either name."""
    volume = Volume.from_array(balls_ri((0.0, 0.0, 0.0)), voxel_size_um=SIZE_UM, **RI)
    labels = {}
    for name, structures in {"plain": ("cell", "nucleus"), "other": ("membrane", "nuclei")}.items():
        model = save_by_hand(tmp_path / name, (0.5, 1.5), (40.0, 40.0), structures=structures)
        settings = RunSettings(modality="odt", model=str(model), inference=EXACT, cells="components")
        analysis = analyse(volume, settings)
        assert {"cell", "nucleus"} <= set(analysis.labels)
        assert {"membrane", "nuclei"}.isdisjoint(analysis.labels)
        labels[name] = [analysis.labels[structure].planes(0, 0) for structure in ("cell", "nucleus")]
    np.testing.assert_array_equal(labels["plain"], labels["other"])
    for name in ("nucleus", "nuclei"):
        strict = EXACT.model_copy(update={"instances": {name: InstanceSettings(min_volume_um3=1000.0)}})
        few = analyse(volume, settings.model_copy(update={"inference": strict, "cells": "as-found"}))
        assert few.facts["n_objects"]["nucleus"] == 0


def test_run_evaluate_and_edits(tmp_path: Path) -> None:
    """Two balls, called nuclei on the way in and nucleus on the way out."""
    image = ball_ri(centres_um=((0.0, -3.2, -3.8), (0.0, 2.0, 3.4)))
    write_volume(tmp_path / "s.ome.tif", Volume.from_array(image, voxel_size_um=BALL_SIZE_UM, **RI))
    out = tmp_path / "out"
    done = tomocyte(
        "run", tmp_path / "s.ome.tif", "-o", out, "-m", "odt", "--model", "classical", "--structure", "Nuclei",
        "--set", "segmentation.nucleus.method=none",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert pd.read_csv(out / "objects.csv")["structure"].tolist() == ["nucleus", "nucleus"]
    labels = out / "items" / "s" / "nucleus.ome.tif"

    scored = tomocyte("evaluate", out, out, "--structure", "nuclei")
    assert scored.exit_code == 0, scored.output
    assert scored.output.startswith("nucleus: 1 images")

    corrected = read_volume(labels).planes(0, 0)
    corrected[corrected == 2] = 0
    size = {"voxel_size_um": BALL_SIZE_UM}
    write_volume(tmp_path / "corrected.ome.tif", Volume.from_array(corrected, quantity="labels", **size))
    edits = tmp_path / "edits.yaml"
    taken = tomocyte(
        "edits", "from-labels", out, "s", "--structure", "nuclei", "--corrected", tmp_path / "corrected.ome.tif",
        "-o", edits,
    )  # fmt: skip
    assert taken.exit_code == 0, taken.output
    assert "structure: nucleus" in edits.read_text(encoding="utf-8")
    edits.write_text(edits.read_text(encoding="utf-8").replace("structure: nucleus", "structure: nuclei"))
    again = tomocyte(
        "run", tmp_path / "s.ome.tif", "-o", tmp_path / "again", "-m", "odt", "--model", "classical", "--structure",
        "nuclei", "--edits", edits, "--set", "segmentation.nucleus.method=none",
    )  # fmt: skip
    assert again.exit_code == 0, again.output
    assert pd.read_csv(tmp_path / "again" / "objects.csv")["label"].tolist() == [1]
    exported = tomocyte("edits", "export", tmp_path / "again", "-o", tmp_path / "set", "--structure", "nuclei")
    assert exported.exit_code == 0, exported.output
    assert (tmp_path / "set" / "items" / "s" / "labels" / "nucleus.ome.tif").is_file()


def test_simulate_writes_the_structures_of_these_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written: list[tuple[str, ...]] = []

    class NothingSimulatedError(Exception):
        pass

    def write_dataset(*_: object, structures: tuple[str, ...], **__: object) -> None:
        written.append(structures)
        raise NothingSimulatedError

    monkeypatch.setattr("tomocyte.runs.simulate.write_dataset", write_dataset)
    with pytest.raises(NothingSimulatedError):
        tomocyte("simulate", "odt", "-o", tmp_path / "set", "--structures", "membrane, nuclei,cell,droplet")
    assert written == [("cell", "nucleus", "lipid_droplet")]
    refused = tomocyte("simulate", "odt", "-o", tmp_path / "set", "--structures", "membrane,lamella")
    assert getattr(refused.exception, "code", "") == "E-STRUCTURE"
