"""Arrays of an HDF5 file that are no image, such as the weights of a network: each looked at before it is read.

Links into other files, plugins, virtual and external storage and arrays that claim more than they hold are refused as
they are for images. To read another kind of content, add a method to :class:`Hdf5Arrays`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.formats._hdf5_safety import attribute, check_dataset, has_object, is_hdf5, object_at, opened
from tomocyte.formats._hostile import FileStamp


class Hdf5Arrays:
    """The content of an open HDF5 file by paths such as ``/meta/labels``."""

    def __init__(self, file: h5py.File, path: Path) -> None:
        self._file = file
        self._path = path

    def has(self, name: str) -> bool:
        """Whether a group or an array of that path is in the file."""
        return has_object(self._file, name, self._path)

    def attribute(self, place: str, name: str) -> NDArray[Any] | None:
        """A small attribute of a group as an array of numbers or of ``str``; ``None`` without one."""
        return attribute(object_at(self._file, place, self._path), name, self._path)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an array of numbers.

        Raises
        ------
        InputError
            ``E-HDF5-MISSING``, ``E-HDF5-LINK``, ``E-DTYPE``.
        """
        return tuple(self._array(name).shape)

    def read(self, name: str) -> NDArray[Any]:
        """An array of numbers; ask for its shape first where its size matters.

        Raises
        ------
        InputError
            As :meth:`shape`; ``E-HDF5-…`` and ``E-BOMB`` for what is not stored in the file as it says.
        """
        dataset = self._array(name)
        if dataset.shape == () and not dataset.external and not dataset.is_virtual:  # HDF5 stores a number whole
            return np.asarray(dataset[()])
        if check_dataset(dataset, self._file, self._path):
            raise InputError("E-HDF5-TRUNC", f"a part of {dataset.name} was never written.", path=self._path)
        return np.asarray(dataset[()])

    def _array(self, name: str) -> h5py.Dataset:
        found = object_at(self._file, name, self._path)
        if not isinstance(found, h5py.Dataset) or found.shape is None or found.dtype.kind not in "biuf":
            raise InputError("E-DTYPE", f"{name} is not an array of numbers.", path=self._path)
        return found


@contextmanager
def hdf5_arrays(path: Path) -> Iterator[Hdf5Arrays]:
    """An HDF5 file, open for reading.

    Parameters
    ----------
    path : Path

    Raises
    ------
    InputError
        ``E-HDF5-DAMAGED``: not HDF5, or HDF5 cannot read it; ``E-NOT-FOUND``.
    """
    stamp = FileStamp.of(path)
    if not is_hdf5(path):
        raise InputError("E-HDF5-DAMAGED", "is not an HDF5 file.", path=path, cure="Get the file again.")
    with opened(stamp) as file:
        yield Hdf5Arrays(file, path)
