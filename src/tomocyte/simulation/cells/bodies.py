"""The outer shape of a cell, one builder per kind, and what happens where two bodies meet.

Every builder returns a :class:`StarBody` of the planned volume, standing on z = 0 at y = x = 0; ``field`` moves it.
To add a kind, write a builder and name it in :func:`build_body`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tomocyte.simulation.cells import kernels
from tomocyte.simulation.cells.plan import CellPlan
from tomocyte.simulation.cells.shapes import Float, StarBody, directions

BODY_TABLE = (96, 192)
NUCLEUS_TABLE = (48, 96)
NUCLEOLUS_TABLE = (24, 48)
_GAP_UM = 0.06


def build_body(plan: CellPlan) -> StarBody:
    """The free body of a plan, at y = x = 0, resting on z = 0."""
    rng = plan.stream("body")
    if plan.kind in ("suspended", "mitotic", "apoptotic"):
        return _round_body(plan, rng)
    return _floor_body(plan, rng)


def bumps(rng: np.random.Generator, grid: Float, *, n: int, sharpness: tuple[float, float], amplitude: float) -> Float:
    """A smooth random field on directions: ``n`` round bumps of either sign, standard deviation about ``amplitude``."""
    field = np.zeros(grid.shape[:-1])
    for towards, kappa, weight in zip(
        _random_directions(rng, n), rng.uniform(*sharpness, n), rng.normal(size=n), strict=True
    ):
        field += weight * np.exp(kappa * (grid @ towards - 1.0))
    return amplitude * field / max(float(np.std(field)), 1e-9)


def spikes(rng: np.random.Generator, grid: Float, *, n: int, sharpness: tuple[float, float], height: float) -> Float:
    """``n`` outward bumps of up to ``height``."""
    field = np.zeros(grid.shape[:-1])
    for towards, kappa, weight in zip(
        _random_directions(rng, n), rng.uniform(*sharpness, n), rng.uniform(0.3, 1.0, n), strict=True
    ):
        field += weight * height * np.exp(kappa * (grid @ towards - 1.0))
    return field


def rotated_axes(angle: float, semi_axes_um: Float) -> Float:
    """Axes (3, 3) of a frame rotated by ``angle`` about z, with columns of the lengths given (z, y, x)."""
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])
    axes: Float = turn * np.asarray(semi_axes_um)[None]
    return axes


def cut_by(body: StarBody, free: StarBody, others: list[StarBody], *, gap_um: float = _GAP_UM) -> StarBody:
    """The body pressed against its neighbours: it ends where a neighbour's free level is as low as its own.

    The border between two cells is the surface of equal level, so it bends with both membranes; ``gap_um`` stay open
    on either side.
    """
    nodes = free.nodes_um.reshape(-1, 3)
    share = np.ones(len(nodes))
    reach = _lateral_reach(free)
    for other in others:
        if np.any(other.bounds_um[0] > free.bounds_um[1]) or np.any(other.bounds_um[1] < free.bounds_um[0]):
            continue
        frames = np.stack([free.frame, other.frame])
        gap = gap_um / reach + gap_um / _lateral_reach(other)
        share = kernels.cut_radii(share, nodes, frames, other.radii, gap)
    if np.all(share == 1.0):
        return body
    return replace(body, radii=np.ascontiguousarray(free.radii * share.reshape(free.radii.shape)))


def lateral_radius_um(body: StarBody) -> float:
    """Radius of the disc with the area of the body's footprint."""
    away = np.linalg.norm((body.nodes_um - body.centre_um)[..., 1:], axis=-1).max(axis=0)
    return float(np.sqrt(np.mean(away**2)))


def _lateral_reach(body: StarBody) -> float:
    return float(np.abs(np.linalg.det(body.axes_um)) ** (1 / 3))


def _random_directions(rng: np.random.Generator, n: int) -> Float:
    vectors = rng.normal(size=(n, 3))
    unit: Float = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _round_body(plan: CellPlan, rng: np.random.Generator) -> StarBody:
    """Suspended and mitotic cells (nearly spheres) and the blebbing remainder of an apoptotic one."""
    grid = directions(*BODY_TABLE)
    radii = 1.0 + bumps(rng, grid, n=14, sharpness=(2.0, 12.0), amplitude=0.02 * plan.roughness)
    aspect = 1.0 + 0.07 * plan.roughness * rng.uniform(-1, 1, 3)
    volume = plan.volume_um3
    if plan.kind == "mitotic":
        aspect = 1.0 + 0.5 * (aspect - 1.0)
        aspect[2] *= 1.0 + 0.25 * plan.stage  # a late mitosis is longer along its axis
        if plan.is_detailed:
            radii -= _furrow(grid, plan.stage)
    if plan.kind == "apoptotic":
        radii += spikes(rng, grid, n=12, sharpness=(10.0, 40.0), height=0.25 + 0.2 * plan.stage)
        volume *= 0.7 - 0.25 * plan.stage
    else:
        radii += spikes(rng, grid, n=10, sharpness=(15.0, 60.0), height=0.03 * plan.roughness)
    unit = StarBody(np.zeros(3), rotated_axes(plan.angle, aspect), np.ascontiguousarray(radii))
    size = float(np.cbrt(volume / unit.volume_um3))
    body = StarBody(np.zeros(3), unit.axes_um * size, unit.radii)
    return replace(body, centre_um=np.array([-float(body.bounds_um[0, 0]), 0.0, 0.0]))


def _furrow(grid: Float, stage: float) -> Float:
    """Depth of the cleavage furrow around the axis of division (x), which deepens after the sets have parted."""
    depth = 0.45 * float(np.clip((stage - 0.6) / 0.4, 0.0, 1.0))
    furrow: Float = depth * np.exp(-((grid[..., 2] / 0.3) ** 2))
    return furrow


def _floor_body(plan: CellPlan, rng: np.random.Generator) -> StarBody:
    """Cells that sit on z = 0: a footprint times a height profile, from a dome to a fried egg."""
    grid = directions(*BODY_TABLE)
    phi = np.linspace(0.0, 2 * np.pi, BODY_TABLE[1], endpoint=False)
    footprint, aspect = _footprint(plan, rng, phi)
    rim = float(np.clip(1.1 / plan.height_um, 0.1, 0.35))
    base = rim * (0.4 + 0.5 * (1.0 - plan.spread))
    radii = _profile_radii(grid, footprint, (rim, base, plan.spread))
    is_bottom = (radii * grid[..., 0]) < -0.98 * base
    uneven = bumps(rng, grid, n=16, sharpness=(3.0, 14.0), amplitude=0.025 * plan.roughness)
    if plan.line.n_spikes:
        uneven += spikes(rng, grid, n=plan.line.n_spikes, sharpness=(20.0, 90.0), height=0.16 * plan.roughness)
    radii = radii * np.where(is_bottom, 1.0, np.maximum(1.0 + uneven, 0.6))
    depth = np.maximum(-grid[..., 0], 1e-9)
    radii = np.where(grid[..., 0] < 0, np.minimum(radii, base / depth), radii)  # nothing below the floor
    unit = StarBody(np.zeros(3), rotated_axes(plan.angle, np.array([1.0, *aspect])), np.ascontiguousarray(radii))
    height = plan.height_um
    wide = float(np.sqrt(plan.volume_um3 / (unit.volume_um3 * height)))
    axes = unit.axes_um * wide
    axes[0, 0] = height
    return StarBody(np.array([base * height, 0.0, 0.0]), axes, unit.radii)


def _footprint(plan: CellPlan, rng: np.random.Generator, phi: Float) -> tuple[Float, tuple[float, float]]:
    """Outline R(φ) around 1 and the aspect (y, x) of the frame."""
    order = np.arange(1, 7)[:, None]
    lobing = {"macrophage": 0.10, "adherent": 0.20, "fibroblast": 0.14}[plan.kind] * plan.roughness
    amplitude = lobing * rng.normal(size=(6, 1)) / order**0.8
    outline = 1.0 + (amplitude * np.cos(order * phi[None] - rng.uniform(0, 2 * np.pi, (6, 1)))).sum(axis=0)
    aspect = (1.0, float(rng.uniform(1.0, 1.35)))
    if plan.kind == "fibroblast":
        ends = np.array([0.0, np.pi + rng.uniform(-0.5, 0.5), rng.uniform(0.8, 2.4)])
        lengths = np.array([1.3, rng.uniform(0.8, 1.3), rng.choice([0.0, 0.7])])
        arms = lengths[:, None] * np.exp(rng.uniform(9, 22, (3, 1)) * (np.cos(phi[None] - ends[:, None]) - 1.0))
        outline = 0.65 * outline + arms.sum(axis=0)
        aspect = (1.0, float(rng.uniform(1.1, 1.5)))
    return np.maximum(outline, 0.4), aspect


def _profile_radii(grid: Float, footprint: Float, profile: tuple[float, float, float]) -> Float:
    """Distance along each ray of ``grid`` to the surface of footprint × height, by bisection.

    ``profile`` is the height of the rim, the height of the centre (both over the cell's height) and the spread.
    """
    rim, base, spread = profile
    up = grid[..., 0]
    out = np.linalg.norm(grid[..., 1:], axis=-1) / footprint[None]
    low = np.zeros_like(up)
    high = np.full_like(up, 4.0)
    for _ in range(30):
        middle = 0.5 * (low + high)
        rho2 = np.minimum((middle * out) ** 2, 1.0)
        dome = (1.0 - spread) * np.sqrt(1.0 - rho2) + spread * np.exp(-((rho2 / 0.35) ** 1.4)) * (1.0 - rho2)
        height = (rim + (1.0 - rim) * dome) * np.sqrt(1.0 - rho2**4)
        z = base + middle * up
        is_inside = (middle * out < 1.0) & (z < height) & (z > 0.0)
        low = np.where(is_inside, middle, low)
        high = np.where(is_inside, high, middle)
    return low
