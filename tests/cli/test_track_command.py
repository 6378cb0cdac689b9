"""``tomocyte track`` from every kind of source, and back from the files of other programs."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from tests.in_process import tomocyte

from tomocyte.formats import read_volume, write_volume
from tomocyte.volume import Volume

SIZE_UM = (0.4, 0.2, 0.2)


def series(path, n_frames: int = 4) -> np.ndarray:
    """Three boxes that move; their labels change places from frame to frame."""
    labels = np.zeros((n_frames, 1, 4, 50, 60), np.uint16)
    for frame in range(n_frames):
        order = np.roll([1, 2, 3], frame)
        for number, (y, x, size) in zip(order, ((4, 5, 10), (30, 8, 12), (18, 40, 14)), strict=True):
            labels[frame, 0, :, y : y + size, x + frame : x + frame + size] = number
    write_volume(path, Volume.from_array(labels, quantity="labels", unit="1", voxel_size_um=SIZE_UM))
    return labels


def test_labels_become_tracks_and_masks(tmp_path) -> None:
    labels = series(tmp_path / "a.ome.tif")
    out = tmp_path / "out"
    done = tomocyte("track", tmp_path / "a.ome.tif", "-o", out, "--format", "ctc", "--format", "geff", "--format",
                    "trackmate")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "12 objects in 4 frames: 3 tracks, 0 divisions." in done.output
    objects, tracks = pd.read_csv(out / "objects.csv"), pd.read_csv(out / "tracks.csv")
    assert objects.groupby("track_id")["volume_um3"].nunique().tolist() == [1, 1, 1]
    np.testing.assert_allclose(tracks["path_length_um"], 3 * 0.2)
    masks = read_volume(out / "masks.ome.tif")
    for frame in range(4):
        written = masks.planes(frame, 0)
        assert ((written > 0) == (labels[frame, 0] > 0)).all()
        assert [written[0, 6, 8], written[0, 35, 12], written[0, 24, 46]] == [1, 2, 3]
        assert (tifffile.imread(out / f"mask{frame:03d}.tif") == written).all()
    assert (out / "res_track.txt").read_text() == "1 0 3 0\n2 0 3 0\n3 0 3 0\n"
    for name in ("tracks.xml", "tracks.geff"):
        again = tmp_path / name
        assert tomocyte("track", out / name, "-o", again).exit_code == 0
        assert pd.read_csv(again / "tracks.csv")["last_frame"].tolist() == [3, 3, 3]


def test_a_table_and_a_dry_run(tmp_path) -> None:
    table = pd.DataFrame({"frame": [0, 0, 1, 1], "label": [1, 2, 1, 2], "y_um": 0.0, "x_um": [0.0, 9.0, 9.2, 0.1]})
    table.to_csv(tmp_path / "a.csv", index=False)
    done = tomocyte("track", tmp_path / "a.csv", "-o", tmp_path / "out", "--dry-run", "--json")
    assert json.loads(done.stdout)["n_tracks"] == 2
    assert not (tmp_path / "out").exists()
    assert tomocyte("track", tmp_path / "a.csv", "-o", tmp_path / "out").exit_code == 0
    assert pd.read_csv(tmp_path / "out" / "objects.csv")["track_id"].tolist() == [1, 2, 2, 1]
    again = tomocyte("track", tmp_path / "a.csv", "-o", tmp_path / "out")
    assert again.exit_code == 1
    assert "E-EXISTS" in str(again.exception)


def test_a_table_of_several_inputs_asks_for_one(tmp_path) -> None:
    rows = {"frame": [0, 1, 0], "label": 1, "y_um": 0.0, "x_um": 0.0, "item": ["a", "a", "b"], "structure": "cell"}
    pd.DataFrame(rows).to_csv(tmp_path / "a.csv", index=False)
    refused = tomocyte("track", tmp_path / "a.csv", "-o", tmp_path / "out")
    assert "E-TRACK-SOURCE" in str(refused.exception)
    assert "--item" in str(refused.exception)
    assert tomocyte("track", tmp_path / "a.csv", "-o", tmp_path / "out", "--item", "a").exit_code == 0
    assert len(pd.read_csv(tmp_path / "out" / "tracks.csv")) == 1


@pytest.mark.parametrize(
    ("content", "options", "code"),
    [
        ("frame,label\n0,1\n", (), "E-TRACK-COLUMN"),
        ("frame,label,y_um,x_um\n0,1,2,3\n", ("--format", "ctc"), "E-TRACK-MASKS"),
        ("frame,label,y_um,x_um\n0,1,2,3\n", ("--format", "odd"), "E-USAGE"),
        ("frame,label,y_um,x_um\n0,1,2,3\n", ("--set", "speed=1"), "E-SETTINGS"),
        ("", (), "E-TRACK-TABLE"),
    ],
)
def test_what_is_refused(tmp_path, content: str, options: tuple[str, ...], code: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    done = tomocyte("track", tmp_path / "a.csv", "-o", tmp_path / "out", *options)
    assert done.exit_code == 1
    assert code in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_the_commands_of_the_page_run_as_printed(tmp_path, monkeypatch) -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "tracking.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    series(tmp_path / "labels.ome.tif")
    table = pd.DataFrame({"frame": [0, 1], "label": 1, "y_um": 0.0, "x_um": 0.0})
    table.to_csv(tmp_path / "positions.csv", index=False)
    commands = [line for line in re.findall(r"```\n(.*?)```", page, flags=re.DOTALL)[0].splitlines() if line]
    assert len(commands) == 4
    for command in commands:
        done = tomocyte(*shlex.split(command)[1:])
        assert done.exit_code == 0, command
    assert (tmp_path / "from-trackmate" / "tracks.csv").exists()
    assert not (tmp_path / "tracked-table").exists()
