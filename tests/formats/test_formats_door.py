"""One file in the room is all that a format needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import tomocyte.formats
from tomocyte.cli import app
from tomocyte.formats import detect, formats, read_volume, write_volume
from tomocyte.volume import Volume

DUMMY = '''
"""Bytes of one 2 x 3 plane after the word DOOR."""

import numpy as np

from tomocyte.formats import Format
from tomocyte.volume import Volume


def verify(path):
    return path.is_file() and path.read_bytes()[:4] == b"DOOR"


def read(path, options):
    plane = np.frombuffer(path.read_bytes()[4:], np.uint8).reshape(1, 2, 3)
    return Volume.from_array(plane, voxel_size_um=(float("nan"), 0.5, 0.25), origin={"voxel_size_um": "file"})


def write(path, volume, on_frame):
    path.write_bytes(b"DOOR" + volume.planes(0, 0).astype(np.uint8).tobytes())


FORMAT = Format("door", (".door",), "A dummy.", verify, read, write)
'''


def test_a_file_behind_the_door_is_a_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(formats())
    folder = tmp_path / "room"
    folder.mkdir()
    (folder / "door_format.py").write_text(DUMMY, encoding="utf-8")
    monkeypatch.setattr(tomocyte.formats, "__path__", [*tomocyte.formats.__path__, str(folder)])
    assert set(formats()) == before | {"door"}
    plane = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    path = tmp_path / "a.door"
    write_volume(path, Volume.from_array(plane, voxel_size_um=(0.5, 0.5, 0.25)))
    assert detect(path).name == "door"
    np.testing.assert_array_equal(read_volume(path).planes(0, 0), plane)
    shown = CliRunner().invoke(app, ["info", str(path)], catch_exceptions=False)
    assert "format     door" in shown.output
    CliRunner().invoke(app, ["convert", str(path), str(tmp_path / "a.ome.tif")], catch_exceptions=False)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.ome.tif").planes(0, 0), plane)
    monkeypatch.undo()
    assert set(formats()) == before
