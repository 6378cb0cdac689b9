"""Phase images against the projected sphere, the exact field, and hand-made sums."""

import numpy as np
import pytest
from skimage.restoration import unwrap_phase

from tomocyte.errors import SettingsError
from tomocyte.simulation.instruments.qpi import VARIANTS as PHASE_MICROSCOPES
from tomocyte.simulation.physics.degradation import NO_QPI_DEGRADATION, QpiDegradation
from tomocyte.simulation.physics.optics import QpiInstrument
from tomocyte.simulation.physics.phase import degrade_phase, dry_mass_density, simulate_qpi
from tomocyte.simulation.physics.sphere import sphere_field, sphere_projection_phase, sphere_ri

MEDIUM = 1.336


def image(ri, voxel, *, method="propagation", instrument=None, degradation=NO_QPI_DEGRADATION, seed=1):
    return simulate_qpi(
        ri,
        MEDIUM,
        voxel_size_um=voxel,
        instrument=instrument or PHASE_MICROSCOPES["Q-PHASE-10x"],
        degradation=degradation,
        rng=np.random.default_rng(seed),
        method=method,
    )


def test_projection_of_a_sphere():
    """2 k0 Δn sqrt(R² - r²), to a hundredth of the peak."""
    shape, voxel, radius, delta_n = (80, 70, 90), (0.2, 0.25, 0.2), 6.0, 0.03
    ri = sphere_ri(shape, voxel, radius_um=radius, sphere_index=MEDIUM + delta_n, medium_ri=MEDIUM)
    y, x = ((np.arange(n) - (n - 1) / 2) * d for n, d in zip(shape[1:], voxel[1:], strict=True))
    distance = np.hypot(y[:, None], x[None, :])
    expected = sphere_projection_phase(distance, radius_um=radius, delta_n=delta_n, wavelength_um=0.65)
    phase = image(ri, voxel, method="projection")
    rim = np.abs(distance - radius) < 0.5
    np.testing.assert_allclose(phase[~rim], expected[~rim], atol=0.01 * expected.max())
    assert phase.max() > np.pi  # more than half a turn: no wrap


def test_propagated_phase_of_a_sphere_is_that_of_the_exact_field():
    shape, voxel, radius, delta_n = (60, 96, 90), (0.1, 0.1, 0.11), 2.5, 0.03
    ri = sphere_ri(shape, voxel, radius_um=radius, sphere_index=MEDIUM + delta_n, medium_ri=MEDIUM)
    instrument = QpiInstrument(wavelength_um=0.65, objective_na=0.8)
    exact = sphere_field(
        shape[1:], voxel[1:], radius_um=radius, indices=(MEDIUM + delta_n, MEDIUM), wavelength_um=0.65, objective_na=0.8
    )
    np.testing.assert_allclose(image(ri, voxel, instrument=instrument), np.angle(exact), atol=0.02)


def test_thick_cell_is_unwrapped():
    """More than a whole turn of phase comes out as an independent unwrapping of the wrapped image has it."""
    shape, voxel = (60, 80, 90), (0.25, 0.4, 0.5)
    ri = sphere_ri(shape, voxel, radius_um=6.5, sphere_index=MEDIUM + 0.06, medium_ri=MEDIUM)
    phase = image(ri, voxel)
    assert phase.max() > 2 * np.pi
    unwrapped = unwrap_phase(np.angle(np.exp(1j * phase)))
    unwrapped -= 2 * np.pi * np.round(np.median(unwrapped[0]) / (2 * np.pi))
    np.testing.assert_allclose(phase, unwrapped, atol=1e-5)


def test_dry_mass_of_a_sphere():
    """V Δn / α: R = 5 µm, Δn = 0.02, α = 0.19 mL/g give 55.116 pg."""
    shape, voxel = (60, 70, 80), (0.2, 0.19, 0.17)
    ri = sphere_ri(shape, voxel, radius_um=5.0, sphere_index=MEDIUM + 0.02, medium_ri=MEDIUM)
    density = dry_mass_density(image(ri, voxel, method="projection"), wavelength_um=0.65)
    assert float(density.sum(dtype=np.float64)) * 0.19 * 0.17 == pytest.approx(55.116, rel=2e-3)


def test_noise_background_and_fringes_as_stated():
    flat, pixel = np.zeros((120, 150)), (0.7, 0.5)
    keys = {"instrument": QpiInstrument(), "rng": np.random.default_rng(2)}
    noise = degrade_phase(
        flat, pixel, degradation=QpiDegradation(noise_rad_std=0.1, n_fringes=0, background_rad_std=0), **keys
    )
    assert noise.std() == pytest.approx(0.1, rel=0.02)
    slow = degrade_phase(
        flat,
        pixel,
        degradation=QpiDegradation(noise_rad_std=0, n_fringes=0, background_rad_std=0.2, background_length_um=30),
        **keys,
    )
    assert slow.std() == pytest.approx(0.2, rel=1e-9)
    power = np.abs(np.fft.fft2(slow)) ** 2
    f = np.hypot(np.fft.fftfreq(120, 0.7)[:, None], np.fft.fftfreq(150, 0.5)[None])
    assert power[f > 1 / 30 + 1e-9].sum() < 1e-12 * power.sum()
    fringe = degrade_phase(
        flat,
        pixel,
        degradation=QpiDegradation(noise_rad_std=0, n_fringes=1, fringe_rad_amplitude=0.05, background_rad_std=0),
        **keys,
    )
    assert 0.015 <= np.abs(fringe).max() <= 0.05 + 1e-9
    power = np.abs(np.fft.fft2(fringe * np.outer(np.hanning(120), np.hanning(150)))) ** 2
    assert power[f > 0.3 / 0.65 + 0.05].sum() < 1e-3 * power.sum()


def test_same_seed_same_image():
    ri = np.full((6, 30, 40), MEDIUM, np.float32)
    first, again, other = (image(ri, (1.0, 0.6, 0.5), degradation=QpiDegradation(), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.float32
    assert np.abs(first - other).max() > 1e-3


def test_unknown_method_is_refused():
    with pytest.raises(SettingsError, match="projection"):
        image(np.full((6, 30, 40), MEDIUM), (1.0, 0.6, 0.5), method="radon")
