"""Measurements from the convex hull of an object: how much of it is filled, and how far the object reaches.

Only the two ends of a row can be corners of the hull: of the voxel centres for solidity, which samples large objects on
at most 64 positions along z and along y; of the voxels' corners for the diameters.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tomocyte.measurements.registry import Region, measurement

if TYPE_CHECKING:
    from scipy.spatial import ConvexHull

BLOCK_ROWS = 512
MOST_ROWS = 64
MANY_EQUATIONS = 2000
MOST_DIFFERENCES = 64


def _occupied_rows(region: Region, most_rows: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices z and y of rows that hold object voxels; with ``most_rows``, evenly spaced ones."""
    occupied = (np.diff(region.runs[0]) > 0).reshape(region.mask.shape[:2])
    z, y = np.nonzero(occupied)
    if most_rows is None or z.size == 0:
        return z, y
    is_sampled = np.ones(z.size, np.bool_)
    for index in (z, y):
        stride = math.ceil((index.max() - index.min() + 1) / most_rows)
        is_sampled &= (index - index.min()) % stride == 0
    return z[is_sampled], y[is_sampled]


def _row_ends(region: Region, z: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.float64]:
    """Voxel indices (n, 3) of the first and the last object voxel of these rows."""
    first, starts, stops = region.runs
    rows = z * region.mask.shape[1] + y
    low, high = starts[first[rows]], stops[first[rows + 1] - 1] - 1
    return np.concatenate([np.stack([z, y, low], axis=1), np.stack([z, y, high], axis=1)]).astype(np.float64)


def _hull_equations(points: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Half spaces normal · point + offset <= 0 of the hull; ``None`` for points on a line or in a plane."""
    from scipy.spatial import ConvexHull, QhullError

    if len(points) <= points.shape[1]:
        return None
    try:
        equations: NDArray[np.float64] = ConvexHull(points).equations
    except QhullError:
        return None
    # Facets in one plane come as many triangles; finding the doubles pays only when there are many.
    return np.unique(equations, axis=0) if len(equations) > MANY_EQUATIONS else equations


@measurement(when_empty="NaN for objects whose voxels lie on a line or in a plane (planar: on a line)")
def solidity(region: Region) -> float:
    """Number of voxels divided by the number of voxels inside the convex hull; 1 for a convex object."""
    axes = [1, 2] if region.is_2d else [0, 1, 2]
    z, y = _occupied_rows(region, MOST_ROWS)
    equations = _hull_equations(_row_ends(region, z, y)[:, axes])
    if equations is None:
        return math.nan
    first, starts, stops = region.runs
    in_rows = np.add.reduceat(stops - starts, first[:-1][np.diff(first) > 0])
    numbers = np.zeros(first.size - 1, np.int64)
    numbers[np.diff(first) > 0] = in_rows
    n_object = int(numbers[z * region.mask.shape[1] + y].sum())
    rows = np.stack(np.meshgrid(np.unique(z), np.unique(y), indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float64)
    rows = rows[:, 1:] if region.is_2d else rows
    blocks = range(0, len(rows), BLOCK_ROWS)
    n_inside = sum(_count_inside(rows[start : start + BLOCK_ROWS], equations) for start in blocks)
    return n_object / n_inside


def _count_inside(rows: NDArray[np.float64], equations: NDArray[np.float64]) -> int:
    """Voxel centres on these rows that satisfy all half spaces; each half space bounds x from one side."""
    tolerance = 1e-6
    along, across, offset = equations[:, -2], equations[:, :-2], equations[:, -1]
    distance = rows @ across.T + offset
    rises, falls, neither = along > 1e-12, along < -1e-12, np.abs(along) <= 1e-12
    high = np.floor((-distance[:, rises] / along[rises]).min(axis=1) + tolerance)
    low = np.ceil((-distance[:, falls] / along[falls]).max(axis=1) - tolerance)
    is_open = (distance[:, neither] <= tolerance).all(axis=1)
    return int(np.maximum(high - low + 1, 0)[is_open].sum())


@measurement()
def feret_diameter_max_um(region: Region) -> float:
    """Largest distance between two points of the object, outer corners of voxels included."""
    hull = _corner_hull(region)
    if hull is None:
        return math.nan
    points = hull.points[hull.vertices]
    blocks = (points[start : start + BLOCK_ROWS] for start in range(0, len(points), BLOCK_ROWS))
    # Differences, not products: what is equal stays equal to the last digits.
    squares = (np.square(block[:, None] - points).sum(axis=-1).max() for block in blocks)
    return math.sqrt(max(float(square) for square in squares))


@measurement()
def feret_diameter_min_um(region: Region) -> float:
    """Smallest distance between two parallel planes (planar: lines) that hold the object, outer corners included."""
    from scipy.spatial import ConvexHull

    hull = _corner_hull(region)
    if hull is None:
        return math.nan
    points = hull.points[hull.vertices]
    if len(points) <= MOST_DIFFERENCES:
        # The width is the distance of the origin to the surface of the body of all differences, exactly.
        differences = (points[:, None] - points).reshape(-1, points.shape[1])
        return float(-ConvexHull(differences).equations[:, -1].max())
    # Of a body with many corners, one of its faces lies along the narrowest pair of planes, or nearly so.
    normals = hull.equations[:, :-1]
    blocks = (points @ normals[start : start + BLOCK_ROWS].T for start in range(0, len(normals), BLOCK_ROWS))
    return min(float(np.ptp(block, axis=0).min()) for block in blocks)


def _corner_hull(region: Region) -> ConvexHull | None:
    """The convex hull of the corners of the object's voxels in µm; ``None`` for an empty mask."""
    from scipy.spatial import ConvexHull

    ends = _row_ends(region, *_occupied_rows(region, None))
    if not len(ends):
        return None
    axes = [1, 2] if region.is_2d else [0, 1, 2]
    half = np.array(list(itertools.product((-0.5, 0.5), repeat=len(axes))))
    corners = (ends[:, None, axes] + half).reshape(-1, len(axes))
    return ConvexHull(np.unique(corners, axis=0) * np.array(region.voxel_size_um)[axes])
