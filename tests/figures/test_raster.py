"""Painted pictures against pixels counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tomocyte.figures.canvas import MISSING_COLOUR
from tomocyte.figures.raster import PictureSize, annotated, mosaic, outlines, painted, picture_size, rgb_of
from tomocyte.structures import structure_colour


def labels() -> NDArray[Any]:
    plane = np.zeros((6, 8), np.uint32)
    plane[1:5, 1:4] = 1
    plane[1:5, 4:7] = 2
    return plane


def test_outlines_of_touching_objects_are_those_of_skimage() -> None:
    from skimage.segmentation import find_boundaries

    assert np.array_equal(outlines(labels()), find_boundaries(labels(), mode="inner", connectivity=1))


def test_values_become_grey_and_missing_ones_do_not() -> None:
    image = np.array([[1.0, 1.5], [2.0, np.nan]])
    picture = painted(image, {}, PictureSize(2, 2, 0.1), (1.0, 2.0))
    assert picture[0].tolist() == [[0, 0, 0], [128, 128, 128]]
    assert picture[1].tolist() == [[255] * 3, list(rgb_of(MISSING_COLOUR))]


def test_pixels_are_square_whatever_the_voxels() -> None:
    size = picture_size((10, 10), (0.4, 0.1), largest_side=40)
    assert (size.rows, size.columns) == (40, 10)
    assert size.pixel_um == pytest.approx(0.1)


def test_an_outline_lies_where_the_object_ends_also_enlarged() -> None:
    picture = painted(np.zeros((6, 8)), {"nucleus": labels()}, PictureSize(24, 32, 0.1), (0.0, 1.0))
    found = np.argwhere((picture == rgb_of(structure_colour("nucleus"))).all(axis=-1))
    assert found.min(axis=0).tolist() == [4, 4]
    assert found.max(axis=0).tolist() == [19, 27]


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    """20 µm wide: at most 6 µm, so 5 µm, which are 100 of 400 pixels."""
    size = PictureSize(300, 400, 0.05)
    picture = annotated(np.full((300, 400, 3), 100, np.uint8), size)
    row = picture[300 - 9 - 2]
    assert (row == 255).all(axis=-1).sum() == 100
    assert np.array_equal(picture[:200], np.full((200, 400, 3), 100)), "and nothing else"
    stamped = annotated(np.full((300, 400, 3), 100, np.uint8), size, text="90 min", has_scale_bar=False)
    assert (stamped[:40] == 255).any()
    assert (stamped[60:] == 100).all()


def test_tiles_fill_row_by_row() -> None:
    tiles = [np.full((2, 3, 3), number, np.uint8) for number in range(1, 6)]
    whole = mosaic(tiles, n_columns=2)
    assert whole.shape == (6, 6, 3)
    assert whole[::2, ::3, 0].tolist() == [[1, 2], [3, 4], [5, 0]]
