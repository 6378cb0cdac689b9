"""Tracks in files of other programs: written and read again, against files written by hand, and damaged ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr

from tomocyte.errors import InputError
from tomocyte.tracking.files import (
    TrackedObjects,
    graph_of,
    read_ctc,
    read_geff,
    read_trackmate,
    tracks_of_links,
    write_ctc_table,
    write_geff,
    write_trackmate,
)

TABLE = pd.DataFrame(
    {
        "frame": [0, 0, 1, 1, 2, 2, 2, 4],
        "label": [1, 2, 2, 1, 5, 6, 7, 3],
        "z_um": [1.0, 2.0, 1.5, 2.5, 1.0, 2.0, 3.0, 2.0],
        "y_um": [0.0, 10.0, 0.5, 10.5, 0.0, 9.0, 12.0, 0.25],
        "x_um": [5.0, 5.0, 6.0, 5.0, 7.0, 4.0, 6.0, 8.0],
        "time_s": [0.0, 0.0, 60.0, 60.0, 130.0, 130.0, 130.0, 250.0],
        "volume_um3": [100.0, 200.0, 101.0, 199.0, np.nan, 98.0, 101.0, 100.0],
    }
)
LINKS = np.array([(0, 2), (1, 3), (2, 4), (3, 5), (3, 6), (4, 7)])
"""Cell A: rows 0, 2, 4 and, after a gap, 7. Cell B: rows 1, 3, then the daughters 5 and 6."""


def given() -> TrackedObjects:
    graph = TrackedObjects(TABLE, LINKS)
    return graph_of(TABLE, tracks_of_links(graph))


def edges(objects: TrackedObjects) -> set[tuple[tuple[int, int], tuple[int, int]]]:
    key = list(zip(objects.table["frame"].tolist(), objects.table["label"].tolist(), strict=True))
    return {(key[a], key[b]) for a, b in objects.links.tolist()}


TRUTH = edges(TrackedObjects(TABLE, LINKS))


def test_links_make_tracks() -> None:
    tracks = tracks_of_links(TrackedObjects(TABLE, LINKS))
    assert tracks.objects["track_id"].tolist() == [1, 2, 1, 2, 1, 3, 4, 1]
    assert tracks.tracks["parent_id"].tolist() == [0, 0, 2, 2]
    assert tracks.tracks["last_frame"].tolist() == [4, 1, 2, 2]
    assert edges(given()) == TRUTH


def test_ctc_by_hand(tmp_path) -> None:
    """The track with a gap goes on under a new number, whose parent it is, as the challenge wants."""
    numbers = write_ctc_table(given(), tmp_path / "res_track.txt")
    assert (tmp_path / "res_track.txt").read_text() == "1 0 2 0\n2 0 1 0\n3 2 2 2\n4 2 2 2\n5 4 4 1\n"
    assert numbers[4, 1] == 5
    assert numbers[2, 1] == 1
    rows = pd.DataFrame(
        [(frame, label) for (frame, _), label in numbers.items()], columns=["frame", "label"]
    ).sort_values(["frame", "label"], ignore_index=True)
    read = read_ctc(tmp_path / "res_track.txt", rows)
    assert edges(read) == {((0, 1), (1, 1)), ((1, 1), (2, 1)), ((0, 2), (1, 2)), ((1, 2), (2, 3)), ((1, 2), (2, 4)),
                           ((2, 1), (4, 5))}  # fmt: skip


@pytest.mark.parametrize("text", ["1 0 2\n", "one 0 2 0\n", "1 0 9 0\n", "1 0 1 7\n", "9 0 0 0\n"])
def test_ctc_tables_that_are_refused(tmp_path, text: str) -> None:
    (tmp_path / "res_track.txt").write_text(text)
    rows = pd.DataFrame({"frame": [0, 1], "label": [1, 1]})
    with pytest.raises(InputError) as caught:
        read_ctc(tmp_path / "res_track.txt", rows)
    assert caught.value.code == "E-TRACK-CTC"


def test_geff_there_and_back(tmp_path) -> None:
    write_geff(given(), tmp_path / "tracks.geff")
    read = read_geff(tmp_path / "tracks.geff")
    assert edges(read) == TRUTH
    order = read.table.sort_values(["frame", "label"]).reset_index(drop=True)
    expected = TABLE.sort_values(["frame", "label"]).reset_index(drop=True)
    for name in ("z_um", "y_um", "x_um", "time_s"):
        np.testing.assert_array_equal(order[name], expected[name])


def test_geff_as_the_specification_has_it(tmp_path) -> None:
    """Read without zarr: metadata and shapes as plain files of Zarr format 2."""
    write_geff(given(), tmp_path / "tracks.geff")
    about = json.loads((tmp_path / "tracks.geff" / ".zattrs").read_text())["geff"]
    assert about["directed"] is True
    assert [axis["name"] for axis in about["axes"]] == ["t", "z", "y", "x"]
    assert {axis["type"] for axis in about["axes"]} == {"time", "space"}
    ids = json.loads((tmp_path / "tracks.geff" / "nodes" / "ids" / ".zarray").read_text())
    assert (ids["shape"], ids["dtype"]) == ([8], "<u8")
    links = json.loads((tmp_path / "tracks.geff" / "edges" / "ids" / ".zarray").read_text())
    assert (links["shape"], links["dtype"]) == ([6, 2], "<u8")
    properties = tmp_path / "tracks.geff" / "nodes" / "props"
    assert (properties / "volume_um3" / "missing" / ".zarray").exists(), "one volume is unknown"
    assert not (properties / "x" / "missing").exists()
    assert set(about["node_props_metadata"]) == {entry.name for entry in properties.iterdir() if entry.is_dir()}


def test_geff_as_another_program_writes_it(tmp_path) -> None:
    """Zarr format 3, ids that are no positions, axes of other names in nanometres, an edge with a weight."""
    root = zarr.open_group(tmp_path / "other.geff", mode="w", zarr_format=3)
    root.attrs["geff"] = {
        "geff_version": "1.1.0", "directed": True, "node_props_metadata": {}, "edge_props_metadata": {},
        "axes": [{"name": "time", "type": "time", "unit": "second"},
                 {"name": "row", "type": "space", "unit": "nanometer"},
                 {"name": "x", "type": "space", "unit": "nanometer"}],
    }  # fmt: skip
    root.create_array("nodes/ids", data=np.array([3, 7, 9], np.uint64))
    root.create_array("edges/ids", data=np.array([[3, 7], [3, 9]], np.uint64))
    root.create_array("edges/props/weight/values", data=np.array([0.5, 0.25]))
    for name, values in (("time", [0.0, 40.0, 40.0]), ("row", [1500.0, 1700.0, 9000.0]), ("x", [0.0, 100.0, 200.0])):
        root.create_array(f"nodes/props/{name}/values", data=np.array(values))
    read = read_geff(tmp_path / "other.geff")
    assert read.table["frame"].tolist() == [0, 1, 1]
    assert read.table["time_s"].tolist() == [0.0, 40.0, 40.0]
    np.testing.assert_allclose(read.table["y_um"], [1.5, 1.7, 9.0])
    np.testing.assert_allclose(read.table["x_um"], [0.0, 0.1, 0.2])
    assert read.links.tolist() == [[0, 1], [0, 2]]
    assert tracks_of_links(read).tracks["parent_id"].tolist() == [0, 1, 1]


def test_a_folder_that_is_no_geff(tmp_path) -> None:
    with pytest.raises(InputError) as caught:
        read_geff(tmp_path)
    assert caught.value.code == "E-TRACK-GEFF"


def test_trackmate_there_and_back(tmp_path) -> None:
    write_trackmate(given(), tmp_path / "tracks.xml")
    read = read_trackmate(tmp_path / "tracks.xml")
    assert edges(read) == TRUTH
    np.testing.assert_array_equal(read.table["x_um"], TABLE.sort_values(["frame", "label"])["x_um"])


BY_HAND = """<?xml version="1.0" encoding="UTF-8"?>
<TrackMate version="7.1.0"><Model spatialunits="nm" timeunits="min"><AllSpots nspots="4">
<SpotsInFrame frame="0"><Spot ID="10" FRAME="0" VISIBILITY="1" POSITION_T="0" POSITION_X="1000" POSITION_Y="2000"
POSITION_Z="0"/></SpotsInFrame><SpotsInFrame frame="1">
<Spot ID="12" FRAME="1" VISIBILITY="1" POSITION_T="2" POSITION_X="1500" POSITION_Y="2000" POSITION_Z="0"/>
<Spot ID="13" FRAME="1" VISIBILITY="1" POSITION_T="2" POSITION_X="500" POSITION_Y="2000" POSITION_Z="0"/>
<Spot ID="14" FRAME="1" VISIBILITY="0" POSITION_T="2" POSITION_X="0" POSITION_Y="0" POSITION_Z="0"/>
</SpotsInFrame></AllSpots><AllTracks><Track TRACK_ID="0"><Edge SPOT_SOURCE_ID="12" SPOT_TARGET_ID="10"/>
<Edge SPOT_SOURCE_ID="10" SPOT_TARGET_ID="13"/></Track></AllTracks>
<FilteredTracks><TrackID TRACK_ID="0"/></FilteredTracks></Model></TrackMate>
"""


def test_trackmate_by_hand(tmp_path) -> None:
    """Another unit of length and time, no z, an edge written backwards, a hidden spot."""
    (tmp_path / "a.xml").write_text(BY_HAND)
    read = read_trackmate(tmp_path / "a.xml")
    assert read.table["x_um"].tolist() == [1.0, 1.5, 0.5]
    assert read.table["time_s"].tolist() == [0.0, 120.0, 120.0]
    assert "z_um" not in read.table
    assert sorted(read.links.tolist()) == [[0, 1], [0, 2]]
    assert tracks_of_links(read).tracks["parent_id"].tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    "text",
    [
        "no xml",
        "<other/>",
        '<!DOCTYPE a [<!ENTITY b "c">]><TrackMate/>',
        BY_HAND.replace('spatialunits="nm"', 'spatialunits="pixel"'),
        BY_HAND.replace('POSITION_X="1000"', ""),
        BY_HAND.replace('POSITION_X="1000"', 'POSITION_X="left"'),
    ],
)
def test_xml_that_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(InputError) as caught:
        read_trackmate(tmp_path / "a.xml")
    assert caught.value.code == "E-TRACK-XML"


def test_a_link_back_in_time_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        tracks_of_links(TrackedObjects(TABLE, np.array([(2, 0)])))
    assert caught.value.code == "E-TRACK-LINK"
