"""Stored axes in any order, against numpy's own transposition."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from tomocyte.errors import MetadataError
from tomocyte.formats._axes import ambiguous_axes, as_planes, checked_axes, selection, shape_tczyx

PATH = Path("image.tif")
WHOLE = np.arange(2 * 3 * 4 * 5 * 6).reshape(2, 3, 4, 5, 6)  # T C Z Y X


@pytest.mark.parametrize("axes", ["".join(order) for order in permutations("TCZYX")][::7])
def test_planes_are_found_whatever_the_stored_order(axes: str) -> None:
    """numpy's own transposition makes the stored array."""
    stored = WHOLE.transpose(["TCZYX".index(letter) for letter in axes]).astype(">i4")
    assert shape_tczyx(axes, stored.shape) == WHOLE.shape
    planes = as_planes(stored[selection(axes, 1, 2, 1, 3)], axes)
    np.testing.assert_array_equal(planes, WHOLE[1, 2, 1:3])
    assert planes.flags.c_contiguous
    assert planes.dtype == np.dtype("=i4")


@pytest.mark.parametrize(
    ("axes", "shape"), [("YX", (1, 1, 1, 5, 6)), ("XYC", (1, 3, 1, 5, 6)), ("TYX", (2, 1, 1, 5, 6))]
)
def test_axes_that_are_not_stored_have_length_one(axes: str, shape: tuple[int, ...]) -> None:
    sizes = dict(zip("TCZYX", WHOLE.shape, strict=True))
    stored = np.zeros([sizes[letter] for letter in axes])
    assert shape_tczyx(checked_axes(axes.lower(), stored.shape, PATH), stored.shape) == shape
    assert as_planes(stored[selection(axes, 0, 0, 0, 1)], axes).shape == (1, 5, 6)


@pytest.mark.parametrize("axes", ["ZY", "ZZYX", "ZYXT", "QYX", "TCZ", "", "SYX"])
def test_axes_that_cannot_be_are_refused(axes: str) -> None:
    with pytest.raises(MetadataError, match=r"E-AXES.*\(4, 5, 6\)"):
        checked_axes(axes, (4, 5, 6), PATH)
    error = ambiguous_axes((4, 5, 6), PATH)
    assert error.code == "E-AXES"
    assert "--axes ZYX" in error.cure
