"""Quality of images and distances between sets of them, against noise and filters whose figures are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from tomocyte.confidence.image_quality import (
    edge_width_um,
    fourier_shell_correlation,
    noise_level,
    shell_resolution_um,
)
from tomocyte.confidence.image_sets import WORDS, ImageSet, describe_volume, rank_images
from tomocyte.errors import SettingsError

SIZE = (0.12, 0.1, 0.08)


def texture(sigma: float, seed: int = 1, n: int = 64) -> np.ndarray:
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(n, n, n)), sigma, mode="wrap")
    return smooth / smooth.std()


@pytest.mark.parametrize("level", [0.02, 0.3])
def test_white_noise_is_measured_beside_structure(level: float) -> None:
    ramp = np.linspace(0, 5, 64) + np.zeros((20, 50, 64))
    noisy = ramp + np.random.default_rng(2).normal(0, level, ramp.shape)
    assert noise_level(noisy) == pytest.approx(level, rel=0.03)


def test_shells_agree_as_signal_and_noise_say() -> None:
    """White signal of variance 1 with white noise of variance 0.25: the correlation is 1 / 1.25 at every frequency."""
    rng = np.random.default_rng(3)
    signal = rng.normal(size=(40, 48, 56))
    first, second = (signal + rng.normal(0, 0.5, signal.shape) for _ in range(2))
    frequency, correlation = fourier_shell_correlation(first, second, SIZE)
    assert frequency[-1] == pytest.approx(0.5 / 0.12, rel=0.05)
    assert np.average(correlation[3:], weights=frequency[3:] ** 2) == pytest.approx(0.8, abs=0.01)
    assert np.abs(correlation[10:] - 0.8).max() < 0.1


def test_a_shift_is_moved_back() -> None:
    smooth = texture(2.0)
    moved = ndimage.shift(smooth, (-1, -1, -1), mode="grid-wrap", order=1)
    _, correlation = fourier_shell_correlation(smooth, moved, (0.1, 0.1, 0.1), shift_voxels=1.0)
    assert correlation[2:6].min() > 0.95


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_resolution_is_where_signal_falls_to_a_sixth_of_the_noise(noise: float) -> None:
    """Halves agree by SNR / (1 + SNR), 1/7 at SNR 1/6; with every other voxel of each axis, noise counts 8 times."""
    sigma, voxel = 3.0, 0.1
    image = texture(sigma, n=96) + np.random.default_rng(5).normal(0, noise, (96, 96, 96))
    peak = (4 * math.pi * sigma**2) ** 1.5 / (8 * noise**2)
    expected = 2 * math.pi * sigma * voxel / math.sqrt(math.log(6 * peak))
    assert shell_resolution_um(image, (voxel,) * 3) == pytest.approx(expected, rel=0.12)


def test_edges_are_as_wide_as_they_are_blurred() -> None:
    """A step blurred by a Gaussian of deviation s has the slope 1 / (s sqrt(2 pi))."""
    step = np.zeros((12, 60, 60))
    step[:, :, 30:] = 1.0
    for blur in (3.0, 6.0):
        blurred = ndimage.gaussian_filter1d(step, blur, axis=2)
        assert edge_width_um(blurred, (0.1, 0.1, 0.1)) == pytest.approx(blur * 0.1 * math.sqrt(2 * math.pi), rel=0.05)
    assert math.isnan(edge_width_um(np.ones((4, 8, 8)), SIZE))


def test_figures_do_not_depend_on_the_unit() -> None:
    image = texture(2.0) + 0.1 * np.random.default_rng(1).normal(size=(64, 64, 64))
    first = describe_volume(image, (0.1, 0.1, 0.1))
    assert set(first) == set(WORDS)
    second = describe_volume(40 * image + 300, (0.1, 0.1, 0.1))
    assert list(second.values()) == pytest.approx(list(first.values()), abs=1e-3)


def test_what_differs_is_seen_in_its_figure() -> None:
    plain = describe_volume(texture(2.0), (0.1, 0.1, 0.1))
    noisy = describe_volume(texture(2.0) + np.random.default_rng(7).normal(0, 1, (64, 64, 64)), (0.1, 0.1, 0.1))
    fine = describe_volume(texture(1.0), (0.1, 0.1, 0.1))
    assert noisy["noise"] > plain["noise"] + 1
    assert noisy["resolution"] > plain["resolution"]
    assert fine["power_0.25_0.5"] > plain["power_0.25_0.5"] + 1
    assert fine["power_2_4"] < plain["power_2_4"]
    with pytest.raises(SettingsError, match="E-FLAT"):
        describe_volume(np.ones((8, 8, 8)), SIZE)


def test_a_large_image_is_binned_to_the_same_wavelengths(monkeypatch: pytest.MonkeyPatch) -> None:
    from tomocyte.confidence import image_sets

    image = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=(96, 96, 96)), 6, mode="wrap")
    whole = describe_volume(image, (0.05, 0.05, 0.05))
    monkeypatch.setattr(image_sets, "LARGEST_VOXELS", 48**3)
    binned = describe_volume(image, (0.05, 0.05, 0.05))
    for name in ("power_1_2", "power_2_4", "middle_value"):
        assert binned[name] == pytest.approx(whole[name], abs=0.15)


def test_distances_and_ranking() -> None:
    learned = ImageSet.of([{"a": 0.0, "b": 1.0}, {"a": 2.0, "b": 1.0}])  # steps of 1 and of the least spread
    assert learned.spread.tolist() == [1.0, 0.05]
    assert learned.distances([{"a": 3.0, "b": 1.1}]) == pytest.approx([math.sqrt((1 + 4) / 2)])
    grown = learned.with_images([{"a": 3.0, "b": 1.0}])
    assert grown.distances([{"a": 3.0, "b": 1.1}]) == pytest.approx([math.sqrt(2)])
    candidates = {"near": {"a": 1.0, "b": 1.0}, "far": {"a": 9.0, "b": 1.0}, "beside": {"a": 8.5, "b": 1.0},
                  "other": {"a": 0.0, "b": 1.2}}  # fmt: skip
    ranked = rank_images(candidates, learned, 3)
    assert [one.name for one in ranked] == ["far", "other", "near"]
    assert [one.differs_in for one in ranked[:2]] == ["a", "b"]
    assert ranked[0].distance == pytest.approx(7 / math.sqrt(2))
