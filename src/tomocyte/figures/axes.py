"""What all charts share: colours of series, the empty panels, the finish of axes, the unit of time.

Colours are those of Okabe & Ito, which differ with every kind of colour blindness.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sized
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tomocyte.errors import SettingsError
from tomocyte.figures.canvas import DPI, drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito without yellow, which vanishes on white; then the same again, dashed.
LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LETTERS_PER_INCH = 11.0
"""Of a title in bold."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Of series that have points; they change with the colour, so that either says which."""


def refuse_nothing(what: Sized, kind: str) -> None:
    """Raise ``E-PICTURE`` where there is nothing to draw."""
    if not len(what):
        raise SettingsError("E-PICTURE", f"there are no {kind} to draw.", cure="Give at least one.")


def line_style(number: int) -> dict[str, Any]:
    """Colour and dashes of a series by its number."""
    n_colours = len(LINE_COLOURS)
    style = ("-", "--", ":")[number // n_colours % 3]
    return {"color": LINE_COLOURS[number % n_colours], "linestyle": style, "linewidth": 1.5, "markersize": 3.5}


def titled_figure(size_inches: tuple[float, float], title: str) -> Figure:
    """An empty figure of a size, with its title in as many lines as it needs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size_inches, dpi=DPI, facecolor="white", layout="constrained")
    if title:
        lines = textwrap.wrap(drawable(title), max(12, round(_LETTERS_PER_INCH * size_inches[0])))
        figure.suptitle("\n".join(lines), fontsize=10, fontweight="bold", parse_math=False)
    return figure


def panels_figure(n_panels: int, title: str, *, width: float, height: float = 3.0) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side; sizes in inches, the width of one panel."""
    figure = titled_figure((width * n_panels, height), title)
    return figure, list(np.atleast_1d(figure.subplots(1, n_panels)))


def finish_axes(axes: Axes, *, legend: Literal["inside", "below", "none"] = "inside") -> None:
    """Two spines, small ticks, a legend where something has a label."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    handles, _ = axes.get_legend_handles_labels()
    if not handles or legend == "none":
        return
    if legend == "below":
        shown = axes.figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    else:
        shown = axes.legend(frameon=False, fontsize=7.5)
    for text in shown.get_texts():
        text.set_parse_math(False)


def time_scale(longest_s: float) -> tuple[float, str]:
    """What to divide seconds by, and the name of that unit, so that a course of this length reads well.

    Examples
    --------
    >>> time_scale(7200.0), time_scale(90.0)
    ((60.0, 'min'), (1.0, 's'))
    """
    return next((entry for entry in ((3600.0, "h"), (60.0, "min")) if longest_s >= 3 * entry[0]), (1.0, "s"))
