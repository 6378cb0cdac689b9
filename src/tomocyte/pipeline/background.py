"""The medium's value, measured where no cell is. Another way of measuring it goes beside :func:`background_level`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.volume import VoxelSize

BACKGROUND_MARGIN_UM = 1.0


def background_level(
    image: NDArray[np.float32],
    cells: NDArray[Any],
    voxel_size_um: VoxelSize,
    *,
    margin_um: float = BACKGROUND_MARGIN_UM,
) -> float | None:
    """The median outside the cells, at least ``margin_um`` away from them.

    Parameters
    ----------
    image : float32 ndarray (Z, Y, X)
        Physical values; NaN are ignored.
    cells : unsigned ndarray (Z, Y, X)
    voxel_size_um : tuple of 3 float
    margin_um : float
        Distance in µm that blur may reach.

    Returns
    -------
    float or None
        In the image's unit; ``None`` where less than 0.1 % of the volume lies that far outside.
    """
    import edt

    step = tuple(max(1, round(size / 256)) for size in image.shape)
    thinned = tuple(slice(None, None, width) for width in step)
    spacing = [1.0 if math.isnan(size) else size * width for size, width in zip(voxel_size_um, step, strict=True)]
    distance = edt.edt(cells[thinned] == 0, anisotropy=spacing, parallel=1)
    values = image[thinned][distance >= margin_um]
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size > 0.001 * distance.size else None
