"""Crops of single cells, against numbers counted by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tomocyte.figures.crops import cell_panel, crop_plane, crop_shape, typical_and_extreme

VOLUME = np.arange(3 * 8 * 10).reshape(3, 8, 10)


@pytest.mark.parametrize(
    ("centre", "first", "last"),
    [
        ((1, 3, 4), (1, 2, 3), (1, 4, 5)),  # inside: one voxel to each side
        ((0, 0, 0), (0, 0, 0), (0, 2, 2)),  # moved away from the upper left corner
        ((9, 7, 9), (2, 5, 7), (2, 7, 9)),  # moved away from the lower right one, and z into the volume
    ],
)
def test_a_crop_stays_inside(centre: tuple[int, ...], first: tuple[int, ...], last: tuple[int, ...]) -> None:
    crop = crop_plane(VOLUME, centre, (3, 3))
    assert crop.shape == (3, 3)
    assert crop[0, 0] == VOLUME[first]
    assert crop[-1, -1] == VOLUME[last]


def test_a_small_volume_is_shown_whole() -> None:
    assert np.array_equal(crop_plane(VOLUME, (1, 4, 4), (20, 4)), VOLUME[1, :, 2:6])


def test_a_panel_lies_where_the_table_says() -> None:
    size = (0.5, 0.2, 0.1)
    labels = {"cell": (VOLUME[2, 5, 6] == VOLUME).astype(np.uint8)}
    panel = cell_panel(VOLUME, labels, (1.0, 1.0, 0.6), size, side_um=0.6, caption="cell 1")
    assert crop_shape(0.6, size) == (3, 6) == panel.image.shape
    assert panel.contours["cell"].sum() == 1
    assert panel.contours["cell"][1, 3] == 1, "columns 3 to 8, so that 6 is the fourth"
    assert panel.caption == "cell 1"


def test_a_plane_needs_no_z() -> None:
    panel = cell_panel(VOLUME[:1], {}, (np.nan, 0.4, 0.3), (np.nan, 0.2, 0.1), side_um=0.4)
    assert panel.image.shape == (2, 4)


def test_each_cell_is_shown_once() -> None:
    values = pd.Series([5.0, np.nan, 1.0, 9.0, 4.0, 7.0, 6.0, 5.5], index=list("abcdefgh"))
    assert typical_and_extreme(values, n_each=2) == {
        "lowest": ["c", "e"],
        "typical": ["a", "h"],  # the median of the seven is 5.5: h itself, then a and g; a comes first
        "highest": ["f", "d"],
    }
    assert typical_and_extreme(values[:1]) == {"typical": ["a"]}
    assert typical_and_extreme(pd.Series(dtype=float)) == {}
