"""The Fourier support against its analytic boundary and a brute-force union of caps."""

import numpy as np
import pytest

from tomocyte.errors import SettingsError
from tomocyte.simulation.instruments.odt import VARIANTS as TOMOGRAPHS
from tomocyte.simulation.physics.fourier_support import (
    MIN_COVERAGE,
    angular_frequencies,
    cap_points,
    fourier_coverage,
    illumination_vectors,
    splat_cap,
    symmetrize_half_grid,
)
from tomocyte.simulation.physics.optics import (
    OdtInstrument,
    QpiInstrument,
    band_limit_per_um,
    check_odt,
    check_qpi,
    nyquist_voxel_um,
)

MEDIUM = 1.337
FINE = (0.21, 0.1, 0.105)


def frequencies(shape, voxel_size_um):
    axes = [angular_frequencies(size, step) for size, step in zip(shape, voxel_size_um, strict=True)]
    axes[2] = np.abs(axes[2][: shape[2] // 2 + 1])
    return np.meshgrid(*axes, indexing="ij")


def test_cutoffs_are_those_of_ewald():
    """Lateral k0 (NA + n sinθ) and axial km (1 - cos) of both ends, from the formulas of the textbook."""
    instrument = TOMOGRAPHS["HT-2H"]
    k0 = 2 * np.pi / 0.532
    shape = (96, 250, 244)
    measured = fourier_coverage(shape, MEDIUM, voxel_size_um=FINE, instrument=instrument) >= MIN_COVERAGE
    qz, qy, qx = frequencies(shape, FINE)
    bins = [2 * np.pi / (size * step) for size, step in zip(shape, FINE, strict=True)]
    lateral = k0 * (1.2 + 1.3295 * np.sin(np.deg2rad(64.5)))
    assert lateral - 1.5 * bins[1] < np.hypot(qy, qx)[measured].max() <= lateral + 1e-6
    # From straight light to the rim of the pupil, or back: km - sqrt(km² - k0² NA²).
    axial = k0 * (MEDIUM - np.sqrt(MEDIUM**2 - 1.2**2))
    assert abs(np.abs(qz)[measured].max() - axial) <= bins[0]
    assert band_limit_per_um(instrument, MEDIUM) == pytest.approx((axial, lateral, lateral), rel=1e-4)


def test_every_bin_lies_on_a_cap_of_some_beam():
    """Independent of the splatting: a measured q has |k_in + q| = km within half a plane, inside the pupil."""
    instrument = OdtInstrument(n_azimuths=7, objective_na=1.0, illumination_polar_deg=40)
    shape = (40, 72, 66)
    measured = fourier_coverage(shape, MEDIUM, voxel_size_um=FINE, instrument=instrument) >= MIN_COVERAGE
    q = np.stack(frequencies(shape, FINE), axis=-1)
    k0, plane = 2 * np.pi / 0.532, 2 * np.pi / (shape[0] * FINE[0])
    expected = np.zeros(measured.shape, bool)
    widest = np.zeros(measured.shape, bool)
    for k_in in illumination_vectors(instrument, MEDIUM):
        for sign in (1, -1):
            out = k_in + sign * q
            transverse = np.hypot(out[..., 1], out[..., 2])
            in_pupil = transverse <= k0 * 1.0
            gap = np.abs(out[..., 0] - np.sqrt(np.maximum((k0 * MEDIUM) ** 2 - transverse**2, 0)))
            expected |= in_pupil & (gap < 0.49 * plane)
            widest |= in_pupil & (gap < 1.0 * plane)
    inner = np.ones(measured.shape, bool)
    inner[:, 36] = inner[:, :, 33] = inner[20] = False  # the Nyquist planes belong to both signs
    assert not np.any(expected & ~measured & inner)
    assert not np.any(measured & ~widest & inner)


def test_support_is_hermitian_and_coverage_counts_beams():
    shape = (24, 64, 61)
    coverage = fourier_coverage(shape, MEDIUM, voxel_size_um=FINE, instrument=TOMOGRAPHS["HT-2H"])
    plane = coverage[:, :, 0]
    np.testing.assert_array_equal(plane, np.roll(plane[::-1, ::-1], (1, 1), (0, 1)))
    # Unscattered light: every one of the 49 beams meets q = 0, once as q and once as -q.
    assert coverage[0, 0, 0] == pytest.approx(2 * 49, abs=1e-3)


def test_missing_cone_of_steered_beams():
    """Along the optical axis nothing but q = 0 is measured; across it, slow frequencies are."""
    shape = (64, 128, 120)
    measured = fourier_coverage(shape, MEDIUM, voxel_size_um=FINE, instrument=TOMOGRAPHS["HT-2H"]) >= MIN_COVERAGE
    assert measured[0, 0, 0]
    assert not measured[2:32, 0, 0].any()
    assert measured[0, 0, :6].all()
    assert measured[0, :6, 0].all()


def test_apple_core_and_disc_of_rotation():
    """Radius of the core km - sqrt(km² - qy²), of the disc sqrt(2 km (km - kz)), from the geometry of a turned cap."""
    instrument = TOMOGRAPHS["HL60-rotation"].model_copy(update={"objective_na": 1.1})
    shape, voxel = (96, 90, 96), (0.15, 0.14, 0.15)
    measured = fourier_coverage(shape, 1.335, voxel_size_um=voxel, instrument=instrument) >= MIN_COVERAGE
    qz, qy, qx = frequencies(shape, voxel)
    km = 2 * np.pi / 0.647 * 1.335
    radius = np.hypot(qz, qx)
    step = 2 * np.pi / (96 * 0.15)
    core = km - np.sqrt(np.maximum(km**2 - qy**2, 0))
    assert not measured[radius < core - 0.51 * step].any()
    disc = band_limit_per_um(instrument, 1.335)[0]
    assert radius[measured].max() == pytest.approx(disc, abs=1.5 * step)
    assert measured[(radius < 0.9 * disc) & (np.abs(qy) < step / 4)].all()


def test_fewer_beams_measure_less():
    shape = (32, 96, 90)
    shares = [
        np.mean(
            fourier_coverage(shape, MEDIUM, voxel_size_um=FINE, instrument=OdtInstrument(n_azimuths=n)) >= MIN_COVERAGE
        )
        for n in (4, 12, 48)
    ]
    assert shares[0] < shares[1] < shares[2]


@pytest.mark.parametrize(
    ("instrument", "medium", "voxel", "code", "cure"),
    [
        (OdtInstrument(objective_na=1.2), 1.19, FINE, "E-OPTICS-NA", "denser medium"),
        (OdtInstrument(objective_na=1.34), 1.337, FINE, "E-OPTICS-NA", "aperture below"),
        (OdtInstrument(objective_na=0.8), 1.337, FINE, "E-OPTICS-ILLUMINATION", "at most 36.99"),
        (OdtInstrument(illumination_polar_deg=80), 1.337, FINE, "E-OPTICS-ILLUMINATION", "at most 64.5"),
        (OdtInstrument(), 1.337, (0.2, 0.1, 0.2), "E-OPTICS-NYQUIST", "0.11"),
        (OdtInstrument(), 1.337, (0.5, 0.1, 0.1), "E-OPTICS-NYQUIST", "is_coarse_grid_allowed"),
        (OdtInstrument(), 0.01, FINE, "E-OPTICS-MEDIUM", "1.337"),
        (OdtInstrument(), float("nan"), FINE, "E-OPTICS-MEDIUM", "1.337"),
    ],
)
def test_impossible_optics_are_refused_with_a_cure(instrument, medium, voxel, code, cure):
    with pytest.raises(SettingsError, match=code) as caught:
        check_odt(instrument, medium, voxel)
    assert cure in caught.value.cure


def test_the_cure_works():
    """The voxel size named in the message is accepted, and the angle too."""
    nyquist = nyquist_voxel_um(OdtInstrument(), MEDIUM)
    assert nyquist[1] == pytest.approx(0.532 / (2 * 2.4), rel=1e-4)
    check_odt(OdtInstrument(), MEDIUM, nyquist)
    check_odt(OdtInstrument(objective_na=0.8, illumination_polar_deg=36.99), MEDIUM, FINE)
    check_odt(OdtInstrument(is_coarse_grid_allowed=True), MEDIUM, (0.39, 0.2, 0.19))


def test_phase_microscope_is_checked():
    with pytest.raises(SettingsError, match="E-OPTICS-NYQUIST") as caught:
        check_qpi(QpiInstrument(wavelength_um=0.6, objective_na=0.5), MEDIUM, (1.0, 0.5, 0.61))
    assert "0.6 µm" in caught.value.cure
    with pytest.raises(SettingsError, match="E-OPTICS-NA"):
        check_qpi(QpiInstrument(objective_na=1.4), MEDIUM, FINE)


def test_samples_of_a_cap_lie_on_the_ewald_sphere_and_their_weights_sum_to_one():
    """|k_in + q| = km; a sample is split between two planes by its distance, mirrored where the half grid ends."""
    k0 = 2 * np.pi / 0.532
    km, shape, size = k0 * MEDIUM, (64, 48, 50), (0.4, 0.15, 0.16)
    k_in = np.array([np.sqrt(km**2 - 6.0**2), 3.6, 4.8])
    points = cap_points(shape[1:], size[1:], k_in, km=km, k_pupil=k0 * 0.9)
    qy = angular_frequencies(shape[1], size[1])[points.row]
    qx = angular_frequencies(shape[2], size[2])[points.column]
    out = np.stack([points.qz, qy, qx], axis=1) + k_in
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), km)
    assert np.hypot(out[:, 1], out[:, 2]).max() <= k0 * 0.9 * (1 + 1e-6)
    total, centre = np.zeros(len(points.qz)), np.zeros(len(points.qz))
    planes = angular_frequencies(shape[0], size[0])
    for (plane, row, column), weight, selection, is_mirrored in splat_cap(points, shape, size[0]):
        sign = -1 if is_mirrored else 1
        total[selection] += weight
        centre[selection] += weight * sign * planes[plane]
        assert column.max(initial=0) <= shape[2] // 2
        np.testing.assert_array_equal(row, (sign * points.row[selection]) % shape[1])
        np.testing.assert_array_equal(column, (sign * points.column[selection]) % shape[2])
    np.testing.assert_allclose(total, 1)
    np.testing.assert_allclose(centre, points.qz, atol=1e-9)  # the centre of gravity of the two planes


@pytest.mark.parametrize("n_columns", [6, 7])
def test_a_symmetrised_half_grid_is_that_of_a_real_volume(n_columns):
    """What is added to the self-mirrored columns is what numpy finds in the real part of the inverse transform."""
    rng = np.random.default_rng(n_columns)
    shape = (4, 5, n_columns)
    half = rng.normal(size=(4, 5, n_columns // 2 + 1)) + 1j * rng.normal(size=(4, 5, n_columns // 2 + 1))
    full = np.zeros(shape, complex)
    full[..., : n_columns // 2 + 1] = half
    expected = np.fft.rfftn(2 * np.fft.ifftn(full).real)  # every sample and its mirrored conjugate
    symmetrize_half_grid(half, n_columns)
    np.testing.assert_allclose(half, expected, atol=1e-12)
