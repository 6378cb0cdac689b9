"""Propagation and single scattering against the exact sphere; the sphere's theories against each other."""

import numpy as np
import pytest

from tomocyte.simulation.physics.fields import scattered_phase, simulate_fields
from tomocyte.simulation.physics.fourier_support import illumination_vectors
from tomocyte.simulation.physics.multi_slice import axial_phase_rates, propagate
from tomocyte.simulation.physics.optics import OdtInstrument
from tomocyte.simulation.physics.phase import project_phase
from tomocyte.simulation.physics.sphere import (
    sphere_field,
    sphere_projection_phase,
    sphere_ri,
    sphere_scattering_amplitude,
    sphere_spectrum,
)

MEDIUM, WAVELENGTH = 1.337, 0.532
LATERAL, PIXEL = (96, 100), (0.1, 0.09)


def straight(objective_na):
    return OdtInstrument(
        objective_na=objective_na,
        illumination_polar_deg=0,
        n_azimuths=1,
        has_normal_incidence=False,
        is_coarse_grid_allowed=True,
    )


def error(field, exact):
    """Of the scattered part, relative."""
    return float(np.linalg.norm(field - exact) / np.linalg.norm(exact - 1))


def both_fields(model, delta_n, objective_na, theory, radius=2.0):
    voxel = (0.08, *PIXEL)
    ri = sphere_ri((56, *LATERAL), voxel, radius_um=radius, sphere_index=MEDIUM + delta_n, medium_ri=MEDIUM)
    field = simulate_fields(ri, MEDIUM, voxel_size_um=voxel, instrument=straight(objective_na), model=model)[0]
    exact = sphere_field(
        LATERAL,
        PIXEL,
        radius_um=radius,
        indices=(MEDIUM + delta_n, MEDIUM),
        wavelength_um=WAVELENGTH,
        objective_na=objective_na,
        theory=theory,
    )
    return field, exact


@pytest.mark.parametrize(
    ("model", "delta_n", "theory", "tolerance"),
    [
        ("born", 0.02, "born", 0.015),
        ("rytov", 0.003, "scalar", 0.015),
        ("multi-slice", 0.003, "scalar", 0.015),
        ("multi-slice", 0.03, "scalar", 0.015),
        ("multi-slice", 0.03, "mie", 0.03),
    ],
)
@pytest.mark.parametrize("objective_na", [0.6, 1.2])
def test_field_of_a_sphere(model, delta_n, theory, tolerance, objective_na):
    assert error(*both_fields(model, delta_n, objective_na, theory)) < tolerance


def test_where_single_scattering_ends():
    """At a phase of 1.4 rad Born is wrong by more than a third, Rytov by a twentieth, multi-slice by a hundredth."""
    errors = {model: error(*both_fields(model, 0.03, 0.9, "scalar")) for model in ("born", "rytov", "multi-slice")}
    assert errors["born"] > 0.35
    assert 0.02 < errors["rytov"] < 0.1
    assert errors["multi-slice"] < 0.015


def test_tilted_light_through_weak_matter_is_the_born_field():
    """At 64.5° too, where a propagation without the factor kz_in / kz_out is off by a tenth."""
    voxel, delta_n = (0.08, 0.1, 0.09), 0.0004
    ri = sphere_ri((56, 96, 100), voxel, radius_um=2.0, sphere_index=MEDIUM + delta_n, medium_ri=MEDIUM)
    instrument = OdtInstrument(n_azimuths=3, is_coarse_grid_allowed=True)
    born, slices = (
        simulate_fields(ri, MEDIUM, voxel_size_um=voxel, instrument=instrument, model=model)
        for model in ("born", "multi-slice")
    )
    for single, many in zip(born, slices, strict=True):
        assert error(many, single) < 0.015


@pytest.mark.parametrize("polar_deg", [0.0, 25.0, 60.0])
def test_slab_delays_light_by_its_optical_path(polar_deg):
    """A plane-parallel plate: phase d (k0 sqrt(n² - s²) - k0 sqrt(n0² - s²)), s the transverse index."""
    index, thickness = 1.36, 6 * 0.2
    ri = np.full((10, 16, 18), MEDIUM)
    ri[2:8] = index
    instrument = OdtInstrument(n_azimuths=1, illumination_polar_deg=polar_deg, has_normal_incidence=False)
    field = propagate(
        ri,
        MEDIUM,
        voxel_size_um=(0.2, 0.1, 0.11),
        k_in=illumination_vectors(instrument, MEDIUM)[0],
        wavelength_um=0.532,
        objective_na=1.2,
    )
    s = 1.3295 * np.sin(np.deg2rad(polar_deg))
    expected = 2 * np.pi / 0.532 * thickness * (np.sqrt(index**2 - s**2) - np.sqrt(MEDIUM**2 - s**2))
    np.testing.assert_allclose(np.angle(field), expected, atol=2e-5)
    np.testing.assert_allclose(np.abs(field), 1, atol=1e-5)


def test_defocus_is_free_propagation():
    """Focusing higher equals propagating the recorded field by the angular spectrum."""
    voxel = (0.1, *PIXEL)
    ri = sphere_ri((40, *LATERAL), voxel, radius_um=1.5, sphere_index=1.35, medium_ri=MEDIUM)
    km = 2 * np.pi * MEDIUM / WAVELENGTH
    keys = {
        "voxel_size_um": voxel,
        "k_in": np.array([km, 0, 0]),
        "wavelength_um": WAVELENGTH,
        "objective_na": 1.0,
    }
    sharp, blurred = (propagate(ri, MEDIUM, **keys, defocus_um=height) for height in (0.0, 2.0))
    ky, kx = (2 * np.pi * np.fft.fftfreq(n, d) for n, d in zip(LATERAL, PIXEL, strict=True))
    kz = np.sqrt(np.maximum(km**2 - ky[:, None] ** 2 - kx[None] ** 2, 0))
    np.testing.assert_allclose(np.fft.ifft2(np.fft.fft2(sharp) * np.exp(2j * (kz - km))), blurred, atol=1e-4)


def test_energy_is_kept_by_a_wide_pupil():
    voxel = (0.1, *PIXEL)
    ri = sphere_ri((48, *LATERAL), voxel, radius_um=2.0, sphere_index=1.36, medium_ri=MEDIUM)
    km = 2 * np.pi * MEDIUM / WAVELENGTH
    field = propagate(
        ri, MEDIUM, voxel_size_um=voxel, k_in=np.array([km, 0, 0]), wavelength_um=WAVELENGTH, objective_na=1.3
    )
    assert float(np.mean(np.abs(field) ** 2)) == pytest.approx(1, abs=0.01)


def test_optical_theorem_and_rayleigh_limit():
    """Lossless: total scattering from the forward amplitude; small: α = R³ (m² - 1) / (m² + 2) of a dipole."""
    keys = {"radius_um": 1.1, "sphere_index": 1.42, "medium_ri": MEDIUM, "wavelength_um": WAVELENGTH}
    nodes, weights = np.polynomial.legendre.leggauss(400)
    k = 2 * np.pi * MEDIUM / WAVELENGTH
    amplitude = sphere_scattering_amplitude(nodes, **keys, theory="scalar")
    total = 2 * np.pi * np.sum(weights * np.abs(amplitude) ** 2)
    forward = sphere_scattering_amplitude(np.array([1.0]), **keys, theory="scalar")[0]
    assert 4 * np.pi / k * forward.imag == pytest.approx(total, rel=1e-6)
    tiny = {**keys, "radius_um": 0.004}
    m2 = (1.42 / MEDIUM) ** 2
    dipole = k**2 * 0.004**3 * (m2 - 1) / (m2 + 2)
    found = sphere_scattering_amplitude(np.array([1.0]), **tiny, theory="mie")[0]
    assert found.real == pytest.approx(dipole, rel=2e-3)


def test_mie_against_its_printed_example():
    """Bohren & Huffman's worked case: x = 2π·0.525·1.0/0.6328, m = 1.55; Q_ext = 3.10543."""
    k = 2 * np.pi / 0.6328
    forward = sphere_scattering_amplitude(
        np.array([1.0]), radius_um=0.525, sphere_index=1.55, medium_ri=1.0, wavelength_um=0.6328, theory="mie"
    )[0]
    assert 4 * np.pi / k * forward.imag / (np.pi * 0.525**2) == pytest.approx(3.10543, abs=1e-5)


def test_exact_series_tend_to_born():
    keys = {"radius_um": 0.8, "sphere_index": MEDIUM + 1e-5, "medium_ri": MEDIUM, "wavelength_um": WAVELENGTH}
    cosine = np.linspace(0.5, 1, 7)
    born, scalar = (sphere_scattering_amplitude(cosine, **keys, theory=theory) for theory in ("born", "scalar"))
    np.testing.assert_allclose(scalar, born, atol=1e-3 * np.abs(born).max())


def test_sphere_on_a_grid_has_its_volume_and_spectrum():
    shape, voxel, radius = (61, 70, 77), (0.2, 0.15, 0.13), 3.1
    ball = (sphere_ri(shape, voxel, radius_um=radius, sphere_index=1.4, medium_ri=1.3) - 1.3) / 0.1
    volume = 4 / 3 * np.pi * radius**3
    assert float(ball.sum(dtype=np.float64) * np.prod(voxel)) == pytest.approx(volume, rel=2e-3)
    q = 2 * np.pi * np.arange(6) / (shape[1] * voxel[1])
    spectrum = np.abs(np.fft.fftn(ball)[0, :6, 0]) * np.prod(voxel)
    np.testing.assert_allclose(spectrum, np.abs(sphere_spectrum(q, radius)), atol=3e-3 * volume)


def test_projected_phase_by_hand():
    """R = 5, Δn = 0.02, λ = 0.5: 2·(2π/0.5)·0.02·5 in the middle, 3/5 of it 4 µm off, nothing outside."""
    phase = sphere_projection_phase(np.array([0.0, 4.0, 5.5]), radius_um=5.0, delta_n=0.02, wavelength_um=0.5)
    np.testing.assert_allclose(phase, [0.8 * np.pi, 0.48 * np.pi, 0], rtol=1e-12)


def test_waves_keep_their_length():
    """kz² + ky² + kx² = km² for every wave that travels; the others do not move along z."""
    km = 2 * np.pi / WAVELENGTH * MEDIUM
    k_in = np.array([np.sqrt(km**2 - 25.0), 3.0, 4.0])
    rate, transverse2 = axial_phase_rates(LATERAL, PIXEL, k_in, km)
    kz = rate + k_in[0]
    ky = 2 * np.pi * np.fft.fftfreq(LATERAL[0], PIXEL[0])[:, None] + 3.0
    kx = 2 * np.pi * np.fft.fftfreq(LATERAL[1], PIXEL[1])[None] + 4.0
    is_travelling = ky**2 + kx**2 < km**2
    assert 0 < is_travelling.sum() < is_travelling.size
    np.testing.assert_allclose((kz**2 + ky**2 + kx**2)[is_travelling], km**2)
    np.testing.assert_allclose(kz[~is_travelling], 0, atol=1e-12)
    assert rate[0, 0] == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(transverse2, ky**2 + kx**2)


def test_a_wedge_has_the_phase_of_its_thickness():
    """k0 · Δn · thickness, column by column: 0 to 6 planes of 0.4 µm and Δn = 0.03."""
    ri = np.full((6, 3, 7), MEDIUM)
    for column in range(7):
        ri[:column, :, column] += 0.03
    phase = project_phase(ri, MEDIUM, voxel_z_um=0.4, wavelength_um=0.5)
    expected = 2 * np.pi / 0.5 * 0.03 * 0.4 * np.arange(7)
    np.testing.assert_allclose(phase, np.broadcast_to(expected, (3, 7)), atol=1e-9)


def test_the_logarithm_of_a_field_is_unwrapped_and_zero_at_its_border():
    """exp(a + iφ) with φ up to 9 rad in the middle, and a constant of 4π that no interferometer can tell."""
    y, x = np.mgrid[-20:21, -20:21] / 20.0
    bump = np.exp(-6 * (y**2 + x**2)) - np.exp(-6.0)
    phase, amplitude = 9 * np.maximum(bump, 0), -0.2 * np.maximum(bump, 0)
    field = np.exp(amplitude + 1j * (phase + 4 * np.pi))[None].astype(np.complex64)
    np.testing.assert_allclose(scattered_phase(field)[0], amplitude + 1j * phase, atol=1e-4)
    np.testing.assert_allclose(scattered_phase(field, "born"), field - 1)
