"""How much soft X-rays the structures of a cell absorb: linear absorption coefficients at 517 eV, in the water window.

Pure substances follow from composition, density and tables; a wet structure lies between ice and dry matter by its
mass per volume c: μ = μ_ice + c / ρ · (μ_dry - μ_ice), with 1.32 per µm for protein (1.35 g/mL) and 1.51 for DNA (1.7).
So 100 g/L add 0.09 per µm, and the ranges of :class:`AbsorptionRanges` are ranges of dry mass: cytosol 100 to 200 g/L,
nucleoplasm about the same, condensed chromatin and nucleoli 50 to 150 more, mitochondria and granules 60 to 220 more.
A droplet of pure triolein would have 0.90; droplets hold cholesterol esters and a shell of protein, and the small ones
that are seen come out lower. To add a structure, give it a range and a line in :func:`cell_absorption`.

References
----------
Elam, Ravel & Sieber 2002, 10.1016/S0969-806X(01)00227-4: cross sections; with them, per µm at 517 eV: ice (0.93 g/mL)
0.111, polystyrene (1.05) 1.20, fused silica (2.2) 0.96, protein (1.35) 1.32, triolein (0.92) 0.90, DNA (1.7) 1.51
(Chantler 2000, 10.1063/1.1321055, gives 0.099, 1.18, 0.95, 1.30, 0.88, 1.49). Le Gros et al. 2014,
10.1107/S1600577514015033: soft X-rays are attenuated linearly in the mass of biomolecules, ten times as strongly as by
water. White et al. 2020, 10.1126/sciadv.abc8262: granules and mitochondria of INS-1E cells told by their coefficients.
"""

from __future__ import annotations

import numpy as np

from tomocyte.settings import Settings

Range = tuple[float, float]


class AbsorptionRanges(Settings):
    """How much structures absorb, in 1/µm at 517 eV; per cell where not stated otherwise."""

    water: Range = (0.105, 0.12)
    """Ice and what is dissolved in it, per field."""
    glass: Range = (0.85, 1.05)
    """Per field."""
    bead: Range = (1.15, 1.25)
    """Polystyrene, per field."""
    debris: Range = (0.17, 0.45)
    """Remains of dead cells, per piece."""
    cytosol: Range = (0.2, 0.29)
    """The cytosol."""
    nucleoplasm: Range = (-0.02, 0.05)
    """Nucleoplasm over cytosol."""
    chromatin_rim: Range = (0.02, 0.08)
    """Peripheral heterochromatin (nuclear membrane) over nucleoplasm."""
    nucleolus: Range = (0.03, 0.1)
    """Nucleolus over nucleoplasm."""
    mitochondrion: Range = (0.05, 0.15)
    """Mitochondria over cytosol."""
    membranes: Range = (0.02, 0.07)
    """Endoplasmic reticulum and Golgi over cytosol."""
    vesicle: Range = (0.04, 0.2)
    """Lysosomes over cytosol; late endosomes and peroxisomes half of it."""
    endosome: Range = (-0.08, 0.03)
    """Early endosomes over cytosol."""
    lipid_droplet: Range = (0.5, 0.85)
    """Lipid droplets, absolute; droplets of one cell differ by a twentieth."""
    filopodium: Range = (-0.05, 0.0)
    """Filopodia and microvilli over cytosol."""
    cytosol_texture: Range = (0.01, 0.03)
    """Standard deviation within the cytosol."""
    chromatin_texture: Range = (0.015, 0.05)
    """Standard deviation within the nucleus: eu- and heterochromatin."""


def cell_absorption(ranges: AbsorptionRanges, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation in 1/µm of every leaf structure of one cell."""
    drawn = {
        name: float(rng.uniform(*getattr(ranges, name)))
        for name in AbsorptionRanges.model_fields
        if name not in ("water", "glass", "bead", "debris")
    }
    cytosol, texture, chromatin = drawn["cytosol"], drawn["cytosol_texture"], drawn["chromatin_texture"]
    nucleoplasm = cytosol + drawn["nucleoplasm"]
    return {
        "cytosol": (cytosol, texture),
        "plasma_membrane": (cytosol + 0.01, texture),
        "filopodium": (cytosol + drawn["filopodium"], 0.0),
        "endoplasmic_reticulum": (cytosol + drawn["membranes"], texture),
        "golgi": (cytosol + drawn["membranes"], texture),
        "mitochondrion": (cytosol + drawn["mitochondrion"], texture),
        "early_endosome": (cytosol + drawn["endosome"], 0.0),
        "late_endosome": (cytosol + 0.5 * drawn["vesicle"], texture),
        "lysosome": (cytosol + drawn["vesicle"], texture),
        "peroxisome": (cytosol + 0.5 * drawn["vesicle"], texture),
        "lipid_droplet": (drawn["lipid_droplet"], 0.0),
        "nucleoplasm": (nucleoplasm, chromatin),
        "nuclear_membrane": (nucleoplasm + drawn["chromatin_rim"], 0.5 * chromatin),
        "nuclear_reticulum": (nucleoplasm + drawn["chromatin_rim"], 0.5 * chromatin),
        "nucleolus": (nucleoplasm + drawn["nucleolus"], 0.5 * chromatin),
    }
