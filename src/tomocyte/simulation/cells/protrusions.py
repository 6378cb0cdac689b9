"""Microvilli and filopodia of a suspended cell: thin bent tubes out of its skin, in every direction.

Each is a chain of capsules that starts inside the cell and stays clear of the other bodies and of the glass; one that
would not is left out. Where two tubes of a cell meet, they meet.
"""

from __future__ import annotations

import numpy as np

from tomocyte.simulation.cells.capillary import Capillary
from tomocyte.simulation.cells.plan import CellPlan
from tomocyte.simulation.cells.settings import CapillarySettings
from tomocyte.simulation.cells.shapes import Float, StarBody

_ROOT_UM = 0.12
"""How deep a tube is rooted in the cell, so that it is joined to it on every grid."""
_SEGMENT_UM = 0.35


def protrusions(
    plan: CellPlan, body: StarBody, others: list[StarBody], capillary: Capillary, ranges: CapillarySettings
) -> list[Float]:
    """Tubes (n, 7) of one cell, the microvilli first."""
    rng = plan.stream("protrusion")
    radius = rng.uniform(*ranges.protrusion_radius_um)
    # microvilli stand in patches more often than alone
    patches = rng.normal(size=(int(rng.integers(3, 9)), 3))
    tubes: list[Float] = []
    for count, length_um, bend, is_villus in (
        (ranges.n_microvilli, ranges.microvillus_um, 0.15, True),
        (ranges.n_filopodia, ranges.filopodium_um, 0.3, False),
    ):
        for _ in range(int(rng.integers(count[0], count[1] + 1))):
            towards = rng.normal(size=3)
            towards /= np.linalg.norm(towards)
            if is_villus and rng.random() < 0.6:
                towards = patches[rng.integers(len(patches))] / 1.7 + 0.35 * towards
                towards /= np.linalg.norm(towards)
            thick = radius * (1.0 if is_villus else rng.uniform(1.0, 1.5))
            path = _path(body, towards, float(rng.uniform(*length_um)), bend, rng)
            if _is_free(path, thick, body, others, capillary):
                tubes.append(np.column_stack([path[:-1], path[1:], np.full(len(path) - 1, thick)]))
    return tubes


def _path(body: StarBody, towards: Float, length_um: float, bend: float, rng: np.random.Generator) -> Float:
    """Points of a bent line that leaves the skin along a ray from the cell's centre."""
    reach = 1.0 / float(body.levels((body.centre_um + towards)[None])[0])
    n_steps = max(2, round(length_um / _SEGMENT_UM))
    heading = towards + 0.25 * rng.normal(size=3)
    heading /= np.linalg.norm(heading)
    points = [body.centre_um + (reach - _ROOT_UM) * towards, body.centre_um + reach * towards]
    for _ in range(n_steps):
        points.append(points[-1] + length_um / n_steps * heading)
        heading = heading + bend * rng.normal(size=3)
        heading /= np.linalg.norm(heading)
    return np.array(points)


def _is_free(path: Float, radius_um: float, body: StarBody, others: list[StarBody], capillary: Capillary) -> bool:
    """Whether the part outside the cell stays outside, and clear of everything else."""
    outer = path[1:]
    samples = np.concatenate([outer[:-1] + s * np.diff(outer, axis=0) for s in (0.25, 0.5, 0.75, 1.0)])
    if capillary.depth_um(samples).min() < radius_um or float(body.levels(samples[-1:])[0]) < 1.0:
        return False
    low, high = samples.min(axis=0) - radius_um - 0.05, samples.max(axis=0) + radius_um + 0.05
    for other in others:
        bounds = other.bounds_um
        if (bounds[0] > high).any() or (bounds[1] < low).any():
            continue
        size = float(np.abs(np.linalg.det(other.axes_um)) ** (1 / 3))
        if float(other.levels(samples).min()) < 1.0 + (radius_um + 0.05) / size:
            return False
    return True
