"""Noise: white, correlated, growing with the background, and beside objects."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from tomocyte.segmentation.classical.noise import estimate_noise

SHAPE = (16, 96, 110)


def test_white_noise_beside_objects() -> None:
    image = np.random.default_rng(0).normal(20, 3, SHAPE)
    image[:, 10:60, 10:70] += 50 * (np.indices((16, 50, 60)).sum(axis=0) % 7 < 3)
    noise = estimate_noise(image, np.zeros(SHAPE))
    assert noise.sigma.mean() == pytest.approx(3, rel=0.1)
    assert max(noise.correlation) < 0.4


def test_blurred_noise_is_seen_as_such() -> None:
    white = np.random.default_rng(1).normal(0, 1, SHAPE)
    image = ndimage.gaussian_filter(white, [0, 0.9, 1.3])
    noise = estimate_noise(image, np.zeros(SHAPE))
    assert noise.correlation == pytest.approx((0, 0.9, 1.3), abs=0.25)
    assert noise.sigma.mean() == pytest.approx(image.std(), rel=0.2)


def test_photon_noise_grows_with_the_background() -> None:
    background = np.broadcast_to(np.linspace(10, 250, SHAPE[2]), SHAPE)
    noise = estimate_noise(np.random.default_rng(2).poisson(background).astype(float), background)
    for column in (15, 55, 95):
        assert noise.sigma[:, :, column].mean() == pytest.approx(np.sqrt(background[0, 0, column]), rel=0.2)


def test_no_noise() -> None:
    image = np.zeros(SHAPE)
    image[:, 20:40, 20:40] = 7
    assert estimate_noise(image, np.zeros(SHAPE)).sigma.max() == 0
