"""Where cells start and where they end: two boxes per condition, and every cell's two points with a line between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.figures.axes import finish_axes, time_scale, titled_figure
from tomocyte.figures.canvas import PictureFormat, defaults, drawable, picture, value_label
from tomocyte.figures.experiment.tables import (
    TRACK,
    colours_of,
    complete_rows,
    in_order,
    rows_of,
    shown_count,
    spread,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_COLUMNS = ("track_id", "condition", "replicate", "time_s", "value")


def start_to_end(
    table: pd.DataFrame, *, quantity: str, unit: str, title: str = "", file_format: PictureFormat = "png"
) -> bytes:
    """The first and the last value of every track: boxes of the quartiles with all points.

    Parameters
    ----------
    table : DataFrame
        ``track_id, condition, replicate, time_s, value``, one row per track and time. Tracks with a single time are
        left out, and counted under the condition's name.
    quantity, unit : str
        Of the values.
    title : str
    file_format : {"png", "pdf", "svg"}

    Returns
    -------
    bytes
        Whiskers reach the last value within 1.5 interquartile ranges of the box.

    Raises
    ------
    SettingsError
        ``E-PICTURE``: a column is missing, or there is no value.
    """
    rows = complete_rows(rows_of(table, TRACK, is_default=True), _COLUMNS, ("time_s", "value"))
    conditions = in_order(rows["condition"])
    colours = colours_of(conditions)
    with defaults():
        size = (max(3.4, 1.1 + 1.45 * len(conditions)), 3.6)
        figure = titled_figure(size, title)
        axes = figure.subplots()
        labels = [
            _draw_pair(axes, place, rows[rows["condition"] == condition], colours[condition])
            for place, condition in enumerate(conditions)
        ]
        axes.set_xticks(
            range(len(conditions)),
            [f"start   end\n{drawable(str(name))}\n{label}" for name, label in zip(conditions, labels, strict=True)],
            parse_math=False,
        )
        axes.set_xlim(-0.6, len(conditions) - 0.4)
        axes.set_ylabel(drawable(value_label(quantity, unit)), fontsize=9, parse_math=False)
        axes.set_title(_duration(rows), fontsize=8, loc="right")
        finish_axes(axes, legend="none")
        return picture(figure, file_format)


def first_and_last(rows: pd.DataFrame) -> pd.DataFrame:
    """The first and the last row of each track of at least two times, ``start`` and ``end``, indexed by track.

    A track is told apart by its condition, replicate and number.
    """
    tracks = rows.sort_values("time_s", kind="stable").groupby(["condition", "replicate", "track_id"], sort=False)
    ends = tracks.agg(start=("value", "first"), end=("value", "last"), n_times=("time_s", "nunique"))
    return ends


def _draw_pair(axes: Axes, place: int, rows: pd.DataFrame, colour: str) -> str:
    ends = first_and_last(rows)
    pairs = ends[ends["n_times"] > 1][["start", "end"]].to_numpy(np.float64)
    n_single = len(ends) - len(pairs)
    note = shown_count(len(pairs), "track") + (f" (+ {n_single} of one time)" if n_single else "")
    if not len(pairs):
        return note
    middles = (place - 0.22, place + 0.22)
    xs = np.stack([middle + spread(pairs[:, side], 0.2) for side, middle in enumerate(middles)])
    axes.plot(xs, pairs.T, color="#888888", linewidth=0.5, alpha=0.5, zorder=1)
    boxes: dict[str, Any] = axes.boxplot(
        list(pairs.T), positions=middles, widths=0.34, showfliers=False, patch_artist=True, manage_ticks=False
    )
    for box in boxes["boxes"]:
        box.set(facecolor=colour, alpha=0.25, edgecolor="black", linewidth=1)
    for line in boxes["medians"]:
        line.set(color="black", linewidth=1.8)
    axes.plot(xs, pairs.T, "o", color=colour, markersize=3.5, alpha=0.8, markeredgewidth=0, zorder=3)
    return note


def _duration(rows: pd.DataFrame) -> str:
    longest = float(rows["time_s"].max() - rows["time_s"].min())
    divisor, name = time_scale(longest)
    return f"within {longest / divisor:.3g} {name}"
