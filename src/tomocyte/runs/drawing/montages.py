"""Cells side by side: the lowest, the typical and the highest of a quantity, and one cell through time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.figures.contours import ContourPanel, contour_figure
from tomocyte.figures.crops import cell_panel, typical_and_extreme
from tomocyte.figures.experiment import write_pictures
from tomocyte.figures.movies import time_stamp
from tomocyte.runs.drawing.charts import unit_of
from tomocyte.runs.drawing.view import ItemView
from tomocyte.runs.report.rounding import heading, rounded

if TYPE_CHECKING:
    import pandas as pd

CENTRE = ("z_um", "y_um", "x_um")
_MARGIN = 1.5
_MOST_TIMES = 10
_MOST_TRACKS = 6


def cell_montage(
    cells: pd.DataFrame, quantity: str, stem: Path, *, view: Callable[[str], ItemView], n_each: int
) -> tuple[Path, ...]:
    """Write crops of the cells with the lowest, the typical and the highest values of a quantity, a row each.

    Parameters
    ----------
    cells : DataFrame
        Whole cells of one time, a row each, with ``item, frame, label``, the quantity and the place.
    quantity : str
    stem : Path
        Of the files.
    view : callable
        From the name of an item to what can be looked at.
    n_each : int
        Cells per row.

    Returns
    -------
    tuple of Path
        Nothing where the table lacks the places of cells, or no cell has a value.
    """
    if not has_places(cells):
        return ()
    rows = typical_and_extreme(cells[quantity].astype(float), n_each=n_each)
    if not rows:
        return ()
    unit = unit_of(quantity)
    shown = cells.loc[[index for kind in rows.values() for index in kind]]
    kinds = [kind for kind, indices in rows.items() for _ in indices]
    side_um = side_of(shown, view)
    panels = []
    for kind, (_, row) in zip(kinds, shown.iterrows(), strict=True):
        value = f"{rounded(float(row[quantity]), quantity)} {unit}".strip()
        caption = f"{kind}: {value} ({row['item']} {int(row['label'])})"
        panels.append(panel_of(view(str(row["item"])), row, side_um, caption))
    data = shown[["item", "frame", "label", *CENTRE, quantity]].assign(shown_as=kinds, side_um=side_um)
    title = f"{heading(quantity, unit)}: lowest, typical and highest"
    return _write(panels, view(str(shown["item"].iloc[0])), stem, data, title=title, n_columns=n_each)


def track_montages(cells: pd.DataFrame, stem: Path, *, view: Callable[[str], ItemView]) -> Iterator[Path]:
    """Write the same cell through time, for the longest tracks of each item: at most ten times of six tracks.

    Parameters
    ----------
    cells : DataFrame
        With ``item, frame, track_id`` and the place.
    stem : Path
    view : callable
        From the name of an item to what can be looked at.

    Yields
    ------
    Path
    """
    if "track_id" not in cells or not has_places(cells):
        return
    for item, rows in cells.dropna(subset=["track_id"]).groupby("item", sort=False):
        lengths = rows.groupby("track_id")["frame"].nunique().sort_values(ascending=False, kind="stable")
        longest = lengths[lengths > 1].index[:_MOST_TRACKS]
        if not len(longest):
            continue
        shown = rows[rows["track_id"].isin(longest)].sort_values(["track_id", "frame"])
        times = sorted(shown["frame"].unique())
        times = [times[round(place)] for place in np.linspace(0, len(times) - 1, min(_MOST_TIMES, len(times)))]
        shown = shown[shown["frame"].isin(times)]
        side_um = side_of(shown, view)
        panels = _track_panels(shown, view(str(item)), longest, times, side_um)
        data = shown[["item", "frame", "track_id", "label", *CENTRE]].assign(side_um=side_um)
        path = stem.with_name(f"{stem.name}_through_time_{item}")
        yield from _write(panels, view(str(item)), path, data, title="cells through time", n_columns=len(times))


def _track_panels(
    shown: pd.DataFrame, view: ItemView, tracks: Any, frames: list[int], side_um: float
) -> list[ContourPanel]:
    """A row per track, a column per time; where a track is not there, its nearest place in time is shown."""
    panels = []
    for track in tracks:
        rows = shown[shown["track_id"] == track].set_index("frame", drop=False)
        for frame in frames:
            nearest = rows.iloc[int(np.abs(rows.index.to_numpy() - frame).argmin())]
            stamp = time_stamp(view.time_s(frame), frame, view.longest_s)
            caption = f"track {int(track)}, {stamp}" + ("" if frame in rows.index else " (gap)")
            panels.append(panel_of(view, nearest, side_um, caption, frame=frame))
    return panels


def has_places(cells: pd.DataFrame) -> bool:
    """Whether a table says where its cells lie."""
    return {"y_um", "x_um"} <= set(cells)


def panel_of(view: ItemView, row: Any, side_um: float, caption: str, *, frame: int | None = None) -> ContourPanel:
    """The crop of one row of the table; of another frame, if that is given."""
    at = int(row["frame"]) if frame is None else frame
    place = [float(row[name]) if name in row else np.nan for name in CENTRE]
    panel = cell_panel(view.image(at), view.outlines(at), place, view.voxel_size_um, side_um=side_um, caption=caption)
    return panel if at != int(row["frame"]) else replace(panel, contours=own_outlines(panel.contours, view.main, row))


def own_outlines(contours: Mapping[str, Any], main: str, row: Any) -> dict[str, Any]:
    """The outline of one cell and of what lies in it, without its neighbours."""
    if main not in contours or row.get("structure", main) != main:
        return dict(contours)
    inside = contours[main] == int(row["label"])
    return {name: np.where(inside, plane, 0) for name, plane in contours.items()}


def _alike(panels: list[ContourPanel]) -> list[ContourPanel]:
    """Panels of one side in µm with as many pixels as the first, where inputs have pixels of different sizes."""
    rows, columns = panels[0].image.shape

    def taken(plane: Any) -> Any:
        at = [((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip((rows, columns), plane.shape, strict=True)]
        return plane[np.ix_(*at)]

    return [
        replace(panel, image=taken(panel.image), contours={name: taken(mask) for name, mask in panel.contours.items()})
        for panel in panels
    ]


def side_of(cells: pd.DataFrame, view: Callable[[str], ItemView]) -> float:
    """The side of a square that holds each of these cells with a margin, in µm, measured on their labels.

    At least 2 µm, and no larger than the smallest field.
    """
    largest, smallest_field = 2.0, np.inf
    for item, rows in cells.groupby("item"):
        looked = view(str(item))
        height, width = looked.pixel_um
        _, n_rows, n_columns = looked.volume.spatial_shape
        smallest_field = min(smallest_field, n_rows * height, n_columns * width)
        for frame, present in rows.groupby("frame"):
            flat = looked.labels[looked.main].planes(int(str(frame)), 0).max(axis=0)
            for label in present["label"]:
                places = np.argwhere(flat == label)
                if len(places):
                    extent = (places.max(axis=0) - places.min(axis=0) + 1) * (height, width)
                    largest = max(largest, float(extent.max()))
    return float(min(largest * _MARGIN, smallest_field))


def _write(
    panels: list[ContourPanel], view: ItemView, stem: Path, data: pd.DataFrame, *, title: str, n_columns: int
) -> tuple[Path, ...]:
    simulated = " (simulated)" if view.volume.is_simulated else ""
    draw = partial(
        contour_figure, _alike(panels), view.pixel_um, n_columns=n_columns, title=title + simulated,
        quantity=view.volume.quantity or "value", unit=view.volume.unit,
    )  # fmt: skip
    return write_pictures(stem, lambda file_format: draw(file_format=file_format), data)
