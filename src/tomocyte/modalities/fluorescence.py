"""Any other fluorescence: an intensity in arbitrary units."""

from __future__ import annotations

from tomocyte.labels.settings import CleanSettings, SplitSettings
from tomocyte.modalities._modality import SOLID_GEOMETRY, Modality, Normalization
from tomocyte.segmentation.settings import ForegroundSettings, SegmentationSettings
from tomocyte.structures import structures

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
    structures=structures("object"),
    # Suits objects of 2 to 6 µm; larger ones want a larger window and separation.
    segmentation=SegmentationSettings(
        foreground=ForegroundSettings(
            method="local-adaptive", fraction=0.25, smoothing_um=0.2, local_window_um=3.0, min_contrast_to_noise=1.5
        ),
        split=SplitSettings(method="distance", min_separation_um=2.0, prominence=0.1),
        clean=CleanSettings(min_volume_um3=4.0, min_area_um2=4.0),
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
