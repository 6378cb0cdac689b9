"""The loops over voxels and runs that need compiling; nothing here knows what a measurement is.

A *run* is a stretch of object voxels along x in one row (z, y). Objects are measured on their runs: there are few of
them, whatever the number of voxels. To add a kernel, write a plain function on NumPy arrays and decorate it with
:func:`compiled`; counts stay in int64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])
Integers = NDArray[np.int64]
Shape = tuple[int, int, int]
Runs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def compiled(function: Function) -> Function:
    """Compile, and keep the machine code between processes where some folder can be written."""
    try:
        built: Function = numba.njit(cache=True)(function)
    except RuntimeError:  # numba: "no locator available", a read-only installation without a writable home
        built = numba.njit(function)
    return built


@compiled
def row_runs(mask: NDArray[np.bool_]) -> Runs:
    """Runs of a mask (z, y, x): ``first`` (rows + 1) into ``starts`` and ``stops``; row = z · n_y + y."""
    n_z, n_y, n_x = mask.shape
    first = np.zeros(n_z * n_y + 1, np.int64)
    for z in range(n_z):
        for y in range(n_y):
            n_runs = 0
            before = False
            for x in range(n_x):
                n_runs += mask[z, y, x] and not before
                before = mask[z, y, x]
            first[z * n_y + y + 1] = first[z * n_y + y] + n_runs
    starts = np.empty(first[-1], np.int64)
    stops = np.empty(first[-1], np.int64)
    for z in range(n_z):
        for y in range(n_y):
            run = first[z * n_y + y] - 1
            before = False
            for x in range(n_x):
                if mask[z, y, x]:
                    if not before:
                        run += 1
                        starts[run] = x
                    stops[run] = x + 1
                before = mask[z, y, x]
    return first, starts, stops


@compiled
def mirror_runs(runs: Runs, n_x: int, is_cut_low: bool, is_cut_high: bool, reach: int) -> Runs:
    """The runs of every row, continued beyond a cut x border by reflection, ``reach`` voxels and more.

    Between two cut borders the reflections are reflected again, as often as it takes.
    """
    first, starts, stops = runs
    n_copies = (reach + n_x - 1) // n_x if is_cut_low and is_cut_high else 1
    low = -n_copies if is_cut_low else 0
    high = n_copies if is_cut_high else 0
    new_starts = np.empty((high - low + 1) * starts.size, np.int64)
    new_stops = np.empty((high - low + 1) * starts.size, np.int64)
    n = 0
    for row in range(first.size - 1):
        n_runs = first[row + 1] - first[row]
        for copy in range(low, high + 1):
            for index in range(n_runs):
                if copy % 2 == 0:
                    run = first[row] + index
                    new_starts[n] = copy * n_x + starts[run]
                    new_stops[n] = copy * n_x + stops[run]
                else:
                    run = first[row + 1] - 1 - index
                    new_starts[n] = (copy + 1) * n_x - stops[run]
                    new_stops[n] = (copy + 1) * n_x - starts[run]
                n += 1
    return first * (high - low + 1), new_starts, new_stops


@compiled
def _common_length(a: Runs, row_a: int, b: Runs, row_b: int, shift: int) -> int:
    """Voxels x of ``row_a`` for which x + ``shift`` lies in ``row_b``."""
    total = 0
    i = a[0][row_a]
    j = b[0][row_b]
    while i < a[0][row_a + 1] and j < b[0][row_b + 1]:
        low = max(a[1][i], b[1][j] - shift)
        high = min(a[2][i], b[2][j] - shift)
        if high > low:
            total += high - low
        if a[2][i] < b[2][j] - shift:
            i += 1
        else:
            j += 1
    return total


@compiled
def _source(index: int, size: int, is_cut_low: bool, is_cut_high: bool) -> int:
    """The row an index stands for, reflected at cut borders; -1 where there is nothing."""
    if is_cut_low and is_cut_high:
        index %= 2 * size
        return index if index < size else 2 * size - 1 - index
    if index < 0:
        index = -1 - index if is_cut_low else -1
    elif index >= size:
        index = 2 * size - 1 - index if is_cut_high else -1
    return index if 0 <= index < size else -1


@compiled
def _count_crossings(
    shape: Shape,
    runs: Runs,
    mirrored: Runs,
    is_cut: NDArray[np.bool_],
    step: Integers,
) -> int:
    """Pairs of voxels (p, p + step), p inside the volume, of which exactly one belongs to the object."""
    n_z, n_y, n_x = shape
    dz, dy, dx = step
    n_here = 0
    n_there = 0
    n_both = 0
    for z in range(n_z):
        other_z = _source(z + dz, n_z, is_cut[0, 0], is_cut[0, 1])
        for y in range(n_y):
            row = z * n_y + y
            for run in range(runs[0][row], runs[0][row + 1]):
                n_here += runs[2][run] - runs[1][run]
            other_y = _source(y + dy, n_y, is_cut[1, 0], is_cut[1, 1])
            if other_z >= 0 and other_y >= 0 and runs[0][row + 1] > runs[0][row]:
                n_both += _common_length(runs, row, mirrored, other_z * n_y + other_y, dx)
    if not is_cut.any():
        return 2 * (n_here - n_both)
    low_x = 0 if is_cut[2, 0] else -abs(dx)
    high_x = n_x if is_cut[2, 1] else n_x + abs(dx)
    for z in range(0 if is_cut[0, 0] else -abs(dz), n_z if is_cut[0, 1] else n_z + abs(dz)):
        other_z = _source(z + dz, n_z, is_cut[0, 0], is_cut[0, 1])
        for y in range(0 if is_cut[1, 0] else -abs(dy), n_y if is_cut[1, 1] else n_y + abs(dy)):
            other_y = _source(y + dy, n_y, is_cut[1, 0], is_cut[1, 1])
            if other_z < 0 or other_y < 0:
                continue
            row = other_z * n_y + other_y
            for run in range(mirrored[0][row], mirrored[0][row + 1]):
                n_there += max(0, min(mirrored[2][run] - dx, high_x) - max(mirrored[1][run] - dx, low_x))
    return n_here + n_there - 2 * n_both


@compiled
def count_all_crossings(
    shape: Shape, runs: Runs, mirrored: Runs, is_cut: NDArray[np.bool_], steps: Integers
) -> Integers:
    """For each step (n, 3), the pairs of voxels (p, p + step) of which exactly one belongs to the object.

    ``is_cut`` (3, 2) says at which sides of the box the volume ends: there p must lie inside, and p + step is looked
    up by reflection (along x in the runs ``mirrored``). Elsewhere the box is surrounded by nothing.
    """
    counts = np.empty(len(steps), np.int64)
    for index in range(len(steps)):
        counts[index] = _count_crossings(shape, runs, mirrored, is_cut, steps[index])
    return counts
