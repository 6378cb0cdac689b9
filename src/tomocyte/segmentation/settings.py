"""Settings of the classical engine and of making objects from probabilities, one frozen class per step."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from tomocyte.labels.settings import CleanSettings, SplitSettings
from tomocyte.settings import Settings

SCALES = {
    "foreground": ("smoothing_um", "local_window_um"),
    "split": ("smoothing_um", "window_um", "min_separation_um"),
    "clean": ("min_volume_um3", "min_area_um2"),
}
"""Settings that may be empty: then they follow the objects' diameter."""


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
    smoothing_um: float | None = Field(default=0.3, ge=0, le=20)
    """Gaussian sigma in µm before the threshold; it moves the surface of a cell of radius R inwards by sigma²/R.
    Empty: from the objects' diameter."""
    local_window_um: float | None = Field(default=15.0, gt=0, le=500)
    """Neighbourhood (Gaussian sigma) of ``local-adaptive`` in µm. Empty: from the objects' diameter."""
    own_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Each object is cut where it falls to this share between the background around it and its own mean, so that dim
    and bright objects are both outlined; 0: one level for all. For bright objects."""
    min_significance: float = Field(default=0.0, ge=0)
    """An object counts only if, at the objects' scale, it stands this many times as far out as noise does once in a
    thousand images; 0: not tested. For bright objects."""

    is_dim_sought: bool = False
    """Whether objects that are much dimmer than those found are sought in what remains of the image without them. For
    bright objects; with ``min_significance``."""

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


class CapillarySettings(Settings):
    """How the glass that holds the cells is found; what lies outside it is no cell."""

    method: Literal["none", "circle"] = "none"
    """``circle``: a hollow cylinder along z that absorbs more than the cells in it."""
    rim_um: float = Field(default=0.35, ge=0, le=2)
    """How far the glass blurs inwards in µm: cells are sought inside of that, and those that reach it are carried on
    to the glass."""


class BeadSettings(Settings):
    """How polystyrene beads are found."""

    method: Literal["none", "ball"] = "none"
    """``ball``: round, even inside, and brighter than cells."""
    min_diameter_um: float = Field(default=1.0, gt=0, le=50)
    """Smallest bead in µm."""
    max_diameter_um: float = Field(default=6.0, gt=0, le=100)
    """Largest bead in µm."""
    smoothing_um: float = Field(default=0.1, ge=0, le=5)
    """Gaussian sigma in µm before thresholds."""
    min_contrast: float = Field(default=1.5, ge=0)
    """How many times as far as the usual bright voxel a bead stands out of the medium, at least."""
    max_unevenness: float = Field(default=0.15, gt=0, le=1)
    """Robust standard deviation inside a bead over its contrast, at most; a cell holds organelles."""
    min_roundness: float = Field(default=0.9, ge=0, le=1)
    """Overlap (Dice) of a bead with the ball that fits it best, at least."""
    rim_um: float = Field(default=0.2, ge=0, le=2)
    """How far a bead blurs outwards in µm: there is no cell there."""


class SegmentationSettings(Settings):
    """The classical engine, step by step."""

    object_diameter_um: float = Field(default=0.0, ge=0, le=2000)
    """Typical diameter of an object in µm, which every scale that is empty follows: smoothing, neighbourhood, smallest
    object, distance of seeds. 0: estimated from the image where a scale is empty."""
    foreground: ForegroundSettings = ForegroundSettings()
    split: SplitSettings = SplitSettings()
    clean: CleanSettings = CleanSettings()
    nucleus: NucleusSettings = NucleusSettings()
    inclusion: InclusionSettings = InclusionSettings()
    capillary: CapillarySettings = CapillarySettings()
    bead: BeadSettings = BeadSettings()

    @model_validator(mode="before")
    @classmethod
    def _scales_follow_the_diameter(cls, content: Any) -> Any:
        """A diameter that is given empties the scales that are not."""
        if not isinstance(content, dict) or not content.get("object_diameter_um"):
            return content
        content = dict(content)
        for part, names in SCALES.items():
            values = content.get(part, {})
            if isinstance(values, Settings):
                values = values.model_dump(exclude_unset=True)
            if isinstance(values, dict):
                content[part] = {**dict.fromkeys(names), **values}
        return content

    @model_validator(mode="after")
    def _diameter_has_an_effect(self) -> SegmentationSettings:
        if self.object_diameter_um and not self.follows_diameter:
            raise ValueError(
                "'object_diameter_um' has no effect, since every scale is given; leave those out that should follow it"
            )
        return self

    @property
    def follows_diameter(self) -> bool:
        """Whether anything depends on the objects' diameter."""
        is_empty = any(getattr(getattr(self, part), name) is None for part, names in SCALES.items() for name in names)
        return is_empty or self.foreground.min_significance > 0


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
