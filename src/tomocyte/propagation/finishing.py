"""What can be done to propagated labels of any method: smoothed borders, no crumbs, no holes; labelled slices stay.

To add a step, add a setting to :class:`FinishingSettings` and a call, in its place, in :func:`finish_labels`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.labels.cleaning import fill_holes
from tomocyte.labels.components import connected_components
from tomocyte.labels.extents import label_extents
from tomocyte.labels.smoothing import smooth_labels
from tomocyte.settings import Settings

Labels = NDArray[np.unsignedinteger[Any]]


class FinishingSettings(Settings):
    """What is done to labels once they are propagated; nothing when not given. Biomedisa's are 100, 0.1 and 0.9."""

    smooth: int = Field(default=0, ge=0)
    """Steps of curvature flow of every label and the background; 0: borders stay."""
    clean: float = Field(default=0.0, ge=0, lt=1)
    """Pieces of a label without contact to a labelled slice are removed unless they are larger than this part of its
    largest piece; 0: all stay."""
    fill: float = Field(default=0.0, ge=0)
    """Background that a label encloses becomes that label if it is smaller than this part of the label, unless it
    reaches a labelled slice; 0: holes stay."""


def finish_labels(labels: Labels, is_given: NDArray[np.bool_], settings: FinishingSettings) -> Labels:
    """Labels smoothed, then cleaned, then filled.

    Parameters
    ----------
    labels : ndarray (Z, Y, X), unsigned integer
        Not changed.
    is_given : ndarray (Z, Y, X), bool
        Voxels of the labelled slices, and others that are known; these stay as they are.
    settings : FinishingSettings
    """
    finished = labels
    if settings.smooth:
        finished = np.where(is_given, labels, smooth_labels(labels, settings.smooth))
    if settings.clean:
        finished = _cleaned(finished, is_given, settings.clean)
    if settings.fill:
        finished = _filled(finished, is_given, settings.fill)
    return finished


def _cleaned(labels: Labels, is_given: NDArray[np.bool_], share: float) -> Labels:
    cleaned = labels.copy()
    extents = label_extents(labels)
    for label in np.flatnonzero(extents.n_voxels[1:] > 0) + 1:
        box = extents.box(int(label), labels.shape)
        pieces = connected_components(labels[box] == label)
        is_crumb = (pieces.n_voxels <= share * pieces.n_voxels[1:].max()) & ~pieces.reach(is_given[box])
        if is_crumb[1:].any():
            cleaned[box][pieces.paint(is_crumb) > 0] = 0
    return cleaned


def _filled(labels: Labels, is_given: NDArray[np.bool_], share: float) -> Labels:
    filled = labels.copy()
    fill_holes(filled, max_share=share)
    holes = connected_components(filled != labels)
    is_drawn = holes.reach(is_given)
    if is_drawn[1:].any():
        filled[holes.paint(is_drawn) > 0] = 0
    return filled
