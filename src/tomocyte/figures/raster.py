"""Pictures made pixel by pixel: thumbnails, previews and frames of films, hundreds of them in a second.

Matplotlib draws the figures; what is needed by the hundred is painted here: grey values with outlines, a text, a scale
bar. All arrays are (rows, columns), all pictures uint8 (rows, columns, 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.figures.canvas import MISSING_COLOUR, drawable
from tomocyte.figures.marks import scale_bar_um
from tomocyte.structures import structure_colour

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

Picture = NDArray[np.uint8]
_TEXT_PX = 15


@dataclass(frozen=True)
class PictureSize:
    """How large a plane is painted, every pixel of the picture the same length on both sides.

    Parameters
    ----------
    rows, columns : int
    pixel_um : float
        Side of a pixel of the picture.
    """

    rows: int
    columns: int
    pixel_um: float


def picture_size(shape: tuple[int, int], pixel_um: tuple[float, float], *, largest_side: int) -> PictureSize:
    """The size of the picture of a plane whose longer side becomes so many pixels.

    Examples
    --------
    >>> picture_size((50, 400), (0.2, 0.1), largest_side=200)
    PictureSize(rows=50, columns=200, pixel_um=0.2)
    """
    height, width = shape[0] * pixel_um[0], shape[1] * pixel_um[1]
    side = max(height, width) / largest_side
    return PictureSize(max(1, round(height / side)), max(1, round(width / side)), side)


def painted(
    image: NDArray[Any], labels: Mapping[str, NDArray[Any]], size: PictureSize, limits: tuple[float, float]
) -> Picture:
    """A plane in grey with the outline of each object in its structure's colour.

    Parameters
    ----------
    image : ndarray (Y, X)
        In its physical unit; NaN has a colour of its own.
    labels : mapping of str to ndarray (Y, X)
        Structure to labels, 0 = background; drawn in this order.
    size : PictureSize
    limits : tuple of 2 float
        Values that become black and white.
    """
    low, high = limits
    values = (resized(np.asarray(image, np.float32), size) - low) / max(high - low, 1e-12)
    is_missing = ~np.isfinite(values)
    grey = (np.clip(np.where(is_missing, 0, values), 0, 1) * 255).round().astype(np.uint8)
    picture = np.repeat(grey[..., np.newaxis], 3, axis=2)
    picture[is_missing] = rgb_of(MISSING_COLOUR)
    for name, plane in labels.items():
        picture[outlines(_nearest(np.asarray(plane), size))] = rgb_of(structure_colour(name))
    return picture


def resized(image: NDArray[np.float32], size: PictureSize) -> NDArray[np.float32]:
    """Grey values at another size: means where it becomes smaller, interpolated where it becomes larger."""
    from PIL import Image

    is_smaller = size.rows < image.shape[0] or size.columns < image.shape[1]
    method = Image.Resampling.BOX if is_smaller else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(image, mode="F").resize((size.columns, size.rows), method))


def _nearest(labels: NDArray[Any], size: PictureSize) -> NDArray[Any]:
    """Labels at another size: each pixel takes the one at its middle."""
    rows = ((np.arange(size.rows) + 0.5) * labels.shape[0] / size.rows).astype(np.intp)
    columns = ((np.arange(size.columns) + 0.5) * labels.shape[1] / size.columns).astype(np.intp)
    nearest: NDArray[Any] = labels[rows[:, np.newaxis], columns]
    return nearest


def outlines(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels of objects beside a pixel of another object, or of none; the border of the picture is no outline.

    Examples
    --------
    >>> outlines(np.array([[0, 1, 1, 1, 1], [0, 1, 1, 1, 1], [0, 1, 1, 1, 1]]))[1].tolist()
    [False, True, False, False, False]
    """
    result = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        differs = np.diff(labels.astype(np.int64), axis=axis) != 0
        before, after = [slice(None)] * 2, [slice(None)] * 2
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        result[tuple(before)] |= differs
        result[tuple(after)] |= differs
    return result & (labels > 0)


def annotated(picture: Picture, size: PictureSize, *, text: str = "", has_scale_bar: bool = True) -> Picture:
    """The picture with a text in its upper left corner and a scale bar in the lower left one."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    style: dict[str, Any] = {"fill": "white", "stroke_width": 2, "stroke_fill": "black", "font": _font()}
    if text:
        draw.text((8, 6), drawable(text), **style)
    if has_scale_bar:
        length = scale_bar_um(size.columns * size.pixel_um)
        bottom, n_pixels = picture.shape[0] - 9, round(length / size.pixel_um)
        draw.rectangle((7, bottom - 6, 8 + n_pixels, bottom + 1), fill="black")
        draw.rectangle((8, bottom - 5, 7 + n_pixels, bottom), fill="white")
        draw.text((8, bottom - 8), f"{length:g} µm", anchor="ls", **style)
    return np.asarray(image)


def mosaic(tiles: list[Picture], *, n_columns: int) -> Picture:
    """Tiles of one size side by side, row by row; places without a tile are black.

    Examples
    --------
    >>> mosaic([np.full((2, 3, 3), n, np.uint8) for n in (1, 2, 3)], n_columns=2)[..., 0].tolist()[1:3]
    [[1, 1, 1, 2, 2, 2], [3, 3, 3, 0, 0, 0]]
    """
    rows, columns = tiles[0].shape[:2]
    n_rows = -(-len(tiles) // n_columns)
    whole = np.zeros((n_rows * rows, n_columns * columns, 3), np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, n_columns)
        whole[row * rows : (row + 1) * rows, column * columns : (column + 1) * columns] = tile
    return whole


def rgb_of(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of ``#RRGGBB``."""
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


@cache
def _font() -> FreeTypeFont:
    from matplotlib.font_manager import FontProperties, findfont
    from PIL import ImageFont

    return ImageFont.truetype(findfont(FontProperties(family="DejaVu Sans")), _TEXT_PX)
