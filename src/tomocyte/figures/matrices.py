"""Matrices with a number in every field: confusion of classes, contacts of structures.

To colour by another rule than the value's place between two limits, change ``_draw_matrix``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.figures.canvas import DPI, PictureFormat, defaults, drawable, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class MatrixPanel:
    """One matrix.

    Parameters
    ----------
    values : ndarray (n, m), float
        NaN stays empty.
    rows, columns : sequence of str
    title, row_title, column_title : str
    limits : tuple of 2 float
        Values of the first and the last colour.
    digits : int
        After the point.
    """

    values: NDArray[np.float64]
    rows: Sequence[str]
    columns: Sequence[str]
    title: str = ""
    row_title: str = ""
    column_title: str = ""
    limits: tuple[float, float] = (0.0, 1.0)
    digits: int = 2


def matrix_figure(panels: Sequence[MatrixPanel], *, title: str = "", file_format: PictureFormat = "png") -> bytes:
    """Matrices side by side.

    Parameters
    ----------
    panels : sequence of MatrixPanel
        At least one.
    title : str
        Say there that data are simulated.
    file_format : {"png", "pdf", "svg"}

    Raises
    ------
    SettingsError
        ``E-PICTURE``: no panel; ``E-SHAPE``: not a name for every row and column.

    Examples
    --------
    >>> matrix_figure([MatrixPanel(np.eye(2), ["a", "b"], ["a", "b"])])[:4]
    b'\\x89PNG'
    """
    if not panels:
        raise SettingsError("E-PICTURE", "there is no matrix to draw.", cure="Give at least one.")
    for panel in panels:
        if panel.values.shape != (len(panel.rows), len(panel.columns)):
            raise SettingsError(
                "E-SHAPE", f"{len(panel.rows)} rows and {len(panel.columns)} columns for {panel.values.shape}.",
                cure="Give a name for every row and column.",
            )  # fmt: skip
    from matplotlib.figure import Figure

    widths = [1.9 + 0.52 * len(panel.columns) for panel in panels]
    height = 1.9 + 0.34 * max(len(panel.rows) for panel in panels)
    with defaults():
        figure = Figure(figsize=(sum(widths), height), dpi=DPI, facecolor="white", layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False, width_ratios=widths)[0]
        for place, panel in zip(axes, panels, strict=True):
            _draw_matrix(place, panel)
        if title:
            figure.suptitle(drawable(title), fontsize=10, fontweight="bold", parse_math=False)
        return picture(figure, file_format)


def _draw_matrix(axes: Axes, panel: MatrixPanel) -> None:
    low, high = panel.limits
    axes.imshow(np.ma.masked_invalid(panel.values), cmap="Blues", vmin=low, vmax=high, aspect="auto")
    style: dict[str, Any] = {"fontsize": 7.5, "parse_math": False}
    for (row, column), value in np.ndenumerate(panel.values):
        if math.isfinite(value):
            colour = "white" if value > low + 0.6 * (high - low) else "black"
            axes.text(column, row, f"{value:.{panel.digits}f}", ha="center", va="center", color=colour, **style)
    names = [[drawable(name.replace("_", " ")) for name in side] for side in (panel.columns, panel.rows)]
    axes.set_xticks(range(len(panel.columns)), names[0], rotation=40, ha="right", rotation_mode="anchor", **style)
    axes.set_yticks(range(len(panel.rows)), names[1], **style)
    axes.set_title(drawable(panel.title), fontsize=9, parse_math=False)
    axes.set_xlabel(drawable(panel.column_title), fontsize=8, parse_math=False)
    axes.set_ylabel(drawable(panel.row_title), fontsize=8, parse_math=False)
