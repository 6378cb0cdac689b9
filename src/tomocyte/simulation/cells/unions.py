"""Points inside and on one capsule of a union, less what the other capsules take away; compiled.

Only what joints cut off is counted by points, so a capsule that stands alone keeps its exact volume and area.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tomocyte.simulation.cells import kernels
from tomocyte.simulation.cells.kernels import JIT
from tomocyte.simulation.cells.shapes import ball_directions, capsule_frame, unit_ball, unit_shaft

Float = NDArray[np.float64]


def interior_outside(tube: Float, others: Float, n: int) -> tuple[Float, Float]:
    """About ``n`` points (·, 3) inside a capsule (7,) and outside ``others`` (k, 7), and the µm³ each stands for."""
    *vectors, length = capsule_frame(tube)
    radius = float(tube[6])
    tall, ball = np.pi * radius**2 * length, 4 / 3 * np.pi * radius**3
    n_ball = max(int(n * ball / (tall + ball)), 8)
    n_tall = max(n - n_ball, 8) if length > 0 else 0
    points, n_ends = _clipped(tube, np.stack(vectors), length, unit_ball()[:n_ball], unit_shaft(3)[:n_tall], others)
    return points, _weights(len(points), n_ends, ball / n_ball, tall / max(n_tall, 1))


def surface_outside(tube: Float, others: Float, n: int) -> tuple[Float, Float]:
    """About ``n`` points (·, 3) on a capsule (7,) and outside ``others`` (k, 7), and the µm² each stands for."""
    *vectors, length = capsule_frame(tube)
    radius = float(tube[6])
    tall, ball = 2 * np.pi * radius * length, 4 * np.pi * radius**2
    n_ball = max(int(n * ball / (tall + ball)), 8)
    n_tall = max(n - n_ball, 8) if length > 0 else 0
    points, n_ends = _clipped(tube, np.stack(vectors), length, ball_directions(n_ball), unit_shaft(2)[:n_tall], others)
    return points, _weights(len(points), n_ends, ball / n_ball, tall / max(n_tall, 1))


def _weights(n_points: int, n_ball: int, ball: float, tall: float) -> Float:
    weights = np.full(n_points, tall)
    weights[:n_ball] = ball
    return weights


@njit(**JIT)  # type: ignore[untyped-decorator]
def _clipped(tube: Any, frame: Any, length: float, ball: Any, shaft: Any, others: Any) -> Any:
    """The points that lie in none of ``others``, and how many of them are on the ends."""
    out = np.empty((ball.shape[0] + shaft.shape[0], 3))
    radius = tube[6]
    n = 0
    for i in range(ball.shape[0]):
        end = 3 if ball[i, 0] > 0.0 else 0
        for k in range(3):
            turned = ball[i, 0] * frame[0, k] + ball[i, 1] * frame[1, k] + ball[i, 2] * frame[2, k]
            out[n, k] = tube[end + k] + radius * turned
        n += _is_free(others, out[n, 0], out[n, 1], out[n, 2])
    n_ball = n
    for i in range(shaft.shape[0]):
        for k in range(3):
            ring = shaft[i, 1] * frame[1, k] + shaft[i, 2] * frame[2, k]
            out[n, k] = tube[k] + shaft[i, 0] * length * frame[0, k] + radius * ring
        n += _is_free(others, out[n, 0], out[n, 1], out[n, 2])
    return out[:n].copy(), n_ball


@njit(**JIT)  # type: ignore[untyped-decorator]
def _is_free(tubes: Any, z: float, y: float, x: float) -> int:
    for k in range(tubes.shape[0]):
        if kernels.distance_to_capsule(tubes[k], z, y, x) <= 0.0:
            return 0
    return 1
