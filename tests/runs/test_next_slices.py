"""Volumes are ranked together from their records, and napari's points say where."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.errors import InputError, SettingsError
from tomocyte.formats import write_volume
from tomocyte.runs.next_slices import read_record
from tomocyte.runs.propagate import PropagateSettings, propagate_file
from tomocyte.volume import Volume


def bars(path: Path, jump: int) -> Path:
    """A bar on slices 0, 4 and 8 along y, of another place on slice 8."""
    labels = np.zeros((6, 9, 40), np.uint8)
    labels[:, [0, 4], 2:8] = 1
    labels[:, 8, 2 + jump : 8 + jump] = 1
    write_volume(path, Volume.from_array(labels, voxel_size_um=(0.7, 0.3, 0.2), quantity="labels", unit="1"))
    return path


def type_line(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_volume_that_changes_comes_first(tmp_path: Path) -> None:
    for name, jump in (("still", 0), ("moving", 3)):
        source = bars(tmp_path / f"{name}.ome.tif", jump)
        output = type_line("propagate", source, "-o", tmp_path / f"{name}-dense.ome.tif", "--axis", "y", "--next", 2)
        assert "66.7% of 9 slices need no painting" in output
    assert "no slice" in type_line("next", tmp_path / "still-dense.propagation.json")
    records = sorted(tmp_path.glob("*.propagation.json"), reverse=True)
    assert records[0].name.startswith("still")
    output = type_line("next", *records, "--count", 2, "-o", tmp_path / "points.csv")
    assert "labelled by hand: 6 of 18 slices; 66.7% need no painting" in output
    assert "1. moving.ome.tif: slice 6 along y" in output
    assert "not measured" in output
    with (tmp_path / "points.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:4] == ["index", "axis-0", "axis-1", "axis-2"]
    assert {row["volume"] for row in rows} == {"moving.ome.tif"}
    assert rows[0]["axis-1"] == "6"
    assert 0 <= int(rows[0]["axis-0"]) < 6
    assert 2 <= int(rows[0]["axis-2"]) < 12
    alone = (tmp_path / "moving-dense_next.csv").read_text(encoding="utf-8")
    assert alone == (tmp_path / "points.csv").read_text(encoding="utf-8")


def test_another_file_is_no_record(tmp_path: Path) -> None:
    for content in ("[]", "{}", "no", json.dumps({"labels": {"name": "a"}, "slices": [1], "expected": None})):
        (tmp_path / "a.json").write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match="E-PROPAGATION-RECORD"):
            read_record(tmp_path / "a.json")


def test_next_needs_the_uncertainty(tmp_path: Path) -> None:
    source = bars(tmp_path / "a.ome.tif", 1)
    lacking = {"method": "image-guided", "method_settings": {"is_uncertainty_measured": False}, "n_next": 1}
    with pytest.raises(SettingsError, match=r"E-PROPAGATION-SETTINGS.*--next"):
        propagate_file(source, tmp_path / "b.ome.tif", PropagateSettings(**lacking), image=source)
