"""Fluorescent molecules on and in continuous shapes, put straight into the voxels of one or more channels.

Membranes are thinner than any voxel, so they are never painted: points are spread evenly over a surface (or inside a
volume), and each gives its light to the eight voxels around it in proportion (cloud in cell). The sum of a channel is
the light of the shapes inside the grid, and the centre of mass is exact; the kernel's own width is known
(:data:`CLOUD_VARIANCE`), so that the optics can take it off. Each channel has its own map from µm to voxels: a
chromatic shift needs no interpolation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tomocyte.simulation.cells.kernels import JIT
from tomocyte.simulation.cells.shapes import Float, StarBody

CLOUD_VARIANCE = 1.0 / 6.0
"""Variance, in voxels², that putting a point into its eight neighbours adds along each axis."""
_GOLDEN = 0.6180339887498949
_PLASTIC = 0.7548776662466927

Light = NDArray[np.float32]


def add_tubes(light: Light, maps: Float, tubes: Float, emission: Float, *, rng: np.random.Generator) -> None:
    """Add the dye on the surfaces of capsules, or inside them.

    Parameters
    ----------
    light : ndarray (C, Z, Y, X) float32
        Changed in place.
    maps : ndarray (C, 3, 4)
        Per channel, voxel index = map · (z, y, x, 1), the point in µm.
    tubes : ndarray (n, 7)
        Capsules in µm. Ends of capsules of no length (balls) shine; those of tubes do not, they are joints.
    emission : ndarray (n, 2 + C)
        Per capsule: 0 for its surface, 1 for its inside; points per µm² or µm³; light per µm² or µm³ in each channel.
    rng : numpy Generator
    """
    starts = rng.random((len(tubes), 2))
    _add_tubes(light, maps, np.ascontiguousarray(tubes), np.ascontiguousarray(emission), starts)


def add_surface(
    light: Light, maps: Float, body: StarBody, emission: Float, *, density_per_um2: float, rng: np.random.Generator
) -> None:
    """Add the dye on the surface of a star-shaped body.

    Parameters
    ----------
    light, maps
        As in :func:`add_tubes`.
    body : StarBody
    emission : ndarray (C,)
        Light per µm² in each channel.
    density_per_um2 : float
        Points per µm².
    rng : numpy Generator
    """
    corners = body.nodes_um
    n_theta, n_phi = corners.shape[0] - 1, corners.shape[1]
    following = np.concatenate([corners, corners[:, :1]], axis=1)
    down = 0.5 * (following[1:, :-1] + following[1:, 1:] - following[:-1, :-1] - following[:-1, 1:])
    along = 0.5 * (following[:-1, 1:] + following[1:, 1:] - following[:-1, :-1] - following[1:, :-1])
    area = np.linalg.norm(np.cross(down, along), axis=-1)
    starts = rng.random((n_theta, n_phi, 2))
    _add_faces(light, maps, np.ascontiguousarray(following), area, starts, np.asarray(emission, float), density_per_um2)


@njit(**JIT)  # type: ignore[untyped-decorator]
def _add_point(light: Any, maps: Any, z: float, y: float, x: float, emission: Any, first: int, share: float) -> None:
    for c in range(light.shape[0]):
        amount = emission[first + c] * share
        if amount == 0.0:
            continue
        pz = maps[c, 0, 0] * z + maps[c, 0, 1] * y + maps[c, 0, 2] * x + maps[c, 0, 3]
        py = maps[c, 1, 0] * z + maps[c, 1, 1] * y + maps[c, 1, 2] * x + maps[c, 1, 3]
        px = maps[c, 2, 0] * z + maps[c, 2, 1] * y + maps[c, 2, 2] * x + maps[c, 2, 3]
        i, j, k = math.floor(pz), math.floor(py), math.floor(px)
        if i < -1 or j < -1 or k < -1 or i >= light.shape[1] or j >= light.shape[2] or k >= light.shape[3]:
            continue
        fz, fy, fx = pz - i, py - j, px - k
        for a in range(2):
            u = int(i) + a
            if u < 0 or u >= light.shape[1]:
                continue
            wz = amount * (fz if a == 1 else 1.0 - fz)
            for b in range(2):
                v = int(j) + b
                if v < 0 or v >= light.shape[2]:
                    continue
                wy = wz * (fy if b == 1 else 1.0 - fy)
                for d in range(2):
                    w = int(k) + d
                    if 0 <= w < light.shape[3]:
                        light[c, u, v, w] += wy * (fx if d == 1 else 1.0 - fx)


@njit(**JIT)  # type: ignore[untyped-decorator]
def _is_near(light: Any, maps: Any, tube: Any) -> bool:
    """Whether a capsule may reach into the grid, by the first channel's map with some voxels to spare."""
    reach = 4.0 + 2.0 * tube[6] * max(abs(maps[0, 1, 1]), abs(maps[0, 2, 2]))
    for axis in range(3):
        low, high = 1e30, -1e30
        for end in range(2):
            at = maps[0, axis, 3]
            for k in range(3):
                at += maps[0, axis, k] * tube[3 * end + k]
            low, high = min(low, at), max(high, at)
        if high < -reach or low > light.shape[axis + 1] + reach:
            return False
    return True


@njit(**JIT)  # type: ignore[untyped-decorator]
def _add_tubes(light: Any, maps: Any, tubes: Any, emission: Any, starts: Any) -> None:
    for t in range(tubes.shape[0]):
        tube = tubes[t]
        if not _is_near(light, maps, tube):
            continue
        radius = tube[6]
        az, ay, ax = tube[3] - tube[0], tube[4] - tube[1], tube[5] - tube[2]
        length = math.sqrt(az * az + ay * ay + ax * ax)
        is_inside = emission[t, 0] > 0.5
        is_ball = length < 1e-9
        if is_ball:
            uz, uy, ux = 1.0, 0.0, 0.0
        else:
            uz, uy, ux = az / length, ay / length, ax / length
        # two unit vectors across the axis
        if abs(uz) < 0.9:
            vz, vy, vx = 0.0, ux, -uy
        else:
            vz, vy, vx = ux, 0.0, -uz
        norm = math.sqrt(vz * vz + vy * vy + vx * vx)
        vz, vy, vx = vz / norm, vy / norm, vx / norm
        wz, wy, wx = uy * vx - ux * vy, ux * vz - uz * vx, uz * vy - uy * vz
        if is_inside:
            amount = 4.0 / 3.0 * math.pi * radius**3 if is_ball else math.pi * radius**2 * length
        else:
            amount = 4.0 * math.pi * radius**2 if is_ball else 2.0 * math.pi * radius * length
        n = max(6, int(amount * emission[t, 1]))
        share = amount / n
        for m in range(n):
            s = (m + 0.5) / n
            q = (starts[t, 0] + (m + 1) * _GOLDEN) % 1.0
            depth = (starts[t, 1] + (m + 1) * _PLASTIC) % 1.0
            angle = 2.0 * math.pi * q
            if is_ball:
                up = 2.0 * s - 1.0
                r = radius * depth ** (1.0 / 3.0) if is_inside else radius
                along, ring = r * up, r * math.sqrt(max(0.0, 1.0 - up * up))
            else:
                along, ring = s * length, radius * math.sqrt(depth) if is_inside else radius
            cosine, sine = ring * math.cos(angle), ring * math.sin(angle)
            z = tube[0] + along * uz + cosine * vz + sine * wz
            y = tube[1] + along * uy + cosine * vy + sine * wy
            x = tube[2] + along * ux + cosine * vx + sine * wx
            _add_point(light, maps, z, y, x, emission[t], 2, share)


@njit(**JIT)  # type: ignore[untyped-decorator]
def _add_faces(
    light: Any, maps: Any, corners: Any, area: Any, starts: Any, emission: Any, density_per_um2: float
) -> None:
    for i in range(area.shape[0]):
        for j in range(area.shape[1]):
            n = max(1, math.ceil(area[i, j] * density_per_um2))
            share = area[i, j] / n
            for m in range(n):
                s = (starts[i, j, 0] + (m + 1) * _GOLDEN) % 1.0
                t = (starts[i, j, 1] + (m + 0.5) / n) % 1.0
                z = (1 - s) * ((1 - t) * corners[i, j, 0] + t * corners[i, j + 1, 0])
                z += s * ((1 - t) * corners[i + 1, j, 0] + t * corners[i + 1, j + 1, 0])
                y = (1 - s) * ((1 - t) * corners[i, j, 1] + t * corners[i, j + 1, 1])
                y += s * ((1 - t) * corners[i + 1, j, 1] + t * corners[i + 1, j + 1, 1])
                x = (1 - s) * ((1 - t) * corners[i, j, 2] + t * corners[i, j + 1, 2])
                x += s * ((1 - t) * corners[i + 1, j, 2] + t * corners[i + 1, j + 1, 2])
                _add_point(light, maps, z, y, x, emission, 0, share)
