"""A channel of a volume as an array of which only what is looked at is read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.volume import Volume


class LazyFrames:
    """One channel of a volume, without its time and z axes where these have length 1.

    Slicing reads the planes asked for; those read last are kept, so that sections along y and x read a frame once.

    Parameters
    ----------
    volume : Volume
    channel : int

    Examples
    --------
    >>> frames = LazyFrames(Volume.from_array(np.arange(24).reshape(2, 1, 3, 2, 2), time_s=(0.0, 1.0)))
    >>> frames.shape, frames[1, 2].tolist()
    ((2, 3, 2, 2), [[20, 21], [22, 23]])
    """

    def __init__(self, volume: Volume, channel: int = 0) -> None:
        self.volume = volume
        self.channel = channel
        self._kept: tuple[tuple[int, int, int], NDArray[Any]] | None = None

    @property
    def axes(self) -> str:
        """Those of ``TZYX`` that it has."""
        frames, _, planes = self.volume.shape[:3]
        return "T" * (frames > 1) + "Z" * (planes > 1) + "YX"

    @property
    def shape(self) -> tuple[int, ...]:
        """One length per axis."""
        sizes = dict(zip("TCZYX", self.volume.shape, strict=True))
        return tuple(sizes[axis] for axis in self.axes)

    @property
    def ndim(self) -> int:
        """2 to 4."""
        return len(self.axes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the voxels."""
        return self.volume.dtype

    @property
    def size(self) -> int:
        """Number of voxels."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes that all of it would take."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[(slice(None),) * self.ndim], dtype=dtype)

    def __getitem__(self, key: Any) -> Any:
        full = self._full_key(key)
        frame, z = (full.get(axis, 0) for axis in "TZ")
        frames, planes = (
            [int(at) for at in np.atleast_1d(np.arange(n)[part])]
            for n, part in ((self.volume.n_frames, frame), (self.volume.shape[2], z))
        )
        voxels = np.empty((len(frames), len(planes), *self.volume.shape[3:]), self.dtype)
        for place, index in enumerate(frames if planes else []):
            low, high = min(planes), max(planes) + 1
            block = self._planes(index, low, high)
            voxels[place] = block if planes == list(range(low, high)) else block[np.array(planes) - low]
        dropped = tuple(0 if isinstance(part, int | np.integer) else slice(None) for part in (frame, z))
        return voxels[(*dropped, full["Y"], full["X"])]

    def _full_key(self, key: Any) -> dict[str, Any]:
        """What is asked for of each axis: a whole number, a slice or a list."""
        parts = list(key) if isinstance(key, tuple) else [key]
        if any(part is Ellipsis for part in parts):
            place = next(index for index, part in enumerate(parts) if part is Ellipsis)
            parts[place : place + 1] = [slice(None)] * (self.ndim - len(parts) + 1)
        if len(parts) > self.ndim:
            raise IndexError(f"{len(parts)} indices for {self.ndim} axes")
        return dict(zip(self.axes, [*parts, *[slice(None)] * (self.ndim - len(parts))], strict=True))

    def _planes(self, frame: int, low: int, high: int) -> NDArray[Any]:
        place = (frame, low, high)
        if self._kept is None or self._kept[0] != place:
            self._kept = (place, self.volume.planes(frame, self.channel, low, high))
        return self._kept[1]
