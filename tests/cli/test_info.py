"""``tomocyte info`` shows what a file says and who says it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import tifffile
from tests.in_process import tomocyte
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.cli.describe import plain, properties
from tomocyte.formats import ReadOptions, read_volume, write_volume
from tomocyte.volume import CHOICES, Volume

SIZE_UM = (0.31, 0.17, 0.13)


def volume(**more: object) -> Volume:
    return Volume.from_array(np.zeros((2, 3, 4), np.uint8), **more)


def test_sources_are_kept_merged_and_dropped_with_a_new_origin() -> None:
    known = volume(
        voxel_size_um=SIZE_UM,
        medium_ri=1.337,
        origin={"voxel_size_um": "file", "medium_ri": "file"},
        sources={"voxel_size_um": "cella", "medium_ri": "RI"},
    )
    changed = known.with_properties(voxel_size_um=(1.0, 1.0, 1.0), origin={"voxel_size_um": "measured"})
    assert dict(changed.sources) == {"medium_ri": "RI"}
    assert dict(known.with_properties(sources={"time_s": "clock"}).sources) == {
        "voxel_size_um": "cella",
        "medium_ri": "RI",
        "time_s": "clock",
    }
    assert dict(pickle.loads(pickle.dumps(known.with_properties(read_planes=len))).sources) == dict(known.sources)  # noqa: S301


def test_what_the_user_gives_names_its_option(tmp_path: Path) -> None:
    path = tmp_path / "one.ome.tif"
    write_volume(path, volume(voxel_size_um=SIZE_UM))
    opened = read_volume(path, ReadOptions(voxel_size_um=(1.0, 0.5, 0.5), medium_ri=1.34))
    assert dict(opened.sources) == {"voxel_size_um": "--voxel-size-um", "medium_ri": "--medium-ri"}
    plane = read_volume(path, ReadOptions(voxel_size_um=(float("nan"), 0.5, 0.5), axes="TYX"))
    assert plane.sources["voxel_size_um"] == "--pixel-size-um"


def test_json_has_value_unit_origin_and_source_of_each_property(tmp_path: Path) -> None:
    known = volume(
        voxel_size_um=SIZE_UM,
        origin={"voxel_size_um": "file"},
        sources={"voxel_size_um": "Scaling/Distance"},
        metadata={"objective": "63x", "big": np.arange(3), CHOICES: ("a", "b")},
    )
    rows = {row["property"]: row for row in properties(known)}
    assert rows["voxel_size_um"] == {
        "property": "voxel_size_um",
        "value": [0.31, 0.17, 0.13],
        "unit": "µm",
        "origin": "file",
        "source": "Scaling/Distance",
    }
    assert rows["medium_ri"]["value"] is None
    assert plain({"x": float("nan"), "y": np.float32(2.5), "z": (1, Path("a"))}) == {"x": None, "y": 2.5, "z": [1, "a"]}
    path = tmp_path / "one.ome.tif"
    write_volume(path, known)
    shown = json.loads(CliRunner().invoke(app, ["info", str(path), "--json"]).output)
    assert {"shape", "dtype", "voxel_size_um", "origin", "notes", "sources", "images", "properties", "metadata"} <= set(
        shown
    )
    assert shown["metadata"]["dialect"] == "ome"
    text = CliRunner().invoke(app, ["info", str(path)]).output
    assert "metadata   dialect: ome" in text


def test_what_is_missing_can_be_given(tmp_path: Path) -> None:
    """The option that the line of a missing voxel size names is one of the command's own."""
    tifffile.imwrite(tmp_path / "bare.tif", np.zeros((6, 8, 9), np.uint16))
    asked = tomocyte("info", tmp_path / "bare.tif", "--axes", "ZYX").output
    assert "missing: give --voxel-size-um Z Y X" in asked
    given = tomocyte("info", tmp_path / "bare.tif", "--axes", "ZYX", "--voxel-size-um", 0.5, 0.2, 0.1).output
    assert "0.5 x 0.2 x 0.1 um (z, y, x)" in given
