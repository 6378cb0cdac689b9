"""Soft X-ray tomography: a voxel is a linear absorption coefficient."""

from __future__ import annotations

from tomocyte.labels.settings import CleanSettings
from tomocyte.modalities._modality import SOLID_GEOMETRY, Modality, Normalization
from tomocyte.segmentation.settings import ForegroundSettings, SegmentationSettings
from tomocyte.structures import structures

MODALITY = Modality(
    name="sxt",
    description="soft X-ray tomography: linear absorption coefficient, or the microscope's grey values",
    quantity="linear_absorption_coefficient",
    unit="1/um",
    channels=("linear_absorption_coefficient",),
    # In the water window protein absorbs 0.1 to 1 per µm; many archives store 8- or 16-bit grey values instead.
    plausible_range=(-1e6, 1e6),
    plausible_median=(-1e6, 1e6),
    hint="Give the reconstructed tomogram.",
    normalization=Normalization("lac-0-1", offset=0.0, scale=1.0),
    structures=structures(
        "cell", "cytoplasm", "nucleus", "mitochondrion", "lipid_droplet", "inclusion", "bead", "capillary"
    ),
    # Starting values for whole cells, not tuned on data.
    segmentation=SegmentationSettings(
        foreground=ForegroundSettings(smoothing_um=0.1), clean=CleanSettings(min_volume_um3=5.0)
    ),
    measurements=(
        *SOLID_GEOMETRY[:-2],
        "mean_value",
        "sd_value",
        "p05_value",
        "p50_value",
        "p95_value",
    ),
)
