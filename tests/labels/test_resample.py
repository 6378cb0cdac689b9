"""Labels on another grid: numbers copied from where each voxel's centre lies."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import resize

from tomocyte.labels.resample import resample_labels


def test_odd_factors_copy_the_middle_voxel() -> None:
    labels = np.arange(3 * 5 * 9, dtype=np.uint16).reshape(3, 5, 9)
    resampled = resample_labels(labels, (1, 1, 3))
    # The middle of each block of 3 x 5 x 3 voxels.
    assert resampled.tolist() == [[[labels[1, 2, 1], labels[1, 2, 4], labels[1, 2, 7]]]]
    assert resampled.dtype == np.uint16


def test_masks_stay_masks_and_repeat_when_they_grow() -> None:
    mask = np.array([[[True, False]]])
    resampled = resample_labels(mask, (2, 3, 4))
    assert resampled.dtype == bool
    np.testing.assert_array_equal(resampled, np.broadcast_to([True, True, False, False], (2, 3, 4)))


def test_as_scikit_image_without_interpolation() -> None:
    labels = np.random.default_rng(0).integers(0, 9, size=(4, 7, 11))
    # No centre of these grids falls on a border between voxels.
    expected = resize(labels, (3, 5, 13), order=0, preserve_range=True, anti_aliasing=False, mode="edge")
    np.testing.assert_array_equal(resample_labels(labels, (3, 5, 13)), expected)


@given(st.tuples(*[st.integers(1, 6)] * 3), st.tuples(*[st.integers(1, 6)] * 3))
def test_there_and_back_by_whole_factors_changes_nothing(shape: tuple[int, ...], factors: tuple[int, ...]) -> None:
    labels = np.arange(np.prod(shape), dtype=np.uint32).reshape(shape)
    finer = resample_labels(labels, tuple(n * factor for n, factor in zip(shape, factors, strict=True)))
    np.testing.assert_array_equal(resample_labels(finer, shape), labels)
