"""Thresholds, smoothing and blocks against scikit-image, scipy and hand-made histograms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import threshold_otsu

from tomocyte.labels.blocks import block_factors, block_means, block_sizes, block_sums, fine_plane
from tomocyte.labels.smoothing import local_mean_planes, sigma_in_voxels, smooth
from tomocyte.segmentation.classical.thresholds import (
    Histogram,
    half_maximum_levels,
    half_maximum_threshold,
    local_adaptive_mask,
    otsu_threshold,
)

NAN = float("nan")


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_otsu_equals_scikit_image(seed: int, offset: float) -> None:
    rng = np.random.default_rng(seed)
    values = offset + np.concatenate([rng.normal(0, 1, 5000), rng.normal(4 + seed, 1.5, 2000)])
    ours = otsu_threshold(Histogram.of(values, 512))
    assert np.mean((values > ours) != (values > threshold_otsu(values, nbins=512))) < 2e-3


def test_otsu_of_two_values_lies_in_the_middle() -> None:
    assert otsu_threshold(Histogram.of(np.array([1.0, 1.0, 1.0, 5.0]))) == pytest.approx(3.0, abs=1e-3)


@pytest.mark.parametrize("values", [np.zeros(5), np.full(7, 1.335), np.array([NAN, 2.0, np.inf])])
def test_nothing_lies_above_the_threshold_of_equal_values(values: np.ndarray) -> None:
    finite = values[np.isfinite(values)]
    assert not np.any(finite > otsu_threshold(Histogram.of(values)) + 1e-9)
    assert not np.any(finite > half_maximum_threshold(Histogram.of(values)) + 1e-9)


def test_histogram_of_no_values() -> None:
    histogram = Histogram.of(np.array([NAN, np.inf]))
    assert histogram.is_flat
    assert np.isnan(histogram.median())
    assert Histogram.of(np.array([1.0, 2.0, 9.0])).median() == pytest.approx(2.0, abs=1e-3)
    assert Histogram.of(np.array([1.0, 2.0, 9.0])).median(low=1.5, high=5) == pytest.approx(2.0, abs=1e-3)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.8])
def test_levels_of_a_known_mixture(fraction: float) -> None:
    # Background N(2, 0.1) and cells N(6, 0.3), so far apart that each median is a class's own.
    rng = np.random.default_rng(7)
    values = np.concatenate([rng.normal(2, 0.1, 60_000), rng.normal(6, 0.3, 20_000)])
    levels = half_maximum_levels(Histogram.of(values), fraction)
    assert levels.background == pytest.approx(2, abs=0.02)
    assert levels.noise == pytest.approx(0.1, abs=0.01)
    assert levels.inside == pytest.approx(6, abs=0.02)
    assert levels.threshold == pytest.approx(2 + 4 * fraction, abs=0.03)


def test_half_maximum_of_a_blurred_step_is_at_the_step() -> None:
    step = np.zeros((1, 1, 2000))
    step[..., 1200:] = 3.0
    blurred = ndimage.gaussian_filter1d(step, 5.0, axis=2)
    assert np.count_nonzero(blurred > half_maximum_threshold(Histogram.of(blurred))) == 800


def test_local_threshold_finds_cells_on_a_slope() -> None:
    x = np.arange(200, dtype=np.float32)
    image = np.broadcast_to(x / 10, (2, 100, 200)).copy()
    image[:, 45:55, 20:30] += 5
    image[:, 45:55, 150:160] += 5
    mask = local_adaptive_mask(image, (0, 15, 15), floor=0.0)
    assert mask[:, 47:53, 22:28].all()
    assert mask[:, 47:53, 152:158].all()
    assert not mask[:, 40:43, 60:130].any() or np.mean(mask[:, 40:43, 60:130]) < 0.6
    assert not local_adaptive_mask(image, (0, 15, 15), floor=100.0).any()
    assert local_adaptive_mask(image, (0, 15, 15), ceiling=-1.0).all()


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


def test_blocks_by_hand() -> None:
    voxels = np.arange(30).reshape(1, 5, 6)
    sums = block_sums(voxels, (1, 2, 4))
    assert sums[0].tolist() == [
        [0 + 1 + 2 + 3 + 6 + 7 + 8 + 9, 4 + 5 + 10 + 11],
        [12 + 13 + 14 + 15 + 18 + 19 + 20 + 21, 16 + 17 + 22 + 23],
        [24 + 25 + 26 + 27, 28 + 29],
    ]
    assert block_sizes(voxels.shape, (1, 2, 4)).tolist() == [[[8, 4], [8, 4], [4, 2]]]
    image = np.array([[[1.0, np.nan, 5.0, 7.0, 9.0]]])
    inside = np.array([[[True, True, True, False, False]]])
    assert block_means(image, (1, 1, 2), inside).tolist() == [[[1.0, 5.0, 0.0]]]
    assert fine_plane(np.array([[[1, 2]]]), 0, (1, 2, 5), (1, 3, 3)).tolist() == [[1, 1, 1, 2, 2]] * 2
    assert block_factors((NAN, 0.1, 0.6), 0.42) == (1, 4, 1)
    ramp = np.random.default_rng(0).normal(size=(6, 9, 8))
    means = block_means(ramp, (2, 3, 4), np.ones(ramp.shape, bool))
    assert np.allclose(means, ramp.reshape(3, 2, 3, 3, 2, 4).mean(axis=(1, 3, 5)), atol=1e-6)
