"""Outlines of Fiji and the pixels within: a pixel is inside where its centre is, which lies at a half.

Outlines that are written run along the edges of pixels, as Fiji's wand draws them, so that the same pixels come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Path = NDArray[np.float64]
"""Corners x, y of a closed outline, (N, 2)."""
STEPS = 16
MOST_CORNERS = 10_000_000


def paths_of_shape(numbers: Sequence[float]) -> list[Path]:
    """Outlines of a composite region from its path: 0 move, 1 line, 2 and 3 curves, 4 close, each with its corners.

    Examples
    --------
    >>> [path.tolist() for path in paths_of_shape([0, 1, 1, 1, 3, 1, 1, 3, 3, 4])]
    [[[1.0, 1.0], [3.0, 1.0], [3.0, 3.0]]]
    """
    paths: list[list[NDArray[np.float64]]] = []
    place = 0
    while place < len(numbers):
        command = int(numbers[place])
        n_corners = {0: 1, 1: 1, 2: 2, 3: 3, 4: 0}.get(command, -1)
        corners = np.array(numbers[place + 1 : place + 1 + 2 * n_corners], np.float64).reshape(-1, 2)
        if n_corners < 0 or len(corners) != n_corners or (command != 0 and not paths):
            raise ValueError(f"its path has the command {numbers[place]} at place {place}")
        place += 1 + 2 * n_corners
        if command == 0:
            paths.append([corners])
        elif command in (1, 2, 3):
            paths[-1].append(corners if command == 1 else _curve(np.vstack([paths[-1][-1][-1:], corners])))
    return [np.concatenate(parts) for parts in paths]


def _curve(control: Path) -> Path:
    """Points of a Bézier curve behind its first one."""
    share = np.linspace(0, 1, STEPS + 1)[1:, None]
    points = [np.tile(point, (STEPS, 1)) for point in control]
    while len(points) > 1:
        points = [(1 - share) * one + share * other for one, other in pairwise(points)]
    return points[0]


def ellipse(left: float, top: float, width: float, height: float) -> Path:
    """An upright ellipse as 360 corners."""
    angle = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    return np.column_stack([left + width / 2 * (1 + np.cos(angle)), top + height / 2 * (1 + np.sin(angle))])


def pixels_within(paths: Sequence[Path], shape: tuple[int, int]) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """Pixels whose centre lies within an odd number of outlines, in the box that holds them.

    Parameters
    ----------
    paths : sequence of Path
    shape : tuple of 2 int
        Y, X of the image; what lies outside is cut off.

    Returns
    -------
    box : tuple of 2 slice
    mask : ndarray (y, x), bool

    Examples
    --------
    >>> square = np.array([[1, 0], [3, 0], [3, 2], [1, 2]], float)
    >>> box, mask = pixels_within([square], (4, 4))
    >>> box, mask.tolist()
    ((slice(0, 2, None), slice(1, 3, None)), [[True, True], [True, True]])
    """
    corners = np.concatenate(paths)
    if not np.all(np.isfinite(corners)) or len(corners) > MOST_CORNERS:
        raise ValueError(f"an outline of {len(corners)} corners is not finite or too long")
    low = np.clip(np.floor(corners.min(axis=0)), 0, shape[::-1]).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)), low, shape[::-1]).astype(int)
    box = (slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0])))
    flips = np.zeros((high[1] - low[1], high[0] - low[0] + 1), np.int64)
    if flips.size:
        for path in paths:
            _count_crossings(path - low, flips)
    return box, np.cumsum(flips, axis=1)[:, :-1] % 2 == 1


def _count_crossings(path: Path, flips: NDArray[np.int64]) -> None:
    """For each row of centres add 1 at the first column whose centre lies right of where a side crosses it."""
    n_rows, n_columns = flips.shape
    for (x, y), (next_x, next_y) in zip(path, np.roll(path, -1, axis=0), strict=True):
        if y == next_y:
            continue
        (x0, y0), (x1, y1) = ((x, y), (next_x, next_y)) if y < next_y else ((next_x, next_y), (x, y))
        first, stop = max(int(np.ceil(y0 - 0.5)), 0), min(int(np.ceil(y1 - 0.5)), n_rows)
        rows = np.arange(first, stop)
        cross = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
        columns = np.clip(np.ceil(cross - 0.5), 0, n_columns - 1).astype(int)
        np.add.at(flips, (rows, columns), 1)


def outlines(mask: NDArray[Any]) -> list[Path]:
    """Closed outlines along the edges of pixels, holes among them; only corners.

    Parameters
    ----------
    mask : ndarray (Y, X), bool

    Examples
    --------
    >>> [path.tolist() for path in outlines(np.array([[1, 1]], bool))]
    [[[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [0.0, 1.0]]]
    """
    padded = np.pad(np.asarray(mask, dtype=bool), 1)
    inside, ends = padded[1:-1, 1:-1], dict[tuple[int, int], list[tuple[int, int]]]()
    for (dy, dx), (start, stop) in (
        ((-1, 0), ((0, 0), (1, 0))), ((0, 1), ((1, 0), (1, 1))), ((1, 0), ((1, 1), (0, 1))), ((0, -1), ((0, 1), (0, 0)))
    ):  # fmt: skip
        n_rows, n_columns = padded.shape
        other = padded[1 + dy : n_rows - 1 + dy, 1 + dx : n_columns - 1 + dx]
        for y, x in zip(*(axis.tolist() for axis in np.nonzero(inside & ~other)), strict=True):
            ends.setdefault((x + start[0], y + start[1]), []).append((x + stop[0], y + stop[1]))
    paths = []
    for first in sorted(ends, key=lambda corner: corner[::-1]):
        while ends.get(first):
            corners, place = [first], ends[first].pop()
            while place != first:
                corners.append(place)
                place = ends[place].pop()
            paths.append(_only_corners(np.array(corners, np.float64)))
    return paths


def _only_corners(path: Path) -> Path:
    """A path without the points at which it goes straight on."""
    step = np.roll(path, -1, axis=0) - path
    corners: Path = path[np.any(step != np.roll(step, 1, axis=0), axis=1)]
    return corners
