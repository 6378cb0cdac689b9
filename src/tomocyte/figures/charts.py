"""Histograms per structure, counted, and time courses, drawn.

To add a chart, write a function that makes a ``Figure`` inside ``defaults`` and returns ``png(figure)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.figures.axes import time_scale
from tomocyte.figures.canvas import (
    DPI,
    TRACK_COLOUR,
    defaults,
    drawable,
    png,
    sample,
    sample_steps,
    value_label,
)
from tomocyte.structures import structure_colour

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def histogram(image: NDArray[Any], labels: Mapping[str, NDArray[Any]], *, n_bins: int = 128) -> dict[str, Any]:
    """How often each value occurs inside each structure and in the background, counted plane by plane.

    Parameters
    ----------
    image : array (Z, Y, X)
        One channel in its physical unit; anything that can be sliced like a numpy array.
    labels : mapping of str to array (Z, Y, X)
        Structure to labels, 0 = background. A structure's counts include what lies inside it.
    n_bins : int
        Number of bins of equal width.

    Returns
    -------
    dict
        Fit for JSON: ``low``, ``high`` (the range of the bins), ``n_bins``, and ``structures``: for each structure and
        for ``background`` (outside all structures) ``counts`` (n_bins), ``n_below``, ``n_above``, ``n_missing`` and
        ``mean``, ``None`` without values.

    Examples
    --------
    >>> histogram(np.array([[[0.0, 1.0, 1.0, 2.0]]]), {}, n_bins=2)["structures"]["background"]["counts"]
    [1, 3]
    """
    low, high = _histogram_range(image, labels)
    names = [*labels, "background"]
    counts = {name: np.zeros(n_bins + 3, dtype=np.int64) for name in names}  # below, bins, above, missing
    sums = dict.fromkeys(names, 0.0)
    for z in range(image.shape[0]):
        plane = np.asarray(image[z], dtype=np.float64)
        is_value = np.isfinite(plane)
        index = np.full(plane.shape, n_bins + 2, dtype=np.intp)
        place = np.clip((plane[is_value] - low) * (n_bins / (high - low)), -1, n_bins + 1)
        index[is_value] = np.floor(place).clip(max=n_bins).astype(np.intp) + 1
        index[plane == high] = n_bins
        masks = {name: np.asarray(array[z]) > 0 for name, array in labels.items()}
        masks["background"] = ~np.logical_or.reduce([np.zeros(plane.shape, bool), *masks.values()])
        for name, mask in masks.items():
            counts[name] += np.bincount(index[mask], minlength=n_bins + 3)
            sums[name] += float(plane[mask & is_value].sum())
    structures = {name: _histogram_entry(counts[name], sums[name]) for name in names}
    return {"low": low, "high": high, "n_bins": n_bins, "structures": structures}


def _histogram_entry(counts: NDArray[np.int64], total: float) -> dict[str, Any]:
    n_values = int(counts[:-1].sum())
    return {
        "counts": counts[1:-2].tolist(),
        "n_below": int(counts[0]),
        "n_above": int(counts[-2]),
        "n_missing": int(counts[-1]),
        "mean": total / n_values if n_values else None,
    }


def _histogram_range(image: NDArray[Any], labels: Mapping[str, NDArray[Any]]) -> tuple[float, float]:
    """A range that outliers do not stretch, and that small bright structures are not cut from."""
    steps = sample_steps(image.shape)
    values = sample(image, steps).astype(np.float64)
    parts = [values, *(values[sample(array, steps) > 0] for array in labels.values())]
    finite = [part[np.isfinite(part)] for part in parts]
    ranges = [
        (np.percentile(part, 0.1, method="lower"), np.percentile(part, 99.9, method="higher"))
        for part in finite
        if part.size
    ]
    if not ranges:
        return 0.0, 1.0
    low, high = float(min(pair[0] for pair in ranges)), float(max(pair[1] for pair in ranges))
    return (low, high) if high > low else (low, low + max(1e-6, abs(low) * 1e-3))


def time_course_figure(
    table: pd.DataFrame, column: str, unit: str, *, structure: str = "cell", label: str = ""
) -> bytes:
    """A measurement over time: one line per track, and the mean ± SD over the objects of each frame, as a PNG.

    Without a column ``track_id`` an object's label says nothing about the next frame, and only the mean is drawn.

    Parameters
    ----------
    table : DataFrame
        One row per object and frame, with ``frame`` and the column; ``time_s``, ``structure`` and ``track_id`` are
        used where they exist.
    column, unit : str
        What is drawn.
    structure : str
        Only rows of this structure.
    label : str
        What to call the column on the axis; empty: its name.
    """
    from matplotlib.figure import Figure

    rows = table[table["structure"] == structure] if "structure" in table else table
    frames = rows.groupby("frame")
    groups, values = frames[column], frames[column].mean().dropna()
    deviation = groups.std().reindex(values.index).fillna(0.0)
    x, x_label = _times(rows, values.index.to_numpy())
    with defaults():
        figure = Figure(figsize=(6.4, 2.9), dpi=DPI, facecolor="white", layout="constrained")
        axes = figure.subplots()
        colour = structure_colour(structure)
        if "track_id" in rows:
            place = dict(zip(values.index, x, strict=True))
            for _, track in rows.dropna(subset=["track_id", column]).sort_values("frame").groupby("track_id"):
                axes.plot([place[frame] for frame in track["frame"]], track[column], color=TRACK_COLOUR, linewidth=0.9)
        axes.fill_between(x, values - deviation, values + deviation, color=colour, alpha=0.25, label="± SD")
        axes.plot(x, values, color="#0072B2", marker="o", markersize=3.5, label="mean")
        axes.set_xlabel(x_label, fontsize=9)
        axes.set_ylabel(drawable(value_label(label or column, unit)), fontsize=9,
                        parse_math=False)  # fmt: skip
        axes.set_title(_sizes(groups.count()), fontsize=8, loc="right")
        _finish_axes(figure, axes)
        return png(figure)


def _sizes(counts: pd.Series[int]) -> str:
    if not len(counts):
        return "no objects"
    low, high = int(counts.min()), int(counts.max())
    return f"n = {low} per frame" if low == high else f"n = {low} to {high} per frame"


def _times(rows: pd.DataFrame, frames: NDArray[Any]) -> tuple[NDArray[Any], str]:
    if "time_s" not in rows or rows["time_s"].isna().any() or not len(rows):
        return frames, "frame"
    seconds = rows.groupby("frame")["time_s"].first().loc[frames].to_numpy(dtype=np.float64)
    longest = float(np.max(np.abs(seconds), initial=0.0))
    divisor, name = time_scale(longest)
    return seconds / divisor, f"time ({name})"


def _finish_axes(figure: Figure, axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.ticklabel_format(axis="both", useOffset=False)
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        legend = figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
        for text in legend.get_texts():
            text.set_parse_math(False)
