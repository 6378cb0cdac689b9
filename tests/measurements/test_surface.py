from __future__ import annotations

import math

import numpy as np
import pytest
from bodies import ball, disc, ellipsoid, torus
from mpmath import elliprg

from tomocyte.measurements._crofton import directions
from tomocyte.measurements.surface import (
    circularity,
    perimeter_um,
    sphericity,
    surface_area_um2,
    surface_to_volume_per_um,
)

ODT = (0.195, 0.098, 0.098)


def ellipsoid_area(a: float, b: float, c: float) -> float:
    """4π R_G(a²b², b²c², c²a²), Carlson's symmetric integral."""
    return float(4 * math.pi * elliprg((a * b) ** 2, (b * c) ** 2, (c * a) ** 2))


def mean_error(areas: list[float], truth: float) -> float:
    return float(np.mean(areas)) / truth - 1


@pytest.mark.parametrize(
    ("radius_um", "voxel", "n_trials", "bias"),
    [
        (0.5, ODT, 24, 0.02),
        (0.75, ODT, 12, 0.01),
        (1.0, ODT, 8, 0.01),
        (2.0, ODT, 4, 0.003),
        (1.0, (0.31, 0.17, 0.13), 12, 0.01),
        (2.0, (0.5, 0.1, 0.1), 4, 0.01),
        (1.0, (0.1, 0.1, 0.1), 8, 0.005),
    ],
)
def test_surface_of_spheres(make_region, radius_um, voxel, n_trials, bias) -> None:
    rng = np.random.default_rng(1)
    areas = [surface_area_um2(make_region(ball(radius_um, voxel, rng), voxel)) for _ in range(n_trials)]
    assert abs(mean_error(areas, 4 * math.pi * radius_um**2)) < bias


@pytest.mark.parametrize("axes", [(0.5, 0.8, 1.2), (1.0, 2.0, 2.8)])
@pytest.mark.parametrize("voxel", [ODT, (0.31, 0.17, 0.13), (0.1, 0.1, 0.1)], ids=str)
def test_surface_of_turned_ellipsoids(make_region, axes, voxel) -> None:
    rng = np.random.default_rng(2)
    areas = [surface_area_um2(make_region(ellipsoid(axes, voxel, rng), voxel)) for _ in range(6)]
    truth = ellipsoid_area(*axes)
    assert abs(mean_error(areas, truth)) < 0.01
    assert max(abs(area / truth - 1) for area in areas) < 0.025


def test_ellipsoid_area_of_a_sphere() -> None:
    assert ellipsoid_area(3, 3, 3) == pytest.approx(36 * math.pi)


def test_surface_of_a_torus(make_region) -> None:
    """A ring lying in the plane of the voxels: the single value depends on where its top falls between two planes."""
    rng = np.random.default_rng(3)
    areas = [surface_area_um2(make_region(torus(2.0, 0.8, ODT, rng), ODT)) for _ in range(16)]
    truth = 4 * math.pi**2 * 2.0 * 0.8
    assert abs(mean_error(areas, truth)) < 0.01
    assert max(abs(area / truth - 1) for area in areas) < 0.035


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("keeps_low", [True, False])
def test_the_border_cuts_no_surface(make_region, axis, keeps_low) -> None:
    """Archimedes: a zone of height h on a sphere has the area 2πRh, and the flat cut counts nothing."""
    voxel, radius = (0.13, 0.11, 0.1), 2.0
    middle = [math.ceil(radius / side) + 2 for side in voxel]
    z, y, x = np.meshgrid(*(np.arange(-n, n + 1) * side for n, side in zip(middle, voxel, strict=True)), indexing="ij")
    whole = z * z + y * y + x * x <= radius**2
    part = slice(0, middle[axis] + 1) if keeps_low else slice(middle[axis], None)
    mask = whole[tuple(part if one == axis else slice(None) for one in range(3))]
    seen = 2 * math.pi * radius * (radius + voxel[axis] / 2)
    assert surface_area_um2(make_region(mask, voxel, is_cut=True)) == pytest.approx(seen, rel=0.01)


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)], ids=str)
def test_a_body_cut_at_a_corner_has_the_same_surface_from_all_sides(make_region, axes) -> None:
    z, y, x = (np.arange(n) * side for n, side in zip((9, 17, 20), (0.31, 0.17, 0.13), strict=True))
    square = (z[:, None, None] - 0.6) ** 2 / 2 + (y[:, None] - 0.5) ** 2 + (x - 0.4 + 0.3 * y[:, None]) ** 2
    mask = square <= 1.5
    expected = surface_area_um2(make_region(mask, is_cut=True))
    assert surface_area_um2(make_region(np.flip(mask, axes), is_cut=True)) == pytest.approx(expected, rel=1e-12)


def test_an_object_that_fills_the_volume_has_no_surface(make_region) -> None:
    assert surface_area_um2(make_region(np.ones((7, 8, 9), np.bool_), is_cut=True)) == 0.0


def test_sphericity_of_a_ball_and_of_a_long_ellipsoid(make_region) -> None:
    rng = np.random.default_rng(4)
    for _ in range(4):
        voxel = (0.1, 0.1, 0.1)
        assert sphericity(make_region(ball(1.0, voxel, rng), voxel)) == pytest.approx(1.0, abs=0.02)
    a, b, c = 0.8, 0.8, 3.0
    volume = 4 / 3 * math.pi * a * b * c
    expected = math.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / ellipsoid_area(a, b, c)
    assert sphericity(make_region(ellipsoid((a, b, c), ODT, rng), ODT)) == pytest.approx(expected, rel=0.01)


def test_surface_to_volume_of_a_sphere_is_three_over_radius(make_region) -> None:
    mask = ball(1.5, ODT, np.random.default_rng(5))
    assert surface_to_volume_per_um(make_region(mask, ODT)) == pytest.approx(3 / 1.5, rel=0.01)


def test_cut_objects_have_no_sphericity(make_region) -> None:
    mask = ball(1.5, ODT, np.random.default_rng(5))
    assert math.isnan(sphericity(make_region(mask, ODT, is_cut=True)))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 40), (2, 30, 30), (4, 4, 7)], ids=str)
def test_too_few_voxels_have_no_surface(make_region, shape) -> None:
    mask = np.pad(np.ones(shape, np.bool_), 1)
    assert math.isnan(surface_area_um2(make_region(mask)))


@pytest.mark.parametrize("sides", [(0.1, 0.1), (0.17, 0.13), (0.2, 0.1)], ids=str)
@pytest.mark.parametrize(("radius_um", "tolerance"), [(1.0, 0.02), (4.0, 0.004)])
def test_perimeter_of_discs(make_region, sides, radius_um, tolerance) -> None:
    rng = np.random.default_rng(6)
    voxel = (math.nan, *sides)
    perimeters, circularities = [], []
    for _ in range(12):
        region = make_region(disc(radius_um, sides, rng), voxel)
        perimeters.append(perimeter_um(region))
        circularities.append(circularity(region))
    assert abs(mean_error(perimeters, 2 * math.pi * radius_um)) < tolerance
    assert np.mean(circularities) == pytest.approx(1.0, abs=2.5 * tolerance)


def test_perimeter_of_a_turned_square(make_region) -> None:
    side, angle = 6.0, 0.4
    axis = (np.arange(-60, 61)) * 0.1
    y, x = axis[:, None], axis[None, :]
    u, v = np.cos(angle) * y - np.sin(angle) * x, np.sin(angle) * y + np.cos(angle) * x
    mask = ((np.abs(u) <= side / 2) & (np.abs(v) <= side / 2))[None]
    assert perimeter_um(make_region(mask, (math.nan, 0.1, 0.1))) == pytest.approx(4 * side, rel=0.02)


@pytest.mark.parametrize("voxel", [ODT, (0.5, 0.1, 0.1), (0.31, 0.17, 0.13), (5.0, 0.1, 0.1)], ids=str)
def test_directions_measure_planes(voxel) -> None:
    """The weighted mean of 2|cos| is 1 over the sphere exactly, and nearly so for every single plane."""
    chosen = directions(voxel)
    assert chosen.weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert chosen.weights.min() > 0
    units = chosen.steps * np.array(voxel) / chosen.lengths[:, None]
    normals = np.random.default_rng(8).normal(size=(4000, 3))
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    area = 2 * np.abs(normals @ units.T) @ chosen.weights
    limit = 0.015 if voxel[0] < 1 else 0.08  # the steps stop at 9 voxels
    assert np.sqrt(np.mean((area - 1) ** 2)) < limit
