"""How values are distributed: histograms of one width of bin, and the share of cells below each value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tomocyte.figures.axes import finish_axes, panels_figure
from tomocyte.figures.canvas import PictureFormat, defaults, drawable, picture, value_label
from tomocyte.figures.experiment.tables import colours_of, complete_rows, in_order, shown_count

if TYPE_CHECKING:
    import pandas as pd

_MOST_BINS = 80


def distributions(
    table: pd.DataFrame, *, quantity: str, unit: str, title: str = "", file_format: PictureFormat = "png"
) -> bytes:
    """One outline per condition: the share of cells per bin on the left, the share below each value on the right.

    Parameters
    ----------
    table : DataFrame
        ``condition, value``, one row per cell.
    quantity, unit : str
        Of the values.
    title : str
    file_format : {"png", "pdf", "svg"}

    Returns
    -------
    bytes
        Bins as numpy's ``auto`` chooses them for all values together, 80 at most.

    Raises
    ------
    SettingsError
        ``E-PICTURE``: a column is missing, or there is no value.
    """
    rows = complete_rows(table, ("condition", "value"), ("value",))
    everything = rows["value"].to_numpy(np.float64)
    edges = np.histogram_bin_edges(everything, "auto")
    if len(edges) - 1 > _MOST_BINS:
        edges = np.linspace(edges[0], edges[-1], _MOST_BINS + 1)
    conditions = in_order(rows["condition"])
    colours = colours_of(conditions)
    with defaults():
        figure, (bars, shares) = panels_figure(2, title, width=3.7, height=3.3)
        for condition in conditions:
            values = np.sort(rows.loc[rows["condition"] == condition, "value"].to_numpy(np.float64))
            heights = np.histogram(values, edges)[0] / len(values)
            label = drawable(f"{condition} ({shown_count(len(values), 'cell')})")
            bars.stairs(heights, edges, color=colours[condition], fill=True, alpha=0.12)
            bars.stairs(heights, edges, color=colours[condition], linewidth=1.6, label=label)
            steps = np.arange(len(values) + 1) / len(values)
            shares.step([values[0], *values], steps, where="post", color=colours[condition], linewidth=1.6)
        for axes, name in ((bars, "share of cells"), (shares, "share of cells up to this value")):
            axes.set_xlabel(drawable(value_label(quantity, unit)), fontsize=9, parse_math=False)
            axes.set_ylabel(name, fontsize=9)
        shares.set_ylim(0, 1.02)
        finish_axes(bars, legend="below")
        finish_axes(shares, legend="none")
        return picture(figure, file_format)
