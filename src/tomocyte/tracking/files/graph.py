"""Objects and the links between them: what all files of tracks have in common."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.tracking.changes import LinkChange
from tomocyte.tracking.estimate import first_scales
from tomocyte.tracking.graph import Repair
from tomocyte.tracking.lineage import Tracks, tracks_of
from tomocyte.tracking.link import Links
from tomocyte.tracking.motion import spacing_um
from tomocyte.tracking.objects import objects_of_table
from tomocyte.tracking.settings import TrackingSettings

if TYPE_CHECKING:
    import pandas as pd

Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TrackedObjects:
    """A table of objects and who became whom.

    Parameters
    ----------
    table : DataFrame
        ``frame``, ``label``, ``y_um``, ``x_um``, in volumes ``z_um``, where known ``time_s``; one row per object.
    links : (m, 2) int
        Rows of the earlier and of the later object.
    """

    table: pd.DataFrame
    links: Index


def tracks_of_links(objects: TrackedObjects, changes: Sequence[LinkChange] = ()) -> Tracks:
    """The tracks that given links make, after changes by hand: an object with two followers divides.

    Raises
    ------
    InputError
        ``E-TRACK-COLUMN``, ``E-TRACK-TABLE``: the table cannot be tracked; ``E-TRACK-LINK``: a link goes back in time,
        or leads from an object to more than two.
    """
    frames = objects.table["frame"].to_numpy()
    links = objects.links
    wrong = np.flatnonzero(frames[links[:, 1]] <= frames[links[:, 0]])
    if len(wrong):
        a, b = links[wrong[0]].tolist()
        raise InputError(
            "E-TRACK-LINK",
            f"a link leads from frame {frames[a]} to frame {frames[b]}.",
            cure="A link leads to a later frame: turn it round, or delete it.",
        )
    arrays = objects_of_table(objects.table)
    scales = first_scales(arrays, arrays.centres_um, spacing_um(arrays), TrackingSettings())
    place = np.empty(len(arrays), np.int64)
    place[arrays.rows] = np.arange(len(arrays))
    pairs = np.unique(place[links].reshape(-1, 2), axis=0)
    drift = np.zeros((len(arrays.frames), arrays.n_dimensions))
    given = Links(pairs[:, 0], pairs[:, 1], np.zeros(len(pairs)), drift, scales)
    return tracks_of(arrays, Repair(given, {}, {}), changes)


def graph_of(table: pd.DataFrame, tracks: Tracks) -> TrackedObjects:
    """The objects that are in a track, with the links along tracks and from mothers to daughters.

    Parameters
    ----------
    table : DataFrame
        That was tracked, in its order; its columns stay, ``track_id`` and ``parent_id`` are added.
    tracks : Tracks
    """
    named = table.assign(track_id=tracks.objects["track_id"], parent_id=tracks.objects["parent_id"])
    named = named[named["track_id"] > 0].sort_values(["frame", "label"]).reset_index(drop=True)
    rows = {int(part["track_id"].iloc[0]): part.index.tolist() for _, part in named.groupby("track_id")}
    links = [pair for part in rows.values() for pair in itertools.pairwise(part)]
    parents = zip(tracks.tracks["track_id"].tolist(), tracks.tracks["parent_id"].tolist(), strict=True)
    links += [(rows[parent][-1], rows[track][0]) for track, parent in parents if parent > 0]
    return TrackedObjects(named, np.array(sorted(links), dtype=np.int64).reshape(-1, 2))
