"""Loops compiled by numba: where a point lies in a shape, whether a capsule fits, and painting shapes into a grid.

Arrays are packed so that a loop has few arguments: ``frame`` (4, 3) is a body's centre and the rows of its matrix,
``table`` (n_theta + 1, n_phi) its radii in that frame. To add a loop, keep it free of state and compile with ``JIT``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

JIT: dict[str, Any] = {"cache": True, "nogil": True}
_NEVER = 1e30


@njit(**JIT)  # type: ignore[untyped-decorator]
def look_up(table: Any, z: float, y: float, x: float) -> float:
    """Bilinear value of a (theta, phi) table in the direction z, y, x; theta from the +z axis."""
    norm = math.sqrt(z * z + y * y + x * x)
    if norm < 1e-300:
        return float(table[0, 0])
    n_theta = table.shape[0] - 1
    n_phi = table.shape[1]
    t = math.acos(min(1.0, max(-1.0, z / norm))) / math.pi * n_theta
    p = math.atan2(y, x) / (2.0 * math.pi) * n_phi
    if p < 0.0:
        p += n_phi
    i = min(int(t), n_theta - 1)
    j = int(p)
    t -= i
    p -= j
    j = j % n_phi
    k = (j + 1) % n_phi
    low = table[i, j] + p * (table[i, k] - table[i, j])
    high = table[i + 1, j] + p * (table[i + 1, k] - table[i + 1, j])
    return float(low + t * (high - low))


@njit(**JIT)  # type: ignore[untyped-decorator]
def level(frame: Any, table: Any, z: float, y: float, x: float) -> float:
    """Radius of a point over the body's radius in its direction: below 1 inside."""
    dz, dy, dx = z - frame[0, 0], y - frame[0, 1], x - frame[0, 2]
    a = frame[1, 0] * dz + frame[1, 1] * dy + frame[1, 2] * dx
    b = frame[2, 0] * dz + frame[2, 1] * dy + frame[2, 2] * dx
    c = frame[3, 0] * dz + frame[3, 1] * dy + frame[3, 2] * dx
    return float(math.sqrt(a * a + b * b + c * c) / max(look_up(table, a, b, c), 1e-12))


@njit(**JIT)  # type: ignore[untyped-decorator]
def levels(frame: Any, table: Any, points: Any) -> Any:
    """:func:`level` of many points (n, 3)."""
    out = np.empty(points.shape[0])
    for n in range(points.shape[0]):
        out[n] = level(frame, table, points[n, 0], points[n, 1], points[n, 2])
    return out


@njit(**JIT)  # type: ignore[untyped-decorator]
def cut_radii(radii: Any, points: Any, frames: Any, table: Any, gap: float) -> Any:
    """Shorten each ray of a body to where the neighbour's level is no longer ``gap`` above its own.

    ``radii`` (n,) are levels at the ray's end (1 = the free surface); ``points`` (n, 3) lie on the free surface;
    ``frames`` (2, 4, 3) the body's and the neighbour's; ``table`` the neighbour's.
    """
    out = radii.copy()
    cz, cy, cx = frames[0, 0, 0], frames[0, 0, 1], frames[0, 0, 2]
    for n in range(points.shape[0]):
        dz, dy, dx = points[n, 0] - cz, points[n, 1] - cy, points[n, 2] - cx
        low, high = 0.0, -1.0
        for step in range(1, 25):
            s = out[n] * step / 24.0
            if level(frames[1], table, cz + s * dz, cy + s * dy, cx + s * dx) - s < gap:
                high = s
                break
            low = s
        if high < 0.0:
            continue
        for _ in range(14):
            s = 0.5 * (low + high)
            if level(frames[1], table, cz + s * dz, cy + s * dy, cx + s * dx) - s < gap:
                high = s
            else:
                low = s
        out[n] = low
    return out


@njit(**JIT)  # type: ignore[untyped-decorator]
def free_shares(centre: Any, ends: Any, frame: Any, table: Any) -> Any:
    """Share, up to 1, of each line from ``centre`` to ``ends`` (n, 3) that lies inside the body."""
    out = np.ones(ends.shape[0])
    for n in range(ends.shape[0]):
        dz, dy, dx = ends[n, 0] - centre[0], ends[n, 1] - centre[1], ends[n, 2] - centre[2]
        low, high = 0.0, -1.0
        for step in range(1, 11):
            s = step / 10.0
            if level(frame, table, centre[0] + s * dz, centre[1] + s * dy, centre[2] + s * dx) >= 1.0:
                high = s
                break
            low = s
        if high < 0.0:
            continue
        for _ in range(9):
            s = 0.5 * (low + high)
            if level(frame, table, centre[0] + s * dz, centre[1] + s * dy, centre[2] + s * dx) >= 1.0:
                high = s
            else:
                low = s
        out[n] = low
    return out


@njit(**JIT)  # type: ignore[untyped-decorator]
def distance_to_capsule(tube: Any, z: float, y: float, x: float) -> float:
    """Signed distance in µm from a point to a capsule (7,), negative inside."""
    az, ay, ax = tube[3] - tube[0], tube[4] - tube[1], tube[5] - tube[2]
    dz, dy, dx = z - tube[0], y - tube[1], x - tube[2]
    length2 = az * az + ay * ay + ax * ax
    s = 0.0
    if length2 > 0.0:
        s = min(1.0, max(0.0, (az * dz + ay * dy + ax * dx) / length2))
    dz, dy, dx = dz - s * az, dy - s * ay, dx - s * ax
    return float(math.sqrt(dz * dz + dy * dy + dx * dx) - tube[6])


@njit(**JIT)  # type: ignore[untyped-decorator]
def gap_between(first: Any, second: Any) -> float:
    """Edge-to-edge distance in µm of two capsules (7,), negative where they overlap."""
    u = first[3:6] - first[0:3]
    v = second[3:6] - second[0:3]
    w = first[0:3] - second[0:3]
    a, b, c = np.dot(u, u), np.dot(u, v), np.dot(v, v)
    d, e = np.dot(u, w), np.dot(v, w)
    best = _NEVER
    det = a * c - b * b
    if det > 1e-12:
        s = (b * e - c * d) / det
        t = (a * e - b * d) / det
        if 0.0 <= s <= 1.0 and 0.0 <= t <= 1.0:
            best = math.sqrt(max(0.0, np.sum((w + s * u - t * v) ** 2)))
    for end in range(2):
        one = first[3 * end : 3 * end + 3]
        best = min(best, distance_to_capsule(second, one[0], one[1], one[2]) + second[6])
        two = second[3 * end : 3 * end + 3]
        best = min(best, distance_to_capsule(first, two[0], two[1], two[2]) + first[6])
    return float(best - first[6] - second[6])


@njit(**JIT)  # type: ignore[untyped-decorator]
def is_clear(tube: Any, taken: Any, n_taken: int, gap: float) -> bool:
    """Whether a capsule keeps ``gap`` µm from the first ``n_taken`` capsules of ``taken``."""
    mz, my, mx = 0.5 * (tube[0] + tube[3]), 0.5 * (tube[1] + tube[4]), 0.5 * (tube[2] + tube[5])
    half = 0.5 * math.sqrt((tube[3] - tube[0]) ** 2 + (tube[4] - tube[1]) ** 2 + (tube[5] - tube[2]) ** 2)
    for n in range(n_taken):
        if distance_to_capsule(taken[n], mz, my, mx) > half + tube[6] + gap:
            continue
        if gap_between(tube, taken[n]) < gap:
            return False
    return True


@njit(**JIT)  # type: ignore[untyped-decorator]
def is_within(tube: Any, room: tuple[Any, Any, Any, Any], ball: Any, margin: float) -> bool:
    """Whether a capsule grown by ``margin`` µm lies inside the room's body and outside its holes.

    ``room`` is (frame, table, hole frames (k, 4, 3), hole tables (k, …)); ``ball`` (n, 3) unit directions.
    """
    frame, table, hole_frames, hole_tables = room
    length = math.sqrt((tube[3] - tube[0]) ** 2 + (tube[4] - tube[1]) ** 2 + (tube[5] - tube[2]) ** 2)
    radius = tube[6] + margin
    n_steps = math.ceil(length / max(tube[6], 0.05)) if length > 0.0 else 0
    for step in range(n_steps + 1):
        s = step / n_steps if n_steps > 0 else 0.0
        pz = tube[0] + s * (tube[3] - tube[0])
        py = tube[1] + s * (tube[4] - tube[1])
        px = tube[2] + s * (tube[5] - tube[2])
        for n in range(ball.shape[0]):
            z, y, x = pz + radius * ball[n, 0], py + radius * ball[n, 1], px + radius * ball[n, 2]
            if level(frame, table, z, y, x) >= 1.0:
                return False
            for k in range(hole_frames.shape[0]):
                if level(hole_frames[k], hole_tables[k], z, y, x) <= 1.0:
                    return False
    return True


@njit(**JIT)  # type: ignore[untyped-decorator]
def place_spheres(candidates: Any, room: tuple[Any, Any, Any, Any], ball: Any, taken: Any, rule: Any) -> Any:
    """For each item the first candidate sphere that fits; returns the attempt's number, or -1.

    ``candidates`` (n_items, n_attempts, 7); ``rule`` (gap, margin, number already in ``taken``); ``taken`` is filled.
    """
    gap, margin, n_taken = rule[0], rule[1], int(rule[2])
    chosen = np.full(candidates.shape[0], -1, np.int64)
    for item in range(candidates.shape[0]):
        for attempt in range(candidates.shape[1]):
            tube = candidates[item, attempt]
            if n_taken >= taken.shape[0]:
                return chosen
            if is_clear(tube, taken, n_taken, gap) and is_within(tube, room, ball, margin):
                taken[n_taken] = tube
                n_taken += 1
                chosen[item] = attempt
                break
    return chosen


@njit(**JIT)  # type: ignore[untyped-decorator]
def place_edges(edges: Any, room: tuple[Any, Any, Any, Any], ball: Any, taken: Any, rule: Any) -> Any:
    """Which of the capsules ``edges`` (n, 7) fit; they may touch each other. ``rule`` as in :func:`place_spheres`."""
    fits = np.zeros(edges.shape[0], np.bool_)
    for n in range(edges.shape[0]):
        fits[n] = is_clear(edges[n], taken, int(rule[2]), rule[0]) and is_within(edges[n], room, ball, rule[1])
    return fits


@njit(**JIT)  # type: ignore[untyped-decorator]
def grow_walk(start: Any, noise: Any, room: tuple[Any, Any, Any, Any], ball: Any, taken: Any, rule: Any) -> Any:
    """A bent chain of capsules (n, 7) from ``start`` (z, y, x, direction 3, radius), as far as it fits.

    ``noise`` (n_steps, 4, 3) bends each step, four tries each; ``rule`` (gap, margin, n taken, step µm, bend).
    """
    chain = np.empty((noise.shape[0], 7))
    point, heading, radius = start[0:3].copy(), start[3:6].copy(), start[6]
    n_done = 0
    for step in range(noise.shape[0]):
        is_placed = False
        for attempt in range(noise.shape[1]):
            turned = heading + rule[4] * (1.0 + attempt) * noise[step, attempt]
            turned = turned / max(1e-12, math.sqrt(np.sum(turned * turned)))
            tube = chain[n_done]
            tube[0:3] = point
            tube[3:6] = point + rule[3] * turned
            tube[6] = radius
            if is_clear(tube, taken, int(rule[2]), rule[0]) and is_within(tube, room, ball, rule[1]):
                point, heading = tube[3:6].copy(), turned
                n_done += 1
                is_placed = True
                break
        if not is_placed:
            break
    return chain[:n_done].copy()


@njit(**JIT)  # type: ignore[untyped-decorator]
def read_texture(tile: Any, paint: Any, z: float, y: float, x: float) -> float:
    """Two octaves of the periodic random field at a point in µm; ``paint`` as in :func:`paint_body`."""
    n = tile.shape[0]
    total = 0.0
    for octave in range(2):
        pz = (z - paint[4]) * paint[2 + octave] + 17.0 * octave
        py = (y - paint[5]) * paint[2 + octave] + 5.0 * octave
        px = (x - paint[6]) * paint[2 + octave] + 11.0 * octave
        fz, fy, fx = math.floor(pz), math.floor(py), math.floor(px)
        tz, ty, tx = pz - fz, py - fy, px - fx
        i0, j0, k0 = int(fz) % n, int(fy) % n, int(fx) % n
        i1, j1, k1 = (i0 + 1) % n, (j0 + 1) % n, (k0 + 1) % n
        a = tile[i0, j0, k0] * (1 - tx) + tile[i0, j0, k1] * tx
        b = tile[i0, j1, k0] * (1 - tx) + tile[i0, j1, k1] * tx
        c = tile[i1, j0, k0] * (1 - tx) + tile[i1, j0, k1] * tx
        d = tile[i1, j1, k0] * (1 - tx) + tile[i1, j1, k1] * tx
        total += (a * (1 - ty) + b * ty) * (1 - tz) + (c * (1 - ty) + d * ty) * tz
    return total * math.sqrt(0.5)


@njit(**JIT)  # type: ignore[untyped-decorator]
def read_texture_at(tile: Any, paint: Any, points: Any) -> Any:
    """:func:`read_texture` at many points (n, 3)."""
    out = np.empty(points.shape[0])
    for n in range(points.shape[0]):
        out[n] = read_texture(tile, paint, points[n, 0], points[n, 1], points[n, 2])
    return out


@njit(**JIT)  # type: ignore[untyped-decorator]
def paint_body(volumes: tuple[Any, Any, Any], grid: Any, box: Any, frame: Any, tables: Any, paint: Any) -> None:
    """Paint one star-shaped body into (objects, ri, texture tile) within ``box`` (3, 2) of voxel indices.

    ``grid`` (2, 3) is origin and voxel size; ``tables`` (2, …) radii and µm per unit of radius across the surface;
    ``paint`` (8,) is mean index, texture sigma, two texture scales, texture origin (3) and the object's index.
    """
    objects, ri, tile = volumes
    for i in range(box[0, 0], box[0, 1]):
        z = grid[0, 0] + (i + 0.5) * grid[1, 0]
        for j in range(box[1, 0], box[1, 1]):
            y = grid[0, 1] + (j + 0.5) * grid[1, 1]
            for k in range(box[2, 0], box[2, 1]):
                x = grid[0, 2] + (k + 0.5) * grid[1, 2]
                dz, dy, dx = z - frame[0, 0], y - frame[0, 1], x - frame[0, 2]
                a = frame[1, 0] * dz + frame[1, 1] * dy + frame[1, 2] * dx
                b = frame[2, 0] * dz + frame[2, 1] * dy + frame[2, 2] * dx
                c = frame[3, 0] * dz + frame[3, 1] * dy + frame[3, 2] * dx
                beyond = math.sqrt(a * a + b * b + c * c) - look_up(tables[0], a, b, c)
                if beyond < 0.0:
                    objects[i, j, k] = np.uint32(paint[7])
                nz = frame[1, 0] * a + frame[2, 0] * b + frame[3, 0] * c
                ny = frame[1, 1] * a + frame[2, 1] * b + frame[3, 1] * c
                nx = frame[1, 2] * a + frame[2, 2] * b + frame[3, 2] * c
                width = math.sqrt((nz * grid[1, 0]) ** 2 + (ny * grid[1, 1]) ** 2 + (nx * grid[1, 2]) ** 2)
                width = width / max(1e-12, math.sqrt(nz * nz + ny * ny + nx * nx))
                share = 0.5 - beyond * look_up(tables[1], a, b, c) / max(width, 1e-12)
                if share <= 0.0:
                    continue
                value = paint[0] + paint[1] * read_texture(tile, paint, z, y, x)
                ri[i, j, k] += min(1.0, share) * (value - ri[i, j, k])


@njit(**JIT)  # type: ignore[untyped-decorator]
def paint_capsule(volumes: tuple[Any, Any, Any], grid: Any, box: Any, tube: Any, paint: Any) -> None:
    """Paint one capsule (7,); arguments as in :func:`paint_body`."""
    objects, ri, tile = volumes
    az, ay, ax = tube[3] - tube[0], tube[4] - tube[1], tube[5] - tube[2]
    length = math.sqrt(az * az + ay * ay + ax * ax)
    volume = math.pi * tube[6] ** 2 * (length + 4.0 / 3.0 * tube[6])
    most = min(1.0, volume / (grid[1, 0] * grid[1, 1] * grid[1, 2]))
    for i in range(box[0, 0], box[0, 1]):
        z = grid[0, 0] + (i + 0.5) * grid[1, 0]
        for j in range(box[1, 0], box[1, 1]):
            y = grid[0, 1] + (j + 0.5) * grid[1, 1]
            for k in range(box[2, 0], box[2, 1]):
                x = grid[0, 2] + (k + 0.5) * grid[1, 2]
                dz, dy, dx = z - tube[0], y - tube[1], x - tube[2]
                if length > 0.0:
                    s = min(1.0, max(0.0, (az * dz + ay * dy + ax * dx) / (length * length)))
                    dz, dy, dx = dz - s * az, dy - s * ay, dx - s * ax
                reach = math.sqrt(dz * dz + dy * dy + dx * dx)
                if reach < tube[6]:
                    objects[i, j, k] = np.uint32(paint[7])
                width = math.sqrt((dz * grid[1, 0]) ** 2 + (dy * grid[1, 1]) ** 2 + (dx * grid[1, 2]) ** 2)
                width = width / reach if reach > 1e-9 else grid[1, 0]
                share = min(most, 0.5 - (reach - tube[6]) / max(width, 1e-12))
                if share <= 0.0:
                    continue
                value = paint[0] + paint[1] * read_texture(tile, paint, z, y, x)
                ri[i, j, k] += share * (value - ri[i, j, k])


@njit(**JIT)  # type: ignore[untyped-decorator]
def mark_tubes(labels: Any, container: tuple[Any, int], grid: Any, tubes: Any, label: int, stretches: Any) -> None:
    """Give voxels (Z, Y, X) whose centres lie in a capsule its label, where they are in the container.

    ``container`` is labels (Z, Y, X) and the one that counts.

    Each capsule is taken ``stretches`` (n,) times as tall as it is wide; ``grid`` (2, 3) is origin and voxel size.
    """
    scaled = np.empty(7)
    for t in range(tubes.shape[0]):
        tube, squeeze = tubes[t], 1.0 / stretches[t]
        scaled[:] = tube
        scaled[0] *= squeeze
        scaled[3] *= squeeze
        first, last = np.empty(3, np.int64), np.empty(3, np.int64)
        for axis in range(3):
            reach = tube[6] * (stretches[t] if axis == 0 else 1.0)
            low = (min(tube[axis], tube[axis + 3]) - reach - grid[0, axis]) / grid[1, axis]
            high = (max(tube[axis], tube[axis + 3]) + reach - grid[0, axis]) / grid[1, axis]
            first[axis] = max(0, math.floor(low))
            last[axis] = min(labels.shape[axis], math.ceil(high) + 1)
        for i in range(first[0], last[0]):
            z = (grid[0, 0] + (i + 0.5) * grid[1, 0]) * squeeze
            for j in range(first[1], last[1]):
                y = grid[0, 1] + (j + 0.5) * grid[1, 1]
                for k in range(first[2], last[2]):
                    x = grid[0, 2] + (k + 0.5) * grid[1, 2]
                    if container[0][i, j, k] == container[1] and distance_to_capsule(scaled, z, y, x) < 0.0:
                        labels[i, j, k] = label


@njit(**JIT)  # type: ignore[untyped-decorator]
def are_outside(points: Any, tubes: Any, level_gap: float) -> Any:
    """Whether each point (n, 3) lies more than ``level_gap`` µm outside every capsule of ``tubes`` (k, 7)."""
    out = np.ones(points.shape[0], np.bool_)
    for n in range(points.shape[0]):
        for k in range(tubes.shape[0]):
            if distance_to_capsule(tubes[k], points[n, 0], points[n, 1], points[n, 2]) <= level_gap:
                out[n] = False
                break
    return out


@njit(**JIT)  # type: ignore[untyped-decorator]
def overlapping(tubes: Any, number: int) -> Any:
    """Which capsules of ``tubes`` (n, 7) overlap the ``number``-th; itself not."""
    out = np.zeros(tubes.shape[0], np.bool_)
    for n in range(tubes.shape[0]):
        out[n] = n != number and not is_clear(tubes[number], tubes[n : n + 1], 1, 0.0)
    return out


@njit(**JIT)  # type: ignore[untyped-decorator]
def touching(tubes: Any, owner: Any, n_owners: int, gap: float) -> Any:
    """Which owners have capsules within ``gap`` µm of each other's; ``owner`` (n,) from 0; the diagonal stays empty."""
    out = np.zeros((n_owners, n_owners), np.bool_)
    for n in range(tubes.shape[0]):
        for m in range(n):
            i, j = owner[n], owner[m]
            if i != j and not out[i, j] and not is_clear(tubes[n], tubes[m : m + 1], 1, gap):
                out[i, j] = True
                out[j, i] = True
    return out


@njit(**JIT)  # type: ignore[untyped-decorator]
def paint_wall(volumes: tuple[Any, Any], grid: Any, frame: Any, paint: Any) -> None:
    """Paint the wall of a capillary along z into (objects, ri), anti-aliased in y and x, and what lies beyond it.

    ``frame`` (7,) is the axis (2) at z = 0, its slope (2), inner radius, taper and thickness; ``grid`` as in
    :func:`paint_body`; ``paint`` (3,) the value of the glass, that beyond it and the object's index.
    """
    objects, ri = volumes
    for i in range(objects.shape[0]):
        z = grid[0, 0] + (i + 0.5) * grid[1, 0]
        y0, x0 = frame[0] + frame[2] * z, frame[1] + frame[3] * z
        inner = frame[4] + frame[5] * z
        outer = inner + frame[6]
        for j in range(objects.shape[1]):
            dy = grid[0, 1] + (j + 0.5) * grid[1, 1] - y0
            for k in range(objects.shape[2]):
                dx = grid[0, 2] + (k + 0.5) * grid[1, 2] - x0
                away = math.sqrt(dy * dy + dx * dx)
                width = math.sqrt((dy * grid[1, 1]) ** 2 + (dx * grid[1, 2]) ** 2) / max(away, 1e-9)
                width = max(width, 1e-12)
                if inner <= away < outer:
                    objects[i, j, k] = np.uint32(paint[2])
                share = min(1.0, max(0.0, 0.5 + (away - inner) / width))
                if share > 0.0:
                    beyond = min(1.0, max(0.0, 0.5 + (away - outer) / width))
                    ri[i, j, k] = (1.0 - share) * ri[i, j, k] + (share - beyond) * paint[0] + beyond * paint[1]
