"""Many compartments of a cell in one picture, seen from above, with a legend: as Fig. 1b to h of Zhanghao et al.

Every structure has its own colour of :mod:`tomocyte.structures` and an opacity, so that what fills a cell does not hide
what lies in it; deeper voxels are darker. To show a structure more or less, change :data:`OPACITIES`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.figures.canvas import DPI, PictureFormat, axes_at, defaults, drawable, picture, write
from tomocyte.figures.marks import draw_scale_bar
from tomocyte.structures import in_drawing_order, structure_colour
from tomocyte.volume import VoxelSize

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OPACITIES = {
    "extracellular": 0.0,
    "cytosol": 0.012,
    "cytoplasm": 0.012,
    "cell": 0.012,
    "nucleus": 0.05,
    "nucleoplasm": 0.05,
    "plasma_membrane": 0.05,
    "nuclear_membrane": 0.12,
    "endoplasmic_reticulum": 0.2,
}
"""Of one voxel, of structures that would hide others; all others are opaque."""
FEW = {"extracellular": 0.03, "cytosol": 0.08, "cytoplasm": 0.08, "cell": 0.08}
"""Of one voxel, of what is drawn with at most two others; of those not named here at least 0.35."""
_FEW = 0.35
_DARKEST = 0.6
_MOST_PIXELS = 700
_SIDE_PX, _SMALL_SIDE_PX, _GAP_PX, _TITLE_PX, _CAPTION_PX, _NAME_PX, _ROW_PX = 480, 240, 10, 28, 18, 170, 18


@dataclass(frozen=True)
class CompartmentPanel:
    """One panel: which structures it shows, and its caption.

    Parameters
    ----------
    structures : tuple of str
    caption : str
    """

    structures: tuple[str, ...]
    caption: str = ""


def compartment_colours(
    masks: Mapping[str, NDArray[Any]], *, opacities: Mapping[str, float] | None = None
) -> NDArray[np.float64]:
    """Structures seen from above, through each other, on black.

    Parameters
    ----------
    masks : mapping of str to ndarray (Z, Y, X)
        Structure to mask or labels, 0 = outside; at least one, all of one shape. The last plane is the nearest.
    opacities : mapping of str to float, optional
        Of one voxel, 0 to 1; of others those of :data:`OPACITIES`.

    Returns
    -------
    ndarray (Y, X, 3), float64
        Red, green, blue from 0 to 1.

    Raises
    ------
    SettingsError
        ``E-SHAPE``.

    Examples
    --------
    >>> mask = np.zeros((2, 1, 2), bool)
    >>> mask[1, 0, 0] = True
    >>> compartment_colours({"lysosome": mask}).round(2).tolist()
    [[[0.86, 0.08, 0.24], [0.0, 0.0, 0.0]]]
    """
    from matplotlib.colors import to_rgb

    shape = _one_shape(masks)
    given = opacities or {}
    # What lies inside counts first where masks overlap.
    names = in_drawing_order(masks)[::-1]
    drawn = [(masks[name], np.array(to_rgb(structure_colour(name))), _opacity(name, given)) for name in names]
    colours, left = np.zeros((*shape[1:], 3)), np.ones(shape[1:])
    for z in range(shape[0] - 1, -1, -1):
        depth = _DARKEST + (1 - _DARKEST) * (z + 1) / shape[0]
        for mask, colour, opacity in drawn:
            inside = np.asarray(mask[z]) != 0
            if not opacity or not inside.any():
                continue
            part = left[inside]
            colours[inside] += part[:, None] * opacity * depth * colour
            left[inside] = part * (1 - opacity)
    return colours


def compartment_figure(
    masks: Mapping[str, NDArray[Any]],
    panels: Sequence[CompartmentPanel],
    voxel_size_um: VoxelSize,
    *,
    title: str = "",
    file_format: PictureFormat = "png",
) -> bytes:
    """Panels of compartments: the first large, the others small below it; a legend of all, and a scale bar.

    Parameters
    ----------
    masks : mapping of str to ndarray (Z, Y, X)
        Structure to mask or labels; a structure of a panel without a mask is left out of it.
    panels : sequence of CompartmentPanel
        At least one.
    voxel_size_um : tuple of 3 float
        z, y, x in µm.
    title : str
        Say there that data are simulated.
    file_format : {"png", "pdf", "svg"}

    Raises
    ------
    SettingsError
        ``E-SHAPE``; ``E-PICTURE``: no panel.
    """
    if not panels:
        raise SettingsError("E-PICTURE", "there is no panel to draw.", cure="Give at least one.")
    shape = _one_shape(masks)
    step = max(1, math.ceil(max(shape[1:]) / _MOST_PIXELS))
    thin = {name: _thinned(mask, step) for name, mask in masks.items()}
    height_um, width_um = (n * size for n, size in zip(shape[1:], voxel_size_um[1:], strict=True))
    scale = _SIDE_PX / max(height_um, width_um)
    small = _SMALL_SIDE_PX / max(height_um, width_um)
    n_columns, top = 3, _GAP_PX + (_TITLE_PX if title else 0)
    names = in_drawing_order({name for panel in panels for name in panel.structures if name in masks})
    n_rows = math.ceil((len(panels) - 1) / n_columns)
    first_height = max(height_um * scale, _ROW_PX * len(names))
    width = max(width_um * scale + _NAME_PX, n_columns * (width_um * small + _GAP_PX)) + 2 * _GAP_PX
    height = top + _CAPTION_PX + first_height + n_rows * (height_um * small + _CAPTION_PX + _GAP_PX) + 2 * _GAP_PX
    with defaults():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
        if title:
            write(figure, (_GAP_PX, _GAP_PX + _TITLE_PX / 2), title, fontsize=10, fontweight="bold")
        for number, panel in enumerate(panels):
            row, column = divmod(number - 1, n_columns)
            left, upper, own = float(_GAP_PX), float(top), scale
            if number:
                left += column * (width_um * small + _GAP_PX)
                upper += _CAPTION_PX + first_height + _GAP_PX + row * (height_um * small + _CAPTION_PX + _GAP_PX)
                own = small
            write(figure, (left, upper + _CAPTION_PX / 2), panel.caption, fontsize=8)
            axes = axes_at(figure, (left, upper + _CAPTION_PX, width_um * own, height_um * own))
            shown = {name: thin[name] for name in panel.structures if name in thin}
            axes.imshow(_panel_colours(shown, shape), extent=(0, width_um, height_um, 0), aspect="auto")
            axes.set_axis_off()
            draw_scale_bar(axes, width_um, own)
        _draw_names(figure, (2 * _GAP_PX + width_um * scale, top + _CAPTION_PX), names)
        return picture(figure, file_format)


def _panel_colours(shown: Mapping[str, NDArray[Any]], shape: tuple[int, ...]) -> NDArray[np.float64]:
    if not shown:
        return np.zeros((*shape[1:], 3))
    few = {name: FEW.get(name, max(_FEW, _opacity(name, {}))) for name in shown} if len(shown) <= 3 else None
    return np.clip(compartment_colours(shown, opacities=few), 0.0, 1.0)


def _opacity(name: str, given: Mapping[str, float]) -> float:
    return given.get(name, OPACITIES.get(name, 1.0))


def _one_shape(masks: Mapping[str, NDArray[Any]]) -> tuple[int, ...]:
    shapes = {np.shape(mask) for mask in masks.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 3:
        raise SettingsError(
            "E-SHAPE", f"masks must be volumes Z, Y, X of one shape, not {sorted(shapes)}.",
            cure="Give masks of the same field.",
        )  # fmt: skip
    return shapes.pop()


def _thinned(mask: NDArray[Any], step: int) -> NDArray[np.bool_]:
    """The mask with squares of ``step`` pixels as one, inside where one of them is."""
    from skimage.measure import block_reduce

    inside = np.asarray(mask) != 0
    return inside if step == 1 else np.asarray(block_reduce(inside, (1, step, step), np.max), np.bool_)


def _draw_names(figure: Figure, place_px: tuple[float, float], names: Sequence[str]) -> None:
    """Which colour is which, one below the other, in the colours as they are drawn nearest."""
    from matplotlib.patches import Rectangle

    width, height = figure.get_size_inches() * DPI
    for number, name in enumerate(names):
        upper = place_px[1] + number * _ROW_PX
        patch = Rectangle(
            (place_px[0] / width, 1 - (upper + 14) / height), 14 / width, 12 / height, transform=figure.transFigure,
            facecolor=structure_colour(name), edgecolor="#333333", linewidth=0.5,
        )  # fmt: skip
        figure.add_artist(patch)
        write(figure, (place_px[0] + 20, upper + 8), drawable(name.replace("_", " ")), fontsize=8)
