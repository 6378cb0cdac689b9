"""One image to compare, and the settings of the comparison.

To score with one more option, add a field to :class:`ScoreSettings` and use it where the image is counted
(:func:`tomocyte.evaluation.tally.count_case`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from pydantic import Field

from tomocyte.settings import Settings


class ScoreSettings(Settings):
    """Which scores are computed, and how."""

    structure: str = "mask"
    """What was segmented, if the image does not name it; the table's column ``structure``."""
    threshold: float = Field(default=0.5, ge=0, le=1)
    """A probability of at least this is inside the predicted mask."""
    is_surface_scored: bool = True
    """Whether distances of the surfaces are measured."""
    tolerance_um: float | None = Field(default=None, ge=0)
    """Distance in µm within which surfaces count as equal; empty: no surface Dice."""
    is_instance_scored: bool = False
    """Whether objects (numbers in the label image) are matched, not only the masks of all of them."""
    min_ious: tuple[float, ...] = (0.5, 0.75)
    """Intersections over union from which a pair of objects matches, one set of columns each, in (0, 1]."""
    is_group_pooled: bool = True
    """Whether groups of several images get rows of their own; takes about 1 MB per group with probabilities."""
    is_curve_exact: bool = True
    """Whether the precision-recall curve of a single image is that of its sorted probabilities; else it is counted in
    bins, as the curve of several images always is."""
    n_probability_bins: int = Field(default=65_536, ge=2, le=1 << 22)
    """Bins of the pooled precision-recall curve."""
    n_calibration_bins: int = Field(default=15, ge=1, le=1000)
    """Bins of the reliability curve."""


@dataclass(frozen=True)
class Case:
    """One image to compare.

    Parameters
    ----------
    item : str
        Name of the image.
    group : str
        The unit that is resampled as a whole: cell, field, fold.
    truth : ndarray (Z, Y, X) or (Y, X), bool or integer
        Mask (non-zero = inside) or labels; any shape where no surface is measured.
    prediction : ndarray, bool or integer, same shape, optional
        ``None``: the probability at the threshold.
    probability : ndarray, float in [0, 1], same shape, optional
    voxel_size_um : tuple of float, optional
        One per axis, in µm; without it there are no distances. That of a single plane's z may be NaN.
    frame : int
        Time point.
    is_simulated : bool
        Whether the truth or the prediction comes from a simulation.
    structure : str
        What was segmented; empty: that of the settings.
    method : str
        The method that segmented it; empty: the table has no such column.
    """

    item: str
    group: str
    truth: NDArray[Any]
    prediction: NDArray[Any] | None = None
    probability: NDArray[Any] | None = None
    voxel_size_um: tuple[float, ...] | None = None
    frame: int = 0
    is_simulated: bool = False
    structure: str = ""
    method: str = ""
