"""Settings: one frozen class per step, documented per field, refusing unknown keys.

YAML comes in through :func:`load_settings`, JSON goes out into ``run.json``. To add a step, add a class here and a field to
the settings that contain it. Never accept a setting and ignore it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Frozen, typed, closed."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ForegroundSettings(Settings):
    """Which voxels belong to a cell."""

    method: Literal["half-maximum", "otsu", "local-adaptive", "value"] = "half-maximum"
    """Half-way between background and cell; Otsu's threshold; a threshold that follows the neighbourhood; a given value."""
    value: float | None = None
    """The threshold in the image's unit, for ``value``."""
    is_bright: bool = True
    """Whether cells have higher values than the background."""
    smoothing_um: float = Field(default=0.3, ge=0, le=20)
    """Gaussian sigma in µm before the threshold."""
    local_window_um: float = Field(default=15.0, gt=0, le=500)
    """Neighbourhood of ``local-adaptive`` in µm."""


class SplitSettings(Settings):
    """How touching cells are told apart (seeded watershed)."""

    method: Literal["none", "distance", "intensity"] = "distance"
    """Seeds and landscape from the distance to the border, or from the smoothed intensity."""
    min_separation_um: float = Field(default=5.0, gt=0, le=200)
    """Smallest distance between two cells' seeds in µm."""
    prominence: float = Field(default=0.15, ge=0, le=1)
    """How far, as a fraction of the peak's height, the landscape must fall between two seeds."""


class CleanSettings(Settings):
    """What is taken for an object at all."""

    min_volume_um3: float = Field(default=50.0, ge=0)
    """Smallest object in µm³ (3-D)."""
    min_area_um2: float = Field(default=25.0, ge=0)
    """Smallest object in µm² (2-D)."""
    is_hole_filled: bool = True
    """Whether holes inside an object belong to it."""
    is_border_cleared: bool = False
    """Whether objects cut by the lateral (y, x) border are dropped; z faces do not count."""


class NucleusSettings(Settings):
    """How nuclei are found inside cells."""

    method: Literal["none", "dark-core", "edge"] = "none"
    """A core of lower values; the edge-based method of OS-Net (Sobel)."""
    smoothing_um: float = Field(default=0.4, ge=0, le=20)
    """Gaussian sigma in µm before the threshold."""
    min_fraction: float = Field(default=0.05, ge=0, le=1)
    """Smallest nucleus as a fraction of its cell."""
    max_fraction: float = Field(default=0.7, ge=0, le=1)
    """Largest nucleus as a fraction of its cell."""
    min_contrast: float = Field(default=0.0005, ge=0)
    """Smallest difference between cytoplasm and nucleus, in the image's unit."""


class InclusionSettings(Settings):
    """How bright inclusions are found inside cells."""

    method: Literal["none", "bright"] = "none"
    """Voxels far above their cell's own spread."""
    n_deviations: float = Field(default=3.0, gt=0)
    """How many robust standard deviations above the cell's median."""
    min_contrast: float = Field(default=0.003, ge=0)
    """Smallest difference from the cell's median, in the image's unit."""
    min_volume_um3: float = Field(default=0.05, ge=0)
    """Smallest inclusion in µm³ (3-D)."""
    min_area_um2: float = Field(default=0.2, ge=0)
    """Smallest inclusion in µm² (2-D)."""


class SegmentationSettings(Settings):
    """The classical engine, step by step."""

    foreground: ForegroundSettings = ForegroundSettings()
    split: SplitSettings = SplitSettings()
    clean: CleanSettings = CleanSettings()
    nucleus: NucleusSettings = NucleusSettings()
    inclusion: InclusionSettings = InclusionSettings()
