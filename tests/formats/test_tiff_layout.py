"""The planes of a TIFF in the order T, C, Z, against numpy's transposition of their numbers."""

from __future__ import annotations

import math
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import ReadOptions
from tomocyte.formats.tiff.layout import Arrangement, in_order
from tomocyte.formats.tiff.meta import Declared
from tomocyte.formats.tiff.pages import Page

PATH = Path("image.tif")
SIZES = {"T": 2, "C": 3, "Z": 4}


def page(n_samples: int = 1, *, is_planar: bool = False) -> Page:
    return Page(8, (5, 6), np.dtype("u2"), n_samples, is_planar, is_reduced=False, is_described=False, raw_offset=None)


def grid(n_planes: int) -> np.ndarray:
    """Plane n lies in file 0 at byte 100 n."""
    return np.stack([np.zeros(n_planes, np.int64), 100 * np.arange(n_planes)], axis=1)


def placed(
    axes: str, sizes: tuple[int, ...], *, stored: Page | None = None, options: ReadOptions | None = None
) -> Arrangement:
    declared = Declared(kind="imagej", axes=axes, sizes=sizes)
    return in_order(grid(math.prod(sizes)), declared, stored or page(), options=options or ReadOptions(), path=PATH)


@pytest.mark.parametrize("axes", ["".join(order) for order in permutations("TCZ")])
def test_planes_of_any_order_come_as_t_c_z(axes: str) -> None:
    sizes = tuple(SIZES[letter] for letter in axes)
    numbers = np.arange(24).reshape(sizes).transpose([axes.index(letter) for letter in "TCZ"])
    for options in (ReadOptions(), ReadOptions(axes=f"{axes}YX")):
        declared = axes if options.axes is None else "???"
        arranged = placed(declared, sizes, options=options)
        assert arranged.axes == "TCZYX"
        found = arranged.table
        assert found.shape == (2, 3, 4, 3)
        np.testing.assert_array_equal(found[..., 1], 100 * numbers)
        assert (found[..., 2] == -1).all()


def test_axes_of_length_one_may_be_anything_and_longer_ones_not() -> None:
    assert placed("?Z?", (1, 4, 1)).table.shape == (1, 1, 4, 3)
    with pytest.raises(MetadataError, match="E-AXES"):
        placed("?Z", (2, 4))
    with pytest.raises(MetadataError, match="E-AXES"):
        placed("ZZ", (2, 4))


def test_colours_are_channels_only_where_the_user_says_so() -> None:
    colour = page(3)
    with pytest.raises(InputError, match="E-RGB"):
        placed("Z", (4,), stored=colour)
    found = placed("Z", (4,), stored=colour, options=ReadOptions(axes="ZYXC")).table
    assert found.shape == (1, 3, 4, 3)
    np.testing.assert_array_equal(found[0, :, :, 1], np.broadcast_to(100 * np.arange(4), (3, 4)))
    np.testing.assert_array_equal(found[0, :, :, 2], np.broadcast_to(np.arange(3)[:, None], (3, 4)))
