"""Bodies whose size is known from a formula, as masks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def grid(extent_um: tuple[float, float, float], voxel: tuple[float, float, float], rng: np.random.Generator) -> list:
    """Voxel centres z, y, x in µm around the origin, moved by a random part of a voxel."""
    counts = [math.ceil(reach / side) + 2 for reach, side in zip(extent_um, voxel, strict=True)]
    shifts = rng.uniform(-0.5, 0.5, 3)
    sides = [(np.arange(-n, n + 1) + move) * side for n, move, side in zip(counts, shifts, voxel, strict=True)]
    return np.meshgrid(*sides, indexing="ij", sparse=True)


def ellipsoid(
    semi_axes_um: tuple[float, float, float], voxel: tuple[float, float, float], rng: np.random.Generator
) -> Mask:
    """A solid ellipsoid, randomly turned and placed."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.random(random_state=int(rng.integers(1 << 30))).as_matrix()
    reach = np.sqrt((turn**2) @ np.square(semi_axes_um))
    z, y, x = grid(tuple(reach), voxel, rng)
    form = turn @ np.diag(1 / np.square(semi_axes_um)) @ turn.T
    square = form[0, 0] * z * z + form[1, 1] * y * y + form[2, 2] * x * x
    return square + 2 * (form[0, 1] * z * y + form[0, 2] * z * x + form[1, 2] * y * x) <= 1


def ball(radius_um: float, voxel: tuple[float, float, float], rng: np.random.Generator) -> Mask:
    z, y, x = grid((radius_um,) * 3, voxel, rng)
    return z * z + y * y + x * x <= radius_um**2


def torus(ring_um: float, tube_um: float, voxel: tuple[float, float, float], rng: np.random.Generator) -> Mask:
    z, y, x = grid((tube_um, ring_um + tube_um, ring_um + tube_um), voxel, rng)
    return (np.hypot(y, x) - ring_um) ** 2 + z * z <= tube_um**2


def disc(radius_um: float, sides_um: tuple[float, float], rng: np.random.Generator) -> Mask:
    """A disc in one plane, (1, y, x)."""
    counts = [math.ceil(radius_um / side) + 2 for side in sides_um]
    y, x = ((np.arange(-n, n + 1) + rng.uniform(-0.5, 0.5)) * side for n, side in zip(counts, sides_um, strict=True))
    return (y[:, None] ** 2 + x[None, :] ** 2 <= radius_um**2)[None]


def _turned(reach_um: tuple[float, float, float], voxel: tuple[float, float, float], rng: np.random.Generator) -> list:
    """Coordinates along three random perpendicular axes, on a grid that holds what reaches that far along them."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.random(random_state=int(rng.integers(1 << 30))).as_matrix()
    z, y, x = grid(tuple(np.abs(turn) @ np.array(reach_um)), voxel, rng)
    return [turn[0, axis] * z + turn[1, axis] * y + turn[2, axis] * x for axis in range(3)]


def box(sides_um: tuple[float, float, float], voxel: tuple[float, float, float], rng: np.random.Generator) -> Mask:
    """A solid box, randomly turned and placed."""
    half = tuple(side / 2 for side in sides_um)
    a, b, c = _turned(half, voxel, rng)
    return (np.abs(a) <= half[0]) & (np.abs(b) <= half[1]) & (np.abs(c) <= half[2])


def filament(radius_um: float, length_um: float, voxel: tuple[float, float, float], rng: np.random.Generator) -> Mask:
    """A straight tube with round ends, whose axis is so long, randomly turned and placed."""
    a, b, c = _turned((radius_um, radius_um, radius_um + length_um / 2), voxel, rng)
    return a * a + b * b + np.maximum(np.abs(c) - length_um / 2, 0) ** 2 <= radius_um**2
