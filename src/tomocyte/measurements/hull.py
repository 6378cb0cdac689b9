"""What the convex hull of an object says: how much of it is filled, and how far the object reaches.

The hull is that of the voxel centres. Only the two ends of a row can be its corners, so an object of many million
voxels gives a few thousand candidates.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tomocyte.measurements.registry import Region, measurement

BLOCK_ROWS = 4096
MOST_PAIRED_POINTS = 1500


def _row_ends(region: Region) -> NDArray[np.float64]:
    """Voxel indices (n, 3) of the first and the last object voxel of every row."""
    first, starts, stops = region.runs
    rows = np.flatnonzero(np.diff(first))
    z, y = np.divmod(rows, region.mask.shape[1])
    low, high = starts[first[rows]], stops[first[rows + 1] - 1] - 1
    ends = np.concatenate([np.stack([z, y, low], axis=1), np.stack([z, y, high], axis=1)])
    return np.unique(ends, axis=0).astype(np.float64)


def _hull_equations(points: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Half spaces normal · point + offset <= 0 of the hull; ``None`` for points on a line or in a plane."""
    from scipy.spatial import ConvexHull, QhullError

    if len(points) <= points.shape[1]:
        return None
    try:
        equations: NDArray[np.float64] = ConvexHull(points).equations
    except QhullError:
        return None
    return np.unique(equations, axis=0)


@measurement(
    unit="1", length_power=0, nan_reason="NaN for objects whose voxels lie on a line or in a plane (planar: on a line)"
)
def solidity(region: Region) -> float:
    """Number of voxels divided by the number of voxels inside the convex hull; 1 for a convex object."""
    axes = [1, 2] if region.is_2d else [0, 1, 2]
    ends = _row_ends(region)[:, axes]
    equations = _hull_equations(ends)
    if equations is None:
        return math.nan
    n_inside = 0
    rows = _rows_of_box(region.box_size, ends)
    for start in range(0, len(rows), BLOCK_ROWS):
        n_inside += _count_inside(rows[start : start + BLOCK_ROWS], equations)
    return region.n_voxels / n_inside


def _rows_of_box(box_size: tuple[int, int, int], ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """Indices of all rows of the bounding box, without x: (rows, 2) or, for planar images, (rows, 1)."""
    low = ends.min(axis=0)[:-1]
    sizes = box_size[-ends.shape[1] : -1]
    grid = np.meshgrid(*(start + np.arange(size) for start, size in zip(low, sizes, strict=True)), indexing="ij")
    return np.stack([side.ravel() for side in grid], axis=1)


def _count_inside(rows: NDArray[np.float64], equations: NDArray[np.float64]) -> int:
    """Voxel centres on these rows that satisfy all half spaces; each half space bounds x from one side."""
    tolerance = 1e-6
    along, across, offset = equations[:, -2], equations[:, :-2], equations[:, -1]
    rest = rows @ across.T + offset
    rises, falls, neither = along > 1e-12, along < -1e-12, np.abs(along) <= 1e-12
    high = np.floor((-rest[:, rises] / along[rises]).min(axis=1) + tolerance)
    low = np.ceil((-rest[:, falls] / along[falls]).max(axis=1) - tolerance)
    is_open = (rest[:, neither] <= tolerance).all(axis=1)
    return int(np.maximum(high - low + 1, 0)[is_open].sum())


@measurement(unit="µm", length_power=1)
def feret_diameter_max_um(region: Region) -> float:
    """Largest distance between two points of the object, outer corners of voxels included."""
    from scipy.spatial import ConvexHull, QhullError

    points = _row_ends(region)
    sizes = np.array(region.voxel_size_um)
    if region.is_2d:
        points, sizes = points[:, 1:], sizes[1:]
    if len(points) > MOST_PAIRED_POINTS:
        try:
            points = points[ConvexHull(points).vertices]
        except QhullError:  # in one plane or line: joggled input still yields every corner of the hull
            points = points[ConvexHull(points, qhull_options="QJ").vertices]
    farthest = 0.0
    for start in range(0, len(points), 256):
        # Of two voxels that far apart, the outer corners are one voxel side farther along every axis.
        apart = (np.abs(points[start : start + 256, None] - points[None]) + 1.0) * sizes
        farthest = max(farthest, float(np.square(apart).sum(axis=2).max()))
    return math.sqrt(farthest)
