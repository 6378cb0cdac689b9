"""Films of single planes as volumes whose slices are the frames.

Frames count as one pixel apart: there is no length along time, and what is followed moves by a few pixels per frame.
To let another distance count, change :func:`as_volume`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.volume import Volume


def is_film(volume: Volume) -> bool:
    """Whether a file has several frames of one plane each."""
    return volume.n_frames > 1 and volume.is_2d


def as_volume(film: Volume, size_of: Volume) -> Volume:
    """The frames of a film as the planes of a volume (1, C, T, Y, X), with the pixels of a film, as far apart as these.

    Examples
    --------
    >>> film = Volume.from_array(np.zeros((5, 1, 1, 3, 4), np.uint8), voxel_size_um=(np.nan, 0.3, 0.2))
    >>> as_volume(film, film).shape, as_volume(film, film).voxel_size_um
    ((1, 1, 5, 3, 4), (0.2, 0.3, 0.2))
    """
    pixel = size_of.require_voxel_size()[1:]
    shape = (1, film.n_channels, film.n_frames, *film.shape[3:])
    size = (min(pixel), *pixel)
    return film.with_properties(shape=shape, read_planes=FramesAsPlanes(film), voxel_size_um=size, time_s=None)


@dataclass(frozen=True)
class FramesAsPlanes:
    """``read_planes`` of a film seen as a volume; picklable."""

    film: Volume

    def __call__(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:  # noqa: ARG002
        """Planes (z_stop - z_start, Y, X)."""
        planes = np.empty((z_stop - z_start, *self.film.shape[3:]), self.film.dtype)
        for place, time in enumerate(range(z_start, z_stop)):
            planes[place] = self.film.planes(time, channel)[0]
        return planes
