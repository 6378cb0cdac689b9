"""Objects of one kind among each other: how far each is from the nearest other one, and how many lie within the gap.

Distances are exact, from surface to surface as everywhere here; objects can be shifted, as random placement does,
without painting them. Runs along x are compared, after boxes have excluded what cannot be the nearest.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tomocyte.measurements._kernels import Integers, compiled
from tomocyte.measurements._label_runs import LabelRuns
from tomocyte.measurements.shapes import Shapes
from tomocyte.measurements.spatial._kernels import Floats
from tomocyte.volume import VoxelSize

Run32 = NDArray[np.int32]
Runs = tuple[int, Integers, Run32, Run32, Run32]
"""Rows per plane, first run of each object, and row, start and stop of each run."""
N_DESCENTS = 4
# Distances are roots of sums of products: one that equals the gap is within it.
SLACK = 1e-6


def nearest_of_kind(
    runs: LabelRuns, voxel_size_um: VoxelSize, gap_um: float, shifts: Integers | None = None
) -> tuple[Floats, Integers]:
    """Distance of each object to the nearest other one in µm, and the number of others within the gap.

    Parameters
    ----------
    runs : LabelRuns
        n objects.
    voxel_size_um : tuple of 3 float
        z is NaN for planar images.
    gap_um : float
    shifts : int64 ndarray (n, 3), optional
        How many voxels each is moved along z, y, x.

    Returns
    -------
    distances_um : float64 ndarray (n,)
        NaN where there is no other object.
    n_contacts : int64 ndarray (n,)

    Examples
    --------
    >>> from tomocyte.measurements._label_runs import label_runs
    >>> labels = np.array([[[1, 1, 0, 0, 0, 2, 0, 3]]], np.uint8)
    >>> distances, n_contacts = nearest_of_kind(label_runs(labels), (float("nan"), 1.0, 0.5), 0.5)
    >>> distances.tolist(), n_contacts.tolist()
    ([1.5, 0.5, 0.5], [0, 1, 1])
    """
    sides = np.array([0.0 if math.isnan(side) else side for side in voxel_size_um])
    boxes = Shapes(runs, (1.0, 1.0, 1.0)).boxes
    moved = np.zeros((len(runs), 3), np.int64) if shifts is None else shifts
    table = (runs.shape[1], runs.first, runs.rows, runs.starts, runs.stops)
    order = np.argsort((boxes[:, 4] + moved[:, 2]), kind="stable")
    limit = (gap_um * (1 + SLACK)) ** 2 + 1e-18
    squared, n_contacts = _nearest(table, boxes, moved, order, sides, limit)
    return np.where(np.isfinite(squared), np.sqrt(squared), np.nan), n_contacts


@compiled
def _nearest(
    runs: Runs, boxes: Integers, shifts: Integers, order: Integers, sides: Floats, limit: float
) -> tuple[Floats, Integers]:
    """Squared distance to the nearest other object, and the number of others at most ``limit`` (squared) away.

    ``order`` sorts the objects along x, so that looking further on either side can stop.
    """
    n = len(order)
    squared = np.full(n, np.inf)
    n_contacts = np.zeros(n, np.int64)
    highest = np.empty(n, np.int64)  # where all objects up to here along x have ended
    for place in range(n):
        end = boxes[order[place], 5] + shifts[order[place], 2]
        highest[place] = max(end, highest[place - 1]) if place else end
    for place in range(n):
        one = order[place]
        is_open_low, is_open_high = True, True
        for step in range(1, n):
            if not (is_open_low or is_open_high):
                break
            for direction in (-1, 1):
                other_place = place + direction * step
                if direction < 0:
                    is_open_low = is_open_low and other_place >= 0
                    if not is_open_low:
                        continue
                    apart = boxes[one, 4] + shifts[one, 2] - highest[other_place]
                else:
                    is_open_high = is_open_high and other_place < n
                    if not is_open_high:
                        continue
                    apart = boxes[order[other_place], 4] + shifts[order[other_place], 2]
                    apart -= boxes[one, 5] + shifts[one, 2]
                bound = max(squared[one], limit)
                if (max(apart, 0) * sides[2]) ** 2 > bound:
                    if direction < 0:
                        is_open_low = False
                    else:
                        is_open_high = False
                    continue
                other = order[other_place]
                shift = shifts[one] - shifts[other]
                if _between_boxes(boxes[one], boxes[other], shift, sides) <= bound:
                    found = _between(runs, boxes, one, other, shift, sides, bound)
                    squared[one] = min(squared[one], found)
                    n_contacts[one] += found <= limit
    return squared, n_contacts


@compiled
def _between_boxes(box: Integers, other: Integers, shift: Integers, sides: Floats) -> float:
    """Squared distance of two boxes (z, y, x start and stop), the first one shifted."""
    squared = 0.0
    for axis in range(3):
        low, high = box[2 * axis] + shift[axis], box[2 * axis + 1] + shift[axis]
        apart = max(other[2 * axis] - high, low - other[2 * axis + 1], 0) * sides[axis]
        squared += apart * apart
    return squared


@compiled
def _between_runs(runs: Runs, run: int, shift: Integers, other: int, sides: Floats) -> float:
    """Squared distance of two runs, the first one shifted: voxels i and j are |i - j| - 1 sides apart."""
    n_y, _, rows, starts, stops = runs
    apart_z = max(abs(rows[run] // n_y + shift[0] - rows[other] // n_y) - 1, 0) * sides[0]
    apart_y = max(abs(rows[run] % n_y + shift[1] - rows[other] % n_y) - 1, 0) * sides[1]
    low, high = starts[run] + shift[2], stops[run] + shift[2]
    apart_x = max(starts[other] - high, low - stops[other], 0) * sides[2]
    squared: float = apart_z * apart_z + apart_y * apart_y + apart_x * apart_x
    return squared


@compiled
def _between(runs: Runs, boxes: Integers, one: int, other: int, shift: Integers, sides: Floats, bound: float) -> float:
    """Squared distance of two objects, the first one shifted, or infinity where it is more than ``bound``."""
    n_y, first, rows, _, _ = runs
    least = np.inf
    if bound == np.inf:
        bound = least = _descended(runs, one, other, shift, sides)
    for run in range(first[one], first[one + 1]):
        z, y = rows[run] // n_y + shift[0], rows[run] % n_y + shift[1]
        if _from_box(runs, run, shift, boxes[other], sides) > bound:
            continue
        # Rows that are nearer than the bound: their first runs are found by halving.
        reach = np.sqrt(bound)
        reach_z = boxes[other, 1] if sides[0] == 0 else int(reach / sides[0]) + 1
        reach_y = int(reach / sides[1]) + 1
        for to_z in range(max(boxes[other, 0], z - reach_z), min(boxes[other, 1], z + reach_z + 1)):
            low_row = to_z * n_y + max(boxes[other, 2], y - reach_y)
            high_row = to_z * n_y + min(boxes[other, 3] - 1, y + reach_y)
            low, high = first[other], first[other + 1]
            while low < high:
                middle = (low + high) // 2
                if rows[middle] < low_row:
                    low = middle + 1
                else:
                    high = middle
            while low < first[other + 1] and rows[low] <= high_row:
                squared = _between_runs(runs, run, shift, low, sides)
                if squared <= bound:
                    bound = squared
                    least = squared
                low += 1
    return least


@compiled
def _descended(runs: Runs, one: int, other: int, shift: Integers, sides: Floats) -> float:
    """A squared distance between two objects that is often the smallest: from run to nearest run, to and fro."""
    first = runs[1]
    run = first[one]
    best = np.inf
    for turn in range(N_DESCENTS):
        body = other if turn % 2 == 0 else one
        nearest, least = first[body], np.inf
        for candidate in range(first[body], first[body + 1]):
            if turn % 2 == 0:
                squared = _between_runs(runs, run, shift, candidate, sides)
            else:
                squared = _between_runs(runs, candidate, shift, run, sides)
            if squared < least:
                nearest, least = candidate, squared
        run = nearest
        best = min(best, least)
    return best


@compiled
def _from_box(runs: Runs, run: int, shift: Integers, box: Integers, sides: Floats) -> float:
    """Squared distance of a run, shifted, from a box."""
    n_y, _, rows, starts, stops = runs
    z, y = rows[run] // n_y + shift[0], rows[run] % n_y + shift[1]
    apart_z = max(box[0] - z - 1, z - box[1], 0) * sides[0]
    apart_y = max(box[2] - y - 1, y - box[3], 0) * sides[1]
    apart_x = max(box[4] - stops[run] - shift[2], starts[run] + shift[2] - box[5], 0) * sides[2]
    squared: float = apart_z * apart_z + apart_y * apart_y + apart_x * apart_x
    return squared
