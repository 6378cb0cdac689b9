"""Sizes, borders and holes of labels, by hand."""

from __future__ import annotations

import numpy as np

from tomocyte.labels.cleaning import fill_holes, large_enough, touches_border, voxels_of
from tomocyte.labels.extents import label_extents

NAN = float("nan")


def test_holes_go_to_the_object_around_them() -> None:
    labels = np.zeros((1, 7, 12), dtype=np.uint8)
    labels[0, 1:6, 1:6] = 3
    labels[0, 2:5, 2:5] = 0
    labels[0, 3, 3] = 5
    labels[0, 1:4, 8:11] = 4
    labels[0, 2, 9] = 0
    small = labels.copy()
    fill_holes(small, max_voxels=1)
    assert small[0, 2, 9] == 4
    assert small[0, 2, 2] == 0
    fill_holes(labels)
    assert labels[0, 2, 2] == 3
    assert labels[0, 3, 3] == 5
    assert labels[0, 2, 9] == 4
    assert np.count_nonzero(labels) == 25 + 9


def test_tunnels_are_not_holes_in_three_dimensions() -> None:
    labels = np.ones((5, 5, 5), dtype=np.uint8)
    labels[:, 2, 2] = 0
    fill_holes(labels)
    assert np.count_nonzero(labels) == 120
    labels[0, 2, 2] = labels[4, 2, 2] = 1
    fill_holes(labels)
    assert np.count_nonzero(labels) == 125


def test_sizes_and_borders_by_hand() -> None:
    assert voxels_of(10.0, 5.0, (0.5, 0.2, 0.1), 3) == 1000
    assert voxels_of(10.0, 5.0, (NAN, 0.2, 0.1), 1) == 250
    labels = np.zeros((3, 5, 6), dtype=np.uint8)
    labels[0, 2, 2:4], labels[1, 0, 3], labels[1, 3, 5], labels[2, 4, 1] = 1, 2, 3, 4
    extents = label_extents(labels)
    assert touches_border(extents.lower, extents.upper, labels.shape)[1:].tolist() == [False, True, True, True]
    assert large_enough(extents, 2).tolist() == [False, True, False, False, False]
