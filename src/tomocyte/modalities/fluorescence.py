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
    # Objects may be of any size: all scales follow the diameter, which is given or estimated from the image.
    segmentation=SegmentationSettings(
        foreground=ForegroundSettings(
            method="local-adaptive",
            fraction=0.25,
            core_fraction=0.25,
            smoothing_um=None,
            local_window_um=None,
            min_contrast_to_noise=1.5,
            own_fraction=0.6,
            min_significance=1.0,
            is_dim_sought=True,
        ),
        split=SplitSettings(
            method="distance", smoothing_um=None, window_um=None, min_separation_um=None, prominence=0.1
        ),
        clean=CleanSettings(min_volume_um3=None, min_area_um2=None),
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
