"""Tracks whose path can be computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from tomocyte.errors import InputError, SettingsError
from tomocyte.measurements import Track, measure_tracks

NAMES = ["duration_s", "path_length_um", "net_displacement_um", "mean_speed_um_per_s"]


def rows(track_id, frames, centres, times=None, **columns) -> pd.DataFrame:
    z, y, x = np.array(centres, dtype=float).T
    table = pd.DataFrame({"track_id": track_id, "frame": frames, "z_um": z, "y_um": y, "x_um": x, **columns})
    return table if times is None else table.assign(time_s=times)


def test_a_path_along_the_sides_of_a_box() -> None:
    """3 µm along z, 4 µm along y, 12 µm along x in 10 s, 20 s and 10 s: 19 µm of path, 13 µm apart, 40 s."""
    table = rows(7, [2, 3, 4, 5], [(0, 0, 0), (3, 0, 0), (3, 4, 0), (3, 4, 12)], [100.0, 110.0, 130.0, 140.0])
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        measured = measure_tracks(table.iloc[order])
        assert measured["track_id"].tolist() == [7]
        assert measured.loc[0, NAMES].tolist() == [40.0, 19.0, 13.0, 19 / 40]
        assert measured.loc[0, ["n_track_frames", "n_gap_frames"]].tolist() == [4, 0]


def test_a_circle() -> None:
    """Once around a circle of 5 µm in 200 steps: the path tends to 2πr, the displacement is 0."""
    angle = np.linspace(0, 2 * math.pi, 201)
    table = rows(1, np.arange(201), np.stack([0 * angle, 5 * np.sin(angle), 5 * np.cos(angle)], axis=1), angle)
    measured = measure_tracks(table)
    assert measured.loc[0, "path_length_um"] == pytest.approx(10 * math.pi, rel=1e-4)
    assert measured.loc[0, "net_displacement_um"] == pytest.approx(0, abs=1e-12)
    assert measured.loc[0, "mean_speed_um_per_s"] == pytest.approx(5.0, rel=1e-4)


def test_a_gap_is_bridged_and_counted() -> None:
    table = rows(1, [0, 1, 4, 5], [(0, 0, 0), (0, 1, 0), (0, 1, 6), (0, 2, 6)], [0.0, 1.0, 4.0, 5.0])
    measured = measure_tracks(table)
    assert measured.loc[0, NAMES].tolist() == [5.0, 8.0, math.hypot(2, 6), 8 / 5]
    assert measured.loc[0, "n_gap_frames"] == 2


def test_a_single_frame_has_no_motion() -> None:
    measured = measure_tracks(rows(3, [4], [(1, 2, 3)], [9.0]))
    assert measured[NAMES].isna().all(axis=None)
    assert measured.loc[0, ["n_track_frames", "n_gap_frames"]].tolist() == [1, 0]


def test_without_times_there_is_a_path_but_no_speed() -> None:
    table = rows(3, [0, 1], [(0, 0, 0), (0, 3, 4)])
    for one in (table, table.assign(time_s=math.nan)):
        measured = measure_tracks(one)
        assert measured.loc[0, ["path_length_um", "net_displacement_um"]].tolist() == [5.0, 5.0]
        assert measured[["duration_s", "mean_speed_um_per_s"]].isna().all(axis=None)


def test_planar_images_have_no_z() -> None:
    table = rows(3, [0, 1], [(math.nan, 0, 0), (math.nan, 3, 4)])
    for one in (table, table.drop(columns="z_um")):
        assert measure_tracks(one).loc[0, "path_length_um"] == 5.0


def test_a_missing_centre_leaves_the_path_empty() -> None:
    table = rows(3, [0, 1, 2], [(0, 0, 0), (0, math.nan, 0), (0, 3, 4)], [0.0, 1.0, 2.0])
    measured = measure_tracks(table)
    assert math.isnan(measured.loc[0, "path_length_um"])
    assert measured.loc[0, "net_displacement_um"] == 5.0


def test_tracks_of_items_and_structures_are_their_own() -> None:
    parts = [
        rows(1, [0, 1], [(0, 0, 0), (0, 0, n)], [0.0, 2.0], item=item, structure=structure)
        for n, (item, structure) in enumerate([("a", "cell"), ("a", "nucleus"), ("b", "cell")], start=1)
    ]
    untracked = rows(math.nan, [0], [(0, 0, 0)], [0.0], item="a", structure="cell")
    measured = measure_tracks(pd.concat([*parts[::-1], untracked], ignore_index=True), names=["path_length_um"])
    assert measured.values.tolist() == [["a", "cell", 1, 1.0], ["a", "nucleus", 1, 2.0], ["b", "cell", 1, 3.0]]
    assert list(measured) == ["item", "structure", "track_id", "path_length_um"]


def test_no_tracks_give_an_empty_table_of_the_same_types() -> None:
    table = rows(1, [0, 1], [(0, 0, 0), (0, 0, 1)], [0.0, 2.0], structure="cell")
    full = measure_tracks(table)
    for none in (table.iloc[:0], table.assign(track_id=math.nan)):
        empty = measure_tracks(none)
        assert len(empty) == 0
        assert empty.dtypes.tolist() == full.dtypes.tolist()
        assert list(empty) == list(full)


def test_extra_measurements_of_tracks_see_all_columns() -> None:
    def mean_growth_um3_per_s(track: Track) -> float:
        """Change of the volume from the first to the last frame divided by the duration."""
        volumes = track.values("volume_um3")
        return (volumes[-1] - volumes[0]) / (track.time_s[-1] - track.time_s[0])

    table = rows(1, [0, 1, 2], [(0, 0, 0)] * 3, [0.0, 10.0, 20.0], volume_um3=[100.0, 150.0, 180.0])
    measured = measure_tracks(table, names=[], extra_measurements=[mean_growth_um3_per_s])
    assert measured["mean_growth_um3_per_s"].tolist() == [4.0]
    with pytest.raises(InputError) as caught:
        measure_tracks(table.drop(columns="volume_um3"), names=[], extra_measurements=[mean_growth_um3_per_s])
    assert caught.value.code == "E-TRACK-COLUMN"


GOOD = rows(1, [0, 1], [(0, 0, 0), (0, 0, 1)], [0.0, 2.0])


@pytest.mark.parametrize(
    ("table", "names", "error", "code"),
    [
        (GOOD.drop(columns="track_id"), None, InputError, "E-TRACK-COLUMN"),
        (GOOD.drop(columns="x_um"), None, InputError, "E-TRACK-COLUMN"),
        (GOOD.assign(frame=3), None, InputError, "E-TRACK"),
        (GOOD.assign(time_s=3.0), None, InputError, "E-TRACK"),
        (GOOD, ["surface_distance_um"], SettingsError, "E-MEASUREMENT-NAME"),
        (GOOD, ["duration_s", "duration_s"], SettingsError, "E-MEASUREMENT-CLASH"),
    ],
)
def test_what_cannot_be_measured_is_refused(table, names, error, code) -> None:
    with pytest.raises(error) as caught:
        measure_tracks(table, names=names)
    assert caught.value.code == code
