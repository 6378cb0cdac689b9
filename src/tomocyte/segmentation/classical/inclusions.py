"""Bright inclusions inside one cell, such as lipid droplets in a refractive-index map.

To find inclusions by another rule, write a function like :func:`bright_inclusions` and name it in
``InclusionSettings.method`` and in ``organelles.FIND_INCLUSIONS``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.cleaning import voxels_of
from tomocyte.labels.components import connected_components
from tomocyte.segmentation.classical.thresholds import GAUSSIAN_MAD
from tomocyte.segmentation.settings import InclusionSettings
from tomocyte.volume import VoxelSize

Mask = NDArray[np.bool_]
_ENOUGH = 2_000_000


def bright_inclusions(image: NDArray[Any], cell: Mask, voxel_size_um: VoxelSize, settings: InclusionSettings) -> Mask:
    """Voxels far above the cell's own values, grown down to their rim (hysteresis).

    With the cell's median m and robust standard deviation s (1.4826 times the median absolute deviation), a peak
    reaches ``m + max(n_deviations * s, min_contrast)``; the inclusion extends to where the value falls below
    ``rim_fraction`` of the way from m to that level.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real, physical values
    cell : ndarray (Z, Y, X), bool
    voxel_size_um : tuple of 3 float
    settings : InclusionSettings

    Returns
    -------
    ndarray (Z, Y, X), bool

    Examples
    --------
    >>> cell = np.ones((1, 3, 5), dtype=bool)
    >>> image = np.full((1, 3, 5), 1.35, dtype=np.float32)
    >>> image[0, 1, 1:4] = 1.353, 1.36, 1.353
    >>> found = bright_inclusions(image, cell, (float("nan"), 0.5, 0.5), InclusionSettings(min_contrast=0.005))
    >>> int(found.sum())
    3
    """
    values = image[cell]
    values = values[:: max(1, values.size // _ENOUGH)]
    values = values[np.isfinite(values)].astype(np.float64)
    if values.size == 0:
        return np.zeros(cell.shape, dtype=bool)
    middle = float(np.median(values))
    spread = GAUSSIAN_MAD * float(np.median(np.abs(values - middle)))
    rise = max(settings.n_deviations * spread, settings.min_contrast)
    if rise == 0:
        return np.zeros(cell.shape, dtype=bool)
    components = connected_components(cell & (image > middle + settings.rim_fraction * rise), connectivity=3)
    smallest = voxels_of(settings.min_volume_um3, settings.min_area_um2, voxel_size_um, cell.shape[0])
    keep = components.n_voxels >= smallest
    labels = components.paint(keep)
    has_peak = np.zeros(int(labels.max(initial=0)) + 1, dtype=bool)
    has_peak[np.unique(labels[(labels > 0) & (image >= middle + rise)])] = True
    has_peak[0] = False
    return np.asarray(has_peak[labels])
