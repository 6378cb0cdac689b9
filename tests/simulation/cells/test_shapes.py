"""Shapes against formulas, scipy's Carlson integrals, and counting."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import elliprg

from tomocyte.simulation.cells import kernels
from tomocyte.simulation.cells.bodies import bumps
from tomocyte.simulation.cells.shapes import StarBody, ball_directions, directions, sphere
from tomocyte.simulation.cells.truth import measure
from tomocyte.simulation.cells.unions import interior_outside, surface_outside


@pytest.mark.parametrize("semi_axes", [(2.0, 2.0, 2.0), (0.5, 3.0, 7.0), (6.1, 6.3, 1.2), (4.0, 8.0, 25.0)])
def test_ellipsoid_volume_and_area_follow_the_formulas(semi_axes):
    body = StarBody.ellipsoid(np.array([3.0, -1.0, 5.0]), np.array(semi_axes))
    a, b, c = semi_axes
    area = 4 * np.pi * elliprg((a * b) ** 2, (a * c) ** 2, (b * c) ** 2)
    assert body.volume_um3 == pytest.approx(4 / 3 * np.pi * a * b * c, rel=1e-6)
    assert body.surface_area_um2 == pytest.approx(area, rel=1e-3)
    assert sum(body.interior()[1]) == pytest.approx(body.volume_um3, rel=1e-9)


def test_a_bumpy_turned_body_has_the_volume_that_counting_finds():
    rng = np.random.default_rng(4)
    radii = 1.0 + bumps(rng, directions(48, 96), n=9, sharpness=(2.0, 6.0), amplitude=0.08)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    body = StarBody(np.array([1.0, 2.0, 3.0]), turn * np.array([1.5, 3.0, 4.5]), radii)
    low, high = body.bounds_um
    draws = np.random.default_rng(5).random((1_000_000, 3))
    share = np.mean(body.levels(low + draws * (high - low)) < 1.0)
    counted = share * np.prod(high - low)
    sigma = np.sqrt((1 - share) / (share * len(draws)))  # of the count, relative
    assert body.volume_um3 == pytest.approx(counted, rel=4 * sigma)
    assert 4 * sigma < 0.006


def test_the_divergence_theorem_ties_area_vectors_to_the_volume():
    rng = np.random.default_rng(9)
    radii = 1.0 + bumps(rng, directions(96, 192), n=9, sharpness=(2.0, 6.0), amplitude=0.08)
    body = StarBody(np.array([4.0, 2.0, 1.0]), np.diag([1.5, 3.0, 4.5]), radii)
    points, area = body.surface_points()
    moved, _ = body.surface_points(outside_um=1.0)
    normal = moved - points
    assert np.allclose(np.linalg.norm(normal, axis=1), 1.0)
    flux = (points * normal).sum(axis=1) @ area / 3
    assert flux == pytest.approx(body.volume_um3, rel=1e-3)
    assert np.abs(area @ normal).max() < 1e-2 * area.sum()  # a closed surface


def test_a_skin_of_an_ellipsoid_is_as_thick_as_asked():
    body = StarBody.ellipsoid(np.zeros(3), np.array([3.0, 5.0, 6.0]))
    inner = body.shrunk(0.2)
    for axis, semi_axis in enumerate((3.0, 5.0, 6.0)):
        end = np.zeros((1, 3))
        end[0, axis] = semi_axis - 0.2
        assert inner.levels(end)[0] == pytest.approx(1.0, abs=2e-3)
    assert StarBody.ellipsoid(np.zeros(3), np.full(3, 2.0)).shrunk(0.25).volume_um3 == pytest.approx(
        4 / 3 * np.pi * 1.75**3, rel=1e-9
    )


def test_spheres_and_capsules_follow_their_formulas():
    ball = measure(sphere(np.array([1.0, 2.0, 3.0]), 0.8))
    assert ball.volume_um3 == pytest.approx(4 / 3 * np.pi * 0.8**3)
    assert ball.surface_area_um2 == pytest.approx(4 * np.pi * 0.8**2)
    tube = measure(np.array([[0.0, 0.0, 0.0, 1.0, 2.0, 2.0, 0.5]]))  # 3 µm long
    assert tube.volume_um3 == pytest.approx(np.pi * 0.25 * 3 + 4 / 3 * np.pi * 0.125)
    assert tube.surface_area_um2 == pytest.approx(2 * np.pi * 0.5 * 3 + 4 * np.pi * 0.25)


@pytest.mark.parametrize("distance", [0.4, 1.0, 1.7])
def test_two_overlapping_spheres_follow_the_lens_formula(distance):
    radius = 1.0
    tubes = np.concatenate([sphere(np.zeros(3), radius), sphere(np.array([0.0, 0.6, 0.8]) * distance, radius)])
    solid = measure(tubes)
    lens = np.pi * (4 * radius + distance) * (2 * radius - distance) ** 2 / 12
    cap = 2 * np.pi * radius * (radius - distance / 2)
    assert solid.volume_um3 == pytest.approx(8 / 3 * np.pi - lens, rel=1e-3)
    assert solid.surface_area_um2 == pytest.approx(8 * np.pi - 2 * cap, rel=1e-3)


def test_a_bent_chain_has_the_volume_that_counting_finds():
    corners = np.array([[0.0, 0.0, 0.0], [0.1, 0.5, 0.2], [0.2, 0.8, 0.6], [0.1, 1.0, 1.1]])
    tubes = np.column_stack([corners[:-1], corners[1:], np.full(3, 0.25)])
    axes = [np.arange(a - 0.3, b + 0.3, 0.02) + 0.003 for a, b in ((0.0, 0.2), (0.0, 1.0), (0.0, 1.1))]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    counted = np.count_nonzero(~kernels.are_outside(grid, tubes, 0.0)) * 0.02**3
    assert measure(tubes).volume_um3 == pytest.approx(counted, rel=2e-3)


def test_capsule_samples_stand_for_the_whole_capsule():
    tube = np.array([1.0, 0.0, 2.0, 1.5, 1.0, 3.0, 0.3])
    points, weights = interior_outside(tube, tube[None][:0], 4096)
    assert weights.sum() == pytest.approx(measure(tube[None]).volume_um3)
    assert weights @ points / weights.sum() == pytest.approx([1.25, 0.5, 2.5], abs=2e-3)
    points, weights = surface_outside(tube, tube[None][:0], 4096)
    assert weights.sum() == pytest.approx(measure(tube[None]).surface_area_um2)
    assert [kernels.distance_to_capsule(tube, *point) for point in points[::97]] == pytest.approx(
        [0.0] * len(points[::97]), abs=1e-9
    )


def test_gaps_between_capsules_match_a_dense_search():
    rng = np.random.default_rng(2)
    s = np.linspace(0, 1, 301)[:, None]
    for _ in range(60):
        first, second = np.append(rng.normal(size=6), 0.2), np.append(rng.normal(size=6), 0.1)
        if rng.random() < 0.2:
            second[3:6] = second[:3]
        one = first[:3] + s * (first[3:6] - first[:3])
        two = second[:3] + s * (second[3:6] - second[:3])
        closest = np.linalg.norm(one[:, None] - two[None], axis=-1).min() - 0.3
        assert kernels.gap_between(first, second) == pytest.approx(closest, abs=0.02)
        assert kernels.gap_between(first, second) <= closest + 1e-9
        assert kernels.is_clear(first, second[None], 1, 0.1) == (kernels.gap_between(first, second) >= 0.1)


def test_a_cut_body_ends_half_way_to_its_equal():
    from tomocyte.simulation.cells.bodies import cut_by

    left = StarBody.ellipsoid(np.array([0.0, 0.0, -2.0]), np.full(3, 3.0))
    right = StarBody.ellipsoid(np.array([0.0, 0.0, 2.0]), np.full(3, 3.0))
    cut = cut_by(left, left, [right])
    cap = np.pi / 3 * 1.0**2 * (3 * 3.0 - 1.0)  # what lies beyond the middle plane
    assert cut.volume_um3 == pytest.approx(36 * np.pi - cap, rel=0.02)
    assert cut.nodes_um[..., 2].max() == pytest.approx(-0.03, abs=0.04)
    nodes = cut.nodes_um.reshape(-1, 3)
    assert np.all(right.levels(nodes) > left.levels(nodes))
    assert cut_by(left, left, [StarBody.ellipsoid(np.full(3, 50.0), np.full(3, 3.0))]) is left


def test_directions_are_unit_vectors_from_pole_to_pole():
    grid = directions(12, 24)
    assert np.allclose(np.linalg.norm(grid, axis=-1), 1.0)
    assert np.allclose(grid[0], [1, 0, 0])
    assert np.allclose(grid[-1], [-1, 0, 0])
    assert np.allclose(ball_directions(50).mean(axis=0), 0.0, atol=0.02)


def test_a_cell_pressed_by_its_neighbour_has_the_volume_that_counting_finds():
    from tomocyte.simulation import SceneSettings, simulate_scene

    settings = SceneSettings(crowding=(1, 1), has_organelles=False, mitotic_share=0, apoptotic_share=0)
    rng = np.random.default_rng(5)
    body = simulate_scene("HeLa", 2, extent_um=(25.0, 60.0, 62.0), settings=settings, rng=rng).cells[1].bodies[0]
    low, high = body.bounds_um + np.array([[-0.3], [0.3]])
    ratios = np.array([0.8191725133961645, 0.6710436067037893, 0.5497004779019703])  # Kronecker's R3 sequence
    hits, n = 0, 2_000_000
    for start in range(0, n, 500_000):
        draws = (0.5 + np.arange(start, start + 500_000)[:, None] * ratios) % 1.0
        hits += np.count_nonzero(body.levels(low + draws * (high - low)) < 1.0)
    assert body.volume_um3 == pytest.approx(hits / n * np.prod(high - low), rel=1e-3)
