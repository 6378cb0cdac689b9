"""Door 2: a modality is a file in this folder; it defines what a voxel value means.

To add one, put ``modalities/<name>.py`` here with a module constant ``MODALITY = Modality(...)``; it is found by
itself.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from tomocyte.errors import SettingsError
from tomocyte.modalities._modality import Conversion, Modality, Normalization

__all__ = ["Conversion", "Modality", "Normalization", "image_modalities", "modalities", "modalities_of", "modality"]


def modalities() -> dict[str, Modality]:
    """Every modality, by name."""
    return _modalities_in(tuple(__path__))


@cache
def _modalities_in(folders: tuple[str, ...]) -> dict[str, Modality]:
    names = sorted(module.name for module in pkgutil.iter_modules(folders) if not module.name.startswith("_"))
    entries: list[Modality] = [importlib.import_module(f"{__name__}.{name}").MODALITY for name in names]
    return {entry.name: entry for entry in entries}


def image_modalities() -> list[str]:
    """Names of the modalities of images: all but label images alone.

    Examples
    --------
    >>> "labels" in image_modalities(), "odt" in image_modalities()
    (False, True)
    """
    return [name for name, kind in modalities().items() if kind.quantity != "labels"]


def modality(name: str) -> Modality:
    """The modality of that name.

    Raises
    ------
    SettingsError
        ``E-MODALITY-NAME`` with the list of known ones.
    """
    if name not in modalities():
        raise SettingsError("E-MODALITY-NAME", f"unknown modality {name!r}.", cure=f"Known: {', '.join(modalities())}.")
    return modalities()[name]


def modalities_of(quantity: str | None) -> list[str]:
    """Names of the modalities whose volumes may hold that quantity.

    Examples
    --------
    >>> modalities_of("refractive_index"), modalities_of(None)
    (['odt'], [])
    """
    return [name for name, kind in modalities().items() if quantity in (kind.quantity, *kind.alternatives)]
