"""Quantities over time: a mean with its band per condition, and a thin line per track."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.figures.axes import MARKERS, finish_axes, panels_figure, time_scale
from tomocyte.figures.canvas import PictureFormat, defaults, drawable, picture, value_label
from tomocyte.figures.experiment.tables import BAND, TRACK, colours_of, complete_rows, in_order, rows_of, shown_count

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_BAND_COLUMNS = ("condition", "time_s", "mean", "low", "high")
_TRACK_COLUMNS = ("track_id", "condition", "replicate", "time_s", "value")


def time_courses(
    table: pd.DataFrame, *, quantity: str, unit: str, title: str = "", file_format: PictureFormat = "png"
) -> bytes:
    """The course of each condition as a line in its band, over thin lines of the single tracks.

    Parameters
    ----------
    table : DataFrame
        From :func:`~tomocyte.figures.experiment.course_table`; without the column ``part`` bands alone. ``low`` and
        ``high`` may be empty where a band is not known. What a band is may stand in a column ``band``, in words.
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
    """
    bands = complete_rows(rows_of(table, BAND, is_default=True), _BAND_COLUMNS, ("time_s", "mean"))
    tracks = rows_of(table, TRACK)
    if len(tracks):
        tracks = complete_rows(tracks, _TRACK_COLUMNS, ("time_s", "value"))
    else:
        tracks = tracks.reindex(columns=list(_TRACK_COLUMNS))
    conditions = in_order(bands["condition"])
    colours = colours_of(conditions)
    all_times = np.concatenate([bands["time_s"].to_numpy(np.float64), tracks["time_s"].to_numpy(np.float64)])
    divisor, name = time_scale(float(np.abs(all_times).max()))
    with defaults():
        figure, (axes,) = panels_figure(1, title, width=5.2, height=3.4)
        for condition in conditions:
            _draw_tracks(axes, _single_tracks(tracks, condition), colours[condition], divisor)
        for condition in conditions:
            n_tracks = len(_single_tracks(tracks, condition))
            label = f"{condition} ({shown_count(n_tracks, 'track')})" if n_tracks else str(condition)
            rows = bands[bands["condition"] == condition].sort_values("time_s")
            x, middle = rows["time_s"].to_numpy(np.float64) / divisor, rows["mean"].to_numpy(np.float64)
            style: dict[str, Any] = {"color": colours[condition], "zorder": 4}
            axes.fill_between(x, rows["low"], rows["high"], alpha=0.22, linewidth=0, **style)
            axes.plot(x, middle, linewidth=2, marker="o", markersize=3.5, label=drawable(label), **style)
        _draw_events(axes, tracks, divisor)
        axes.set_xlabel(f"time ({name})", fontsize=9)
        axes.set_ylabel(drawable(value_label(quantity, unit)), fontsize=9, parse_math=False)
        kinds = in_order(bands["band"].dropna()) if "band" in bands else []
        if len(kinds) == 1:
            axes.set_title(drawable(f"mean and {kinds[0]}"), fontsize=8, loc="right", parse_math=False)
        finish_axes(axes, legend="below")
        return picture(figure, file_format)


def _single_tracks(tracks: pd.DataFrame, condition: Any) -> list[NDArray[np.float64]]:
    """Time and value of each track of a condition, (n, 2), in order of time."""
    if not len(tracks):
        return []
    own = tracks[tracks["condition"] == condition].sort_values("time_s")
    return [
        track[["time_s", "value"]].to_numpy(np.float64)
        for _, track in own.groupby(["replicate", "track_id"], sort=False)
    ]


def _draw_tracks(axes: Axes, tracks: list[NDArray[np.float64]], colour: str, divisor: float) -> None:
    from matplotlib.collections import LineCollection

    lines = [track / (divisor, 1.0) for track in tracks]
    if lines:
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=0.6, alpha=0.35))
        axes.autoscale_view()


def _draw_events(axes: Axes, tracks: pd.DataFrame, divisor: float) -> None:
    if "event" not in tracks or not len(tracks):
        return
    marked = tracks[tracks["event"].fillna("") != ""]
    for number, event in enumerate(in_order(marked["event"])):
        rows = marked[marked["event"] == event]
        axes.plot(
            rows["time_s"] / divisor, rows["value"], MARKERS[(number + 2) % len(MARKERS)], color="none", markersize=6,
            markeredgecolor="black", markeredgewidth=1, zorder=5, label=drawable(f"{event} ({len(rows)})"),
        )  # fmt: skip
