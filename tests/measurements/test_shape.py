from __future__ import annotations

import math

import numpy as np
import pytest
from bodies import ball, disc, ellipsoid, torus
from scipy import ndimage
from skimage.measure import euler_number as skimage_euler
from skimage.measure import regionprops

from tomocyte.measurements import hull, shape

PLANAR = (math.nan, 0.17, 0.13)


def test_a_box_counted_by_hand(make_region) -> None:
    mask = np.zeros((6, 7, 9), np.bool_)
    mask[1:4, 2:4, 3:8] = True  # 3 x 2 x 5 voxels of 0.5 x 0.2 x 0.1 µm
    region = make_region(mask, (0.5, 0.2, 0.1))
    assert shape.n_voxels(region) == 30
    assert shape.volume_um3(region) == pytest.approx(0.3)
    assert shape.projected_area_um2(region) == pytest.approx(10 * 0.02)
    assert shape.height_um(region) == pytest.approx(1.5)
    assert shape.extent(region) == 1.0
    assert shape.equivalent_diameter_um(region) == pytest.approx((6 * 0.3 / math.pi) ** (1 / 3))
    assert hull.feret_diameter_max_um(region) == pytest.approx(math.hypot(1.5, 0.4, 0.5))
    # A solid box of side L has the variance L²/12, the ellipsoid of that variance the axis 2 √(5/12) L.
    lengths = [shape.major_axis_length_um, shape.middle_axis_length_um, shape.minor_axis_length_um]
    for function, side in zip(lengths, (1.5, 0.5, 0.4), strict=True):
        assert function(region) == pytest.approx(2 * math.sqrt(5 / 12) * side, rel=1e-12)


def test_an_l_shape_seen_from_above(make_region) -> None:
    mask = np.zeros((2, 3, 3), np.bool_)
    mask[0, 0, 0] = mask[1, 0, 0] = mask[1, 2, 1] = True
    region = make_region(mask, (0.31, 0.17, 0.13))
    assert shape.projected_area_um2(region) == pytest.approx(2 * 0.17 * 0.13)
    assert shape.extent(region) == pytest.approx(3 / (2 * 3 * 2))


@pytest.mark.parametrize("radius_voxels", [10, 20, 40])
def test_volume_of_a_sphere(make_region, radius_voxels) -> None:
    axis = np.arange(-radius_voxels, radius_voxels + 1)
    mask = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2 <= radius_voxels**2
    volume = shape.volume_um3(make_region(mask, (0.3, 0.3, 0.3)))
    assert volume == pytest.approx(4 / 3 * math.pi * (0.3 * radius_voxels) ** 3, rel=0.005)


def test_axes_of_a_turned_ellipsoid(make_region) -> None:
    voxel = (0.11, 0.1, 0.09)
    region = make_region(ellipsoid((1.0, 2.0, 3.0), voxel, np.random.default_rng(1)), voxel)
    assert shape.major_axis_length_um(region) == pytest.approx(6.0, rel=0.01)
    assert shape.middle_axis_length_um(region) == pytest.approx(4.0, rel=0.01)
    assert shape.minor_axis_length_um(region) == pytest.approx(2.0, rel=0.01)
    assert hull.feret_diameter_max_um(region) == pytest.approx(6.0, abs=2 * math.hypot(*voxel))
    assert hull.solidity(region) == pytest.approx(1.0, abs=0.002)
    assert region.n_voxels > 10_000


def test_moments_against_numpy(make_region) -> None:
    mask = np.random.default_rng(2).random((5, 8, 11)) < 0.4
    region = make_region(mask)
    places = np.argwhere(mask)
    np.testing.assert_allclose(region.geometry.shapes.centre[0], places.mean(axis=0), rtol=1e-13)
    expected = np.cov(places.T, bias=True) + np.eye(3) / 12
    np.testing.assert_allclose(region.geometry.shapes.covariance[0], expected, rtol=1e-12, atol=1e-13)
    assert region.box_size == tuple(np.ptp(places, axis=0) + 1)


@pytest.mark.parametrize(
    ("name", "expected"), [("ball", 1), ("ring", 0), ("hollow", 2), ("two", 2), ("corner", 1), ("empty ring pair", 0)]
)
def test_euler_number_of_known_bodies(make_region, name, expected) -> None:
    rng, voxel = np.random.default_rng(3), (0.1, 0.1, 0.1)
    if name == "ball":
        mask = ball(0.8, voxel, rng)
    elif name == "ring":
        mask = torus(1.5, 0.4, voxel, rng)
    elif name == "hollow":
        mask = ball(0.8, voxel, rng)
        mask &= ~ndimage.binary_erosion(mask, iterations=3)
    elif name == "two":
        mask = np.zeros((3, 4, 7), np.bool_)
        mask[1, 1, 1:3] = mask[1, 1, 4] = True
    elif name == "corner":
        mask = np.zeros((2, 3, 4), np.bool_)
        mask[0, 0, 0] = mask[1, 1, 1] = True
    else:
        mask = np.concatenate([torus(1.5, 0.4, voxel, rng)] * 2, axis=2)
    assert shape.euler_number(make_region(mask)) == expected


def test_euler_number_against_scikit_image(make_region) -> None:
    for seed, fraction in enumerate((0.1, 0.3, 0.6, 0.9)):
        mask = np.random.default_rng(seed).random((9, 8, 7)) < fraction
        assert shape.euler_number(make_region(mask)) == skimage_euler(mask, connectivity=3)


def test_planar_shapes_against_scikit_image(make_region) -> None:
    rng = np.random.default_rng(4)
    mask = disc(2.0, (0.2, 0.1), rng) | np.roll(disc(2.0, (0.2, 0.1), rng), 6, axis=2)
    mask = np.pad(mask, ((0, 0), (3, 3), (3, 3)))
    region = make_region(mask, PLANAR)
    (other,) = regionprops(mask[0].astype(np.uint8), spacing=PLANAR[1:])
    assert shape.area_um2(region) == pytest.approx(other.area, rel=1e-12)
    assert shape.extent(region) == pytest.approx(other.extent, rel=1e-12)
    assert shape.euler_number(region) == other.euler_number
    assert shape.equivalent_diameter_um(region) == pytest.approx(other.equivalent_diameter_area, rel=1e-12)
    assert shape.major_axis_length_um(region) == pytest.approx(other.axis_major_length, rel=2e-3)
    assert shape.minor_axis_length_um(region) == pytest.approx(other.axis_minor_length, rel=2e-3)
    for function in (shape.volume_um3, shape.height_um, shape.middle_axis_length_um):
        assert math.isnan(function(region))


def test_area_is_for_planar_images_only(make_region) -> None:
    assert math.isnan(shape.area_um2(make_region(np.ones((3, 4, 5), np.bool_))))


def test_solidity_of_digital_convex_bodies_is_one(make_region) -> None:
    rng = np.random.default_rng(5)
    assert hull.solidity(make_region(ball(1.0, (0.31, 0.17, 0.13), rng))) == 1.0
    assert hull.solidity(make_region(disc(2.0, (0.17, 0.13), rng), PLANAR)) == 1.0
    assert hull.solidity(make_region(np.ones((3, 5, 4), np.bool_))) == 1.0


def test_solidity_counts_lattice_points(make_region) -> None:
    """A triangle's legs: 5 + 5 - 1 = 9 pixels, of the 15 lattice points in the triangle."""
    mask = np.zeros((1, 5, 5), np.bool_)
    mask[0, :, 0] = mask[0, 0, :] = True
    assert hull.solidity(make_region(mask, PLANAR)) == pytest.approx(9 / 15)
    solid = np.zeros((3, 3, 3), np.bool_)
    solid[0] = solid[:, 0] = solid[:, :, 0] = True  # a corner of walls: all but 8 voxels, one of them (2, 2, 2) outside
    assert hull.solidity(make_region(solid)) == pytest.approx(19 / (27 - 4))


def test_large_objects_are_sampled(make_region) -> None:
    radius = 80
    axis = np.arange(-radius, radius + 1)
    mask = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2 <= radius**2
    region = make_region(mask, (0.3, 0.2, 0.1))
    assert hull.solidity(region) == pytest.approx(1.0, abs=1e-3)
    assert hull.feret_diameter_max_um(region) == pytest.approx(0.3 * 161, rel=2e-3)
    hollow = mask & (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2 > 40**2)
    assert hull.solidity(make_region(hollow)) == pytest.approx(1 - 1 / 8, abs=3e-3)


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 1, 6), (1, 5, 6), (4, 1, 6)], ids=str)
def test_flat_objects_have_no_solidity_but_a_diameter(make_region, size) -> None:
    region = make_region(np.pad(np.ones(size, np.bool_), 1), (0.3, 0.2, 0.1))
    assert math.isnan(hull.solidity(region))
    expected = math.hypot(*(count * side for count, side in zip(size, (0.3, 0.2, 0.1), strict=True)))
    assert hull.feret_diameter_max_um(region) == pytest.approx(expected)
