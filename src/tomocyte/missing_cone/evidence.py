"""Whether a tomogram lacks frequencies along z, judged from the tomogram and its masks alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.missing_cone.transfer import frequency_per_um
from tomocyte.volume import VoxelSize

LOWEST_PER_UM, HIGHEST_PER_UM = 0.05, 0.4
INSIDE_DEG, OUTSIDE_DEG = 20.0, 60.0
"""Frequencies nearer to the z axis than the first lie in every missing cone, those further away than the second in
none."""
LEAST_COMPLETE = 0.9
"""Recovery along z from which a tomogram counts as complete: simulated and real rotated cells reach 0.96 to 1.16,
limited angles 0.53 to 0.85."""


def cone_recovery(contrast: NDArray[np.float32], cells: NDArray[Any], voxel_size_um: VoxelSize) -> float:
    """How much of the cells' contrast is left along z, over how much is left across.

    The masks filled with the mean contrast of their cell stand for the cells; each share is the regression of the
    tomogram's low frequencies on theirs.

    Parameters
    ----------
    contrast : ndarray (Z, Y, X), float32
        n - n0; voxels without a number count as 0.
    cells : ndarray (Z, Y, X), unsigned integer
    voxel_size_um : tuple of 3 float

    Returns
    -------
    float
        About 1 for a complete tomogram; NaN without cells.
    """
    import scipy.fft

    values = np.nan_to_num(contrast, nan=0.0, posinf=0.0, neginf=0.0)
    n_voxels = np.bincount(cells.ravel())
    means = np.bincount(cells.ravel(), weights=values.ravel()) / np.maximum(n_voxels, 1)
    means[0] = 0
    model = scipy.fft.rfftn(means.astype(np.float32)[cells], workers=1)
    spectrum = scipy.fft.rfftn(values, workers=1)
    shape = (values.shape[0], values.shape[1], values.shape[2])
    frequency = frequency_per_um(shape, voxel_size_um)
    along = np.abs(np.fft.fftfreq(shape[0], voxel_size_um[0])).astype(np.float32)[:, None, None]
    is_used = (frequency > LOWEST_PER_UM) & (frequency < HIGHEST_PER_UM)
    cosine = along / np.maximum(frequency, LOWEST_PER_UM)
    is_inside = is_used & (cosine > math.cos(math.radians(INSIDE_DEG)))
    is_outside = is_used & (cosine < math.cos(math.radians(OUTSIDE_DEG)))
    shares = []
    for where in (is_inside, is_outside):
        power = float((np.abs(model[where]) ** 2).sum(dtype=np.float64))
        common = float((spectrum[where] * model[where].conj()).real.sum(dtype=np.float64))
        shares.append(common / power if power > 0 else math.nan)
    return shares[0] / shares[1] if shares[1] else math.nan
