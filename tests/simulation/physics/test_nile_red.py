"""Nile Red's colours, the microscope's resolution and the camera, against formulas and published numbers."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from tomocyte.simulation.instruments.nile_red import VARIANTS
from tomocyte.simulation.physics.emitters import add_tubes
from tomocyte.simulation.physics.nile_red import (
    RED_UM,
    SPECTRUM_SIGMA_UM,
    STRUCTURE_DYE,
    YELLOW_UM,
    NileRedInstrument,
    band_share,
    blurred,
    emission_ratio,
    from_other_planes,
    photographed,
    resolution_um,
)

DISK = VARIANTS["spinning-disk"]


def half_width(profile, step):
    """Full width at half maximum, linear between samples."""
    half = profile.max() / 2
    above = np.flatnonzero(profile >= half)
    first, last = above[0], above[-1]
    left = first - (profile[first] - half) / (profile[first] - profile[first - 1])
    right = last + (profile[last] - half) / (profile[last] - profile[last + 1])
    return (right - left) * step


@pytest.mark.parametrize("band", [YELLOW_UM, RED_UM])
@pytest.mark.parametrize("peak", [0.585, 0.65])
def test_the_share_of_a_band_is_the_integral_of_the_spectrum(band, peak):
    integral, _ = quad(lambda wavelength: norm.pdf(wavelength, peak, SPECTRUM_SIGMA_UM), *band)
    assert band_share(peak, band) == pytest.approx(integral, rel=1e-9)


def test_the_order_of_the_colours_is_the_published_one():
    """Oil, ordered membrane, disordered membrane, water: from yellow to red."""
    order = ["lipid_droplet", "plasma_membrane", "late_endosome", "endoplasmic_reticulum", "mitochondrion", "cytosol"]
    ratios = [emission_ratio(name) for name in order]
    assert ratios == sorted(ratios)
    assert len({round(emission_ratio(name, ratio_contrast=0.0), 9) for name in STRUCTURE_DYE}) == 1
    half = emission_ratio("mitochondrion", ratio_contrast=0.5)
    assert emission_ratio("mitochondrion", ratio_contrast=0.0) < half < emission_ratio("mitochondrion")


def test_the_disk_resolves_about_120_nm_and_half_a_micrometre():
    axial, lateral = resolution_um(DISK, (0.616, 0.616))
    assert lateral == pytest.approx(0.51 * 0.616 / 1.49 / 2)  # half of wide field
    assert axial == pytest.approx(0.88 * 0.488 / (1.515 - np.sqrt(1.515**2 - 1.36**2)))
    on_camera = np.hypot(lateral, 2.355 * 0.0668 / np.sqrt(12))
    assert 0.11 < on_camera < 0.125
    assert 0.4 < axial < 0.52
    assert resolution_um(VARIANTS["STED"], YELLOW_UM)[1] < 0.07
    assert resolution_um(VARIANTS["SIM"], YELLOW_UM)[0] < 0.35


@pytest.mark.parametrize("step", [(0.1, 0.02, 0.02), (0.15, 0.03, 0.03)])
def test_a_point_is_as_wide_as_the_formula_and_the_pixel(step):
    shape = (48, 96, 96)
    light = np.zeros((1, *shape), np.float32)
    middle = 0.5 * np.array(shape) * step
    maps = np.column_stack([np.diag(1 / np.array(step)), [-0.5] * 3])[None]
    ball = np.concatenate([middle, middle, [1e-9]])[None]
    add_tubes(light, maps, ball, np.array([[0, 1.0, 1e20]]), rng=np.random.default_rng(2))
    axial, lateral = resolution_um(DISK, YELLOW_UM)
    image = blurred(light[0], (axial, lateral), step)
    assert image.sum() == pytest.approx(light.sum(), rel=0.02)
    second = [
        np.sqrt(_variance(image.sum(axis=tuple(other for other in range(3) if other != axis)))) * step[axis] * 2.3548
        for axis in range(3)
    ]
    pixel = 2.3548 * step[1] / np.sqrt(12)
    # a point on the corner of eight voxels is widened by a quarter of a voxel², not by the mean of a sixth
    corner = 2.3548**2 * (0.25 - 1 / 6)
    assert second[0] == pytest.approx(np.sqrt(axial**2 + corner * step[0] ** 2), rel=0.03)
    assert second[1] == pytest.approx(np.sqrt(lateral**2 + pixel**2 + corner * step[1] ** 2), rel=0.03)
    if step[1] == 0.02:
        assert half_width(image[24, 48], step[2]) == pytest.approx(np.hypot(lateral, pixel), rel=0.05)
        assert half_width(image[:, 48, 48], step[0]) == pytest.approx(axial, rel=0.05)


def _variance(profile):
    index = np.arange(len(profile))
    mean = (profile * index).sum() / profile.sum()
    return (profile * (index - mean) ** 2).sum() / profile.sum()


def test_light_of_other_planes_is_what_the_pinholes_let_through():
    """A lit plane of a wide field: every other plane gets share · step of it, itself nothing."""
    light = np.zeros((7, 80, 96), np.float32)
    light[2] = 5.0
    haze = from_other_planes(light, (0.5, 0.1, 0.1), DISK, share_per_um=0.02)
    assert haze[[0, 1, 3, 6]] == pytest.approx(np.full((4, 80, 96), 5 * 0.02 * 0.5), rel=1e-4)
    assert haze[2] == pytest.approx(np.zeros((80, 96)))


def test_out_of_focus_light_spreads_with_the_distance():
    light = np.zeros((9, 160, 160), np.float32)
    light[0, 78:82, 78:82] = 1.0
    haze = from_other_planes(light, (0.5, 0.1, 0.1), DISK, share_per_um=0.02)
    near, far = (_variance(haze[plane].sum(axis=0)) for plane in (2, 4))
    aperture = 1.36 / 1.515
    slope = 0.5 * aperture / np.sqrt(1 - aperture**2) / 0.1  # voxels of sigma per µm
    assert far - near == pytest.approx(slope**2 * (2.0**2 - 1.0**2), rel=0.08)


def test_the_camera_counts_photons():
    camera = NileRedInstrument(electrons_per_count=1.25, read_noise_electrons=3.0, offset_counts=200.0)
    counts = photographed(np.full((4, 300, 300), 400.0, np.float32), camera, np.random.default_rng(1))
    assert counts.mean() == pytest.approx(200 + 400 / 1.25, rel=1e-3)
    assert counts.var() == pytest.approx((400 + 9) / 1.25**2 + 1 / 12, rel=0.02)
    assert (counts == np.rint(counts)).all()
    bright = photographed(np.full((1, 4, 4), 2e5, np.float32), camera, np.random.default_rng(1))
    assert (bright == 65535).all()
