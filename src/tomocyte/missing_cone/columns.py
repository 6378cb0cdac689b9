"""Dry mass of cells from the columns above them: the projection along z is complete, whatever the missing cone.

The sum over all of z of n - n0 is a plane of the spectrum that every tomograph measures, and the twin of quantitative
phase. It is as good as its background, which is therefore estimated around the cells instead of taken from the medium.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tomocyte.missing_cone.parts import Labels
from tomocyte.volume import VoxelSize

Float = NDArray[np.float64]
REACH_UM = 1.0
"""How far around a footprint its column is counted: blur carries mass there."""
GAP_UM = 1.5
"""From how far away on the projection shows background."""
LENGTH_UM = 10.0
SLOW_UM, OFFSET_UM, NOISE_UM = 0.004, 5.0, 0.02
"""Prior of the background, in µm of optical path: smooth part, constant, and what cannot be told from noise in one
pixel; chosen on validation fields."""
MOST_BLOCKS = 1500
LEAST_BLOCK_SHARE = 0.25


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns above each cell.

    Parameters
    ----------
    label : ndarray (n,), int64
        Ascending.
    contrast_um3 : ndarray (n,), float64
        Integral of n - n0 over the whole column of each cell; NaN where no background is left in the field.
    """

    label: NDArray[np.int64]
    contrast_um3: Float


def column_contrasts(contrast: NDArray[np.float32], cells: Labels, voxel_size_um: VoxelSize) -> Columns:
    """What lies above and below each cell's footprint, over a background that is estimated beside the cells.

    Parameters
    ----------
    contrast : ndarray (Z, Y, X), float32
        n - n0; a constant error of n0 has no effect. Voxels without a number count nothing.
    cells : ndarray (Z, Y, X), unsigned integer
    voxel_size_um : tuple of 3 float

    Returns
    -------
    Columns
        Where cells lie over each other, a column is shared in proportion to what lies in their masks.
    """
    import edt

    label = np.flatnonzero(np.bincount(cells.ravel()))
    label = label[label > 0]
    footprint = (cells > 0).any(axis=0)
    if not len(label):
        return Columns(label, np.zeros(0))
    pixel_um2 = voxel_size_um[1] * voxel_size_um[2]
    finite = np.nan_to_num(contrast, nan=0.0, posinf=0.0, neginf=0.0)
    projection = finite.sum(axis=0, dtype=np.float64) * voxel_size_um[0]
    distance = edt.edt(~footprint, anisotropy=voxel_size_um[1:], parallel=1) if not footprint.all() else 0 * projection
    ground = background(projection, distance > GAP_UM, (voxel_size_um[1], voxel_size_um[2]))
    if ground is None:
        return Columns(label, np.full(len(label), np.nan))
    excess = np.where(distance <= REACH_UM, projection - ground, 0.0)
    return Columns(label, _shared(excess, finite, cells, label, voxel_size_um) * pixel_um2)


def background(projection: Float, is_free: NDArray[np.bool_], pixel_size_um: tuple[float, float]) -> Float | None:
    """The background of a projection, interpolated from where it is free.

    Parameters
    ----------
    projection : ndarray (Y, X), float64
        In µm of optical path.
    is_free : ndarray (Y, X), bool
    pixel_size_um : tuple of 2 float

    Returns
    -------
    ndarray (Y, X), float64, or None
        ``None`` where nothing is free.

    References
    ----------
    Rasmussen & Williams, Gaussian Processes for Machine Learning (MIT Press, 2006), section 2.2.
    """
    from scipy import ndimage

    height, width = projection.shape
    side = max(1, round(1.0 / min(pixel_size_um)), math.ceil(math.sqrt(height * width / MOST_BLOCKS)))
    rows, columns = np.arange(height) // side, np.arange(width) // side
    shape = (int(rows[-1]) + 1, int(columns[-1]) + 1)
    block = (rows[:, None] * shape[1] + columns).ravel()
    n_free = np.bincount(block, weights=is_free.ravel())
    total = np.bincount(block, weights=(projection * is_free).ravel())
    is_seen = n_free >= LEAST_BLOCK_SHARE * np.bincount(block)
    if not is_seen.any():
        return None
    centres = [(np.arange(n) + 0.5) * side * step for n, step in zip(shape, pixel_size_um, strict=True)]
    places = np.stack(np.meshgrid(*centres, indexing="ij"), axis=-1).reshape(-1, 2)
    seen = places[is_seen]
    values = total[is_seen] / n_free[is_seen]
    middle = float(np.median(values))
    noise = np.diag(NOISE_UM**2 / n_free[is_seen])
    weights = np.linalg.solve(_covariance(seen, seen) + noise, values - middle)
    coarse = middle + (_covariance(places, seen) @ weights).reshape(shape)
    scale = (height / shape[0], width / shape[1])
    at = [(np.arange(n) + 0.5) / factor - 0.5 for n, factor in zip((height, width), scale, strict=True)]
    return np.asarray(ndimage.map_coordinates(coarse, np.meshgrid(*at, indexing="ij"), order=1, mode="nearest"))


def _covariance(first: Float, second: Float) -> Float:
    squared = ((first[:, None] - second[None]) ** 2).sum(axis=-1)
    return np.asarray(SLOW_UM**2 * np.exp(-squared / (2 * LENGTH_UM**2)) + OFFSET_UM**2)


def _shared(
    excess: Float,
    contrast: NDArray[np.float32],
    cells: Labels,
    label: NDArray[np.int64],
    voxel_size_um: VoxelSize,
) -> Float:
    """The excess (Y, X) shared out among the cells: by what their masks hold in each column, beside them by the
    nearest footprint."""
    from scipy import ndimage

    held = np.zeros((len(label), *excess.shape))
    for row, one in enumerate(label):
        held[row] = np.where(cells == one, np.maximum(contrast, 0) + 1e-6, 0).sum(axis=0)
    total = held.sum(axis=0)
    nearest = ndimage.distance_transform_edt(
        total <= 0, sampling=voxel_size_um[1:], return_distances=False, return_indices=True
    )
    share = held / np.where(total > 0, total, 1)
    return np.array([(excess * one[tuple(nearest)]).sum() for one in share], dtype=np.float64)
