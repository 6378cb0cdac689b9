"""Fields of suspended cells in a glass capillary, with beads and the remains of dead cells.

Cells float anywhere, touch each other, lie against the glass and reach over the ends of the field. To add something
that floats among them, place it in :func:`simulate_suspension` and give it a name in ``scene.SURROUNDINGS``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tomocyte.errors import SettingsError
from tomocyte.simulation.cells.assembly import build_cell, renumbered
from tomocyte.simulation.cells.bodies import BODY_TABLE, build_body, bumps, cut_by, spikes
from tomocyte.simulation.cells.capillary import Capillary, draw_capillary
from tomocyte.simulation.cells.composition import texture_tile
from tomocyte.simulation.cells.plan import CellPlan, draw_plan
from tomocyte.simulation.cells.presets import CellLine
from tomocyte.simulation.cells.protrusions import protrusions
from tomocyte.simulation.cells.scene import Cell, Part, Scene, Vector
from tomocyte.simulation.cells.settings import CapillarySettings, SceneSettings
from tomocyte.simulation.cells.shapes import Float, StarBody, directions, sphere

_TRIES = 400
_CLOSEST = 0.75
_GAP_UM = 0.02
_FILLED = 0.95
"""Share of the lumen's radius that a cell too wide for it is drawn in to."""
BEAD_RI = 1.596
"""Polystyrene at 532 nm."""
_DEBRIS_TABLE = (24, 48)


def simulate_suspension(
    line: CellLine, n_cells: int, *, extent_um: Vector, settings: SceneSettings, rng: np.random.Generator
) -> Scene:
    """One field of suspended cells of a line; ``settings`` are already shifted and have a capillary.

    Raises
    ------
    SettingsError
        ``E-SIM-FIT`` for cells that do not fit the capillary.
    """
    ranges = settings.capillary or CapillarySettings()
    medium_ri = float(rng.uniform(*settings.medium_ri))
    capillary = draw_capillary(ranges, extent_um, rng)
    plans = [
        _suspended(draw_plan(line, settings, seed=int(seed), medium_ri=medium_ri, track_id=number), ranges)
        for number, seed in enumerate(rng.integers(2**63, size=n_cells), start=1)
    ]
    bodies = place_suspended(plans, capillary, settings=settings, rng=rng)
    beads = _beads(bodies, capillary, ranges, rng)
    debris = _debris([*bodies, *beads], capillary, settings=settings, rng=rng)
    cells: list[Cell] = []
    for label, (plan, body) in enumerate(zip(plans, bodies, strict=True), start=1):
        others = [other for other in [*bodies, *beads] if other is not body]
        cells.append(_filled(plan, body, others, capillary, ranges, label=label))
    return Scene(
        cells=renumbered(cells),
        medium_ri=medium_ri,
        extent_um=extent_um,
        texture=texture_tile(np.random.default_rng(int(rng.integers(2**63)))),
        preset=line.name,
        surroundings=(
            *(_part("debris", n, piece, medium_ri + rng.uniform(0.01, 0.05)) for n, piece in enumerate(debris, 1)),
            *(_part("bead", n, sphere(b.centre_um, b.axes_um[0, 0]), BEAD_RI) for n, b in enumerate(beads, 1)),
        ),
        capillary=replace(capillary, outside_ri=medium_ri),
    )


def _suspended(plan: CellPlan, ranges: CapillarySettings) -> CellPlan:
    """The plan of a cell off the ground: round, whatever its shape on a coverslip; filopodia come later."""
    kind = plan.kind if plan.kind in ("mitotic", "apoptotic") else "suspended"
    is_lobed = plan.is_lobed or bool(plan.stream("orientation").random() < ranges.indented_share)
    radius = float(np.cbrt(3 * plan.volume_um3 / (4 * np.pi)))
    below_skin = (1.0 - plan.membranes_um[0] / radius) ** 3  # a nucleus is sized by the room there
    return replace(
        plan, kind=kind, is_lobed=is_lobed, n_filopodia=0, nucleus_share=min(plan.nucleus_share / below_skin, 0.7)
    )


def _floating_body(plan: CellPlan, ranges: CapillarySettings) -> StarBody:
    """The free body of a suspended cell around the origin: stretched, folded and bulging, of the planned volume."""
    body = build_body(plan)
    rng = plan.stream("surface")
    grid = directions(*BODY_TABLE)
    folds = bumps(rng, grid, n=90, sharpness=(25.0, 90.0), amplitude=rng.uniform(*ranges.ruffles))
    n_blebs = int(rng.integers(ranges.n_blebs[0], ranges.n_blebs[1] + 1))
    blebs = spikes(rng, grid, n=n_blebs, sharpness=(6.0, 40.0), height=rng.uniform(0.05, 0.22))
    radii = np.maximum(body.radii + folds + blebs, 0.5)
    length = rng.uniform(*ranges.elongation)
    turn = _random_turn(rng)
    stretch = turn @ np.diag([length ** (2 / 3), length ** (-1 / 3), length ** (-1 / 3)]) @ turn.T
    free = StarBody(np.zeros(3), np.ascontiguousarray(stretch @ body.axes_um), np.ascontiguousarray(radii))
    size = float(np.cbrt(body.volume_um3 / free.volume_um3))
    return _turned(replace(free, axes_um=free.axes_um * size), _random_turn(plan.stream("orientation")))


def _part(structure: str, label: int, shape: StarBody | Float, ri: float) -> Part:
    return Part(structure, label, 0, 0, shape, float(ri))


def place_suspended(
    plans: list[CellPlan], capillary: Capillary, *, settings: SceneSettings, rng: np.random.Generator
) -> list[StarBody]:
    """Bodies anywhere in the capillary, turned at random, pressed against each other and the glass.

    A single cell that is wider than the lumen is drawn out along it.
    """
    ranges = settings.capillary or CapillarySettings()
    free = [_floating_body(plan, ranges) for plan in plans]
    radii = np.array([np.cbrt(3 * body.volume_um3 / (4 * np.pi)) for body in free])
    crowding = float(rng.uniform(*settings.crowding))
    overhang = float(rng.uniform(*ranges.end_overhang))
    distance = float(np.interp(crowding, [0.0, 0.5, 1.0], [1.12, 0.97, 0.86]))
    while distance >= _CLOSEST:
        for _ in range(6):
            places = _throw(radii, capillary, (distance, crowding, overhang), ranges=ranges, rng=rng)
            if places is not None:
                return _pressed(free, places, capillary)
        distance *= 0.95
    if len(free) == 1:
        fitted = _drawn_in(free[0], capillary)
        wide = np.array([_lateral_um(fitted)])
        places = _throw(wide, capillary, (1.0, crowding, overhang), ranges=ranges, rng=rng)
        if places is not None:
            return _pressed([fitted], places, capillary)
    widest, inner = 2 * float(radii.max()), 2 * capillary.radius_um(capillary.height_um / 2)
    raise SettingsError(
        "E-SIM-FIT",
        f"{len(plans)} cells up to {widest:.1f} µm wide do not fit a capillary {inner:.1f} µm wide and "
        f"{capillary.height_um:.1f} µm of its length.",
        cure="Ask for fewer cells, a wider capillary (scene.capillary.inner_radius_um) or a higher field.",
    )


def _pressed(free: list[StarBody], places: list[Float], capillary: Capillary) -> list[StarBody]:
    """The bodies at their places, cut where they meet each other or the glass."""
    put = [replace(body, centre_um=place) for body, place in zip(free, places, strict=True)]
    pressed = [cut_by(body, body, [other for other in put if other is not body], gap_um=_GAP_UM) for body in put]
    return [capillary.cut(body) for body in pressed]


def _drawn_in(body: StarBody, capillary: Capillary) -> StarBody:
    """A body wider than the lumen, drawn out along z as it was when it was sucked in; others stay as they are."""
    room = _FILLED * capillary.radius_um(0.5 * capillary.height_um)
    wide = _lateral_um(body)
    if wide <= room:
        return body
    share = room / wide
    return replace(body, axes_um=np.ascontiguousarray(np.diag([share**-2, share, share]) @ body.axes_um))


def _lateral_um(body: StarBody) -> float:
    """Radius of the smallest cylinder along z about the body's centre that holds it."""
    return float(np.linalg.norm((body.nodes_um - body.centre_um)[..., 1:], axis=-1).max())


def _throw(
    radii: Float,
    capillary: Capillary,
    packing: tuple[float, float, float],
    *,
    ranges: CapillarySettings,
    rng: np.random.Generator,
) -> list[Float] | None:
    """Places of the cells' centres, or ``None`` when luck fails; ``packing`` is distance, crowding and overhang."""
    distance, crowding, overhang = packing
    places: list[Float] = []
    for radius in radii:
        inset = min(radius * (1.0 - overhang), 0.5 * capillary.height_um)
        press = radius * rng.uniform(*ranges.glass_press)
        is_at_glass = rng.random() < ranges.glass_share
        is_neighbour = bool(places) and rng.random() < crowding
        for attempt in range(_TRIES):
            if is_neighbour and attempt < 0.8 * _TRIES:
                near = int(rng.integers(len(places)))
                step = rng.uniform(1.0, 1.06) * distance * (radius + radii[near])
                point = places[near] + step * _random_unit(rng)
            else:
                z = rng.uniform(inset, capillary.height_um - inset)
                room = capillary.radius_um(z) - radius
                away = room + press if is_at_glass else np.sqrt(rng.random()) * max(room - _GAP_UM, 0.0)
                angle = rng.uniform(0, 2 * np.pi)
                lateral = capillary.centre_um(z) + max(away, 0.0) * np.array([np.sin(angle), np.cos(angle)])
                point = np.array([z, *lateral])
            if not inset <= point[0] <= capillary.height_um - inset:
                continue
            if float(capillary.depth_um(point[None])[0]) < radius - (press if is_at_glass or is_neighbour else 0.0):
                continue
            gaps = [np.linalg.norm(point - place) for place in places]
            if all(gap >= distance * (radius + other) for gap, other in zip(gaps, radii, strict=False)):
                places.append(point)
                break
        else:
            return None
    return places


def _filled(
    plan: CellPlan,
    body: StarBody,
    others: list[StarBody],
    capillary: Capillary,
    ranges: CapillarySettings,
    *,
    label: int,
) -> Cell:
    """The whole cell: built upright, turned to how it floats, then given its protrusions."""
    turn = _random_turn(plan.stream("orientation"))
    centre = body.centre_um
    upright = _turned(body, turn.T, about=centre)
    cell = build_cell(plan, upright, [_turned(other, turn.T, about=centre) for other in others], label=label)
    parts = [replace(part, shape=_turned_shape(part.shape, turn, about=centre)) for part in cell.parts]
    bodies = [body, *(_turned(piece, turn, about=centre) for piece in cell.bodies[1:])]
    inside = [piece for piece in bodies if capillary.depth_um(piece.nodes_um.reshape(-1, 3)).min() > -1e-6]
    lost = [piece for piece in bodies[1:] if all(piece is not other for other in inside)]
    bodies = [piece for piece in bodies if all(piece is not other for other in lost)]
    parts = [part for part in parts if not _is_one_of(part, lost)]  # dying cells' pieces that would lie in the glass
    ri, sigma = plan.composition.of("filopodium")
    tubes = protrusions(plan, body, [*others, *bodies[1:]], capillary, ranges)
    thin = [Part("filopodium", n, label, 0, tube, ri, sigma) for n, tube in enumerate(tubes, start=1)]
    return replace(cell, bodies=tuple(bodies), parts=(*thin, *parts))


def _is_one_of(part: Part, pieces: list[StarBody]) -> bool:
    return isinstance(part.shape, StarBody) and any(part.shape.radii is piece.radii for piece in pieces)


def _random_unit(rng: np.random.Generator) -> Float:
    vector = rng.normal(size=3)
    unit: Float = vector / np.linalg.norm(vector)
    return unit


def _random_turn(rng: np.random.Generator) -> Float:
    """A rotation (3, 3), all equally likely."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    if np.linalg.det(q) < 0:
        q[:, 0] = -q[:, 0]
    return np.ascontiguousarray(q)


def _turned(body: StarBody, turn: Float, *, about: Float | None = None) -> StarBody:
    """The body turned about a point, or about its own centre."""
    pivot = body.centre_um if about is None else about
    centre = pivot + turn @ (body.centre_um - pivot)
    return StarBody(centre, np.ascontiguousarray(turn @ body.axes_um), body.radii)


def _turned_shape(shape: StarBody | Float, turn: Float, *, about: Float) -> StarBody | Float:
    if isinstance(shape, StarBody):
        return _turned(shape, turn, about=about)
    ends = [about + (shape[:, part] - about) @ turn.T for part in (slice(0, 3), slice(3, 6))]
    return np.ascontiguousarray(np.column_stack([*ends, shape[:, 6]]))


def _beads(
    bodies: list[StarBody], capillary: Capillary, ranges: CapillarySettings, rng: np.random.Generator
) -> list[StarBody]:
    """Beads that overlap nothing; those that should touch a cell are moved along a ray until they do."""
    size = float(rng.uniform(*ranges.bead_radius_um))
    beads: list[StarBody] = []
    for _ in range(int(rng.integers(ranges.n_beads[0], ranges.n_beads[1] + 1))):
        radius = size * (1.0 + 0.02 * rng.normal())
        unit = StarBody(np.zeros(3), np.eye(3) * radius, np.ones((_DEBRIS_TABLE[0] + 1, _DEBRIS_TABLE[1])))
        if ranges.bead_contact_share == 1.0 and len(beads) % 2:
            facing = _facing(unit, beads[-1], bodies, capillary, rng)
            if facing is not None:
                beads.append(facing)
                continue
        placed = _afloat(unit, [*bodies, *beads], capillary, rng, touched=bodies, share=ranges.bead_contact_share)
        if placed is not None:
            beads.append(placed)
    return beads


def _facing(
    shape: StarBody, bead: StarBody, bodies: list[StarBody], capillary: Capillary, rng: np.random.Generator
) -> StarBody | None:
    """A second bead against the same cell, about opposite to the first."""
    gaps = [float(body.levels(bead.nodes_um.reshape(-1, 3)).min()) for body in bodies]
    host = bodies[int(np.argmin(gaps))]
    away = host.centre_um - bead.centre_um
    for attempt in range(40):
        towards = away / np.linalg.norm(away) + 0.02 * attempt * rng.normal(size=3)
        body = replace(shape, centre_um=_against(shape, host, towards / np.linalg.norm(towards)))
        if capillary.depth_um(body.nodes_um.reshape(-1, 3)).min() < 0:
            continue
        if all(_is_apart(body, other) for other in (bead, *bodies)):
            return body
    return None


def _debris(
    bodies: list[StarBody], capillary: Capillary, *, settings: SceneSettings, rng: np.random.Generator
) -> list[StarBody]:
    """Pieces of dead cells, most of them small; some lie together, some against a cell."""
    ranges = settings.capillary or CapillarySettings()
    grid = directions(*_DEBRIS_TABLE)
    pieces: list[StarBody] = []
    low, high = np.log(ranges.debris_radius_um)
    for _ in range(min(round(rng.uniform(*settings.n_debris)), 1000)):
        radius = float(np.exp(low + (high - low) * rng.beta(1.2, 1.6)))
        radii = 1.0 + bumps(rng, grid, n=8, sharpness=(2.0, 8.0), amplitude=0.12)
        radii += spikes(rng, grid, n=3, sharpness=(8.0, 25.0), height=0.3)
        axes = _random_turn(rng) * (radius * np.exp(rng.normal(0, 0.2, 3)))[None]
        piece = StarBody(np.zeros(3), axes, np.ascontiguousarray(np.maximum(radii, 0.4)))
        near = [*bodies, *pieces]
        placed = _afloat(piece, near, capillary, rng, touched=near, share=0.5)
        if placed is not None:
            pieces.append(placed)
    return pieces


def _afloat(
    shape: StarBody,
    others: list[StarBody],
    capillary: Capillary,
    rng: np.random.Generator,
    *,
    touched: list[StarBody],
    share: float,
) -> StarBody | None:
    """The shape somewhere in the lumen, free of the others; with probability ``share`` against one of ``touched``."""
    reach = float(np.linalg.norm(shape.nodes_um.reshape(-1, 3), axis=1).max())
    for _ in range(60):
        if touched and rng.random() < share:
            host = touched[int(rng.integers(len(touched)))]
            point = _against(shape, host, _random_unit(rng))
        else:
            z = rng.uniform(-0.5 * reach, capillary.height_um + 0.5 * reach)
            room = max(capillary.radius_um(z) - 0.8 * reach, 0.0)
            away, angle = np.sqrt(rng.random()) * room, rng.uniform(0, 2 * np.pi)
            point = np.array([z, *(capillary.centre_um(z) + away * np.array([np.sin(angle), np.cos(angle)]))])
        body = replace(shape, centre_um=point)
        nodes = body.nodes_um.reshape(-1, 3)
        if capillary.depth_um(nodes).min() < 0 or not -reach < point[0] < capillary.height_um + reach:
            continue
        if all(_is_apart(body, other) for other in others):
            return body
    return None


def _against(shape: StarBody, host: StarBody, towards: Float) -> Float:
    """The centre of the shape where it first clears the host, on its way out along a ray from the host's centre."""
    away = 1.0 / float(host.levels((host.centre_um + towards)[None])[0])
    for step in range(400):
        point = host.centre_um + (away + 0.02 * step) * towards
        if _is_apart(replace(shape, centre_um=point), host):
            return point
    return host.centre_um + away * towards


def _is_apart(one: StarBody, other: StarBody) -> bool:
    bounds, theirs = one.bounds_um, other.bounds_um
    if (bounds[0] > theirs[1]).any() or (bounds[1] < theirs[0]).any():
        return True
    if other.levels(one.nodes_um.reshape(-1, 3)).min() < 1.0 or other.levels(one.centre_um[None])[0] < 1.0:
        return False
    return bool(one.levels(other.nodes_um.reshape(-1, 3)).min() >= 1.0)
