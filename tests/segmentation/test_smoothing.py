"""Smoothing and local means against scipy and by formula."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from tomocyte.segmentation.smoothing import local_mean_planes, sigma_in_voxels, smooth, smoothed_planes

NAN = float("nan")


def test_local_mean_is_close_to_the_exact_one() -> None:
    image = np.random.default_rng(0).normal(size=(20, 60, 70)).astype(np.float32)
    image += np.arange(70) / 10
    exact = ndimage.gaussian_filter(image, (4, 8, 12), mode="nearest")
    ours = np.stack(list(local_mean_planes(image, (4, 8, 12))))
    inner = (slice(8, 12), slice(16, 44), slice(24, 46))
    assert np.abs(ours - exact)[inner].max() < 0.1


@pytest.mark.parametrize("sigma", [(1.3, 0.7, 2.0), (0, 1.5, 0), (3.0, 0, 0), (0, 0, 0)])
def test_smoothing_equals_scipy(sigma: tuple[float, float, float]) -> None:
    image = np.random.default_rng(1).normal(1.34, 0.01, size=(9, 17, 23)).astype(np.float32)
    assert np.allclose(smooth(image, sigma), ndimage.gaussian_filter(image, sigma, mode="nearest"), atol=1e-6)


def test_nan_does_not_reach_its_neighbours() -> None:
    image = np.full((7, 11, 13), 1.35, dtype=np.float32)
    image[3, 5, 6], image[0, 0, 0], image[6, 2, 1] = np.nan, np.inf, -np.inf
    smoothed = smooth(image, (1.5, 1.0, 2.0))
    finite = np.isfinite(image)
    assert np.array_equal(np.isfinite(smoothed), finite)
    assert np.allclose(smoothed[finite], 1.35, atol=1e-6)
    assert np.isnan(smooth(np.full((2, 3, 4), np.nan), (1, 1, 1))).all()


def test_normalised_convolution_by_its_formula() -> None:
    image = np.random.default_rng(2).normal(size=(8, 9, 10)).astype(np.float32)
    image[np.random.default_rng(3).random(image.shape) < 0.2] = np.nan
    known = np.isfinite(image)
    sigma = (1.0, 1.5, 0.8)
    above = ndimage.gaussian_filter(np.where(known, image, 0), sigma, mode="nearest")
    below = ndimage.gaussian_filter(known.astype(np.float32), sigma, mode="nearest")
    assert np.allclose(smooth(image, sigma)[known], (above / below)[known], atol=1e-5)


def test_sigma_follows_each_axis() -> None:
    assert sigma_in_voxels(0.6, (0.3, 0.2, 0.1), 5) == pytest.approx((2, 3, 6))
    assert sigma_in_voxels(0.6, (NAN, 0.2, 0.1), 1) == pytest.approx((0, 3, 6))


def test_planes_come_one_by_one_and_are_scipys() -> None:
    """Also of a volume that is thinner than the kernel reaches."""
    for n_z in (2, 9):
        image = np.random.default_rng(n_z).normal(1.34, 0.01, size=(n_z, 11, 13)).astype(np.float32)
        planes = smoothed_planes(image, (2.0, 1.0, 0.5))
        assert iter(planes) is planes
        expected = ndimage.gaussian_filter(image, (2.0, 1.0, 0.5), mode="nearest")
        for plane, other in zip(planes, expected, strict=True):
            assert plane.dtype == np.float32
            np.testing.assert_allclose(plane, other, atol=1e-6)
