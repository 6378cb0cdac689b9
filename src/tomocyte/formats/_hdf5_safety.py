"""HDF5 without its surprises: no other files, no plugins, no bombs; shared by the generic reader and TCF.

An HDF5 file can pull in other files (external links, external storage, virtual datasets) and code (filter plugins), and
a few bytes can claim terabytes. Everything is looked at link by link before it is opened. To allow another filter, add
its registered number to :data:`ALLOWED_FILTERS` once HDF5 itself contains it.

References
----------
https://support.hdfgroup.org/documentation/hdf5-docs/registered_filter_plugins.html
"""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("HDF5_PLUGIN_PRELOAD", "::")  # before HDF5 starts: never load a filter from a shared library

import h5py
import numpy as np

from tomocyte.errors import InputError, MissingFact
from tomocyte.formats._handles import HandleCache
from tomocyte.formats._hostile import FileStamp, check_declared_bytes, parsing

ALLOWED_FILTERS: Final = {
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_FLETCHER32,
    h5py.h5z.FILTER_SZIP,
    h5py.h5z.FILTER_NBIT,
    h5py.h5z.FILTER_SCALEOFFSET,
    h5py.h5z.FILTER_LZF,
}
LARGEST_HOPS: Final = 8
LARGEST_OBJECTS: Final = 10_000
LARGEST_ATTRIBUTE_NBYTES: Final = 2**20
CHUNK_CACHE_NBYTES: Final = 256 * 2**20
CHUNK_MATTERS_ABOVE: Final = 256 * 2**20
LARGEST_EXPANSION: Final = 1000
LARGEST_HOLLOWNESS: Final = 100
"""An array with fewer than one written chunk in so many is incomplete, not sparse."""
CODE: Final = "E-HDF5-DAMAGED"


def is_hdf5(path: Path) -> bool:
    """Whether the file carries HDF5's signature; opens nothing else and never raises."""
    try:
        return path.is_file() and bool(h5py.is_hdf5(path))
    except (OSError, ValueError):
        return False


def _open(stamp: FileStamp) -> h5py.File:
    with parsing(stamp.path, CODE, what="its structure"):
        return h5py.File(stamp.path, "r", rdcc_nbytes=CHUNK_CACHE_NBYTES, rdcc_nslots=20_011)


class OpenHdf5:
    """An open file with the datasets used last: HDF5 forgets unpacked chunks when a dataset is closed."""

    def __init__(self, stamp: FileStamp) -> None:
        self._path = stamp.path
        self._file = _open(stamp)
        self._datasets: OrderedDict[str, h5py.Dataset] = OrderedDict()

    def dataset(self, name: str) -> h5py.Dataset:
        """A dataset, found and checked link by link the first time."""
        if name not in self._datasets:
            self._datasets[name] = object_at(self._file, name, self._path)
            while len(self._datasets) > 1 and self._cached_nbytes() > CHUNK_CACHE_NBYTES:
                self._datasets.popitem(last=False)
        self._datasets.move_to_end(name)
        return self._datasets[name]

    def _cached_nbytes(self) -> int:
        return sum(min(int(each.nbytes), CHUNK_CACHE_NBYTES) for each in self._datasets.values())

    def close(self) -> None:
        """Close the datasets and the file."""
        self._datasets.clear()
        self._file.close()


def _keep(stamp: FileStamp, options: None) -> OpenHdf5:  # noqa: ARG001  there is one way to open HDF5
    return OpenHdf5(stamp)


_FILES: HandleCache[None, OpenHdf5] = HandleCache(_keep)


@contextmanager
def opened(stamp: FileStamp) -> Iterator[h5py.File]:
    """The file, open for reading; anything HDF5 raises becomes ``E-HDF5-DAMAGED``."""
    stamp.check()
    with parsing(stamp.path, CODE, what="its structure"), _open(stamp) as file:
        yield file


@contextmanager
def cached_file(stamp: FileStamp) -> Iterator[OpenHdf5]:
    """The same, but left open for the next call, with its unpacked chunks, until :func:`release`."""
    stamp.check()
    with parsing(stamp.path, CODE, what="its voxels"), _FILES.lend(stamp, None) as file:
        yield file


def release(path: Path) -> None:
    """Close the file where this process keeps it open, so that it can be written."""
    _FILES.forget(path)


def object_at(file: h5py.File, name: str, path: Path, *, hops: int = 0) -> Any:
    """The group or dataset ``name``, each component of its path checked before it is followed.

    Parameters
    ----------
    file : h5py.File
        The open file.
    name : str
        Path inside the file; ``.`` is allowed, ``..`` does not exist in HDF5.
    path : Path
        The file, for the message.
    hops : int
        How many soft links were followed so far.

    Raises
    ------
    InputError
        ``E-HDF5-LINK`` for an external link or a loop of soft links; ``E-HDF5-MISSING``.
    """
    if hops > LARGEST_HOPS:
        raise _refused("E-HDF5-LINK", f"soft links lead from one to the next more than {LARGEST_HOPS} times", path)
    place, parts = file["/"], [part for part in name.split("/") if part not in ("", ".")]
    for index, part in enumerate(parts):
        link = place.get(part, getlink=True) if isinstance(place, h5py.Group) else None
        if link is None:
            here = "/" + "/".join(parts[: index + 1])
            raise InputError("E-HDF5-MISSING", f"has no {here}.", path=path, cure="It is incomplete; export it again.")
        if isinstance(link, h5py.SoftLink):
            target = link.path if link.path.startswith("/") else f"{place.name}/{link.path}"
            return object_at(file, "/".join([target, *parts[index + 1 :]]), path, hops=hops + 1)
        if not isinstance(link, h5py.HardLink):
            raise _refused("E-HDF5-LINK", f"{part!r} is a link into another file", path)
        place = place[part]
    return place


def has_object(file: h5py.File, name: str, path: Path) -> bool:
    """Whether ``name`` exists and is reached without leaving the file."""
    try:
        object_at(file, name, path)
    except InputError as error:
        if error.code == "E-HDF5-MISSING":
            return False
        raise
    return True


def check_dataset(dataset: h5py.Dataset, file: h5py.File, path: Path, *, depth: int = 0) -> tuple[str, ...]:
    """Refuse a dataset that reads other files, needs a plugin, is a bomb, or is incomplete.

    Parameters
    ----------
    dataset : h5py.Dataset
        Found by :func:`object_at`.
    file : h5py.File
        The file it is in.
    path : Path
        The file, for the message.
    depth : int
        How many virtual datasets lie above this one.

    Returns
    -------
    tuple of str
        ``W-HDF5-MISSING-CHUNKS: …`` when some chunks were never written.

    Raises
    ------
    InputError
        ``E-HDF5-EXTERNAL``, ``E-HDF5-VIRTUAL``, ``E-HDF5-FILTER``, ``E-BOMB``, ``E-HDF5-TRUNC``, ``E-SHAPE``,
        ``E-DTYPE``.
    """
    if dataset.external:
        raise _refused("E-HDF5-EXTERNAL", f"{dataset.name} keeps its voxels in another file", path)
    layout = dataset.id.get_create_plist()
    if dataset.is_virtual:
        check_declared_bytes(
            dataset.shape, dataset.dtype, path=path, stored_nbytes=FileStamp.of(path).nbytes, is_compressed=True
        )
        return _check_virtual(layout, file, path, depth)
    filters = {layout.get_filter(index)[0] for index in range(layout.get_nfilters())}
    if not filters <= ALLOWED_FILTERS:
        raise InputError(
            "E-HDF5-FILTER",
            f"{dataset.name} is compressed with the filters {sorted(filters - ALLOWED_FILTERS)}, which are plugins.",
            path=path,
            cure="Repack it with gzip: h5repack -f GZIP=4 IN OUT.",
        )
    return _check_bytes(dataset, path, is_packed=bool(filters))


def _check_bytes(dataset: h5py.Dataset, path: Path, *, is_packed: bool) -> tuple[str, ...]:
    """Declared against stored bytes, and the number of chunks that exist."""
    stored = int(dataset.id.get_storage_size())
    if stored > FileStamp.of(path).nbytes:
        raise _refused("E-HDF5-TRUNC", f"{dataset.name} claims {stored} stored bytes, more than the file has", path)
    declared = check_declared_bytes(
        dataset.shape,
        dataset.dtype,
        path=path,
        stored_nbytes=stored,
        is_compressed=dataset.chunks is not None,
        code="E-HDF5-TRUNC",
    )
    if dataset.chunks is None:
        if stored != declared:
            raise _refused("E-HDF5-TRUNC", f"{dataset.name} stores {stored} bytes but declares {declared}", path)
        return ()
    chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize
    if chunk > CHUNK_MATTERS_ABOVE and chunk > LARGEST_EXPANSION * max(stored, 1):
        raise _refused("E-BOMB", f"{dataset.name} has chunks of {chunk} bytes in {stored} stored bytes", path)
    expected = math.prod(-(-size // step) for size, step in zip(dataset.shape, dataset.chunks, strict=True))
    found = int(dataset.id.get_num_chunks())
    is_hollow = found * LARGEST_HOLLOWNESS < expected
    if found > expected or is_hollow or (not is_packed and stored != found * chunk):
        raise _refused("E-HDF5-TRUNC", f"{dataset.name} has {found} chunks of {expected}, {stored} bytes", path)
    if found < expected:
        return (
            f"W-HDF5-MISSING-CHUNKS: {expected - found} of {expected} chunks of {dataset.name} were never written.",
        )
    return ()


def _check_virtual(layout: Any, file: h5py.File, path: Path, depth: int) -> tuple[str, ...]:
    """A virtual dataset may only be put together from datasets of the same file."""
    if depth >= LARGEST_HOPS:
        raise _refused("E-HDF5-VIRTUAL", "virtual datasets are nested too deeply", path)
    notes: list[str] = []
    for index in range(layout.get_virtual_count()):
        if layout.get_virtual_filename(index) != ".":
            raise _refused("E-HDF5-VIRTUAL", "a virtual dataset is made of parts of other files", path)
        source = object_at(file, layout.get_virtual_dsetname(index), path)
        if not isinstance(source, h5py.Dataset):
            raise _refused("E-HDF5-VIRTUAL", "a virtual dataset is made of something else", path)
        notes += check_dataset(source, file, path, depth=depth + 1)
    return tuple(notes)


def _refused(code: str, what: str, path: Path) -> InputError:
    return InputError(code, f"{what}.", path=path, cure="Export it as one self-contained file.")


def attribute(owner: Any, name: str, path: Path) -> Any | None:
    """A small attribute as NumPy array of at least one dimension, or ``None``; text as array of ``str``.

    Raises
    ------
    InputError
        ``E-HDF5-ATTRIBUTE`` for an attribute above 1 MiB or of a type that is neither number nor text.
    """
    if not h5py.h5a.exists(owner.id, name.encode()):
        return None
    handle = h5py.h5a.open(owner.id, name.encode())
    if handle.shape is not None and 0 in handle.shape:  # HDF5 takes a size of 0 for an error
        return np.zeros(0)
    text = h5py.check_string_dtype(handle.dtype)
    if handle.get_storage_size() > LARGEST_ATTRIBUTE_NBYTES or (handle.dtype.kind not in "biufS" and text is None):
        raise InputError("E-HDF5-ATTRIBUTE", f"its attribute {name} is neither a number nor text.", path=path)
    values = np.atleast_1d(owner.attrs[name])
    if values.dtype.kind in "biuf":
        return values
    return np.array([word.decode("utf-8") if isinstance(word, bytes) else str(word) for word in values.ravel()])


def datasets(file: h5py.File, path: Path) -> dict[str, tuple[int, ...]]:
    """Every numeric dataset of two or more dimensions that hard links reach, with its shape.

    Raises
    ------
    InputError
        ``E-HDF5-DATASET`` when there are more than 10,000 objects.
    """
    found: dict[str, tuple[int, ...]] = {}
    n_objects = 0

    def visit(name: str, item: Any) -> bool | None:
        nonlocal n_objects
        n_objects += 1
        if (
            isinstance(item, h5py.Dataset)
            and item.shape is not None
            and len(item.shape) >= 2
            and item.dtype.kind in "biuf"
        ):
            found[name] = tuple(item.shape)
        return True if n_objects > LARGEST_OBJECTS else None

    if file.visititems(visit):
        raise InputError(
            "E-HDF5-DATASET",
            f"holds more than {LARGEST_OBJECTS} objects.",
            path=path,
            missing=(MissingFact("dataset", ("NAME",), "with the array's name"),),
        )
    return found
