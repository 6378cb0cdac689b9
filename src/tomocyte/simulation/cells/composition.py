"""The refractive index of every structure of one cell, and how unevenly it is spread.

All indices of a cell are drawn once and belong to its plan. To give a structure another index, change its line in
:meth:`Composition.of`; α of the dry mass is in :mod:`tomocyte.structures`.

References
----------
Ranges: the project's simulation design.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tomocyte.simulation.cells.presets import CellLine
from tomocyte.simulation.cells.settings import SceneSettings

VESICLES = ("early_endosome", "late_endosome", "lysosome", "peroxisome")
_VESICLE_SHARE = {"late_endosome": 0.6, "lysosome": 1.0, "peroxisome": 0.8}
_TUBE_SHARE = {"mitochondrion": 1.0, "endoplasmic_reticulum": 0.6, "golgi": 0.8}


@dataclass(frozen=True)
class Composition:
    """Indices of one cell: absolute for medium and cytosol, differences for the rest."""

    medium_ri: float
    cytosol_ri: float
    nucleus_delta: float
    """Nucleoplasm over cytosol (negative where the nucleus is the darker)."""
    nucleolus_delta: float
    rim_delta: float
    lipid_delta: float
    """Lipid droplets over the medium."""
    vesicle_delta: float
    early_delta: float
    """Early endosomes over cytosol; negative where they are vacuoles."""
    tube_delta: float
    sigma: float
    lengths_um: tuple[float, float]

    def of(self, structure: str) -> tuple[float, float]:
        """Mean index and texture sigma of a leaf structure."""
        nucleoplasm = self.cytosol_ri + self.nucleus_delta
        if structure == "lipid_droplet":
            return self.medium_ri + self.lipid_delta, 0.5 * self.sigma
        if structure in _VESICLE_SHARE:
            return self.cytosol_ri + self.vesicle_delta * _VESICLE_SHARE[structure], 0.5 * self.sigma
        if structure in _TUBE_SHARE:
            return self.cytosol_ri + self.tube_delta * _TUBE_SHARE[structure], 0.7 * self.sigma
        others = {
            "early_endosome": (self.cytosol_ri + self.early_delta, 0.5 * self.sigma),
            "cytosol": (self.cytosol_ri, self.sigma),
            "plasma_membrane": (self.cytosol_ri - 0.002, 0.5 * self.sigma),
            "filopodium": (self.cytosol_ri - 0.004, 0.0),
            "nucleoplasm": (nucleoplasm, self.sigma),
            "nuclear_membrane": (nucleoplasm + self.rim_delta, 0.5 * self.sigma),
            "nuclear_reticulum": (nucleoplasm + max(self.rim_delta, 0.001), 0.5 * self.sigma),
            "nucleolus": (nucleoplasm + self.nucleolus_delta, 0.7 * self.sigma),
        }
        ri, sigma = others[structure]
        return max(ri, self.medium_ri + 0.001), sigma


def draw_composition(line: CellLine, settings: SceneSettings, *, seed: int, medium_ri: float) -> Composition:
    """The indices of one cell, from its own seed."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    delta = rng.uniform(*line.delta_n) * rng.uniform(*settings.delta_n_scale)
    low, high = settings.nucleus_contrast
    if rng.random() < settings.nucleus_min_contrast_share:
        low = min(max(low, 0.003), high)
    contrast = rng.uniform(low, high)
    is_lower = rng.random() < line.lower_nucleus_share
    rim = rng.uniform(*settings.rim_contrast)
    vesicle = rng.uniform(*settings.vesicle_contrast)
    is_vacuole, emptied = rng.random() < settings.vacuole_share, (rng.uniform(*settings.vacuole_level) - 1.0) * delta
    return Composition(
        medium_ri=medium_ri,
        cytosol_ri=medium_ri + delta,
        nucleus_delta=-min(contrast, 0.6 * delta) if is_lower else contrast,
        nucleolus_delta=rng.uniform(*settings.nucleolus_contrast),
        rim_delta=rim if rng.random() < settings.rim_share else 0.0,
        lipid_delta=rng.uniform(*settings.lipid_delta_n),
        vesicle_delta=vesicle,
        early_delta=emptied if is_vacuole else 0.3 * vesicle,
        tube_delta=rng.uniform(*settings.tube_contrast),
        sigma=rng.uniform(*settings.texture_sigma),
        lengths_um=(rng.uniform(*settings.texture_fine_um), rng.uniform(*settings.texture_coarse_um)),
    )


def texture_tile(rng: np.random.Generator, *, n: int = 64, length_nodes: float = 3.0) -> NDArray[np.float32]:
    """A periodic Gaussian random field (n, n, n), mean 0, standard deviation 1, correlated over ``length_nodes``.

    The Gaussian spectrum gives the autocorrelation exp(−(d / length)²).
    """
    frequency = np.fft.fftfreq(n)
    squared = frequency[:, None, None] ** 2 + frequency[None, :, None] ** 2 + (np.fft.rfftfreq(n) ** 2)[None, None]
    spectrum = np.fft.rfftn(rng.standard_normal((n, n, n))) * np.exp(-0.5 * (np.pi * length_nodes) ** 2 * squared)
    spectrum[0, 0, 0] = 0.0
    field = np.fft.irfftn(spectrum, s=(n, n, n), axes=(0, 1, 2))
    tile: NDArray[np.float32] = (field / field.std()).astype(np.float32)
    return tile
