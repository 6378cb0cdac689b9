"""Where an object is expected next: the field's drift, its own velocity and that of its neighbours."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.spatial import cKDTree

from tomocyte.tracking.objects import Float, Index, Objects

N_NEIGHBOURS = 6
N_VOTERS = 400
"""Objects of a frame that vote for a drift; more would not change it."""


def spacing_um(objects: Objects) -> Float:
    """(n,): distance of each object to its second-nearest neighbour in its frame; the median of all where it has none.

    The second-nearest, because the nearest may be a sister or a piece of the object itself.
    """
    result = np.full(len(objects), np.nan)
    for rows in objects.frames:
        points = objects.centres_um[rows]
        if len(points) > 2:
            result[rows] = cKDTree(points).query(points, k=3)[0][:, 2]
        elif len(points) == 2:
            result[rows] = np.linalg.norm(points[1] - points[0])
    known = np.isfinite(result) & (result > 0)
    if not known.any():
        diameter = objects.diameter_um[np.isfinite(objects.diameter_um)]
        return np.full(len(objects), float(np.median(diameter)) if len(diameter) else 1.0)
    return np.where(known, result, np.median(result[known]))


def mutual_pairs(first: Float, second: Float) -> tuple[Index, Index]:
    """Points that are each other's nearest: positions in both arrays."""
    if not len(first) or not len(second):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    forward = cKDTree(second).query(first)[1]
    backward = cKDTree(first).query(second)[1]
    mutual = np.flatnonzero(backward[forward] == np.arange(len(first)))
    return mutual, forward[mutual]


def drift_between(first: Float, second: Float, spacing: float) -> Float:
    """(d,): shift that brings most points of a frame onto points of the next, in µm.

    All differences up to four spacings vote in bins of half a spacing, and the fullest bin is refined by the median of
    mutual nearest neighbours. No shift is assumed unless clearly more points agree with one than without.
    """
    n_dimensions = first.shape[1]
    if len(first) < 4 or len(second) < 4:
        return np.zeros(n_dimensions)
    still = _refined(first, second, np.zeros(n_dimensions))
    voters = first[np.linspace(0, len(first) - 1, min(len(first), N_VOTERS)).astype(int)]
    tree = cKDTree(second)
    near = tree.query_ball_point(voters, 4.0 * spacing)
    steps = [second[found] - voter for found, voter in zip(near, voters, strict=True) if found]
    if not steps:
        return still
    votes = np.concatenate(steps)
    bins, counts = np.unique(np.round(votes / (0.5 * spacing)).astype(int), axis=0, return_counts=True)
    shift = _refined(first, second, bins[np.argmax(counts)] * 0.5 * spacing)
    moving, resting = (_n_agreeing(first + step, second, 0.25 * spacing) for step in (shift, still))
    return shift if moving > 1.25 * resting + 1 else still


def _refined(first: Float, second: Float, shift: Float) -> Float:
    for _ in range(2):
        source, target = mutual_pairs(first + shift, second)
        if len(source) < 4:
            return shift
        shift = np.median(second[target] - first[source], axis=0)
    return shift


def _n_agreeing(first: Float, second: Float, radius_um: float) -> int:
    return int((cKDTree(second).query(first)[0] <= radius_um).sum())


def drifts(objects: Objects, spacing: Float) -> Float:
    """(n_frames, d): shift of all objects since the first frame, in µm; frames as in ``objects.frames``."""
    frames = objects.frames
    steps = [np.zeros(objects.n_dimensions)]
    for before, after in itertools.pairwise(frames):
        typical = float(np.median(spacing[before]))
        steps.append(drift_between(objects.centres_um[before], objects.centres_um[after], typical))
    return np.cumsum(steps, axis=0)[: len(frames)]


def velocities(objects: Objects, centres: Float, source: Index, target: Index) -> tuple[Float, Float]:
    """Velocities after links: each object's own up to now, and that of its neighbours from now on, per interval.

    Parameters
    ----------
    objects : Objects
    centres : (n, d) float
        Without drift.
    source, target : (m,) int
        Links of single objects.

    Returns
    -------
    own, around : (n, d) float
        0 where unknown.
    """
    interval = (objects.time[target] - objects.time[source])[:, None]
    step = (centres[target] - centres[source]) / interval
    own = np.zeros_like(centres)
    own[target] = step
    leaving = np.full_like(centres, np.nan)
    leaving[source] = step
    around = np.zeros_like(centres)
    for rows in objects.frames:
        moving = np.flatnonzero(np.isfinite(leaving[rows, 0])) + rows.start
        if len(moving) < 4:
            continue
        k = min(N_NEIGHBOURS + 1, len(moving))
        here = np.arange(rows.start, rows.stop)
        near = moving[cKDTree(centres[moving]).query(centres[rows], k=k)[1]]
        steps = np.where((near == here[:, None])[:, :, None], np.nan, leaving[near])
        around[rows] = np.nanmedian(steps, axis=1)
    return own, around
