"""One object cut into parts: by seed points set by hand, or by a plane.

To add a method, add a function that returns parts 1..n, and a field to :class:`tomocyte.corrections.edits.Split`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.corrections.edits import Place, Plane
from tomocyte.errors import InputError
from tomocyte.labels.components import connected_components
from tomocyte.labels.distances import distance_um
from tomocyte.labels.watershed import seeded_watershed
from tomocyte.volume import VoxelSize

Mask = NDArray[np.bool_]
Parts = NDArray[np.uint32]
Index = tuple[int, int, int]
WAIST = 0.9
"""Between two parts an object must get thinner than this share of the thinner part, else it has no waist there."""


def parts_by_seeds(
    inside: Mask, corner: Index, seeds: Sequence[Sequence[Place]], voxel_size_um: VoxelSize
) -> tuple[Parts, bool]:
    """Parts that grow from points and meet where the object is thinnest.

    Every point first moves to where the object is thickest around it, so that it need not be set in the middle of its
    part. Where the object has no waist between two seeds, every voxel goes to its nearest seed.

    Parameters
    ----------
    inside : ndarray (z, y, x), bool
        The object.
    corner : tuple of 3 int
        Where ``inside`` begins in the frame.
    seeds : sequence of sequence of Place
        One or more points for each part.
    voxel_size_um : tuple of 3 float

    Returns
    -------
    parts : ndarray (z, y, x), uint32
        1..n inside, 0 outside.
    has_waist : bool
        Whether thickness decided.

    Raises
    ------
    InputError
        ``E-EDIT-SPLIT``: a point outside the object, or two seeds in one voxel.

    Examples
    --------
    >>> rod = np.ones((1, 1, 6), bool)
    >>> seeds = [[Place(voxel=(0, 0, 0))], [Place(voxel=(0, 0, 3))]]
    >>> parts_by_seeds(rod, (0, 0, 0), seeds, (1.0, 0.5, 0.5))[0].tolist()
    [[[1, 1, 2, 2, 2, 2]]]
    """
    planted = _plant(inside, corner, seeds, voxel_size_um)
    depth = _depth(inside, voxel_size_um)
    climbed = planted.copy()
    tops: dict[int, list[Index]] = {}
    for z, y, x in np.argwhere(planted).tolist():
        number = int(planted[z, y, x])
        tops.setdefault(number, []).append(_climb(depth, climbed, (z, y, x), number))
    if _has_waists(depth, tops):
        parts = seeded_watershed(-depth, climbed, inside, connectivity=3)
        return _with_unreached(parts, climbed, inside, voxel_size_um), True
    return _with_unreached(np.zeros_like(planted), planted, inside, voxel_size_um), False


def _plant(inside: Mask, corner: Index, seeds: Sequence[Sequence[Place]], voxel_size_um: VoxelSize) -> Parts:
    planted = np.zeros(inside.shape, dtype=np.uint32)
    for number, points in enumerate(seeds, start=1):
        for point in points:
            z, y, x = (at - start for at, start in zip(point.index(voxel_size_um), corner, strict=True))
            is_in_box = all(0 <= at < size for at, size in zip((z, y, x), inside.shape, strict=True))
            if not is_in_box or not inside[z, y, x]:
                raise InputError(
                    "E-EDIT-SPLIT",
                    f"a point of seed {number} lies outside the object.",
                    cure="Check its place and unit.",
                )
            if planted[z, y, x] not in (0, number):
                raise InputError("E-EDIT-SPLIT", f"seeds {planted[z, y, x]} and {number} lie in the same voxel.")
            planted[z, y, x] = number
    return planted


def _depth(inside: Mask, voxel_size_um: VoxelSize) -> NDArray[np.float32]:
    """Distance to the outside in µm; everything beyond the box is outside."""
    width = [(0, 0) if axis == 0 and inside.shape[0] == 1 else (1, 1) for axis in range(3)]
    depth = distance_um(np.pad(inside, width), voxel_size_um)
    core = [slice(before, size - after) for (before, after), size in zip(width, depth.shape, strict=True)]
    return depth[core[0], core[1], core[2]]


def _climb(depth: NDArray[np.float32], seeds: Parts, start: Index, number: int) -> Index:
    """Walk uphill from a seed, planting it on the way; stops at a top or before another seed."""
    position = start
    while True:
        window = tuple(slice(max(at - 1, 0), at + 2) for at in position)
        around = depth[window]
        best = np.unravel_index(int(np.argmax(around)), around.shape)
        highest = tuple(int(at) + side.start for at, side in zip(best, window, strict=True))
        if depth[highest] <= depth[position] or seeds[highest] not in (0, number):
            return position
        position = (highest[0], highest[1], highest[2])
        seeds[position] = number


def _has_waists(depth: NDArray[np.float32], tops: dict[int, list[Index]]) -> bool:
    """Whether the object gets thinner on every path from one seed's tops to another's."""
    numbers = sorted(tops)
    for thickness in sorted({min(_lowest(depth, tops[a]), _lowest(depth, tops[b])) for a in numbers for b in numbers}):
        thick = connected_components(depth >= thickness * WAIST, connectivity=3).paint()
        owner: dict[int, int] = {}
        for number in numbers:
            for top in tops[number]:
                if depth[top] >= thickness and owner.setdefault(int(thick[top]), number) != number:
                    return False
    return True


def _lowest(depth: NDArray[np.float32], tops: list[Index]) -> float:
    return min(float(depth[top]) for top in tops)


def _with_unreached(parts: Parts, seeds: Parts, inside: Mask, voxel_size_um: VoxelSize) -> Parts:
    """Voxels that no seed has reached go to the nearest one in µm; of two equally near ones to the smaller number."""
    unreached = inside & (parts == 0)
    if not unreached.any():
        return parts
    from scipy import spatial

    sizes = np.asarray([1.0 if math.isnan(size) else size for size in voxel_size_um])
    voxels = np.argwhere(unreached) * sizes
    nearest = np.full(len(voxels), np.inf)
    owner = np.zeros(len(voxels), dtype=np.uint32)
    for number in range(1, int(seeds.max()) + 1):
        distance: NDArray[Any] = spatial.cKDTree(np.argwhere(seeds == number) * sizes).query(voxels)[0]
        is_nearer = distance < nearest - 1e-9
        nearest[is_nearer], owner[is_nearer] = distance[is_nearer], number
    result = parts.copy()
    result[unreached] = owner
    return result


def parts_by_plane(inside: Mask, corner: Index, plane: Plane, voxel_size_um: VoxelSize) -> Parts:
    """Part 1 behind a plane, part 2 on it and on the side that its normal points to.

    Parameters
    ----------
    inside, corner, voxel_size_um
        As for :func:`parts_by_seeds`.
    plane : Plane

    Raises
    ------
    InputError
        ``E-EDIT-SPLIT``: the whole object lies on one side.
    """
    sizes = [0.0 if math.isnan(size) else size for size in voxel_size_um]
    through = plane.through.position_um(voxel_size_um)
    sides = [
        (np.arange(start, start + n) * size - at) * along
        for start, n, size, at, along in zip(corner, inside.shape, sizes, through, plane.normal, strict=True)
    ]
    side = sides[0][:, None, None] + sides[1][:, None] + sides[2]
    # Voxels on the plane must not depend on rounding.
    tolerance = 1e-9 * math.hypot(*plane.normal)
    parts = np.where(inside, np.where(side >= -tolerance, 2, 1), 0).astype(np.uint32)
    if len(np.unique(parts[inside])) < 2:
        raise InputError("E-EDIT-SPLIT", "the whole object lies on one side of the plane.", cure="Move the plane.")
    return parts
