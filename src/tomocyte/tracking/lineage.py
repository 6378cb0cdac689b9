"""Tracks and their lineage, from links: numbers that stay the same over time, and how each track begins and ends."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tomocyte.tables import LEADING, Column
from tomocyte.tracking.changes import Changed, LinkChange, change_links
from tomocyte.tracking.graph import Repair
from tomocyte.tracking.link import Links
from tomocyte.tracking.objects import Index, Objects

if TYPE_CHECKING:
    import pandas as pd

FLAGS = Column(
    "track_flags",
    "",
    "What is unusual about an object in its track: merged (the segmentation saw two objects as one here), piece "
    "(it cut this off another object), after-gap (the object was missing in the frame before), corrected (by hand: "
    "what follows it or comes before it), repaired (cut or joined as the frames before and after show); several are "
    "joined by semicolons.",
    "Empty for nothing unusual.",
    kind="text",
)
TRACK_COLUMNS = (
    *(column for column in LEADING if column.name in ("track_id", "parent_id", "generation")),
    Column("first_frame", "1", "First frame of the track.", kind="integer"),
    Column("last_frame", "1", "Last frame of the track.", kind="integer"),
    Column(
        "start",
        "",
        "How the track begins: first-frame (of the series), division, border (of the field), appears.",
        kind="text",
    ),
    Column(
        "end",
        "",
        "How the track ends: last-frame (of the series), division, border, merge (with another track), disappears, "
        "death (by correction).",
        kind="text",
    ),
)
"""What a table of tracks begins with."""


@dataclass(frozen=True, eq=False)
class Tracks:
    """Objects with their tracks.

    Parameters
    ----------
    objects : DataFrame
        One row per object, in the order of the table that was tracked: ``track_id``, ``parent_id``, ``generation``,
        ``frame``, ``label``, ``track_flags``.
    tracks : DataFrame
        One row per track: :data:`TRACK_COLUMNS`.
    merged : dict
        (frame, label) of an object that holds several -> the tracks that are in it.
    pieces : dict
        (frame, label) of a piece -> track of the whole.
    warnings : tuple of tuple of str
        Of each change by hand, ``W-EDIT-…: …``.
    """

    objects: pd.DataFrame
    tracks: pd.DataFrame
    merged: dict[tuple[int, int], tuple[int, ...]]
    pieces: dict[tuple[int, int], int]
    warnings: tuple[tuple[str, ...], ...] = ()

    def with_flag(self, flag: str, places: Collection[tuple[int, int]]) -> Tracks:
        """The tracks with one more flag at the objects of these frames and labels."""
        if not places:
            return self
        keys = zip(self.objects["frame"].tolist(), self.objects["label"].tolist(), strict=True)
        flags = [
            ";".join(filter(None, (own, flag if key in places else "")))
            for key, own in zip(keys, self.objects["track_flags"], strict=True)
        ]
        return replace(self, objects=self.objects.assign(track_flags=flags))


def tracks_of(objects: Objects, repair: Repair, changes: Sequence[LinkChange] = ()) -> Tracks:
    """Number the tracks and describe them.

    A track ends at a division, and the daughters' begin; at a merge the larger goes on. Numbers rise with the first
    frame. After changes by hand, a track that begins where one began before keeps its number, and others get new ones
    above the largest, so that tracks of which no change speaks keep theirs.

    Parameters
    ----------
    objects : Objects
    repair : Repair
    changes : sequence of LinkChange, optional

    Returns
    -------
    Tracks

    Raises
    ------
    InputError
        ``E-EDIT-TARGET``, ``E-EDIT-LINK``: as :func:`tomocyte.tracking.changes.change_links`.
    """
    import pandas as pd

    n = len(objects)
    follows, mother, merges_into = _relations(objects, repair.links)
    track = _numbers(n, follows, repair.piece_of)
    changed = Changed(repair, frozenset(), frozenset(), ())
    if changes:
        changed = change_links(objects, repair, changes)
        repair = changed.repair
        follows, mother, merges_into = _relations(objects, repair.links)
        track = _numbers(n, follows, repair.piece_of, track)
    n_tracks = int(track.max(initial=0))
    parent, generation = np.zeros(n_tracks + 1, np.int64), np.zeros(n_tracks + 1, np.int64)
    for row in sorted(mother):
        parent[track[row]] = track[mother[row]]
        generation[track[row]] = generation[parent[track[row]]] + 1
    flags = _flags(objects, changed, follows)
    tracked = pd.DataFrame(
        {
            "track_id": track,
            "parent_id": parent[track],
            "generation": generation[track],
            "frame": objects.frame,
            "label": objects.label,
            "track_flags": pd.Series(flags, dtype=object),
        }
    )
    in_order = np.empty(n, np.int64)
    in_order[objects.rows] = np.arange(n)
    place = [(int(frame), int(label)) for frame, label in zip(objects.frame, objects.label, strict=True)]
    return Tracks(
        objects=tracked.iloc[in_order].reset_index(drop=True),
        tracks=_described(objects, changed, track, parent, generation, mother, merges_into),
        merged={place[row]: tuple(int(track[one]) for one in ones) for row, ones in repair.merged.items()},
        pieces={place[row]: int(track[main]) for row, main in repair.piece_of.items()},
        warnings=changed.warnings,
    )


def _numbers(n: int, follows: dict[int, int], piece_of: dict[int, int], before: Index | None = None) -> Index:
    """(n,): track of each row, 0 for pieces; with numbers before, a track that begins where one began keeps its."""
    track = np.zeros(n, np.int64)
    first: dict[int, int] = {}
    for row, number in enumerate([] if before is None else before.tolist()):
        if number:
            first.setdefault(number, row)
    kept = {row: number for number, row in first.items()}
    largest = 0 if before is None else int(before.max(initial=0))
    for row in range(n):
        if row in piece_of:
            continue
        if row in follows:
            track[row] = track[follows[row]]
        elif row in kept:
            track[row] = kept[row]
        else:
            largest += 1
            track[row] = largest
    return track


def _relations(objects: Objects, links: Links) -> tuple[dict[int, int], dict[int, int], set[int]]:
    """Row -> the row before in its track; first row of a daughter -> last of the mother; rows that end in a merge."""
    n_after = np.bincount(links.source, minlength=len(objects))
    before: dict[int, list[int]] = {}
    for a, b in zip(links.source.tolist(), links.target.tolist(), strict=True):
        before.setdefault(b, []).append(a)
    size = objects.amounts[:, -1] if objects.amounts.shape[1] else np.zeros(len(objects))
    size = np.nan_to_num(size)
    follows, mother, merges_into = {}, {}, set()
    for row, sources in before.items():
        main = max(sources, key=lambda source: (n_after[source] == 1, size[source], -source))
        if n_after[main] == 1:
            follows[row] = main
        else:
            mother[row] = main
        merges_into |= {source for source in sources if source != main and n_after[source] == 1}
    return follows, mother, merges_into


def _flags(objects: Objects, changed: Changed, follows: dict[int, int]) -> list[str]:
    steps = np.diff(np.unique(objects.frame))
    usual = int(steps.min()) if len(steps) else 1
    flags: list[list[str]] = [[] for _ in range(len(objects))]
    for row in changed.repair.merged:
        flags[row].append("merged")
    for row in changed.repair.piece_of:
        flags[row].append("piece")
    for row, source in follows.items():
        if objects.frame[row] - objects.frame[source] > usual:
            flags[row].append("after-gap")
    for row in changed.touched:
        flags[row].append("corrected")
    return [";".join(words) for words in flags]


def _described(
    objects: Objects,
    changed: Changed,
    track: Index,
    parent: Index,
    generation: Index,
    mother: dict[int, int],
    merges_into: set[int],
) -> pd.DataFrame:
    """One row per track."""
    import pandas as pd

    n_tracks = len(parent) - 1
    rows = np.flatnonzero(track > 0)
    first, last = np.full(n_tracks + 1, len(objects)), np.full(n_tracks + 1, -1)
    np.minimum.at(first, track[rows], rows)
    np.maximum.at(last, track[rows], rows)
    near = 1.5 * float(np.linalg.norm(changed.repair.links.scales.step_um[-2:]))
    at_border = objects.is_border | ((objects.border_um <= near) & objects.is_field_known)
    divides = set(mother.values())
    first_frame, last_frame = (objects.frame[0], objects.frame[-1]) if len(objects) else (0, 0)
    starts, ends = [], []
    numbers = np.unique(track[rows])  # a track that was linked to an earlier one has left its number
    for number in numbers.tolist():
        a, b = int(first[number]), int(last[number])
        starts.append(
            "division" if a in mother
            else "first-frame" if objects.frame[a] == first_frame
            else "border" if at_border[a]
            else "appears"
        )  # fmt: skip
        ends.append(
            "division" if b in divides
            else "death" if b in changed.deaths
            else "merge" if b in merges_into
            else "last-frame" if objects.frame[b] == last_frame
            else "border" if at_border[b]
            else "disappears"
        )  # fmt: skip
    return pd.DataFrame(
        {
            "track_id": numbers,
            "parent_id": parent[numbers],
            "generation": generation[numbers],
            "first_frame": objects.frame[first[numbers]],
            "last_frame": objects.frame[last[numbers]],
            "start": pd.Series(starts, dtype=object),
            "end": pd.Series(ends, dtype=object),
        }
    )
