"""Two objects that lie near each other, and what more than one measurement of the pair needs, computed once.

To give measurements of pairs a new shared quantity, add a ``cached_property`` here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tomocyte.measurements.region import Region

MOST_COMPARED = 1 << 16
MOST_STEPS = 8
SLACK = 1 + 1e-9


@dataclass(frozen=True)
class Pair:
    """Two regions of one volume.

    Parameters
    ----------
    first, second : Region
        Both with their place in the volume and the same voxel size; a whole structure is one region, too.
    """

    first: Region
    second: Region

    @property
    def is_2d(self) -> bool:
        """Whether both lie in a planar image whose thickness has no meaning."""
        return self.first.is_2d

    @cached_property
    def n_overlap_voxels(self) -> int:
        """Number of voxels that belong to both."""
        low = np.maximum(self.first.corner, self.second.corner)
        high = np.minimum(
            np.add(self.first.corner, self.first.mask.shape), np.add(self.second.corner, self.second.mask.shape)
        )
        if (high <= low).any():
            return 0
        parts = [
            region.mask[tuple(slice(a, b) for a, b in zip(low - region.corner, high - region.corner, strict=True))]
            for region in (self.first, self.second)
        ]
        return int(np.count_nonzero(parts[0] & parts[1]))

    @cached_property
    def surface_distance_um(self) -> float:
        """Smallest distance between the two surfaces in µm; NaN when one has no surface inside the volume.

        Surfaces are made of voxel faces, so that two objects whose voxels touch, also at an edge or a corner, are 0 µm
        apart, and so are two that intersect. Of an object inside another it is the distance to the other's surface.
        """
        first, second = _surface_um(self.first), _surface_um(self.second)
        if not len(first) or not len(second):
            return math.nan
        # Any two points bound the distance; what lies farther from the other's box than that is left out.
        bound = _squared_bound(first, second)
        if bound == 0.0:
            return 0.0
        near_first = first[_squared_to_box(first, second) <= bound * SLACK]
        near_second = second[_squared_to_box(second, first) <= bound * SLACK]
        return math.sqrt(min(bound, _smallest_squared(near_first, near_second, bound)))


def _surface_um(region: Region) -> NDArray[np.float64]:
    """Corners of voxels on the surface, (n, axes) in µm; planar images have the axes y and x."""
    axes = [1, 2] if region.is_2d else [0, 1, 2]
    corners = region.geometry.surface_corners[:, axes] + np.array(region.corner)[axes]
    points: NDArray[np.float64] = corners * np.array(region.voxel_size_um)[axes]
    return points


def _squared_to_box(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distance of each point to the box around the others; 0 inside it."""
    below, above = others.min(axis=0) - points, points - others.max(axis=0)
    squared: NDArray[np.float64] = np.square(np.maximum(np.maximum(below, above), 0.0)).sum(axis=1)
    return squared


def _squared_bound(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Squared distance of two points that see each other as nearest, or nearly so: an upper bound, often the smallest.

    From the point nearest to the other's box, to the other's nearest point, and back, while that comes closer.
    """
    point = first[np.argmin(_squared_to_box(first, second))]
    bound = math.inf
    for step in range(MOST_STEPS):
        others = first if step % 2 else second
        squared = np.square(others - point).sum(axis=1)
        nearest = int(np.argmin(squared))
        if squared[nearest] >= bound:
            break
        bound, point = float(squared[nearest]), others[nearest]
    return bound


def _smallest_squared(first: NDArray[np.float64], second: NDArray[np.float64], bound: float) -> float:
    """Smallest squared distance between two sets of points, infinite when it exceeds the bound."""
    if len(first) * len(second) <= MOST_COMPARED:
        squared = sum(np.square(first[:, axis, None] - second[None, :, axis]) for axis in range(first.shape[1]))
        return float(np.min(squared, initial=math.inf))
    from scipy.spatial import KDTree

    few, many = sorted((first, second), key=len)
    distances, _ = KDTree(many).query(few, distance_upper_bound=math.sqrt(bound * SLACK))
    return float(distances.min()) ** 2
