"""What the readers of microscope makers' files share: the optional packages, and the choice of one image of several.

The packages come with ``pip install 'tomocyte[formats]'``. To use another one, call :func:`package` where it is needed,
never at the top of a module: importing tomocyte must not depend on it.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tomocyte.errors import InputError, MissingFact
from tomocyte.formats._axes import properties_of_axes, said_by_file
from tomocyte.formats._hostile import parsing
from tomocyte.formats._lengths import disagreement, is_same_size
from tomocyte.volume import CHOICES, ReadPlanes, Shape5, Volume

INSTALL = "pip install 'tomocyte[formats]'"
MOST_SHOWN = 12


def package(name: str, path: Path, *, what: str) -> ModuleType:
    """An optional package.

    Parameters
    ----------
    name : str
        The package.
    path : Path
        The file that needs it, for the message.
    what : str
        What the file is, e.g. ``"a Nikon ND2 file"``.

    Raises
    ------
    InputError
        ``E-FORMAT-EXTRA`` with the command that installs it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            "E-FORMAT-EXTRA",
            f"is {what}, which the package {name} reads; it cannot be imported ({error}).",
            path=path,
            cure=f"Install it: {INSTALL}",
        ) from error


@contextmanager
def library(path: Path, code: str, *, what: str = "the file", also: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """As :func:`parsing`, for a library that warns of damage where it should refuse: its warnings are errors."""
    with parsing(path, code, what=what, also=(NameError, *also)), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", ResourceWarning)
        yield


def chosen_image(names: Sequence[str], given: str | None, path: Path) -> tuple[int, tuple[str, ...]]:
    """The image of a file that is read, and the note for the others.

    Parameters
    ----------
    names : sequence of str
        The images in the order of the file.
    given : str, optional
        A name or an index, as the user gives it.
    path : Path
        The file, for the message.

    Returns
    -------
    index : int
    notes : tuple of str
        ``W-SERIES: …`` when there are several and none was asked for.

    Raises
    ------
    InputError
        ``E-DATASET`` with the images that there are.
    """
    if given is not None:
        fitting = [index for index, name in enumerate(names) if name == given]
        if len(fitting) == 1:
            return fitting[0], ()
        if given.isdecimal() and int(given) < len(names):
            return int(given), ()
        raise InputError(
            "E-DATASET",
            f"there is no image {given!r} in it.",
            path=path,
            missing=(MissingFact("dataset", ("0",), f"with one of: {shown_names(names)}"),),
        )
    if len(names) == 1:
        return 0, ()
    return 0, (
        f'W-SERIES: the file holds {len(names)} images; "{names[0]}" is read and {len(names) - 1} more are not. '
        f"Give --dataset with one of: {shown_names(names)}.",
    )


def shown_names(names: Sequence[str]) -> str:
    """The images as a user may give them; those of one name by index."""
    labels = [name if name and names.count(name) == 1 else str(index) for index, name in enumerate(names)]
    more = f", … ({len(labels)} images)" if len(labels) > MOST_SHOWN else ""
    return ", ".join(f'"{label}"' if " " in label else label for label in labels[:MOST_SHOWN]) + more


def agreed(axis: str, stated: Mapping[str, float | None], notes: list[str]) -> tuple[float | None, str]:
    """One length of an axis from all the fields that state it, and the names of the fields.

    Parameters
    ----------
    axis : str
        ``z``, ``y`` or ``x``.
    stated : mapping
        Length in µm by the name of its field; what is ``None`` or not above zero is not stated.
    notes : list of str
        Receives ``W-VOXEL-SIZE`` when they disagree; then no length is returned.
    """
    known = {name: value for name, value in stated.items() if value is not None and 0 < value < float("inf")}
    if not known:
        return None, ""
    first = next(iter(known.values()))
    if all(is_same_size(first, value) for value in known.values()):
        return first, next(iter(known))
    notes.append(disagreement(axis, known))
    return None, ""


def volume_of_planes(
    read_planes: ReadPlanes,
    shape: Shape5,
    dtype: np.dtype[Any],
    *,
    path: Path,
    lengths: tuple[Mapping[str, float], str],
    times: tuple[Sequence[float] | None, str],
    channels: tuple[Sequence[str], str],
    images: Sequence[str] = (),
    metadata: Mapping[str, Any],
    notes: list[str],
) -> Volume:
    """The volume of a file that stores plane by plane, and which field says what.

    Parameters
    ----------
    read_planes : callable
        As :attr:`tomocyte.volume.Volume.read_planes`.
    shape : tuple of 5 int
        T, C, Z, Y, X; a single plane has no axis Z and so no thickness.
    dtype : numpy dtype
        Of the voxels.
    path : Path
        The file.
    lengths, times, channels : tuple
        Steps ``z``, ``y``, ``x`` in µm, seconds of each frame, and channel names; each with the field that says it.
    images : sequence of str
        The images of the file, of which this is one.
    metadata : mapping
        What else the file says.
    notes : list of str
        Receives what :func:`properties_of_axes` finds.
    """
    properties = properties_of_axes(
        shape,
        "TCZYX" if shape[2] > 1 else "TCYX",
        lengths_um=lengths[0],
        times_s=times[0],
        channel_names=channels[0],
        notes=notes,
    )
    fields = {"voxel_size_um": lengths[1], "time_s": times[1], "channel_names": channels[1]}
    return Volume(
        shape=shape,
        dtype=dtype,
        read_planes=read_planes,
        path=path,
        notes=tuple(notes),
        metadata={**metadata, **({CHOICES: tuple(images)} if len(images) > 1 else {})},
        **said_by_file(properties, fields),
    )
