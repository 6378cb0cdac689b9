"""Surface area and perimeter by Cauchy and Crofton: count how often lines enter the object, in many directions.

The count along one step v follows from the covariogram K: of the object's volume V, the part D(v) = V - K(v) leaves it
when shifted by v, and for short steps that is the projected area times |v|. Three choices make the estimate nearly free
of bias. First, D is extrapolated to short steps from v, 2v and 3v: (3 D(v) - 3/2 D(2v) + 1/3 D(3v)) / |v| is exact
where K is a cubic in |v|, as for every ellipsoid and every box. Second, the directions follow the voxel size and their
weights are fitted so that a plane of any orientation gets its own area, one along the voxel planes above all. Third,
the steps suit the object: long ones measure planes better, but must leave a part of the object on itself.
The documentation gives the measured bias.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tomocyte.volume import VoxelSize

# Times the coarsest voxel side: longer steps measure planes better, but need thicker objects.
REACHES = (3.1, 2.3, 1.8, 1.42)
REACH_IN_PLANE = 2.9
MOST_STEPS = {3.1: 60, 2.3: 40, 1.8: 40, 1.42: 40}
MOST_VOXELS_PER_STEP = 16
# How much more a plane along the voxel planes counts than one of any other orientation, in the fit of the weights.
WEIGHT_OF_VOXEL_PLANES = 0.3
N_PLANES = 750
SMALLEST_OVERLAP = 0.001
"""Part of an object that must stay on itself when shifted by a step, for the step to measure it."""
DIGITISATION_NOISE = 0.01
"""Relative difference between two extrapolations that voxels alone cause in objects of few voxels."""


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


def directions(voxel_size: VoxelSize, *, is_2d: bool = False, reach: float = REACHES[0]) -> Directions:
    """The steps and weights that suit a voxel size.

    Parameters
    ----------
    voxel_size : tuple of 3 float
        z, y, x in any unit; z is ignored with ``is_2d``.
    is_2d : bool
        Lines in the plane of y and x only.
    reach : float
        The longest step in voxel sides along the coarsest axis, one of :data:`REACHES`; ignored with ``is_2d``.
    """
    axes = [1, 2] if is_2d else [0, 1, 2]
    axes.sort(key=lambda axis: voxel_size[axis])
    coarsest = voxel_size[axes[-1]]
    # Sorted, relative and rounded: the weights do not depend on the unit, nor on which axis is which.
    ratios = tuple(round(voxel_size[axis] / coarsest, 9) for axis in axes)
    sorted_steps, weights = _fitted_steps(ratios, REACH_IN_PLANE if is_2d else reach)
    steps = np.zeros((len(weights), 3), np.int64)
    steps[:, axes] = sorted_steps
    sizes = np.array([voxel_size[axis] if axis in axes else 0.0 for axis in range(3)])
    return Directions(steps, np.linalg.norm(steps * sizes, axis=1), weights)


@lru_cache(maxsize=64)
def _fitted_steps(ratios: tuple[float, ...], reach: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Steps along axes sorted by voxel side, and the weights that measure planes of all orientations best."""
    families = _families(ratios, reach)
    sizes = np.array([len(family) for family in families])
    rows, target = _equations(families, ratios)
    kept = np.arange(len(families))
    weights = _non_negative(rows, target)
    while True:
        kept, weights = kept[weights > 1e-6], weights[weights > 1e-6]
        if sizes[kept].sum() <= MOST_STEPS.get(reach, math.inf):
            break
        # The family whose single steps count least is left out, and the others are fitted again.
        kept = np.delete(kept, np.argmin(weights / sizes[kept]))
        weights = _non_negative(rows[:, kept], target)
    steps = np.array([step for index in kept for step in families[index]], np.int64)
    of_steps = np.repeat(weights / sizes[kept], sizes[kept])
    return steps, of_steps / of_steps.sum()


def _equations(
    families: list[list[tuple[int, ...]]], ratios: tuple[float, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows that say what each family measures of a plane, and what they should add up to."""
    n_axes = len(ratios)
    normals = _plane_normals(n_axes)
    # Mean of |cos| over all directions: 1/2 in space, 2/π in the plane.
    mean_cosine = 0.5 if n_axes == 3 else 2 / math.pi
    importance = np.full(len(normals), 1 / math.sqrt(len(normals)))
    if n_axes == 3:
        normals = np.concatenate([normals, np.eye(3)])
        importance = np.append(importance, np.full(3, WEIGHT_OF_VOXEL_PLANES))
    columns = []
    for family in families:
        vectors = np.array(family) * np.array(ratios)
        units = vectors / np.linalg.norm(vectors, axis=1)[:, None]
        columns.append(np.abs(normals @ units.T).mean(axis=1) / mean_cosine)
    # The last row holds the sum of the weights at 1, so that a sphere is measured without error.
    rows = np.vstack([np.stack(columns, axis=1) * importance[:, None], np.full((1, len(families)), 1e3)])
    return rows, np.append(importance, 1e3)


def _non_negative(rows: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.optimize import nnls

    weights: NDArray[np.float64] = nnls(rows, target)[0]
    return weights


def _families(ratios: tuple[float, ...], reach: float) -> list[list[tuple[int, ...]]]:
    """Steps without a common divisor up to the longest, grouped by mirror images and by exchange of equal axes."""
    reach += 1e-6
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


def extrapolated(shadows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shadow (n,) for steps towards 0, from those (n, 3) of a step, its double and its triple; exact for boxes, too."""
    shadow: NDArray[np.float64] = 3 * shadows[:, 0] - 1.5 * shadows[:, 1] + shadows[:, 2] / 3
    return shadow


def extrapolated_smooth(shadows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shadow (n,) for steps towards 0 from those (n, 2) of a step and its double; exact for smooth bodies only."""
    shadow: NDArray[np.float64] = (8 * shadows[:, 0] - shadows[:, 1]) / 6
    return shadow


def effect_of_edges(shadows: NDArray[np.float64]) -> NDArray[np.float64]:
    """By which part (n,) :func:`extrapolated` exceeds :func:`extrapolated_smooth`, as far as voxels do not explain it.

    In objects of few voxels the former is noisier, by about 1 %; sharp edges make several per cent.
    """
    smooth = extrapolated_smooth(shadows)
    difference = extrapolated(shadows) - smooth
    # An object without a surface has no difference either.
    part = difference / np.where(smooth > 0, smooth, 1.0)
    effect: NDArray[np.float64] = part * np.square(part) / (np.square(part) + DIGITISATION_NOISE**2)
    return effect
