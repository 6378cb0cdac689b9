"""Channels of a volume by name, those among them that are derived from others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from tomocyte.channels.derived import derived_volume
from tomocyte.channels.ratio import DERIVED_CHANNELS
from tomocyte.channels.roles import ChannelSettings
from tomocyte.errors import MetadataError
from tomocyte.volume import Volume


def channels_of(volume: Volume, names: Sequence[str], settings: ChannelSettings | None = None) -> Volume:
    """Some channels of a volume, in the order given; intensity and ratio are derived where they are not stored.

    Parameters
    ----------
    volume : Volume
    names : sequence of str
    settings : ChannelSettings, optional
        Of derived channels.

    Raises
    ------
    MetadataError
        ``E-CHANNEL``: there is no such channel.

    Examples
    --------
    >>> import numpy as np
    >>> volume = Volume.from_array(np.arange(3).reshape(3, 1, 1, 1), channel_names=("green", "yellow", "red"))
    >>> channels_of(volume, ["red", "green"]).planes(0, 0, 0, 1).item()
    2
    """
    if set(names) & (set(DERIVED_CHANNELS) - set(volume.channels)):
        volume = derived_volume(volume, settings, is_alone=False)
    missing = [name for name in names if name not in volume.channels]
    if missing:
        raise MetadataError(
            "E-CHANNEL",
            f"there is no channel {missing[0]!r}.",
            path=volume.path,
            cure=f"Give some of: {', '.join(volume.channels)}.",
        )
    indices = [volume.channels.index(name) for name in names]
    source = volume

    def read_planes(frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        return source.planes(frame, indices[channel], z_start, z_stop)

    return volume.with_properties(
        shape=(volume.n_frames, len(indices), *volume.spatial_shape),
        read_planes=read_planes,
        channel_names=tuple(names),
    )
