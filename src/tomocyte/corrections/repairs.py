"""Objects that the segmentation merged or cut in single frames, repaired: as edits, like those made by hand.

What is wrong is found by tracking (:mod:`tomocyte.tracking.repair`); here it becomes ``split`` and ``merge``, so that
it is applied, recorded and continued like any other correction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.corrections.edits import Edit, Merge, Split
from tomocyte.corrections.frame import EditingFrame
from tomocyte.labels.runs import pack_voxels
from tomocyte.tracking import Relabeller, Tracks
from tomocyte.volume import VoxelSize

Place = tuple[int, int]
MERGED = "the frames before and after show two objects"
CUT = "the frames before and after show one object"


def repair_edits(
    tracks: Tracks,
    read: Callable[[int], NDArray[Any]],
    voxel_size_um: VoxelSize,
    *,
    main: str = "cell",
    kept: Collection[Place] = (),
) -> tuple[Edit, ...]:
    """The edits that cut merged objects and join pieces.

    Parameters
    ----------
    tracks : Tracks
        With what is wrong.
    read : callable
        Index of a frame -> its labels (Z, Y, X), unsigned.
    voxel_size_um : tuple of 3 float
    main : str
        What the objects are called.
    kept : collection of (int, int)
        Frame and label of objects that stay as they are.

    Returns
    -------
    tuple of Edit
        By frame. Where nothing is left to cut along, none.
    """
    fixed = set(kept)
    track_of = {
        (int(frame), int(label)): int(track)
        for frame, label, track in tracks.objects[["frame", "label", "track_id"]].to_numpy()
    }
    label_of = {(frame, track): label for (frame, label), track in track_of.items() if track}
    joined: dict[Place, list[int]] = {}
    for (frame, label), track in tracks.pieces.items():
        whole = label_of.get((frame, track))
        if whole is not None and not {(frame, label), (frame, whole)} & fixed:
            joined.setdefault((frame, whole), []).append(label)
    cut = {place: members for place, members in tracks.merged.items() if place not in fixed}
    relabeller, edits, latest = Relabeller(tracks), list[Edit](), -1
    known = sorted({frame for frame, _ in track_of})
    for frame in sorted({frame for frame, _ in (*joined, *cut)}):
        before = known[known.index(frame) - 1]
        if any(place[0] == frame for place in cut) and before != latest and before < frame:
            relabeller.frame(before, read(before))
        labels = read(frame)
        tracked = relabeller.frame(frame, labels)
        latest = frame
        editing = EditingFrame({main: labels}, voxel_size_um, main, "both")
        for (at, whole), pieces in sorted(joined.items()):
            if at == frame:
                targets = tuple(editing.target(main, label) for label in (whole, *sorted(pieces)))
                edits.append(Merge(structure=main, frame=frame, targets=targets, note=CUT))
        next_label = editing.next_label(main)
        for (at, label), members in sorted(cut.items()):
            if at != frame:
                continue
            edit = _split(editing, tracked, label, track_of[at, label], members, frame, main, next_label)
            if edit is not None:
                edits.append(edit)
                next_label += len(members) - 1
    return tuple(edits)


def _split(
    editing: EditingFrame,
    tracked: NDArray[Any],
    label: int,
    own: int,
    members: tuple[int, ...],
    frame: int,
    main: str,
    next_label: int,
) -> Split | None:
    """An object cut as the tracked frame has it; the track that it was counted to keeps its label."""
    box, inside = editing.inside(main, label)
    painted = np.zeros(inside.shape, np.uint32)
    for number, member in enumerate((one for one in members if one != own), start=next_label):
        painted[inside & (tracked[box] == member)] = number
    taken = painted > 0
    if not taken.any() or not (inside & ~taken).any():
        return None
    first, last = box[0].start, box[0].stop
    wide = np.zeros((last - first, *editing.shape[1:]), np.uint32)
    wide[:, box[1], box[2]] = painted
    pieces = pack_voxels(wide, wide > 0, corner=first, n_planes=editing.shape[0])
    return Split(structure=main, frame=frame, target=editing.target(main, label), pieces=pieces, note=MERGED)
