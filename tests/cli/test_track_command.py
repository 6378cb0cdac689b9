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


def challenge(folder: Path, table: str = "man_track.txt", mask: str = "man_track") -> None:
    """Two cells; the second divides at frame 2, and the first is missing in frame 1, as the challenge writes that."""
    folder.mkdir(parents=True)
    boxes = {0: {1: (2, 2), 2: (20, 20)}, 1: {2: (20, 22)}, 2: {5: (2, 3), 3: (16, 22), 4: (26, 22)},
             3: {5: (2, 4), 3: (15, 22), 4: (27, 22)}}  # fmt: skip
    for frame, objects in boxes.items():
        labels = np.zeros((40, 40), np.uint16)
        for label, (y, x) in objects.items():
            labels[y : y + 6, x : x + 6] = label
        tifffile.imwrite(folder / f"{mask}{frame:03d}.tif", labels, photometric="minisblack", metadata=None)
    (folder / table).write_text("1 0 0 0\n2 0 1 0\n3 2 3 2\n4 2 3 2\n5 2 3 1\n", encoding="ascii")


def test_masks_of_the_challenge_keep_their_tracks(tmp_path) -> None:
    """Truth in TRA: shown by info, tracked with its links, written again as a result and read once more."""
    challenge(tmp_path / "01_GT" / "TRA")
    shown = tomocyte("info", tmp_path / "01_GT")
    assert shown.exit_code == 0, shown.output
    assert "ctc" in shown.output
    assert "labels" in shown.output
    refused = tomocyte("track", tmp_path / "01_GT", "-o", tmp_path / "out")
    assert "E-VOXEL-SIZE" in str(refused.exception)
    size = re.search(r"--pixel-size-um|--voxel-size-um", str(refused.exception))
    assert size is not None
    words = ["--pixel-size-um", 0.5, 0.5, "--time-step-s", 300, "--format", "ctc"]
    done = tomocyte("track", tmp_path / "01_GT", "-o", tmp_path / "out", *words)
    assert done.exit_code == 0, done.output
    tracks = pd.read_csv(tmp_path / "out" / "tracks.csv")
    assert tracks["parent_id"].tolist() == [0, 0, 2, 2], "the part after the gap is the same cell, not a daughter"
    assert tracks["last_frame"].tolist() == [3, 1, 3, 3]
    objects = pd.read_csv(tmp_path / "out" / "objects.csv")
    assert objects.set_index(["frame", "label"]).loc[(2, 5), "track_flags"] == "after-gap"
    assert objects.set_index(["frame", "label"]).loc[(2, 5), "time_s"] == 600.0
    result = tmp_path / "01_RES"
    result.mkdir()
    for path in (tmp_path / "out").glob("*mask*.tif"):
        if path.name != "masks.ome.tif":
            (result / path.name).write_bytes(path.read_bytes())
    (result / "res_track.txt").write_bytes((tmp_path / "out" / "res_track.txt").read_bytes())
    again = tomocyte("track", result, "-o", tmp_path / "again", "--pixel-size-um", 0.5, 0.5)
    assert again.exit_code == 0, again.output
    columns = ["parent_id", "first_frame", "last_frame", "end"]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "again" / "tracks.csv")[columns], tracks[columns])


def test_a_table_of_the_challenge_that_does_not_fit_its_masks(tmp_path) -> None:
    challenge(tmp_path / "a")
    (tmp_path / "a" / "man_track.txt").write_text("1 0 3 0\n", encoding="ascii")
    done = tomocyte("track", tmp_path / "a", "-o", tmp_path / "out", "--pixel-size-um", 0.5, 0.5)
    assert "E-TRACK-CTC" in str(done.exception)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "res_track.txt").write_text("1 0 3 0\n", encoding="ascii")
    assert "E-FORMAT" in str(tomocyte("track", tmp_path / "b", "-o", tmp_path / "out").exception)


def test_one_frame_of_the_challenge(tmp_path) -> None:
    challenge(tmp_path / "a", "res_track.txt", "mask")
    for frame in (1, 2, 3):
        (tmp_path / "a" / f"mask{frame:03d}.tif").unlink()
    (tmp_path / "a" / "res_track.txt").write_text("1 0 0 0\n2 0 0 0\n", encoding="ascii")
    done = tomocyte("track", tmp_path / "a", "-o", tmp_path / "out", "--pixel-size-um", 0.5, 0.5)
    assert done.exit_code == 0, done.output
    assert "2 objects in 1 frames: 2 tracks, 0 divisions." in done.output


def drawn(path: Path, frames: list[list[tuple[int, int, int]]], times: tuple[float, ...] | None = None) -> None:
    """Label images of square cells: y, x and side of each, numbered in this order."""
    labels = np.zeros((len(frames), 1, 4, 60, 80), np.uint16)
    for frame, cells in enumerate(frames):
        for number, (y, x, side) in enumerate(cells, start=1):
            labels[frame, 0, :, y : y + side, x : x + side] = number
    write_volume(path, Volume.from_array(labels, quantity="labels", unit="1", voxel_size_um=SIZE_UM, time_s=times))


def tracked(path: Path, *options: object) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    out = path.with_name("out")
    done = tomocyte("track", path, "-o", out, *options)
    assert done.exit_code == 0, done.output
    masks = read_volume(out / "masks.ome.tif")
    planes = np.stack([masks.planes(frame, 0) for frame in range(masks.n_frames)])
    return pd.read_csv(out / "objects.csv"), pd.read_csv(out / "tracks.csv"), planes


def test_a_film_without_cells(tmp_path) -> None:
    drawn(tmp_path / "a.ome.tif", [[], [], []])
    objects, tracks, masks = tracked(tmp_path / "a.ome.tif", "--format", "ctc", "--format", "geff")
    assert (len(objects), len(tracks)) == (0, 0)
    assert masks.shape == (3, 4, 60, 80)
    assert not masks.any()
    assert (tmp_path / "out" / "res_track.txt").read_text(encoding="ascii") == ""


def test_an_empty_frame_irregular_times_and_a_cell_of_one_frame(tmp_path) -> None:
    """Two cells are gone in frame 2 and come back; a third is there in frame 4 alone."""
    frames = [[(5, 5 + 2 * t, 12), (35, 40, 16)] for t in range(6)]
    frames[2] = []
    frames[4].append((5, 60, 12))
    drawn(tmp_path / "a.ome.tif", frames, (0.0, 60.0, 90.0, 400.0, 410.0, 500.0))
    objects, tracks, masks = tracked(tmp_path / "a.ome.tif")
    assert tracks[["first_frame", "last_frame"]].to_numpy().tolist() == [[0, 5], [0, 5], [4, 4]]
    assert objects[objects["frame"] == 3]["track_flags"].tolist() == ["after-gap"] * 2
    assert objects.groupby("frame")["time_s"].first().tolist() == [0.0, 60.0, 400.0, 410.0, 500.0]
    assert not masks[2].any()
    assert masks[5, 0, 40, 45] == masks[0, 0, 40, 45]
    np.testing.assert_allclose(tracks["duration_s"], [500.0, 500.0, np.nan])
    np.testing.assert_allclose(tracks["path_length_um"][:2], [10 * 0.2, 0.0], atol=1e-9)


def test_a_film_of_one_frame(tmp_path) -> None:
    drawn(tmp_path / "a.ome.tif", [[(5, 5, 12), (35, 40, 16)]])
    objects, tracks, _ = tracked(tmp_path / "a.ome.tif")
    assert objects["track_id"].tolist() == [1, 2]
    assert (tracks["first_frame"] == tracks["last_frame"]).all()


def test_two_cells_that_change_places_are_told_apart_by_size(tmp_path) -> None:
    """All cells move by up to six columns per frame; from frame 3 to 4 two neighbours change places."""
    rng = np.random.default_rng(5)
    others = [(2, 20, 8), (2, 60, 9), (48, 10, 8), (46, 60, 10)]
    frames = []
    for frame in range(7):
        others = [(y, int(np.clip(x + rng.integers(-6, 7), 0, 68)), side) for y, x, side in others]
        large, small = ((22, 22, 16), (24, 40, 11)) if frame < 4 else ((22, 34, 16), (24, 21, 11))
        shift = int(rng.integers(-2, 3))
        frames.append([*((y, x + shift, side) for y, x, side in (large, small)), *others])
    drawn(tmp_path / "a.ome.tif", frames)
    _, tracks, masks = tracked(tmp_path / "a.ome.tif")
    assert len(tracks) == 6
    assert masks[3, 0, 30, 30] == masks[5, 0, 30, 42] != 0
    assert masks[3, 0, 30, 45] == masks[5, 0, 30, 26] != 0


def test_results_of_tracking_can_be_tracked_again(tmp_path) -> None:
    series(tmp_path / "a.ome.tif")
    assert tomocyte("track", tmp_path / "a.ome.tif", "-o", tmp_path / "out").exit_code == 0
    assert tomocyte("track", tmp_path / "out", "-o", tmp_path / "again").exit_code == 0
    first, second = (pd.read_csv(tmp_path / name / "objects.csv") for name in ("out", "again"))
    assert first["track_id"].tolist() == second["track_id"].tolist()


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
