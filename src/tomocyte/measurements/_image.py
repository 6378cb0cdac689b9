"""The physical image as the measurements see it: an array, or a reader that reads planes on demand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

SLAB_PLANES = 8
CACHE_BYTES = 64 << 20


class Image(Protocol):
    """Voxels (C, Z, Y, X) in physical units that can be sliced like a NumPy array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """C, Z, Y, X."""

    def __getitem__(self, where: Any, /) -> Any:
        """``image[channel, z, y, x]`` with an integer and three slices."""


class PlanesImage:
    """An image (C, Z, Y, X) that is read on demand, a slab of planes at a time.

    Parameters
    ----------
    shape : tuple of 4 int
        C, Z, Y, X.
    read_planes : callable
        ``read_planes(channel, z_start, z_stop) -> (z_stop - z_start, Y, X)`` in physical units.

    Examples
    --------
    >>> voxels = np.arange(24.0).reshape(1, 4, 3, 2)
    >>> image = PlanesImage(voxels.shape, lambda channel, start, stop: voxels[channel, start:stop])
    >>> image[0, 1:2, 0:1, :].tolist()
    [[[6.0, 7.0]]]
    """

    def __init__(self, shape: tuple[int, ...], read_planes: Callable[[int, int, int], NDArray[Any]]) -> None:
        self._shape = shape
        self._read_planes = read_planes
        self._slabs: OrderedDict[tuple[int, int], NDArray[Any]] = OrderedDict()

    @property
    def shape(self) -> tuple[int, ...]:
        """C, Z, Y, X."""
        return self._shape

    def __getitem__(self, where: tuple[int, slice, slice, slice]) -> NDArray[Any]:
        channel, planes, rows, columns = where
        start, stop, _ = planes.indices(self._shape[1])
        slabs = []
        for slab_start in range(start - start % SLAB_PLANES, stop, SLAB_PLANES):
            slab = self._slab(channel, slab_start)
            slabs.append(slab[max(start - slab_start, 0) : stop - slab_start, rows, columns])
        return np.concatenate(slabs) if len(slabs) > 1 else slabs[0]

    def _slab(self, channel: int, start: int) -> NDArray[Any]:
        """Planes ``start`` to ``start + SLAB_PLANES``, kept while they fit into :data:`CACHE_BYTES` per channel."""
        key = (channel, start)
        if key not in self._slabs:
            self._slabs[key] = self._read_planes(channel, start, min(start + SLAB_PLANES, self._shape[1]))
            while (
                len(self._slabs) > 1
                and sum(slab.nbytes for slab in self._slabs.values()) > CACHE_BYTES * self._shape[0]
            ):
                self._slabs.popitem(last=False)
        self._slabs.move_to_end(key)
        return self._slabs[key]


class CroppedImage:
    """A box of another image, read on demand.

    Parameters
    ----------
    image : Image
    box : tuple of 3 slice
        z, y, x with start and stop.
    """

    def __init__(self, image: Image, box: tuple[slice, slice, slice]) -> None:
        self._image = image
        self._box = box

    @property
    def shape(self) -> tuple[int, ...]:
        """C, z, y, x."""
        return (self._image.shape[0], *(side.stop - side.start for side in self._box))

    def __getitem__(self, where: tuple[int, slice, slice, slice]) -> NDArray[Any]:
        channel, *inner = where
        ranges = (range(side.start, side.stop)[slice_] for side, slice_ in zip(self._box, inner, strict=True))
        voxels: NDArray[Any] = self._image[(channel, *(slice(indices.start, indices.stop) for indices in ranges))]
        return voxels


def crop(image: Image, box: tuple[slice, slice, slice]) -> Image:
    """The image inside a box: a view of an array, otherwise an image that is read on demand."""
    if isinstance(image, np.ndarray):
        view: Image = image[(slice(None), *box)]
        return view
    return CroppedImage(image, box)
