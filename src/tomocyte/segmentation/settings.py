"""Settings of the classical engine and of making objects from probabilities, one frozen class per step."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tomocyte.labels.settings import CleanSettings, SplitSettings
from tomocyte.settings import Settings


class ForegroundSettings(Settings):
    """Which voxels belong to a cell; never an empty field's noise."""

    method: Literal["half-maximum", "otsu", "local-adaptive", "value"] = "half-maximum"
    """Half-way between background and cell; Otsu's; one that follows the neighbourhood; a given value."""
    value: float | None = None
    """The threshold in the image's unit, for ``value``."""
    fraction: float = Field(default=0.5, gt=0, lt=1)
    """Where ``half-maximum`` cuts between background (0) and cell (1); ``local-adaptive`` never cuts below."""
    core_fraction: float = Field(default=0.5, gt=0, lt=1)
    """``half-maximum`` and ``local-adaptive``: an object counts only if it reaches this far from background (0) to
    cell (1) somewhere, which keeps uneven background and noise out."""
    min_contrast_to_noise: float = Field(default=3.0, ge=0)
    """Cells must stand this many background deviations out, else the field is empty (not for ``value``)."""
    is_bright: bool = True
    """Whether cells have higher values than the background."""
    smoothing_um: float = Field(default=0.3, ge=0, le=20)
    """Gaussian sigma in µm before the threshold; it moves the surface of a cell of radius R inwards by sigma²/R."""
    local_window_um: float = Field(default=15.0, gt=0, le=500)
    """Neighbourhood (Gaussian sigma) of ``local-adaptive`` in µm."""

    @model_validator(mode="after")
    def _value_is_given(self) -> ForegroundSettings:
        if (self.method == "value") != (self.value is not None):
            raise ValueError("give 'value' with method 'value', and only then")
        return self


class NucleusSettings(Settings):
    """How nuclei are found inside cells."""

    method: Literal["none", "dark-core", "edge"] = "none"
    """A core of lower values; the edge-based method that OS-Net was compared with (Sobel)."""
    erosion_um: float = Field(default=1.0, ge=0, le=20)
    """How deep below the cell's surface a nucleus may begin, in µm."""
    smoothing_um: float = Field(default=0.4, ge=0, le=20)
    """Gaussian sigma in µm before the threshold."""
    min_fraction: float = Field(default=0.05, ge=0, le=1)
    """Smallest nucleus as a fraction of its cell."""
    max_fraction: float = Field(default=0.7, ge=0, le=1)
    """Largest nucleus as a fraction of its cell."""
    min_contrast: float = Field(default=0.0005, ge=0)
    """Smallest difference between cytoplasm and nucleus, in the image's unit."""
    opening_um: float = Field(default=0.8, ge=0, le=20)
    """What is thinner than twice this (rims, tails) is cut off a dark core; a core that is mostly thin is none."""
    min_solidity: float = Field(default=0.75, ge=0, le=1)
    """Smallest share of its convex hull that a dark core fills; a shell or a rim is no nucleus."""


class InclusionSettings(Settings):
    """How bright inclusions are found inside cells."""

    method: Literal["none", "bright"] = "none"
    """Voxels far above their cell's own spread."""
    n_deviations: float = Field(default=3.0, gt=0)
    """How many robust standard deviations above the cell's median an inclusion's peak lies."""
    rim_fraction: float = Field(default=0.5, gt=0, le=1)
    """Where an inclusion ends, as a fraction of the way from the cell's median to the level its peak must reach."""
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


class InstanceSettings(Settings):
    """How probabilities become objects."""

    threshold: float = Field(default=0.5, gt=0, lt=1)
    """A voxel belongs to an object above this probability."""
    core_threshold: float = Field(default=0.5, gt=0, lt=1)
    """Two outputs: a voxel belongs to a core above this probability of the second one."""
    min_volume_um3: float = Field(default=1.0, ge=0)
    """Smallest object in µm³ (3-D)."""
    min_area_um2: float = Field(default=1.0, ge=0)
    """Smallest object in µm² (2-D)."""
    min_core_volume_um3: float = Field(default=0.2, ge=0)
    """Smallest core in µm³ (3-D); smaller ones are noise."""
    min_core_area_um2: float = Field(default=0.2, ge=0)
    """Smallest core in µm² (2-D)."""
    is_coreless_kept: bool = True
    """Two outputs: whether a part of the mask without any core is an object of its own; otherwise it is dropped."""
    is_hole_filled: bool = True
    """Whether holes inside an object belong to it."""
    is_border_cleared: bool = False
    """Whether objects cut by the lateral (y, x) border are dropped; z faces do not count."""
    split: SplitSettings = SplitSettings(method="none")
    """One output: how touching objects are separated. Intensities here are probabilities."""
