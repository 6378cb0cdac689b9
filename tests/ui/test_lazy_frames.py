"""A channel as an array: what is asked for is read and nothing else, and slices are those of NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.ui.napari.frames import LazyFrames
from tomocyte.volume import Volume

VOXELS = np.arange(3 * 2 * 4 * 5 * 6).reshape(3, 2, 4, 5, 6).astype(np.float32)


def counted(voxels: np.ndarray) -> tuple[Volume, list[tuple[int, int, int, int]]]:
    """A volume and a list of what was read of it."""
    read: list[tuple[int, int, int, int]] = []

    def planes(*place: int) -> np.ndarray:
        read.append(place)
        frame, channel, start, stop = place
        return voxels[frame, channel, start:stop]

    return Volume(shape=voxels.shape, dtype=voxels.dtype, read_planes=planes), read


@pytest.mark.parametrize(
    "key",
    [
        1,
        (2, 3),
        (slice(None), 1, slice(1, 4), slice(None)),
        (0, slice(None), 2, slice(None)),
        (slice(0, 3, 2), slice(3, 0, -1)),
        (..., 4),
        (1, ..., slice(2, 3)),
        (slice(2, 2),),
        (np.int64(1), [0, 2]),
        (-1, -2, -3, -4),
    ],
)
def test_slices_are_those_of_the_whole_array(key) -> None:
    frames = LazyFrames(Volume.from_array(VOXELS), 1)
    np.testing.assert_array_equal(frames[key], VOXELS[:, 1][key])


def test_axes_of_length_one_are_left_out() -> None:
    assert LazyFrames(Volume.from_array(VOXELS[:1, :, :1])).shape == (5, 6)
    assert LazyFrames(Volume.from_array(VOXELS[:1])).shape == (4, 5, 6)
    film = LazyFrames(Volume.from_array(VOXELS[:, :, :1]))
    assert (film.axes, film.shape, len(film), film.nbytes) == ("TYX", (3, 5, 6), 3, 360)
    np.testing.assert_array_equal(np.asarray(film), VOXELS[:, 0, 0])
    with pytest.raises(IndexError, match="4 indices for 3 axes"):
        film[0, 0, 0, 0]


def test_only_what_is_looked_at_is_read_and_sections_read_a_frame_once() -> None:
    volume, read = counted(VOXELS)
    frames = LazyFrames(volume, 1)
    assert read == []
    frames[2, 1]
    assert read == [(2, 1, 1, 2)]
    frames[0, :, 3]
    frames[0, :, 4]
    assert read[1:] == [(0, 1, 0, 4)]
