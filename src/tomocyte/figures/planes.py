"""Three orthogonal planes of a volume, as measured and with the contours of what was found.

Only the planes shown are read from the volume. To show one thing more, draw it in ``_draw_plane``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.figures.canvas import (
    DPI,
    MISSING_COLOUR,
    axes_at,
    defaults,
    drawable,
    png,
    sample,
    sample_steps,
    structure_colour,
    value_label,
    write,
)
from tomocyte.volume import VoxelSize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DISPLAY_PERCENTILES = (0.5, 99.8)
_GROUP_PX = (560, 600)
_CAPTION_PX = 20
_MARGIN_PX = 14
_LARGEST_SIDE = 2048
_MOST_NUMBERS = 250


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


def scale_bar_um(width_um: float) -> float:
    """A round length (1, 2 or 5 times a power of ten) of at most 0.3 of the width, in µm.

    Parameters
    ----------
    width_um : float
        Width of the picture in µm, above 0.

    Examples
    --------
    >>> scale_bar_um(19.5), scale_bar_um(90.0), scale_bar_um(2.0)
    (5.0, 20.0, 0.5)
    """
    exponent = math.floor(math.log10(0.3 * width_um))
    return max(step * 10.0**exponent for step in (1, 2, 5) if step * 10.0**exponent <= 0.3 * width_um * (1 + 1e-9))


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
    limits = _display_range([plane.image for plane in planes])
    is_missing = any(not np.isfinite(plane.image).all() for plane in planes)
    with defaults():
        return _draw_overview(planes, limits, is_missing, label=value_label(quantity, unit), title=title)


def _most_informative_voxel(labels: Mapping[str, NDArray[Any]], shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Centre of the largest nucleus in the largest cell, of that cell, of the largest object, or of the volume."""
    steps = sample_steps(shape)
    grids = {name: sample(array, steps) for name, array in labels.items()}
    outer = next((grids[name] for name in ("cell", *grids) if name in grids and grids[name].any()), None)
    if outer is None:
        return shape[0] // 2, shape[1] // 2, shape[2] // 2
    inside = _largest(outer)
    nuclei = np.where(inside, grids["nucleus"], 0) if "nucleus" in grids else np.zeros(1)
    chosen = _largest(nuclei) if nuclei.any() else inside
    voxels = np.argwhere(chosen)
    # The centroid may lie outside a bent object: take the object's voxel nearest to it.
    nearest = voxels[np.argmin(((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1))]
    centre = [min(int(index) * size + size // 2, n - 1) for index, size, n in zip(nearest, steps, shape, strict=True)]
    return centre[0], centre[1], centre[2]


def _largest(grid: NDArray[Any]) -> NDArray[np.bool_]:
    names, sizes = np.unique(grid[grid > 0], return_counts=True)
    return np.asarray(grid == names[np.argmax(sizes)])


def _cut_planes(image: NDArray[Any], labels: Mapping[str, NDArray[Any]], voxel_size_um: VoxelSize) -> list[_Plane]:
    shape = image.shape
    z, y, x = _most_informative_voxel(labels, shape)
    size_z, size_y, size_x = voxel_size_um
    at = [(index + 0.5) * size for index, size in zip((z, y, x), voxel_size_um, strict=True)]

    def cut(caption: str, place: tuple[Any, ...], pixel_um: tuple[float, float], cross: tuple[float, float]) -> _Plane:
        plane = np.asarray(image[place])
        thin = tuple(slice(None, None, max(1, math.ceil(n / _LARGEST_SIDE))) for n in plane.shape)
        found = {name: np.asarray(array[place])[thin] for name, array in labels.items()}
        pixel = pixel_um[0] * thin[0].step, pixel_um[1] * thin[1].step
        return _Plane(caption, plane[thin].astype(np.float64), found, pixel, cross)

    everything = slice(None)
    if shape[0] == 1:
        return [cut("", (0, everything, everything), (size_y, size_x), (at[1], at[2]))]
    return [
        cut(f"xy   z = {at[0]:.4g} µm (plane {z + 1} of {shape[0]})", (z, everything, everything),
            (size_y, size_x), (at[1], at[2])),
        cut(f"xz   y = {at[1]:.4g} µm", (everything, y, everything), (size_z, size_x), (at[0], at[2])),
        cut(f"zy   x = {at[2]:.4g} µm", (everything, everything, x), (size_z, size_y), (at[0], at[1])),
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
                _draw_scale_bar(axes, width_um, scale)
    bar = axes_at(figure, (_MARGIN_PX * 4 + 2 * slot, top, 14, max(60, min(height, 300))))
    _draw_colour_bar(figure, shown, bar, label)
    _draw_legend(figure, planes, is_missing)
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
        _draw_contours(axes, labels, plane.pixel_um, colour=structure_colour(name), is_turned=is_turned)
    if not is_turned and "cell" in plane.labels and not plane.caption.startswith("xz"):
        _draw_numbers(axes, plane.labels["cell"], plane.pixel_um)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return shown


def _objects(labels: NDArray[Any]) -> Iterator[tuple[int, tuple[slice, ...], NDArray[np.bool_]]]:
    """Label, box and mask of each object in a plane."""
    from scipy import ndimage

    names, dense = np.unique(labels, return_inverse=True)
    dense = dense.reshape(labels.shape) + 1
    for number, box in enumerate(ndimage.find_objects(dense), start=1):
        if names[number - 1] != 0:
            yield int(names[number - 1]), box, dense[box] == number


def _draw_contours(
    axes: Axes, labels: NDArray[Any], pixel_um: tuple[float, float], *, colour: str, is_turned: bool
) -> None:
    from matplotlib import patheffects
    from matplotlib.collections import LineCollection
    from skimage.measure import find_contours

    lines = []
    for _, box, mask in _objects(labels):
        corner = np.array([box[0].start, box[1].start])
        for line in find_contours(np.pad(mask, 1).astype(np.float32), 0.5):
            points = (line - 1 + corner + 0.5) * np.asarray(pixel_um)
            lines.append(points if is_turned else points[:, ::-1])
    halo = [patheffects.Stroke(linewidth=1.9, foreground="black", alpha=0.4), patheffects.Normal()]
    axes.add_collection(LineCollection(lines, colors=colour, linewidths=1.15, path_effects=halo))


def _draw_numbers(axes: Axes, labels: NDArray[Any], pixel_um: tuple[float, float]) -> None:
    from matplotlib import patheffects

    objects = list(_objects(labels))
    if len(objects) > _MOST_NUMBERS:
        return
    for name, box, mask in objects:
        corner = np.array([box[0].start + 0.5, box[1].start + 0.5])
        y, x = (np.argwhere(mask).mean(axis=0) + corner) * np.asarray(pixel_um)
        halo = [patheffects.withStroke(linewidth=1.8, foreground="black")]
        style: dict[str, Any] = {"color": "white", "fontsize": 9, "fontweight": "bold", "ha": "center", "va": "center"}
        axes.text(x, y, str(name), path_effects=halo, **style)


def _draw_scale_bar(axes: Axes, width_um: float, scale: float) -> None:
    """A bar in the lower left corner; ``scale`` in pixels per µm."""
    from matplotlib import patheffects
    from matplotlib.patches import Rectangle

    length = scale_bar_um(width_um)
    bottom = axes.get_ylim()[0]
    thickness, inset = 5 / scale, 10 / scale
    axes.add_patch(
        Rectangle((inset, bottom - inset - thickness), length, thickness, facecolor="white", edgecolor="none")
    )
    axes.text(
        inset,
        bottom - inset - thickness - 4 / scale,
        f"{length:g} µm",
        color="white",
        fontsize=8,
        va="bottom",
        path_effects=[patheffects.withStroke(linewidth=2, foreground="black")],
    )


def _draw_colour_bar(figure: Figure, shown: Any, axes: Axes, label: str) -> None:
    from matplotlib.ticker import FormatStrFormatter, MaxNLocator

    bar = figure.colorbar(shown, cax=axes)
    bar.locator = MaxNLocator(5)
    bar.formatter = FormatStrFormatter("%.4f" if label == "refractive index" else "%.4g")
    bar.update_ticks()
    axes.tick_params(labelsize=8)
    axes.set_ylabel(drawable(label), fontsize=8, parse_math=False)


def _draw_legend(figure: Figure, planes: list[_Plane], is_missing: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    entries: list[Any] = [
        Line2D([], [], color=structure_colour(name), linewidth=2.5, label=drawable(name.replace("_", " ")))
        for name in planes[0].labels
    ]
    if is_missing:
        entries.append(Patch(color=MISSING_COLOUR, label="no value (NaN)"))
    if len(planes) > 1:
        entries.append(Line2D([], [], color="#999999", linewidth=1, linestyle="--", label="where the planes cut"))
    if entries:
        legend = figure.legend(
            handles=entries, loc="lower right", ncols=len(entries), frameon=False, fontsize=8, borderaxespad=0.4
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
