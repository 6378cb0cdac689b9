"""Planes of tomograms with the outlines of what is true and what was found."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.figures.contours import ContourPanel
from tomocyte.papers.acseg.fields import SegmentedField

TRUTH, FOUND = "truth", "found"
COLOURS = {TRUTH: "#FF2020", FOUND: "#FFE100"}
_BRIGHTEST = 1.6
"""Planes are shown up to this many times the 99th percentile of the cells: glass and beads absorb far more."""


def title_of(title: str, *, is_simulated: bool) -> str:
    """A title that says whether the data are simulated."""
    return f"{title} (simulated)" if is_simulated else title


def fullest_plane(labels: NDArray[Any]) -> int:
    """The z plane with most of the structure."""
    return int(np.argmax(np.count_nonzero(labels, axis=(1, 2))))


def outline_panel(field: SegmentedField, z: int, mask: NDArray[Any], caption: str) -> ContourPanel:
    """One plane with the truth in red and a mask (Y, X) in yellow."""
    inside = field.image[field.truth != 0]
    top = _BRIGHTEST * float(np.percentile(inside, 99)) if inside.size else float(field.image.max())
    image = np.minimum(field.image[z], top)
    return ContourPanel(image, {TRUTH: field.truth[z], FOUND: mask}, caption, COLOURS)
