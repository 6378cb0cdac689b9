"""Against laptrack, an independent tracker with one distance cutoff, on series that it has right too."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from laptrack import LapTrack

from tomocyte.tracking import TrackingSettings, track_objects


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("n_dimensions", [2, 3])
def test_the_same_tracks_as_laptrack(n_dimensions: int) -> None:
    """Forty cells that move less than a third of their spacing, of which some leave for good."""
    rng = np.random.default_rng(n_dimensions)
    grid = np.stack(np.meshgrid(np.arange(8), np.arange(5), indexing="ij"), axis=-1).reshape(-1, 2) * 10.0
    places = np.concatenate([rng.uniform(0, 9, (40, 1)), grid], axis=1)[:, -n_dimensions:]
    axes = ["z_um", "y_um", "x_um"][-n_dimensions:]
    end = rng.integers(3, 14, 40)
    frames = []
    for frame in range(10):
        places = places + rng.normal(0, 0.7, places.shape)
        here = np.flatnonzero(end > frame)
        labels = rng.permutation(len(here)) + 1
        frames.append(pd.DataFrame(places[here], columns=axes).assign(frame=frame, label=labels))
    table = pd.concat(frames, ignore_index=True)
    by_frame = [rows.index.to_numpy() for _, rows in table.groupby("frame")]
    tracker = LapTrack(cutoff=25, gap_closing_cutoff=25)
    tree = tracker.predict([table.loc[rows, axes].to_numpy() for rows in by_frame])
    theirs = {(int(by_frame[a][i]), int(by_frame[b][j])) for (a, i), (b, j) in tree.edges}
    ours = track_objects(table, TrackingSettings(has_divisions=False)).objects["track_id"]
    rows = [rows.index.to_numpy() for _, rows in table.groupby(ours)]
    assert {(int(a), int(b)) for track in rows for a, b in itertools.pairwise(track)} == theirs
