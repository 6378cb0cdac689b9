"""Several channels of one field: what they give together, and how they are laid on each other.

:mod:`ratio` makes intensity and ratio of two channels of a polarity stain, :mod:`roles` tells which channel is which,
:mod:`derived` shows a volume with what is derived from it, :mod:`selection` some channels of a volume by name.
"""

from __future__ import annotations

from tomocyte.channels.derived import derived_volume, has_derived_channels
from tomocyte.channels.ratio import (
    DERIVED_CHANNELS,
    INTENSITY,
    RATIO,
    Direction,
    RatioLevels,
    RatioSettings,
    intensity_and_ratio,
    ratio_levels,
)
from tomocyte.channels.roles import ChannelSettings, Roles, channel_roles
from tomocyte.channels.selection import channels_of

__all__ = [
    "DERIVED_CHANNELS",
    "INTENSITY",
    "RATIO",
    "ChannelSettings",
    "Direction",
    "RatioLevels",
    "RatioSettings",
    "Roles",
    "channel_roles",
    "channels_of",
    "derived_volume",
    "has_derived_channels",
    "intensity_and_ratio",
    "ratio_levels",
]
