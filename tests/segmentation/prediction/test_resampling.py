"""Linear resampling plane by plane."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.transform import resize

from tomocyte.segmentation.prediction.resampling import linear_taps, resample_plane


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
