"""One file in the room is all that a modality needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import tomocyte.modalities
from tomocyte.cli import app
from tomocyte.formats import write_volume
from tomocyte.modalities import modalities, modalities_of
from tomocyte.volume import Volume

DUMMY = '''
"""Holds the density of something."""

from dataclasses import replace

from tomocyte.modalities.sxt import MODALITY as SXT

MODALITY = replace(SXT, name="door", quantity="door_density", channels=("door_density",), unit="kg")
'''


def test_a_file_behind_the_door_is_a_modality(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(modalities())
    folder = tmp_path / "room"
    folder.mkdir()
    (folder / "door_modality.py").write_text(DUMMY, encoding="utf-8")
    monkeypatch.setattr(tomocyte.modalities, "__path__", [*tomocyte.modalities.__path__, str(folder)])
    assert set(modalities()) == before | {"door"}
    assert modalities_of("door_density") == ["door"]
    shown = CliRunner().invoke(app, ["settings", "--modality", "door"], catch_exceptions=False)
    assert yaml.safe_load(shown.output)["modality"] == "door"
    for command in ("run", "settings"):
        shown = CliRunner().invoke(app, [command, "--help"])
        assert "door, fluorescence" in " ".join(shown.output.split())
    path = tmp_path / "a.ome.tif"
    image = np.zeros((3, 4, 5), np.float32)
    write_volume(path, Volume.from_array(image, voxel_size_um=(0.7, 0.3, 0.2), quantity="door_density", unit="kg"))
    arguments = ["run", str(path), "-o", str(tmp_path / "out"), "--modality", "door", "--dry-run"]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    monkeypatch.undo()
    assert set(modalities()) == before
