"""The classical engine's scales from one number, the objects' diameter.

To let another setting follow it, name it in ``settings.SCALES`` and give its share in :func:`with_scales`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tomocyte.segmentation.settings import SCALES, SegmentationSettings

SMOOTHING = 1 / 16
"""Gaussian before the threshold, as a share of the diameter: it moves a ball's surface by a sixty-fourth of it."""
WINDOW = 1.0
"""Gaussian of the neighbourhood: an object and its surroundings."""
SEPARATION = 0.6
"""Seeds of touching balls are a diameter apart; of flattened or overlapping ones somewhat less."""
SMALLEST = 0.5
"""Diameter of the smallest object: an eighth of the typical volume."""
SEED_SMOOTHING = 0.1
"""Gaussian of the intensity before seeds are detected."""
SEED_WINDOW = 0.25
"""Gaussian of the neighbourhood of ``local-contrast``: half a radius."""


def with_scales(settings: SegmentationSettings, diameter_um: float) -> SegmentationSettings:
    """The settings with every empty scale made a number.

    Parameters
    ----------
    settings : SegmentationSettings
    diameter_um : float
        Typical diameter of an object in µm.

    Returns
    -------
    SegmentationSettings

    Examples
    --------
    >>> scaled = with_scales(SegmentationSettings(object_diameter_um=10), 10)
    >>> scaled.foreground.local_window_um, scaled.split.min_separation_um
    (10.0, 6.0)
    """
    smallest = SMALLEST * diameter_um
    scales: dict[str, dict[str, float]] = {
        "foreground": {"smoothing_um": SMOOTHING * diameter_um, "local_window_um": WINDOW * diameter_um},
        "split": {
            "smoothing_um": SEED_SMOOTHING * diameter_um,
            "window_um": SEED_WINDOW * diameter_um,
            "min_separation_um": SEPARATION * diameter_um,
        },
        "clean": {"min_volume_um3": math.pi / 6 * smallest**3, "min_area_um2": math.pi / 4 * smallest**2},
    }
    parts: dict[str, Any] = {"object_diameter_um": diameter_um}
    for part, names in SCALES.items():
        current = getattr(settings, part)
        empty = {name: scales[part][name] for name in names if getattr(current, name) is None}
        parts[part] = current.model_copy(update=empty)
    return settings.model_copy(update=parts)


def without_scales(settings: SegmentationSettings, above: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as a dictionary on which others are to be laid; without scales if those give a diameter."""
    content = settings.model_dump()
    if above.get("object_diameter_um"):
        for part, names in SCALES.items():
            content[part] = {name: value for name, value in content[part].items() if name not in names}
    return content
