"""Soft X-ray tomograms against the projected sphere, counting statistics, the pupil's autocorrelation and symmetry."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.transform import radon

from tomocyte.errors import SettingsError
from tomocyte.simulation.physics.parallel_beam import WINDOWS, filter_response, filtered_backprojection, project
from tomocyte.simulation.physics.soft_xray import (
    NO_SXT_DEGRADATION,
    SxtDegradation,
    SxtInstrument,
    simulate_projections,
    simulate_sxt,
)
from tomocyte.simulation.physics.zone_plate import defocus_transfer, focus_transfer

FLAT = SxtInstrument(geometry="flat-holder", n_projections=131)


def sphere(shape, voxel, *, radius_um, value=1.0, center_um=(0.0, 0.0, 0.0), oversampling=4):
    """Exact up to 1 / 64 of a voxel: the share of sub-voxels inside."""
    axes = [
        ((np.arange(n * oversampling) + 0.5) / oversampling - n / 2) * step - center
        for n, step, center in zip(shape, voxel, center_um, strict=True)
    ]
    volume = np.zeros(shape, np.float32)
    for plane, heights in enumerate(axes[0].reshape(shape[0], oversampling)):
        for height in heights:
            is_inside = height**2 + axes[1][:, None] ** 2 + axes[2][None, :] ** 2 <= radius_um**2
            blocks = is_inside.reshape(shape[1], oversampling, shape[2], oversampling)
            volume[plane] += blocks.mean((1, 3)) * (value / oversampling)
    return volume


def tomogram(absorption, voxel, *, instrument=None, degradation=NO_SXT_DEGRADATION, seed=1):
    return simulate_sxt(
        absorption,
        voxel_size_um=voxel,
        instrument=instrument or SxtInstrument(),
        degradation=degradation,
        rng=np.random.default_rng(seed),
    )


@pytest.mark.parametrize("angle_deg", [0.0, 27.0, 45.0, 90.0, 171.0])
def test_line_integrals_of_a_sphere(angle_deg):
    """2 μ sqrt(R² - s²) to a hundredth of the peak two voxels from the rim, at any angle, off the axis."""
    shape, voxel, radius, offset = (20, 118, 132), (0.06, 0.05, 0.045), 2.0, 0.6
    volume = sphere(shape, voxel, radius_um=radius, value=0.7, center_um=(0.0, offset, -offset))
    across = np.ascontiguousarray(np.moveaxis(volume, 0, 2))
    angle = np.deg2rad(angle_deg)
    pixel, n_pixels = 0.045, 180
    image = project(across, angle, step_um=voxel[1:], pixel_um=pixel, n_pixels=n_pixels)[0]
    detector = (np.arange(n_pixels) - (n_pixels - 1) / 2) * pixel - offset * (np.sin(angle) - np.cos(angle))
    height = (np.arange(shape[0]) - (shape[0] - 1) / 2) * voxel[0]
    distance = np.hypot(detector[:, None], height[None, :])
    expected = 0.7 * 2 * np.sqrt(np.maximum(radius**2 - distance**2, 0))
    is_smooth = np.abs(distance - radius) > 0.12
    np.testing.assert_allclose(image[is_smooth], expected[is_smooth], atol=0.01 * expected.max())
    # what the detector loses nowhere: mass
    assert image.sum() * pixel == pytest.approx(volume.sum(dtype=np.float64) * voxel[1] * voxel[2], rel=1e-5)


def test_projection_agrees_with_scikit_image():
    """Another library's line integrals of a smooth plane, which interpolates where this one integrates."""
    plane = ndimage.gaussian_filter(np.random.default_rng(5).uniform(0, 1, (65, 65)), 4) - 0.4
    y, x = np.mgrid[-32:33, -32:33]
    plane *= np.hypot(y, x) < 22
    plane = ndimage.gaussian_filter(plane, 2, truncate=3).astype(np.float32)
    assert not plane[np.hypot(y, x) > 31].any()
    mine = project(plane[:, :, None], np.deg2rad(33), step_um=(1, 1), pixel_um=1, n_pixels=65)[0, :, 0]
    # scikit-image's y points down the other way round, so that its angle runs backwards
    np.testing.assert_allclose(mine, radon(plane, theta=[-33], circle=True)[:, 0], atol=0.01 * mine.max())


def test_depths_share_out_the_whole_integral():
    volume = np.random.default_rng(5).uniform(0, 1, (12, 14, 3)).astype(np.float32)
    options = {"step_um": (0.5, 0.5), "pixel_um": 0.5, "n_pixels": 20}
    together = project(volume, 0.4, **options)
    knots = project(volume, 0.4, **options, depth_step_um=0.7, n_depths=5)
    assert knots.shape == (5, 20, 3)
    np.testing.assert_allclose(knots.sum(0), together[0], rtol=1e-5)
    flat = np.zeros((12, 14, 3), np.float32)
    flat[6] = 1  # at depth 0.25 of a beam along the first axis: between knots 0 and 1 at 0.7
    first, second, *others = project(flat, 0.0, **options, depth_step_um=0.7, n_depths=5)
    np.testing.assert_allclose(second.sum() / (first.sum() + second.sum()), 0.25 / 0.7, rtol=1e-5)
    assert not np.any(others)


def test_a_flat_sample_has_no_ends():
    """A slab seen at a tilt is thickness over cosine, everywhere on the detector."""
    slab = np.zeros((20, 30, 2), np.float32)
    slab[8:12] = 0.5
    image = project(slab, np.deg2rad(60), step_um=(0.1, 0.1), pixel_um=0.1, n_pixels=30, is_extended=True)[0]
    np.testing.assert_allclose(image, 0.5 * 0.4 / np.cos(np.deg2rad(60)), rtol=1e-4)
    ends = project(slab, np.deg2rad(60), step_um=(0.1, 0.1), pixel_um=0.1, n_pixels=30)[0]
    assert ends[0].max() < 0.1 * image.max()


def test_coefficient_of_a_bead():
    """A polystyrene bead of 2 µm in water comes back within 2 %, and the water too."""
    shape, voxel = (40, 96, 96), (0.086, 0.086, 0.086)
    y, x = (np.mgrid[0:96, 0:96] - 47.5) * 0.086
    water = 0.11 * (np.hypot(y, x) < 3.6)
    bead = sphere(shape, voxel, radius_um=1.0, center_um=(0.0, 0.9, -0.7))
    absorption = water * (1 - bead) + 0.37 * bead
    image = tomogram(absorption, voxel)
    core = sphere(shape, voxel, radius_um=0.7, center_um=(0.0, 0.9, -0.7)) == 1
    is_water = (np.hypot(y, x) < 3.2) & (np.hypot(y - 0.9, x + 0.7) > 1.3)
    assert image[core].mean() == pytest.approx(0.37, rel=0.02)
    assert image[:, is_water].mean() == pytest.approx(0.11, rel=0.02)
    assert np.abs(image[:, np.hypot(y, x) > 4.0]).mean() < 0.005


def test_wedge_of_a_flat_holder():
    """A point's spectrum fills the tilts within ±65° and nothing else: |qz| <= |qx| tan 65°."""
    n = 64
    absorption = np.full((n, 4, n), 0.0, np.float32)
    absorption[n // 2 - 1 : n // 2 + 1, :, n // 2 - 1 : n // 2 + 1] = 0.01
    image = tomogram(absorption, (0.1, 0.1, 0.1), instrument=FLAT)
    power = np.abs(np.fft.fft2(image[:, 2])) ** 2
    qz, qx = np.meshgrid(np.fft.fftfreq(n), np.fft.fftfreq(n), indexing="ij")
    tilt = np.rad2deg(np.arctan2(np.abs(qz), np.abs(qx)))
    radius = np.hypot(qz, qx)
    is_ring = (radius > 0.1) & (radius < 0.3)  # away from the middle, where the wedge is narrower than a sample
    inside, outside = power[is_ring & (tilt < 62)].mean(), power[is_ring & (tilt > 68)].mean()
    assert outside < 0.01 * inside
    full = tomogram(np.moveaxis(absorption, 1, 0), (0.1, 0.1, 0.1), instrument=SxtInstrument(n_projections=131))
    power = np.abs(np.fft.fft2(full[2])) ** 2
    assert power[is_ring & (tilt > 68)].mean() == pytest.approx(power[is_ring & (tilt < 62)].mean(), rel=0.1)


def test_noise_is_that_of_counting():
    """σ² = (π/A)² A σ_p² ∫ |ν W|² (2 + cos 2πν) / 3 dν / Δs², with σ_p² = 1 / N of an empty field."""
    n, step, photons, n_projections = 64, 0.05, 400.0, 90
    instrument = SxtInstrument(n_projections=n_projections, pixel_um=0.025)
    degradation = NO_SXT_DEGRADATION.model_copy(update={"photons_per_pixel": photons})
    image = tomogram(np.zeros((30, n, n)), (step,) * 3, instrument=instrument, degradation=degradation)
    frequency = (np.arange(4000) + 0.5) / 8000
    ramp = frequency * 0.5 * (1 + np.cos(2 * np.pi * frequency))
    integral = 2 * np.mean(ramp**2 * (2 + np.cos(2 * np.pi * frequency)) / 3) / 2
    binned = photons * (step / 0.025) ** 2
    expected = np.sqrt((np.pi / n_projections) ** 2 * n_projections / binned * integral) / step
    assert image[:, 16:48, 16:48].std() == pytest.approx(expected, rel=0.03)
    assert abs(image.mean()) < 0.05 * expected


def test_projections_count_photons():
    """Behind a slab of optical depth 1 the variance of the depth is e / N, and the mean stays 1."""
    slab = np.full((40, 20, 60), 0.5, np.float32)
    degradation = NO_SXT_DEGRADATION.model_copy(update={"photons_per_pixel": 5000.0})
    depth = simulate_projections(
        slab,
        voxel_size_um=(0.1, 0.1, 0.1),
        instrument=SxtInstrument(n_projections=2, pixel_um=0.1, view_um=3.0),
        degradation=degradation,
        rng=np.random.default_rng(2),
    )[0]
    assert depth.shape == (30, 40)
    assert depth.mean() == pytest.approx(1, abs=0.005)
    assert depth.var() == pytest.approx(np.e / 5000, rel=0.15)


def test_turning_the_sample_turns_the_tomogram():
    """A quarter turn is 23 of 46 projections."""
    absorption = ndimage.gaussian_filter(np.random.default_rng(5).uniform(0, 1, (6, 48, 48)), 2).astype(np.float32)
    instrument = SxtInstrument(n_projections=46)
    image = tomogram(absorption, (0.1, 0.1, 0.1), instrument=instrument)
    turned = tomogram(np.rot90(absorption, axes=(1, 2)), (0.1, 0.1, 0.1), instrument=instrument)
    np.testing.assert_allclose(turned, np.rot90(image, axes=(1, 2)), atol=1e-3 * image.max())


def test_coefficients_do_not_depend_on_the_voxel():
    voxels = {0.1: (20, 60, 60), 0.15: (14, 40, 40)}
    means = []
    for step, shape in voxels.items():
        image = tomogram(sphere(shape, (step,) * 3, radius_um=1.0, value=0.3), (step,) * 3)
        means.append(image[sphere(shape, (step,) * 3, radius_um=0.6) == 1].mean())
    assert means[0] == pytest.approx(means[1], rel=0.01)


def test_a_sample_wider_than_the_view():
    """Glass beside the field adds a smooth veil inside it; details keep their contrast (local tomography)."""
    y, x = (np.mgrid[0:120, 0:120] - 59.5) * 0.1
    glass = 0.6 * ((np.hypot(y, x) > 4.2) & (np.hypot(y, x) < 5.0))
    wide = np.repeat((glass + 0.2 * (np.hypot(y - 1, x) < 0.6))[None], 4, 0)
    truth = tomogram(wide, (0.1, 0.1, 0.1))[2]
    seen = tomogram(wide, (0.1, 0.1, 0.1), instrument=SxtInstrument(view_um=6.0))[2]
    is_detail, is_around = np.hypot(y - 1, x) < 0.4, (np.hypot(y - 1, x) > 0.9) & (np.hypot(y - 1, x) < 1.2)
    contrast = seen[is_detail].mean() - seen[is_around].mean()
    assert contrast == pytest.approx(truth[is_detail].mean() - truth[is_around].mean(), rel=0.05)
    difference = (seen - truth)[np.hypot(y, x) < 2.7]
    assert np.abs(difference).mean() > 0.02  # the coefficient itself is not known any more
    assert difference.std() < 0.02


def test_rings_are_circles_unless_the_sample_moves():
    """A fixed pattern makes circles (two halves over 180°); moving between projections breaks them up."""
    rings = NO_SXT_DEGRADATION.model_copy(update={"ring_depth_std": 0.05})
    moved = rings.model_copy(update={"misalignment_um": 1.0})
    y, x = np.mgrid[0:64, 0:64] - 31.5
    ring = np.round(np.hypot(y, x)).astype(int)

    def share_on_circles(degradation):
        plane = tomogram(np.zeros((3, 64, 64)), (0.1,) * 3, degradation=degradation)[1]
        is_used = (ring > 8) & (ring < 28)
        means = np.bincount(ring[is_used], plane[is_used]) / np.maximum(np.bincount(ring[is_used]), 1)
        return means[ring[is_used]].var() / plane[is_used].var()

    assert share_on_circles(rings) > 0.4
    assert share_on_circles(moved) < 0.1


def test_residual_movement_blurs():
    still = tomogram(sphere((16, 64, 64), (0.1,) * 3, radius_um=1.2, value=0.3), (0.1,) * 3)
    moved = tomogram(
        sphere((16, 64, 64), (0.1,) * 3, radius_um=1.2, value=0.3),
        (0.1,) * 3,
        degradation=NO_SXT_DEGRADATION.model_copy(update={"residual_um": 0.2}),
    )
    assert np.abs(np.diff(moved[8], axis=1)).max() < 0.8 * np.abs(np.diff(still[8], axis=1)).max()


def test_stray_light_hides_absorption():
    """A share b of light that never passed: -ln((1 - b) e^-d + b)."""
    slab = np.full((10, 10, 60), 1.0, np.float32)
    depth = simulate_projections(
        slab,
        voxel_size_um=(0.1, 0.2, 0.1),
        instrument=SxtInstrument(n_projections=2, view_um=2.0),
        degradation=NO_SXT_DEGRADATION.model_copy(update={"stray_share": 0.1}),
        rng=np.random.default_rng(0),
    )[0]
    np.testing.assert_allclose(depth[10], -np.log(0.9 * np.exp(-2) + 0.1), rtol=0.01)


@pytest.mark.parametrize("defocus_um", [0.0, 1.5, 3.0, 6.0])
def test_response_of_the_zone_plate(defocus_um):
    """Against the autocorrelation of a pupil with a quadratic phase, computed on a grid."""
    wavelength, zone, n = 0.0024, 0.06, 512
    aperture = wavelength / (2 * zone)
    frequency = np.fft.fftfreq(n, 0.01)  # 1/µm; the pupil ends at NA / λ = 8.3
    fy, fx = np.meshgrid(frequency, frequency, indexing="ij")
    radius = np.hypot(fy, fx)
    pupil = (radius < aperture / wavelength) * np.exp(1j * np.pi * wavelength * defocus_um * radius**2)
    transfer = np.fft.fft2(np.abs(np.fft.ifft2(pupil)) ** 2).real
    transfer /= transfer[0, 0]
    along = frequency[: n // 2]
    closed = focus_transfer(along, zone) * defocus_transfer(
        along, defocus_um, outermost_zone_um=zone, wavelength_um=wavelength
    )
    np.testing.assert_allclose(closed, transfer[0, : n // 2], atol=0.03)


def test_instrument_in_numbers():
    """517 eV is 2.398 nm; 60 nm zones: 4 dr² / λ = 6.0 µm."""
    instrument = SxtInstrument()
    assert instrument.wavelength_um == pytest.approx(2.398e-3, rel=1e-3)
    assert instrument.depth_of_field_um == pytest.approx(6.0, abs=0.01)
    assert np.rad2deg(instrument.angles_rad[[0, 46]]) == pytest.approx([0, 90])
    assert np.rad2deg(FLAT.angles_rad[[0, 65, 130]]) == pytest.approx([-65, 0, 65])


@pytest.mark.parametrize("window", WINDOWS)
def test_filter_is_a_ramp(window):
    """|ν| at low frequencies, its own curve above, nothing beyond the cut-off."""
    frequency = np.fft.rfftfreq(512)
    response = filter_response(512, window, 0.5)
    assert response[5] == pytest.approx(frequency[5], rel=0.02)
    assert not response[frequency > 0.2501].any()
    if window == "ramp":
        np.testing.assert_allclose(response[1:120], frequency[1:120], atol=1e-3)


def test_same_seed_same_tomogram():
    volume = sphere((8, 24, 24), (0.1,) * 3, radius_um=0.8, value=0.3)
    first, again, other = (tomogram(volume, (0.1,) * 3, degradation=SxtDegradation(), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.dtype == np.float32
    assert first.flags.c_contiguous


@pytest.mark.parametrize(
    ("volume", "code"),
    [
        (np.full((4, 8, 8), -0.1), "E-ABSORPTION"),
        (np.full((4, 8, 8), np.nan), "E-ABSORPTION"),
        (np.full((4, 8, 8), np.inf), "E-ABSORPTION"),
        (np.zeros((8, 8)), "E-AXES"),
    ],
)
def test_refuses_what_is_no_absorption(volume, code):
    with pytest.raises(SettingsError) as problem:
        tomogram(volume, (0.1, 0.1, 0.1))
    assert problem.value.code == code


def test_backprojection_of_exact_line_integrals():
    """A disc's analytic projections give back its value, and nothing outside."""
    n, step = 81, 0.1
    detector = (np.arange(n) - 40) * step
    chords = (0.6 * np.sqrt(np.maximum(4 - detector**2, 0))).astype(np.float32)
    angles = np.arange(200) * np.pi / 200
    volume = filtered_backprojection(
        np.repeat(chords[None, :, None], 200, 0),
        angles,
        shape=(n, n),
        step_um=(step, step),
        pixel_um=step,
        weight_rad=np.pi / 200,
    )[:, :, 0]
    distance = np.hypot(detector[:, None], detector[None, :])
    np.testing.assert_allclose(volume[distance < 1.7], 0.3, rtol=0.02)
    np.testing.assert_allclose(volume[(distance > 2.3) & (distance < 3.9)], 0, atol=0.006)
