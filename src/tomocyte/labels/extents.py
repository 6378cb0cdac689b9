"""Size and bounding box of every label, in one pass over the voxels.

Work on one object is done inside its box. To collect more about each label in the same pass, add it to
:class:`Extents` and to the loop below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.unsignedinteger[Any]]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Extents:
    """Voxels and bounding box of each label, by label; entry 0 is unused.

    Parameters
    ----------
    n_voxels : ndarray (n + 1,), int64
    lower, upper : ndarray (n + 1, 3), int64
        Half-open.
    """

    n_voxels: NDArray[np.int64]
    lower: NDArray[np.int64]
    upper: NDArray[np.int64]

    def box(self, label: int, shape: tuple[int, ...], margin: int = 0) -> Box:
        """Bounding box of a label, widened by a margin where the volume allows."""
        sides = [
            slice(max(int(low) - margin, 0), min(int(high) + margin, size))
            for low, high, size in zip(self.lower[label], self.upper[label], shape, strict=True)
        ]
        return (sides[0], sides[1], sides[2])


def label_extents(labels: Labels) -> Extents:
    """Voxels and bounding box of each label, in one pass.

    Examples
    --------
    >>> extents = label_extents(np.array([[[0, 1, 1, 0, 2]]], dtype=np.uint8))
    >>> extents.n_voxels.tolist(), extents.box(1, (1, 1, 5))[2]
    ([0, 2, 1], slice(1, 3, None))
    """
    n = int(labels.max(initial=0))
    return Extents(*_extents(labels, n))


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _extents(labels: Labels, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    n_voxels = np.zeros(n + 1, np.int64)
    lower = np.full((n + 1, 3), np.int64(2**62))
    upper = np.zeros((n + 1, 3), np.int64)
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            for x in range(labels.shape[2]):
                label = labels[z, y, x]
                if label == 0:
                    continue
                n_voxels[label] += 1
                lower[label, 0] = min(lower[label, 0], z)
                lower[label, 1] = min(lower[label, 1], y)
                lower[label, 2] = min(lower[label, 2], x)
                upper[label, 0] = max(upper[label, 0], z + 1)
                upper[label, 1] = max(upper[label, 1], y + 1)
                upper[label, 2] = max(upper[label, 2], x + 1)
    return n_voxels, lower, upper
