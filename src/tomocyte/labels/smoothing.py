"""Smooth borders of labels: curvature flow of what stands for a label, its mask or how often it was visited.

To smooth in another manner, add a function that takes one label's values and returns them smoothed.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.extents import label_extents

TIME_STEP = 0.01
"""Of an explicit step, in squared voxels."""


def flow_margin(n_steps: int) -> int:
    """Voxels beyond which that many steps change nothing that counts.

    Examples
    --------
    >>> flow_margin(100)
    8
    """
    return 2 + math.ceil(4 * math.sqrt(2 * TIME_STEP * n_steps))


def curvature_flow(values: NDArray[np.float32], n_steps: int) -> NDArray[np.float32]:
    """Values whose level surfaces have moved by their curvature, in explicit steps of 0.01 squared voxels.

    A ball of radius r shrinks to sqrt(r² - 0.04 n). Nothing flows over the border of the array.

    Parameters
    ----------
    values : ndarray (Z, Y, X), float32
    n_steps : int
        100 in Biomedisa.

    References
    ----------
    Osher & Sethian 1988, J. Comput. Phys. 79:12-49, doi:10.1016/0021-9991(88)90002-2.
    """
    here, there = values.astype(np.float32), np.empty(values.shape, np.float32)
    for _ in range(n_steps):
        _flow_step(here, there)
        here, there = there, here
    return here


def smooth_labels(labels: NDArray[np.unsignedinteger[Any]], n_steps: int) -> NDArray[np.unsignedinteger[Any]]:
    """Labels whose borders have been smoothed by curvature flow; where two labels come out equal, the smaller wins.

    Parameters
    ----------
    labels : ndarray (Z, Y, X), unsigned integer
        Not changed. Background flows like a label.
    n_steps : int
        As in :func:`curvature_flow`. What is thinner than a few voxels may vanish.
    """
    extents = label_extents(labels)
    smoothed = np.zeros_like(labels)
    largest = np.zeros(labels.shape, np.float32)
    reach = flow_margin(n_steps)
    numbers = [0, *np.flatnonzero(extents.n_voxels[1:] > 0) + 1]
    for number in numbers:
        sides = extents.box(int(number), labels.shape) if number else (slice(0, n) for n in labels.shape)
        z, y, x = (slice(max(side.start - reach, 0), side.stop + reach) for side in sides)
        flowed = curvature_flow((labels[z, y, x] == number).astype(np.float32), n_steps)
        is_larger = flowed > largest[z, y, x]
        np.copyto(largest[z, y, x], flowed, where=is_larger)
        np.copyto(smoothed[z, y, x], labels.dtype.type(number), where=is_larger)
    return smoothed


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _flow_step(here: NDArray[np.float32], there: NDArray[np.float32]) -> None:
    """One step: curvature times the length of the gradient, from central differences."""
    depth, height, width = here.shape
    for z in range(depth):
        below, above = max(z - 1, 0), min(z + 1, depth - 1)
        for y in range(height):
            back, front = max(y - 1, 0), min(y + 1, height - 1)
            for x in range(width):
                left, right = max(x - 1, 0), min(x + 1, width - 1)
                value = here[z, y, x]
                there[z, y, x] = value
                gz = (here[above, y, x] - here[below, y, x]) / 2
                gy = (here[z, front, x] - here[z, back, x]) / 2
                gx = (here[z, y, right] - here[z, y, left]) / 2
                if gz == 0 and gy == 0 and gx == 0:
                    continue
                zz = here[above, y, x] + here[below, y, x] - 2 * value
                yy = here[z, front, x] + here[z, back, x] - 2 * value
                xx = here[z, y, right] + here[z, y, left] - 2 * value
                yz = (here[above, front, x] - here[above, back, x] - here[below, front, x] + here[below, back, x]) / 4
                xz = (here[above, y, right] - here[above, y, left] - here[below, y, right] + here[below, y, left]) / 4
                xy = (here[z, front, right] - here[z, front, left] - here[z, back, right] + here[z, back, left]) / 4
                flow = xx * (gy * gy + gz * gz) + yy * (gx * gx + gz * gz) + zz * (gx * gx + gy * gy)
                flow -= 2 * (gx * gy * xy + gx * gz * xz + gy * gz * yz)
                there[z, y, x] = value + TIME_STEP * flow / (gx * gx + gy * gy + gz * gz + 1e-10)
