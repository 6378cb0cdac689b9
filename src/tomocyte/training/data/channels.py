"""Channels that a network sees as a constant, to find out what they are worth.

Which channels are read at all is said by the labelled items; to hide part of one, do it in :func:`with_constants`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import MetadataError
from tomocyte.volume import Volume


@dataclass(frozen=True)
class PlanesWithConstants:
    """Planes of a volume of which some channels are 0 throughout; picklable.

    Parameters
    ----------
    volume : Volume
    constant : tuple of int
        Those channels.
    """

    volume: Volume
    constant: tuple[int, ...]

    def __call__(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Planes (z_stop - z_start, Y, X)."""
        if channel in self.constant:
            return np.zeros((z_stop - z_start, *self.volume.spatial_shape[1:]), self.volume.dtype)
        return self.volume.planes(frame, channel, z_start, z_stop)


def with_constants(volume: Volume, names: Sequence[str]) -> Volume:
    """A volume whose channels of these names are 0 everywhere, in the image's unit.

    Parameters
    ----------
    volume : Volume
    names : sequence of str

    Raises
    ------
    MetadataError
        ``E-CHANNEL``: it has no channel of that name.

    Examples
    --------
    >>> voxels = np.stack([np.full((1, 2, 2), 5), np.full((1, 2, 2), 7)])
    >>> seen = with_constants(Volume.from_array(voxels, channel_names=("intensity", "ratio")), ["ratio"])
    >>> [int(seen.planes(0, channel).max()) for channel in (0, 1)]
    [5, 0]
    """
    unknown = [name for name in names if name not in volume.channels]
    if unknown:
        raise MetadataError(
            "E-CHANNEL",
            f"there is no channel {unknown[0]!r} to hide.",
            path=volume.path,
            cure=f"Name one of these in data.constant_channels: {', '.join(volume.channels)}.",
        )
    if not names:
        return volume
    constant = tuple(volume.channels.index(name) for name in names)
    return volume.with_properties(read_planes=PlanesWithConstants(volume, constant))
