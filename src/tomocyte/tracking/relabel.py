"""Masks in which every object has the number of its track, in all frames; errors of single frames repaired."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.labels.dtypes import label_dtype
from tomocyte.tracking.lineage import Tracks

Labels = NDArray[np.unsignedinteger[Any]]


class Relabeller:
    """Frame after frame from labels to tracks; keeps one frame.

    Parameters
    ----------
    tracks : Tracks
    """

    def __init__(self, tracks: Tracks) -> None:
        self._tracks = tracks
        known = tracks.objects[tracks.objects["track_id"] > 0]
        self._numbers: dict[int, dict[int, int]] = {}
        rows = zip(known["frame"].tolist(), known["label"].tolist(), known["track_id"].tolist(), strict=True)
        for frame, label, track in rows:
            self._numbers.setdefault(frame, {})[label] = track
        for (frame, label), track in tracks.pieces.items():
            self._numbers.setdefault(frame, {})[label] = track
        largest = int(known["track_id"].max()) if len(known) else 0
        self._dtype = label_dtype(largest)
        self._before: Labels | None = None

    def frame(self, index: int, labels: NDArray[Any]) -> Labels:
        """The labels of a frame with the numbers of tracks.

        Pieces are joined; an object that holds two tracks is cut: each voxel goes to the track whose mask in the frame
        before, moved by as much as both together have moved, is nearer. Objects without a track become background.

        Parameters
        ----------
        index : int
            Of the frame; ascending from call to call.
        labels : ndarray (Z, Y, X), integer
        """
        numbers = self._numbers.get(index, {})
        table = np.zeros(int(labels.max(initial=0)) + 1, dtype=self._dtype)
        for label, track in numbers.items():
            if label < len(table):
                table[label] = track
        result: Labels = table[labels]
        for (frame, label), members in self._tracks.merged.items():
            if frame == index and self._before is not None:
                _cut(result, labels == label, self._before, members)
        self._before = result
        return result


def _cut(result: Labels, inside: NDArray[np.bool_], before: Labels, members: tuple[int, ...]) -> None:
    """Give each voxel of an object to the member whose mask in the frame before is nearest, moved along with them."""
    masks = [np.argwhere(before == member) for member in members]
    voxels = np.argwhere(inside)
    if not len(voxels) or not all(len(mask) for mask in masks):
        return
    shift = np.round(voxels.mean(axis=0) - np.concatenate(masks).mean(axis=0)).astype(int)
    places = np.clip(voxels - shift, 0, np.array(before.shape) - 1)
    every = np.concatenate([places, *masks])
    low, high = every.min(axis=0), every.max(axis=0) + 1
    part = before[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    at = tuple((places - low).T)
    distances = []
    for member in members:
        mask = part == member
        # Inside a mask, deeper is nearer, so that the border between two overlapping masks lies in their middle.
        distances.append((ndimage.distance_transform_edt(~mask) - ndimage.distance_transform_edt(mask))[at])
    result[tuple(voxels.T)] = np.array(members, dtype=result.dtype)[np.argmin(distances, axis=0)]
