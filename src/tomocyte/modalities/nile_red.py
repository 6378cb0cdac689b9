"""Two-channel Nile Red super-resolution: intensity, and the ratio that follows from two channels."""

from __future__ import annotations

from tomocyte.channels import DERIVED_CHANNELS
from tomocyte.modalities._modality import SOLID_GEOMETRY, Modality, Normalization
from tomocyte.segmentation.settings import ForegroundSettings, InclusionSettings, SegmentationSettings
from tomocyte.structures import ZHANGHAO_COMPARTMENTS, structures

MODALITY = Modality(
    name="nile_red",
    description="two-channel Nile Red fluorescence (Zhanghao et al. 2021): yellow and red intensity",
    quantity="intensity",
    unit="",
    channels=("yellow", "red"),
    derived_channels=DERIVED_CHANNELS,
    plausible_range=(0.0, 1e6),
    plausible_median=(0.0, 1e6),
    hint="Give both channels, in one file or with --channel-file; intensities are not negative.",
    normalization=Normalization("uint16-full-range", offset=0.0, scale=65535.0),
    structures=structures("cell", "inclusion", *ZHANGHAO_COMPARTMENTS),
    usual_pixel_um=(0.01, 0.4),
    default_model="nile-red-15",
    overlapping=("endoplasmic_reticulum", "plasma_membrane", "filopodium"),
    # Not kinds of vesicles: by the larger probability, endosomes lose a quarter or more of their F1.
    exclusive=(("nucleus", "cytosol", "extracellular"),),
    # Starting values, not tuned on data.
    segmentation=SegmentationSettings(
        foreground=ForegroundSettings(smoothing_um=0.3, fraction=0.3),
        inclusion=InclusionSettings(method="bright", n_deviations=5.0, min_contrast=0.0),
    ),
    measurements=(
        *SOLID_GEOMETRY[:-2],
        "mean_intensity",
        "sd_intensity",
        "mean_ratio",
        "sd_ratio",
        "p05_value",
        "p50_value",
        "p95_value",
    ),
)
