"""Dry mass of cells from the columns above them: the projection along z is complete, whatever the missing cone.

The sum over all of z of n - n0 is a plane of the spectrum that every tomograph measures, and the twin of quantitative
phase. It is as good as its background, which is therefore estimated around the cells instead of taken from the medium.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.extents import label_extents
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
OUTLYING = 3.0
"""Standard deviations from which on something beside the cells is no background for the mass of the field."""
CLIPPINGS = 4
FEW_BLOCKS = 400
"""For them, which need less detail."""
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
    shared : ndarray (n,), float64
        Share of each cell's footprint that lies over or under another cell, from 0 to 1.
    field_um3 : float
        Integral of n - n0 over the whole field, above its background; NaN where none is left.
    """

    label: NDArray[np.int64]
    contrast_um3: Float
    shared: Float
    field_um3: float


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
        return Columns(label, np.zeros(0), np.zeros(0), math.nan)
    pixel_um2 = voxel_size_um[1] * voxel_size_um[2]
    finite = np.nan_to_num(contrast, nan=0.0, posinf=0.0, neginf=0.0)
    projection = finite.sum(axis=0, dtype=np.float64) * voxel_size_um[0]
    distance = edt.edt(~footprint, anisotropy=voxel_size_um[1:], parallel=1) if not footprint.all() else 0 * projection
    is_free, pixel_size_um = distance > GAP_UM, (voxel_size_um[1], voxel_size_um[2])
    ground = background(projection, is_free, pixel_size_um)
    held = _held(finite, cells, label)
    if ground is None:
        return Columns(label, np.full(len(label), np.nan), _overlap(held), math.nan)
    excess = projection - ground
    own = _shared(np.where(distance <= REACH_UM, excess, 0.0), held, voxel_size_um)
    field = projection - _without_objects(projection, ground, is_free, pixel_size_um)
    return Columns(label, own * pixel_um2, _overlap(held), float(field.sum()) * pixel_um2)


def _without_objects(
    projection: Float, ground: Float, is_free: NDArray[np.bool_], pixel_size_um: tuple[float, float]
) -> Float:
    """The background without what stands out of it beside the cells, so that cells without a mask do not raise it."""
    for _ in range(CLIPPINGS):
        excess = projection - ground
        deviation = np.abs(excess - np.median(excess[is_free]))
        limit_um = OUTLYING * max(NOISE_UM, 1.4826 * float(np.median(deviation[is_free])))
        is_free = is_free & (deviation <= limit_um)
        clipped = background(projection, is_free, pixel_size_um, most_blocks=FEW_BLOCKS)
        if clipped is None:
            break
        ground = clipped
    return ground


def background(
    projection: Float,
    is_free: NDArray[np.bool_],
    pixel_size_um: tuple[float, float],
    *,
    most_blocks: int = MOST_BLOCKS,
) -> Float | None:
    """The background of a projection, interpolated from where it is free.

    Parameters
    ----------
    projection : ndarray (Y, X), float64
        In µm of optical path.
    is_free : ndarray (Y, X), bool
    pixel_size_um : tuple of 2 float
    most_blocks : int
        Means of so many blocks at most are interpolated.

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
    side = max(1, round(1.0 / min(pixel_size_um)), math.ceil(math.sqrt(height * width / most_blocks)))
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
    squared = (first[:, None, 0] - second[:, 0]) ** 2 + (first[:, None, 1] - second[:, 1]) ** 2
    return np.asarray(SLOW_UM**2 * np.exp(-squared / (2 * LENGTH_UM**2)) + OFFSET_UM**2)


def _held(contrast: NDArray[np.float32], cells: Labels, label: NDArray[np.int64]) -> Float:
    """What the mask of each cell holds in each column, (n, Y, X); above 0 wherever it has a voxel."""
    extents = label_extents(cells)
    held = np.zeros((len(label), *cells.shape[1:]))
    for row, one in enumerate(label.tolist()):
        box = extents.box(one, cells.shape)
        inside = np.where(cells[box] == one, np.maximum(contrast[box], 0) + 1e-6, 0)
        held[row][box[1:]] = inside.sum(axis=0)
    return held


def _overlap(held: Float) -> Float:
    """Share of each footprint that lies over or under another cell."""
    is_shared = (held > 0).sum(axis=0) > 1
    return np.array([is_shared[one > 0].mean() for one in held], dtype=np.float64)


def _shared(excess: Float, held: Float, voxel_size_um: VoxelSize) -> Float:
    """The excess (Y, X) shared out among the cells: by what their masks hold in each column, beside them by the
    nearest footprint."""
    from scipy import ndimage

    total = held.sum(axis=0)
    nearest = ndimage.distance_transform_edt(
        total <= 0, sampling=voxel_size_um[1:], return_distances=False, return_indices=True
    )
    share = held / np.where(total > 0, total, 1)
    return np.array([(excess * one[tuple(nearest)]).sum() for one in share], dtype=np.float64)
