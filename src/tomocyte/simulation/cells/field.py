"""Fields of 1 to 40 cells: placed, pressed against each other, filled.

To arrange cells differently, propose other positions in :func:`place_bodies`; what follows does not depend on it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tomocyte.errors import SettingsError
from tomocyte.simulation.cells.assembly import build_cell, renumbered
from tomocyte.simulation.cells.bodies import build_body, cut_by, lateral_radius_um
from tomocyte.simulation.cells.composition import texture_tile
from tomocyte.simulation.cells.plan import CellPlan, draw_plan
from tomocyte.simulation.cells.presets import cell_line
from tomocyte.simulation.cells.scene import Cell, Scene, Vector
from tomocyte.simulation.cells.settings import SceneSettings, shifted
from tomocyte.simulation.cells.shapes import Float, StarBody
from tomocyte.simulation.cells.suspension import simulate_suspension

MAX_CELLS = 40
_CLOSEST = 0.5
_FULLEST = 1.5


def simulate_scene(
    preset: str,
    n_cells: int,
    *,
    extent_um: Vector,
    settings: SceneSettings | None = None,
    rng: np.random.Generator,
) -> Scene:
    """One field of cells of one line.

    Parameters
    ----------
    preset : str
        A cell line of :data:`tomocyte.simulation.cells.presets.CELL_LINES`.
    n_cells : int
        1 to 40.
    extent_um : tuple of 3 float
        Size z, y, x of the field in µm.
    settings : SceneSettings, optional
        Ranges; the defaults when not given.
    rng : numpy Generator
        The only source of chance: the same state gives the same scene.

    Returns
    -------
    Scene

    Raises
    ------
    SettingsError
        ``E-SIM-PRESET`` for an unknown line, ``E-SIM-COUNT`` for a number outside 1–40, ``E-SIM-FIT`` for cells that do
        not fit.

    Examples
    --------
    >>> scene = simulate_scene("T cell", 2, extent_um=(14.0, 24.0, 26.0), rng=np.random.default_rng(1))
    >>> from tomocyte.simulation import render_scene
    >>> render_scene(scene, (1.0, 0.5, 0.7), (14, 48, 37)).labels["cell"].max()
    np.uint32(2)
    """
    ranges = shifted(settings or SceneSettings())
    line = cell_line(preset)
    check_count(n_cells)
    if ranges.capillary is not None:
        return simulate_suspension(line, n_cells, extent_um=extent_um, settings=ranges, rng=rng)
    seeds = rng.integers(2**63, size=n_cells)
    medium_ri = float(rng.uniform(*ranges.medium_ri))
    plans = [
        draw_plan(line, ranges, seed=int(seed), medium_ri=medium_ri, track_id=number)
        for number, seed in enumerate(seeds, start=1)
    ]
    bodies = place_bodies(plans, extent_um, settings=ranges, rng=rng)
    debris = scatter_debris(extent_um, settings=ranges, medium_ri=medium_ri, rng=rng)
    return fill_scene(plans, bodies, extent_um=extent_um, texture_seed=int(rng.integers(2**63)), debris=debris)


def check_count(n_cells: int) -> None:
    """Raise ``E-SIM-COUNT`` unless the number of cells is 1 to 40."""
    if not 1 <= n_cells <= MAX_CELLS:
        raise SettingsError("E-SIM-COUNT", f"{n_cells} cells cannot be simulated.", cure=f"Give 1 to {MAX_CELLS}.")


def fill_scene(
    plans: list[CellPlan],
    bodies: list[StarBody],
    *,
    extent_um: Vector,
    texture_seed: int,
    debris: Float,
    frame: int = 0,
    time_s: float = 0.0,
) -> Scene:
    """The scene of cells whose free bodies stand where they should, at one time point."""
    pressed = pressed_together(bodies)
    cells: list[Cell] = []
    fragments: list[StarBody] = []
    for label, (plan, body) in enumerate(zip(plans, pressed, strict=True), start=1):
        others = [other for other in pressed if other is not body]
        cells.append(build_cell(plan, body, others + fragments, label=label))
        fragments += cells[-1].bodies[1:]
    return Scene(
        cells=renumbered(cells),
        medium_ri=plans[0].composition.medium_ri,
        extent_um=extent_um,
        texture=texture_tile(np.random.default_rng(texture_seed)),
        preset=plans[0].line.name,
        frame=frame,
        time_s=time_s,
        debris=_outside(debris, [body for cell in cells for body in cell.bodies]),
    )


def pressed_together(bodies: list[StarBody]) -> list[StarBody]:
    """Bodies cut where they meet."""
    return [cut_by(body, body, [other for other in bodies if other is not body]) for body in bodies]


def scatter_debris(extent_um: Vector, *, settings: SceneSettings, medium_ri: float, rng: np.random.Generator) -> Float:
    """Particles anywhere in the field: capsules (n, 7) and, in the last column, their index (n, 8)."""
    n = min(round(rng.uniform(*settings.n_debris)), 1000)
    starts = rng.random((n, 3)) * np.array(extent_um)
    ends = starts + rng.normal(0, 0.3, (n, 3))
    return np.column_stack([starts, ends, rng.uniform(0.12, 0.6, n), medium_ri + rng.uniform(0.004, 0.03, n)])


def _outside(debris: Float, bodies: list[StarBody]) -> Float:
    """The particles that lie outside every body."""
    keep = np.ones(len(debris), bool)
    for body in bodies:
        for ends in (debris[:, :3], debris[:, 3:6]):
            keep &= body.levels(ends) > 1.3
    return debris[keep]


def place_bodies(
    plans: list[CellPlan], extent_um: Vector, *, settings: SceneSettings, rng: np.random.Generator
) -> list[StarBody]:
    """Free bodies at positions in the field, as crowded as the settings ask or closer where there is no room.

    Raises
    ------
    SettingsError
        ``E-SIM-FIT`` when a cell is too tall or the cells together too wide.
    """
    bodies = [build_body(plan) for plan in plans]
    floor = floor_of(bodies, extent_um, settings)
    radii = np.array([lateral_radius_um(body) for body in bodies])
    _check_fit(radii, extent_um, settings)
    crowding = rng.uniform(*settings.crowding)
    distance = float(np.interp(crowding, [0.0, 0.5, 1.0], [1.15, 0.85, 0.68]))
    lateral = np.array(extent_um[1:])
    while distance >= _CLOSEST:
        for _ in range(12):
            places = _throw(radii, lateral, (distance, crowding), rng=rng, overhang=settings.border_overhang)
            if places is not None:
                return [moved(body, place, floor) for body, place in zip(bodies, places, strict=True)]
        distance *= 0.95
    raise _no_room(len(plans), radii, extent_um)


def floor_of(bodies: list[StarBody], extent_um: Vector, settings: SceneSettings) -> float:
    """Height in µm of the coverslip; raises ``E-SIM-FIT`` when a cell reaches above the field."""
    tallest = float(max(body.bounds_um[1, 0] for body in bodies))
    floor = settings.floor_um if settings.floor_um is not None else 0.5 * (extent_um[0] - tallest)
    if floor < 0 or floor + tallest > extent_um[0]:
        raise SettingsError(
            "E-SIM-FIT",
            f"a cell {tallest:.1f} µm high on a floor at {max(floor, 0):.1f} µm does not fit "
            f"a field {extent_um[0]:.1f} µm high.",
            cure=f"Make the field at least {tallest + max(floor, 0):.1f} µm high or choose a flatter cell line.",
        )
    return floor


def moved(body: StarBody, place: Float, floor_um: float) -> StarBody:
    """The body with its axis at y, x = ``place`` and its floor at ``floor_um``."""
    return replace(body, centre_um=body.centre_um + np.array([floor_um, place[0], place[1]]))


def _throw(
    radii: Float, lateral: Float, packing: tuple[float, float], *, rng: np.random.Generator, overhang: float
) -> list[Float] | None:
    """Places (y, x) of cells, or ``None`` when luck fails.

    ``packing`` is the least distance over the sum of two radii, and the share of cells that settle next to another one.
    """
    distance, crowding = packing
    places: list[Float] = []
    for radius in radii:
        inset = np.minimum(radius * (1.0 - overhang), 0.5 * lateral)
        candidates = inset + rng.random((80, 2)) * (lateral - 2 * inset)
        angle, slack = rng.uniform(0, 2 * np.pi, 80), rng.uniform(1.0, 1.08, 80)
        if places and rng.random() < crowding:
            near = rng.integers(len(places), size=60)  # the last twenty stay anywhere
            reach = slack[:60] * distance * (radius + radii[near])
            steps = reach[:, None] * np.column_stack([np.sin(angle[:60]), np.cos(angle[:60])])
            candidates[:60] = np.array(places)[near] + steps
        for candidate in candidates:
            far = [np.linalg.norm(candidate - place) for place in places]
            is_in = bool(np.all((candidate >= inset) & (candidate <= lateral - inset)))
            if is_in and all(gap >= distance * (radius + other) for gap, other in zip(far, radii, strict=False)):
                places.append(candidate)
                break
        else:
            return None
    return places


def _check_fit(radii: Float, extent_um: Vector, settings: SceneSettings) -> None:
    widest = float(radii.max())
    beyond = 2.0 * settings.border_overhang * float(radii.mean())
    if 2.0 * widest * (1.0 - settings.border_overhang) > min(extent_um[1:]):
        raise _no_room(len(radii), radii, extent_um)
    if np.pi * float((radii**2).sum()) > _FULLEST * (extent_um[1] + beyond) * (extent_um[2] + beyond):
        raise _no_room(len(radii), radii, extent_um)


def _no_room(n_cells: int, radii: Float, extent_um: Vector) -> SettingsError:
    area = float(np.pi * (radii**2).sum())
    side = max(np.sqrt(area), 2.0 * float(radii.max()))
    return SettingsError(
        "E-SIM-FIT",
        f"{n_cells} cells with footprints of {area:.0f} µm² in all do not fit "
        f"a field of {extent_um[1]:.1f} × {extent_um[2]:.1f} µm.",
        cure=f"Ask for fewer cells or a field of at least {side:.0f} × {side:.0f} µm.",
    )
