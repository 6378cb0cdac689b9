"""The table of the Cell Tracking Challenge, ``res_track.txt``: a line ``L B E P`` per track, beside masks per frame.

Label, first and last frame, and the parent's label or 0 (doi:10.1038/nmeth.4473, file naming and content conventions).
A track has an object in every frame from first to last there; one that is missing in between goes on as a new track
with the first as its parent.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tomocyte.errors import InputError
from tomocyte.tracking.files.graph import TrackedObjects

if TYPE_CHECKING:
    import pandas as pd

CURE = "Each line has four whole numbers: label, first frame, last frame, parent (0 for none)."


def write_ctc_table(objects: TrackedObjects, path: Path) -> dict[tuple[int, int], int]:
    """Write the table, and say which number each object has in the masks.

    Parameters
    ----------
    objects : TrackedObjects
        From :func:`tomocyte.tracking.files.graph_of`, with ``track_id`` and ``parent_id``.
    path : Path
        New file.

    Returns
    -------
    dict
        (frame, track_id) -> label in the masks; that of the track, unless there is a gap before.
    """
    table = objects.table
    largest = int(table["track_id"].max()) if len(table) else 0
    lines: list[tuple[int, int, int, int]] = []
    numbers: dict[tuple[int, int], int] = {}
    last_part: dict[int, int] = {}
    mother_of: dict[int, int] = {}
    for _, rows in table.sort_values("frame").groupby("track_id"):
        track, frames = int(rows["track_id"].iloc[0]), rows["frame"].tolist()
        breaks = [0, *(i for i in range(1, len(frames)) if frames[i] > frames[i - 1] + 1), len(frames)]
        label, parent = track, int(rows["parent_id"].iloc[0])
        for start, stop in itertools.pairwise(breaks):
            if start:
                largest += 1
                label, parent = largest, label
            lines.append((label, frames[start], frames[stop - 1], 0 if start == 0 else parent))
            mother_of[label] = parent if start == 0 else 0
            numbers |= {(frame, track): label for frame in frames[start:stop]}
        last_part[track] = label
    # A daughter's parent is the last part of its mother.
    text = "".join(
        f"{label} {first} {last} {parent or last_part.get(mother_of[label], 0)}\n"
        for label, first, last, parent in sorted(lines)
    )
    path.write_text(text, encoding="ascii")
    return numbers


def read_ctc(path: Path, table: pd.DataFrame) -> TrackedObjects:
    """Read ``res_track.txt`` (or ``man_track.txt``) for the objects of its masks.

    Parameters
    ----------
    path : Path
    table : DataFrame
        One row per object of the masks, with ``frame`` and ``label``.

    Raises
    ------
    InputError
        ``E-TRACK-CTC``: not such a table, or it does not fit the masks.
    """
    try:
        rows = np.loadtxt(path, dtype=np.int64, ndmin=2)
    except (ValueError, OSError) as problem:
        raise InputError("E-TRACK-CTC", f"is no table of tracks: {problem}.", path=path, cure=CURE) from problem
    if rows.size and rows.shape[1] != 4:
        raise InputError("E-TRACK-CTC", f"has {rows.shape[1]} columns instead of 4.", path=path, cure=CURE)
    place = {(int(f), int(n)): i for i, (f, n) in enumerate(zip(table["frame"], table["label"], strict=True))}
    by_label = {int(part["label"].iloc[0]): sorted(part["frame"].tolist()) for _, part in table.groupby("label")}
    links = []
    for label, first, last, parent in rows.reshape(-1, 4).tolist():
        frames = [frame for frame in by_label.get(label, []) if first <= frame <= last]
        if not frames or frames[0] != first or frames[-1] != last:
            raise InputError(
                "E-TRACK-CTC",
                f"says that track {label} lasts from frame {first} to {last}, which the masks do not show.",
                path=path,
                cure="Give the masks that belong to this table.",
            )
        links += [(place[a, label], place[b, label]) for a, b in itertools.pairwise(frames)]
        if parent:
            ends = [end for other, _, end, _ in rows.tolist() if other == parent]
            if not ends or (ends[0], parent) not in place:
                raise InputError("E-TRACK-CTC", f"names a parent {parent} that has no line.", path=path, cure=CURE)
            links.append((place[ends[0], parent], place[first, label]))
    return TrackedObjects(table, np.array(links, dtype=np.int64).reshape(-1, 2))
