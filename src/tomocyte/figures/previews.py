"""Small pictures for the report: every cell on a tile of its own, and the planes of a volume to leaf through.

Many tiles are one picture (a sprite), which opens much faster than a thousand files. All are WebP.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.figures.canvas import sample, sample_steps
from tomocyte.figures.crops import crop_plane
from tomocyte.figures.marks import scale_bar_um
from tomocyte.figures.planes import DISPLAY_PERCENTILES
from tomocyte.figures.raster import Picture, PictureSize, mosaic, painted, picture_size
from tomocyte.volume import VoxelSize

TILE_PX = 88
"""Side of a tile of a cell."""
PLANE_PX = 280
"""Longer side of a tile of a plane."""
MOST_CELLS = 1000
MOST_PLANES = 20
_COLUMNS = 16
_MARGIN = 1.25
_QUALITY = 78
_PLANE_QUALITY = 60


@dataclass(frozen=True)
class Preview:
    """Tiles of one size in one picture.

    Parameters
    ----------
    picture : bytes
        WebP.
    n_columns : int
    tile_px : tuple of 2 int
        Rows and columns of a tile.
    bar_um : float
        Length of the white bar on the tiles; 0: there is none.
    seeds : tuple of tuple of 3 int
        For each tile a voxel z, y, x in it: of a cell, one that belongs to it.
    """

    picture: bytes
    n_columns: int
    tile_px: tuple[int, int]
    bar_um: float
    seeds: tuple[tuple[int, int, int], ...]


def cell_preview(
    image: NDArray[Any], labels: Mapping[str, NDArray[Any]], main: str, voxel_size_um: VoxelSize
) -> Preview | None:
    """A tile per main object: the plane where it is largest, with its outline and those of what lies in it.

    Parameters
    ----------
    image : ndarray (Z, Y, X)
        In its physical unit.
    labels : mapping of str to ndarray (Z, Y, X)
        Structure to labels, 0 = background, in drawing order.
    main : str
        The structure whose objects have tiles.
    voxel_size_um : tuple of 3 float
        z, y, x; z may be NaN for a single plane.

    Returns
    -------
    Preview or None
        Tiles by rising label, of the 1,000 largest objects; all show squares of one size, which holds all but the
        largest twentieth of them. None without objects.
    """
    places = _places(labels[main]) if main in labels else []
    if not places:
        return None
    pixel_um = voxel_size_um[1], voxel_size_um[2]
    extents = [max(n * size for n, size in zip(place.extent, pixel_um, strict=True)) for place in places]
    side_um = max(_MARGIN * float(np.percentile(extents, 95)), *pixel_um)
    shape = max(1, round(side_um / pixel_um[0])), max(1, round(side_um / pixel_um[1]))
    limits = display_limits(image)
    tiles = []
    for place in places:
        own = crop_plane(labels[main], place.seed, shape) == place.label
        outlines = {name: np.where(own, crop_plane(array, place.seed, shape), 0) for name, array in labels.items()}
        tiles.append(_tile(crop_plane(image, place.seed, shape), outlines, pixel_um, limits, side_um))
    bar_um = scale_bar_um(side_um)
    columns = min(_COLUMNS, len(tiles))
    seeds = tuple(place.seed for place in places)
    return Preview(webp(mosaic(tiles, n_columns=columns)), columns, (TILE_PX, TILE_PX), bar_um, seeds)


def plane_preview(image: NDArray[Any], labels: Mapping[str, NDArray[Any]], voxel_size_um: VoxelSize) -> Preview | None:
    """Planes from the first to the last, at most 20, small, with the outlines of everything.

    Returns
    -------
    Preview or None
        The first number of a seed is that of its plane; None for a single plane.
    """
    n_planes = image.shape[0]
    if n_planes < 2:
        return None
    pixel_um = voxel_size_um[1], voxel_size_um[2]
    size = picture_size((image.shape[1], image.shape[2]), pixel_um, largest_side=PLANE_PX)
    limits = display_limits(image)
    planes = sorted({round(place) for place in np.linspace(0, n_planes - 1, min(n_planes, MOST_PLANES))})
    tiles = []
    for z in planes:
        tile = painted(image[z], {name: array[z] for name, array in labels.items()}, size, limits)
        tiles.append(_with_bar(tile, size))
    columns = min(6, len(tiles))
    bar_um = scale_bar_um(size.columns * size.pixel_um)
    seeds = tuple((z, 0, 0) for z in planes)
    picture = webp(mosaic(tiles, n_columns=columns), quality=_PLANE_QUALITY)
    return Preview(picture, columns, (size.rows, size.columns), bar_um, seeds)


def display_limits(image: NDArray[Any]) -> tuple[float, float]:
    """Values of an image that become black and white."""
    values = sample(image, sample_steps(image.shape))
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(finite, DISPLAY_PERCENTILES))
    return (low, high) if high > low else (low, low + max(1e-6, abs(low) * 1e-3))


def webp(picture: Picture, *, quality: int = _QUALITY) -> bytes:
    """A picture as WebP; the same picture gives the same bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="WEBP", quality=quality, method=4, use_sharp_yuv=True)
    return buffer.getvalue()


@dataclass(frozen=True)
class _Place:
    label: int
    n_voxels: int
    extent: tuple[int, int]
    seed: tuple[int, int, int]


def _places(labels: NDArray[Any]) -> list[_Place]:
    """Where the objects lie, the largest of them, by rising label."""
    from scipy.ndimage import find_objects

    numbers = np.unique(labels[labels > 0])
    ranks = np.searchsorted(numbers, labels).astype(np.int32) + 1
    ranks[labels == 0] = 0
    places = []
    for number, box in zip(numbers.tolist(), find_objects(ranks), strict=True):
        inside = labels[box] == number
        areas = inside.sum(axis=(1, 2))
        # Of planes that are about as large, the one nearest to the middle, where organelles lie.
        middle = float(np.average(np.arange(len(areas)), weights=areas))
        z = int(min(np.flatnonzero(areas >= 0.95 * areas.max()), key=lambda plane: abs(plane - middle)))
        voxels = np.argwhere(inside[z])
        y, x = voxels[np.argmin(((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1))].tolist()
        seed = box[0].start + z, box[1].start + y, box[2].start + x
        places.append(_Place(number, int(areas.sum()), inside.shape[1:], seed))
    largest = sorted(places, key=lambda place: place.n_voxels, reverse=True)[:MOST_CELLS]
    return sorted(largest, key=lambda place: place.label)


def _tile(
    image: NDArray[Any],
    labels: Mapping[str, NDArray[Any]],
    pixel_um: tuple[float, float],
    limits: tuple[float, float],
    side_um: float,
) -> Picture:
    """A square tile; where the field is smaller than the square, the rest is black."""
    pixel = side_um / TILE_PX
    rows = min(TILE_PX, max(1, round(image.shape[0] * pixel_um[0] / pixel)))
    columns = min(TILE_PX, max(1, round(image.shape[1] * pixel_um[1] / pixel)))
    tile = np.zeros((TILE_PX, TILE_PX, 3), np.uint8)
    tile[:rows, :columns] = painted(image, labels, PictureSize(rows, columns, pixel), limits)
    return _with_bar(tile, PictureSize(TILE_PX, TILE_PX, pixel))


def _with_bar(tile: Picture, size: PictureSize) -> Picture:
    """The tile with a white bar in its lower left corner, its length known from the size."""
    length = math.floor(scale_bar_um(size.columns * size.pixel_um) / size.pixel_um)
    marked = tile.copy()
    marked[-7:-3, 3 : 5 + length] = 0
    marked[-6:-4, 4 : 4 + length] = 255
    return marked
