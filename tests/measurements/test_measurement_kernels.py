"""The compiled loops against NumPy on the voxels themselves."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.measurements._kernels import count_all_crossings, mirror_runs, row_runs

STEPS = np.array([(0, 0, 1), (0, 1, 0), (1, 0, 0), (1, -1, 1), (0, 1, -2), (1, 2, 1)])


def mask(shape: tuple[int, int, int] = (4, 5, 9), seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < 0.55


def as_mask(runs: tuple[np.ndarray, ...], shape: tuple[int, int, int], shift: int = 0) -> np.ndarray:
    first, starts, stops = runs
    rows = np.zeros((shape[0] * shape[1], shape[2]), bool)
    for row in range(len(rows)):
        for run in range(first[row], first[row + 1]):
            rows[row, starts[run] + shift : stops[run] + shift] = True
    return rows.reshape(shape)


def test_runs_are_the_mask() -> None:
    np.testing.assert_array_equal(as_mask(row_runs(mask()), (4, 5, 9)), mask())


@pytest.mark.parametrize(("low", "high"), [(False, False), (True, False), (False, True), (True, True)])
def test_runs_are_mirrored_as_numpy_pads(low: bool, high: bool) -> None:
    widths = ((0, 0), (0, 0), (9 * low, 9 * high))
    expected = np.pad(mask(), widths, mode="symmetric")
    runs = mirror_runs(row_runs(mask()), 9, low, high, 9)
    np.testing.assert_array_equal(as_mask(runs, expected.shape, shift=9 * low), expected)
    assert all(np.all(np.diff(runs[1][a:b]) > 0) for a, b in zip(runs[0][:-1], runs[0][1:], strict=True))


def test_runs_between_two_borders_are_mirrored_again_and_again() -> None:
    small = mask((2, 3, 4))
    expected = np.pad(small, ((0, 0), (0, 0), (12, 12)), mode="symmetric")
    np.testing.assert_array_equal(
        as_mask(mirror_runs(row_runs(small), 4, True, True, 10), expected.shape, shift=12), expected
    )


@pytest.mark.parametrize(
    "is_cut", [np.zeros((3, 2), bool), np.array([[1, 0], [0, 1], [1, 1]], bool)], ids=["free", "cut"]
)
def test_crossings_are_pairs_of_which_one_is_inside(is_cut: np.ndarray) -> None:
    """Beyond a cut side the object is mirrored, and p must lie inside the box; beyond another one there is nothing."""
    inside, reach = mask(), 3
    continued = inside
    for axis in range(3):
        for side in range(2):
            widths = [(0, 0)] * 3
            widths[axis] = (reach, 0) if side == 0 else (0, reach)
            continued = np.pad(continued, widths, mode="symmetric" if is_cut[axis, side] else "constant")
    is_start = np.ones(inside.shape, bool)
    for axis in range(3):
        widths = [(0, 0)] * 3
        widths[axis] = (reach, reach)
        is_start = np.pad(is_start, widths, constant_values=False)
        for side, part in enumerate((slice(0, reach), slice(-reach, None))):
            if not is_cut[axis, side]:
                index = [slice(None)] * 3
                index[axis] = part
                is_start[tuple(index)] = np.take(is_start, [reach], axis=axis)
    # No step reaches over this rim, so that nothing wraps around.
    continued, is_start = np.pad(continued, reach), np.pad(is_start, reach)
    expected = []
    for step in STEPS:
        moved = np.roll(continued, tuple(-step), axis=(0, 1, 2))
        expected.append(int(np.count_nonzero((continued != moved) & is_start)))
    runs = row_runs(inside)
    mirrored = mirror_runs(runs, 9, bool(is_cut[2, 0]), bool(is_cut[2, 1]), reach)
    assert count_all_crossings(inside.shape, runs, mirrored, is_cut, STEPS).tolist() == expected
