"""The registry of measurements, and how plain functions of a user become measurements.

A measurement is a function of one :class:`~tomocyte.measurements.region.Region` (an object), one
:class:`~tomocyte.measurements.pair.Pair` or one :class:`~tomocyte.measurements.track.Track`. The annotation of its
parameter says which; a function without one measures an object.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.measurements.pair import Pair
from tomocyte.measurements.region import Region
from tomocyte.measurements.regions import Regions
from tomocyte.measurements.track import Track
from tomocyte.tables import LEADING, Column

__all__ = [
    "Kind", "Measurement", "Pair", "Region", "Track", "as_measurement", "find_measurements", "measurement",
    "measurements", "select_measurements",
]  # fmt: skip

Kind = Literal["object", "pair", "track"]
Function = TypeVar("Function", bound=Callable[..., Any])

KIND_OF_TYPE: dict[str, Kind] = {"Region": "object", "Pair": "pair", "Track": "track"}
# Ending of a name -> unit, and the power of the voxel size with which such a number grows. Longest endings first.
UNIT_ENDINGS = {
    "_pg_per_um2": ("pg/µm²", 0),
    "_mg_per_ml": ("mg/mL", 0),
    "_um3_per_s": ("µm³/s", 3),
    "_um2_per_s": ("µm²/s", 2),
    "_um_per_s": ("µm/s", 1),
    "_pg_per_s": ("pg/s", 3),
    "_per_um": ("1/µm", -1),
    "_per_s": ("1/s", 0),
    "_um3": ("µm³", 3),
    "_um2": ("µm²", 2),
    "_um": ("µm", 1),
    "_pg": ("pg", 3),
    "_rad": ("rad", 0),
    "_s": ("s", 0),
}
_DECLARATION = "tomocyte_measurement"


@dataclass(frozen=True)
class Measurement:
    """A function and the column that it fills.

    Parameters
    ----------
    column : Column
        Its name is the function's, its meaning the first line of the docstring; ``native`` as unit stands for that of
        the image.
    function : callable
        ``Region -> float``, ``Pair -> float`` or ``Track -> float``; NaN where the number has no meaning.
    length_power : int
        The number grows as the voxel size to this power.
    kind : {"object", "pair", "track"}
    quantity : str, optional
        The quantity of the image it needs, e.g. ``refractive_index``; ``any`` for whatever the image holds; ``None``
        when it does not look at the image. With a quantity there is one column per channel that holds it.
    channel : int, optional
        The channel that this column is measured on; ``None`` before channels are known.
    is_elementwise : bool
        Whether the function takes :class:`~tomocyte.measurements.regions.Regions` as well, all objects at once.
    """

    column: Column
    function: Callable[[Any], float]
    length_power: int = 0
    kind: Kind = "object"
    quantity: str | None = None
    channel: int | None = None
    is_elementwise: bool = False

    @property
    def name(self) -> str:
        """The column's name."""
        return self.column.name

    @property
    def unit(self) -> str:
        """The column's unit."""
        return self.column.unit

    def of_all(self, regions: Regions) -> NDArray[np.float64]:
        """(n,): the values for all objects, of an elementwise measurement."""
        values: Any = self.function(regions)
        return np.broadcast_to(np.asarray(values, dtype=np.float64), (len(regions.shapes.runs),))

    def __call__(self, subject: Region | Pair | Track) -> float:
        """The value for one object, pair or track.

        Raises
        ------
        SettingsError
            ``E-MEASUREMENT-VALUE``: the function did not return a number.
        """
        value = self.function(subject)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise SettingsError(
                "E-MEASUREMENT-VALUE",
                f"{self.name} returned {type(value).__name__}, not one number.",
                cure="A measurement returns a float; NaN where it has no meaning.",
            ) from None


def measurement(
    *,
    kind: Kind | None = None,
    unit: str | None = None,
    length_power: int | None = None,
    quantity: str | None = None,
    when_empty: str = "",
    reference: str = "",
    is_elementwise: bool = False,
) -> Callable[[Function], Function]:
    """Declare a function as a measurement (a column).

    The function is not changed. A declared function in a file of this folder is discovered automatically; one
    elsewhere is passed as ``extra_measurements``.

    Parameters
    ----------
    kind : {"object", "pair", "track"}, optional
        By default what the annotation of the parameter says, else ``object``.
    unit : str, optional
        By default what the name ends in (``_um3``, ``_pg``, ``_um_per_s``, …), else ``1``.
    length_power : int, optional
        The number grows as the voxel size to this power; by default that of the unit.
    quantity : str, optional
        As in :class:`Measurement`.
    when_empty, reference : str
        As in :class:`~tomocyte.tables.Column`.
    is_elementwise : bool
        As in :class:`Measurement`: true of functions that only calculate with numbers of the region, and so do it for
        all objects at once.

    Raises
    ------
    SettingsError
        ``E-MEASUREMENT``: no usable name, no docstring, an unknown kind, or a unit that contradicts the name.

    Examples
    --------
    >>> @measurement(when_empty="NaN without an image", quantity="any")
    ... def brightest_value(region: Region) -> float:
    ...     '''Largest value of the image over the object.'''
    ...     return max(float(block.max()) for block in region.value_blocks())
    >>> as_measurement(brightest_value).kind, as_measurement(brightest_value).unit
    ('object', '1')
    """

    def declare(function: Function) -> Function:
        own_kind = _kind_of(function, kind)
        column = _column(function, unit=unit, when_empty=when_empty, reference=reference)
        if quantity is not None and own_kind != "object":
            raise SettingsError(
                "E-MEASUREMENT",
                f"{column.name} measures a {own_kind} but is declared with the quantity {quantity!r}.",
                cure="Only measurements of objects are made once per channel; leave the quantity out.",
            )
        power = _unit_of_name(column.name)[1] if length_power is None else length_power
        setattr(function, _DECLARATION, Measurement(column, function, power, own_kind, quantity, None, is_elementwise))
        return function

    return declare


def as_measurement(function: Callable[..., Any]) -> Measurement:
    """The measurement of a function: as declared with :func:`measurement`, or from its name and docstring.

    Raises
    ------
    SettingsError
        ``E-MEASUREMENT``.

    Examples
    --------
    >>> def filled_box_um3(region: Region) -> float:
    ...     '''Volume of the bounding box.'''
    ...     return float(np.prod(region.box_size)) * region.voxel_volume_um3
    >>> box_volume = as_measurement(filled_box_um3)
    >>> box_volume.name, box_volume.kind, box_volume.unit, box_volume.column.meaning
    ('filled_box_um3', 'object', 'µm³', 'Volume of the bounding box.')
    """
    declared: Measurement | None = getattr(function, _DECLARATION, None)
    if declared is not None:
        return declared
    column = _column(function)
    return Measurement(column, function, _unit_of_name(column.name)[1], _kind_of(function, None))


def measurements(kind: Kind | None = None) -> dict[str, Measurement]:
    """Every measurement behind the door, by name; with ``kind`` only those of objects, pairs or tracks.

    Raises
    ------
    SettingsError
        ``E-MEASUREMENT-KIND``: unknown kind. ``E-MEASUREMENT-CLASH``: two files define the same name.
    """
    if kind is not None and kind not in get_args(Kind):
        raise SettingsError(
            "E-MEASUREMENT-KIND", f"unknown kind {kind!r}.", cure=f"Known: {', '.join(get_args(Kind))}."
        )
    package = importlib.import_module(__package__ or "")
    registered = _discovered(tuple(package.__path__))
    return {name: entry for name, entry in registered.items() if kind in (None, entry.kind)}


def find_measurements(names: Sequence[str], kind: Kind | None = None) -> list[Measurement]:
    """The measurements of these names, in this order.

    Raises
    ------
    SettingsError
        ``E-MEASUREMENT-NAME`` with the list of known ones (of that kind).
    """
    registered = measurements(kind)
    unknown = [name for name in names if name not in registered]
    if unknown:
        kind_name = "measurement" if kind is None else f"{kind} measurement"
        raise SettingsError(
            "E-MEASUREMENT-NAME",
            f"unknown {kind_name} {', '.join(map(repr, unknown))}.",
            cure=f"Known: {', '.join(sorted(registered))}.",
        )
    return [registered[name] for name in names]


def select_measurements(
    names: Sequence[str] | None,
    kind: Kind,
    *,
    extra_measurements: Sequence[Callable[..., Any]] = (),
    reserved: Sequence[str] = (),
) -> list[Measurement]:
    """The named measurements of a kind (``None``: all of them), then the user's own.

    Parameters
    ----------
    names : sequence of str, optional
    kind : {"object", "pair", "track"}
    extra_measurements : sequence of callable
        Functions with a docstring; see :func:`as_measurement`.
    reserved : sequence of str
        Columns that the table has in any case, beside :data:`tomocyte.tables.LEADING`.

    Raises
    ------
    SettingsError
        ``E-MEASUREMENT-NAME``, ``E-MEASUREMENT-KIND`` (an extra one of another kind), ``E-MEASUREMENT-CLASH`` (a name
        that exists already).
    """
    selected = list(measurements(kind).values()) if names is None else find_measurements(names, kind)
    extras = [as_measurement(function) for function in extra_measurements]
    fixed = {*reserved, *(column.name for column in LEADING)}
    used = {*measurements(), *fixed}
    for extra in extras:
        if extra.kind != kind:
            raise SettingsError(
                "E-MEASUREMENT-KIND",
                f"{extra.name} measures a {extra.kind}, where a measurement of a {kind} is needed.",
                cure="Annotate its parameter with Region, Pair or Track, or declare it with measurement(kind=…).",
            )
        if extra.name in used:
            raise SettingsError(
                "E-MEASUREMENT-CLASH",
                f"there is already a column {extra.name!r}.",
                cure="Give the function another name.",
            )
        used.add(extra.name)
    check_unique([*fixed, *(entry.name for entry in selected + extras)])
    return selected + extras


def check_unique(columns: Sequence[str]) -> None:
    """Refuse a table with two columns of one name.

    Raises
    ------
    SettingsError
        ``E-MEASUREMENT-CLASH``.
    """
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise SettingsError(
            "E-MEASUREMENT-CLASH",
            f"the table would have the column {', '.join(map(repr, twice))} twice.",
            cure="Name each measurement once; rename the function or the channel.",
        )


@cache
def _discovered(folders: tuple[str, ...]) -> dict[str, Measurement]:
    """The measurements that the files of these folders declare."""
    names = sorted(module.name for module in pkgutil.iter_modules(folders) if not module.name.startswith("_"))
    discovered: dict[str, Measurement] = {}
    for name in names:
        for entry in _declared_in(importlib.import_module(f"{__package__}.{name}")):
            if entry.name in discovered:
                earlier = discovered[entry.name].function.__module__
                raise SettingsError(
                    "E-MEASUREMENT-CLASH",
                    f"{earlier} and {entry.function.__module__} both define {entry.name!r}.",
                    cure="Rename one of them.",
                )
            discovered[entry.name] = entry
    return discovered


def _declared_in(module: ModuleType) -> list[Measurement]:
    """The measurements that a file defines itself, in the order of the file."""
    members = [getattr(member, _DECLARATION, None) for member in vars(module).values() if inspect.isfunction(member)]
    return [entry for entry in members if entry is not None and entry.function.__module__ == module.__name__]


def _unit_of_name(name: str) -> tuple[str, int] | tuple[None, int]:
    """The unit that a name ends in, if any, and the power of the voxel size with which such a number grows."""
    return next((unit for ending, unit in UNIT_ENDINGS.items() if name.endswith(ending)), (None, 0))


def _column(
    function: Callable[..., Any], *, unit: str | None = None, when_empty: str = "", reference: str = ""
) -> Column:
    """The column that a function's name and docstring describe."""
    name = _column_name(function)
    lines = (function.__doc__ or "").strip().splitlines()
    if not lines:
        raise SettingsError("E-MEASUREMENT", f"{name} has no docstring.", cure="Its first line is its meaning.")
    unit_of_name = _unit_of_name(name)[0]
    if unit_of_name and unit not in (None, unit_of_name):
        raise SettingsError(
            "E-MEASUREMENT",
            f"the name {name} stands for {unit_of_name}, but the function is declared in {unit}.",
            cure="Rename the function, or leave the unit out.",
        )
    return Column(name, unit or unit_of_name or "1", lines[0].strip(), when_empty, reference)


def _column_name(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", "")
    if not name.isidentifier():
        raise SettingsError(
            "E-MEASUREMENT",
            f"{function!r} has no name that can be a column.",
            cure="Write it with def; the function's name is the column.",
        )
    return str(name)


def _kind_of(function: Callable[..., Any], kind: Kind | None) -> Kind:
    """The given kind, else that of the annotation of the first parameter."""
    if kind is not None and kind not in get_args(Kind):
        raise SettingsError(
            "E-MEASUREMENT",
            f"{_column_name(function)} is declared as {kind!r}.",
            cure=f"Known kinds: {', '.join(get_args(Kind))}.",
        )
    annotations = [hint for name, hint in getattr(function, "__annotations__", {}).items() if name != "return"]
    hint = annotations[0] if annotations else None
    type_name = (hint if isinstance(hint, str) else getattr(hint, "__name__", "")).rsplit(".", 1)[-1].strip("'\"")
    annotated = KIND_OF_TYPE.get(type_name)
    if kind is not None and annotated not in (None, kind):
        raise SettingsError(
            "E-MEASUREMENT",
            f"{_column_name(function)} takes a {type_name} but is declared as a measurement of a {kind}.",
            cure="Leave out the kind, or correct the annotation.",
        )
    return kind or annotated or "object"
