"""Thinning to centre lines: layer by layer, only voxels whose removal changes neither connection nor tunnel nor end.

The algorithm, and the order in which voxels go, are those of scikit-image's ``skeletonize(method="lee")`` (Lee et al.
1994, doi:10.1006/cgip.1994.1042); here only the voxels of the surface are looked at, not the whole box again and again.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from tomocyte.measurements._kernels import Integers, compiled

Bytes = NDArray[np.uint8]
STEPS = np.array([step for step in itertools.product((-1, 0, 1), repeat=3) if any(step)])
"""From a voxel to its 26 neighbours."""
SIDES = ((0, -1, 0), (0, 1, 0), (0, 0, 1), (0, 0, -1), (1, 0, 0), (-1, 0, 0))
"""From which layers are taken, in turn."""
BLOCK = 4
"""Voxels along each side of the blocks in which distances are compared."""


def _mask(is_member: NDArray[np.bool_]) -> int:
    """Members of the 26 neighbours as bits."""
    return int((1 << np.flatnonzero(is_member)).sum())


TOUCHING = np.array([_mask((np.abs(STEPS - step) <= 1).all(axis=1)) for step in STEPS])
"""For each neighbour, the neighbours that touch it, itself among them."""
# A corner, edge or face of the voxel is shared by the neighbours on its side along every axis that it fixes.
CELLS = np.array([_mask(((cell == STEPS) | (STEPS == 0)).all(axis=1)) for cell in STEPS])
"""For each corner, edge or face of a voxel, the neighbours that share it."""
SIGNS = np.where(np.abs(STEPS).sum(axis=1) % 2 == 1, 1, -1)
"""+1 for corners and faces, -1 for edges: the Euler number is corners - edges + faces - voxels."""


def thinned(mask: NDArray[np.bool_]) -> Integers:
    """Voxels (n, 3) of the centre line of a mask (Z, Y, X), in raster order; there is background beyond the border.

    Examples
    --------
    >>> thinned(np.ones((3, 3, 5), bool)).tolist()
    [[1, 1, 1], [1, 1, 2], [1, 1, 3]]
    """
    padded = np.ascontiguousarray(np.pad(mask, 1)).view(np.uint8)
    strides = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
    # In a plane everything has a side above and below, which is no surface.
    sides = np.array(SIDES[:4] if len(mask) == 1 else SIDES) @ strides
    _thin(padded.reshape(-1), STEPS @ strides, sides, TOUCHING, CELLS, SIGNS)
    return np.argwhere(padded) - 1


MIDDLE = (BLOCK - 1) / 2


@compiled
def _neighbours(flat: Bytes, voxel: int, steps: Integers) -> int:
    """The neighbours of a voxel that belong to the object, as bits."""
    bits = 0
    for index in range(26):
        # Indices without a sign need no look at whether they count from the end.
        bits |= int(flat[np.uint64(voxel + steps[index])]) << index
    return bits


@compiled
def _is_end(bits: int) -> bool:
    """Whether a voxel has one neighbour."""
    return bits != 0 and bits & (bits - 1) == 0


@compiled
def _keeps_euler_number(bits: int, cells: Integers, signs: Integers) -> bool:
    """Whether the object has the same Euler number without the voxel: what it alone holds adds up to nothing."""
    change = -1
    for index in range(26):
        if bits & cells[index] == 0:
            change += signs[index]
    return change == 0


@compiled
def _are_connected(bits: int, touching: Integers) -> bool:
    """Whether the neighbours are connected among each other."""
    reached = bits & -bits
    before = 0
    while reached != before and reached != bits:
        before = reached
        for index in range(26):
            # All ones where the neighbour is reached, else 0: cheaper than a branch.
            reached |= touching[index] & bits & -(reached >> index & 1)
    return reached == bits


@compiled
def _thin(flat: Bytes, steps: Integers, sides: Integers, touching: Integers, cells: Integers, signs: Integers) -> None:
    """Write 0 over all voxels of a padded mask that are not of its centre line."""
    # Voxels with a side to the background, and room for those that will have one.
    surface = np.empty(np.count_nonzero(flat), np.int64)
    is_listed = np.zeros(flat.size, np.bool_)
    n = 0
    for voxel in range(flat.size):
        if flat[voxel]:
            for side in sides:
                if not flat[voxel + side]:
                    surface[n] = voxel
                    is_listed[voxel] = True
                    n += 1
                    break
    candidates = np.empty(surface.size, np.int64)
    n_unchanged = 0
    while n_unchanged < sides.size:
        n_unchanged = 0
        for side in sides:
            n_candidates = 0
            for index in range(n):
                voxel = surface[index]
                if not flat[voxel + side]:
                    bits = _neighbours(flat, voxel, steps)
                    if not _is_end(bits) and _keeps_euler_number(bits, cells, signs) and _are_connected(bits, touching):
                        candidates[n_candidates] = voxel
                        n_candidates += 1
            # In the order of the voxels; what was removed before may make another one needed.
            is_changed = False
            for voxel in np.sort(candidates[:n_candidates]):
                if _are_connected(_neighbours(flat, voxel, steps), touching):
                    flat[voxel] = 0
                    is_changed = True
                    for other in sides:
                        if flat[voxel + other] and not is_listed[voxel + other]:
                            is_listed[voxel + other] = True
                            surface[n] = voxel + other
                            n += 1
            n_unchanged += not is_changed
            if is_changed:
                n_left = 0
                for index in range(n):
                    if flat[surface[index]]:
                        surface[n_left] = surface[index]
                        n_left += 1
                n = n_left


@compiled
def count_far(inside: NDArray[np.bool_], line: Integers, radii: NDArray[np.float64], sides: NDArray[np.float64]) -> int:
    """How many voxels inside lie more than two radii of the nearest of the voxels of a line (n, 3) away from it.

    Blocks of voxels first narrow down which voxels of the line may be the nearest.
    """
    n_far = 0
    diagonal = (BLOCK - 1) * np.sqrt(np.sum(sides * sides))
    near = np.empty(len(line), np.int64)
    squared = np.empty(len(line))
    shape = inside.shape
    for block in range(-(-shape[0] // BLOCK) * -(-shape[1] // BLOCK) * -(-shape[2] // BLOCK)):
        n_y, n_x = -(-shape[1] // BLOCK), -(-shape[2] // BLOCK)
        low_z, low_y, low_x = BLOCK * (block // (n_y * n_x)), BLOCK * (block // n_x % n_y), BLOCK * (block % n_x)
        part = inside[low_z : low_z + BLOCK, low_y : low_y + BLOCK, low_x : low_x + BLOCK]
        if not part.any():
            continue
        for index in range(len(line)):
            squared[index] = _squared(line[index], low_z + MIDDLE, low_y + MIDDLE, low_x + MIDDLE, sides)
        # Every voxel of the block lies at most half its diagonal from its middle.
        limit = (np.sqrt(squared.min()) + 1.001 * diagonal) ** 2
        n_near = 0
        for index in range(len(line)):
            if squared[index] <= limit:
                near[n_near] = index
                n_near += 1
        for z in range(part.shape[0]):
            for y in range(part.shape[1]):
                for x in range(part.shape[2]):
                    if part[z, y, x]:
                        least, nearest = np.inf, 0
                        for index in near[:n_near]:
                            apart = _squared(line[index], low_z + z, low_y + y, low_x + x, sides)
                            if apart < least:
                                least, nearest = apart, index
                        n_far += np.sqrt(least) > 2 * radii[nearest]
    return n_far


@compiled
def _squared(place: Integers, z: float, y: float, x: float, sides: NDArray[np.float64]) -> float:
    """Squared distance of two voxels."""
    apart_z, apart_y, apart_x = (place[0] - z) * sides[0], (place[1] - y) * sides[1], (place[2] - x) * sides[2]
    squared: float = apart_z * apart_z + apart_y * apart_y + apart_x * apart_x
    return squared


@compiled
def surface_distances(mask: NDArray[np.bool_], sides: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance to the mask of every voxel outside that touches it, also at edges and corners; of others, a bound.

    No voxel of the mask may lie at the border of the volume.
    """
    far = np.sqrt(np.sum(sides * sides))
    distances = np.full(mask.shape, far)
    for z in range(mask.shape[0]):
        for y in range(mask.shape[1]):
            for x in range(mask.shape[2]):
                if not mask[z, y, x]:
                    continue
                distances[z, y, x] = 0.0
                for to_z in range(z - 1, z + 2):
                    for to_y in range(y - 1, y + 2):
                        for to_x in range(x - 1, x + 2):
                            if not mask[to_z, to_y, to_x] and distances[to_z, to_y, to_x] == far:
                                distances[to_z, to_y, to_x] = _nearest(mask, to_z, to_y, to_x, far, sides)
    return distances


@compiled
def _nearest(mask: NDArray[np.bool_], z: int, y: int, x: int, far: float, sides: NDArray[np.float64]) -> float:
    """Distance of a voxel to the mask, if it is less than ``far``."""
    reach = np.floor(far / sides).astype(np.int64)
    least = far * far
    for to_z in range(max(z - reach[0], 0), min(z + reach[0] + 1, mask.shape[0])):
        for to_y in range(max(y - reach[1], 0), min(y + reach[1] + 1, mask.shape[1])):
            for to_x in range(max(x - reach[2], 0), min(x + reach[2] + 1, mask.shape[2])):
                if mask[to_z, to_y, to_x]:
                    apart_z, apart_y, apart_x = (to_z - z) * sides[0], (to_y - y) * sides[1], (to_x - x) * sides[2]
                    least = min(least, apart_z * apart_z + apart_y * apart_y + apart_x * apart_x)
    distance: float = np.sqrt(least)
    return distance
