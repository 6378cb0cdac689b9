"""Label images over time: overlaps, errors of the segmentation in single frames, consistent numbers."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tomocyte.tracking import Relabeller, TrackingSettings, Tracks, track_objects
from tomocyte.tracking.objects import objects_of_table
from tomocyte.tracking.overlaps import count_overlaps

VOXEL_UM = (2.0, 0.5, 0.25)
Series = NDArray[np.uint16]


def boxes(*places: tuple[int, int, int, int]) -> NDArray[np.uint16]:
    """(3, 60, 120): boxes from y, x with their height and width, numbered in this order."""
    frame = np.zeros((3, 60, 120), np.uint16)
    for number, (y, x, height, width) in enumerate(places, start=1):
        frame[:, y : y + height, x : x + width] = number
    return frame


def measured(series: list[NDArray[np.uint16]]) -> pd.DataFrame:
    """Centre and volume of every label, with the voxel size."""
    rows = []
    for index, labels in enumerate(series):
        for label in np.unique(labels[labels > 0]).tolist():
            where = np.argwhere(labels == label)
            z, y, x = where.mean(axis=0) * VOXEL_UM
            rows.append((index, label, z, y, x, len(where) * np.prod(VOXEL_UM)))
    return pd.DataFrame(rows, columns=["frame", "label", "z_um", "y_um", "x_um", "volume_um3"])


def tracked(series: list[NDArray[np.uint16]], **settings: object) -> tuple[Tracks, list[NDArray[np.unsignedinteger]]]:
    tracks = track_objects(
        measured(series),
        TrackingSettings(**settings),
        labels=lambda frame: series[frame],
        voxel_size_um=VOXEL_UM,
        extent_um=(6.0, 30.0, 30.0),
    )
    relabeller = Relabeller(tracks)
    return tracks, [relabeller.frame(index, labels) for index, labels in enumerate(series)]


STILL = ((5, 5, 12, 20), (5, 80, 12, 20), (40, 5, 12, 20), (40, 80, 12, 20), (22, 45, 10, 10), (22, 56, 10, 12))
"""Six cells; the last two are neighbours with one free column between them."""


def moved(index: int, places: tuple[tuple[int, int, int, int], ...] = STILL) -> NDArray[np.uint16]:
    return boxes(*((y + index % 2, x + index, height, width) for y, x, height, width in places))


def test_overlaps_counted_by_hand() -> None:
    first, second = boxes((0, 0, 10, 10), (20, 20, 5, 4)), boxes((5, 5, 10, 10), (20, 22, 5, 4))
    objects = objects_of_table(measured([first, second]))
    overlaps = count_overlaps(objects, enumerate([first, second]))
    rows = np.array([0, 1, 0]), np.array([2, 3, 3])
    assert overlaps.common(*rows).tolist() == [3 * 5 * 5, 3 * 5 * 2, 0]
    np.testing.assert_allclose(overlaps.iou(*rows), [75 / 525, 30 / 90, 0])
    np.testing.assert_allclose(
        overlaps.iou_of_two(np.array([0]), np.array([2]), np.array([3])), [75 / (300 + 360 - 75)]
    )
    shifted = count_overlaps(objects, enumerate([first, second]), {1: (0, 5, 5)})
    assert shifted.common(np.array([0]), np.array([2])).tolist() == [300]


def test_overlaps_across_a_gap_are_unknown() -> None:
    series = [moved(0), moved(1), moved(2)]
    objects = objects_of_table(measured(series))
    overlaps = count_overlaps(objects, enumerate(series))
    assert np.isnan(overlaps.iou(np.array([0]), np.array([12])))[0]


def test_two_cells_merged_in_one_frame_are_cut_again() -> None:
    series = [moved(index) for index in range(6)]
    whole = series[3].copy()
    series[3][:, 23:33, 48:58] = 5
    series[3][:, 23:33, 58:59] = 5
    series[3][series[3] == 6] = 5
    tracks, numbered = tracked(series)
    assert len(tracks.tracks) == 6
    assert tracks.tracks["parent_id"].eq(0).all()
    assert set(tracks.merged) == {(3, 5)}
    flags = tracks.objects.set_index(["frame", "label"])["track_flags"]
    assert flags[3, 5] == "merged"
    names = numbered[2][0, 27, 47], numbered[2][0, 27, 60]
    assert set(tracks.merged[3, 5]) == set(names)
    # Cut where the cells met in the frame before; they have moved by one of their 10 columns since.
    left, right = whole == 5, whole == 6
    assert (numbered[3][left] == names[0]).mean() >= 0.9
    assert (numbered[3][right] == names[1]).mean() >= 0.9
    assert numbered[4][0, 27, 50] == names[0]
    assert numbered[4][0, 27, 62] == names[1]


def test_a_cell_cut_in_one_frame_is_joined_again() -> None:
    series = [moved(index) for index in range(6)]
    series[3][:, 41:53, 14:28][series[3][:, 41:53, 14:28] == 3] = 9
    tracks, numbered = tracked(series)
    assert len(tracks.tracks) == 6
    assert [key for key in tracks.pieces if key[0] == 3] == [next(iter(tracks.pieces))]
    whole = moved(3) == 3
    assert len(np.unique(numbered[3][whole])) == 1
    assert numbered[3][whole][0] == numbered[2][moved(2) == 3][0]
    flags = tracks.objects[tracks.objects["frame"] == 3]
    assert (flags["track_flags"] == "piece").sum() == 1
    assert (flags["track_id"] == 0).sum() == 1


def joined(labels: NDArray[np.uint16], *members: int) -> NDArray[np.uint16]:
    """The labels with members, and what lies between them, as one object of the first member's number."""
    result = labels.copy()
    places = np.argwhere(np.isin(labels, members))
    (_, y0, x0), (_, y1, x1) = places.min(axis=0), places.max(axis=0)
    result[:, y0 : y1 + 1, x0 : x1 + 1] = members[0]
    return result


ROW = ((5, 5, 12, 20), (5, 80, 12, 20), (40, 5, 12, 20), (22, 40, 10, 11), (22, 52, 10, 10), (22, 63, 10, 12))
"""Six cells; the last three stand in a row with one free column between them."""


def test_two_cells_that_are_seen_as_one_for_long_are_cut_all_the_while() -> None:
    whole = [moved(index) for index in range(12)]
    series = [joined(labels, 5, 6) if 3 <= index < 9 else labels for index, labels in enumerate(whole)]
    tracks, numbered = tracked(series)
    assert len(tracks.tracks) == 6
    assert sorted(tracks.merged) == [(index, 5) for index in range(3, 9)]
    for index in (2, 5, 8, 11):
        for label in (5, 6):
            values, counts = np.unique(numbered[index][whole[index] == label], return_counts=True)
            assert values[np.argmax(counts)] == numbered[0][whole[0] == label][0]


def test_three_cells_are_seen_as_one_and_come_out_one_by_one() -> None:
    whole = [moved(index, ROW) for index in range(11)]
    series = list(whole)
    for index in range(2, 9):
        series[index] = joined(whole[index], 4, 5) if index < 4 else joined(whole[index], 4, 5, 6)
        if index >= 7:
            series[index] = joined(whole[index], 5, 6)
    tracks, numbered = tracked(series)
    assert len(tracks.tracks) == 6
    names = [int(numbered[0][whole[0] == label][0]) for label in (4, 5, 6)]
    held = {key: set(members) for key, members in tracks.merged.items()}
    assert held == {
        **{(index, 4): set(names[:2]) for index in (2, 3)},
        **{(index, 4): set(names) for index in (4, 5, 6)},
        **{(index, 5): set(names[1:]) for index in (7, 8)},
    }
    for index, labels in enumerate(whole):
        for label, name in zip((4, 5, 6), names, strict=True):
            values, counts = np.unique(numbered[index][labels == label], return_counts=True)
            assert values[np.argmax(counts)] == name


def test_cells_that_stay_one_to_the_end_are_cut_to_the_end() -> None:
    whole = [moved(index) for index in range(8)]
    series = [joined(labels, 5, 6) if index >= 3 else labels for index, labels in enumerate(whole)]
    tracks, numbered = tracked(series)
    assert sorted(tracks.merged) == [(index, 5) for index in range(3, 8)]
    names = [int(numbered[0][whole[0] == label][0]) for label in (5, 6)]
    assert sorted(np.unique(numbered[7][series[7] == 5]).tolist()) == sorted(names)
    assert tracks.tracks.set_index("track_id")["end"].loc[names].tolist().count("merge") == 1


def test_a_true_merge_ends_the_smaller_track() -> None:
    series = [moved(index) for index in range(8)]
    for labels in series[3:]:
        box = np.argwhere((labels == 5) | (labels == 6))
        (_, y0, x0), (_, y1, x1) = box.min(axis=0), box.max(axis=0)
        labels[:, y0 : y1 + 1, x0 : x1 + 1] = 6
    tracks, _ = tracked(series, has_fusions=True)
    merged = tracks.tracks[tracks.tracks["end"] == "merge"]
    assert merged["last_frame"].tolist() == [2]
    before = tracks.objects[(tracks.objects["frame"] == 2) & (tracks.objects["label"] == 5)]
    assert merged["track_id"].tolist() == before["track_id"].tolist(), "the smaller of both"


def test_numbers_in_masks_are_those_of_the_table() -> None:
    series = [moved(index) for index in range(4)]
    for index, labels in enumerate(series):
        order = np.random.default_rng(index).permutation(6) + 1
        series[index] = np.concatenate([[0], order]).astype(np.uint16)[labels]
    tracks, numbered = tracked(series)
    for row in tracks.objects.itertuples():
        assert np.unique(numbered[row.frame][series[row.frame] == row.label]).tolist() == [row.track_id]
    assert all(((numbered[index] > 0) == (series[index] > 0)).all() for index in range(4))


def peak_bytes(n_frames: int) -> int:
    """Most memory that tracking and renumbering take, of frames that are made when they are asked for."""

    def frame(index: int) -> NDArray[np.uint16]:
        large = np.zeros((6, 240, 360), np.uint16)
        for number in range(1, 5):
            large[:, 50 * number : 50 * number + 30, 2 * index + 10 : 2 * index + 40] = number
        return large

    rows = [(t, n, 6.0, (50 * n + 15) * 0.5, (2 * t + 25) * 0.25, 1350.0) for t in range(n_frames) for n in range(1, 5)]
    table = pd.DataFrame(rows, columns=["frame", "label", "z_um", "y_um", "x_um", "volume_um3"])
    tracemalloc.start()
    try:
        tracks = track_objects(table, labels=frame, voxel_size_um=VOXEL_UM, extent_um=(12.0, 120.0, 90.0))
        relabeller = Relabeller(tracks)
        for index in range(n_frames):
            relabeller.frame(index, frame(index))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_frames() -> None:
    peak_bytes(5)  # whatever is loaded and compiled once
    few, many = peak_bytes(20), peak_bytes(100)
    one_frame = 6 * 240 * 360 * 2
    assert few > one_frame
    assert many - few < one_frame
