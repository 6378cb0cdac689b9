"""The microscope of a data set: from its settings to one item's optics, and from labels in 3-D to those of an image.

What a microscope shows is in its file in ``instruments/``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.settings import Settings
from tomocyte.simulation.dataset_settings import DatasetSettings
from tomocyte.simulation.instruments import Optics, instrument

Labels = NDArray[np.uint32]


def check_optics(settings: DatasetSettings, medium_ri: float) -> None:
    """Raise ``E-OPTICS-…`` or ``E-INSTRUMENT`` when the settings' microscope cannot image the settings' grid."""
    instrument(settings.modality).check(_variant(settings), medium_ri, settings.voxel_size_um)


def draw_optics(settings: DatasetSettings, rng: np.random.Generator) -> Optics[Any, Any]:
    """Instrument state and degradation of one item, from the ranges of its domain.

    Raises
    ------
    SettingsError
        ``E-INSTRUMENT``, ``E-SHIFT``.
    """
    kind = instrument(settings.modality)
    return kind.draw(_variant(settings), settings.ranges or kind.ranges_of(settings.shift), rng)


def topmost(labels: Labels) -> Labels:
    """(1, Y, X): the first label met from above."""
    from_above = labels[::-1]
    first = np.argmax(from_above > 0, axis=0)
    return np.take_along_axis(from_above, first[None], axis=0)


def microscope(modality: str, name: str, *, is_coarse_grid_allowed: bool = True) -> Any:
    """The variant of that name, with voxels coarser than its optics refused or low-passed to.

    Raises
    ------
    SettingsError
        ``E-INSTRUMENT``.
    """
    variant: Settings = instrument(modality).variant(name)
    if "is_coarse_grid_allowed" in type(variant).model_fields:
        return variant.model_copy(update={"is_coarse_grid_allowed": is_coarse_grid_allowed})
    return variant


def _variant(settings: DatasetSettings) -> Any:
    allowed = settings.is_coarse_grid_allowed
    return microscope(settings.modality, settings.instrument, is_coarse_grid_allowed=allowed)
