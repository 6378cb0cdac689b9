"""Settings of splitting and cleaning label images, one frozen class per step."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tomocyte.errors import SettingsError
from tomocyte.settings import Settings


def required(scale: float | None) -> float:
    """A scale in µm, which must have been given or derived from the objects' diameter.

    Raises
    ------
    SettingsError
        ``E-SCALE``: it is empty.
    """
    if scale is None:
        raise SettingsError(
            "E-SCALE",
            "a scale of the segmentation is empty, and there is no object diameter here that it could follow.",
            cure="Give the number in the settings.",
        )
    return scale


class SplitSettings(Settings):
    """How touching cells are separated (seeded watershed)."""

    method: Literal["none", "distance", "intensity", "local-contrast", "bodies"] = "distance"
    """Seeds and landscape from the distance to the border, the smoothed intensity, or the contrast to the vicinity.
    ``bodies``: as ``distance``, but without what is thinner than ``thin_um``, which stays with the body it grows from.
    """
    smoothing_um: float | None = Field(default=0.5, ge=0, le=20)
    """Gaussian sigma in µm of the intensity before seeds are detected. Empty: from the objects' diameter."""
    window_um: float | None = Field(default=4.0, gt=0, le=200)
    """Gaussian sigma in µm of the neighbourhood of ``local-contrast``: about half a cell's radius. Empty: as above."""
    min_separation_um: float | None = Field(default=5.0, gt=0, le=200)
    """Smallest distance between two cells' seeds in µm. Empty: from the objects' diameter."""
    prominence: float = Field(default=0.15, ge=0, le=1)
    """How far, as a fraction of the peak's height, the landscape must fall between two seeds."""
    thin_um: float = Field(default=0.8, gt=0, le=20)
    """``bodies``: filopodia, microvilli and bridges up to this thickness in µm are no bodies."""
    max_contact: float = Field(default=1.0, gt=0)
    """``bodies``: two bodies are one where they meet over more than this share of the smaller one's cross-section, the
    circle of its depth: without a waist."""
    seed_fraction: float = Field(default=0.1, ge=0, le=1)
    """Smallest size of a hill that makes a seed, as a fraction of the smallest cell."""


class CleanSettings(Settings):
    """Which components count as objects."""

    min_volume_um3: float | None = Field(default=50.0, ge=0)
    """Smallest object in µm³ (3-D). Empty: from the objects' diameter."""
    min_area_um2: float | None = Field(default=25.0, ge=0)
    """Smallest object in µm² (2-D). Empty: from the objects' diameter."""
    is_hole_filled: bool = True
    """Whether holes inside an object belong to it."""
    is_border_cleared: bool = False
    """Whether objects cut by the lateral (y, x) border are dropped; z faces do not count."""
