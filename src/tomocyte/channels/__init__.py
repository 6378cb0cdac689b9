"""Several channels of one field: what they give together, and how they are laid on each other.

:mod:`ratio` makes intensity and ratio of two channels of a polarity stain.
"""

from __future__ import annotations

from tomocyte.channels.ratio import (
    DERIVED_CHANNELS,
    Direction,
    RatioLevels,
    RatioSettings,
    intensity_and_ratio,
    ratio_levels,
)

__all__ = ["DERIVED_CHANNELS", "Direction", "RatioLevels", "RatioSettings", "intensity_and_ratio", "ratio_levels"]
