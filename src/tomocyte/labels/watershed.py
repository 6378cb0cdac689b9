"""Seeded watershed with a bucket queue, and the seeds: peaks that stand out of a landscape.

The landscape is cut into 65,536 levels; each level is a first-in-first-out list, so that a voxel costs a few memory
accesses instead of a heap operation. To grow regions by another rule, write one more kernel next to :func:`_flood` on
the same padded, flattened arrays.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial

from tomocyte.errors import SettingsError

N_LEVELS = 65_536
_BLOCK = 256

Mask = NDArray[np.bool_]
Index = NDArray[np.int64]


def seeded_watershed(
    landscape: NDArray[Any], seeds: NDArray[Any], mask: Mask, *, connectivity: int = 1
) -> NDArray[np.uint32]:
    """Grow seeds over a landscape, lowest values first, until they meet.

    Parameters
    ----------
    landscape : ndarray (Z, Y, X), real
        Low where a region should grow first. Non-finite voxels are reached last.
    seeds : ndarray (Z, Y, X), integer
        0 = not yet decided; seeds outside the mask are ignored.
    mask : ndarray (Z, Y, X), bool
        Where regions may grow.
    connectivity : {1, 3}
        Neighbours over faces, or over faces, edges and corners.

    Returns
    -------
    ndarray (Z, Y, X), uint32
        Each voxel of the mask that a seed can reach, with that seed's number.

    Raises
    ------
    SettingsError
        ``E-SHAPE`` when the three arrays differ in shape.

    References
    ----------
    Meyer, Topographic distance and watershed lines, Signal Processing 38, 113 (1994),
    doi:10.1016/0165-1684(94)90060-4.

    Examples
    --------
    >>> row = np.array([[[0, 1, 2, 1, 0]]], dtype=np.float32)
    >>> seeds = np.array([[[1, 0, 0, 0, 2]]])
    >>> seeded_watershed(row, seeds, np.ones(row.shape, bool)).tolist()
    [[[1, 1, 1, 2, 2]]]
    """
    if not landscape.shape == seeds.shape == mask.shape:
        raise SettingsError(
            "E-SHAPE", f"landscape {landscape.shape}, seeds {seeds.shape} and mask {mask.shape} differ."
        )
    padded_mask = np.pad(mask, 1)
    labels = np.pad(np.where(mask, seeds, 0).astype(np.uint32), 1)
    levels = np.pad(_levels(landscape, mask), 1)
    offsets = _offsets(labels.shape, connectivity)
    _flood(levels.ravel(), labels.ravel(), padded_mask.ravel(), offsets)
    return np.ascontiguousarray(labels[1:-1, 1:-1, 1:-1])


def find_seeds(
    height: NDArray[Any],
    mask: Mask,
    *,
    prominence: float,
    min_separation_um: float,
    voxel_size_um: tuple[float, float, float],
    min_voxels: int = 1,
) -> NDArray[np.uint32]:
    """Peaks of a landscape that are high, large and far enough from each other to be objects of their own.

    The landscape is flooded from its peaks down. Where two hills meet, the lower one is a hill of its own only if
    its peak stands at least ``prominence`` times its own height above the meeting level and it has at least
    ``min_voxels`` voxels there; otherwise it becomes part of the higher one. Of peaks closer than
    ``min_separation_um`` the highest stays. Heights are counted from 0.

    Parameters
    ----------
    height : ndarray (Z, Y, X), real
        High inside objects; 0 means background.
    mask : ndarray (Z, Y, X), bool
    prominence : float, 0–1
    min_separation_um : float, µm
    voxel_size_um : tuple of 3 float
        z, y, x in µm; a NaN z counts as 1.
    min_voxels : int

    Returns
    -------
    ndarray (Z, Y, X), uint32
        One voxel per seed, numbered 1..n from the highest peak down; each connected part of the mask has at least one.

    References
    ----------
    Edelsbrunner, Letscher & Zomorodian, Topological persistence and simplification, Discrete Comput. Geom. 28, 511
    (2002), doi:10.1007/s00454-002-2885-2.

    Examples
    --------
    >>> hills = np.array([[[1, 9, 2, 8, 7, 8, 1]]], dtype=np.float32)
    >>> seeds = find_seeds(hills, hills > 0, prominence=0.5, min_separation_um=1.0, voxel_size_um=(1, 1, 1))
    >>> seeds.tolist()
    [[[0, 1, 0, 2, 0, 0, 0]]]
    """
    seeds = np.zeros(mask.shape, dtype=np.uint32)
    if not mask.any():
        return seeds
    values = np.where(mask & np.isfinite(height), height, 0).astype(np.float32)
    padded = np.pad(values, 1).ravel()
    inside = np.flatnonzero(np.pad(mask, 1).ravel())
    order = inside[np.argsort(-padded[inside], kind="stable")]
    shape = tuple(size + 2 for size in mask.shape)
    peaks, is_alone = _persistent_peaks(padded, order, _offsets(shape, 3), prominence, min_voxels)
    points = np.stack(np.unravel_index(peaks, shape), axis=1) - 1
    separated = _far_apart(points, is_alone, min_separation_um, voxel_size_um)
    seeds[tuple(points[separated].T)] = np.arange(1, len(separated) + 1, dtype=np.uint32)
    return seeds


def _far_apart(
    points: Index, is_alone: Mask, min_separation_um: float, voxel_size_um: tuple[float, float, float]
) -> list[int]:
    """Indices of the peaks kept, highest first; the highest peak of each connected part always stays."""
    size = np.nan_to_num(np.asarray(voxel_size_um, dtype=np.float64), nan=1.0)
    tree = spatial.cKDTree(points * size)
    dropped = np.zeros(len(points), dtype=bool)
    peaks = []
    for index in range(len(points)):
        if dropped[index] and not is_alone[index]:
            continue
        peaks.append(index)
        for other in tree.query_ball_point(points[index] * size, min_separation_um * (1 - 1e-9)):
            dropped[other] |= other > index
    return peaks


def _offsets(shape: tuple[int, ...], connectivity: int) -> Index:
    """Steps to the neighbours in a flattened array, in raster order."""
    steps = ndimage.generate_binary_structure(3, connectivity)
    steps[1, 1, 1] = False
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    return np.asarray((np.argwhere(steps) - 1) @ strides, dtype=np.int64)


def _levels(landscape: NDArray[Any], mask: Mask) -> NDArray[np.uint16]:
    finite = mask & np.isfinite(landscape)
    if not finite.any():
        return np.zeros(mask.shape, dtype=np.uint16)
    low = float(np.min(landscape, where=finite, initial=np.inf))
    high = float(np.max(landscape, where=finite, initial=-np.inf))
    scale = (N_LEVELS - 1) / (high - low) if high > low else 0.0
    scaled = (np.where(finite, landscape, high) - low) * scale
    return scaled.astype(np.int64).clip(0, N_LEVELS - 1).astype(np.uint16)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _flood(levels: NDArray[np.uint16], labels: NDArray[np.uint32], mask: Mask, offsets: Index) -> None:
    """Bucket-queue flooding in place; each level is a linked list through ``following``."""
    following = np.full(labels.size, -1, np.int64)
    first = np.full(N_LEVELS, -1, np.int64)
    last = np.full(N_LEVELS, -1, np.int64)
    n_in_block = np.zeros(N_LEVELS // _BLOCK, np.int64)
    n_waiting = 0
    lowest = N_LEVELS
    for voxel in range(labels.size):
        if labels[voxel] != 0:
            level = int(levels[voxel])
            if first[level] < 0:
                first[level] = voxel
            else:
                following[last[level]] = voxel
            last[level] = voxel
            n_in_block[level // _BLOCK] += 1
            n_waiting += 1
            lowest = level if level < lowest else lowest
    while n_waiting > 0:
        while first[lowest] < 0:
            block = lowest // _BLOCK
            if n_in_block[block] == 0:
                lowest = (block + 1) * _BLOCK
            else:
                lowest += 1
        voxel = first[lowest]
        first[lowest] = following[voxel]
        n_in_block[lowest // _BLOCK] -= 1
        n_waiting -= 1
        for offset in offsets:
            neighbour = voxel + offset
            if mask[neighbour] and labels[neighbour] == 0:
                labels[neighbour] = labels[voxel]
                level = int(levels[neighbour])
                if first[level] < 0:
                    first[level] = neighbour
                else:
                    following[last[level]] = neighbour
                last[level] = neighbour
                n_in_block[level // _BLOCK] += 1
                n_waiting += 1
                lowest = level if level < lowest else lowest


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _top(parent: Index, voxel: int) -> int:
    while parent[voxel] != voxel:
        parent[voxel] = parent[parent[voxel]]
        voxel = parent[voxel]
    return voxel


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _persistent_peaks(
    height: NDArray[np.float32], order: Index, offsets: Index, prominence: float, min_voxels: int
) -> tuple[Index, Mask]:
    """Voxels of the peaks kept, highest first, and whether each is the highest of its connected part.

    Every tree's root is its peak: the voxel that comes first in ``order``.
    """
    parent = np.full(height.size, -1, np.int64)
    rank = np.empty(height.size, np.int64)
    n_voxels = np.zeros(height.size, np.int64)
    is_peak = np.zeros(height.size, np.bool_)
    is_merged = np.zeros(height.size, np.bool_)
    for position, voxel in enumerate(order):
        parent[voxel] = voxel
        rank[voxel] = position
        n_voxels[voxel] = 1
        tree = voxel
        for offset in offsets:
            neighbour = voxel + offset
            if parent[neighbour] < 0:
                continue
            other_tree = _top(parent, neighbour)
            if other_tree == tree:
                continue
            low, high = (tree, other_tree) if rank[tree] > rank[other_tree] else (other_tree, tree)
            enough = height[low] - height[voxel] >= prominence * height[low] and n_voxels[low] >= min_voxels
            is_peak[low] = low != voxel and enough and height[low] > height[voxel]
            is_merged[low] = True
            parent[low] = high
            n_voxels[high] += n_voxels[low]
            tree = high
    count = 0
    peaks = np.empty(order.size, np.int64)
    alone = np.empty(order.size, np.bool_)
    for voxel in order:
        if is_peak[voxel] or not is_merged[voxel]:
            peaks[count] = voxel
            alone[count] = not is_merged[voxel]
            count += 1
    return peaks[:count].copy(), alone[:count].copy()
