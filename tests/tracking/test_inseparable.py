"""Two cells, or one with two nuclei: what a series says of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tomocyte.tracking import Tracks, join_inseparable


def series(*lives: range, merged: dict[tuple[int, int], tuple[int, ...]] | None = None) -> Tracks:
    """Tracks 1, 2, … in these frames, whose objects have ten times their number as labels."""
    rows = [(10 * track, track, frame) for track, life in enumerate(lives, start=1) for frame in life]
    table = pd.DataFrame(rows, columns=["label", "track_id", "frame"])
    return Tracks(table, pd.DataFrame(), merged or {}, {})


def track_of(tracks: Tracks) -> dict[tuple[int, int], int]:
    return {(f, b): t for f, b, t in tracks.objects[["frame", "label", "track_id"]].to_numpy().tolist()}


def test_what_is_never_apart_is_one_cell_with_two_nuclei() -> None:
    tracks = join_inseparable(series(range(6), range(6)), {frame: [(10, 20)] for frame in range(6)}, 6)
    assert tracks.pieces == {(frame, 20): 1 for frame in range(6)}
    assert track_of(tracks) == {(frame, 10 * n): 2 - n for frame in range(6) for n in (1, 2)}


@pytest.mark.parametrize(
    ("n_both", "n_shared", "n_frames", "is_one"),
    [
        (17, 4, 17, False),  # two cells that press each other for a while
        (10, 8, 10, True),  # a waist in two frames of ten
        (10, 7, 10, False),
        (3, 3, 17, False),  # sisters that have just divided
        (2, 2, 2, True),  # all that there is
        (2, 1, 2, False),
    ],
)
def test_how_often_without_a_waist(n_both: int, n_shared: int, n_frames: int, is_one: bool) -> None:
    life = range(n_frames - n_both, n_frames)
    tracks = series(range(n_frames), life)
    found = join_inseparable(tracks, {frame: {(10, 20)} for frame in life[:n_shared]}, n_frames)
    assert found.pieces == ({(frame, 20): 1 for frame in life} if is_one else {})
    pd.testing.assert_frame_equal(join_inseparable(tracks, {}, n_frames).objects, tracks.objects)


def test_a_part_goes_on_when_the_other_is_lost_and_three_parts_are_one() -> None:
    pairs = {frame: [(10, 20), (20, 30)] for frame in range(8)}
    tracks = join_inseparable(series(range(6), range(8), range(2, 8)), pairs, 8)
    assert track_of(tracks)[7, 20] == 1
    assert tracks.pieces == {
        **{(frame, 20): 1 for frame in range(6)},
        **{(frame, 30): 1 for frame in range(2, 8)},
    }


def test_what_holds_two_parts_of_one_cell_is_that_cell() -> None:
    merged = {(3, 30): (3, 2, 1), (4, 10): (1, 2)}
    shared = {frame: [(10, 20)] for frame in range(6)}
    tracks = join_inseparable(series(range(6), range(6), range(6), merged=merged), shared, 6)
    assert tracks.merged == {(3, 30): (3, 1)}
    assert np.unique(tracks.objects["track_id"]).tolist() == [0, 1, 3]
