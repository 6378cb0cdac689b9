"""Changes of value against their formulas: moments, spectra, polynomials, scipy's blur."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage, stats

from tomocyte.training.data.intensity import IntensitySettings, change_intensity, fringes, slow_background

SHAPE, DEEP = (70, 90), (12, 40, 50)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def image(shape: tuple[int, ...] = SHAPE, channels: int = 2) -> np.ndarray:
    noise = rng(9).normal(size=(channels, *shape))
    return ndimage.gaussian_filter(noise, (0, *[2.0] * len(shape))).astype(np.float32)


def changed(seed: int, shape: tuple[int, ...] = SHAPE, **settings: object) -> np.ndarray:
    return change_intensity(image(shape), IntensitySettings(**settings), rng(seed))


@pytest.mark.parametrize("shape", [SHAPE, DEEP])
def test_defaults_do_nothing_but_copy(shape: tuple[int, ...]) -> None:
    given = image(shape)
    seen = change_intensity(given, IntensitySettings(), rng())
    np.testing.assert_array_equal(seen, given)
    assert not np.shares_memory(seen, given)


@pytest.mark.parametrize("shape", [SHAPE, DEEP])
def test_everything_leaves_the_given_image_alone(shape: tuple[int, ...]) -> None:
    given = image(shape)
    copy = given.copy()
    settings = IntensitySettings(
        gamma=(0.7, 1.4), scale=0.2, shift=0.3, background=0.3, fringes=0.2, blur_px=(0.5, 1.5), noise=(0.05, 0.2)
    )
    for seed in range(3):
        seen = change_intensity(given, settings, rng(seed))
        assert (seen.shape, seen.dtype) == (given.shape, np.float32)
        assert np.isfinite(seen).all()
        assert np.abs(seen - given).mean() > 0.01
    np.testing.assert_array_equal(given, copy)


def test_scale_and_shift_are_a_line_per_channel_within_bounds() -> None:
    slopes, shifts = [], []
    for seed in range(80):
        for before, after in zip(image(), changed(seed, scale=0.25, shift=0.5), strict=True):
            line = stats.linregress(before.ravel(), after.ravel())
            assert line.rvalue == pytest.approx(1, abs=1e-6)
            slopes.append(line.slope)
            shifts.append(line.intercept)
    assert 0.75 <= min(slopes) < 0.8
    assert 1.2 < max(slopes) <= 1.25
    assert -0.5 <= min(shifts) < -0.4
    assert 0.4 < max(shifts) <= 0.5
    assert slopes[0] != pytest.approx(slopes[1], abs=1e-4)


def test_gamma_keeps_order_and_extremes() -> None:
    """On a ramp from -2 to 3 the values are -2 + 5 (n/100)^γ."""
    ramp = np.linspace(-2, 3, 101, dtype=np.float32).reshape(1, 1, 101)
    exponents = []
    for seed in range(40):
        seen = change_intensity(ramp, IntensitySettings(gamma=(0.5, 2.0)), rng(seed)).ravel()
        exponent = np.log((seen[50] + 2) / 5) / np.log(0.5)
        np.testing.assert_allclose(seen, -2 + 5 * np.linspace(0, 1, 101) ** exponent, atol=1e-4)
        exponents.append(exponent)
    assert 0.5 <= min(exponents) < 0.6
    assert 1.7 < max(exponents) <= 2.0
    assert 10 < np.sum(np.array(exponents) < 1) < 30


def test_gamma_of_a_constant_image_is_that_image() -> None:
    flat = np.full((1, 5, 6), 0.3, dtype=np.float32)
    np.testing.assert_array_equal(change_intensity(flat, IntensitySettings(gamma=(0.5, 2.0)), rng()), flat)


@pytest.mark.parametrize(("shape", "anisotropy"), [(SHAPE, 1.0), (DEEP, 2.0)])
def test_blur_is_scipys_and_the_same_in_micrometres(shape: tuple[int, ...], anisotropy: float) -> None:
    sigmas = (0, 0.6, 1.2, 1.2) if len(shape) == 3 else (0, 1.2, 1.2)
    seen = changed(0, shape, blur_px=(1.2, 1.2), anisotropy=anisotropy)
    np.testing.assert_allclose(seen, ndimage.gaussian_filter(image(shape), sigmas), atol=1e-6)


def test_noise_has_the_deviation_asked_for() -> None:
    found = []
    for seed in range(30):
        noise = changed(seed, noise=(0.1, 0.3)) - image()
        assert stats.kstest(noise.ravel() / noise.std(), "norm").pvalue > 1e-4
        assert abs(noise.mean()) < 5 * noise.std() / np.sqrt(noise.size)
        assert abs(np.corrcoef(noise[0, :, 1:].ravel(), noise[0, :, :-1].ravel())[0, 1]) < 0.06
        found.append(noise.std())
    assert 0.098 < min(found) < 0.13
    assert 0.27 < max(found) < 0.305


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("shape", [(11, 17), (5, 11, 17)])
def test_background_is_a_polynomial_of_its_degree(shape: tuple[int, ...], degree: int) -> None:
    """The finite difference of order degree + 1 vanishes along every axis, and the largest value is the size."""
    field = slow_background(shape, 0.7, degree, rng())
    assert field.shape == shape
    assert field.dtype == np.float32
    assert np.abs(field).max() == pytest.approx(0.7, rel=1e-6)
    for axis, length in enumerate(shape):
        if length > degree + 1:
            assert np.abs(np.diff(field.astype(np.float64), degree + 1, axis=axis)).max() < 1e-5
        assert np.abs(np.diff(field, axis=axis)).max() > 0.01


def test_the_degree_of_the_background_is_the_total_one() -> None:
    """x^n y is of degree n + 1: n differences along x and one along y leave nothing of a polynomial of degree n."""
    for degree in (1, 2, 3):
        field = slow_background((11, 17), 0.7, degree, rng()).astype(np.float64)
        assert np.abs(np.diff(np.diff(field, degree, axis=1), axis=0)).max() < 1e-5
        assert np.abs(np.diff(field, degree, axis=1)).max() > 1e-4


def test_background_of_a_single_row() -> None:
    assert np.isfinite(slow_background((1, 9), 1.0, 2, rng())).all()
    np.testing.assert_array_equal(slow_background((1, 1), 1.0, 2, rng()), [[0.0]])


def test_fringes_are_one_plane_wave_of_the_period() -> None:
    """All of the power lies at one spatial frequency, 1 / period from the origin, in any direction."""
    angles = []
    for seed in range(40):
        wave = fringes((128, 128), 0.3, 9.5, rng(seed))
        assert np.abs(wave).max() == pytest.approx(0.3, rel=0.02)
        assert wave.std() == pytest.approx(0.3 / np.sqrt(2), rel=0.05)
        window = np.hanning(128)
        power = np.abs(np.fft.fft2(wave * window[:, None] * window)) ** 2
        v, u = np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128), indexing="ij")
        v, u = v.ravel()[power.argmax()], u.ravel()[power.argmax()]
        assert np.hypot(v, u) == pytest.approx(1 / 9.5, abs=1 / 128)
        is_near = np.hypot(np.abs(np.fft.fftfreq(128))[:, None] - abs(v), np.abs(np.fft.fftfreq(128)) - abs(u)) < 0.025
        assert power[is_near].sum() > 0.999 * power.sum()
        angles.append(np.arctan2(v, u) % np.pi)
    assert np.histogram(angles, bins=4, range=(0, np.pi))[0].min() > 2


def test_fringes_in_three_dimensions_have_the_period_in_micrometres() -> None:
    """Along z the voxel is three times as long: steps of the phase obey kx² + ky² + (kz/3)² = (2π/period)²."""
    for seed in range(10):
        wave = fringes((24, 48, 60), 1.0, 20.0, rng(seed), anisotropy=3.0).astype(np.float64)
        # sin(a+d) + sin(a-d) = 2 cos(d) sin(a): the step d along each axis from a least-squares cosine
        steps = []
        for axis in range(3):
            w = np.moveaxis(wave, axis, 0)
            cosine = ((w[2:] + w[:-2]) * w[1:-1]).sum() / (2 * (w[1:-1] ** 2).sum())
            steps.append(np.arccos(np.clip(cosine, -1, 1)))
        length = np.sqrt((steps[0] / 3) ** 2 + steps[1] ** 2 + steps[2] ** 2)
        assert length == pytest.approx(2 * np.pi / 20, rel=1e-3)


def test_background_and_fringes_are_common_to_the_channels_and_bounded() -> None:
    largest = {"background": 0.0, "fringes": 0.0}
    for name in largest:
        for seed in range(25):
            difference = changed(seed, **{name: 0.4}) - image()
            np.testing.assert_allclose(difference[0], difference[1], atol=1e-6)
            largest[name] = max(largest[name], float(np.abs(difference).max()))
        assert 0.3 < largest[name] <= 0.4 + 1e-5


def test_probability_is_that_of_each_change() -> None:
    flat = np.zeros((1, 6, 7), dtype=np.float32)
    settings = IntensitySettings(probability=0.25, shift=1.0)
    share = np.mean([change_intensity(flat, settings, rng(seed)).any() for seed in range(800)])
    assert share == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize(
    "settings",
    [
        {"gamma": (0.0, 1.0)},
        {"gamma": (1.5, 1.0)},
        {"scale": 1.0},
        {"noise": (0.2, 0.1)},
        {"noise": (-0.1, 0.1)},
        {"blur_px": (0.0, float("inf"))},
        {"fringe_period_px": (1.0, 5.0)},
        {"background_degree": 0},
        {"cutout": 3},
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        IntensitySettings(**settings)
