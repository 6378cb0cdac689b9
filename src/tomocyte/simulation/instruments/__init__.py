"""Door 5: an instrument is a file in this folder; it turns simulated cells into a microscope's image.

To add one, put ``instruments/<name>.py`` here with a module constant ``INSTRUMENT = Instrument(...)``; it is found by
itself: in ``tomocyte simulate NAME``, in the settings of a data set (``modality: NAME``, ``NAME_ranges``), in its plan
and in what is written. Image formation that others can use too belongs in :mod:`tomocyte.simulation.physics`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

from tomocyte.errors import SettingsError
from tomocyte.simulation.instruments._instrument import Channels, Conditions, Instrument, Optics, View, overlaid

__all__ = [
    "Channels",
    "Conditions",
    "Instrument",
    "Optics",
    "View",
    "instrument",
    "instrument_names",
    "instruments",
    "overlaid",
]


def instrument_names() -> tuple[str, ...]:
    """The name of every instrument, in alphabetical order."""
    return _names_in(tuple(__path__))


def instruments() -> dict[str, Instrument[Any, Any, Any]]:
    """Every instrument, by name."""
    return _instruments_in(tuple(__path__))


@cache
def _names_in(folders: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(entry.name for entry in pkgutil.iter_modules(folders) if not entry.name.startswith("_")))


@cache
def _instruments_in(folders: tuple[str, ...]) -> dict[str, Instrument[Any, Any, Any]]:
    return {name: importlib.import_module(f"{__name__}.{name}").INSTRUMENT for name in _names_in(folders)}


def instrument(name: str) -> Instrument[Any, Any, Any]:
    """The instrument of that name.

    Raises
    ------
    SettingsError
        ``E-INSTRUMENT`` with the valid names.

    Examples
    --------
    >>> instrument("qpi").quantity
    'dry_mass_density'
    """
    if name not in instrument_names():
        raise SettingsError(
            "E-INSTRUMENT", f"unknown instrument {name!r}.", cure=f"Known: {', '.join(instrument_names())}."
        )
    return instruments()[name]
