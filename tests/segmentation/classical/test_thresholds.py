"""Thresholds, smoothing and blocks against scikit-image, scipy and hand-made histograms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import threshold_otsu

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
