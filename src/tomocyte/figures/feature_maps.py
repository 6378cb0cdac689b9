"""Feature maps of networks side by side: one row per network, one column per level, as in Fig. 2b of the OS-Net paper.

To draw something else than the mean over channels, change ``_level_image``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.figures.canvas import DPI, axes_at, defaults, png, write

_TILE_PX = 150
_GAP_PX = 8
_CAPTION_PX = 22
_LABEL_PX = 110
_DISPLAY_PERCENTILES = (0.5, 99.5)


def feature_map_figure(
    maps: Mapping[str, Mapping[str, NDArray[Any]]], *, image: NDArray[Any] | None = None, is_logit: bool = True
) -> bytes:
    """The mean over channels of each level, for one or several networks.

    Each picture has its own grey scale, from the 0.5th to the 99.5th percentile of its pixels; ``output`` goes from 0
    (black) to 1 (white) and shows its first channel.

    Parameters
    ----------
    maps : mapping of str to mapping of str to array ``(C, [Z,] Y, X)``
        Name of the network, then of the level, in the order to be drawn. Of a volume the middle plane is drawn.
    image : array ``([Z,] Y, X)``, optional
        What the networks were given; drawn first in every row.
    is_logit : bool
        Whether ``output`` holds logits, which are drawn as probabilities.

    Returns
    -------
    bytes
        A PNG; the same input gives the same bytes.

    Raises
    ------
    SettingsError
        ``E-PICTURE``: nothing to draw.
    """
    from matplotlib.figure import Figure

    if not maps or not all(maps.values()):
        raise SettingsError("E-PICTURE", "no feature maps were given.", cure="Give those of at least one network.")
    rows = {
        network: ([] if image is None else [("input", _plane(np.asarray(image)), None)])
        + [(level, *_level_image(level, array, is_logit)) for level, array in levels.items()]
        for network, levels in maps.items()
    }
    n_columns = max(len(row) for row in rows.values())
    shape = rows[next(iter(rows))][0][1].shape
    tile_height = round(_TILE_PX * min(2.0, max(0.25, shape[0] / shape[1])))
    width = _LABEL_PX + n_columns * (_TILE_PX + _GAP_PX) + _GAP_PX
    height = len(rows) * (_CAPTION_PX + tile_height + _GAP_PX) + _GAP_PX
    with defaults():
        figure = Figure(figsize=(width / DPI, height / DPI), facecolor="white")
        for index, (network, row) in enumerate(rows.items()):
            top = _GAP_PX + index * (_CAPTION_PX + tile_height + _GAP_PX)
            write(figure, (_GAP_PX, top + _CAPTION_PX + tile_height / 2), network, fontsize=9)
            for column, (level, plane, limits) in enumerate(row):
                left = _LABEL_PX + column * (_TILE_PX + _GAP_PX)
                write(figure, (left, top + _CAPTION_PX / 2), level, fontsize=8)
                axes = axes_at(figure, (left, top + _CAPTION_PX, _TILE_PX, tile_height))
                low, high = _limits(plane) if limits is None else limits
                axes.imshow(plane, cmap="gray", vmin=low, vmax=high, interpolation="nearest", aspect="auto")
                axes.set_axis_off()
        return png(figure)


def _level_image(
    level: str, array: NDArray[Any], is_logit: bool
) -> tuple[NDArray[np.float64], tuple[float, float] | None]:
    """What is drawn of a level, and between which values."""
    if level != "output":
        return _plane(np.asarray(array, dtype=np.float64).mean(axis=0)), None
    plane = _plane(np.asarray(array, dtype=np.float64)[0])
    return (0.5 * (1 + np.tanh(plane / 2)) if is_logit else plane), (
        0.0,
        1.0,
    )  # the logistic function, never overflowing


def _plane(array: NDArray[Any]) -> NDArray[np.float64]:
    plane = array[array.shape[0] // 2] if array.ndim == 3 else array
    return np.asarray(plane, dtype=np.float64)


def _limits(plane: NDArray[np.float64]) -> tuple[float, float]:
    low, high = (float(value) for value in np.percentile(plane, _DISPLAY_PERCENTILES))
    return (low, high) if high > low else (low - 0.5, low + 0.5)
