"""Charts of one number against another, one colour and marker per kind.

To add something to every panel, draw it in :func:`scatter_figure`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tomocyte.figures.axes import LINE_COLOURS, MARKERS, finish_axes, panels_figure, refuse_nothing
from tomocyte.figures.canvas import PictureFormat, defaults, drawable, picture


@dataclass(frozen=True)
class ScatterPanel:
    """One panel.

    Parameters
    ----------
    x_label, y_label : str
        With their units.
    points : mapping of str to (x, y)
        Kind -> two lists of the same length; NaN is not drawn.
    """

    x_label: str
    y_label: str
    points: Mapping[str, tuple[Sequence[float], Sequence[float]]]


def scatter_figure(panels: Sequence[ScatterPanel], *, title: str = "", file_format: PictureFormat = "png") -> bytes:
    """Points in panels side by side.

    Parameters
    ----------
    panels : sequence of ScatterPanel
    title : str
    file_format : {"png", "pdf", "svg"}

    Raises
    ------
    SettingsError
        ``E-PICTURE``: no panel.
    """
    refuse_nothing(panels, "panels")
    with defaults():
        figure, all_axes = panels_figure(len(panels), title, width=3.8, height=3.4)
        for axes, panel in zip(all_axes, panels, strict=True):
            for number, (name, (x, y)) in enumerate(panel.points.items()):
                style: dict[str, Any] = {
                    "color": LINE_COLOURS[number % len(LINE_COLOURS)],
                    "marker": MARKERS[number % len(MARKERS)],
                }
                axes.plot(x, y, linestyle="", markersize=4.5, alpha=0.8, label=drawable(name), **style)
            axes.set_xlabel(drawable(panel.x_label), fontsize=9, parse_math=False)
            axes.set_ylabel(drawable(panel.y_label), fontsize=9, parse_math=False)
            finish_axes(axes)
        return picture(figure, file_format)
