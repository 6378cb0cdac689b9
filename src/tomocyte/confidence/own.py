"""Intervals of the object's own index and dry mass, not of what its tomogram holds.

Learned against objects whose truth is exact: the dry mass as a factor, in units of the uncertainty of the mask for
organelles (a cell's corrected mass hardly depends on its mask), index and concentration as a difference. To bound
another column, add it to :data:`COLUMNS` and to :func:`own_scores`.
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
COLUMNS = (MASS, INDEX)
"""Columns with ends of their own; the concentration follows the index."""


def mass_change(sums: ObjectSums, structure: str) -> ExpectedChange:
    """What the mask lets expect of an object's corrected dry mass: none for cells, else that of the volume."""
    if canonical_name(structure) == CELL:
        return ExpectedChange(np.zeros(len(sums.label)), np.ones(len(sums.label)))
    return sums.volume_change()


def own_scores(value: Float, truth: Float, column: str, change: ExpectedChange) -> Float:
    """How far the truth is from an estimate, in the unit in which ends are learned.

    Parameters
    ----------
    value, truth : ndarray (n,), float64
        Of one of :data:`COLUMNS`.
    column : str
    change : ExpectedChange
        From :func:`mass_change`.
    """
    if column == INDEX:
        return np.asarray(truth - value)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where((truth > 0) & (value > 0), truth / value, np.nan)
    return change_score(ratio, change)


def own_intervals(
    table: pd.DataFrame, ends: Mapping[str, Ends], change: ExpectedChange, *, increment_ml_per_g: float | None
) -> dict[str, Float]:
    """Both ends for each row, by column: ``dry_mass_pg_low``, …; NaN where nothing was learned for its estimator.

    Parameters
    ----------
    table : DataFrame
        With the corrected columns and their ``…_estimator``.
    ends : mapping
        ``column estimator`` -> ends.
    change : ExpectedChange
        From :func:`mass_change`, in the order of the rows.
    increment_ml_per_g : float, optional
        α of the structure.
    """
    columns: dict[str, Float] = {}
    for column in COLUMNS:
        if column not in table:
            continue
        value, estimator = table[column].to_numpy(np.float64), table[f"{column}_estimator"].to_numpy()
        low, high = np.full((2, len(table)), np.nan)
        for one in sorted(set(estimator)):
            own = ends.get(f"{column} {one}")
            if own is None:
                continue
            is_one = estimator == one
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
