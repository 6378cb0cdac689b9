"""Quantitative phase imaging in 2-D: a pixel is a dry-mass density (or a phase)."""

from __future__ import annotations

from tomocyte.modalities._modality import Modality, Normalization, Structure
from tomocyte.settings import SegmentationSettings

MODALITY = Modality(
    name="qpi",
    description="2-D quantitative phase: dry-mass density in pg/um2",
    quantity="dry_mass_density",
    unit="pg/um2",
    channels=("dry_mass_density",),
    # Cells carry 0.1 to 5 pg/µm²; a flat background scatters around zero.
    plausible_range=(-5.0, 20.0),
    plausible_median=(-2.0, 10.0),
    hint="8- or 16-bit grey values are not a dry-mass density; convert phase (rad) to pg/um2 first, or rescale.",
    normalization=Normalization("dry-mass-density-0-1", offset=0.0, scale=1.0),
    structures=(Structure("cell", "whole cell, projected", parent=None),),
    segmentation=SegmentationSettings(),
    measurements=(
        "area_um2", "perimeter_um", "circularity", "equivalent_diameter_um", "mean_value", "sd_value",
        "projected_dry_mass_pg",
    ),
)  # fmt: skip
