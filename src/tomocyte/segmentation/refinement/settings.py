"""Settings of the second level."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from tomocyte.settings import Settings
from tomocyte.volume import VoxelSize

SMOOTHING_VOXELS = 1.25
WINDOW_VOXELS = 16.0
BAND_VOXELS = 4.0
BAND_OF_FIRST_LEVEL = 1.6
"""A surface of the first level is trusted to so many of its voxels."""


class RefinementSettings(Settings):
    """Whether, and how, surfaces are refined at the image's own voxel size."""

    method: Literal["none", "boundary", "network"] = "none"
    """``boundary``: the surface moves to where grey values are half-way between those inside and outside near by, thin
    protrusions that hang on the object are added, and what is unlike it and reaches in is taken out. ``network``: a
    second network sees the image and the labels in patches around the surface, as ACSeg's second level."""
    structures: tuple[str, ...] = ()
    """Which structures; empty: the main objects."""
    band_um: float | None = Field(default=None, gt=0, le=20)
    """How far a surface may move, in µm. Empty: 1.6 voxels of the network that found it, at least 4 of the image."""
    smoothing_um: float | None = Field(default=None, ge=0, le=5)
    """Gaussian sigma in µm before grey values are compared; it widens thin protrusions. Empty: 1.25 voxels."""
    window_um: float | None = Field(default=None, gt=0, le=100)
    """Neighbourhood (Gaussian sigma in µm) in which grey values inside and outside are averaged. Empty: 16 voxels."""
    prior: float = Field(default=0.3, ge=0, le=2)
    """How much the first level counts against the image within the band: at the band's ends, so many times the
    difference between inside and outside."""
    min_contrast_to_noise: float = Field(default=2.0, ge=0, le=100)
    """Where inside and outside differ by less than so many standard deviations of the smoothed values outside, the
    first level stays."""
    protrusion_width_um: float = Field(default=0.35, ge=0, le=20)
    """Widest protrusion in µm that is added beyond the band; what is thicker is another object or debris. 0: none."""
    protrusion_length_um: float = Field(default=4.0, ge=0, le=100)
    """How far from the first level's surface protrusions are followed, in µm."""
    faintest_protrusion: float = Field(default=0.25, gt=0, le=1)
    """Part of the difference between inside and outside that a protrusion must reach: blur makes thin ones faint."""
    intrusion_depth_um: float = Field(default=4.0, ge=0, le=100)
    """How deep, in µm, what is like the outside or beyond it is followed into the object and taken out. 0: not beyond
    the band."""
    intrusion_width_um: float | None = Field(default=None, gt=0, le=20)
    """Narrowest of such parts, in µm. Empty: 8 voxels, so that noise makes none."""
    model: str | None = None
    """``network``: its name, or the folder of its package; its last channel is ``labels``."""
    stride: int = Field(default=32, ge=1, le=512)
    """``network``: voxels from one patch to the next."""

    @model_validator(mode="after")
    def _network_is_named(self) -> RefinementSettings:
        if (self.method == "network") != (self.model is not None):
            raise ValueError("give 'model' with method 'network', and only then")
        return self

    def for_image(self, voxel_size_um: VoxelSize, first_level_um: float = 0.0) -> RefinementSettings:
        """The settings with every empty length in µm.

        Parameters
        ----------
        voxel_size_um : tuple of 3 float
            Of the image.
        first_level_um : float
            Largest side of a voxel that the first level saw, in µm; 0: that of the image.

        Examples
        --------
        >>> settings = RefinementSettings(method="boundary").for_image((0.05, 0.05, 0.05), 0.2)
        >>> settings.band_um, settings.smoothing_um, settings.window_um
        (0.32, 0.0625, 0.8)
        """
        side = math.prod(voxel_size_um) ** (1 / 3)
        band = max(BAND_OF_FIRST_LEVEL * first_level_um, BAND_VOXELS * side)
        lengths = {
            "band_um": band,
            "smoothing_um": SMOOTHING_VOXELS * side,
            "window_um": WINDOW_VOXELS * side,
            "intrusion_width_um": 8 * side,
        }
        empty = {name: round(length, 6) for name, length in lengths.items() if getattr(self, name) is None}
        return self.model_copy(update=empty)
