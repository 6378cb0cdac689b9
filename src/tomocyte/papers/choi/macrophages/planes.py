"""One cell at several times, planes xy, xz and yz, as measured and with the outlines of what was found (Fig. 4a).

Each row of the picture is one plane; all planes have one scale, and z points up from the coverslip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.figures.canvas import DPI, PictureFormat, axes_at, defaults, picture, value_label, write
from tomocyte.figures.crops import crop_shape
from tomocyte.figures.marks import draw_colour_bar, draw_contours, draw_legend, draw_scale_bar
from tomocyte.figures.planes import DISPLAY_PERCENTILES
from tomocyte.runs.drawing.view import ItemView
from tomocyte.structures import structure_colour
from tomocyte.volume import VoxelSize

if TYPE_CHECKING:
    import pandas as pd

PLANES = {"xy": 0, "xz": 1, "yz": 2}
"""Name of a plane -> the axis across it."""
_PANEL_PX, _GAP_PX, _TOP_PX, _LEFT_PX, _BAR_PX = 210, 6, 52, 78, 110
_MARGIN = 1.25


@dataclass(frozen=True, eq=False)
class Moment:
    """A cell at one time: the image (Z, Y, X) around it, labels of each structure, and where the planes cut."""

    caption: str
    image: NDArray[Any]
    labels: Mapping[str, NDArray[Any]]
    centre: tuple[int, int, int]

    def plane(self, array: NDArray[Any], axis: int) -> NDArray[Any]:
        """One plane through the centre; z is the first axis, from above to the coverslip, where there is one."""
        plane: NDArray[Any] = np.take(array, self.centre[axis], axis=axis)
        return plane if axis == 0 else plane[::-1]


def longest_track(cells: pd.DataFrame, frames: Sequence[int]) -> int | None:
    """The track that is there in most of these frames; of several, the one that is largest on average.

    Parameters
    ----------
    cells : DataFrame
        Cells of one item: ``frame``, ``track_id``, ``volume_um3``.
    frames : sequence of int
    """
    known = cells[cells["track_id"].fillna(0) > 0]
    if known.empty:
        return None
    tracks = known.groupby("track_id")
    ranks = tracks["volume_um3"].mean().to_frame("volume")
    ranks["n_shown"] = known[known["frame"].isin(frames)].groupby("track_id")["frame"].nunique()
    return int(ranks.fillna(0).sort_values(["n_shown", "volume"]).index[-1])


def moments_of(view: ItemView, cells: pd.DataFrame, frames: Sequence[int]) -> list[Moment]:
    """One cell of an item at these frames, cut to a box of one size; frames without it are left out."""
    track = longest_track(cells, frames)
    if track is None:
        return []
    own = cells[(cells["track_id"] == track) & cells["frame"].isin(frames)].sort_values("frame")
    size = view.voxel_size_um
    labels = {
        int(frame): {name: np.asarray(stack.planes(int(frame), 0)) for name, stack in view.labels.items()}
        for frame in own["frame"]
    }
    side = _side_um(
        [labels[int(frame)][view.main] == label for frame, label in zip(own["frame"], own["label"], strict=True)], size
    )
    moments = []
    for row in own.to_dict("records"):
        frame = int(row["frame"])
        masks = labels[frame]
        centre = view.index_of((float(row["z_um"]), float(row["y_um"]), float(row["x_um"])))
        box = _box(centre, crop_shape(side, size), view.volume.spatial_shape)
        inside = masks[view.main][box] == int(row["label"])
        image = np.stack([view.image(frame)[z] for z in range(view.volume.spatial_shape[0])])[box]
        time_s = view.time_s(frame)
        moments.append(
            Moment(
                f"frame {frame}" if time_s is None else f"{time_s / 3600:g} h",
                image,
                {name: np.where(inside, mask[box], 0) for name, mask in masks.items()},
                (centre[0], centre[1] - box[1].start, centre[2] - box[2].start),
            )
        )
    return moments


def _side_um(masks: Sequence[NDArray[np.bool_]], size: VoxelSize) -> float:
    """Side of a square that holds each of the masks, seen from above, with a margin."""
    longest = 0.0
    for mask in masks:
        places = np.argwhere(mask.any(axis=0))
        extent = (places.max(axis=0) - places.min(axis=0) + 1) * (size[1], size[2])
        longest = max(longest, float(extent.max()))
    return longest * _MARGIN


def _box(
    centre: tuple[int, int, int], shape: tuple[int, int], whole: tuple[int, int, int]
) -> tuple[slice, slice, slice]:
    """All planes, and a rectangle around the centre that stays inside."""
    sides = []
    for middle, n, length in zip(centre[1:], shape, whole[1:], strict=True):
        wanted = min(n, length)
        start = min(max(middle - wanted // 2, 0), length - wanted)
        sides.append(slice(start, start + wanted))
    return slice(0, whole[0]), sides[0], sides[1]


def planes_figure(
    moments: Sequence[Moment], voxel_size_um: VoxelSize, *, title: str, quantity: str, unit: str,
    file_format: PictureFormat = "png",
) -> bytes:  # fmt: skip
    """A column per time; per plane a row as measured and one with outlines.

    Parameters
    ----------
    moments : sequence of Moment
        At least one, all of one shape.
    voxel_size_um : tuple of 3 float
        z, y, x.
    title, quantity, unit : str
    file_format : {"png", "pdf", "svg"}
    """
    sizes = dict(enumerate(voxel_size_um))
    pixels = {name: tuple(sizes[other] for other in sizes if other != axis) for name, axis in PLANES.items()}
    shapes = {name: moments[0].plane(moments[0].image, axis).shape for name, axis in PLANES.items()}
    scale = _PANEL_PX / (shapes["xy"][1] * pixels["xy"][1])
    heights = {name: shapes[name][0] * pixels[name][0] * scale for name in PLANES}
    widths = {name: shapes[name][1] * pixels[name][1] * scale for name in PLANES}
    values = np.concatenate([moment.image[np.isfinite(moment.image)].ravel() for moment in moments])
    low, high = (float(value) for value in np.percentile(values, (DISPLAY_PERCENTILES[0], 99.9)))
    with defaults():
        from matplotlib.figure import Figure

        total = (
            _LEFT_PX + len(moments) * (_PANEL_PX + _GAP_PX) + _BAR_PX,
            _TOP_PX + 2 * sum(height + _GAP_PX for height in heights.values()) + 30,
        )
        figure = Figure(figsize=(total[0] / DPI, total[1] / DPI), dpi=DPI, facecolor="white")
        write(figure, (8, 14), title, fontsize=10, fontweight="bold")
        shown: Any = None
        for column, moment in enumerate(moments):
            left, top = _LEFT_PX + column * (_PANEL_PX + _GAP_PX), float(_TOP_PX)
            write(figure, (left, _TOP_PX - 12), moment.caption, fontsize=9)
            for name, axis in PLANES.items():
                for has_outlines in (False, True):
                    axes = axes_at(figure, (left, top, widths[name], heights[name]))
                    shown = _draw(axes, moment, axis, pixels[name], (low, high), has_outlines=has_outlines)
                    if column == 0:
                        words = f"{name}, found" if has_outlines else name
                        write(figure, (8, top + heights[name] / 2), words, fontsize=9)
                    if column == 0 and name == "xy" and not has_outlines:
                        draw_scale_bar(axes, shapes["xy"][1] * pixels["xy"][1], scale)
                    top += heights[name] + _GAP_PX
        bar = axes_at(figure, (total[0] - _BAR_PX + 8, _TOP_PX, 12, min(220.0, total[1] - 2 * _TOP_PX)))
        draw_colour_bar(figure, shown, bar, value_label(quantity, unit))
        draw_legend(figure, moments[0].labels, is_missing=False, has_cuts=False)
        return picture(figure, file_format)


def _draw(
    axes: Any, moment: Moment, axis: int, pixel_um: tuple[float, ...], limits: tuple[float, float], *,
    has_outlines: bool,
) -> Any:  # fmt: skip
    image = moment.plane(moment.image, axis)
    height, width = image.shape[0] * pixel_um[0], image.shape[1] * pixel_um[1]
    shown = axes.imshow(image, cmap="gray", vmin=limits[0], vmax=limits[1], extent=(0, width, height, 0), aspect="auto")
    if has_outlines:
        for name, labels in moment.labels.items():
            plane = np.ascontiguousarray(moment.plane(labels, axis))
            draw_contours(axes, plane, (pixel_um[0], pixel_um[1]), colour=structure_colour(name), is_turned=False)
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return shown
