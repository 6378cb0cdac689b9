"""Cells with two nuclei in a time-lapse: two that are never seen apart are one.

In a single frame two cells that press each other look like one cell with two nuclei. They move, and a waist appears;
the halves of one cell never get one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import combinations

from tomocyte.tracking.lineage import Tracks

Pair = tuple[int, int]
LEAST_FRAMES = 4
"""Fewest frames in which two must be seen together to be called one, or all frames of a shorter series."""
LEAST_SHARE = 0.8
"""Least share of these frames in which there is no waist. Of simulated cells that press each other it was at most 4 of
17 frames, of parts of one cell 6 of 6."""


def join_inseparable(tracks: Tracks, without_waist: Mapping[int, Collection[Pair]], n_frames: int) -> Tracks:
    """Take two tracks for one where their objects have no waist between them in nearly all frames in which both are.

    Parameters
    ----------
    tracks : Tracks
    without_waist : mapping
        Frame -> pairs of labels between which there is no waist.
    n_frames : int
        Of the series.

    Returns
    -------
    Tracks
        In frames with both, the smaller number is the whole and the other its piece; the table of tracks is as before.

    Examples
    --------
    >>> import pandas as pd
    >>> from tomocyte.tracking import track_objects
    >>> rows = [(t, label, 0.0, 8.0 * label) for t in range(4) for label in (1, 2)]
    >>> tracks = track_objects(pd.DataFrame(rows, columns=["frame", "label", "y_um", "x_um"]))
    >>> join_inseparable(tracks, {t: [(1, 2)] for t in range(4)}, 4).pieces
    {(0, 2): 1, (1, 2): 1, (2, 2): 1, (3, 2): 1}
    >>> join_inseparable(tracks, {0: [(1, 2)], 1: [(1, 2)]}, 4).pieces
    {}
    """
    table = tracks.objects[tracks.objects["track_id"] > 0]
    rows = zip(table["frame"].tolist(), table["label"].tolist(), table["track_id"].tolist(), strict=True)
    track_of = {(frame, label): track for frame, label, track in rows}
    head = _heads(track_of, without_waist, min(LEAST_FRAMES, n_frames))
    whole: dict[tuple[int, int], int] = {}
    pieces = dict(tracks.pieces)
    new_number = []
    for place, track in sorted(track_of.items(), key=lambda one: (one[0][0], one[1])):
        main = head.get(track, track)
        if whole.setdefault((place[0], main), track) != track:
            pieces[place] = main
    for frame, label, track in tracks.objects[["frame", "label", "track_id"]].to_numpy().tolist():
        new_number.append(0 if (frame, label) in pieces else head.get(track, track))
    merged = {place: tuple(dict.fromkeys(head.get(one, one) for one in ones)) for place, ones in tracks.merged.items()}
    merged = {place: ones for place, ones in merged.items() if len(ones) > 1 and place not in pieces}
    objects = tracks.objects.assign(track_id=new_number)
    return replace(tracks, objects=objects, merged=merged, pieces=dict(sorted(pieces.items())))


def _heads(
    track_of: Mapping[Pair, int], without_waist: Mapping[int, Collection[Pair]], least_frames: int
) -> dict[int, int]:
    """Track -> the smallest of those that it is one with."""
    both: Counter[Pair] = Counter()
    shared: Counter[Pair] = Counter()
    in_frame: dict[int, set[int]] = {}
    for (frame, _), track in track_of.items():
        in_frame.setdefault(frame, set()).add(track)
    for frame, present in in_frame.items():
        pairs = {
            tuple(sorted((track_of[frame, a], track_of[frame, b])))
            for a, b in without_waist.get(frame, ())
            if (frame, a) in track_of and (frame, b) in track_of
        }
        both.update(combinations(sorted(present), 2))
        shared.update((first, second) for first, second in pairs if first != second)
    head: dict[int, int] = {}
    for (first, second), n in sorted(shared.items()):
        if both[first, second] >= least_frames and n >= LEAST_SHARE * both[first, second]:
            head[second] = min(head.get(second, first), head.get(first, first))
    return head
