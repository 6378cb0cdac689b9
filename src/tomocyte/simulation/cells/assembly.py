"""One cell from its plan: bodies, nuclei, organelles and their indices, as parts in painting order.

Labels are local here (from 1 per structure); :func:`renumbered` makes them unique in the scene. To add a structure,
give it shapes in :func:`build_cell`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tomocyte.simulation.cells.bodies import bumps
from tomocyte.simulation.cells.nuclei import build_nuclei, build_nucleoli
from tomocyte.simulation.cells.organelles import Filler, filopodia, nuclear_reticulum
from tomocyte.simulation.cells.plan import CellPlan
from tomocyte.simulation.cells.scene import PAINT_ORDER, Cell, Part
from tomocyte.simulation.cells.shapes import Float, StarBody, directions

Shapes = list[tuple[str, int, StarBody | Float]]


def build_cell(plan: CellPlan, body: StarBody, others: list[StarBody], *, label: int) -> Cell:
    """The whole cell inside its final body.

    Parameters
    ----------
    plan : CellPlan
    body : StarBody
        Already placed and pressed against its neighbours.
    others : list of StarBody
        The neighbours, for what reaches out of the cell.
    label : int
        The cell's label in the scene.
    """
    skin, rim = plan.membranes_um
    inner = body.shrunk(skin)
    nuclei = build_nuclei(plan, inner)
    shapes: Shapes = [("plasma_membrane", 0, body), ("cytosol", 0, inner)]
    if plan.has_organelles:
        shapes += [("filopodium", 0, tubes) for tubes in filopodia(plan, body, others)]
    for structure, objects in Filler(plan, inner, nuclei).fill().items():
        shapes += [(structure, 0, tubes) for tubes in objects]
    for number, nucleus in enumerate(nuclei, start=1):
        shapes += _nucleus_shapes(plan, nucleus, rim, number=number)
    bodies = [body]
    if plan.kind == "apoptotic":
        fragments = _fragments(plan, body, others)
        bodies += fragments
        shapes += [("cytosol", 0, fragment) for fragment in fragments]
    return Cell(
        label=label,
        track_id=plan.track_id,
        parent_id=plan.parent_id,
        kind=plan.kind,
        bodies=tuple(bodies),
        parts=_parts(plan, shapes, label),
        texture_origin_um=body.centre_um + plan.stream("texture").uniform(-50, 50, 3),
        texture_length_um=plan.composition.lengths_um,
    )


def _nucleus_shapes(plan: CellPlan, nucleus: StarBody, rim_um: float, *, number: int) -> Shapes:
    if plan.kind in ("mitotic", "apoptotic"):
        return [("nucleoplasm", number, nucleus)]
    below = nucleus.shrunk(rim_um)
    nucleoli = build_nucleoli(plan, below, number - 1)
    shapes: Shapes = [("nuclear_membrane", number, nucleus), ("nucleoplasm", number, below)]
    if plan.has_organelles:
        shapes += [
            ("nuclear_reticulum", number, tubes) for tubes in nuclear_reticulum(plan, below, nucleoli, number - 1)
        ]
    return shapes + [("nucleolus", number, body) for body in nucleoli]


def _parts(plan: CellPlan, shapes: Shapes, label: int) -> tuple[Part, ...]:
    """Shapes in painting order with local labels and indices; droplets differ a little from each other."""
    wobble = plan.stream("composition").normal(0, 0.05, 4096)
    condensed = 0.006 if plan.kind in ("mitotic", "apoptotic") else 0.0
    counts = dict.fromkeys(PAINT_ORDER, 0)
    parts = []
    for structure, nucleus_label, shape in sorted(shapes, key=lambda item: PAINT_ORDER.index(item[0])):
        counts[structure] += 1
        ri, sigma = plan.composition.of(structure)
        if structure == "lipid_droplet":
            ri += wobble[counts[structure]] * plan.composition.lipid_delta
        if structure == "nucleoplasm" and condensed:
            ri = plan.composition.cytosol_ri + condensed
        number = 1 if structure in ("cytosol", "plasma_membrane") else counts[structure]
        parts.append(Part(structure, number, label, nucleus_label, shape, float(ri), sigma))
    return tuple(parts)


def _fragments(plan: CellPlan, body: StarBody, others: list[StarBody]) -> list[StarBody]:
    """Apoptotic bodies around the cell that touch nothing else."""
    rng = plan.stream("fragment")
    grid = directions(24, 48)
    fragments: list[StarBody] = []
    n_fragments = int(rng.integers(2, 9) * (0.4 + 0.6 * plan.stage))
    reach = float(np.cbrt(body.volume_um3))
    for _ in range(40):
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.75, 1.4)
        radius = rng.uniform(0.06, 0.2) * reach
        lift = rng.uniform(-0.3, 0.3)
        offset = far * reach * np.array([lift, np.sin(angle), np.cos(angle)])
        radii = np.ascontiguousarray(1.0 + bumps(rng, grid, n=6, sharpness=(2.0, 6.0), amplitude=0.05))
        piece = StarBody(body.centre_um + offset, np.eye(3) * radius, radii)
        if len(fragments) >= n_fragments:
            break
        nodes = piece.centre_um + 1.1 * (piece.nodes_um.reshape(-1, 3) - piece.centre_um)
        is_apart = all(other.levels(nodes).min() > 1.02 for other in [body, *others, *fragments])
        if is_apart and nodes[:, 0].min() > body.bounds_um[0, 0]:
            fragments.append(piece)
    return fragments


def renumbered(cells: list[Cell]) -> tuple[Cell, ...]:
    """The cells with labels that are unique per structure over the scene."""
    used = dict.fromkeys((*PAINT_ORDER, "nucleus"), 0)
    result = []
    for cell in cells:
        parts = []
        for part in cell.parts:
            label = (
                cell.label if part.structure in ("cytosol", "plasma_membrane") else part.label + used[part.structure]
            )
            nucleus = part.nucleus_label + used["nucleus"] if part.nucleus_label else 0
            if part.structure in ("nuclear_membrane", "nucleoplasm"):
                label = nucleus
            parts.append(replace(part, label=label, nucleus_label=nucleus))
        for structure in PAINT_ORDER:
            used[structure] += len(cell.parts_of(structure))
        used["nucleus"] += max((part.nucleus_label for part in cell.parts), default=0)
        result.append(replace(cell, parts=tuple(parts)))
    return tuple(result)
