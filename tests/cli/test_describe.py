"""What ``tomocyte info`` and ``tomocyte run --dry-run`` print."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.formats import formats, write_volume
from tomocyte.volume import Volume


def lines_of(*arguments: object) -> dict[str, str]:
    """The indented lines that a command prints, by their key."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    lines = [line[2:] for line in done.output.splitlines() if line.startswith("  ")]
    return {line[:10].strip(): line[11:] for line in lines}


def dry_run(path: Path, *more: object) -> dict[str, str]:
    return lines_of("run", path, "-o", "never", "-m", "odt", "--dry-run", *more)


def two_channels(path: Path) -> Path:
    values = np.full((1, 2, 3, 4, 5), 1.34, np.float32)
    volume = Volume.from_array(
        values,
        voxel_size_um=(0.7, 0.3, 0.2),
        quantity="refractive_index",
        unit="1",
        channel_names=("tomogram", "dye"),
    )
    write_volume(path, volume)
    return path


def test_the_plan_of_a_classical_run(tmp_path: Path) -> None:
    lines = dry_run(two_channels(tmp_path / "two.ome.tif"), "--model", "classical", "--medium-ri", "background")
    assert lines["stages"] == "classical > measure > missing_cone > organelles > plausibility > draw"
    assert lines["channels"] == "tomogram: refractive_index (segmented), dye: intensity"
    assert lines["model"] == "classical (no trained network)"
    assert lines["cells"].startswith("separated by a watershed")
    assert lines["confidence"] == "not estimated"
    assert lines["medium RI"] == "measured in the background of each frame"
    assert "edits" not in lines


def test_the_plan_follows_the_options(tmp_path: Path) -> None:
    path = two_channels(tmp_path / "two.ome.tif")
    classical = ("--model", "classical")
    base, more = dry_run(path, *classical), dry_run(path, *classical, "--measure", "extent", "--structure", "blob")
    counts = [int(lines["measures"].split()[0]) for lines in (base, more)]
    assert counts[1] == counts[0] + 1
    assert more["measures"].endswith("main objects are called blob")
    other = dry_run(path, *classical, "--channel", "dye", "--medium-ri", "1.337")
    assert "dye: refractive_index (segmented)" in other["channels"]
    assert other["medium RI"] == "1.337 (given by the user)"
    unsplit = dry_run(path, *classical, "--set", "segmentation.split.method=none")
    assert unsplit["cells"] == "not separated where they touch"


def test_formats_are_listed() -> None:
    done = CliRunner().invoke(app, ["formats"], catch_exceptions=False)
    rows = {line.split()[0]: line for line in done.output.splitlines()}
    assert set(rows) == set(formats())
    assert ".mrc" in rows["mrc"]
    assert "(read, written)" in rows["mrc"]
    assert "written" not in rows["png"]
    content = json.loads(CliRunner().invoke(app, ["formats", "--json"], catch_exceptions=False).output)
    assert {row["name"]: row["is_written"] for row in content}["png"] is False
