"""From cells to replicates: means level by level, because cells of one dish are not independent.

Each level counts every unit of the level below once: a replicate is the mean of its dishes, a dish that of its cells,
so that a dish with many cells weighs no more than another. To add a level, add its column to :data:`LEVELS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tomocyte.errors import SettingsError

if TYPE_CHECKING:
    import pandas as pd

LEVELS = ("condition", "replicate", "dish", "cell")
"""Columns that name the levels of an experiment, the outermost first; a table has the first two at least."""
UNIT = ("condition", "replicate")
"""What is independent: a replicate of a condition."""


def check_levels(values: pd.DataFrame) -> None:
    """Refuse a table of values that lacks a column.

    Raises
    ------
    SettingsError
        ``E-STATISTICS-COLUMN``.
    """
    missing = [name for name in (*UNIT, "value") if name not in values]
    if missing:
        raise SettingsError(
            "E-STATISTICS-COLUMN",
            f"the table of values has no column {', '.join(missing)}.",
            cure="Give the columns condition, replicate, value and, where known, dish and cell.",
        )


def cell_means(values: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """One value per cell: the mean of its rows; rows without a value are left out.

    Parameters
    ----------
    values : DataFrame
        Columns ``condition``, ``replicate``, ``value`` and, where known, ``dish`` and ``cell``.
    by : sequence of str
        Further columns that are kept apart, as the time.

    Returns
    -------
    DataFrame
        The level columns and ``value``. Without a column ``cell`` each row is a cell.

    Raises
    ------
    SettingsError
        ``E-STATISTICS-COLUMN``.
    """
    check_levels(values)
    keys = [*by, *(name for name in LEVELS if name in values)]
    finite = values.loc[values["value"].notna(), [*keys, "value"]]
    if "cell" not in keys:
        return finite.reset_index(drop=True)
    return finite.groupby(keys, sort=False, dropna=False)["value"].mean().reset_index()


def replicate_means(values: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """One value per condition and replicate.

    Parameters
    ----------
    values : DataFrame
    by : sequence of str
        See :func:`cell_means`.

    Returns
    -------
    DataFrame
        ``by``, ``condition``, ``replicate``, ``value``, ``n_cells``; in the order in which they first appear.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = {"condition": "control", "replicate": "1", "dish": ["a", "a", "b"], "value": [1.0, 3.0, 6.0]}
    >>> means = replicate_means(pd.DataFrame(rows))
    >>> means["value"].tolist(), means["n_cells"].tolist()
    ([4.0], [3])
    """
    cells = cell_means(values, by)
    unit = [*by, *UNIT]
    n_cells = cells.groupby(unit, sort=False)["value"].size()
    means = cells
    inner = [name for name in LEVELS if name in cells.columns and name not in UNIT and name != "cell"]
    for depth in range(len(inner), -1, -1):
        means = means.groupby([*unit, *inner[:depth]], sort=False, dropna=False)["value"].mean().reset_index()
    return means.assign(n_cells=n_cells.to_numpy())
