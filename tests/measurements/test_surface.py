from __future__ import annotations

import math

import numpy as np
import pytest
from bodies import ball, box, disc, ellipsoid, filament, torus
from mpmath import elliprg

from tomocyte.measurements import measure
from tomocyte.measurements._crofton import directions
from tomocyte.measurements.surface import (
    circularity,
    perimeter_um,
    sphericity,
    surface_area_mesh_um2,
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


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_rod_through_a_thin_volume_has_the_surface_of_its_side(make_region, axis) -> None:
    """A cylinder of radius r between two borders h apart: 2πrh; steps reach over both borders several times."""
    along = 0.1 * (np.arange(-24, 25) + 0.2)
    plane = along[:, None] ** 2 + along**2 <= 2.0**2
    mask = np.stack([plane] * 3, axis=axis)
    area = surface_area_um2(make_region(mask, (0.1, 0.1, 0.1), is_cut=True))
    assert area == pytest.approx(2 * math.pi * 2.0 * 0.3, rel=0.02)


VOXELS_TO_5_TO_1 = [(0.1, 0.1, 0.1), (0.2, 0.1, 0.1), (0.3, 0.1, 0.1), (0.5, 0.1, 0.1), (0.1, 0.3, 0.2)]


@pytest.mark.parametrize("voxel", VOXELS_TO_5_TO_1, ids=str)
def test_flat_faces_along_the_voxel_planes_count_what_they_are(make_region, voxel) -> None:
    """The worst case of every count along lines: a box of whole voxels, at least ten a side."""
    mask = np.pad(np.ones([round(3.0 / side) for side in voxel], np.bool_), 2)
    sides = [round(3.0 / side) * side for side in voxel]
    truth = 2 * (sides[0] * sides[1] + sides[1] * sides[2] + sides[2] * sides[0])
    assert surface_area_um2(make_region(mask, voxel)) == pytest.approx(truth, rel=0.03)


def test_the_cube_of_25_voxels(make_region) -> None:
    mask = np.pad(np.ones((25, 25, 25), np.bool_), 1)
    assert surface_area_um2(make_region(mask, (0.1, 0.1, 0.1))) == pytest.approx(6 * 2.5**2, rel=0.01)


@pytest.mark.parametrize("voxel", VOXELS_TO_5_TO_1, ids=str)
def test_spheres_are_right_and_round_at_all_voxel_shapes(make_region, voxel) -> None:
    for seed in range(3):
        region = make_region(ball(2.5, voxel, np.random.default_rng(seed)), voxel)
        assert surface_area_um2(region) == pytest.approx(4 * math.pi * 2.5**2, rel=0.02)
        assert sphericity(region) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("voxel", [(0.1, 0.1, 0.1), ODT], ids=str)
@pytest.mark.parametrize(("thickness_um", "tolerance"), [(0.6, 0.05), (1.0, 0.03)])
def test_thin_turned_sheets(make_region, voxel, thickness_um, tolerance) -> None:
    rng = np.random.default_rng(7)
    sides = (thickness_um, 5.0, 6.0)
    truth = 2 * (sides[0] * sides[1] + sides[1] * sides[2] + sides[2] * sides[0])
    areas = [surface_area_um2(make_region(box(sides, voxel, rng), voxel)) for _ in range(5)]
    assert abs(mean_error(areas, truth)) < tolerance


@pytest.mark.parametrize("voxel", [(0.1, 0.1, 0.1), ODT], ids=str)
@pytest.mark.parametrize("radius_um", [0.25, 0.4])
def test_filopodia(make_region, voxel, radius_um) -> None:
    rng = np.random.default_rng(7)
    areas = [surface_area_um2(make_region(filament(radius_um, 6.0, voxel, rng), voxel)) for _ in range(8)]
    assert abs(mean_error(areas, 2 * math.pi * radius_um * 6.0 + 4 * math.pi * radius_um**2)) < 0.02


def test_a_sheet_thinner_than_the_shortest_step_has_no_surface(make_region) -> None:
    """At 5 : 1 a turned sheet of half a coarse voxel is no surface that lines could count."""
    voxel = (0.5, 0.1, 0.1)
    mask = box((0.2, 8.0, 9.0), voxel, np.random.default_rng(1))
    assert mask.sum() > 1000
    assert math.isnan(surface_area_um2(make_region(mask, voxel)))


@pytest.mark.parametrize("seed", [1, 2])
def test_the_mesh_is_that_of_marching_cubes(make_region, seed) -> None:
    from skimage.measure import marching_cubes, mesh_surface_area

    mask = np.pad(np.random.default_rng(seed).random((9, 10, 11)) < 0.5, 1)
    corners, faces, _, _ = marching_cubes(mask.astype(np.float32), 0.5, spacing=ODT, allow_degenerate=False)
    assert surface_area_mesh_um2(make_region(mask, ODT)) == pytest.approx(mesh_surface_area(corners, faces), rel=1e-6)


@pytest.mark.parametrize("axes", [(0,), (1, 2), (0, 1, 2)], ids=str)
def test_the_mesh_of_a_cut_body_is_open_there_and_does_not_depend_on_flips(make_region, axes) -> None:
    mask = np.zeros((8, 9, 10), np.bool_)
    mask[:5, 2:7, 3:9] = np.random.default_rng(1).random((5, 5, 6)) < 0.8
    mask[:4, 3:6, 4:8] = True
    area = surface_area_mesh_um2(make_region(mask, is_cut=True))
    assert surface_area_mesh_um2(make_region(np.flip(mask, axes), is_cut=True)) == pytest.approx(area, rel=1e-12)
    slab = np.ones((5, 6, 7), np.bool_)
    assert surface_area_mesh_um2(make_region(slab, is_cut=True)) == 0
    assert surface_area_mesh_um2(make_region(np.pad(slab, ((0, 1), (0, 0), (0, 0))), is_cut=True)) == pytest.approx(
        (6 - 1) * (7 - 1) * 0.17 * 0.13
    )


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


@pytest.mark.parametrize("voxel", [ODT, (0.5, 0.1, 0.1), (0.31, 0.17, 0.13), (0.1, 0.1, 0.1)], ids=str)
@pytest.mark.parametrize(("reach", "limit"), [(3.1, 0.008), (2.3, 0.016), (1.8, 0.025)])
def test_directions_measure_planes(voxel, reach, limit) -> None:
    """The weighted mean of 2|cos| is 1 over the sphere exactly, and nearly so for every single plane."""
    chosen = directions(voxel, reach=reach)
    assert chosen.weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert chosen.weights.min() > 0
    units = chosen.steps * np.array(voxel) / chosen.lengths[:, None]
    normals = np.random.default_rng(8).normal(size=(4000, 3))
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    area = 2 * np.abs(normals @ units.T) @ chosen.weights
    along_voxels = 2 * np.abs(units).T @ chosen.weights
    assert np.abs(along_voxels - 1).max() < 0.032
    assert np.sqrt(np.mean((area - 1) ** 2)) < limit


def test_an_object_that_fills_the_frame_has_no_sphericity() -> None:
    """All of its faces are cuts: no surface is seen, and nothing is divided by it."""
    everything = np.ones((6, 7, 8), np.uint8)
    table = measure(everything, None, (0.2, 0.2, 0.2), structure="cell", names=["sphericity"])
    assert table["sphericity"].isna().tolist() == [True]
