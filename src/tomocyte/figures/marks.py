"""What is drawn on a plane: outlines, numbers, scale bar, colour bar, legend.

To mark something new on the planes, add a function here and call it in ``planes.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.figures.canvas import MISSING_COLOUR, drawable
from tomocyte.structures import structure_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_NUMBERS = 250


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


def _objects(labels: NDArray[Any]) -> Iterator[tuple[int, tuple[slice, ...], NDArray[np.bool_]]]:
    """Label, box and mask of each object in a plane."""
    from scipy import ndimage

    names, dense = np.unique(labels, return_inverse=True)
    dense = dense.reshape(labels.shape) + 1
    for number, box in enumerate(ndimage.find_objects(dense), start=1):
        if names[number - 1] != 0:
            yield int(names[number - 1]), box, dense[box] == number


def draw_contours(
    axes: Axes, labels: NDArray[Any], pixel_um: tuple[float, float], *, colour: str, is_turned: bool
) -> None:
    """The outline of each object of a plane, on axes in µm; turned exchanges the two axes."""
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


def draw_numbers(axes: Axes, labels: NDArray[Any], pixel_um: tuple[float, float]) -> None:
    """Each object's label in its middle, unless there are too many to read."""
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


def draw_scale_bar(axes: Axes, width_um: float, scale: float) -> None:
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


def draw_colour_bar(figure: Figure, shown: Any, axes: Axes, label: str) -> None:
    """The scale of the grey values; a refractive index has four decimals."""
    from matplotlib.ticker import FormatStrFormatter, MaxNLocator

    bar = figure.colorbar(shown, cax=axes)
    bar.locator = MaxNLocator(5)
    bar.formatter = FormatStrFormatter("%.4f" if label == "refractive index" else "%.4g")
    bar.update_ticks()
    axes.tick_params(labelsize=8)
    axes.set_ylabel(drawable(label), fontsize=8, parse_math=False)


def draw_legend(figure: Figure, structures: Iterable[str], *, is_missing: bool, has_cuts: bool) -> None:
    """What each line and colour is."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    entries: list[Any] = [
        Line2D([], [], color=structure_colour(name), linewidth=2.5, label=drawable(name.replace("_", " ")))
        for name in structures
    ]
    if is_missing:
        entries.append(Patch(color=MISSING_COLOUR, label="no value (NaN)"))
    if has_cuts:
        entries.append(Line2D([], [], color="#999999", linewidth=1, linestyle="--", label="where the planes cut"))
    if entries:
        legend = figure.legend(
            handles=entries, loc="lower right", ncols=len(entries), frameon=False, fontsize=8, borderaxespad=0.4
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
