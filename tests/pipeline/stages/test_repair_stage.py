"""Cells that the segmentation merged or cut in a frame, repaired in a run: masks, measurements and tables agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.in_process import tomocyte, workers_in_this_process

from tomocyte.corrections.repairs import repair_edits
from tomocyte.formats import read_volume, write_volume
from tomocyte.labels.stack import LabelStack
from tomocyte.tracking import track_objects
from tomocyte.volume import Volume

VOXEL_UM = (0.4, 0.2, 0.2)
VOXEL_UM3 = 0.4 * 0.2 * 0.2
CELLS = ((5, 5, 24, 30, 1.36), (5, 85, 24, 30, 1.365), (50, 20, 20, 24, 1.37), (50, 48, 22, 26, 1.362))
"""y, x, height, width and index of boxes of 8 planes; the third touches the fourth but for four columns."""
N_FRAMES = 6
BRIDGE = 16 * 4 * 8
"""Voxels between the last two cells that the merged mask covers too."""


@pytest.fixture(autouse=True)
def in_this_process():
    with workers_in_this_process():
        yield


def film(folder: Path, *, merged: tuple[int, ...] = (), cut: tuple[int, ...] = ()) -> list[np.ndarray]:
    """Image and masks of four cells that move by a column per frame; in some frames two are one, or one is two."""
    image = np.full((N_FRAMES, 1, 12, 80, 130), 1.337, np.float32)
    masks = np.zeros(image.shape, np.uint16)
    droplets = np.zeros(image.shape, np.uint16)
    for frame in range(N_FRAMES):
        for label, (y, x, height, width, index) in enumerate(CELLS, start=1):
            place = (slice(2, 10), slice(y, y + height), slice(x + frame, x + frame + width))
            image[(frame, 0, *place)] = index
            masks[(frame, 0, *place)] = label
            droplets[frame, 0, 4:7, y + 5 : y + 8, x + frame + 4 : x + frame + 7] = label
        labels = masks[frame, 0]
        if frame in merged:
            labels[labels == 4] = 3
            labels[2:10, 52:68, 44 + frame : 48 + frame] = 3
        if frame in cut:
            labels[2:10, 17:29][labels[2:10, 17:29] == 1] = 7
    known = {"voxel_size_um": VOXEL_UM, "time_s": tuple(60.0 * frame for frame in range(N_FRAMES))}
    folder.mkdir(parents=True, exist_ok=True)
    write_volume(folder / "a.ome.tif", Volume.from_array(image, quantity="refractive_index", unit="1", medium_ri=1.337,
                                                         **known))  # fmt: skip
    for name, labels in (("cells", masks), ("droplets", droplets)):
        write_volume(folder / f"{name}.ome.tif", Volume.from_array(labels, quantity="labels", unit="1", **known))
    return list(masks[:, 0])


def measured(folder: Path, out: str, *more: object) -> pd.DataFrame:
    done = tomocyte("measure", folder / "a.ome.tif", "-m", "odt", "--cell", folder / "cells.ome.tif", "--lipid-droplet",
                    folder / "droplets.ome.tif", "-o", folder / out, *more)  # fmt: skip
    assert done.exit_code == 0, done.output
    return pd.read_csv(folder / out / "objects.csv", keep_default_na=False)


def cells_of(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["structure"] == "cell"]


def test_merged_cells_are_cut_and_measured_again(tmp_path: Path) -> None:
    masks = film(tmp_path, merged=(3,))
    table = measured(tmp_path, "out")
    cells = cells_of(table)
    assert cells.groupby("frame").size().tolist() == [4] * N_FRAMES
    assert cells.groupby("track_id").size().tolist() == [N_FRAMES] * 4
    repaired = cells[cells["track_flags"] == "repaired"]
    assert repaired["frame"].tolist() == [3, 3]
    before = cells[cells["frame"] == 2].set_index("track_id")["volume_um3"]
    now = cells[cells["frame"] == 3].set_index("track_id")["volume_um3"].astype(float)
    extra = now - before.astype(float)
    np.testing.assert_allclose(extra.sum(), BRIDGE * VOXEL_UM3)
    assert extra.between(-1e-9, BRIDGE * VOXEL_UM3).all(), "only the bridge is shared out"
    mass = cells.assign(mass=cells["dry_mass_pg"].astype(float)).groupby("track_id")["mass"]
    np.testing.assert_allclose(mass.max(), mass.min(), rtol=1e-5)
    droplets = table[table["structure"] == "lipid_droplet"]
    assert droplets.groupby(["track_id", "frame"]).size().eq(1).all(), "what a cell contains follows it"
    assert len(droplets) == 4 * N_FRAMES
    labels = read_volume(tmp_path / "out" / "items" / "a" / "cell.ome.tif")
    for row in cells.itertuples():
        n = np.count_nonzero(labels.planes(row.frame, 0) == row.label)
        np.testing.assert_allclose(n * VOXEL_UM3, float(row.volume_um3))
    segmented = read_volume(tmp_path / "out" / "items" / "a" / "as_segmented" / "cell.ome.tif")
    assert all(np.array_equal(segmented.planes(frame, 0), masks[frame]) for frame in range(N_FRAMES))
    assert tomocyte("verify", tmp_path / "out").exit_code == 0
    assert "W-TRACK-REPAIRED" in (tmp_path / "out" / "status.csv").read_text(encoding="utf-8")


def test_a_cut_cell_is_put_together(tmp_path: Path) -> None:
    film(tmp_path, cut=(2, 3))
    cells = cells_of(measured(tmp_path, "out"))
    assert cells.groupby("track_id")["volume_um3"].nunique().tolist() == [1] * 4
    assert cells[cells["track_flags"] == "repaired"]["frame"].tolist() == [2, 3]


def test_cells_merged_for_two_frames(tmp_path: Path) -> None:
    film(tmp_path, merged=(2, 3))
    cells = cells_of(measured(tmp_path, "out"))
    assert cells.groupby("track_id").size().tolist() == [N_FRAMES] * 4
    volume = cells.assign(volume=cells["volume_um3"].astype(float)).groupby("track_id")["volume"]
    assert (volume.max() - volume.min()).max() <= BRIDGE * VOXEL_UM3 + 1e-9


def test_the_setting_leaves_everything_as_it_was_segmented(tmp_path: Path) -> None:
    masks = film(tmp_path, merged=(3,))
    table = measured(tmp_path, "off", "--set", "tracking.has_repairs=false")
    cells = cells_of(table)
    assert cells.groupby("frame").size().tolist() == [4, 4, 4, 3, 4, 4]
    assert cells[cells["frame"] == 3]["track_flags"].tolist() == ["", "", "merged"]
    item = tmp_path / "off" / "items" / "a"
    assert not (item / "as_segmented").exists()
    assert not (item / "repairs.yaml").exists()
    labels = read_volume(item / "cell.ome.tif")
    assert all(np.array_equal(labels.planes(frame, 0), masks[frame]) for frame in range(N_FRAMES))


def test_without_errors_nothing_changes(tmp_path: Path) -> None:
    film(tmp_path)
    on, off = measured(tmp_path, "on"), measured(tmp_path, "off", "--set", "tracking.has_repairs=false")
    pd.testing.assert_frame_equal(on, off)
    assert not (tmp_path / "on" / "items" / "a" / "as_segmented").exists()


def test_what_was_corrected_by_hand_is_not_repaired(tmp_path: Path) -> None:
    """The user says that the two are one: a merge in frame 3 of cells that were apart there."""
    film(tmp_path)
    (tmp_path / "edits.yaml").write_text(
        "version: 1\nedits:\n- {do: merge, structure: cell, frame: 3, targets: [3, 4]}\n", encoding="utf-8"
    )
    cells = cells_of(measured(tmp_path, "out", "--edits", tmp_path / "edits.yaml"))
    assert cells.groupby("frame").size().tolist() == [4, 4, 4, 3, 4, 4]
    assert cells[cells["frame"] == 3]["track_flags"].tolist() == ["", "", "merged"]


def test_a_repaired_image_is_corrected_further_and_replayed(tmp_path: Path) -> None:
    """From the repaired labels with one cell deleted to edits, and from those to exactly the saved labels."""
    film(tmp_path, merged=(3,))
    measured(tmp_path, "out")
    path = tmp_path / "out" / "items" / "a" / "cell.ome.tif"
    labels = read_volume(path)
    saved = np.stack([labels.planes(frame, 0) for frame in range(N_FRAMES)])[:, np.newaxis]
    saved[4][saved[4] == 1] = 0
    write_volume(tmp_path / "saved.ome.tif", Volume.from_array(saved.astype(np.uint16), voxel_size_um=VOXEL_UM,
                                                               quantity="labels", unit="1"))  # fmt: skip
    done = tomocyte("edits", "from-labels", tmp_path / "out", "a", "--structure", "cell", "--corrected",
                    tmp_path / "saved.ome.tif", "-o", tmp_path / "edits.yaml")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "1 delete" in done.output
    more = tomocyte("edits", "from-labels", tmp_path / "out", "a", "--structure", "cell", "--corrected",
                    tmp_path / "saved.ome.tif", "-o", tmp_path / "edits.yaml", "--append")  # fmt: skip
    assert "nothing to write" in more.output
    measured(tmp_path, "again", "--edits", tmp_path / "edits.yaml")
    again = read_volume(tmp_path / "again" / "items" / "a" / "cell.ome.tif")
    assert all(np.array_equal(again.planes(frame, 0), saved[frame, 0]) for frame in range(N_FRAMES))


def test_label_images_alone_are_repaired_too(tmp_path: Path) -> None:
    film(tmp_path, merged=(3,), cut=(1,))
    done = tomocyte("track", tmp_path / "cells.ome.tif", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "3 objects were cut or put together" in done.output
    objects = pd.read_csv(tmp_path / "out" / "objects.csv", keep_default_na=False)
    assert objects.groupby("frame").size().tolist() == [4] * N_FRAMES
    assert objects[objects["track_flags"] == "repaired"].groupby("frame").size().to_dict() == {1: 1, 3: 2}
    masks = read_volume(tmp_path / "out" / "masks.ome.tif")
    for row in objects.itertuples():
        n = np.count_nonzero(masks.planes(row.frame, 0) == row.track_id)
        np.testing.assert_allclose(n * VOXEL_UM3, float(row.volume_um3))
    assert (tmp_path / "out" / "repairs.yaml").exists()
    left = tomocyte("track", tmp_path / "cells.ome.tif", "-o", tmp_path / "off", "--set", "has_repairs=false")
    assert "objects are two" in left.output
    assert len(pd.read_csv(tmp_path / "off" / "objects.csv")) == 4 * N_FRAMES - 1 + 1


def test_a_cut_follows_how_the_cells_moved(tmp_path: Path) -> None:
    """Two cells jump by 11 columns while they are one: the border moves with them."""
    series = []
    for frame in range(5):
        x = 10 + frame + (11 if frame >= 2 else 0)
        labels = np.zeros((4, 40, 90), np.uint16)
        labels[:, 10:30, x : x + 20], labels[:, 12:28, x + 20 : x + 38] = 1, 2
        labels[:, 34:39, 5:20], labels[:, 1:6, 60:80] = 3, 4
        series.append(labels)
    whole = series[2].copy()
    series[2][series[2] == 2] = 1
    rows = [
        (frame, label, *(np.argwhere(labels == label).mean(axis=0) * VOXEL_UM), (labels == label).sum() * VOXEL_UM3)
        for frame, labels in enumerate(series)
        for label in np.unique(labels[labels > 0]).tolist()
    ]
    table = pd.DataFrame(rows, columns=["frame", "label", "z_um", "y_um", "x_um", "volume_um3"])
    tracks = track_objects(table, labels=lambda frame: series[frame], voxel_size_um=VOXEL_UM)
    assert set(tracks.merged) == {(2, 1)}
    (edit,) = repair_edits(tracks, lambda frame: series[frame], VOXEL_UM)
    assert (edit.do, edit.frame) == ("split", 2)
    box, mask, _ = edit.pieces.paint()
    painted = np.zeros(whole.shape, bool)
    painted[box] = mask
    assert any(np.array_equal(painted, whole == label) for label in (1, 2))
    assert repair_edits(tracks, lambda frame: series[frame], VOXEL_UM, kept={(2, 1)}) == ()


def test_a_stack_holds_another_frame_and_a_copy_the_old_one() -> None:
    stack = LabelStack((1, 2, 2))
    first, second = np.ones((1, 2, 2), np.uint8), np.full((1, 2, 2), 300, np.uint16)
    stack.append(first)
    stack.append(first)
    kept = stack.copy()
    assert kept.volume().planes(1, 0).max() == 1
    stack.replace(1, second)
    assert [stack.volume().planes(frame, 0).max() for frame in range(2)] == [1, 300]
    assert kept.volume().planes(1, 0).max() == 1
    with pytest.raises(ValueError, match="unsigned"):
        stack.replace(0, second.astype(np.int16))
