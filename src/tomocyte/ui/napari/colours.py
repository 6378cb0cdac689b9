"""Colours of layers: the structures' own in shades that tell neighbours apart, and pseudo-colours of channels."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tomocyte.structures import structure_colour

N_SHADES = 11
"""A prime number, so that neighbours with numbers that differ by a few have different shades."""
LIGHTNESS, HUE = 0.16, 0.03
"""How far shades are from the structure's own colour."""
GREY = frozenset({"refractive_index", "phase", "dry_mass_density", "linear_absorption_coefficient"})
"""Quantities that are shown in grey."""
DYES = (
    (r"dapi|hoechst|dna|blue", "bop blue"),
    (r"gfp|fitc|alexa ?488|green", "green"),
    (r"yfp|yellow", "yellow"),
    (r"cy5|alexa ?647|far", "magenta"),
    (r"rfp|tritc|cherry|cy3|nile|red", "red"),
)
"""What the name of a channel may contain, and its pseudo-colour."""
OTHERS = ("green", "magenta", "cyan", "yellow", "red", "bop blue")


def shades(structure: str) -> NDArray[np.float32]:
    """Shades of a structure's colour.

    Parameters
    ----------
    structure : str

    Returns
    -------
    ndarray (12, 4), float32
        Red, green, blue, alpha in [0, 1]: transparent for background, then eleven shades, the first the colour itself.

    Examples
    --------
    >>> (shades("cell")[:2] * 255).round().astype(int).tolist()
    [[0, 0, 0, 0], [86, 180, 233, 255]]
    """
    colour = structure_colour(structure)
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    rows = [(0.0, 0.0, 0.0, 0.0), (red, green, blue, 1.0)]
    for index in range(1, N_SHADES):
        # The golden ratio spreads the first few as widely as all.
        turn, tilt = (index * 0.618 + 0.5) % 1 * 2 - 1, (index * 0.382 + 0.25) % 1 * 2 - 1
        bright = min(max(lightness + LIGHTNESS * turn, 0.2), 0.85)
        rows.append((*colorsys.hls_to_rgb((hue + HUE * tilt) % 1, bright, saturation), 1.0))
    return np.array(rows, np.float32)


def channel_colours(names: Sequence[str], quantity: str | None) -> list[str]:
    """The colormap of each channel of an image, by napari's names.

    Parameters
    ----------
    names : sequence of str
    quantity : str, optional
        What the values mean; the first channel of a refractive index is grey, like any channel that is alone.

    Examples
    --------
    >>> channel_colours(["RI", "DAPI", "mine"], "refractive_index")
    ['gray', 'bop blue', 'green']
    >>> channel_colours(["anything"], None)
    ['gray']
    """
    colours: list[str] = []
    for index, name in enumerate(names):
        if len(names) == 1 or (index == 0 and quantity in GREY):
            colours.append("gray")
            continue
        dye = next((colour for pattern, colour in DYES if re.search(pattern, name.lower())), None)
        free = [colour for colour in OTHERS if colour not in colours]
        colours.append(dye or (free or OTHERS)[0])
    return colours
