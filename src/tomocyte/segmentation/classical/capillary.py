"""The glass capillary of a soft X-ray tomogram: a hollow cylinder along z, of which perhaps only an arc is in view.

In slabs of planes, circles are drawn through voxels that are dense all the way along z; the circle that most of them
lie on is the wall, if the part of it that is in view is nearly closed. The wall itself is then geometry (axis, radii),
so that what sticks to it is not glass. To add another holder, add a function that returns a :class:`Capillary`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.blocks import block_factors, block_means, coarse_voxel_size
from tomocyte.segmentation.classical.thresholds import Histogram, otsu_threshold
from tomocyte.volume import VoxelSize

Mask = NDArray[np.bool_]
Float = NDArray[np.float64]
GRID_UM = 0.15
"""Voxels that the wall is sought on."""
SLAB_UM = 2.5
"""Height of a slab: what is shorter is no wall."""
THROUGH = 0.7
"""Share of a slab's planes in which glass is dense."""
N_CIRCLES = 400
"""Circles through three random voxels, per slab."""
MOST_POINTS = 1500
CLOSED = 0.4
"""Share of the arc in view that must be dense: at the edge of the field, a reconstruction may lose the glass."""
LEAST_ARC = math.radians(40)
"""Dense arc from which a wall is told from a straight edge."""
N_SECTORS = 72
LEAST_RADIUS_UM = 2.0
THICKEST_UM = 2.0
"""Glass is thinner."""
WIDE = 3.0
"""The largest radius, in half-widths of the field."""
SEED = 4


@dataclass(frozen=True)
class Capillary:
    """A wall, in µm with voxel 0's corner at 0.

    Parameters
    ----------
    axis_um : ndarray (2, 2), float64
        y and x of the axis: at z = 0, and their change per µm along z.
    inner_um, outer_um : ndarray (2,), float64
        Radii at z = 0, and their change per µm along z.
    """

    axis_um: Float
    inner_um: Float
    outer_um: Float

    def away_um(self, z_um: float, voxel_size_um: VoxelSize, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Distance of the voxels of a plane (Y, X) from the axis in µm, float32."""
        centre = self.axis_um[0] + z_um * self.axis_um[1]
        y = (np.arange(shape[0], dtype=np.float32) + 0.5) * np.float32(voxel_size_um[1]) - np.float32(centre[0])
        x = (np.arange(shape[1], dtype=np.float32) + 0.5) * np.float32(voxel_size_um[2]) - np.float32(centre[1])
        return np.asarray(np.hypot(y[:, None], x[None]), dtype=np.float32)

    def painted(self, shape: tuple[int, ...], voxel_size_um: VoxelSize) -> tuple[Mask, Mask]:
        """The glass, and the room inside it, both (Z, Y, X) bool."""
        glass, room = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        for z in range(shape[0]):
            z_um = (z + 0.5) * voxel_size_um[0]
            away = self.away_um(z_um, voxel_size_um, (shape[1], shape[2]))
            inner = self.inner_um[0] + z_um * self.inner_um[1]
            room[z] = away < inner
            glass[z] = ~room[z] & (away < self.outer_um[0] + z_um * self.outer_um[1])
        return glass, room


def find_capillary(image: NDArray[Any], voxel_size_um: VoxelSize) -> Capillary | None:
    """The wall of a capillary along z; ``None`` where there is none in view.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real
        Glass is brighter than what it holds. NaN = outside.
    voxel_size_um : tuple of 3 float
    """
    if math.isnan(voxel_size_um[0]) or image.shape[0] * voxel_size_um[0] < SLAB_UM:
        return None
    factors = block_factors(voxel_size_um, GRID_UM)
    coarse = block_means(image, factors, np.broadcast_to(np.True_, image.shape), empty=math.nan)
    size_um = coarse_voxel_size(voxel_size_um, factors)
    for threshold in dense_levels(coarse):
        wall = _wall_at(coarse, threshold, size_um)
        if wall is not None:
            return wall
    return None


def dense_levels(image: NDArray[Any]) -> list[float]:
    """Thresholds that may part what is dense from the rest, the highest first: Otsu's, and Otsu's of what is above.

    Examples
    --------
    >>> levels = dense_levels(np.repeat([0.1, 0.3, 1.0], [80, 15, 5]))
    >>> [0.3 < level < 1.0 for level in levels], 0.1 < levels[-1] < 0.3 or len(levels) == 1
    ([True, False], True)
    """
    values = image[np.isfinite(image)]
    levels: list[float] = []
    while values.size and len(levels) < 2:
        histogram = Histogram.of(values, n_bins=4096)
        if histogram.is_flat:
            break
        levels.append(otsu_threshold(histogram))
        values = values[values > levels[-1]]
    return levels[::-1]


def _wall_at(coarse: NDArray[Any], threshold: float, size_um: VoxelSize) -> Capillary | None:
    """The wall among the voxels above a threshold."""
    n_planes = max(2, round(SLAB_UM / size_um[0]))
    rng = np.random.default_rng(SEED)
    found = []
    starts = list(range(0, max(1, coarse.shape[0] - n_planes // 2), n_planes))
    for start in starts:
        slab = coarse[start : start + n_planes]
        footprint = np.mean(slab > threshold, axis=0) >= THROUGH
        circle = _circle(footprint, size_um, rng)
        if circle is not None:
            found.append(((start + len(slab) / 2) * size_um[0], *circle))
    if len(found) < 0.6 * len(starts):
        return None
    circles = np.array(found)
    lines = [_line(circles[:, 0], circles[:, column]) for column in (1, 2, 3)]
    axis = np.array([[lines[0][0], lines[1][0]], [lines[0][1], lines[1][1]]])
    return _with_radii(coarse, threshold, size_um, axis, lines[2])


def _line(z_um: Float, values: Float) -> Float:
    """Value at z = 0 and slope, by the median of the slopes (Theil and Sen), which forgives a wrong slab."""
    if len(z_um) < 3:
        return np.array([np.median(values), 0.0])
    first, second = np.triu_indices(len(z_um), 1)
    slope = float(np.median((values[second] - values[first]) / (z_um[second] - z_um[first])))
    return np.array([float(np.median(values - slope * z_um)), slope])


def _circle(footprint: Mask, size_um: VoxelSize, rng: np.random.Generator) -> tuple[float, float, float] | None:
    """Centre and radius in µm of the circle that most voxels of a footprint lie on, if its arc in view is closed."""
    points = (np.argwhere(footprint) + 0.5) * np.array(size_um[1:])
    if len(points) < 30:
        return None
    sample = points if len(points) <= MOST_POINTS else points[rng.choice(len(points), MOST_POINTS, replace=False)]
    extent = np.array(footprint.shape) * size_um[1:]
    tolerance = 2 * max(size_um[1:])
    circles = _through_three(sample, rng)
    is_possible = (circles[:, 2] >= LEAST_RADIUS_UM) & (circles[:, 2] <= WIDE * extent.max() / 2)
    circles = circles[is_possible]
    if not len(circles):
        return None
    distance = np.abs(np.hypot(sample[:, 0] - circles[:, :1], sample[:, 1] - circles[:, 1:2]) - circles[:, 2:])
    best = circles[int(np.argmax(np.count_nonzero(distance < tolerance, axis=1)))]
    for _ in range(5):
        near = np.abs(np.hypot(points[:, 0] - best[0], points[:, 1] - best[1]) - best[2]) < THICKEST_UM / 2
        best = _fitted(points[near])
    return (float(best[0]), float(best[1]), float(best[2])) if _is_closed(footprint, best, size_um) else None


def _through_three(points: Float, rng: np.random.Generator) -> Float:
    """Circles (y, x, radius) through three of the points each; those of points on a line are left out."""
    triples = points[rng.integers(len(points), size=(N_CIRCLES, 3))]
    first, second, third = triples[:, 0], triples[:, 1] - triples[:, 0], triples[:, 2] - triples[:, 0]
    cross = 2 * (second[:, 0] * third[:, 1] - second[:, 1] * third[:, 0])
    keep = np.abs(cross) > 1e-6
    first, second, third, cross = first[keep], second[keep], third[keep], cross[keep]
    squares = (np.sum(second**2, axis=1), np.sum(third**2, axis=1))
    y = (third[:, 1] * squares[0] - second[:, 1] * squares[1]) / cross
    x = (second[:, 0] * squares[1] - third[:, 0] * squares[0]) / cross
    return np.stack([first[:, 0] + y, first[:, 1] + x, np.hypot(y, x)], axis=1)


def _fitted(points: Float) -> Float:
    """The circle of least squares (Kåsa 1976, doi:10.1109/TIM.1976.6312298) through points."""
    middle = points.mean(axis=0)
    y, x = (points - middle).T
    matrix = np.stack([2 * y, 2 * x, np.ones(len(y))], axis=1)
    solution = np.linalg.lstsq(matrix, y**2 + x**2, rcond=None)[0]
    radius = math.sqrt(max(0.0, float(solution[2] + solution[0] ** 2 + solution[1] ** 2)))
    return np.array([middle[0] + solution[0], middle[1] + solution[1], radius])


def _is_closed(footprint: Mask, circle: Float, size_um: VoxelSize) -> bool:
    """Whether a circle's arc in view is long enough and dense almost everywhere, and its middle is not."""
    angles = np.arange(0, 2 * np.pi, 2 * np.pi / 360)
    hits, views = np.zeros(len(angles), dtype=bool), np.zeros(len(angles), dtype=bool)
    n_inside = n_dense_inside = 0
    for offset in np.arange(-0.3, 0.31, 0.1):
        views_here, dense = _along(footprint, circle, circle[2] + offset, angles, size_um)
        views |= views_here
        hits |= dense
    for depth in np.arange(THICKEST_UM, min(THICKEST_UM + 2.0, circle[2]), 0.25):
        views_here, dense = _along(footprint, circle, circle[2] - depth, angles, size_um)
        n_inside, n_dense_inside = n_inside + int(views_here.sum()), n_dense_inside + int(dense.sum())
    arc = 2 * np.pi * np.count_nonzero(hits) / len(angles)
    is_hollow = n_dense_inside <= 0.5 * n_inside
    return bool(arc >= LEAST_ARC and np.count_nonzero(hits) >= CLOSED * np.count_nonzero(views) and is_hollow)


def _along(footprint: Mask, circle: Float, radius_um: float, angles: Float, size_um: VoxelSize) -> tuple[Mask, Mask]:
    """At which angles a circle is in view, and where it is dense there."""
    y = np.floor((circle[0] + radius_um * np.sin(angles)) / size_um[1]).astype(int)
    x = np.floor((circle[1] + radius_um * np.cos(angles)) / size_um[2]).astype(int)
    is_seen = (y >= 0) & (x >= 0) & (y < footprint.shape[0]) & (x < footprint.shape[1])
    dense = np.zeros(len(angles), dtype=bool)
    dense[is_seen] = footprint[y[is_seen], x[is_seen]]
    return is_seen, dense


def _with_radii(
    coarse: NDArray[Any], threshold: float, size_um: VoxelSize, axis: Float, radius: Float
) -> Capillary | None:
    """Inner and outer radius: where the glass, in the sectors where it is seen, is half-way to what lies beside it."""
    step = 0.5 * max(size_um[1:])
    offsets = np.arange(-THICKEST_UM, THICKEST_UM + step / 2, step)
    rough = Capillary(axis, radius, radius)
    near, sectors, values = [], [], []
    for z, plane in enumerate(coarse):
        z_um = (z + 0.5) * size_um[0]
        from_wall = rough.away_um(z_um, size_um, plane.shape) - (radius[0] + z_um * radius[1])
        is_near = (np.abs(from_wall) <= THICKEST_UM) & np.isfinite(plane)
        y, x = np.nonzero(is_near)
        at = axis[0] + z_um * axis[1]
        angle = np.arctan2((y + 0.5) * size_um[1] - at[0], (x + 0.5) * size_um[2] - at[1])
        near.append(from_wall[is_near])
        sectors.append(np.floor((angle + np.pi) / (2 * np.pi) * (N_SECTORS - 1e-6)).astype(int))
        values.append(plane[is_near])
    distance, sector, value = np.concatenate(near), np.concatenate(sectors), np.concatenate(values)
    on_wall = np.abs(distance) <= max(size_um[1:])
    n_on = np.bincount(sector[on_wall], minlength=N_SECTORS)
    n_dense = np.bincount(sector[on_wall & (value > threshold)], minlength=N_SECTORS)
    is_seen = (n_dense > 0.5 * n_on)[sector]
    bins = np.rint((distance + THICKEST_UM) / step).astype(int)
    profile = np.array([_median(value[is_seen & (bins == place)]) for place in range(len(offsets))])
    middle = np.abs(offsets) <= 0.6
    if not np.isfinite(profile[middle]).any():
        return None
    top = int(np.nanargmax(np.where(middle, profile, -np.inf)))
    inner = _half_way(profile[top::-1], offsets[top::-1])
    outer = _half_way(profile[top:], offsets[top:])
    if inner is None:
        return None
    outer = float(offsets[-1]) if outer is None else outer
    return Capillary(axis, radius + np.array([inner, 0.0]), radius + np.array([outer, 0.0]))


def _median(values: NDArray[Any]) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size >= 5 else math.nan


def _half_way(profile: Float, offsets: Float) -> float | None:
    """Where a profile that starts on the glass has fallen half-way to its lowest median nearby; interpolated."""
    finite = np.isfinite(profile)
    profile, offsets = profile[finite], offsets[finite]
    if len(profile) < 2:
        return None
    level = (profile[0] + profile[1:].min()) / 2
    below = int(np.argmax(profile < level))
    if below == 0:
        return None
    share = (profile[below - 1] - level) / (profile[below - 1] - profile[below])
    return float(offsets[below - 1] + share * (offsets[below] - offsets[below - 1]))
