"""Arrays of files that may be larger than memory: read slice by slice, or kept in files without a name.

What is small stays in memory. To change what counts as small, change :data:`LARGEST_IN_MEMORY`.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.dtypes import label_dtype, refit
from tomocyte.ledger.atomic import writing
from tomocyte.volume import Planes, Volume, VolumePlanes

LARGEST_IN_MEMORY = 2**30
"""Bytes of an array that is kept in memory."""


class LargeArrays:
    """Arrays in memory, or, where they are large, in files beside an output that are gone with the program.

    Parameters
    ----------
    output : Path
        The files lie in its folder, or in the nearest one that exists.
    largest_bytes : int, optional
        Arrays up to this size are kept in memory; :data:`LARGEST_IN_MEMORY` when not given.
    """

    def __init__(self, output: Path, largest_bytes: int | None = None) -> None:
        self.output = output
        self.largest_bytes = LARGEST_IN_MEMORY if largest_bytes is None else largest_bytes
        self._maps: list[mmap.mmap] = []

    def is_large(self, shape: tuple[int, ...], dtype: Any) -> bool:
        """Whether an array of this shape and type is kept in a file."""
        n_bytes: int = math.prod(shape) * np.dtype(dtype).itemsize
        return n_bytes > self.largest_bytes

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """An array of zeros, as ``numpy.zeros`` makes them.

        Raises
        ------
        OutputError
            ``E-DISK``: there is no room for the file, which is reserved before anything is written to it.
        """
        if not self.is_large(shape, dtype):
            return np.zeros(shape, dtype)
        n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        folder = next(folder for folder in self.output.absolute().parents if folder.exists())
        with writing(self.output), tempfile.TemporaryFile(dir=folder) as stream:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(stream.fileno(), 0, n_bytes)
            else:
                stream.truncate(n_bytes)
            mapped = mmap.mmap(stream.fileno(), n_bytes)
        self._maps.append(mapped)
        return np.frombuffer(mapped, np.dtype(dtype)).reshape(shape)

    def release(self) -> None:
        """Leave it to the system to hold what was written to files, or to write it out; nothing is lost."""
        for mapped in self._maps if hasattr(mmap, "MADV_DONTNEED") else ():
            mapped.madvise(mmap.MADV_DONTNEED)

    def array(self, volume: Volume) -> NDArray[Any]:
        """The only channel of the only frame, (Z, Y, X)."""
        if not self.is_large(volume.spatial_shape, volume.dtype):
            return volume.planes(0, 0)
        return self._filled(volume, volume.dtype)

    def planes(self, volume: Volume) -> Planes:
        """The same, of a large volume only what is asked for."""
        is_large = self.is_large(volume.spatial_shape, volume.dtype)
        return VolumePlanes(volume) if is_large else volume.planes(0, 0)

    def labels(self, volume: Volume) -> NDArray[np.unsignedinteger[Any]]:
        """Labels (Z, Y, X) in the smallest unsigned type that holds them.

        Raises
        ------
        SettingsError
            ``E-LABELS-TYPE`` for negative or non-integer labels.
        """
        if not self.is_large(volume.spatial_shape, volume.dtype):
            return refit(volume.planes(0, 0))
        planes = VolumePlanes(volume)
        largest = max(int(refit(planes[z]).max(initial=0)) for z in range(len(planes)))
        return self._filled(volume, label_dtype(largest))

    def _filled(self, volume: Volume, dtype: Any) -> NDArray[Any]:
        filled = self.zeros(volume.spatial_shape, dtype)
        for z, plane in enumerate(filled):
            plane[:] = volume.planes(0, 0, z, z + 1)[0]
            if plane.nbytes * (z + 1) // self.largest_bytes > plane.nbytes * z // self.largest_bytes:
                self.release()
        return filled
