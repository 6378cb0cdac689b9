"""The running argmax over nuclei, and cells painted on the image's voxels straight from the network's grid.

Of all nuclei only the best probability, its label and the runner-up are kept, so memory does not grow with the number
of cells. To keep more of a vote, add an array to :class:`Votes` and fill it in :func:`_cast`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.dtypes import label_dtype
from tomocyte.segmentation.cells.windows import Shape3, Window

FULL = 65_535
"""A probability of 1, as votes are stored."""
Mask = NDArray[np.bool_]
Labels = NDArray[np.uint32]
Share = NDArray[np.uint16]


@dataclass(frozen=True)
class Votes:
    """Claims of the nuclei so far on the voxels of the grid.

    Parameters
    ----------
    label : ndarray (z, y, x), uint32
        The nucleus with the highest probability; 0 = in no window yet.
    best, second : ndarray (z, y, x), uint16
        Its probability, and the highest of any other nucleus, times 65,535.
    """

    label: Labels
    best: Share
    second: Share

    @classmethod
    def empty(cls, shape: Shape3) -> Votes:
        """No votes yet."""
        return cls(np.zeros(shape, np.uint32), np.zeros(shape, np.uint16), np.zeros(shape, np.uint16))

    def cast(self, window: Window, probability: NDArray[np.float32], membrane: Mask) -> None:
        """Add one nucleus's window; voxels outside the membrane take no votes.

        Parameters
        ----------
        window : Window
        probability : ndarray (z, y, x), float32
            Of the window's shape.
        membrane : ndarray (z, y, x), bool
            Of the grid.
        """
        grid, own = window.inside(self.label.shape)
        votes = np.ascontiguousarray(probability[own])
        _cast(self.label[grid], self.best[grid], self.second[grid], votes, membrane[grid], window.label)


def paint_cells(
    membrane: Mask, cells: Labels, share: Share, inside: Mask, *, least: float = 0.0
) -> NDArray[np.unsignedinteger[Any]]:
    """Labels on the image's voxels: between the voxels of the grid, the cell with most probability wins.

    Parameters
    ----------
    membrane : ndarray (Z, Y, X), bool
        The image's mask; nothing is painted outside it.
    cells : ndarray (z, y, x), uint32
        Cells on the grid over the same extent.
    share : ndarray (z, y, x), uint16
        Their probability times 65,535; weights of the interpolation.
    inside : ndarray (z, y, x), bool
        Voxels of the grid that count as neighbours when the probability is compared with ``least``.
    least : float, in [0, 1]
        Interpolated probability from which a voxel is painted.

    Returns
    -------
    ndarray (Z, Y, X), unsigned integer
        In the smallest type that holds the cells; no float array of the image's size is made.

    Examples
    --------
    >>> cells = np.array([[[1, 2]]], np.uint32)
    >>> share = np.array([[[65535, 16384]]], np.uint16)
    >>> paint_cells(np.ones((1, 1, 6), bool), cells, share, cells > 0).tolist()
    [[[1, 1, 1, 1, 2, 2]]]
    """
    painted = np.zeros(membrane.shape, dtype=label_dtype(int(cells.max(initial=0))))
    places = [_neighbours(n, size) for n, size in zip(membrane.shape, cells.shape, strict=True)]
    low = (places[0][0], places[1][0], places[2][0])
    weight = (places[0][1], places[1][1], places[2][1])
    _paint(painted, membrane, cells, share, inside, (low, weight, least * FULL))
    return painted


def _neighbours(n: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each fine voxel the grid voxel below it, and the weight of the one above."""
    place = np.clip((np.arange(n) + 0.5) * size / n - 0.5, 0, size - 1)
    low = np.minimum(place.astype(np.int64), max(size - 2, 0))
    return low, (place - low).astype(np.float32)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _cast(
    label: Labels, best: Share, second: Share, probability: NDArray[np.float32], membrane: Mask, nucleus: int
) -> None:
    for z in range(label.shape[0]):
        for y in range(label.shape[1]):
            for x in range(label.shape[2]):
                if not membrane[z, y, x]:
                    continue
                vote = np.uint16(min(max(probability[z, y, x], 0.0), 1.0) * 65535.0 + 0.5)
                # Equal votes go to the smaller label, so that the order of the windows does not matter.
                wins_tie = vote == best[z, y, x] and (label[z, y, x] == 0 or nucleus < label[z, y, x])
                if vote > best[z, y, x] or wins_tie:
                    second[z, y, x] = best[z, y, x]
                    best[z, y, x] = vote
                    label[z, y, x] = nucleus
                elif vote > second[z, y, x]:
                    second[z, y, x] = vote


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _paint(painted: Any, membrane: Mask, cells: Labels, share: Share, inside: Mask, between: Any) -> None:
    low, weight, least = between
    names = np.zeros(8, np.uint32)
    sums = np.zeros(8, np.float64)
    for z in range(painted.shape[0]):
        for y in range(painted.shape[1]):
            for x in range(painted.shape[2]):
                if not membrane[z, y, x]:
                    continue
                n, weight_inside = 0, 0.0
                for corner in range(8):
                    up_z, up_y, up_x = corner >> 2, (corner >> 1) & 1, corner & 1
                    at_z = min(low[0][z] + up_z, cells.shape[0] - 1)
                    at_y = min(low[1][y] + up_y, cells.shape[1] - 1)
                    at_x = min(low[2][x] + up_x, cells.shape[2] - 1)
                    weight_here = weight[0][z] if up_z else 1.0 - weight[0][z]
                    weight_here *= weight[1][y] if up_y else 1.0 - weight[1][y]
                    weight_here *= weight[2][x] if up_x else 1.0 - weight[2][x]
                    if inside[at_z, at_y, at_x]:
                        weight_inside += weight_here
                    name = cells[at_z, at_y, at_x]
                    if name == 0 or weight_here <= 0.0:
                        continue
                    slot = 0
                    while slot < n and names[slot] != name:
                        slot += 1
                    if slot == n:
                        names[n] = name
                        sums[n] = 0.0
                        n += 1
                    sums[slot] += weight_here * share[at_z, at_y, at_x]
                winner, most = np.uint32(0), -1.0
                for index in range(n):
                    if sums[index] > most:
                        most = sums[index]
                        winner = names[index]
                if n > 0 and most >= least * weight_inside:
                    painted[z, y, x] = winner
