"""Intervals of the object's own numbers, not of what its tomogram holds.

Learned against objects whose truth is exact. The dry mass is bounded by a factor, in units of the uncertainty of the
mask for organelles (a cell's corrected mass hardly depends on its mask); volume, surface and height by a factor in
units of that uncertainty; index and concentration by a difference. To bound another column, add it to :data:`COLUMNS`
and to :func:`expected_change`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.confidence.levels import conformal_ends
from tomocyte.confidence.objects import ExpectedChange, ObjectSums, change_score, interval
from tomocyte.structures import CELL, canonical_name

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]
Ends = tuple[float, float]
MASS, INDEX = "dry_mass_pg", "mean_ri"
VOLUME, SURFACE, HEIGHT = "volume_um3", "surface_area_um2", "height_um"
CORRECTED = (MASS, INDEX)
"""Columns whose estimators (``…_estimator``) have ends of their own; the concentration follows the index."""
SIZES = (VOLUME, SURFACE, HEIGHT)
"""Columns of the mask."""
COLUMNS = (*CORRECTED, *SIZES)
MASK = "mask"
"""What stands for the estimator of :data:`SIZES`."""


def expected_change(sums: ObjectSums, structure: str, column: str) -> ExpectedChange:
    """What the mask lets expect of an object's own value; the index does not use it.

    None for the mass of cells; for that of organelles and for volumes, that of the volume; surfaces and heights are
    expected as measured, as uncertain as the volume.
    """
    n = len(sums.label)
    if column == INDEX or (column == MASS and canonical_name(structure) == CELL):
        return ExpectedChange(np.zeros(n), np.ones(n))
    change = sums.volume_change()
    return change if column in (MASS, VOLUME) else ExpectedChange(np.zeros(n), change.uncertainty)


def own_scores(value: Float, truth: Float, column: str, change: ExpectedChange) -> Float:
    """How far the truth is from an estimate, in the unit in which ends are learned.

    Parameters
    ----------
    value, truth : ndarray (n,), float64
        Of one of :data:`COLUMNS`.
    column : str
    change : ExpectedChange
        From :func:`expected_change`.
    """
    if column == INDEX:
        return np.asarray(truth - value)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where((truth > 0) & (value > 0), truth / value, np.nan)
    return change_score(ratio, change)


def own_intervals(
    table: pd.DataFrame,
    ends: Mapping[str, Ends],
    sums: ObjectSums,
    structure: str,
    *,
    increment_ml_per_g: float | None,
) -> dict[str, Float]:
    """Both ends for each row, by column: ``dry_mass_pg_low``, …; NaN where nothing was learned for its estimator.

    Parameters
    ----------
    table : DataFrame
        With some of :data:`COLUMNS` and the ``…_estimator`` of corrected ones.
    ends : mapping
        ``column estimator`` -> ends.
    sums : ObjectSums
        In the order of the rows.
    structure : str
    increment_ml_per_g : float, optional
        α of the structure.
    """
    columns: dict[str, Float] = {}
    for column in COLUMNS:
        if column not in table:
            continue
        value = table[column].to_numpy(np.float64)
        estimators = table[f"{column}_estimator"].to_numpy() if column in CORRECTED else np.full(len(table), MASK)
        change = expected_change(sums, structure, column)
        low, high = np.full((2, len(table)), np.nan)
        for one in sorted(set(estimators)):
            own = ends.get(f"{column} {one}")
            if own is None:
                continue
            is_one = estimators == one
            both = (value + own[0], value + own[1]) if column == INDEX else interval(value, change, own)
            low[is_one], high[is_one] = both[0][is_one], both[1][is_one]
        columns |= {f"{column}_low": low, f"{column}_high": high}
    if INDEX in table and "concentration_mg_per_ml" in table and increment_ml_per_g:
        concentration, index = table["concentration_mg_per_ml"].to_numpy(np.float64), table[INDEX].to_numpy(np.float64)
        for end in ("low", "high"):
            step = (columns[f"{INDEX}_{end}"] - index) * 1000 / increment_ml_per_g
            columns[f"concentration_mg_per_ml_{end}"] = concentration + step
    return columns


def own_ends(scores: Mapping[str, Any]) -> dict[str, Ends]:
    """The conformal ends of each kind of score; kinds with too few scores have none."""
    found = {kind: conformal_ends(np.asarray(values, dtype=np.float64)) for kind, values in sorted(scores.items())}
    return {kind: ends for kind, ends in found.items() if ends is not None}
