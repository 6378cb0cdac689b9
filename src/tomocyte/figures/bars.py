"""Grouped bars: one group per cell line, one bar per structure, a point per field.

To add a chart of another kind, see ``curves``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tomocyte.errors import SettingsError
from tomocyte.figures.canvas import DPI, PictureFormat, defaults, drawable, picture
from tomocyte.structures import structure_colour

CELL_COLOUR = "#0072B2"
"""Single cells, beside the colour of the cell mask."""
_OWN_COLOURS = {"cell instances": CELL_COLOUR, "cell instances, network": "#003F63"}


def grouped_bars_figure(
    groups: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    name: str,
    published: Mapping[str, float] | None = None,
    title: str = "",
    file_format: PictureFormat = "png",
) -> bytes:
    """Mean and standard deviation of a score per group and structure, with a point for every value.

    Parameters
    ----------
    groups : mapping of str to mapping of str to sequence of float
        Group (cell line) -> structure -> one value per field; NaN is left out, an empty bar stays empty.
    name : str
        Of the score.
    published : mapping of str to float, optional
        Structure -> what the paper prints as the mean over groups, drawn as a dashed line in its colour.
    title : str
        Say there that data are simulated.
    file_format : {"png", "pdf", "svg"}

    Returns
    -------
    bytes

    Raises
    ------
    SettingsError
        ``E-PICTURE``: no group.
    """
    from matplotlib.figure import Figure

    structures = list(dict.fromkeys(key for bars in groups.values() for key in bars))
    if not structures:
        raise SettingsError("E-PICTURE", "there are no bars to draw.", cure="Give at least one.")
    width = 0.8 / len(structures)
    with defaults():
        size = (2.0 + 0.28 * len(groups) * (len(structures) + 1), 3.6)
        figure = Figure(figsize=size, dpi=DPI, facecolor="white", layout="constrained")
        axes = figure.subplots()
        for place, structure in enumerate(structures):
            colour = _OWN_COLOURS.get(structure) or structure_colour(structure)
            label: str | None = drawable(structure.replace("_", " "))
            for index, bars in enumerate(groups.values()):
                values = np.asarray(bars.get(structure, ()), np.float64)
                values = values[np.isfinite(values)]
                if not len(values):
                    continue
                x = index + (place - (len(structures) - 1) / 2) * width
                deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
                axes.bar(x, values.mean(), width * 0.92, color=colour, label=label, yerr=deviation, capsize=1.5)
                spread = x + np.linspace(-0.25, 0.25, len(values)) * width if len(values) > 1 else [x]
                axes.plot(spread, values, ".", color="#333333", markersize=2.5)
                label = None
            if published and structure in published:
                printed = drawable(f"{structure.replace('_', ' ')}, paper (real data)")
                axes.axhline(published[structure], color=colour, linestyle="--", linewidth=1.1, label=printed)
        axes.set_xticks(range(len(groups)), [drawable(group) for group in groups], parse_math=False)
        axes.set_ylim(0, 1.03)
        axes.set_ylabel(drawable(name), fontsize=9, parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        if title:
            axes.set_title(drawable(title), fontsize=9, fontweight="bold", loc="left", parse_math=False)
        handles, _ = axes.get_legend_handles_labels()
        if handles:
            shown = figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
            for text in shown.get_texts():
                text.set_parse_math(False)
        return picture(figure, file_format)
