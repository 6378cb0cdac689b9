"""What is decided about a cell before any of it has a shape: kind, size, counts and seeds.

A plan is small and can be changed between frames, so a time-lapse is a list of plans per cell; the same plan always
gives the same cell. To add a property of a cell, add a field here and draw it in :func:`draw_plan`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tomocyte.simulation.cells.composition import Composition, draw_composition
from tomocyte.simulation.cells.presets import CellLine, Count
from tomocyte.simulation.cells.settings import SceneSettings

_STREAMS = (
    "plan",
    "composition",
    "body",
    "nucleus",
    "nucleolus",
    "lipid_droplet",
    "vesicle",
    "mitochondrion",
    "endoplasmic_reticulum",
    "golgi",
    "nuclear_reticulum",
    "filopodium",
    "texture",
    "fragment",
    "motion",
    "orientation",
    "protrusion",
    "surface",
    "endomembrane",
)


@dataclass(frozen=True)
class CellPlan:
    """One cell in one frame. Lengths in µm, volumes in µm³.

    Parameters
    ----------
    kind : str
        Shape; a cell line's own kind, ``mitotic`` or ``apoptotic``.
    track_id, parent_id, seed : int
        Identity over time and the source of all random properties of the cell.
    spread : float
        0 a dome, 1 flat with a thin rim (kinds that sit on the floor).
    stage : float
        Mitosis from 0 (plate) to 1 (two sets apart); apoptosis from 0 (blebs) to 1 (fragments).
    """

    line: CellLine
    kind: str
    track_id: int
    parent_id: int
    seed: int
    volume_um3: float
    height_um: float
    angle: float
    spread: float
    roughness: float
    stage: float
    eccentricity: float
    nucleus_share: float
    n_nuclei: int
    is_lobed: bool
    is_network: bool
    n_nucleoli: int
    nucleolus_scale: float
    n_droplets: int
    droplet_scale: float
    n_vesicles: tuple[int, int, int, int]
    n_inclusions: int
    n_mitochondria: int
    n_filopodia: int
    has_organelles: bool
    membranes_um: tuple[float, float]
    composition: Composition
    is_detailed: bool = False
    """Whether the endomembranes are those of a fluorescence microscope (see ``SceneSettings.endomembranes``)."""

    def stream(self, name: str) -> np.random.Generator:
        """The cell's own random numbers for one purpose; the same in every frame."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(_STREAMS.index(name),)))


def draw_plan(line: CellLine, settings: SceneSettings, *, seed: int, medium_ri: float, track_id: int = 1) -> CellPlan:
    """A cell of a line, drawn from the settings' ranges (already shifted) with the cell's own seed."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAMS.index("plan"),)))
    kind = line.kind
    fate = rng.random()
    if fate < settings.mitotic_share:
        kind = "mitotic"
    elif fate < settings.mitotic_share + settings.apoptotic_share:
        kind = "apoptotic"
    n_nuclei = int(rng.choice(3, p=line.nuclei))
    many = rng.uniform(*settings.organelle_scale)
    n_mitochondria = _count(rng, line.n_mitochondria, many)
    vesicle_rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAMS.index("endomembrane"),)))
    crowded = many * vesicle_rng.uniform(*settings.vesicle_scale)
    early, late, lysosomes, peroxisomes = (_count(rng, pair, crowded) for pair in line.n_vesicles)
    sheet = {"adherent": (0.1, 0.6), "fibroblast": (0.2, 0.7)}.get(line.kind, (0.0, 0.25))
    return CellPlan(
        line=line,
        kind=kind,
        track_id=track_id,
        parent_id=0,
        seed=seed,
        volume_um3=line.volume_um3 * rng.uniform(*settings.size_scale) * float(np.exp(rng.normal(0, 0.15))),
        height_um=line.height_um * rng.uniform(*settings.height_scale),
        angle=rng.uniform(0, 2 * np.pi),
        spread=rng.uniform(*sheet),
        roughness=rng.uniform(*settings.roughness),
        stage=rng.random(),
        eccentricity=rng.uniform(*settings.nucleus_eccentricity),
        nucleus_share=rng.uniform(*line.nucleus_share),
        n_nuclei=n_nuclei,
        is_lobed=bool(rng.random() < line.lobed_share),
        is_network=bool(rng.random() < line.network_share),
        n_nucleoli=_count(rng, line.n_nucleoli, 1.0),
        nucleolus_scale=1.0,
        n_droplets=min(200, _count(rng, line.n_droplets, many)),
        droplet_scale=1.0,
        n_vesicles=(early, late, lysosomes, peroxisomes),
        n_inclusions=int(rng.integers(1, 3)) * int(rng.random() < settings.inclusion_share),
        n_mitochondria=n_mitochondria,
        n_filopodia=_count(rng, line.n_filopodia, 1.0),
        has_organelles=settings.has_organelles,
        membranes_um=(settings.plasma_membrane_um, settings.nuclear_membrane_um),
        composition=draw_composition(line, settings, seed=seed, medium_ri=medium_ri),
        is_detailed=settings.endomembranes == "detailed",
    )


def _count(rng: np.random.Generator, pair: Count, scale: float) -> int:
    return round(int(rng.integers(pair[0], pair[1] + 1)) * scale)
