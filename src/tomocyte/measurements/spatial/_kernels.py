"""The loops over voxels that contacts, distances and random placement need.

A *face* is the side of a voxel behind which its object ends; direction 2·axis looks to lower, 2·axis + 1 to higher
coordinates. A *reach* (n, 3) lists the steps to voxels within the gap, nearest first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tomocyte.measurements._kernels import Integers, Shape, compiled

Objects = NDArray[np.int32]
Directions = NDArray[np.int8]
Distances = NDArray[np.float32]
Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]
RowRuns = tuple[Integers, NDArray[np.int32], NDArray[np.int32], Objects]
"""First run of each row (z, y), and start, stop and number of the object of each run, in raster order."""


@compiled
def select_objects(labels: NDArray[np.uint64], numbers: NDArray[np.uint64], places: Objects, out: Objects) -> None:
    """Write the place (from 1; 0: none) of every voxel's label, found in the sorted ``numbers``, into ``out``."""
    n_z, n_y, n_x = labels.shape
    for z in range(n_z):
        for y in range(n_y):
            before = np.uint64(0)
            place = np.int32(0)
            for x in range(n_x):
                label = np.uint64(labels[z, y, x])
                if label != before:
                    place = places[np.searchsorted(numbers, label)] if label else np.int32(0)
                    before = label
                out[z, y, x] = place


@compiled
def smallest_of_objects(objects: Objects, values: Distances, n: int) -> Floats:
    """(n,): the smallest value over the voxels of each object."""
    smallest = np.full(n, np.inf)
    n_z, n_y, n_x = objects.shape
    for z in range(n_z):
        for y in range(n_y):
            for x in range(n_x):
                owner = objects[z, y, x]
                if owner and values[z, y, x] < smallest[owner - 1]:
                    smallest[owner - 1] = values[z, y, x]
    return smallest


@compiled
def sums_of_objects(objects: Objects, values: Distances, n: int) -> Floats:
    """(n, 2): number of voxels of each object that have a finite value, and the sum of those values."""
    sums = np.zeros((n, 2))
    n_z, n_y, n_x = objects.shape
    for z in range(n_z):
        for y in range(n_y):
            for x in range(n_x):
                owner = objects[z, y, x]
                if owner and np.isfinite(values[z, y, x]):
                    sums[owner - 1, 0] += 1
                    sums[owner - 1, 1] += values[z, y, x]
    return sums


@compiled
def find_faces(objects: Objects, is_planar: bool) -> tuple[Integers, Directions]:
    """Flat voxel index and direction of every face of every object; the border of the volume is no face."""
    n_z, n_y, n_x = objects.shape
    n = 0
    for is_filling in range(2):
        if is_filling:
            voxels = np.empty(n, np.int64)
            directions = np.empty(n, np.int8)
            n = 0
        for z in range(n_z):
            for y in range(n_y):
                for x in range(n_x):
                    owner = objects[z, y, x]
                    if not owner:
                        continue
                    for direction in range(2 if is_planar else 0, 6):
                        axis = direction // 2
                        step = 2 * (direction % 2) - 1
                        to_z = z + step * (axis == 0)
                        to_y = y + step * (axis == 1)
                        to_x = x + step * (axis == 2)
                        if not (0 <= to_z < n_z and 0 <= to_y < n_y and 0 <= to_x < n_x):
                            continue
                        if objects[to_z, to_y, to_x] != owner:
                            if is_filling:
                                voxels[n] = (z * n_y + y) * n_x + x
                                directions[n] = direction
                            n += 1
    return voxels, directions


@compiled
def face_areas(
    objects: Objects,
    beside: Objects,
    is_beside: bool,
    voxels: Integers,
    directions: Directions,
    sides: Floats,
    spreads: Floats,
    reach: Integers,
) -> Floats:
    """Area of the smooth surface that each face stands for: that of the face times the slope of the surface there.

    The normal is the gradient, at the centre of the face, of the object blurred by a Gaussian of these standard
    deviations, all lengths in voxels. Beyond the border of the volume the object goes on as it is there. With
    ``is_beside``, what lies ``beside`` (0: nothing) counts -1, so that at the rim of a wall between two objects the
    normal stays that of the wall.
    """
    n_z, n_y, n_x = objects.shape
    areas = np.empty(voxels.size)
    faces = np.array([sides[1] * sides[2], sides[0] * sides[2], sides[0] * sides[1]])
    most = np.max(reach) + 1
    # Weights along each axis, of places in voxels from a voxel's centre (row 0) or from its higher face (row 1).
    weights = np.empty((3, 2, 2 * most + 1))
    for axis in range(3):
        for row in range(2):
            for step in range(-most, most + 1):
                weights[axis, row, step + most] = np.exp(-0.5 * ((step - 0.5 * row) / spreads[axis]) ** 2)
    for index in range(voxels.size):
        voxel = voxels[index]
        z = voxel // (n_y * n_x)
        y = voxel // n_x % n_y
        x = voxel % n_x
        owner = objects[z, y, x]
        axis = directions[index] // 2
        side = 2 * (directions[index] % 2) - 1
        on = np.array([1 if axis == 0 else 0, 1 if axis == 1 else 0, 1 if axis == 2 else 0])
        gradient_z = 0.0
        gradient_y = 0.0
        gradient_x = 0.0
        # Steps are counted outwards along the face's axis, so that the face lies half a step ahead.
        for dz in range(-reach[0], reach[0] + 1 + on[0]):
            at_z = min(max(z + (dz * side if axis == 0 else dz), 0), n_z - 1)
            for dy in range(-reach[1], reach[1] + 1 + on[1]):
                at_y = min(max(y + (dy * side if axis == 1 else dy), 0), n_y - 1)
                weight_zy = weights[0, on[0], dz + most] * weights[1, on[1], dy + most]
                n = 0.0
                along = 0.0
                for dx in range(-reach[2], reach[2] + 1 + on[2]):
                    at_x = min(max(x + (dx * side if axis == 2 else dx), 0), n_x - 1)
                    is_own = objects[at_z, at_y, at_x] == owner
                    if is_own or (is_beside and beside[at_z, at_y, at_x]):
                        weight = weights[2, on[2], dx + most] * (1.0 if is_own else -1.0)
                        n += weight
                        along += weight * (dx - 0.5 * on[2])
                gradient_z += weight_zy * n * (dz - 0.5 * on[0])
                gradient_y += weight_zy * n * (dy - 0.5 * on[1])
                gradient_x += weight_zy * along
        gradient = np.array([gradient_z, gradient_y, gradient_x]) / (spreads**2 * sides)
        length = np.sqrt(np.sum(gradient * gradient))
        areas[index] = faces[axis] * (abs(gradient[axis]) / length if length > 1e-12 else 1.0)
    return areas


@compiled
def _meets(others: Objects, place: tuple[int, int, int], reach: Integers) -> bool:
    """Whether some voxel of the others lies within reach."""
    n_z, n_y, n_x = others.shape
    for step in range(reach.shape[0]):
        z = place[0] + reach[step, 0]
        y = place[1] + reach[step, 1]
        x = place[2] + reach[step, 2]
        if 0 <= z < n_z and 0 <= y < n_y and 0 <= x < n_x and others[z, y, x]:
            return True
    return False


@compiled
def _first_reaching(stops: NDArray[np.int32], low: int, high: int, x: int) -> int:
    """The first of the runs low to high of a row that ends behind x."""
    while low < high:
        middle = (low + high) // 2
        if stops[middle] > x:
            high = middle
        else:
            low = middle + 1
    return low


@compiled
def find_contacts(
    shape: Shape,
    objects: RowRuns,
    others: RowRuns,
    faces: tuple[Integers, Directions],
    voxel_rows: Integers,
    face_rows: Integers,
    n_face_rows: Integers,
    n_others: int,
    is_same: bool,
) -> tuple[NDArray[np.bool_], Integers]:
    """Which faces lie within the gap of another structure, and the pairs (object · (n_others + 1) + other) that do.

    Rows (n, 4) list the steps z and y, and the lowest and highest step x, to what lies within the gap of a voxel or of
    a face. Faces come in raster order. Objects that overlap are pairs, too.
    """
    first, starts, stops, owners = objects
    voxels, directions = faces
    is_contact = np.zeros(voxels.size, np.bool_)
    is_met = np.zeros((6, shape[2]), np.bool_)
    pairs = {np.int64(-1)}
    face = 0
    for row in range(shape[0] * shape[1]):
        for run in range(first[row], first[row + 1]):
            owner, start, stop = owners[run], starts[run], stops[run]
            is_near = _add_pairs(shape, row, start, stop, owner, others, voxel_rows, n_others, is_same, pairs)
            end = np.int64(row) * shape[2] + stop
            if is_near and face < voxels.size and voxels[face] < end:
                _mark_met(shape, row, start, stop, owner if is_same else 0, others, face_rows, n_face_rows, is_met)
            while face < voxels.size and voxels[face] < end:
                is_contact[face] = is_near and is_met[directions[face], voxels[face] - np.int64(row) * shape[2]]
                face += 1
    pairs.remove(np.int64(-1))
    return is_contact, np.array(sorted(pairs), dtype=np.int64)


@compiled
def _add_pairs(
    shape: Shape,
    row: int,
    start: int,
    stop: int,
    owner: int,
    others: RowRuns,
    rows: Integers,
    n_others: int,
    is_same: bool,
    pairs: set[np.int64],
) -> bool:
    """Whether some run of the others lies within reach of a run; the pairs are added."""
    first, starts, stops, labels = others
    z, y = row // shape[1], row % shape[1]
    is_near = False
    before = np.int32(0)
    for step in range(rows.shape[0]):
        to_z, to_y = z + rows[step, 0], y + rows[step, 1]
        if not (0 <= to_z < shape[0] and 0 <= to_y < shape[1]):
            continue
        to_row = to_z * shape[1] + to_y
        other = _first_reaching(stops, first[to_row], first[to_row + 1], start + rows[step, 2])
        while other < first[to_row + 1] and starts[other] < stop + rows[step, 3]:
            label = labels[other]
            if not (is_same and label == owner):
                is_near = True
                if label != before:
                    pairs.add(np.int64(owner) * (n_others + 1) + label)
                    before = label
                if n_others == 1:  # one object alone: there is nothing else to find
                    return True
            other += 1
    return is_near


@compiled
def _mark_met(
    shape: Shape,
    row: int,
    start: int,
    stop: int,
    left_out: int,
    others: RowRuns,
    face_rows: Integers,
    n_face_rows: Integers,
    is_met: NDArray[np.bool_],
) -> None:
    """Write, for each direction, which voxels of a run have others, but for one, within reach of their face there."""
    first, starts, stops, labels = others
    z, y = row // shape[1], row % shape[1]
    for direction in range(6):
        is_met[direction, start:stop] = False
        for step in range(n_face_rows[direction]):
            to_z, to_y = z + face_rows[direction, step, 0], y + face_rows[direction, step, 1]
            if not (0 <= to_z < shape[0] and 0 <= to_y < shape[1]):
                continue
            low, high = face_rows[direction, step, 2], face_rows[direction, step, 3]
            to_row = to_z * shape[1] + to_y
            other = _first_reaching(stops, first[to_row], first[to_row + 1], start + low)
            while other < first[to_row + 1] and starts[other] < stop + high:
                if labels[other] != left_out:
                    is_met[direction, max(start, starts[other] - high) : min(stop, stops[other] - low)] = True
                other += 1


@compiled
def _fits(allowed: Bytes, place: Integers, low: Integers, high: Integers, steps: Integers) -> bool:
    """Whether all voxels of an object, moved so that its reference voxel lies at a place, are allowed."""
    shape = allowed.shape
    for axis in range(3):
        if place[axis] + low[axis] < 0 or place[axis] + high[axis] >= shape[axis]:
            return False
    flat = allowed.ravel()
    origin = (place[0] * shape[1] + place[1]) * shape[2] + place[2]
    for step in steps:  # noqa: SIM110 - the compiler knows no generators
        if not flat[origin + step]:
            return False
    return True


@compiled
def _unravel(index: int, shape: tuple[int, int, int]) -> Integers:
    return np.array([index // (shape[1] * shape[2]), index // shape[2] % shape[1], index % shape[2]])


@compiled
def places_that_fit(allowed: Bytes, candidates: Integers, low: Integers, high: Integers, steps: Integers) -> Integers:
    """The candidates (flat indices) at which an object fits."""
    fitting = np.empty(candidates.size, np.int64)
    n = 0
    for candidate in candidates:
        if _fits(allowed, _unravel(candidate, allowed.shape), low, high, steps):
            fitting[n] = candidate
            n += 1
    return fitting[:n].copy()


@compiled
def fill(flat: Bytes, origin: int, steps: Integers, value: int) -> None:
    """Write a value where an object lies."""
    for step in steps:
        flat[origin + step] = value


@compiled
def find_place(
    free: Bytes,
    candidates: Integers,
    low: Integers,
    high: Integers,
    steps: Integers,
    most_tries: int,
    rng: np.random.Generator,
) -> int:
    """A random one of the candidates (flat indices) at which an object fits; -1 when all tries failed."""
    for _ in range(most_tries):
        candidate = candidates[int(rng.random() * candidates.size)]
        if _fits(free, _unravel(candidate, free.shape), low, high, steps):
            return int(candidate)
    return -1


@compiled
def contacts_at(
    place: Integers,
    voxels: Integers,
    face_voxels: Integers,
    directions: Directions,
    areas: Floats,
    gaps: Distances,
    others: Objects,
    reach: Integers,
    face_reach: Integers,
    n_in_face_reach: Integers,
    last_seen: Integers,
    turn: int,
    limit: float,
) -> tuple[float, int, float]:
    """Distance, number of others in contact, and contact area of an object placed somewhere.

    ``voxels`` (n, 3) are those of its surface relative to the reference voxel, ``face_voxels`` the rows of its faces.
    """
    n_z, n_y, n_x = others.shape
    smallest = np.inf
    n_contacts = 0
    for row in range(voxels.shape[0]):
        z = place[0] + voxels[row, 0]
        y = place[1] + voxels[row, 1]
        x = place[2] + voxels[row, 2]
        smallest = min(smallest, gaps[z, y, x])
        if gaps[z, y, x] > limit:
            continue
        for step in range(reach.shape[0]):
            to_z = z + reach[step, 0]
            to_y = y + reach[step, 1]
            to_x = x + reach[step, 2]
            if 0 <= to_z < n_z and 0 <= to_y < n_y and 0 <= to_x < n_x:
                other = others[to_z, to_y, to_x]
                if other and last_seen[other] != turn:
                    last_seen[other] = turn
                    n_contacts += 1
    area = 0.0
    if smallest <= limit:
        for face in range(face_voxels.size):
            row = face_voxels[face]
            z = place[0] + voxels[row, 0]
            y = place[1] + voxels[row, 1]
            x = place[2] + voxels[row, 2]
            if gaps[z, y, x] <= limit:
                direction = directions[face]
                if _meets(others, (z, y, x), face_reach[direction, : n_in_face_reach[direction]]):
                    area += areas[face]
    return smallest, n_contacts, area
