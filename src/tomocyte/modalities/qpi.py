"""Quantitative phase imaging in 2-D: a pixel is a dry-mass density (or a phase)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.settings import CleanSettings, SplitSettings
from tomocyte.modalities._modality import PLANAR_GEOMETRY, Conversion, Modality, Normalization
from tomocyte.segmentation.settings import ForegroundSettings, SegmentationSettings
from tomocyte.structures import PROTEIN_ML_PER_G, structures


def phase_to_dry_mass_density(phase_rad: NDArray[Any], wavelength_um: float) -> NDArray[np.float32]:
    """Surface density of dry mass from phase: σ = φ λ / (2π α).

    Parameters
    ----------
    phase_rad : ndarray, any shape
        Phase relative to the medium, in rad.
    wavelength_um : float
        Vacuum wavelength in µm.

    Returns
    -------
    ndarray float32, same shape
        pg/µm² (1 mL/g = 1 µm³/pg), with α = 0.19 mL/g as for tomograms; Popescu et al. 2008
        (doi:10.1152/ajpcell.00121.2008) use 0.18 to 0.21 mL/g.

    References
    ----------
    Barer 1952, Nature 169, 366, doi:10.1038/169366b0.

    Examples
    --------
    >>> float(phase_to_dry_mass_density(np.array([2 * np.pi]), 0.19)[0])
    1.0
    """
    return np.asarray(phase_rad * (wavelength_um / (2.0 * math.pi * PROTEIN_ML_PER_G)), dtype=np.float32)


MODALITY = Modality(
    name="qpi",
    description="2-D quantitative phase: dry-mass density (pg/um2) or phase (rad)",
    quantity="dry_mass_density",
    unit="pg/um2",
    channels=("dry_mass_density",),
    # Cells carry 0.1 to 5 pg/µm², or up to some ten rad; a flat background scatters around zero.
    plausible_range=(-20.0, 60.0),
    plausible_median=(-10.0, 30.0),
    hint="8- or 16-bit grey values are neither a dry-mass density nor a phase; give the values in pg/um2 or rad.",
    normalization=Normalization("dry-mass-density-0-1", offset=0.0, scale=1.0),
    structures=structures("cell"),
    # A cell ends at a tenth of its height, where people draw its outline; a sharp-edged disc comes out larger by 1.3 µm
    # all around. The dry mass is hardly touched by that.
    segmentation=SegmentationSettings(
        foreground=ForegroundSettings(smoothing_um=1.0, fraction=0.1),
        split=SplitSettings(
            method="local-contrast",
            smoothing_um=0.6,
            window_um=4.0,
            min_separation_um=5.0,
            prominence=0.1,
            seed_fraction=0.1,
        ),
        clean=CleanSettings(min_area_um2=80.0),
    ),
    measurements=(*PLANAR_GEOMETRY, "mean_dry_mass_density_pg_per_um2", "sd_value", "projected_dry_mass_pg"),
    alternatives={"phase": "rad"},
    conversions={"phase": Conversion("wavelength_um", phase_to_dry_mass_density)},
    alternative_measurements={"phase": (*PLANAR_GEOMETRY, "mean_phase_rad", "sd_value")},
)
