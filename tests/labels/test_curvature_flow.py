"""Curvature flow: the analytic shrinking of a ball, what stays, and labels that touch."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.labels.smoothing import curvature_flow, smooth_labels


def distance_from_middle(n: int) -> np.ndarray:
    z, y, x = np.meshgrid(*[np.arange(n) - (n - 1) / 2] * 3, indexing="ij")
    return np.asarray(np.sqrt(z**2 + y**2 + x**2))


@pytest.mark.parametrize(("radius", "n_steps"), [(8.0, 400), (10.0, 900)])
def test_a_ball_shrinks_as_theory_says(radius: float, n_steps: int) -> None:
    """The radius of a ball that moves by the sum of its curvatures, 2 / r, is sqrt(r² - 4 t); t = 0.01 n."""
    values = (radius - distance_from_middle(27)).astype(np.float32)
    before = values.copy()
    flowed = curvature_flow(values, n_steps)
    volume = np.count_nonzero(flowed > 0)
    found = (3 * volume / (4 * np.pi)) ** (1 / 3)
    assert found == pytest.approx(np.sqrt(radius**2 - 0.04 * n_steps), rel=0.02)
    assert np.array_equal(values, before)


def test_a_plane_stays_in_any_direction() -> None:
    z, y, x = np.meshgrid(*[np.arange(9.0)] * 3, indexing="ij")
    plane = (z - 2 * y + 0.5 * x + 3).astype(np.float32)
    flowed = curvature_flow(plane, 4)
    assert np.allclose(flowed[4:-4, 4:-4, 4:-4], plane[4:-4, 4:-4, 4:-4], atol=1e-4)
    half = np.zeros((6, 7, 8), np.uint8)
    half[:, :3] = 200
    assert np.array_equal(smooth_labels(half, 100), half)


def test_a_rough_border_becomes_smooth_and_its_volume_stays() -> None:
    """The ball of radius 10 shrinks to sqrt(100 - 4)."""
    ball = distance_from_middle(30) < 10
    rng = np.random.default_rng(0)
    rough = np.where(np.abs(distance_from_middle(30) - 10) < 1.5, rng.random(ball.shape) < 0.5, ball)
    labels = np.zeros(ball.shape, np.uint16)
    labels[rough] = 300
    labels[:2] = 7
    smooth = smooth_labels(labels, 100)
    assert set(np.unique(smooth)) == {0, 7, 300}
    near = distance_from_middle(30) < 12
    assert np.count_nonzero((smooth == 300) != ball) < 0.4 * np.count_nonzero(rough != ball)
    assert np.count_nonzero(smooth[near]) == pytest.approx(4 / 3 * np.pi * 9.8**3, rel=0.03)


def test_labels_that_are_mirrored_are_smoothed_alike() -> None:
    rng = np.random.default_rng(4)
    labels = np.kron(rng.integers(0, 4, (4, 3, 5)), np.ones((3, 4, 3), int)).astype(np.uint8)
    expected = smooth_labels(labels, 50)
    assert not np.array_equal(expected, labels)
    mirrored = smooth_labels(np.ascontiguousarray(labels[::-1, :, ::-1]), 50)[::-1, :, ::-1]
    assert np.mean(mirrored == expected) > 0.999
