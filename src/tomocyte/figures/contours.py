"""Planes with the outlines of truth and predictions, as many panels as wanted, in the colours of the OS-Net paper.

To compare one more method, give its mask a name; a name of ``COMPARISON_COLOURS`` is drawn in that colour.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.figures.canvas import (
    COMPARISON_COLOURS,
    DPI,
    MISSING_COLOUR,
    PictureFormat,
    axes_at,
    defaults,
    drawable,
    picture,
    value_label,
    write,
)
from tomocyte.figures.marks import draw_colour_bar, draw_contours, draw_scale_bar
from tomocyte.figures.planes import DISPLAY_PERCENTILES
from tomocyte.structures import structure_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL_PX = 300
_LONE_PANEL_PX = 480
_GAP_PX = 10
_CAPTION_PX = 18
_TITLE_PX = 26
_LEGEND_PX = 26
_BAR_PX = 100
_NAME_PX = 130
_LETTER_PX = 9


@dataclass(frozen=True, eq=False)
class ContourPanel:
    """One plane and what is drawn on it.

    Parameters
    ----------
    image : ndarray (Y, X)
        In its physical unit.
    contours : mapping of str to ndarray (Y, X)
        Name to mask or labels, 0 = background; drawn in this order, the last on top. Empty: the plane as measured.
    caption : str
        Above the panel.
    colours : mapping of str to str
        Name to ``#RRGGBB``, for names that are to have another colour than usual (time points, for instance).
    """

    image: NDArray[Any]
    contours: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    caption: str = ""
    colours: Mapping[str, str] = field(default_factory=dict)

    def colour_of(self, name: str) -> str:
        """The colour of one outline."""
        return self.colours.get(name) or comparison_colour(name)


def comparison_colour(name: str) -> str:
    """The colour of a method's outline, as ``#RRGGBB``; a structure keeps its own.

    Examples
    --------
    >>> comparison_colour("truth")
    '#FF2020'
    """
    return COMPARISON_COLOURS.get(name) or structure_colour(name)


def contour_figure(
    panels: Sequence[ContourPanel],
    pixel_um: tuple[float, float],
    *,
    n_columns: int = 3,
    title: str = "",
    quantity: str = "refractive_index",
    unit: str = "1",
    file_format: PictureFormat = "png",
) -> bytes:
    """Panels with outlines, one grey scale and one scale for all of them.

    Parameters
    ----------
    panels : sequence of ContourPanel
        At least one, all of the same shape; filled row by row.
    pixel_um : tuple of 2 float
        y, x in µm.
    n_columns : int >= 1
    title : str
        Above everything; say there that data are simulated.
    quantity, unit : str
        Of the images, for the colour bar.
    file_format : {"png", "pdf", "svg"}

    Returns
    -------
    bytes

    Raises
    ------
    SettingsError
        ``E-SHAPE``: no panel, or panels or masks of different shapes.

    Examples
    --------
    >>> inside = np.zeros((30, 40), bool)
    >>> inside[10:20, 10:20] = True
    >>> contour_figure([ContourPanel(np.ones((30, 40)), {"truth": inside})], (0.2, 0.1))[:4]
    b'\\x89PNG'
    """
    _check(panels)
    n_columns = min(n_columns, len(panels))
    n_rows = math.ceil(len(panels) / n_columns)
    height_um, width_um = (n * size for n, size in zip(panels[0].image.shape, pixel_um, strict=True))
    scale = (_PANEL_PX if len(panels) > 1 else _LONE_PANEL_PX) / max(height_um, width_um)
    box = width_um * scale, height_um * scale
    caption = _CAPTION_PX if any(panel.caption for panel in panels) else 0
    top = (_TITLE_PX if title else 0) + _GAP_PX
    bar_left = _GAP_PX + n_columns * (box[0] + _GAP_PX)
    width = max(bar_left + _BAR_PX, 2 * _GAP_PX + _LETTER_PX * len(title))
    n_names = len({name for panel in panels for name in panel.contours})
    per_row = max(1, int(width // _NAME_PX))
    height = top + n_rows * (box[1] + caption + _GAP_PX) + _LEGEND_PX * max(1, math.ceil(n_names / per_row))
    limits = _display_range(panels)
    with defaults():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
        if title:
            write(figure, (_GAP_PX, _GAP_PX + _TITLE_PX / 2), title, fontsize=10, fontweight="bold")
        for number, panel in enumerate(panels):
            row, column = divmod(number, n_columns)
            left = _GAP_PX + column * (box[0] + _GAP_PX)
            upper = top + row * (box[1] + caption + _GAP_PX)
            if panel.caption:
                write(figure, (left, upper + caption / 2), panel.caption, fontsize=8)
            axes = axes_at(figure, (left, upper + caption, *box))
            shown = _draw_panel(axes, panel, pixel_um, limits)
            if number == 0:
                draw_scale_bar(axes, width_um, scale)
        bar = axes_at(figure, (bar_left, top + caption, 12, box[1]))
        draw_colour_bar(figure, shown, bar, value_label(quantity, unit))
        _draw_names(figure, panels, per_row)
        return picture(figure, file_format)


def _check(panels: Sequence[ContourPanel]) -> None:
    shapes = {np.shape(array) for panel in panels for array in (panel.image, *panel.contours.values())}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise SettingsError(
            "E-SHAPE",
            f"panels and their masks must be planes Y, X of one shape, not {sorted(shapes)}.",
            cure="Crop all to the same box, or draw several figures.",
        )


def _display_range(panels: Sequence[ContourPanel]) -> tuple[float, float]:
    values = np.concatenate([panel.image[np.isfinite(panel.image)].astype(np.float64) for panel in panels])
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, DISPLAY_PERCENTILES)
    return (float(low), float(high)) if high > low else (float(low), float(low) + max(1e-6, abs(float(low)) * 1e-3))


def _draw_panel(axes: Axes, panel: ContourPanel, pixel_um: tuple[float, float], limits: tuple[float, float]) -> Any:
    from matplotlib import colormaps

    height, width = (n * size for n, size in zip(panel.image.shape, pixel_um, strict=True))
    shown = axes.imshow(
        np.ma.masked_invalid(panel.image),
        cmap=colormaps["gray"].with_extremes(bad=MISSING_COLOUR),
        vmin=limits[0],
        vmax=limits[1],
        extent=(0, width, height, 0),
        aspect="auto",
    )
    for name, mask in panel.contours.items():
        labels = np.asarray(mask).astype(np.uint8) if np.asarray(mask).dtype == np.bool_ else np.asarray(mask)
        draw_contours(axes, labels, pixel_um, colour=panel.colour_of(name), is_turned=False)
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return shown


def _draw_names(figure: Figure, panels: Sequence[ContourPanel], per_row: int) -> None:
    """Which colour is which; on grey, because yellow and cyan vanish on white."""
    from matplotlib.lines import Line2D

    colours = {name: panel.colour_of(name) for panel in panels for name in panel.contours}
    if not colours:
        return
    lines = [Line2D([], [], color=colour, linewidth=2.5, label=drawable(name)) for name, colour in colours.items()]
    legend = figure.legend(
        handles=lines, loc="lower left", ncols=per_row, fontsize=8, facecolor="#555555", labelcolor="white"
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
