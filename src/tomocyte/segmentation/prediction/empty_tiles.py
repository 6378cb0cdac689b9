"""Which tiles hold nothing, so that a network need not look at them.

A tile is empty where no block of it, about as large as the smallest thing worth finding, stands out of the medium on
average: noise averages out, cells do not. The answer is wrong only on the safe side: background that is uneven, or a
medium that is not known well, makes empty tiles look full. For another sign of life, write another function of a tile.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.labels.blocks import block_factors, block_sizes, block_sums
from tomocyte.volume import VoxelSize

BLOCK_UM = 1.0
"""Side of a block in µm."""


class EmptyTile:
    """Whether a tile holds nothing.

    Parameters
    ----------
    margin : float
        How far the mean of a block may be from the medium, either way, in the network's input: above 0.
    voxel_size_um : tuple of 3 float
        Of the tiles, z, y, x.

    Raises
    ------
    SettingsError
        ``E-MARGIN``.

    Examples
    --------
    >>> tile = np.zeros((1, 4, 10, 10), dtype=np.float32)
    >>> is_empty = EmptyTile(0.1, (0.5, 0.2, 0.2))
    >>> before = is_empty(tile)
    >>> tile[0, 0:2, 5:10, 0:5] = 0.2
    >>> before, is_empty(tile)
    (True, False)
    """

    def __init__(self, margin: float, voxel_size_um: VoxelSize) -> None:
        if not (math.isfinite(margin) and margin > 0):
            raise SettingsError("E-MARGIN", f"the margin of an empty tile cannot be {margin}.", cure="Give e.g. 0.1.")
        self.margin = margin
        self.factors = block_factors(voxel_size_um, BLOCK_UM)

    def __call__(self, tile: NDArray[np.float32]) -> bool:
        """Whether all blocks of all channels (C, Z, Y, X) are within the margin of 0, the medium."""
        for channel in tile:
            means = block_sums(channel, self.factors) / block_sizes(channel.shape, self.factors)
            if float(np.abs(means).max()) > self.margin:
                return False
        return True
