"""What a measurement is, and the list of all of them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from tomocyte.errors import SettingsError
from tomocyte.measurements.region import Region
from tomocyte.tables import Column

__all__ = ["Measurement", "Region", "find_measurements", "measurement", "measurements"]


@dataclass(frozen=True)
class Measurement:
    """One column.

    Parameters
    ----------
    name : str
        The function's name, and the column's.
    function : callable
        ``Region -> float``; NaN where the number has no meaning.
    unit : str
        ``native`` stands for the unit of the image.
    length_power : int
        The number grows as the voxel size to this power.
    meaning : str
        The first line of the docstring.
    nan_reason : str
        When it is NaN, and why; ``""`` if never.
    reference : str
        DOI or title of what defines it; ``""`` where the name says it all.
    """

    name: str
    function: Callable[[Region], float]
    unit: str
    length_power: int
    meaning: str
    nan_reason: str
    reference: str = ""

    @property
    def column(self) -> Column:
        """The column that it fills."""
        return Column(self.name, self.unit, self.meaning, self.nan_reason, self.reference)


_REGISTERED: dict[str, Measurement] = {}


def measurement(
    *, unit: str, length_power: int, nan_reason: str = "", reference: str = ""
) -> Callable[[Callable[[Region], float]], Callable[[Region], float]]:
    """Declare a function ``Region -> float`` as a measurement (a column)."""

    def declare(function: Callable[[Region], float]) -> Callable[[Region], float]:
        name = function.__name__
        lines = (function.__doc__ or "").strip().splitlines()
        if not lines:
            raise SettingsError("E-MEASUREMENT", f"{name} has no docstring.", cure="Its first line is its meaning.")
        _REGISTERED[name] = Measurement(name, function, unit, length_power, lines[0], nan_reason, reference)
        return function

    return declare


@cache
def measurements() -> dict[str, Measurement]:
    """Every measurement, by name."""
    package = importlib.import_module("tomocyte.measurements")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"tomocyte.measurements.{module.name}")
    return dict(_REGISTERED)


def find_measurements(names: tuple[str, ...] | list[str]) -> list[Measurement]:
    """The measurements of these names, in this order.

    Raises
    ------
    SettingsError
        ``E-MEASUREMENT-NAME`` with the list of known ones.
    """
    known = measurements()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SettingsError(
            "E-MEASUREMENT-NAME",
            f"unknown measurement {', '.join(map(repr, unknown))}.",
            cure=f"Known: {', '.join(sorted(known))}.",
        )
    return [known[name] for name in names]
