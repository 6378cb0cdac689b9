"""Which tiles are empty, so that the network can skip them.

A tile is empty if no block of it, about as large as the smallest object of interest, differs from the medium on
average: noise averages out, cells do not. Errors are on the safe side: an uneven background, or an inaccurate index of
the medium, makes empty tiles look occupied. For another criterion, write another function of a tile.
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
        Largest difference of a block's mean from the medium, in either direction, in the network's input: above 0.
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
