"""Three orthogonal planes of a volume, as measured and with the contours of what was found.

Only the planes shown are read from the volume. To show one thing more, draw it in ``_draw_plane``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.figures.canvas import (
    DPI,
    MISSING_COLOUR,
    axes_at,
    defaults,
    png,
    sample,
    sample_steps,
    value_label,
    write,
)
from tomocyte.figures.marks import draw_colour_bar, draw_contours, draw_legend, draw_numbers, draw_scale_bar
from tomocyte.structures import structure_colour
from tomocyte.volume import VoxelSize

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DISPLAY_PERCENTILES = (0.5, 99.8)
_GROUP_PX = (560, 600)
_CAPTION_PX = 20
_MARGIN_PX = 14
_LARGEST_SIDE = 2048
_LARGEST_CLOSEUP = 0.35

_Grids = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class _Plane:
    """One plane to draw: pixels, labels per structure, where it was cut."""

    caption: str
    image: NDArray[Any]
    labels: Mapping[str, NDArray[Any]]
    pixel_um: tuple[float, float]
    cross_um: tuple[float, float]

    @property
    def size_um(self) -> tuple[float, float]:
        return self.image.shape[0] * self.pixel_um[0], self.image.shape[1] * self.pixel_um[1]


def overview(
    image: NDArray[Any],
    labels: Mapping[str, NDArray[Any]],
    voxel_size_um: VoxelSize,
    *,
    unit: str,
    quantity: str,
    title: str = "",
) -> bytes:
    """Three orthogonal planes, on the left as measured, on the right with the contours of what was found.

    The planes meet in the centre of the nucleus of the largest cell, else of the largest cell, else of the volume. All
    planes have one scale; y points down, as in Fiji. A volume of one plane is drawn as that plane.

    Parameters
    ----------
    image : array (Z, Y, X)
        One channel in its physical unit; anything that can be sliced like a numpy array. NaN and infinity are drawn
        in their own colour.
    labels : mapping of str to array (Z, Y, X)
        Structure to labels, any unsigned integer, 0 = background; may be empty.
    voxel_size_um : tuple of 3 float
        z, y, x in µm; z may be NaN for a single plane.
    unit, quantity : str
        Of the image, for the colour bar.
    title : str
        Above the picture. Characters that the font lacks are drawn as a square.

    Returns
    -------
    bytes
        A PNG.

    Examples
    --------
    >>> overview(np.ones((3, 40, 50)), {}, (0.3, 0.2, 0.1), unit="", quantity="intensity")[:4]
    b'\\x89PNG'
    """
    planes = _cut_planes(image, labels, voxel_size_um)
    return _draw(planes, unit=unit, quantity=quantity, title=title)


def closeup(
    image: NDArray[Any],
    labels: Mapping[str, NDArray[Any]],
    voxel_size_um: VoxelSize,
    *,
    unit: str,
    quantity: str,
    title: str = "",
) -> bytes | None:
    """The picture of :func:`overview` for the largest cell alone, to judge the contours of what lies in it.

    Parameters
    ----------
    image, labels, voxel_size_um, unit, quantity, title
        As in :func:`overview`.

    Returns
    -------
    bytes or None
        A PNG; ``None`` where nothing was found, or where the largest cell fills so much of the field that the overview
        already shows it well. Positions in the captions are those in the whole volume.
    """
    grids, steps = _sampled(labels, image.shape)
    inside = _largest_object(grids)
    if inside is None:
        return None
    first, last = np.argwhere(inside).min(axis=0) * steps, (np.argwhere(inside).max(axis=0) + 1) * steps
    margin = np.ceil(0.15 * (last - first)).astype(int) + 2
    corner, end = np.maximum(first - margin, 0), np.minimum(last + margin, image.shape)
    if math.prod((end - corner)[1:]) > _LARGEST_CLOSEUP * math.prod(image.shape[1:]):
        return None
    box = tuple(slice(int(start), int(stop)) for start, stop in zip(corner, end, strict=True))
    parts = {name: array[box] for name, array in labels.items()}
    planes = _cut_planes(image[box], parts, voxel_size_um, corner=(box[0].start, box[1].start, box[2].start))
    return _draw(planes, unit=unit, quantity=quantity, title=title)


def _draw(planes: list[_Plane], *, unit: str, quantity: str, title: str) -> bytes:
    limits = _display_range([plane.image for plane in planes])
    is_missing = any(not np.isfinite(plane.image).all() for plane in planes)
    with defaults():
        return _draw_overview(planes, limits, is_missing, label=value_label(quantity, unit), title=title)


def _sampled(labels: Mapping[str, NDArray[Any]], shape: tuple[int, ...]) -> tuple[_Grids, tuple[int, int, int]]:
    steps = sample_steps(shape)
    return {name: sample(array, steps) for name, array in labels.items()}, steps


def _largest_object(grids: _Grids) -> NDArray[np.bool_] | None:
    """The largest cell, else the largest object of the first structure that has one."""
    outer = next((grids[name] for name in ("cell", *grids) if name in grids and grids[name].any()), None)
    return None if outer is None else _largest(outer)


def _most_informative_voxel(labels: Mapping[str, NDArray[Any]], shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Centre of the largest nucleus in the largest cell, of that cell, of the largest object, or of the volume."""
    grids, steps = _sampled(labels, shape)
    inside = _largest_object(grids)
    if inside is None:
        return shape[0] // 2, shape[1] // 2, shape[2] // 2
    nuclei = np.where(inside, grids["nucleus"], 0) if "nucleus" in grids else np.zeros(1)
    target = _largest(nuclei) if nuclei.any() else inside
    voxels = np.argwhere(target)
    # The centroid may lie outside a bent object: take the object's voxel nearest to it.
    z, y, x = voxels[np.argmin(((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1))] * steps
    return int(z), int(y), int(x)


def _largest(grid: NDArray[Any]) -> NDArray[np.bool_]:
    names, sizes = np.unique(grid[grid > 0], return_counts=True)
    return np.asarray(grid == names[np.argmax(sizes)])


def _cut_planes(
    image: NDArray[Any],
    labels: Mapping[str, NDArray[Any]],
    voxel_size_um: VoxelSize,
    *,
    corner: tuple[int, int, int] = (0, 0, 0),
) -> list[_Plane]:
    """The planes of a volume, or of a part of it whose first voxel is ``corner`` in the whole."""
    shape = image.shape
    z, y, x = _most_informative_voxel(labels, shape)
    size_z, size_y, size_x = voxel_size_um
    at = [(index + 0.5) * size for index, size in zip((z, y, x), voxel_size_um, strict=True)]

    def cut(caption: str, place: tuple[Any, ...], pixel_um: tuple[float, float], cross: tuple[float, float]) -> _Plane:
        plane = np.asarray(image[place])
        thin = tuple(slice(None, None, max(1, math.ceil(n / _LARGEST_SIDE))) for n in plane.shape)
        planes = {name: np.asarray(array[place])[thin] for name, array in labels.items()}
        pixel = pixel_um[0] * thin[0].step, pixel_um[1] * thin[1].step
        return _Plane(caption, plane[thin].astype(np.float64), planes, pixel, cross)

    name_z, name_y, name_x = (
        # As in the tables, the centre of voxel 0 lies at 0 µm.
        f"{(index + first) * size:.4g} µm"
        for index, first, size in zip((z, y, x), corner, voxel_size_um, strict=True)
    )
    everything = slice(None)
    if shape[0] == 1:
        return [cut("", (0, everything, everything), (size_y, size_x), (at[1], at[2]))]
    return [
        cut(f"xy   z = {name_z} (plane {corner[0] + z + 1})", (z, everything, everything),
            (size_y, size_x), (at[1], at[2])),
        cut(f"xz   y = {name_y}", (everything, y, everything), (size_z, size_x), (at[0], at[2])),
        cut(f"zy   x = {name_x}", (everything, everything, x), (size_z, size_y), (at[0], at[1])),
    ]  # fmt: skip


def _display_range(images: list[NDArray[Any]]) -> tuple[float, float]:
    values = np.concatenate([image[np.isfinite(image)] for image in images])
    if not values.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(values, DISPLAY_PERCENTILES))
    return (low, high) if high > low else (low, low + max(1e-6, abs(low) * 1e-3))


def _draw_overview(
    planes: list[_Plane], limits: tuple[float, float], is_missing: bool, *, label: str, title: str
) -> bytes:
    from matplotlib.figure import Figure

    height_um, width_um = planes[0].size_um
    depth_um = planes[1].size_um[0] if len(planes) > 1 else 0.0
    gap = _CAPTION_PX if len(planes) > 1 else 0
    scale = min(
        (_GROUP_PX[0] - gap) / (width_um + depth_um), (_GROUP_PX[1] - gap) / (height_um + depth_um)
    )  # pixels per µm, one for all planes
    width, height, depth = (max(1, round(size * scale)) for size in (width_um, height_um, max(depth_um, 1e-9)))
    depth = depth if len(planes) > 1 else 0
    slot = max(width + gap + (max(depth, 100) if depth else 0), 260)
    top = _MARGIN_PX + (24 if title else 0) + (2 if depth else 1) * _CAPTION_PX
    total = (2 * slot + 140, top + height + gap + depth + 2 * _CAPTION_PX + _MARGIN_PX)
    figure = Figure(figsize=(total[0] / DPI, total[1] / DPI), dpi=DPI, facecolor="white")
    if title:
        write(figure, (_MARGIN_PX, _MARGIN_PX + 8), title, size=11)
    boxes = [(0, 0, width, height), (0, height + gap, width, depth), (width + gap, 0, depth, height)]
    shown = None
    for group, heading in enumerate(("image", "image with contours")):
        left = _MARGIN_PX + group * (slot + 2 * _MARGIN_PX)
        write(figure, (left, top - (1.5 if depth else 0.5) * _CAPTION_PX), heading, size=9.5, weight="bold")
        for number, plane in enumerate(planes):
            x, y, w, h = boxes[number]
            axes = axes_at(figure, (left + x, top + y, w, h))
            write(figure, (left + x, top + y - _CAPTION_PX / 2), plane.caption, size=8)
            drawn = _draw_plane(axes, plane, limits, is_turned=number == 2, has_contours=group == 1)
            shown = shown or drawn
            if number == 0:
                draw_scale_bar(axes, width_um, scale)
    bar = axes_at(figure, (_MARGIN_PX * 4 + 2 * slot, top, 14, max(60, min(height, 300))))
    draw_colour_bar(figure, shown, bar, label)
    draw_legend(figure, planes[0].labels, is_missing=is_missing, has_cuts=len(planes) > 1)
    return png(figure)


def _draw_plane(axes: Axes, plane: _Plane, limits: tuple[float, float], *, is_turned: bool, has_contours: bool) -> Any:
    """Draw a plane; turned means that its first axis (z) points to the right."""
    from matplotlib import colormaps

    image = plane.image.T if is_turned else plane.image
    cross = plane.cross_um if is_turned else plane.cross_um[::-1]
    height, width = plane.size_um[::-1] if is_turned else plane.size_um
    shown = axes.imshow(
        np.ma.masked_invalid(image),
        cmap=colormaps["gray"].with_extremes(bad=MISSING_COLOUR),
        vmin=limits[0],
        vmax=limits[1],
        extent=(0, width, height, 0),
        aspect="auto",
    )
    axes.set_axis_off()
    if not has_contours:
        return shown
    if plane.caption:
        axes.axvline(cross[0], color="white", linewidth=0.6, alpha=0.55, linestyle=(0, (6, 4)))
        axes.axhline(cross[1], color="white", linewidth=0.6, alpha=0.55, linestyle=(0, (6, 4)))
    for name, labels in plane.labels.items():
        draw_contours(axes, labels, plane.pixel_um, colour=structure_colour(name), is_turned=is_turned)
    if not is_turned and "cell" in plane.labels and not plane.caption.startswith("xz"):
        draw_numbers(axes, plane.labels["cell"], plane.pixel_um)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return shown
