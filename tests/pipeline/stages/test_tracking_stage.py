"""Tracks in a run of a time-lapse: columns of objects, a table of tracks, both in the dictionaries."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from tests.in_process import tomocyte

from tomocyte.formats import write_volume
from tomocyte.volume import Volume

VOXEL_UM = (0.4, 0.2, 0.2)
OPTIONS = ("-m", "odt", "--model", "classical")
KNOWN = {"voxel_size_um": VOXEL_UM, "quantity": "refractive_index", "unit": "1", "medium_ri": 1.337}


def moving_cells(path, n_frames: int = 4) -> None:
    """A large cell with a droplet moves right, a small one with two droplets moves left."""
    image = np.full((n_frames, 1, 16, 60, 120), 1.337, np.float32)
    for frame in range(n_frames):
        left, right = 6 + 3 * frame, 84 - 3 * frame
        image[frame, 0, 3:13, 10:50, left : left + 30] = 1.36
        image[frame, 0, 3:13, 12:36, right : right + 24] = 1.37
        for y, x in ((20, left + 6), (16, right + 4), (26, right + 14)):
            image[frame, 0, 6:10, y : y + 5, x : x + 5] = 1.42
    write_volume(path, Volume.from_array(image, **KNOWN, time_s=(0.0, 60.0, 150.0, 200.0)[:n_frames]))


def test_a_run_of_a_time_lapse_has_tracks(tmp_path) -> None:
    moving_cells(tmp_path / "a.ome.tif")
    out = tmp_path / "out"
    done = tomocyte("run", tmp_path / "a.ome.tif", "-o", out, *OPTIONS)
    assert done.exit_code == 0, done.output
    objects, tracks = pd.read_csv(out / "objects.csv"), pd.read_csv(out / "tracks.csv")
    cells = objects.query("structure == 'cell'")
    assert cells.groupby("track_id").size().tolist() == [4, 4]
    volumes = cells.groupby("track_id")["volume_um3"]
    assert (volumes.max() / volumes.min() < 1.1).all(), "one is large, the other small, in every frame"
    droplets = objects.query("structure == 'inclusion' and track_id > 0")
    counts = droplets.groupby(["track_id", "frame"]).size().unstack()
    large = volumes.mean().idxmax()
    assert counts.loc[large].tolist() == [1] * 4
    assert counts.drop(index=large).iloc[0].tolist() == [2] * 4
    assert list(tracks)[:4] == ["item", "path", "folder", "structure"]
    assert tracks[["first_frame", "last_frame"]].to_numpy().tolist() == [[0, 3], [0, 3]]
    assert tracks["parent_id"].tolist() == [0, 0]
    # Three steps of 3 voxels of 0.2 µm in 200 s.
    np.testing.assert_allclose(tracks["net_displacement_um"], 1.8, atol=0.15)
    np.testing.assert_allclose(tracks["duration_s"], 200.0)
    for name, content in (("tracks", tracks), ("objects", objects)):
        described = pd.read_csv(out / f"{name}.dictionary.csv")
        assert described["column"].tolist() == list(content)
    facts = json.loads((out / "items" / "a" / "facts.json").read_text())
    assert facts["tracking"]["n_tracks"] == 2
    assert tomocyte("verify", out).exit_code == 0
    before = (out / "tracks.csv").read_bytes()
    again = tomocyte("run", tmp_path / "a.ome.tif", "-o", out, *OPTIONS)
    assert again.exit_code == 0
    assert (out / "tracks.csv").read_bytes() == before


def test_tracks_can_be_left_out_and_single_frames_have_none(tmp_path) -> None:
    moving_cells(tmp_path / "a.ome.tif")
    out = tmp_path / "out"
    assert tomocyte("run", tmp_path / "a.ome.tif", "-o", out, *OPTIONS, "--set", "tracking=null").exit_code == 0
    assert not (out / "tracks.csv").exists()
    assert "track_id" not in pd.read_csv(out / "objects.csv")
    moving_cells(tmp_path / "b.ome.tif", n_frames=1)
    assert tomocyte("run", tmp_path / "b.ome.tif", "-o", tmp_path / "one", *OPTIONS).exit_code == 0
    assert "track_id" not in pd.read_csv(tmp_path / "one" / "objects.csv")


def test_a_time_lapse_beside_a_single_frame(tmp_path) -> None:
    """Numbers of tracks stay whole numbers where one input has none."""
    inputs = tmp_path / "in"
    inputs.mkdir()
    moving_cells(inputs / "a.ome.tif", n_frames=2)
    moving_cells(inputs / "b.ome.tif", n_frames=1)
    assert tomocyte("run", inputs, "-o", tmp_path / "out", *OPTIONS).exit_code == 0
    text = pd.read_csv(tmp_path / "out" / "objects.csv", dtype=str)
    assert set(text.loc[text["item"] == "a", "track_id"]) == {"1", "2"}
    assert text.loc[text["item"] == "b", "track_id"].isna().all()


def test_a_time_lapse_without_objects(tmp_path) -> None:
    image = np.full((3, 1, 8, 30, 30), 1.337, np.float32) + np.random.default_rng(0).normal(0, 1e-4, (3, 1, 8, 30, 30))
    write_volume(tmp_path / "a.ome.tif", Volume.from_array(image.astype(np.float32), **KNOWN, time_s=(0.0, 1.0, 2.0)))
    done = tomocyte("run", tmp_path / "a.ome.tif", "-o", tmp_path / "out", *OPTIONS)
    assert done.exit_code == 0, done.output
    assert len(pd.read_csv(tmp_path / "out" / "tracks.csv")) == 0
    assert tomocyte("verify", tmp_path / "out").exit_code == 0
