"""Whether what stands out of an image is bright or dark, without knowing what is in it.

Absorption has no upper end (glass, beads, droplets), and a lower one: nothing absorbs less than what surrounds the
sample. So the values reach further from their most frequent one on the side of what absorbs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.blocks import block_factors, block_means
from tomocyte.segmentation.classical.thresholds import Histogram, histogram_mode
from tomocyte.volume import VoxelSize

GRID_UM = 0.2
"""Noise is averaged over blocks of this size, at most an eighth of the image."""
TAIL = 0.2
"""Percentile of the ends."""
LEAST_VALUES = 1000


def dark_share(image: NDArray[Any], voxel_size_um: VoxelSize) -> float:
    """How far values reach below their most frequent one, over how far they reach above it.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real
        NaN = outside.
    voxel_size_um : tuple of 3 float

    Returns
    -------
    float
        Far below 1 where what stands out is bright, far above 1 where it is dark; NaN where nothing stands out.

    Examples
    --------
    >>> image = np.full((20, 40, 40), 10.0); image[5:9, 10:20, 10:20] = 50
    >>> round(dark_share(image, (0.2, 0.2, 0.2)), 2), dark_share(-image, (0.2, 0.2, 0.2)) > 100
    (0.0, True)
    """
    factors = block_factors(voxel_size_um, GRID_UM)
    most = tuple(max(1, min(factor, size // 8)) for factor, size in zip(factors, image.shape, strict=True))
    blocks = block_means(image, (most[0], most[1], most[2]), np.broadcast_to(np.True_, image.shape), empty=math.nan)
    values = blocks[np.isfinite(blocks)]
    if values.size < LEAST_VALUES:
        return math.nan
    low, high = np.percentile(values, [TAIL, 100 - TAIL])
    if not high > low:
        return math.nan
    middle = histogram_mode(Histogram.of(np.clip(values, low, high), n_bins=1024))
    above, below = float(high - middle), float(middle - low)
    return below / above if above > 1e-3 * below else math.inf
