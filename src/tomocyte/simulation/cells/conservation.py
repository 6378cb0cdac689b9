"""Cells that keep their volume when neighbours press them, and their dry mass whatever shape they take.

The outer shape and the indices of a cell are decided apart from what it should hold; here both are brought to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tomocyte.simulation.cells.bodies import build_body
from tomocyte.simulation.cells.field import moved, pressed_together
from tomocyte.simulation.cells.plan import CellPlan
from tomocyte.simulation.cells.scene import Cell
from tomocyte.simulation.cells.shapes import Float, StarBody

_TOLERANCE = 0.005
_MAX_ROUNDS = 12
_RELAXATION = 1.4
"""A cell that bulges is pressed again, so that more is asked for than is missing."""
_MOST = 2.0
"""Largest volume of a free body over the planned one: a cell that is enclosed on all sides stays smaller."""


def swollen(
    plans: Sequence[CellPlan], bodies: Sequence[StarBody], places: Sequence[Float], floor_um: float
) -> list[StarBody]:
    """Free bodies that hold the volume of the given ones after they are pressed together, within 0.5 %; 2 % in a crowd.

    Parameters
    ----------
    plans : sequence of CellPlan
    bodies : sequence of StarBody
        Free bodies of the plans, in their places.
    places : sequence of ndarray (2,)
        y, x of each cell in µm.
    floor_um : float
        Height of the coverslip.
    """
    coarse = [_coarser(body) for body in bodies]
    wanted = np.array([body.volume_um3 for body in coarse])
    factors = np.ones(len(wanted))
    result = list(bodies)
    for _ in range(_MAX_ROUNDS):
        volumes = np.array([body.volume_um3 for body in pressed_together(coarse)])
        if np.all((np.abs(volumes / wanted - 1.0) < _TOLERANCE) | (factors == _MOST)):
            break
        before, factors = factors, np.clip(factors * (wanted / volumes) ** _RELAXATION, 1.0, _MOST)
        for number in np.flatnonzero(factors != before).tolist():
            plan = replace(plans[number], volume_um3=plans[number].volume_um3 * float(factors[number]))
            result[number] = moved(build_body(plan), places[number], floor_um)
            coarse[number] = _coarser(result[number])
    return result


def _coarser(body: StarBody) -> StarBody:
    """Every other node of the surface: the volume changes by 0.1 %, and what is cut off by less."""
    return replace(body, radii=np.ascontiguousarray(body.radii[::2, ::2]))


def with_mass(cell: Cell, weighed: tuple[float, float], mass_pg: float) -> Cell:
    """The cell at the given dry mass: the index of all its parts but the lipid droplets is shifted.

    Parameters
    ----------
    cell : Cell
    weighed : tuple of 2 float
        What :func:`~tomocyte.simulation.cells.truth.weigh` says of it.
    mass_pg : float
    """
    now_pg, pg_per_index = weighed
    shift = (mass_pg - now_pg) / pg_per_index
    parts = [part if part.structure == "lipid_droplet" else replace(part, ri=part.ri + shift) for part in cell.parts]
    return replace(cell, parts=tuple(parts))
