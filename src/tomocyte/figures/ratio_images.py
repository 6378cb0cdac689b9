"""Two images in one: the ratio as hue, the intensity as brightness, as in Fig. 1a of Zhanghao et al.

To use other hues, change :data:`HUES`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.figures.canvas import DPI, PictureFormat, axes_at, defaults, drawable, picture, write
from tomocyte.figures.marks import draw_scale_bar
from tomocyte.figures.planes import DISPLAY_PERCENTILES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HUES = (0.7, 0.0)
"""Hue of the lowest and of the highest ratio, as shares of the colour circle: from blue over green to red."""
RATIO_PERCENTILES = (2.0, 98.0)
"""Of the ratio where there is light: what the hues span."""
LIT = 0.1
"""There is light where the intensity is above this share of what is shown from black to brightest."""
_SIDE_PX, _GAP_PX, _TITLE_PX, _CAPTION_PX, _BAR_PX = 480, 12, 28, 20, 110
_BAR_STEPS = 128

Limits = tuple[float, float]


def ratio_colours(
    intensity: NDArray[Any], ratio: NDArray[Any], *, intensity_limits: Limits, ratio_limits: Limits
) -> NDArray[np.float64]:
    """Colours whose hue is the ratio and whose brightness is the intensity.

    Parameters
    ----------
    intensity, ratio : ndarray (Y, X), real
        Of one shape; where one of them is not a number the colour is black.
    intensity_limits : tuple of 2 float
        What is black, and what is brightest.
    ratio_limits : tuple of 2 float
        The ratios of the first and the last of :data:`HUES`; beyond them the hue stays.

    Returns
    -------
    ndarray (Y, X, 3), float64
        Red, green, blue from 0 to 1.

    Raises
    ------
    SettingsError
        ``E-SHAPE``; ``E-PICTURE``: limits that do not rise.

    Examples
    --------
    >>> colours = ratio_colours(np.array([[0, 5, 10]]), np.array([[2.0, 2.0, 2.0]]),
    ...                         intensity_limits=(0, 10), ratio_limits=(1, 2))
    >>> colours.tolist()
    [[[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [1.0, 0.0, 0.0]]]
    """
    from matplotlib.colors import hsv_to_rgb

    if intensity.shape != ratio.shape:
        raise SettingsError(
            "E-SHAPE", f"intensity {intensity.shape} and ratio {ratio.shape} differ.", cure="Give images of one shape."
        )
    for name, (low, high) in (("intensity", intensity_limits), ("ratio", ratio_limits)):
        if not low < high:
            raise SettingsError("E-PICTURE", f"limits of the {name} from {low} to {high}.", cure="Give rising limits.")
    brightness, place = (
        np.clip((np.nan_to_num(image.astype(np.float64), nan=low) - low) / (high - low), 0.0, 1.0)
        for image, (low, high) in ((intensity, intensity_limits), (ratio, ratio_limits))
    )
    brightness[np.isnan(ratio)] = 0.0
    hue = HUES[0] + place * (HUES[1] - HUES[0])
    return np.asarray(hsv_to_rgb(np.stack([hue, np.ones_like(hue), brightness], axis=-1)), np.float64)


def display_limits(intensity: NDArray[Any], ratio: NDArray[Any]) -> tuple[Limits, Limits]:
    """Limits of intensity and ratio that suit images: of the ratio where there is light (:data:`LIT`).

    Parameters
    ----------
    intensity, ratio : ndarray, real, of one shape

    Examples
    --------
    >>> display_limits(np.full((2, 2), 3.0), np.full((2, 2), 1.0))
    ((3.0, 4.0), (1.0, 2.0))
    """
    is_number = np.isfinite(intensity) & np.isfinite(ratio)
    values = intensity[is_number].astype(np.float64)
    if not values.size:
        return (0.0, 1.0), (0.0, 1.0)
    low, high = np.percentile(values, DISPLAY_PERCENTILES)
    lit = ratio[is_number][values >= low + LIT * (high - low)]
    first, last = np.percentile(lit, RATIO_PERCENTILES)
    return (
        (float(low), float(high) if high > low else float(low) + 1.0),
        (float(first), float(last) if last > first else float(first) + 1.0),
    )


def ratio_figure(
    panels: list[tuple[str, NDArray[Any], NDArray[Any]]],
    pixel_um: tuple[float, float],
    *,
    ratio_name: str,
    title: str = "",
    file_format: PictureFormat = "png",
) -> bytes:
    """Panels of ratio times intensity with a scale bar and a legend of hue and brightness.

    Parameters
    ----------
    panels : list of (str, ndarray (Y, X), ndarray (Y, X))
        Caption, intensity and ratio; at least one, all of one shape. They share their limits.
    pixel_um : tuple of 2 float
        y, x in µm.
    ratio_name : str
        Which channel is divided by which, e.g. ``red/yellow``.
    title : str
        Say there that data are simulated.
    file_format : {"png", "pdf", "svg"}

    Raises
    ------
    SettingsError
        ``E-SHAPE``, ``E-PICTURE``: no panel.
    """
    if not panels:
        raise SettingsError("E-PICTURE", "there is no image to draw.", cure="Give at least one.")
    limits = display_limits(
        np.concatenate([intensity.ravel() for _, intensity, _ in panels]),
        np.concatenate([ratio.ravel() for _, _, ratio in panels]),
    )
    height_um, width_um = (n * size for n, size in zip(panels[0][1].shape, pixel_um, strict=True))
    scale = _SIDE_PX / max(height_um, width_um)
    box = width_um * scale, height_um * scale
    top = _GAP_PX + (_TITLE_PX if title else 0)
    size = (
        (len(panels) * (box[0] + _GAP_PX) + _GAP_PX + _BAR_PX) / DPI,
        (top + _CAPTION_PX + max(box[1], 160) + _GAP_PX) / DPI,
    )
    with defaults():
        from matplotlib.figure import Figure

        figure = Figure(figsize=size, dpi=DPI, facecolor="white")
        if title:
            write(figure, (_GAP_PX, _GAP_PX + _TITLE_PX / 2), title, fontsize=10, fontweight="bold")
        for number, (caption, intensity, ratio) in enumerate(panels):
            left = _GAP_PX + number * (box[0] + _GAP_PX)
            write(figure, (left, top + _CAPTION_PX / 2), caption, fontsize=8)
            axes = axes_at(figure, (left, top + _CAPTION_PX, *box))
            colours = ratio_colours(intensity, ratio, intensity_limits=limits[0], ratio_limits=limits[1])
            axes.imshow(colours, extent=(0, width_um, height_um, 0), aspect="auto", interpolation="nearest")
            axes.set_axis_off()
            if number == 0:
                draw_scale_bar(axes, width_um, scale)
        left = _GAP_PX + len(panels) * (box[0] + _GAP_PX)
        _draw_scale(figure, (left, top + _CAPTION_PX), limits, ratio_name)
        return picture(figure, file_format)


def _draw_scale(figure: Figure, place_px: tuple[float, float], limits: tuple[Limits, Limits], name: str) -> None:
    """What hue and brightness mean: a field of all of them."""
    (dark, bright), (low, high) = limits
    steps = np.linspace(0.0, 1.0, _BAR_STEPS)
    intensity, ratio = np.meshgrid(dark + steps * (bright - dark), low + steps * (high - low))
    axes = axes_at(figure, (place_px[0], place_px[1], 44, 120))
    axes.imshow(
        ratio_colours(intensity, ratio, intensity_limits=(dark, bright), ratio_limits=(low, high)),
        extent=(dark, bright, low, high), aspect="auto", origin="lower",
    )  # fmt: skip
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.set_ylabel(drawable(name), fontsize=8, parse_math=False)
    axes.set_xlabel("intensity", fontsize=8)
    axes.set_xticks([dark, bright], ["low", "high"], fontsize=7)
    axes.tick_params(labelsize=7)
