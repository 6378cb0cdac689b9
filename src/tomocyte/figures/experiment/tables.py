"""The tables that figures of an experiment are drawn from, and how points are spread so that all can be seen.

A table holds one row per point. Where a figure shows things of two kinds, the column ``part`` says which a row is, so
that one CSV holds the whole figure. To read a further column, name it at the figure that draws it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.figures.axes import LINE_COLOURS, MARKERS

if TYPE_CHECKING:
    import pandas as pd

CELL, DIFFERENCE, TRACK, BAND = "cell", "difference", "track", "band"
"""What a row is: a cell's value, a condition's difference from the first, a track's value, a condition's course."""
_LEVELS = 40


def complete_rows(table: pd.DataFrame, columns: Sequence[str], values: Sequence[str]) -> pd.DataFrame:
    """The rows of a table that have all these values.

    Parameters
    ----------
    table : DataFrame
    columns : sequence of str
        That must be there.
    values : sequence of str
        Those of them that must hold finite numbers; rows without are left out.

    Raises
    ------
    SettingsError
        ``E-PICTURE``: a column is missing, or no row is left.
    """
    missing = [name for name in columns if name not in table]
    if missing:
        raise SettingsError(
            "E-PICTURE",
            f"the table lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}.",
            cure=f"It needs {', '.join(columns)}; it has {', '.join(map(str, table.columns))}.",
        )
    is_finite = np.isfinite(table[list(values)].to_numpy(np.float64)).all(axis=1)
    rows: pd.DataFrame = table[is_finite]
    if not len(rows):
        raise SettingsError(
            "E-PICTURE", "the table has no row with a value.", cure=f"Fill the column {', '.join(values)}."
        )
    return rows


def rows_of(table: pd.DataFrame, part: str, *, is_default: bool = False) -> pd.DataFrame:
    """The rows of one part; in a table without that column all rows are of the default part."""
    if "part" in table:
        return table[table["part"] == part]
    return table if is_default else table.iloc[:0]


def superplot_table(cells: pd.DataFrame, differences: pd.DataFrame | None = None) -> pd.DataFrame:
    """What :func:`~tomocyte.figures.experiment.superplot` draws, in one table.

    Parameters
    ----------
    cells : DataFrame
        ``condition, replicate, value``, a row per cell.
    differences : DataFrame, optional
        ``condition, value, low, high``: how far a condition lies from the first one, and the interval of that;
        optionally ``level``, that of the interval in (0, 1).
    """
    return _in_parts({CELL: cells, DIFFERENCE: differences})


def course_table(bands: pd.DataFrame, tracks: pd.DataFrame | None = None) -> pd.DataFrame:
    """What :func:`~tomocyte.figures.experiment.time_courses` draws, in one table.

    Parameters
    ----------
    bands : DataFrame
        ``condition, time_s, mean, low, high``, a row per condition and time.
    tracks : DataFrame, optional
        ``track_id, condition, replicate, time_s, value``, a row per track and time; optionally ``event``, which is
        marked where it is not empty.
    """
    return _in_parts({BAND: bands, TRACK: tracks})


def _in_parts(parts: dict[str, pd.DataFrame | None]) -> pd.DataFrame:
    import pandas as pd

    tables = [table.assign(part=name) for name, table in parts.items() if table is not None and len(table)]
    if not tables:
        raise SettingsError("E-PICTURE", "there are no rows to draw.", cure="Give at least one.")
    whole = pd.concat(tables, ignore_index=True)
    return whole[["part", *(name for name in whole if name != "part")]]


def in_order(values: pd.Series[Any]) -> list[Any]:
    """The different values, in the order in which they appear."""
    return list(dict.fromkeys(values.tolist()))


def colours_of(names: Sequence[Any]) -> dict[Any, str]:
    """A colour for each name, by its place; after seven they repeat."""
    return {name: LINE_COLOURS[number % len(LINE_COLOURS)] for number, name in enumerate(names)}


def markers_of(names: Sequence[Any]) -> dict[Any, str]:
    """A marker for each name; the marker changes where the colours begin again too, so that 42 names differ."""
    n_colours, n_markers = len(LINE_COLOURS), len(MARKERS)
    return {name: MARKERS[(number + number // n_colours) % n_markers] for number, name in enumerate(names)}


def spread(values: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Offsets to the side so that points of similar height lie beside each other: the same values, the same offsets.

    Parameters
    ----------
    values : ndarray (n,)
        Finite.
    width : float
        Offsets lie in [-width/2, width/2]; the most crowded height fills it, others in proportion.

    Examples
    --------
    >>> spread(np.array([1.0, 1.0, 1.0, 5.0]), 0.4).tolist()
    [-0.2, 0.0, 0.2, 0.0]
    """
    if len(values) < 2:
        return np.zeros(len(values))
    low, high = float(values.min()), float(values.max())
    level = np.floor((values - low) / ((high - low) or 1.0) * (_LEVELS - 1)).astype(np.intp)
    counts = np.bincount(level)
    order = np.lexsort((np.arange(len(values)), level))
    rank = np.empty(len(values))
    rank[order] = np.arange(len(values)) - np.repeat(np.cumsum(counts) - counts, counts)
    if counts.max() < 2:
        return np.zeros(len(values))
    return (rank - (counts[level] - 1) / 2) * width / max(1, int(counts.max()) - 1)


def shown_count(count: int, name: str) -> str:
    """A number and its noun.

    Examples
    --------
    >>> shown_count(1, "cell"), shown_count(1200, "cell")
    ('1 cell', '1,200 cells')
    """
    return f"{count:,} {name}{'' if count == 1 else 's'}"
