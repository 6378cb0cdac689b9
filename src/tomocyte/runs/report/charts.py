"""The charts of an input: how often each value occurs, and its cells over time; drawn by the page's own text colour.

To show another one, yield a :class:`Chart` from :func:`item_charts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.figures.axes import LINE_COLOURS, time_scale
from tomocyte.figures.canvas import BACKGROUND_COLOUR, TRACK_COLOUR, value_label, value_text
from tomocyte.figures.sketches import Curve, sketch
from tomocyte.runs.report.contents import described
from tomocyte.structures import structure_colour

if TYPE_CHECKING:
    import pandas as pd

    from tomocyte.runs.report.section import ReportItem

COURSES = ("volume_um3", "projected_area_um2", "dry_mass_pg", "projected_dry_mass_pg", "mean_ri", "mean_value")
MOST_TRACKS = 60
"""Lines of single tracks in a chart."""


@dataclass(frozen=True)
class Chart:
    """A chart with what stands below it.

    Parameters
    ----------
    svg : str
        As :func:`tomocyte.figures.sketches.sketch` makes it: safe to put into a page.
    caption : str
    legend : tuple of (str, str)
        Colour, and what it stands for.
    """

    svg: str
    caption: str
    legend: tuple[tuple[str, str], ...]


def item_charts(item: ReportItem, rows: pd.DataFrame, dictionary: Mapping[str, Mapping[str, str]]) -> Iterator[Chart]:
    """The histogram of an input, and of a film a course for each of the key columns that its main objects have.

    Parameters
    ----------
    item : ReportItem
    rows : DataFrame
        Its objects.
    dictionary : mapping
        Column -> unit, meaning, nan_reason.
    """
    counts = item.facts.get("histogram")
    if counts is not None:
        chart = histogram_chart(counts, unit=item.facts.get("unit", ""), quantity=item.facts.get("quantity", ""))
        yield from [chart] if chart is not None else []
    if not len(rows) or "frame" not in rows or rows["frame"].nunique() < 2:
        return
    main = item.facts.get("primary", "cell")
    objects = rows[rows["structure"] == main]
    for column in COURSES:
        if column in objects and np.isfinite(objects[column].to_numpy(np.float64)).any():
            note = described(column, dictionary)
            yield course_chart(objects, column, note["heading"], note["unit"], structure=main)


def histogram_chart(counts: Mapping[str, Any], *, unit: str, quantity: str) -> Chart | None:
    """The curves of :func:`tomocyte.figures.histogram`, each scaled to its own peak so that small structures show.

    Parameters
    ----------
    counts : mapping
        As that function returns it, or read back from JSON.
    unit, quantity : str
        Of the image.

    Returns
    -------
    Chart or None
        None where no structure has a value.
    """
    edges = np.linspace(counts["low"], counts["high"], counts["n_bins"] + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    curves, legend = [], []
    for name in ("background", *(name for name in counts["structures"] if name != "background")):
        entry = counts["structures"][name]
        heights = np.asarray(entry["counts"], dtype=np.float64)
        if not heights.any():
            continue
        colour = BACKGROUND_COLOUR if name == "background" else structure_colour(name)
        share = heights / heights.max()
        curves.append(Curve(middles, share, colour, low=np.zeros_like(share), high=share))
        mean = "" if entry["mean"] is None else f", mean {value_text(entry['mean'], quantity)}"
        legend.append((colour, f"{name.replace('_', ' ')} ({int(heights.sum()):,} voxels{mean})"))
    if not curves:
        return None
    caption = "Histogram of the voxel values in each structure (first frame of a series)"
    svg = sketch(curves, x_label=value_label(quantity, unit), y_label="frequency (own peak = 1)", name=caption)
    return Chart(svg, caption, tuple(legend))


def course_chart(objects: pd.DataFrame, column: str, heading: str, unit: str, *, structure: str) -> Chart:
    """A measurement over time: mean ± SD over the objects of each frame, and a thin line per track.

    Parameters
    ----------
    objects : DataFrame
        Of one structure, one row per object and frame, with ``frame`` and the column; ``time_s`` and ``track_id`` are
        used where they exist.
    column, heading, unit : str
    structure : str
    """
    values = objects.groupby("frame")[column]
    means, deviations, counts = values.mean().dropna(), values.std().fillna(0.0), values.count()
    times, x_label = frame_times(objects)
    curves, n_tracks = [], 0
    if "track_id" in objects:
        tracks = list(objects.dropna(subset=["track_id", column]).sort_values("frame").groupby("track_id"))
        n_tracks = len(tracks)
        for _, track in tracks[:: max(1, -(-n_tracks // MOST_TRACKS))]:
            at = np.array([times[frame] for frame in track["frame"]])
            curves.append(Curve(at, track[column].to_numpy(np.float64), TRACK_COLOUR, 0.9))
    x, mean = np.array([times[frame] for frame in means.index]), means.to_numpy(np.float64)
    spread = deviations[means.index].to_numpy(np.float64)
    drawn = len(curves)
    curves.append(Curve(x, mean, LINE_COLOURS[0], low=mean - spread, high=mean + spread, has_points=True))
    low, high = int(counts.min()), int(counts.max())
    n_objects = f"n = {low} per frame" if low == high else f"n = {low} to {high} per frame"
    legend = [(LINE_COLOURS[0], f"mean ± SD ({n_objects})")]
    if n_tracks:
        legend.append((TRACK_COLOUR, f"{drawn} of {n_tracks} tracks" if drawn < n_tracks else f"tracks ({n_tracks})"))
    caption = f"{heading} of each {structure.replace('_', ' ')} over time"
    svg = sketch(curves, x_label=x_label, y_label=value_label(heading, unit), name=caption)
    return Chart(svg, caption, tuple(legend))


def frame_times(rows: pd.DataFrame) -> tuple[dict[int, float], str]:
    """When each frame was taken, in the unit that the axis carries; frame numbers where that is not known."""
    frames = [int(frame) for frame in sorted(rows["frame"].unique())]
    if "time_s" not in rows or rows["time_s"].isna().any():
        return {frame: float(frame) for frame in frames}, "frame"
    seconds = rows.groupby("frame")["time_s"].first()
    divisor, name = time_scale(float(seconds.abs().max()))
    return {frame: float(seconds[frame]) / divisor for frame in frames}, f"time ({name})"
