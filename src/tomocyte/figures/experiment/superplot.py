"""Superplots: every cell small, every replicate large, and beside them how far the conditions lie apart.

The cell is not the replicate: what a test compares are the large points (Lord et al. 2020).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.figures.axes import finish_axes, titled_figure
from tomocyte.figures.canvas import PictureFormat, defaults, drawable, picture, value_label
from tomocyte.figures.experiment.tables import (
    CELL,
    DIFFERENCE,
    colours_of,
    complete_rows,
    in_order,
    markers_of,
    rows_of,
    shown_count,
    spread,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_MOST_NAMED = 12
_MOST_VECTORS = 5000


def superplot(
    table: pd.DataFrame, *, quantity: str, unit: str, title: str = "", file_format: PictureFormat = "png"
) -> bytes:
    """Conditions as columns: a small point per cell, a large one per replicate (its mean), a line at their mean.

    Where the table has differences, a second panel shows each with its interval.

    Parameters
    ----------
    table : DataFrame
        ``condition, replicate, value``, one row per cell, the control first; with the column ``part`` also rows of
        differences, see :func:`~tomocyte.figures.experiment.superplot_table`.
    quantity, unit : str
        Of the values.
    title : str
    file_format : {"png", "pdf", "svg"}

    Returns
    -------
    bytes

    Raises
    ------
    SettingsError
        ``E-PICTURE``: a column is missing, or there is no value.

    References
    ----------
    Lord, Velle, Mullins, Fritz-Laylin, J. Cell Biol. 219, e202001064 (2020), doi:10.1083/jcb.202001064; Ho et al.,
    Nat. Methods 16, 565 (2019), doi:10.1038/s41592-019-0470-3 (estimation plots).
    """
    cells = complete_rows(rows_of(table, CELL, is_default=True), ("condition", "replicate", "value"), ("value",))
    differences = rows_of(table, DIFFERENCE)
    conditions = in_order(cells["condition"])
    n_panels = 2 if len(differences) else 1
    widths = [1.1 + 1.0 * len(conditions), 1.1 + 0.8 * len(differences)][:n_panels]
    with defaults():
        size = (max(3.2, sum(widths)), 3.9)
        figure = titled_figure(size, title)
        panels = np.atleast_1d(figure.subplots(1, n_panels, width_ratios=widths))
        _draw_cells(panels[0], cells, conditions)
        panels[0].set_ylabel(drawable(value_label(quantity, unit)), fontsize=9, parse_math=False)
        finish_axes(panels[0], legend="below")
        if n_panels == 2:
            _draw_differences(panels[1], differences)
            label = f"difference from {conditions[0]}" + (f" ({unit})" if unit not in ("", "1") else "")
            panels[1].set_ylabel(drawable(label), fontsize=9, parse_math=False)
            finish_axes(panels[1], legend="none")
        return picture(figure, file_format)


def _draw_cells(axes: Axes, cells: pd.DataFrame, conditions: list[Any]) -> None:
    replicates = in_order(cells["replicate"])
    colours, markers = colours_of(replicates), markers_of(replicates)
    named: set[Any] = set()
    labels = []
    for place, condition in enumerate(conditions):
        rows = cells[cells["condition"] == condition]
        values = rows["value"].to_numpy(np.float64)
        axes.scatter(
            place + spread(values, 0.62),
            values,
            s=9,
            c=[colours[name] for name in rows["replicate"]],
            alpha=0.4,
            linewidths=0,
            rasterized=len(values) > _MOST_VECTORS,
        )
        means = rows.groupby("replicate", sort=False)["value"].mean()
        for (name, mean), offset in zip(means.items(), spread(means.to_numpy(np.float64), 0.3), strict=True):
            is_named = name in named or len(replicates) > _MOST_NAMED
            axes.plot(
                place + offset, mean, markers[name], color=colours[name], markersize=8.5, markeredgecolor="black",
                markeredgewidth=0.9, zorder=4, label=None if is_named else _replicate_name(name),
            )  # fmt: skip
            named.add(name)
        middle = float(means.mean())
        axes.plot([place - 0.34, place + 0.34], [middle, middle], color="black", linewidth=1.8, zorder=3)
        counts = f"{shown_count(len(values), 'cell')}\n{shown_count(len(means), 'replicate')}"
        labels.append(f"{drawable(str(condition))}\n{counts}")
    axes.set_xticks(range(len(conditions)), labels, parse_math=False)
    axes.set_xlim(-0.6, len(conditions) - 0.4)


def _replicate_name(name: Any) -> str:
    text = str(name)
    return drawable(f"replicate {text}" if text.isdigit() else text)


def _draw_differences(axes: Axes, differences: pd.DataFrame) -> None:
    axes.axhline(0, color="#999999", linewidth=1, linestyle=":")
    labels = []
    for place, (_, row) in enumerate(differences.iterrows()):
        if np.isfinite([row["low"], row["high"]]).all():
            axes.plot([place, place], [row["low"], row["high"]], color="black", linewidth=2.2, solid_capstyle="butt")
        axes.plot(place, row["value"], "o", color="black", markersize=7)
        labels.append(drawable(str(row["condition"])))
    axes.set_xticks(range(len(labels)), labels, parse_math=False)
    axes.set_xlim(-0.7, len(labels) - 0.3)
    levels = sorted(set(differences["level"].dropna())) if "level" in differences else []
    if len(levels) == 1:
        axes.set_title(f"{levels[0]:.0%} interval".replace("%", " %"), fontsize=8, loc="right")
