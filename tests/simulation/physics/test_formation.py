"""The fast image formation: amplitudes, noise and artefacts against formulas, backends against each other."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tomocyte.errors import SettingsError
from tomocyte.simulation.instruments.odt import VARIANTS as TOMOGRAPHS
from tomocyte.simulation.physics.degradation import NO_ODT_DEGRADATION, OdtDegradation
from tomocyte.simulation.physics.formation import recovered_fraction, simulate_odt
from tomocyte.simulation.physics.fourier_support import MIN_COVERAGE, fourier_coverage
from tomocyte.simulation.physics.noise import blur_transfer, fringes, motion_transfer, shot_noise, slow_background
from tomocyte.simulation.physics.optics import OdtInstrument
from tomocyte.simulation.physics.reconstruction import (
    NumpyTransform,
    fill_missing_cone,
    potential_from_ri,
    ri_from_potential,
)
from tomocyte.simulation.physics.sphere import sphere_ri, sphere_spectrum

MEDIUM = 1.337
SHAPE = (40, 88, 84)
VOXEL = (0.32, 0.11, 0.1)
BARE = NO_ODT_DEGRADATION.model_copy(update={"n_iterations": 0})


def cell(delta_n=0.02, shape=SHAPE, voxel=VOXEL, radius=2.5):
    return sphere_ri(shape, voxel, radius_um=radius, sphere_index=MEDIUM + delta_n, medium_ri=MEDIUM)


def image(ri, degradation, *, instrument=None, voxel=VOXEL, seed=1, backend="numpy"):
    return simulate_odt(
        ri,
        MEDIUM,
        voxel_size_um=voxel,
        instrument=instrument or TOMOGRAPHS["HT-2H"],
        degradation=degradation,
        rng=np.random.default_rng(seed),
        backend=backend,
    )


def test_potential_is_that_of_helmholtz_and_inverts():
    ri = np.linspace(1.30, 1.45, 61, dtype=np.float32).reshape(1, 1, -1)
    expected = (ri.astype(np.float64) ** 2 - MEDIUM**2) / (2 * MEDIUM)
    np.testing.assert_allclose(potential_from_ri(ri, MEDIUM), expected, atol=2e-8)
    np.testing.assert_allclose(ri_from_potential(potential_from_ri(ri, MEDIUM), MEDIUM), ri, atol=3e-7)


def test_without_regularisation_only_the_support_is_left():
    """The band-limited image equals an independent float64 low-pass of the potential, bin by bin."""
    ri = cell()
    spectrum = np.fft.rfftn((ri.astype(np.float64) ** 2 - MEDIUM**2) / (2 * MEDIUM))
    coverage = fourier_coverage(SHAPE, MEDIUM, voxel_size_um=VOXEL, instrument=TOMOGRAPHS["HT-2H"])
    spectrum[coverage < MIN_COVERAGE] = 0
    low_passed = np.sqrt(MEDIUM**2 + 2 * MEDIUM * np.fft.irfftn(spectrum, s=SHAPE, axes=(0, 1, 2)))
    np.testing.assert_allclose(image(ri, BARE), low_passed, atol=1e-6)


def test_measured_frequencies_of_a_sphere_follow_its_form_factor():
    """Spectrum of the image against 4π (sin qR - qR cos qR) / q³ of a ball of the same potential."""
    radius, delta_n = 2.5, 0.02
    measured = image(cell(delta_n), OdtDegradation(noise_ri_std=0, n_fringes=0, background_ri_std=0, n_iterations=12))
    spectrum = np.fft.rfftn((measured.astype(np.float64) ** 2 - MEDIUM**2) / (2 * MEDIUM)) * np.prod(VOXEL)
    q_x = 2 * np.pi * np.arange(1, 12) / (SHAPE[2] * VOXEL[2])
    potential = ((MEDIUM + delta_n) ** 2 - MEDIUM**2) / (2 * MEDIUM)
    expected = potential * sphere_spectrum(q_x, radius)
    volume = potential * 4 / 3 * np.pi * radius**3
    np.testing.assert_allclose(np.abs(spectrum[0, 0, 1:12]), np.abs(expected), atol=0.01 * volume)


def test_non_negativity_brings_back_the_missing_cone():
    """Measured Δn of a known sphere: low without regularisation, near the truth with it."""
    ri = cell()
    labels = (ri > MEDIUM + 0.01).astype(np.uint32) * 7
    amounts = [
        recovered_fraction(
            image(ri, NO_ODT_DEGRADATION.model_copy(update={"n_iterations": n})), ri, labels, medium_ri=MEDIUM
        )[7]
        for n in (0, 5, 40)
    ]
    assert amounts[0] < 0.85
    assert amounts[0] < amounts[1] < amounts[2]
    assert amounts[2] == pytest.approx(1, abs=0.05)


def test_recovered_fraction_by_hand():
    labels = np.array([[[0, 1, 1, 2]]])
    true = np.array([[[1.3, 1.4, 1.5, 1.3]]])
    measured = np.array([[[1.3, 1.35, 1.4, 1.4]]])
    fractions = recovered_fraction(measured, true, labels, medium_ri=1.3)
    assert fractions[1] == pytest.approx(0.5)
    assert np.isnan(fractions[2])
    assert set(fractions) == {1, 2}


def test_recovered_contrast_does_not_depend_on_the_voxel_size():
    """The same sphere in the same field at three voxel sizes: mean Δn of its inner half agrees within 2 %."""
    extent, delta_n = (12.6, 9.24, 9.0), 0.02
    means = []
    for voxel in ((0.35, 0.11, 0.1), (0.3, 0.088, 0.09), (0.2, 0.0924, 0.075)):
        shape = tuple(round(size / step) for size, step in zip(extent, voxel, strict=True))
        ri = cell(delta_n, shape, voxel)
        inner = cell(delta_n, shape, voxel, radius=1.6) > MEDIUM + 0.99 * delta_n
        measured = image(ri, NO_ODT_DEGRADATION.model_copy(update={"n_iterations": 25}), voxel=voxel)
        means.append(float(measured[inner].mean()) - MEDIUM)
    np.testing.assert_allclose(means, means[0], rtol=0.02)
    np.testing.assert_allclose(means, delta_n, rtol=0.06)


@pytest.mark.parametrize("instrument", ["HT-2H", "HL60-rotation"])
def test_torch_gives_the_same_tomogram(instrument):
    voxel = VOXEL if instrument == "HT-2H" else (0.12, 0.13, 0.12)
    ri = cell(shape=(33, 60, 52), voxel=voxel, radius=1.5)
    images = [
        image(
            ri,
            OdtDegradation(drift_um=(0.05, 0.1, -0.1)),
            backend=backend,
            voxel=voxel,
            instrument=TOMOGRAPHS[instrument],
        )
        for backend in ("numpy", "torch")
    ]
    np.testing.assert_allclose(images[0], images[1], atol=2e-6)


@pytest.mark.parametrize("backend", ["jax", "torch:cuda"])
def test_backend_that_is_not_there(backend):
    import torch

    if backend == "torch:cuda" and torch.cuda.is_available():
        backend = "cuda"
    with pytest.raises(SettingsError, match="E-BACKEND"):
        image(cell(), BARE, backend=backend)


def test_same_seed_same_tomogram_and_input_untouched():
    ri = cell()
    before = ri.copy()
    first, again, other = (image(ri, OdtDegradation(), seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-5
    np.testing.assert_array_equal(ri, before)
    assert first.dtype == np.float32


def test_noise_has_the_stated_deviation_at_any_voxel_size():
    for shape, voxel in (((40, 88, 84), VOXEL), ((24, 45, 51), (0.22, 0.1, 0.09))):
        coverage = fourier_coverage(shape, MEDIUM, voxel_size_um=voxel, instrument=TOMOGRAPHS["HT-2H"])
        measured = coverage >= MIN_COVERAGE
        transform = NumpyTransform()
        spectrum = shot_noise(coverage, measured, 3e-4, shape, np.random.default_rng(5), transform)
        noise = fill_missing_cone(spectrum, measured, shape=shape, n_iterations=0, transform=transform)
        assert float(noise.std()) == pytest.approx(3e-4, rel=0.04)


def test_noise_falls_with_the_root_of_the_coverage():
    coverage = fourier_coverage(SHAPE, MEDIUM, voxel_size_um=VOXEL, instrument=TOMOGRAPHS["HT-2H"])
    measured = coverage >= MIN_COVERAGE
    spectrum = shot_noise(coverage, measured, 3e-4, SHAPE, np.random.default_rng(6), NumpyTransform())
    inner = np.zeros(measured.shape, bool)
    inner[:, :, 1:-1] = True
    power, known = np.abs(spectrum[inner[measured]]) ** 2, coverage[measured & inner]
    often, rarely = known > 3.5, known < 1.2
    assert min(often.sum(), rarely.sum()) > 300
    # Undoing the coverage leaves white noise; its mean power is known to 1/√N of the bins.
    white = [float(np.mean((power * known)[chosen])) for chosen in (often, rarely)]
    assert white[0] / white[1] == pytest.approx(1, abs=4 / np.sqrt(often.sum()))
    assert float(np.mean(power[rarely])) > 2.5 * float(np.mean(power[often]))


def test_background_is_slow_zero_mean_and_as_strong_as_stated():
    shape, voxel = (50, 91, 80), (0.4, 0.3, 0.2)
    spectrum = slow_background(shape, voxel, 5e-4, 8.0, np.random.default_rng(7))
    background = np.fft.irfftn(spectrum, s=shape, axes=(0, 1, 2))
    np.testing.assert_allclose(np.fft.rfftn(background), spectrum, atol=1e-6 * np.abs(spectrum).max())
    assert background.std() == pytest.approx(5e-4, rel=1e-5)
    assert abs(background.mean()) < 1e-9
    # Nothing faster than 20 µm / 8 µm = 2 periods along z.
    assert not spectrum[3:-2].any()
    assert spectrum[2].any()


def test_fringes_stay_measured_and_below_their_amplitude():
    measured = fourier_coverage(SHAPE, MEDIUM, voxel_size_um=VOXEL, instrument=TOMOGRAPHS["HT-2H"]) >= MIN_COVERAGE
    settings = OdtDegradation(n_fringes=1, fringe_ri_amplitude=6e-4)
    spectrum = np.zeros(measured.shape, np.complex128)
    spectrum[measured] = fringes(measured, settings, SHAPE, VOXEL, np.random.default_rng(8))
    fringe = np.fft.irfftn(spectrum, s=SHAPE, axes=(0, 1, 2))
    assert 1e-4 < np.abs(fringe).max() <= 6e-4 * (1 + 1e-5)
    np.testing.assert_allclose(np.fft.rfftn(fringe), spectrum, atol=1e-6 * np.abs(spectrum).max())


def test_motion_equals_the_mean_of_shifted_copies():
    """The transfer of even motion against a brute-force average over many positions."""
    shape, voxel, drift = (12, 20, 22), (0.3, 0.2, 0.1), (0.4, -0.5, 0.3)
    ri = np.random.default_rng(9).standard_normal(shape)
    spectrum = np.fft.rfftn(ri)
    moved = np.zeros(spectrum.shape, complex)
    steps = (np.arange(400) + 0.5) / 400 - 0.5
    frequency = [2 * np.pi * np.fft.fftfreq(n, d) for n, d in zip(shape, voxel, strict=True)]
    frequency[2] = frequency[2][: shape[2] // 2 + 1]
    along = sum(f * d for f, d in zip(np.ix_(*frequency), drift, strict=True))
    for step in steps:
        moved += spectrum * np.exp(-1j * along * step) / len(steps)
    np.testing.assert_allclose(spectrum * motion_transfer(shape, voxel, drift), moved, atol=2e-3)


def test_blur_and_skirts_are_gaussian_filters():
    """Against scipy's Gaussian filter in space, wrapped like the transform; the mean stays."""
    shape, voxel = (30, 44, 37), (0.3, 0.2, 0.25)
    ri = np.random.default_rng(11).standard_normal(shape)
    settings = NO_ODT_DEGRADATION.model_copy(update={"blur_um": 0.5, "skirt_share": 0.3, "skirt_um": 1.0})
    blurred = np.fft.irfftn(np.fft.rfftn(ri) * blur_transfer(shape, voxel, settings), s=shape, axes=(0, 1, 2))
    expected = sum(
        share * gaussian_filter(ri, [sigma / step for step in voxel], mode="wrap", truncate=6)
        for share, sigma in ((0.7, 0.5), (0.3, 1.0))
    )
    np.testing.assert_allclose(blurred, expected, atol=2e-3)
    whole = image(cell(), BARE.model_copy(update={"blur_um": 0.4, "skirt_share": 0.2}))
    assert float(whole.mean(dtype=np.float64)) == pytest.approx(
        float(image(cell(), BARE).mean(dtype=np.float64)), abs=1e-5
    )
    assert whole.max() < image(cell(), BARE).max() - 0.001


def test_a_wrong_medium_is_an_offset():
    ri = cell()
    right, wrong = (image(ri, BARE.model_copy(update={"medium_ri_error": error})) for error in (0.0, 0.0013))
    np.testing.assert_allclose(wrong - right, 0.0013, atol=1e-6)


@pytest.mark.parametrize("bad", [np.full((8, 8, 8), 0.02), np.full((8, 8, 8), np.nan), np.full((8, 8), 1.34)])
def test_what_is_no_refractive_index_is_refused(bad):
    with pytest.raises(SettingsError, match="E-RI"):
        image(bad, BARE)


def test_memory_stays_below_six_volumes():
    """Peak of Python allocations (arrays included) over the float32 volume, the input counted."""
    import tracemalloc

    shape, voxel = (64, 128, 130), (0.39, 0.195, 0.195)
    ri = cell(shape=shape, voxel=voxel, radius=6)
    instrument = OdtInstrument(is_coarse_grid_allowed=True)
    tracemalloc.start()
    image(ri, OdtDegradation(drift_um=(0.1, 0.1, 0.1), n_iterations=2), voxel=voxel, instrument=instrument)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / ri.nbytes + 1 <= 6


@pytest.mark.parametrize("backend", ["numpy", "torch", "torch:cpu"])
def test_every_backend_has_numpys_transform(backend):
    from tomocyte.simulation.physics.reconstruction import transform_for

    volume = np.random.default_rng(1).normal(size=(4, 5, 7)).astype(np.float32)
    engine = transform_for(backend)
    sent = engine.send(volume.copy())
    spectrum = engine.forward(sent)
    np.testing.assert_allclose(engine.fetch(spectrum), np.fft.rfftn(volume), atol=1e-4)
    np.testing.assert_allclose(engine.fetch(engine.inverse(spectrum, volume.shape)), volume, atol=1e-6)
    engine.clip_negative(sent)
    np.testing.assert_array_equal(engine.fetch(sent), np.maximum(volume, 0))
