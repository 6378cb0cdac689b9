"""Tiles of cells and planes: what is on them, and where, seen in the pictures themselves."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tomocyte.figures.previews import MOST_PLANES, TILE_PX, Preview, cell_preview, plane_preview
from tomocyte.figures.raster import rgb_of
from tomocyte.structures import structure_colour

SIZE = (0.5, 0.2, 0.1)


def volume() -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """Two cells that touch, 4 µm high and 2 µm wide; the second, brighter one has a nucleus."""
    cell, nucleus = np.zeros((2, 6, 40, 70), np.uint32)
    cell[1:5, 10:30, 10:30] = 4
    cell[1:5, 10:30, 30:50] = 9
    nucleus[2:4, 15:25, 35:45] = 1
    image = np.full(cell.shape, 1.337) + 0.01 * (cell == 4) + 0.03 * (cell == 9)
    return image, {"cell": cell, "nucleus": nucleus}


def tiles_of(preview: Preview) -> list[NDArray[Any]]:
    with Image.open(io.BytesIO(preview.picture)) as picture:
        whole = np.asarray(picture.convert("RGB")).astype(int)
    rows, columns = preview.tile_px
    places = [divmod(number, preview.n_columns) for number in range(len(preview.seeds))]
    return [whole[y * rows : (y + 1) * rows, x * columns : (x + 1) * columns] for y, x in places]


def is_coloured(tile: NDArray[Any], name: str) -> NDArray[np.bool_]:
    """Pixels with the hue of a structure: cells are blue, nuclei orange; a lossy picture blurs colours, not hues."""
    red_or_blue = tile[..., 0] - tile[..., 2]
    red, _, blue = rgb_of(structure_colour(name))
    return np.asarray(red_or_blue * np.sign(red - blue) > 45)


def test_each_cell_has_a_tile_by_rising_label() -> None:
    image, labels = volume()
    preview = cell_preview(image, labels, "cell", SIZE)
    assert preview is not None
    assert [int(labels["cell"][seed]) for seed in preview.seeds] == [4, 9]
    assert preview.tile_px == (TILE_PX, TILE_PX)
    first, second = tiles_of(preview)
    assert is_coloured(first, "cell").any()
    assert not is_coloured(first, "nucleus").any(), "the neighbour's nucleus is not outlined"
    assert is_coloured(second, "nucleus").any()
    assert second[TILE_PX // 2, TILE_PX // 2].mean() > first[TILE_PX // 2, TILE_PX // 2].mean() + 60


def test_the_bar_is_as_long_as_it_says() -> None:
    """4 µm with a quarter more are 5 µm on 88 pixels: the bar of 1 µm has 17."""
    image, labels = volume()
    preview = cell_preview(image, labels, "cell", SIZE)
    assert preview is not None
    assert preview.bar_um == 1.0
    bar = tiles_of(preview)[0][TILE_PX - 5]
    assert int((bar.min(axis=-1) > 200).sum()) == pytest.approx(17, abs=1)


def test_planes_are_spread_from_the_first_to_the_last() -> None:
    image, labels = volume()
    preview = plane_preview(image, labels, SIZE)
    assert preview is not None
    assert [z for z, _, _ in preview.seeds] == list(range(6))
    tiles = tiles_of(preview)
    assert [bool(is_coloured(tile, "nucleus").any()) for tile in tiles] == [False, False, True, True, False, False]
    many = plane_preview(np.zeros((101, 4, 5)), {}, SIZE)
    assert many is not None
    planes = [z for z, _, _ in many.seeds]
    assert (len(planes), planes[0], planes[-1]) == (MOST_PLANES, 0, 100)


def test_nothing_to_show() -> None:
    image, labels = volume()
    assert cell_preview(image, {"cell": labels["cell"] * 0}, "cell", SIZE) is None
    assert cell_preview(image, {}, "cell", SIZE) is None
    assert plane_preview(image[:1], {}, SIZE) is None


def test_a_flat_image_without_values_has_tiles_too() -> None:
    preview = cell_preview(np.full((1, 40, 70), np.nan), {"cell": volume()[1]["cell"][2:3]}, "cell", (np.nan, 0.2, 0.1))
    assert preview is not None
    assert len(preview.seeds) == 2
