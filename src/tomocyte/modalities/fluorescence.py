"""Any other fluorescence: an intensity in arbitrary units."""

from __future__ import annotations

from tomocyte.modalities._modality import SOLID_GEOMETRY, Modality, Normalization, Structure
from tomocyte.settings import CleanSettings, ForegroundSettings, SegmentationSettings, SplitSettings

MODALITY = Modality(
    name="fluorescence",
    description="one-channel fluorescence, confocal or wide-field: bright objects on a dark background",
    quantity="intensity",
    unit="",
    channels=("intensity",),
    plausible_range=(-1e5, 1e6),
    plausible_median=(-1e5, 1e6),
    hint="Give a fluorescence stack.",
    normalization=Normalization("uint16-full-range", offset=0.0, scale=65535.0),
    structures=(Structure("object", "bright object: a stained cell, nucleus or organelle", parent=None),),
    segmentation=SegmentationSettings(
        foreground=ForegroundSettings(method="otsu", smoothing_um=0.2),
        split=SplitSettings(method="distance", min_separation_um=2.0),
        clean=CleanSettings(min_volume_um3=1.0, min_area_um2=1.0),
    ),
    measurements=(
        *SOLID_GEOMETRY[:-2],
        "mean_intensity",
        "sd_intensity",
        "p05_value",
        "p50_value",
        "p95_value",
    ),
)
