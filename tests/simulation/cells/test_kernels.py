"""The compiled loops one by one: tables, what fits where, walks and textures, against formulas and scipy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from tomocyte.simulation.cells import kernels
from tomocyte.simulation.cells.bodies import lateral_radius_um, rotated_axes, spikes
from tomocyte.simulation.cells.composition import texture_tile
from tomocyte.simulation.cells.shapes import (
    StarBody,
    ball_directions,
    capsule_frame,
    directions,
    sphere,
    unit_ball,
    unit_shaft,
)

CENTRE = np.array([4.0, 5.0, 6.0])
BALL = StarBody.ellipsoid(CENTRE, np.array([2.0, 2.0, 2.0]))
HOLE = StarBody.ellipsoid(CENTRE + np.array([0.0, 0.0, 1.0]), np.array([0.5, 0.5, 0.5]))
AROUND = ball_directions(40)


def room(*holes: StarBody) -> tuple[Any, Any, Any, Any]:
    """Inside a ball of 2 µm and outside its holes."""
    frames = np.stack([hole.frame for hole in holes]) if holes else np.empty((0, 4, 3))
    tables = np.stack([hole.radii for hole in holes]) if holes else np.empty((0, 1, 1))
    return BALL.frame, BALL.radii, frames, tables


def tube(start: Any, end: Any, radius: float) -> Any:
    return np.concatenate([CENTRE + np.asarray(start, float), CENTRE + np.asarray(end, float), [radius]])


def test_a_table_is_read_linearly_between_its_nodes_and_around_the_circle() -> None:
    n_theta, n_phi = 8, 12
    theta, phi = np.linspace(0, np.pi, n_theta + 1)[:, None], np.arange(n_phi)[None] * (2 * np.pi / n_phi)
    table = np.ascontiguousarray(1 + theta + 0 * phi)  # linear in theta: exact everywhere
    rng = np.random.default_rng(2)
    for z, y, x in rng.normal(size=(40, 3)):
        expected = 1 + np.arccos(z / np.sqrt(z * z + y * y + x * x))
        assert kernels.look_up(table, z, y, x) == pytest.approx(expected, abs=1e-12)
    around = np.ascontiguousarray(np.broadcast_to(np.arange(n_phi, dtype=float), (n_theta + 1, n_phi)))
    half = 2 * np.pi / n_phi * np.array([2.5, n_phi - 0.5])  # between nodes 2 and 3, and between the last and the first
    found = [kernels.look_up(around, 0.0, float(np.sin(angle)), float(np.cos(angle))) for angle in half]
    assert found == pytest.approx([2.5, (n_phi - 1 + 0) / 2])
    assert kernels.look_up(table, 0.0, 0.0, 0.0) == table[0, 0]


def test_levels_of_an_ellipsoid_are_those_of_its_equation() -> None:
    semi_axes = np.array([1.0, 2.0, 3.0])
    body = StarBody.ellipsoid(CENTRE, semi_axes)
    points = CENTRE + np.random.default_rng(3).normal(size=(50, 3))
    expected = np.sqrt((((points - CENTRE) / semi_axes) ** 2).sum(axis=1))
    np.testing.assert_allclose(kernels.levels(body.frame, body.radii, points), expected, rtol=1e-12)


def test_ways_end_where_the_body_does() -> None:
    """From a point 0.5 µm off the centre of a ball of 2 µm: 1.5 µm one way, 2.5 µm the other, √3.75 µm across."""
    start = CENTRE + np.array([0.0, 0.0, 0.5])
    ends = start + np.array([[0, 0, 3.0], [0, 0, -4.0], [0, 5.0, 0], [0, 0, 1.0]])
    shares = kernels.free_shares(start, ends, BALL.frame, BALL.radii)
    assert shares == pytest.approx([1.5 / 3, 2.5 / 4, np.sqrt(3.75) / 5, 1.0], abs=1e-3)
    assert (shares <= [0.5, 0.625, np.sqrt(3.75) / 5, 1.0]).all()  # never outside


@pytest.mark.parametrize(
    ("capsule", "holes", "margin", "expected"),
    [
        (tube((0, 0, 0), (0, 0, 0), 1.9), (), 0.0, True),
        (tube((0, 0, 0), (0, 0, 0), 1.9), (), 0.2, False),
        (tube((-1, 0, 0), (1, 0, 0), 0.9), (), 0.0, True),
        (tube((-1, 0, 0), (1.2, 0, 0), 0.9), (), 0.0, False),
        (tube((0, 0, -1), (0, 0, -1), 0.5), (HOLE,), 0.0, True),
        (tube((0, 0, 0), (0, 0, 0), 0.49), (HOLE,), 0.0, True),
        (tube((0, 0, 0), (0, 0, 0), 0.6), (HOLE,), 0.0, False),  # the hole begins 0.5 µm from the centre
    ],
)
def test_a_capsule_lies_within_its_room_or_not(capsule: Any, holes: Any, margin: float, expected: bool) -> None:
    around = np.ascontiguousarray(np.concatenate([AROUND, np.vstack([np.eye(3), -np.eye(3)])]))  # the axes too
    assert kernels.is_within(capsule, room(*holes), around, margin) == expected


def test_the_first_sphere_that_fits_is_taken() -> None:
    outside, blocked, good = (sphere(CENTRE + np.array(at), 0.3)[0] for at in ((0, 0, 1.9), (0, 0, 0.4), (0, 1.0, 0)))
    candidates = np.stack([[outside, blocked, good], [good, outside, blocked], [outside, outside, outside]])
    taken = np.zeros((3, 7))
    taken[0] = sphere(CENTRE, 0.3)[0]
    rule = np.array([0.05, 0.0, 1.0])
    assert kernels.place_spheres(candidates, room(), AROUND, taken, rule).tolist() == [2, -1, -1]
    np.testing.assert_array_equal(taken[1], good)
    assert not taken[2].any()
    # with less of a gap the blocked one, 0.4 µm away of 0.6 needed, still overlaps; a gap of -0.3 lets it in
    taken[1:] = 0
    assert kernels.place_spheres(candidates, room(), AROUND, taken, np.array([-0.3, 0.0, 1.0])).tolist() == [1, 0, -1]


def test_edges_may_touch_each_other_but_not_what_is_taken() -> None:
    edges = np.stack([
        tube((0, -1, 0), (0, 1, 0), 0.1), tube((0, -1, 0), (0, 0, 1), 0.1),  # they share an end
        tube((0, 0, -1), (0, 0, -1.95), 0.1),  # leaves the ball
        tube((1, 0, 0), (1, 0.5, 0), 0.1),  # 0.2 µm from what is taken: closer than the gap
    ])  # fmt: skip
    taken = tube((1.4, 0, 0), (1.4, 0.5, 0), 0.1)[None]
    fits = kernels.place_edges(edges, room(), AROUND, taken, np.array([0.25, 0.0, 1.0]))
    assert fits.tolist() == [True, True, False, False]


def test_a_walk_without_bends_is_straight_and_ends_at_the_wall() -> None:
    """Steps of 0.5 µm along x from the centre, radius 0.2: ends may lie up to 1.8 µm away, that is three steps."""
    start = np.concatenate([CENTRE, [0.0, 0.0, 1.0], [0.2]])
    around = np.ascontiguousarray(np.vstack([np.eye(3), -np.eye(3)]))
    rule = np.array([0.0, 0.0, 0.0, 0.5, 0.0])
    chain = kernels.grow_walk(start, np.zeros((8, 4, 3)), room(), around, np.zeros((1, 7)), rule)
    assert chain.shape == (3, 7)
    np.testing.assert_allclose(chain[:, 5] - CENTRE[2], [0.5, 1.0, 1.5])
    np.testing.assert_allclose(chain[1:, :3], chain[:-1, 3:6])
    np.testing.assert_allclose(chain[:, 6], 0.2)
    bent = kernels.grow_walk(
        start, np.random.default_rng(1).normal(size=(3, 4, 3)), room(), around, np.zeros((1, 7)),
        np.array([0.0, 0.0, 0.0, 0.25, 0.3]),
    )  # fmt: skip
    np.testing.assert_allclose(np.linalg.norm(bent[:, 3:6] - bent[:, :3], axis=1), 0.25)


def test_a_texture_is_the_mean_of_two_octaves_as_scipy_interpolates_them() -> None:
    tile = texture_tile(np.random.default_rng(7), n=16)
    paint = np.array([1.36, 0.01, 2.0, 4.5, 0.3, -0.2, 0.7, 3.0])
    points = np.random.default_rng(8).uniform(-6, 6, (60, 3))
    expected = np.zeros(60)
    for octave, shift in enumerate((np.zeros(3), np.array([17.0, 5.0, 11.0]))):
        places = (points - paint[4:7]) * paint[2 + octave] + shift
        expected += ndimage.map_coordinates(tile.astype(float), places.T, order=1, mode="grid-wrap")
    np.testing.assert_allclose(kernels.read_texture_at(tile, paint, points), expected * np.sqrt(0.5), atol=1e-9)


def test_a_texture_tile_is_standardised_periodic_and_as_smooth_as_stated() -> None:
    """Autocorrelation exp(-(d / length)²), averaged over positions and axes of a periodic field."""
    tile = texture_tile(np.random.default_rng(5), n=64, length_nodes=3.0).astype(float)
    assert (tile.mean(), tile.std()) == pytest.approx((0, 1), abs=1e-6)
    for shift in (2, 3, 6):
        found = np.mean([(tile * np.roll(tile, shift, axis)).mean() for axis in range(3)])
        assert found == pytest.approx(np.exp(-((shift / 3.0) ** 2)), abs=0.04)


def test_a_spike_stands_out_in_its_direction_alone() -> None:
    grid = directions(48, 96)
    field = spikes(np.random.default_rng(3), grid, n=1, sharpness=(30.0, 30.0), height=0.5)
    top = np.unravel_index(field.argmax(), field.shape)
    assert 0.15 <= field.max() <= 0.5  # weight 0.3 to 1
    angle = np.arccos(np.clip(grid @ grid[top], -1, 1))
    np.testing.assert_allclose(field, field.max() * np.exp(30 * (np.cos(angle) - 1)), atol=0.02)


def test_rotated_axes_are_a_rotation_about_z_of_the_lengths_given() -> None:
    axes = rotated_axes(np.pi / 2, np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(axes @ np.eye(3), [[1, 0, 0], [0, 0, -3], [0, 2, 0]], atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(rotated_axes(0.7, np.array([1.0, 2.0, 3.0])), axis=0), [1, 2, 3])


def test_the_lateral_radius_is_that_of_the_disc_of_equal_area() -> None:
    """How far the body reaches along z does not matter."""
    assert lateral_radius_um(StarBody.ellipsoid(CENTRE, np.array([9.0, 2.5, 2.5]))) == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("capsule", "length"),
    [
        (tube((0, 0, 0), (1, 2, 2), 0.1), 3.0),
        (tube((0, 0, 0), (3, 4, 0), 0.1), 5.0),
        (tube((1, 1, 1), (1, 1, 1), 0.1), 0.0),
    ],
)
def test_a_capsules_frame_is_orthonormal(capsule: Any, length: float) -> None:
    *axes, found = capsule_frame(capsule)
    np.testing.assert_allclose(np.array(axes) @ np.array(axes).T, np.eye(3), atol=1e-12)
    assert found == length
    np.testing.assert_allclose(capsule[3:6], capsule[:3] + length * axes[0])


def test_points_of_the_unit_ball_and_shaft_have_their_moments() -> None:
    """A ball: mean square 1/5 per axis. A cylinder: mean 1/2 along, mean square 1/4 across; on its side 1/2."""
    ball = unit_ball()
    assert np.linalg.norm(ball, axis=1).max() <= 1
    np.testing.assert_allclose(ball.mean(axis=0), 0, atol=2e-3)
    np.testing.assert_allclose((ball**2).mean(axis=0), 0.2, atol=2e-3)
    for n_dimensions, across in ((3, 0.25), (2, 0.5)):
        shaft = unit_shaft(n_dimensions)
        assert shaft[:, 0].mean() == pytest.approx(0.5, abs=2e-3)
        np.testing.assert_allclose((shaft[:, 1:] ** 2).mean(axis=0), across, atol=2e-3)
