"""Nuclei in a cell: none, one, two, lobed, a mitotic plate, or the fragments of an apoptotic one; and nucleoli in them.

A nucleus starts at its planned size and place, bends below the membrane and is drawn inwards until it fits. To add a
form, propose its bodies in :func:`build_nuclei`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tomocyte.simulation.cells import kernels
from tomocyte.simulation.cells.bodies import NUCLEOLUS_TABLE, NUCLEUS_TABLE, bumps, rotated_axes, spikes
from tomocyte.simulation.cells.plan import CellPlan
from tomocyte.simulation.cells.shapes import Float, StarBody, directions

_CLEARANCE = 1.04
_MAX_TRIES = 80
_N_MOVES = 24
_BELOW = 0.92
"""Share of the distance to the membrane that a nucleus may fill."""
_SMALLEST_UM = 0.35


def build_nuclei(plan: CellPlan, room: StarBody) -> list[StarBody]:
    """The nuclei inside ``room`` (the body below the plasma membrane), apart from each other."""
    rng = plan.stream("nucleus")
    if plan.n_nuclei == 0:
        return []
    if plan.kind == "mitotic":
        return _chromosomes(plan, rng, room)
    total = plan.nucleus_share * room.volume_um3
    if plan.kind == "apoptotic":
        shares = rng.dirichlet(np.full(int(rng.integers(2, 6)), 2.0)) * 0.45
        eccentricity = 0.7
    else:
        shares = np.full(plan.n_nuclei, 1.0 / plan.n_nuclei)
        eccentricity = plan.eccentricity if plan.n_nuclei == 1 else max(plan.eccentricity, 0.45)
    angle = rng.uniform(0, 2 * np.pi)
    nuclei: list[StarBody] = []
    for number, share in enumerate(shares):
        proposal = _propose(plan, rng, float(total * share))
        towards = angle + 2 * np.pi * number / len(shares) + rng.normal(0, 0.15)
        is_alone = len(shares) == 1
        placed = _settle(proposal, room, nuclei, towards=towards, eccentricity=eccentricity, is_alone=is_alone)
        if placed is not None:
            nuclei.append(placed)
    return nuclei


def build_nucleoli(plan: CellPlan, nucleus: StarBody, number: int) -> list[StarBody]:
    """Nucleoli of the ``number``-th nucleus, inside its membrane (``nucleus`` is the body below it)."""
    rng = np.random.default_rng(plan.stream("nucleolus").integers(2**63, size=number + 1)[number])
    grid = directions(*NUCLEOLUS_TABLE)
    nucleoli: list[StarBody] = []
    for _ in range(6):  # always six draws, so that a count that changes over time keeps the others
        radius = rng.uniform(*plan.line.nucleolus_um) * plan.nucleolus_scale
        semi_axes = radius * np.exp(rng.normal(0, 0.13, 3))
        radii = 1.0 + bumps(rng, grid, n=6, sharpness=(2.0, 5.0), amplitude=0.07)
        tries = rng.random((40, 4))
        if len(nucleoli) >= min(6, plan.n_nucleoli):
            break
        axes = rotated_axes(rng.uniform(0, 2 * np.pi), semi_axes)
        for draw in tries:
            towards = _towards(2 * np.pi * draw[0], 2.0 * draw[1] - 1.0)
            centre = _inside_point(nucleus, towards, 0.8 * np.cbrt(draw[2]))
            shrink = 1.0 - 0.4 * draw[3] * (draw is not tries[0])
            body = StarBody(centre, axes * shrink, np.ascontiguousarray(radii))
            if _is_free(body, nucleus, nucleoli):
                nucleoli.append(body)
                break
    return nucleoli


def _propose(plan: CellPlan, rng: np.random.Generator, volume_um3: float) -> StarBody:
    """A nucleus of the right volume at the origin."""
    grid = directions(*NUCLEUS_TABLE)
    radii = 1.0 + bumps(rng, grid, n=10, sharpness=(1.5, 6.0), amplitude=0.025 * plan.roughness)
    if plan.is_lobed and plan.kind != "apoptotic":
        radii -= spikes(rng, grid, n=int(rng.integers(1, 4)), sharpness=(5.0, 12.0), height=0.55)
    semi_axes = np.exp(rng.normal(0, 0.07, 3))
    if plan.kind in ("adherent", "fibroblast"):
        semi_axes *= np.array([0.75, 1.0, rng.uniform(1.0, 1.35)])
    turn = plan.angle if plan.kind == "fibroblast" else rng.uniform(0, 2 * np.pi)
    unit = StarBody(np.zeros(3), rotated_axes(turn, semi_axes), np.ascontiguousarray(np.maximum(radii, 0.35)))
    return replace(unit, axes_um=unit.axes_um * float(np.cbrt(volume_um3 / unit.volume_um3)))


def _settle(
    nucleus: StarBody, room: StarBody, others: list[StarBody], *, towards: float, eccentricity: float, is_alone: bool
) -> StarBody | None:
    """The nucleus off the centre, bent to the room there; drawn inwards, and only then shrunk, until it fits."""
    direction = np.array([0.0, np.sin(towards), np.cos(towards)])
    reach = _free_distance(room, direction)
    wide = float(np.abs(nucleus.nodes_um[..., 1:]).max())
    size = 1.0
    away = eccentricity * max(reach - wide, 0.35 * reach * (eccentricity > 0.6))
    if not is_alone:
        away = min(max(away, 1.15 * wide), 0.7 * reach)
    for attempt in range(_MAX_TRIES):
        centre, half = _middle(room, room.centre_um + away * direction)
        if half > 0:
            body = _pressed(replace(nucleus, centre_um=centre, axes_um=size * nucleus.axes_um), room)
            if _is_free(body, room, others):
                return body
        away *= 0.95 if is_alone else 0.99
        if attempt > _N_MOVES or not is_alone:
            size *= 0.95
        if size * np.cbrt(nucleus.volume_um3) < _SMALLEST_UM:
            return None
    return None


def _pressed(nucleus: StarBody, room: StarBody) -> StarBody:
    """The nucleus bent to stay below the membrane, and grown sideways to keep most of its volume."""
    volume_um3 = nucleus.volume_um3
    free = nucleus.radii
    body = nucleus
    for _ in range(4):
        ends = nucleus.centre_um + 2.0 * (body.nodes_um.reshape(-1, 3) - nucleus.centre_um)
        share = kernels.free_shares(nucleus.centre_um, ends, room.frame, room.radii).reshape(free.shape)
        press = (1.0 + (1.0 / np.maximum(2.0 * _BELOW * share, 1e-3)) ** 8) ** -0.125
        radii = body.radii * press
        radii[0], radii[-1] = radii[0].mean(), radii[-1].mean()
        pressed = replace(body, radii=np.ascontiguousarray(radii))
        lost = volume_um3 / pressed.volume_um3
        if lost < 1.03:
            return pressed
        body = replace(body, axes_um=np.diag([1.0, *([min(np.sqrt(lost), 1.2)] * 2)]) @ body.axes_um)
    return pressed


def _chromosomes(plan: CellPlan, rng: np.random.Generator, room: StarBody) -> list[StarBody]:
    """A metaphase plate, or two sets that have moved apart along the cell's axis."""
    radius = float(np.cbrt(3 * room.volume_um3 / (4 * np.pi)))
    grid = directions(*NUCLEUS_TABLE)
    apart = 0.0 if plan.stage < 0.4 else (plan.stage - 0.2) * radius
    along = np.array([0.0, np.sin(plan.angle), np.cos(plan.angle)])
    nuclei: list[StarBody] = []
    for side in (-1.0, 1.0) if apart else (0.0,):
        semi_axes = np.array([0.55, 0.55, 0.16 if not apart else 0.13]) * radius * np.exp(rng.normal(0, 0.06, 3))
        radii = 1.0 + bumps(rng, grid, n=24, sharpness=(5.0, 20.0), amplitude=0.06)
        centre, _ = _middle(room, room.centre_um + side * apart * along)
        for _ in range(_MAX_TRIES):
            body = StarBody(centre, rotated_axes(plan.angle, semi_axes), np.ascontiguousarray(radii))
            if _is_free(body, room, nuclei):
                nuclei.append(body)
                break
            semi_axes = semi_axes * 0.95
            centre = centre + 0.03 * (room.centre_um - centre)
    return nuclei


def _is_free(body: StarBody, room: StarBody, others: list[StarBody]) -> bool:
    """Whether a slightly larger body lies inside ``room`` and apart from the ``others``."""
    nodes = body.nodes_um.reshape(-1, 3)
    enlarged = body.centre_um + _CLEARANCE * (nodes - body.centre_um)
    if room.levels(enlarged).max() >= 1.0:
        return False
    for other in others:
        theirs = other.centre_um + _CLEARANCE * (other.nodes_um.reshape(-1, 3) - other.centre_um)
        if other.levels(enlarged).min() <= 1.0 or body.levels(theirs).min() <= 1.0:
            return False
    return True


def _towards(angle: float, up: float) -> Float:
    ring = np.sqrt(max(0.0, 1.0 - up * up))
    return np.array([up, ring * np.sin(angle), ring * np.cos(angle)])


def _inside_point(room: StarBody, towards: Float, depth: float) -> Float:
    """The point at ``depth`` (0 centre, 1 surface) in a direction of the body's own frame."""
    end = room.centre_um + room.axes_um @ towards
    point: Float = room.centre_um + (depth / float(room.levels(end[None])[0])) * (room.axes_um @ towards)
    return point


def _free_distance(room: StarBody, direction: Float) -> float:
    """Distance in µm from the centre to the surface along a direction in space."""
    return 1.0 / float(room.levels((room.centre_um + direction)[None])[0])


def _middle(room: StarBody, point: Float) -> tuple[Float, float]:
    """The point moved to the middle of the room's height there, and half of that height (0 outside)."""
    bounds = room.bounds_um[:, 0]
    z = np.linspace(bounds[0], bounds[1], 97)
    column = np.column_stack([z, np.full_like(z, point[1]), np.full_like(z, point[2])])
    inside = z[room.levels(column) < 1.0]
    if len(inside) == 0:
        return point, 0.0
    return np.array([0.5 * (inside[0] + inside[-1]), point[1], point[2]]), 0.5 * float(inside[-1] - inside[0])
