"""Optical diffraction tomography: a voxel is a refractive index."""

from __future__ import annotations

from tomocyte.modalities._modality import SOLID_GEOMETRY, Modality, Normalization
from tomocyte.segmentation.settings import ForegroundSettings, InclusionSettings, NucleusSettings, SegmentationSettings
from tomocyte.structures import structures

MODALITY = Modality(
    name="odt",
    description="optical diffraction tomography: refractive index (Tomocube and others)",
    quantity="refractive_index",
    unit="1",
    channels=("refractive_index",),
    # Ice is 1.31, immersion oil 1.52, cells in media lie between 1.33 and 1.50.
    plausible_range=(1.25, 1.70),
    plausible_median=(1.30, 1.55),
    hint=(
        "Integers around 13000 are RI x 10000 (divide by 10000, or use the original TCF file); 8-bit values are a "
        "picture, not RI; values around 0.01 are RI minus that of the medium."
    ),
    normalization=Normalization("ri-1.337-0.02", offset=1.337, scale=0.02),
    structures=structures("cell", "nucleus", "nucleolus", "lipid_droplet", "inclusion"),
    # 0.2 µm moves the surface of a 14 µm cell by less than 1 % of its volume and keeps noise from roughening it.
    segmentation=SegmentationSettings(
        foreground=ForegroundSettings(smoothing_um=0.2),
        nucleus=NucleusSettings(method="dark-core"),
        inclusion=InclusionSettings(method="bright", rim_fraction=0.65),
    ),
    default_model="odt-organelles",
    measurements=(
        *SOLID_GEOMETRY,
        "mean_ri",
        "sd_ri",
        "p05_ri",
        "p50_ri",
        "p95_ri",
    ),
)
