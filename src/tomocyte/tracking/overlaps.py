"""Overlaps of the objects of successive frames, counted once and kept as a short list.

Only the frame before is held besides the one at work, so memory does not grow with the number of frames.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.tracking.objects import Float, Index, Objects


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Common voxels of objects of successive frames.

    Parameters
    ----------
    keys : (m,) int
        ``source * n + target``, ascending; rows of objects.
    n_common : (m,) int
    n_voxels : (n,) int
        Of each object; 0 where its frame was not counted.
    frame, frame_before : (n,) int
        Of each object, and the one that its own was compared with; -1 for none.
    """

    keys: Index
    n_common: Index
    n_voxels: Index
    frame: Index
    frame_before: Index

    def common(self, source: Index, target: Index) -> Float:
        """(m,): common voxels; NaN where the images of both were not compared."""
        if not len(self.n_voxels):
            return np.full(len(source), np.nan)
        wanted = source * len(self.n_voxels) + target
        if len(self.keys):
            place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
            count = np.where(self.keys[place] == wanted, self.n_common[place], 0).astype(np.float64)
        else:
            count = np.zeros(len(source))
        is_known = (self.n_voxels[source] > 0) & (self.n_voxels[target] > 0)
        is_known &= self.frame_before[target] == self.frame[source]
        return np.where(is_known, count, np.nan)

    def iou(self, source: Index, target: Index) -> Float:
        """(m,): intersection over union of an object and one of the next frame; NaN where unknown."""
        return self._ratio(self.common(source, target), source, target)

    def iou_of_two(self, source: Index, first: Index, second: Index) -> Float:
        """(m,): of an object and two together of the next frame."""
        common = self.common(source, first) + self.common(source, second)
        return self._ratio(common, source, first, second)

    def iou_of_sources(self, first: Index, second: Index, target: Index) -> Float:
        """(m,): of two objects together and one of the next frame."""
        common = self.common(first, target) + self.common(second, target)
        return self._ratio(common, first, second, target)

    def _ratio(self, common: Float, *objects: Index) -> Float:
        if not len(self.n_voxels):
            return common
        total = sum(self.n_voxels[rows].astype(np.float64) for rows in objects)
        union = total - common
        ratio: Float = np.divide(common, union, out=np.full(len(common), np.nan), where=union > 0)
        return ratio


_EMPTY = np.zeros(0, np.int64)
NO_OVERLAPS = Overlaps(_EMPTY, _EMPTY, _EMPTY, _EMPTY, _EMPTY)


def count_overlaps(
    objects: Objects, labels: Iterable[tuple[int, NDArray[Any]]], shifts: dict[int, tuple[int, ...]] | None = None
) -> Overlaps:
    """Common voxels of the objects of every frame and the one before it that has objects.

    Parameters
    ----------
    objects : Objects
    labels : iterable of (int, (Z, Y, X) int)
        Frame and its labels, ascending; each is asked for once. Frames without objects may be left out.
    shifts : dict, optional
        Frame -> voxels by which it is moved against the frame before, whole numbers z, y, x: the drift.

    Returns
    -------
    Overlaps
    """
    n = len(objects)
    first_rows = {int(objects.frame[rows.start]): rows for rows in objects.frames}
    n_voxels, frame_before = np.zeros(n, np.int64), np.full(n, -1)
    keys, counts = [], []
    before: tuple[NDArray[Any], slice] | None = None
    for frame, image in labels:
        rows = first_rows.get(frame)
        if rows is None:
            continue
        present, voxels = np.unique(image[image > 0], return_counts=True)
        place, is_known = _positions(objects.label[rows], present)
        n_voxels[place[is_known] + rows.start] = voxels[is_known]
        if before is not None:
            frame_before[rows] = objects.frame[before[1].start]
            shift = (shifts or {}).get(frame, (0,) * image.ndim)
            pairs, common = _common(before[0], image, shift)
            source, is_source = _positions(objects.label[before[1]], pairs[:, 0])
            target, is_target = _positions(objects.label[rows], pairs[:, 1])
            both = is_source & is_target
            keys.append((source[both] + before[1].start) * n + target[both] + rows.start)
            counts.append(common[both])
        before = (image, rows)
    joined = np.concatenate([_EMPTY, *keys])
    order = np.argsort(joined)
    return Overlaps(joined[order], np.concatenate([_EMPTY, *counts])[order], n_voxels, objects.frame, frame_before)


def _positions(labels: Index, wanted: NDArray[Any]) -> tuple[Index, NDArray[np.bool_]]:
    """Where labels stand in an ascending list, and whether they do."""
    wanted = wanted.astype(np.int64)
    place = np.minimum(np.searchsorted(labels, wanted), len(labels) - 1)
    return place, labels[place] == wanted


def _common(before: NDArray[Any], after: NDArray[Any], shift: tuple[int, ...]) -> tuple[Index, Index]:
    """Pairs of labels that share voxels, and how many, after the second is moved back by the shift."""
    first = tuple(slice(max(-s, 0), size - max(s, 0)) for s, size in zip(shift, after.shape, strict=True))
    second = tuple(slice(max(s, 0), size - max(-s, 0)) for s, size in zip(shift, after.shape, strict=True))
    a, b = before[first], after[second]
    both = (a > 0) & (b > 0)
    codes = a[both].astype(np.uint64) << np.uint64(32) | b[both].astype(np.uint64)
    values, counts = np.unique(codes, return_counts=True)
    pairs = np.stack([values >> np.uint64(32), values & np.uint64(0xFFFFFFFF)], axis=1).astype(np.int64)
    return pairs, counts.astype(np.int64)
