"""Labels brought to another grid by their nearest voxel: numbers are copied, never interpolated.

To resample labels by probability instead, add a function here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def resample_labels(labels: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Labels or a mask on a grid of another shape over the same extent, by the nearest voxel.

    Parameters
    ----------
    labels : ndarray (Z, Y, X), bool or integer
    shape : tuple of 3 int
        Of the new grid (z, y, x), each at least 1.

    Returns
    -------
    ndarray (z, y, x), dtype of ``labels``
        Each voxel has the label of the voxel that its centre lies in. A new array.

    Examples
    --------
    >>> resample_labels(np.array([[[0, 7, 7, 9]]]), (1, 2, 2)).tolist()
    [[[7, 9], [7, 9]]]
    """
    along_z, along_y, along_x = (
        np.minimum(((np.arange(n) + 0.5) * size / n).astype(np.intp), size - 1)
        for n, size in zip(shape, labels.shape, strict=True)
    )
    return np.stack([labels[z][np.ix_(along_y, along_x)] for z in along_z])
