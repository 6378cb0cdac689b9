"""Sizes and boxes of labels, by hand."""

from __future__ import annotations

import numpy as np

from tomocyte.labels.extents import label_extents


def test_boxes_of_labels_with_a_missing_number() -> None:
    labels = np.zeros((3, 5, 7), dtype=np.uint16)
    labels[0, 1, 2] = labels[2, 4, 6] = 1
    labels[1, 0:2, 3:6] = 3
    extents = label_extents(labels)
    assert extents.n_voxels.tolist() == [0, 2, 0, 6]
    assert extents.box(1, labels.shape) == (slice(0, 3), slice(1, 5), slice(2, 7))
    assert extents.box(3, labels.shape) == (slice(1, 2), slice(0, 2), slice(3, 6))
    assert extents.box(3, labels.shape, margin=2) == (slice(0, 3), slice(0, 4), slice(1, 7))


def test_nothing_has_no_extent() -> None:
    assert label_extents(np.zeros((2, 3, 4), dtype=np.uint8)).n_voxels.tolist() == [0]
