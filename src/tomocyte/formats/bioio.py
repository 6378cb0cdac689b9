"""Whatever an installed plugin of bioio reads and no other reader takes: planes, scenes, channels as the plugin says.

bioio is never a dependency: plugins are found by their entry points (:mod:`tomocyte.formats._plugins`). To take over a
format from a plugin, write a reader with its ending; this one then leaves it alone.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.formats import Format, ReadOptions, formats
from tomocyte.formats._axes import as_planes, checked_axes, properties_of_axes, said_by_file, selection, shape_tczyx
from tomocyte.formats._extra import chosen_image
from tomocyte.formats._foreign import refuse_foreign
from tomocyte.formats._handles import HandleCache
from tomocyte.formats._hostile import FileStamp, check_fits_memory, declared_nbytes, parsing
from tomocyte.formats._plugins import Plugin, plugins_for
from tomocyte.volume import CHOICES, Shape5, Volume

CODE: Final = "E-BIOIO"
UNITS_UM: Final = {
    "micrometer": 1.0, "micron": 1.0, "um": 1.0, "µm": 1.0, "μm": 1.0,
    "nanometer": 1e-3, "nm": 1e-3, "millimeter": 1e3, "mm": 1e3, "meter": 1e6, "m": 1e6,
}  # fmt: skip
"""Units that a plugin may name, in µm."""
PLACEHOLDER: Final = re.compile(r"Channel:\d+(:\d+)?")
"""Names that bioio makes up for channels without one."""


class _Opened:
    """A plugin's reader at one scene, with its lazy array."""

    def __init__(self, reader: Any, scene: int | None) -> None:
        self.reader = reader
        if scene is not None:
            reader.set_scene(scene)
        self.order = str(reader.dims.order)
        self.array = None if scene is None else reader.get_image_dask_data(self.order)

    def close(self) -> None:
        """Forget the reader; plugins open their file anew for each read."""
        self.array = self.reader = None


@dataclass(frozen=True)
class _Key:
    plugin: Plugin
    scene: int | None


def _open(stamp: FileStamp, key: _Key) -> _Opened:
    return _Opened(key.plugin.reader()(str(stamp.path)), key.scene)


_FILES: HandleCache[_Key, _Opened] = HandleCache(_open)


@contextmanager
def _foreign_code(path: Path, plugin: Plugin, what: str) -> Iterator[None]:
    """Around calls of a plugin, which may raise anything and warns of what it likes."""
    with (
        parsing(path, CODE, what=f"{what}, by the plugin {plugin.name},", also=(Exception,)),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True)
class PluginPlanes:
    """Reader of planes of one scene; picklable.

    Parameters
    ----------
    stamp : FileStamp
        The file, as it was when opened.
    plugin : Plugin
        Who reads it.
    scene : int
        Index of the scene.
    axes : str
        One letter of ``TCZYX`` per axis of the plugin's array.
    shape : tuple of 5 int
        T, C, Z, Y, X.
    dtype : numpy dtype
        Of the voxels.
    """

    stamp: FileStamp
    plugin: Plugin
    scene: int
    axes: str
    shape: Shape5
    dtype: np.dtype[Any]

    def __call__(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Planes (z_stop - z_start, Y, X)."""
        path, expected = self.stamp.path, (z_stop - z_start, *self.shape[3:])
        check_fits_memory(int(np.prod(expected, dtype=object)) * self.dtype.itemsize, path=path, what="a read")
        self.stamp.check()
        with (
            _foreign_code(path, self.plugin, "its voxels"),
            _FILES.lend(self.stamp, _Key(self.plugin, self.scene)) as file,
        ):
            if file.array is None:
                raise ValueError("no array")
            part = file.array[selection(self.axes, frame, channel, z_start, z_stop)]
            planes = as_planes(np.asarray(part.compute(scheduler="synchronous")), self.axes)
        if planes.shape != expected or planes.dtype != self.dtype:
            raise InputError(
                CODE,
                f"{self.plugin.name} gives planes {planes.shape} {planes.dtype} where it announced {expected} "
                f"{self.dtype}.",
                path=path,
                cure="It is damaged or incomplete; export it again.",
            )
        return planes


def verify(path: Path) -> bool:
    """Whether a plugin reads this ending and no other reader does; loads plugins only then; never raises."""
    name = path.name.lower()
    if any(name.endswith(entry.suffixes) for entry in formats().values()):
        return False
    try:
        if not path.is_file():
            return False
        refuse_foreign(path)
    except (OSError, ValueError):  # InputError is a ValueError
        return False
    return bool(plugins_for(path))


def read(path: Path, options: ReadOptions) -> Volume:
    """Open one scene of a file lazily with the first plugin that takes it.

    Parameters
    ----------
    path : Path
        A file with an ending that a plugin supports.
    options : ReadOptions
        ``dataset``: the scene by name or index. ``axes``: other letters for the axes in the plugin's order.

    Returns
    -------
    Volume
        Voxels as stored, all channels; sizes and times as the plugin says, with the note ``W-BIOIO``.

    Raises
    ------
    InputError
        ``E-BIOIO`` (the plugin cannot read it), ``E-RGB``, ``E-BIOIO-AXES``, ``E-DATASET``, ``E-SHAPE`` or ``E-DTYPE``.
    MetadataError
        ``E-AXES``: the user's axes do not fit.
    """
    stamp = FileStamp.of(path)
    problem: InputError | None = None
    for plugin in plugins_for(path):
        try:
            with _foreign_code(path, plugin, "the file"), _FILES.lend(stamp, _Key(plugin, None)) as file:
                names = [str(name) for name in file.reader.scenes]
        except InputError as error:
            problem = problem or error
            continue
        return _volume(plugin, names, stamp, options)
    raise problem or InputError(CODE, "no installed plugin of bioio reads it.", path=path, cure="Save it as OME-TIFF.")


def _volume(plugin: Plugin, names: list[str], stamp: FileStamp, options: ReadOptions) -> Volume:
    path = stamp.path
    scene, more = chosen_image(names, options.dataset, path)
    notes = [
        f"W-BIOIO: read by {plugin.name}; its axes, sizes and times are not compared with the file. Check them in the "
        "program of the microscope.",
        *more,
    ]
    with _foreign_code(path, plugin, "its metadata"), _FILES.lend(stamp, _Key(plugin, scene)) as file:
        if file.array is None:
            raise ValueError("no array")
        order, stored, dtype = file.order, tuple(map(int, file.array.shape)), np.dtype(file.array.dtype)
        stated, interval = file.reader.physical_pixel_sizes, file.reader.time_interval
        known = {letter: getattr(stated, letter, None) for letter in "ZYX"}
        sizes = {letter: float(size) for letter, size in known.items() if size is not None}
        units = _units(file.reader)
        channels = [str(name) for name in (file.reader.channel_names or [])]
    _check_axes(order, stored, path)
    declared_nbytes(stored, dtype, path)
    axes = checked_axes(options.axes or order, stored, path)
    order = order if len(order) == len(stored) else "?" * len(stored)  # the user\'s axes, without the plugin\'s sizes
    shape, dtype = shape_tczyx(axes, stored), dtype.newbyteorder("=")
    lengths = {}
    for old, new in zip(order, axes, strict=True):
        length = _length_um(old, sizes, units, notes) if old in "ZYX" else None
        if length is not None:
            lengths[new.lower()] = length
    has_same = {letter for old, letter in zip(order, axes, strict=True) if old == letter}
    step_s = _seconds(interval, notes) if "T" in has_same else None
    has_names = "C" in has_same and not all(PLACEHOLDER.fullmatch(name) for name in channels)
    properties = properties_of_axes(
        shape, axes, lengths_um=lengths, time_step_s=step_s, channel_names=channels if has_names else (), notes=notes
    )
    fields = {
        "voxel_size_um": "physical_pixel_sizes", "time_s": "time_interval", "channel_names": "channel_names",
    }  # fmt: skip
    return Volume(
        shape=shape,
        dtype=dtype,
        read_planes=PluginPlanes(stamp, plugin, scene, axes, shape, dtype),
        path=path,
        notes=tuple(notes),
        metadata={"plugin": plugin.name, "axes": order, **({CHOICES: tuple(names)} if len(names) > 1 else {})},
        **said_by_file(properties, {name: f"{plugin.name} {field}" for name, field in fields.items()}),
    )


def _check_axes(order: str, stored: tuple[int, ...], path: Path) -> None:
    """Raise for samples of a colour and for axes that are none of a volume."""
    if "S" in order:
        n_samples = stored[order.index("S")]
        raise InputError(
            "E-RGB",
            f"is a colour image: {n_samples} samples per pixel.",
            path=path,
            cure="Save it with grey values, or its channels one by one.",
        )
    if set(order) - set("TCZYX"):
        raise InputError(
            "E-BIOIO-AXES",
            f"has the axes {order} {stored}; those of a volume are T, C, Z, Y and X.",
            path=path,
            cure="Save it as OME-TIFF, one image per position or tile, in the program that made it.",
        )


def _units(reader: Any) -> dict[str, str]:
    """The unit of each axis, where the plugin names one."""
    stated = getattr(reader, "dimension_properties", None)
    units = {letter: getattr(getattr(stated, letter, None), "unit", None) for letter in "ZYX"}
    return {letter: str(unit) for letter, unit in units.items() if unit is not None}


def _length_um(letter: str, sizes: dict[str, float], units: dict[str, str], notes: list[str]) -> float | None:
    """One length in µm; ``None`` where the plugin gives none, or none that can be understood."""
    value = sizes.get(letter, math.nan)
    if not 0 < value < math.inf:
        return None
    unit = units.get(letter, "µm")
    if unit.lower() not in UNITS_UM:
        notes.append(f"W-VOXEL-SIZE: the length {value:.6g} of {letter.lower()} has the unit {unit!r}; not used.")
        return None
    return value * UNITS_UM[unit.lower()]


def _seconds(interval: Any, notes: list[str]) -> float | None:
    """Seconds between frames; ``None`` where the plugin gives no time, or none with a unit."""
    if isinstance(interval, timedelta):
        return interval.total_seconds() if interval > timedelta(0) else None
    if interval is not None:
        notes.append(f"W-BIOIO-TIME: the time between frames, {interval}, has no unit; give it with --time-step-s.")
    return None


FORMAT = Format("bioio", (), "Any other file that an installed plugin of bioio reads", verify, read)
