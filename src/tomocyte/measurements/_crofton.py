"""Surface area and perimeter by Cauchy and Crofton: count how often lines enter the object, in many directions.

The count along one step v is the covariogram K: of the object's volume V, the part V - K(v) leaves it when shifted by
v, and for short steps that is the projected area times |v|. Two choices make the estimate nearly free of bias. First,
V - K(v) and V - K(2v) are combined as (8 (V - K(v)) - (V - K(2v))) / 6|v|, which is exact for every ellipsoid whatever
the step length (its covariogram is a cubic in |v|); without it small objects lose area. Second, the directions follow
the voxel size and their weights are fitted so that a plane of any orientation gets its own area; equal or Voronoi
weights leave some per cent. The documentation gives the measured bias.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tomocyte.volume import VoxelSize

# Times the coarsest voxel side, by the number of axes: longer steps measure planes better, but blur small objects.
LONGEST_STEP = {2: 2.9, 3: 1.8}
MOST_VOXELS_PER_STEP = 9
N_PLANES = 1500


@dataclass(frozen=True)
class Directions:
    """Steps along which lines are counted.

    Parameters
    ----------
    steps : int64 ndarray (n, 3)
        In voxels z, y, x; of v and -v only one.
    lengths : float64 ndarray (n,)
        In the unit of the voxel size.
    weights : float64 ndarray (n,)
        Sum 1.
    """

    steps: NDArray[np.int64]
    lengths: NDArray[np.float64]
    weights: NDArray[np.float64]


def directions(voxel_size: VoxelSize, *, is_2d: bool = False) -> Directions:
    """The steps and weights that suit a voxel size.

    Parameters
    ----------
    voxel_size : tuple of 3 float
        z, y, x in any unit; z is ignored with ``is_2d``.
    is_2d : bool
        Lines in the plane of y and x only.
    """
    axes = [1, 2] if is_2d else [0, 1, 2]
    axes.sort(key=lambda axis: voxel_size[axis])
    coarsest = voxel_size[axes[-1]]
    # Sorted, relative and rounded: the weights do not depend on the unit, nor on which axis is which.
    ratios = tuple(round(voxel_size[axis] / coarsest, 9) for axis in axes)
    sorted_steps, weights = _fitted_steps(ratios)
    steps = np.zeros((len(weights), 3), np.int64)
    steps[:, axes] = sorted_steps
    sizes = np.array([voxel_size[axis] if axis in axes else 0.0 for axis in range(3)])
    return Directions(steps, np.linalg.norm(steps * sizes, axis=1), weights)


@lru_cache(maxsize=64)
def _fitted_steps(ratios: tuple[float, ...]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Steps along axes sorted by voxel side, and the weights that measure planes of all orientations best."""
    from scipy.optimize import nnls

    families = _families(ratios)
    normals = _plane_normals(len(ratios))
    # Mean of |cos| over all directions: 1/2 in space, 2/π in the plane.
    mean_cosine = 0.5 if len(ratios) == 3 else 2 / math.pi
    columns = []
    for family in families:
        vectors = np.array(family) * np.array(ratios)
        units = vectors / np.linalg.norm(vectors, axis=1)[:, None]
        columns.append(np.abs(normals @ units.T).mean(axis=1) / mean_cosine)
    # The last row holds the sum of the weights at 1, so that a sphere is measured without error.
    rows = np.vstack([np.stack(columns, axis=1) / math.sqrt(len(normals)), np.full((1, len(families)), 1e3)])
    target = np.append(np.full(len(normals), 1 / math.sqrt(len(normals))), 1e3)
    fitted, _ = nnls(rows, target)
    fitted /= fitted.sum()
    selected = [(family, weight) for family, weight in zip(families, fitted, strict=True) if weight > 1e-6]
    steps = np.array([step for family, _ in selected for step in family], np.int64)
    weights = np.array([weight / len(family) for family, weight in selected for _ in family])
    return steps, weights / weights.sum()


def _families(ratios: tuple[float, ...]) -> list[list[tuple[int, ...]]]:
    """Steps without a common divisor up to the longest, grouped by mirror images and by exchange of equal axes."""
    reach = LONGEST_STEP[len(ratios)] + 1e-6
    most = [min(MOST_VOXELS_PER_STEP, math.floor(reach / ratio)) for ratio in ratios]
    families: dict[tuple[tuple[int, ...], ...], list[tuple[int, ...]]] = {}
    for step in itertools.product(*(range(longest + 1) for longest in most)):
        length = math.hypot(*(count * ratio for count, ratio in zip(step, ratios, strict=True)))
        if math.gcd(*step) != 1 or length > reach:
            continue
        key = tuple(
            tuple(sorted(count for count, ratio in zip(step, ratios, strict=True) if ratio == side))
            for side in sorted(set(ratios))
        )
        family = families.setdefault(key, [])
        for signs in itertools.product((1, -1), repeat=len(step)):
            mirrored = tuple(sign * count for sign, count in zip(signs, step, strict=True))
            if mirrored not in family and tuple(-count for count in mirrored) not in family:
                family.append(mirrored)
    return list(families.values())


def _plane_normals(n_axes: int) -> NDArray[np.float64]:
    """Evenly spread unit normals (n, axes) in the positive octant or quadrant."""
    place = (np.arange(N_PLANES) + 0.5) / N_PLANES
    if n_axes == 2:
        angle = place * (math.pi / 2)
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    golden = (math.sqrt(5) - 1) / 2
    angle = (math.pi / 2) * np.mod(np.arange(N_PLANES) * golden, 1.0)
    radius = np.sqrt(1 - place**2)
    return np.stack([place, radius * np.cos(angle), radius * np.sin(angle)], axis=1)
