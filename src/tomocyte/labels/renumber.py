"""Labels numbered 1..n in raster order of their first voxel.

Nothing else lives here; another order would be another function beside it.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.dtypes import label_dtype

Labels = NDArray[np.unsignedinteger[Any]]
Mask = NDArray[np.bool_]


def renumber(labels: Labels, keep: Mask | None = None) -> Labels:
    """Number the objects 1..n in raster order of their first voxel, in the smallest type that holds them.

    Parameters
    ----------
    labels : ndarray (Z, Y, X), unsigned integer
    keep : ndarray (largest label + 1,), bool, optional
        Objects to keep; entry 0 is ignored.

    Returns
    -------
    ndarray (Z, Y, X), unsigned integer
        A new array.

    Examples
    --------
    >>> renumber(np.array([[[7, 0, 3, 7]]], dtype=np.uint16)).tolist()
    [[[1, 0, 2, 1]]]
    """
    largest = int(labels.max(initial=0))
    is_selected = np.ones(largest + 1, dtype=bool) if keep is None else keep.astype(bool)
    number, n = _raster_numbers(labels, is_selected)
    table = number.astype(label_dtype(n))
    numbered = np.empty(labels.shape, dtype=table.dtype)
    for z in range(labels.shape[0]):
        np.take(table, labels[z], out=numbered[z])
    return numbered


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _raster_numbers(labels: Labels, keep: Mask) -> tuple[NDArray[np.int64], int]:
    number = np.zeros(keep.size, np.int64)
    n = 0
    for label in labels.flat:
        if label != 0 and keep[label] and number[label] == 0:
            n += 1
            number[label] = n
    return number, n
