"""Linear resampling plane by plane."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.transform import resize

from tomocyte.segmentation.prediction.resampling import add_plane, linear_taps, resample_plane, set_bits


@pytest.mark.parametrize(
    ("n_in", "n_out"), [(7, 7), (7, 13), (7, 40), (13, 7), (40, 7), (1, 5), (5, 1), (2, 1), (9, 8)]
)
def test_taps_are_scikit_images_resize(n_in: int, n_out: int) -> None:
    values = np.random.default_rng(n_in).random((n_in, 6)).astype(np.float32)
    along, same = linear_taps(n_in, n_out), linear_taps(6, 6)
    result = np.empty((n_out, 6), dtype=np.float32)
    resample_plane(values, along, same, result)
    expected = resize(values, (n_out, 6), order=1, mode="edge", anti_aliasing=True, preserve_range=True)
    np.testing.assert_allclose(result, expected, atol=1e-5)
    np.testing.assert_allclose(along.weights.sum(axis=1), 1, atol=1e-6)
    across = np.empty((6, n_out), dtype=np.float32)
    resample_plane(np.ascontiguousarray(values.T), same, along, across)
    np.testing.assert_allclose(across, expected.T, atol=1e-5)


def test_planes_add_up_and_what_is_not_finite_counts_as_the_offset() -> None:
    plane = np.arange(20, dtype=np.float32).reshape(4, 5)
    expected = 0.25 * (plane - 3) / 2
    plane[1, 2], plane[3, 4] = np.nan, -np.inf
    expected[1, 2] = expected[3, 4] = 0
    total = np.full((4, 5), 10, np.float32)
    add_plane(total, plane, 0.25, 3, 2)
    np.testing.assert_allclose(total, 10 + expected, rtol=1e-6)


def test_bits_are_planes_that_exceed_their_thresholds() -> None:
    """Three planes brought from 7 x 6 to 13 x 4; other bits stay as they were."""
    planes = np.random.default_rng(9).random((3, 7, 6)).astype(np.float32)
    thresholds = np.array([0.3, 0.5, 0.7], np.float32)
    bits = np.zeros((13, 4), np.uint8)
    set_bits(planes, linear_taps(7, 13), linear_taps(6, 4), thresholds, bits)
    for bit, (plane, threshold) in enumerate(zip(planes, thresholds, strict=True)):
        expected = resize(plane, (13, 4), order=1, mode="edge", anti_aliasing=True)
        is_clear = np.abs(expected - threshold) > 1e-5
        np.testing.assert_array_equal((bits >> bit & 1).astype(bool)[is_clear], (expected > threshold)[is_clear])
    assert bits.max() < 8
