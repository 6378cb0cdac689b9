"""The stain against the analytic blurred ball, the diffraction pattern, and the statistics of a camera."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, special

from tomocyte.errors import MetadataError, SettingsError
from tomocyte.evaluation.counts import dice
from tomocyte.simulation import SceneSettings, render_scene, simulate_scene
from tomocyte.simulation.physics.stain import (
    STAINS,
    StainMaskSettings,
    StainSettings,
    psf_sigma_um,
    simulate_stain,
    stain_mask,
)
from tomocyte.volume import VoxelSize

CLEAN: dict[str, Any] = {
    "haze_share": 0,
    "texture_share": 0,
    "nucleus_variation": 0,
    "leak_share": 0,
    "background_share": 0,
    "read_noise_electrons": 0,
    "signal_photons": 1e6,
}
SIZE: VoxelSize = (0.3, 0.2, 0.16)


def ball(shape: tuple[int, int, int], size: VoxelSize, radius_um: float) -> NDArray[np.uint8]:
    axes = [(np.arange(n) - n / 2 + 0.5) * step for n, step in zip(shape, size, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    return (z**2 + y**2 + x**2 <= radius_um**2).astype(np.uint8)


def blurred_ball(r: float, radius: float, sigma: float) -> float:
    """A ball of 1 convolved with a Gaussian, at distance r from its centre."""
    root = math.sqrt(2) * sigma
    inside = special.erf((radius + r) / root) + special.erf((radius - r) / root)
    shell = math.exp(-(((radius - r) / root) ** 2)) - math.exp(-(((radius + r) / root) ** 2))
    return float(inside / 2 - sigma / (r * math.sqrt(2 * math.pi)) * shell)


@pytest.mark.parametrize(("radius", "sigma"), [(3.0, 0.4), (3.5, 0.6), (2.2, 0.35)])
def test_mask_of_a_ball_has_the_volume_of_the_blurred_balls_half_maximum(radius: float, sigma: float) -> None:
    truth = ball((30, 44, 52), SIZE, radius)
    settings = StainSettings(**CLEAN, blur_factor=0)
    stain = simulate_stain(truth, truth, SIZE, settings=settings, rng=np.random.default_rng(3))
    mask = stain_mask(stain, SIZE, settings=StainMaskSettings(smoothing_um=sigma))
    # Half of the value inside moves the surface by about sigma²/R inwards.
    shrunk = optimize.brentq(lambda r: blurred_ball(r, radius, sigma) - 0.5, 0.2 * radius, 1.5 * radius)
    assert shrunk == pytest.approx(radius - sigma**2 / radius, abs=0.08 * sigma)
    expected = 4 / 3 * math.pi * shrunk**3
    assert mask.sum() * math.prod(SIZE) == pytest.approx(expected, rel=0.03)
    assert expected < 0.99 * 4 / 3 * math.pi * radius**3


@pytest.mark.parametrize(("aperture", "ri", "emission"), [(1.2, 1.333, 0.461), (0.8, 1.0, 0.6)])
def test_psf_has_the_curvature_of_the_paraxial_pattern(aperture: float, ri: float, emission: float) -> None:
    settings = StainSettings(numerical_aperture=aperture, immersion_ri=ri, emission_um=emission)
    lateral, axial = psf_sigma_um(settings)
    k, step = 2 * math.pi / emission, 1e-3
    v = k * aperture * step
    airy = (2 * special.j1(v) / v) ** 2
    u = k * aperture**2 / ri * step
    along = np.sinc(u / 4 / math.pi) ** 2
    assert lateral == pytest.approx(step / math.sqrt(-2 * math.log(airy)), rel=1e-3)
    assert axial == pytest.approx(step / math.sqrt(-2 * math.log(along)), rel=1e-3)


def test_one_voxel_spreads_by_the_psf() -> None:
    point = np.zeros((41, 43, 45), np.uint8)
    point[20, 21, 22] = 1
    settings = StainSettings(**CLEAN, blur_factor=1.0, emission_um=0.8, offset_counts=0)
    image = simulate_stain(point, point * 0, (0.12, 0.05, 0.04), settings=settings, rng=np.random.default_rng(0))
    lateral, axial = psf_sigma_um(settings)
    for axis, (size, sigma) in enumerate(zip((0.12, 0.05, 0.04), (axial, lateral, lateral), strict=True)):
        profile = image.sum(axis=tuple({0, 1, 2} - {axis}), dtype=np.float64)
        place = (np.arange(len(profile)) - np.argmax(profile)) * size
        assert math.sqrt((profile * place**2).sum() / profile.sum()) == pytest.approx(sigma, rel=0.03)


def test_camera_has_poisson_and_read_noise() -> None:
    inside = np.ones((6, 60, 70), np.uint8)
    settings = StainSettings(**{**CLEAN, "signal_photons": 150, "read_noise_electrons": 7}, blur_factor=0)
    counts = simulate_stain(inside, inside, SIZE, settings=settings, rng=np.random.default_rng(4)).astype(np.float64)
    assert counts.mean() == pytest.approx(100 + 150, abs=4 * math.sqrt(199 / counts.size))
    assert counts.var() == pytest.approx(150 + 49, rel=0.04)


def test_texture_keeps_the_mean_and_has_the_spread_asked_for() -> None:
    inside = np.ones((20, 50, 60), np.uint8)
    settings = StainSettings(**{**CLEAN, "texture_share": 0.3}, blur_factor=0, offset_counts=0)
    light = simulate_stain(inside, inside, SIZE, settings=settings, rng=np.random.default_rng(5)) / 1e6
    assert light.mean() == pytest.approx(1, abs=0.03)
    assert np.log(light).std() == pytest.approx(0.3, rel=0.02)


def test_nucleoli_leak_and_medium_have_their_shares() -> None:
    nucleus, cell = np.zeros((10, 60, 70), np.uint16), np.zeros((10, 60, 70), np.uint16)
    cell[:, :, :40], nucleus[:, :, :20] = 5, 9
    nucleolus = (nucleus > 0) & (np.arange(60)[:, None] < 30)
    settings = StainSettings(
        **{**CLEAN, "leak_share": 0.1, "background_share": 0.02}, blur_factor=0, offset_counts=0, nucleolus_share=0.4
    )
    rng = np.random.default_rng(6)
    light = simulate_stain(nucleus, cell, SIZE, settings=settings, rng=rng, nucleolus_labels=nucleolus) / 1e6
    found = [light[5, 10, 10], light[5, 50, 10], light[5, 50, 30], light[5, 50, 60]]
    assert found == pytest.approx([0.4, 1.0, 0.1, 0.02], abs=0.005)


@pytest.mark.parametrize(("name", "low"), [("dapi", 0.97), ("hoechst", 0.94)])
def test_mask_of_a_simulated_cell_is_near_but_not_the_exact_one(name: str, low: float) -> None:
    size: VoxelSize = (0.39, 0.195, 0.2)
    extent = (0.39 * 64, 0.195 * 176, 0.2 * 184)
    scene = simulate_scene(
        "MDA-MB-231",
        2,
        extent_um=extent,
        settings=SceneSettings(mitotic_share=0, apoptotic_share=0),
        rng=np.random.default_rng(8),
    )
    labels = render_scene(scene, size, (64, 176, 184)).labels
    nucleus, cell = labels["nucleus"], labels["cell"]
    rng = np.random.default_rng(9)
    stain = simulate_stain(nucleus, cell, size, settings=STAINS[name], rng=rng, nucleolus_labels=labels["nucleolus"])
    assert low < dice(nucleus, stain_mask(stain, size)) < 0.999
    again = simulate_stain(
        nucleus,
        cell,
        size,
        settings=STAINS[name],
        rng=np.random.default_rng(9),
        nucleolus_labels=labels["nucleolus"],
    )
    assert np.array_equal(stain, again)


@pytest.mark.parametrize("name", list(STAINS))
@pytest.mark.parametrize("has_cell", [True, False])
@pytest.mark.parametrize("method", ["half-maximum", "otsu"])
def test_without_nuclei_the_mask_is_empty(name: str, has_cell: bool, method: Any) -> None:
    cell = np.zeros((12, 60, 70), np.uint8)
    cell[3:9, 10:50, 10:60] = has_cell
    stain = simulate_stain(cell * 0, cell, SIZE, settings=STAINS[name], rng=np.random.default_rng(2))
    assert not stain_mask(stain, SIZE, settings=StainMaskSettings(method=method)).any()


def test_a_field_full_of_cytoplasm_does_not_hide_its_nuclei() -> None:
    """More than half of the field is stained cytoplasm: the spread of two levels is no noise."""
    cell = np.ones((30, 44, 52), np.uint8)
    cell[:, :20] = 0
    nucleus = ball((30, 44, 52), SIZE, 2.5)
    stain = simulate_stain(nucleus, cell, SIZE, settings=STAINS["hoechst"], rng=np.random.default_rng(2))
    assert dice(nucleus, stain_mask(stain, SIZE)) > 0.9


def test_wrong_input_is_refused() -> None:
    labels, rng = np.zeros((4, 5, 6), np.uint8), np.random.default_rng(0)
    with pytest.raises(SettingsError, match="E-SHAPE"):
        simulate_stain(labels, labels[1:], SIZE, settings=STAINS["dapi"], rng=rng)
    with pytest.raises(MetadataError, match="E-VOXEL-SIZE"):
        simulate_stain(labels, labels, (0.0, 0.1, 0.1), settings=STAINS["dapi"], rng=rng)
    with pytest.raises(SettingsError, match="E-NAN"):
        stain_mask(np.full((4, 5, 6), np.nan), SIZE)
    with pytest.raises(SettingsError, match="E-SHAPE"):
        stain_mask(np.zeros((5, 6)), SIZE)
    assert not stain_mask(np.full((4, 5, 6), 7.0), SIZE).any()
