"""What remains between two channels after shift, rotation and magnification: small shifts that change over the field.

In windows all over the field, the shift that explains the difference of the channels best is found at once from
gradients (Lucas and Kanade), several times. Windows with little structure have that of their neighbours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tomocyte.channels.refinement import FINE_PX, local_contrast
from tomocyte.channels.transform import ChannelTransform, LocalWarp, apply_transform
from tomocyte.volume import VoxelSize

WINDOW_PX = 30.0
"""Standard deviation of the Gaussian window."""
GRID_PX = 32
MOST_SHIFT_PX = 2.0
N_ROUNDS = 5
WEAK = 0.1
"""Windows with less than this share of the usual structure are pulled to their neighbours."""


def local_warp(
    reference: NDArray[np.float32],
    moving: NDArray[np.float32],
    transform: ChannelTransform,
    voxel_size_um: VoxelSize,
) -> ChannelTransform:
    """The transform with the local shifts along y and x that remain.

    Parameters
    ----------
    reference, moving : ndarray (Z, Y, X), float32, finite
    transform : ChannelTransform
        Shift, rotation and magnification, as :func:`~tomocyte.channels.registration.register_channels` finds them.
    voxel_size_um : tuple of 3 float

    Returns
    -------
    ChannelTransform
        Shifts of at most 2 pixels, the same in all planes, every 32 pixels.
    """
    first = local_contrast(reference, FINE_PX)
    by_y, by_x = np.gradient(first, axis=1), np.gradient(first, axis=2)
    n_rows, n_columns = (max(2, round(n / GRID_PX) + 1) for n in reference.shape[1:])
    yy, yx, xx = (_windowed(one, n_rows, n_columns) for one in (by_y * by_y, by_y * by_x, by_x * by_x))
    weak = WEAK * float(np.median((yy + xx) / 2)) + 1e-12
    determinant = (yy + weak) * (xx + weak) - yx**2
    shift = np.zeros((2, n_rows, n_columns))
    for _ in range(N_ROUNDS):
        warped = transform.model_copy(update={"warp": _warp(shift, voxel_size_um)})
        second = apply_transform(moving, warped, voxel_size_um)
        second = local_contrast(np.where(np.isfinite(second), second, reference.min()), FINE_PX)
        difference = first - second
        b_y, b_x = (_windowed(by * difference, n_rows, n_columns) for by in (by_y, by_x))
        shift[0] += ((xx + weak) * b_y - yx * b_x) / determinant
        shift[1] += ((yy + weak) * b_x - yx * b_y) / determinant
        shift = np.clip(shift, -MOST_SHIFT_PX, MOST_SHIFT_PX)
    return transform.model_copy(update={"warp": _warp(shift, voxel_size_um)})


def _windowed(image: NDArray[np.float32], n_rows: int, n_columns: int) -> NDArray[np.float64]:
    """The sum over planes, in windows about the places of the grid (n_rows, n_columns)."""
    from scipy.ndimage import gaussian_filter

    wide = gaussian_filter(image.sum(axis=0, dtype=np.float64), WINDOW_PX, mode="constant")
    rows = np.linspace(0, image.shape[1] - 1, n_rows).round().astype(int)
    columns = np.linspace(0, image.shape[2] - 1, n_columns).round().astype(int)
    values: NDArray[np.float64] = wide[np.ix_(rows, columns)]
    return values


def _warp(shift_px: NDArray[np.float64], voxel_size_um: VoxelSize) -> LocalWarp:
    rows = [
        tuple(tuple(round(float(value) * size, 6) for value in row) for row in part)
        for part, size in zip(shift_px, voxel_size_um[1:], strict=True)
    ]
    return LocalWarp(shift_y_um=rows[0], shift_x_um=rows[1])
