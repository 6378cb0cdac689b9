"""Finishing: crumbs and holes counted by hand, the box that the published filling deletes, labelled slices."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.propagation.finishing import FinishingSettings, finish_labels


def finished(labels: np.ndarray, slices: list[int], **settings: float) -> np.ndarray:
    is_labelled = np.zeros(labels.shape, bool)
    is_labelled[slices] = True
    before = labels.copy()
    result = finish_labels(labels, is_labelled, FinishingSettings.model_validate(settings))
    assert np.array_equal(labels, before)
    assert np.array_equal(result[slices], labels[slices])
    assert result.dtype == labels.dtype
    return result


def test_nothing_is_done_unless_asked_for() -> None:
    labels = np.random.default_rng(0).integers(0, 4, (5, 6, 7)).astype(np.uint16)
    assert np.array_equal(finished(labels, [2]), labels)


def test_pieces_are_measured_by_the_largest_of_their_label() -> None:
    """Label 1: 100 voxels, 11, 10 and, on the labelled slice, 1; label 2: a piece of 5 alone."""
    labels = np.zeros((6, 12, 20), np.uint8)
    labels[1, :10, :10] = 1
    labels[3, 0, :11], labels[3, 4, :10] = 1, 1
    labels[5, 11, 19] = 1
    labels[3, 8, :5] = 2
    expected = labels.copy()
    expected[3, 4, :10] = 0
    assert np.array_equal(finished(labels, [5], clean=0.1), expected)


def test_a_hollow_box_is_filled_and_not_deleted() -> None:
    """A box of 12 x 10 x 8 with a hole of 3 x 4 x 5, an open bay beside it, and a second box that fills the volume."""
    labels = np.zeros((20, 30, 40), np.uint16)
    labels[4:16, 5:15, 6:14] = 700
    expected = labels.copy()
    labels[6:9, 7:11, 8:13] = 0
    labels[12, 10, 10:14] = expected[12, 10, 10:14] = 0
    assert np.array_equal(finished(labels, [0], fill=0.9), expected)
    whole = np.full((6, 7, 8), 3, np.uint16)
    whole[2, 3, 4] = 0
    assert np.all(finished(whole, [0], fill=0.9) == 3)


@pytest.mark.parametrize(("fill", "is_filled"), [(0.44, True), (0.42, False)])
def test_large_holes_stay(fill: float, is_filled: bool) -> None:
    """A hole of 6 x 6 x 6 in a box of 8 x 9 x 10: 216 of 504 voxels, 0.429."""
    labels = np.zeros((12, 13, 14), np.uint8)
    labels[1:9, 1:10, 1:11] = 1
    labels[2:8, 2:8, 2:8] = 0
    result = finished(labels, [11], fill=fill)
    assert np.all(result[2:8, 2:8, 2:8] == is_filled)
    assert np.count_nonzero(result) == (720 if is_filled else 504)


def test_a_hole_that_the_user_drew_stays() -> None:
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[1:8, 1:8, 1:8] = 4
    labels[3:6, 3, 3] = 0
    labels[3, 6, 6] = 0
    expected = labels.copy()
    expected[3, 6, 6] = 4
    assert np.array_equal(finished(labels, [4], fill=0.9), expected)


def test_smoothing_spares_labelled_slices() -> None:
    labels = np.random.default_rng(1).integers(0, 2, (8, 12, 12)).astype(np.uint8)
    smooth = finished(labels, [0, 4], smooth=100)
    rough = [index for index in range(8) if index not in (0, 4)]
    before, after = (np.count_nonzero(np.diff(one[rough], axis=2)) for one in (labels, smooth))
    assert after < 0.5 * before
