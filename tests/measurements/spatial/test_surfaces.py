"""Distances, contacts and contact areas against brute force over voxels, and against bodies known from a formula."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from bodies import ball, ellipsoid
from scipy import ndimage

from tomocyte.measurements.spatial.surfaces import Faces, Reach, gaps_um

VOXEL = (0.31, 0.17, 0.13)


def box_gap(first: np.ndarray, second: np.ndarray, voxel) -> float:
    """Smallest distance between two voxels taken as boxes, over all pairs of voxels."""
    apart = np.abs(np.argwhere(first)[:, None] - np.argwhere(second)[None])
    return float(np.sqrt(np.square(np.maximum(apart - 1, 0) * np.array(voxel)).sum(axis=2).min()))


def faces_of(labels: np.ndarray, voxel=VOXEL) -> Faces:
    return Faces.of(labels.astype(np.int32), int(labels.max(initial=0)), voxel)


def random_objects(seed: int, share: float, shape=(9, 24, 30)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return ndimage.label(ndimage.binary_dilation(rng.random(shape) < share, iterations=1))[0].astype(np.int32)


def test_gaps_against_a_brute_force() -> None:
    mask = random_objects(1, 0.004) > 0
    gaps = gaps_um(mask, VOXEL)
    for place in np.random.default_rng(2).integers(0, mask.shape, (60, 3)):
        voxel = np.zeros_like(mask)
        voxel[tuple(place)] = True
        assert gaps[tuple(place)] == pytest.approx(box_gap(voxel, mask, VOXEL), rel=1e-6)


def test_gaps_in_a_plane_have_no_z() -> None:
    mask = np.zeros((1, 5, 9), np.bool_)
    mask[0, 1, 2] = True
    assert gaps_um(mask, (math.nan, 0.2, 0.1))[0, 3, 6] == pytest.approx(math.hypot(0.2, 0.3))
    assert np.isinf(gaps_um(np.zeros_like(mask), (math.nan, 0.2, 0.1))).all()


@pytest.mark.parametrize("gap", [0.0, 0.13, 0.2, 0.45])
def test_pairs_within_the_gap_against_a_brute_force(gap) -> None:
    first, second = random_objects(3, 0.006), random_objects(4, 0.006)
    contacts = faces_of(first).contacts(second, Reach.within(gap, VOXEL))
    expected = [
        (a, b)
        for a, b in itertools.product(range(1, first.max() + 1), range(1, second.max() + 1))
        if box_gap(first == a, second == b, VOXEL) <= gap * (1 + 1e-9)
    ]
    assert len(expected) > 10
    assert list(map(tuple, contacts.pairs.tolist())) == expected


def test_pairs_of_one_structure_leave_out_the_object_itself() -> None:
    objects = random_objects(5, 0.01)
    contacts = faces_of(objects).contacts(objects, Reach.within(0.3, VOXEL), is_same=True)
    expected = {
        (a, b)
        for a, b in itertools.permutations(range(1, objects.max() + 1), 2)
        if box_gap(objects == a, objects == b, VOXEL) <= 0.3
    }
    assert expected
    assert set(map(tuple, contacts.pairs.tolist())) == expected


def test_an_object_inside_another_is_in_contact() -> None:
    outer, inner = np.zeros((9, 9, 9), np.int32), np.zeros((9, 9, 9), np.int32)
    outer[1:8, 1:8, 1:8], inner[4, 4, 4] = 1, 1
    for first, second in ((outer, inner), (inner, outer)):
        assert faces_of(first).contacts(second, Reach.within(0.0, VOXEL)).pairs.tolist() == [[1, 1]]


@pytest.mark.parametrize("voxel", [(0.1, 0.1, 0.1), (0.2, 0.1, 0.1), (0.195, 0.098, 0.098)], ids=str)
@pytest.mark.parametrize("radius", [0.5, 1.0, 2.0])
def test_area_of_balls(voxel, radius) -> None:
    rng = np.random.default_rng(6)
    areas = [faces_of(ball(radius, voxel, rng).astype(np.int32), voxel).areas_um2().sum() for _ in range(4)]
    assert np.mean(areas) == pytest.approx(4 * math.pi * radius**2, rel=0.015)


def test_area_of_ellipsoids() -> None:
    """Semi-axes 2, 1, 1 µm: A = 2π (1 + 2 arcsin(e) / e), e² = 3/4."""
    eccentricity = math.sqrt(0.75)
    exact = 2 * math.pi * (1 + 2 * math.asin(eccentricity) / eccentricity)
    rng = np.random.default_rng(7)
    areas = [faces_of(ellipsoid((2.0, 1.0, 1.0), (0.2, 0.1, 0.1), rng), (0.2, 0.1, 0.1)).areas_um2().sum()
             for _ in range(4)]  # fmt: skip
    assert np.mean(areas) == pytest.approx(exact, rel=0.015)


def test_area_of_a_cube_and_of_a_cut_slab() -> None:
    """Edges are rounded: a cube of 25 voxels loses some per cent. The volume's border is no surface."""
    cube = np.pad(np.ones((25, 25, 25), np.int32), 4)
    assert faces_of(cube, (0.1, 0.1, 0.1)).areas_um2().sum() == pytest.approx(6 * 2.5**2, rel=0.05)
    slab = np.zeros((8, 20, 30), np.int32)
    slab[:5] = 1
    assert faces_of(slab).areas_um2().sum() == pytest.approx(20 * 0.17 * 30 * 0.13, rel=1e-9)


@pytest.mark.parametrize("gap", [0.3, 0.5])
@pytest.mark.parametrize("voxel", [(0.1, 0.1, 0.1), (0.1, 0.05, 0.08)], ids=str)
def test_contact_area_of_a_ball_over_a_floor(voxel, gap) -> None:
    """A ball of R = 1 µm, 0.2 µm over a floor: the cap within the gap has the height h = gap - 0.2, A = 2πRh."""
    shape = tuple(math.ceil(3.0 / side) for side in voxel)
    z, y, x = np.meshgrid(*((np.arange(n) + 0.5) * side for n, side in zip(shape, voxel, strict=True)), indexing="ij")
    over = np.square(z - 1.7) + np.square(y - 1.5) + np.square(x - 1.5) <= 1.0
    floor = z < 0.5
    contacts = faces_of(over.astype(np.int32), voxel).contacts(floor.astype(np.int32), Reach.within(gap, voxel))
    exact = 2 * math.pi * (gap - 0.2)
    # The faces of the floor and of the ball lie up to half a voxel beside the true surfaces.
    assert contacts.area_um2[0] == pytest.approx(exact, abs=2 * math.pi * 0.5 * voxel[0] + 0.05 * exact)


def test_contact_area_of_touching_halves_is_that_of_the_plane_between_them() -> None:
    """A plane of any orientation through a block, seen in a ball of 1.5 µm around a point of it: π 1.5²."""
    voxel, rng = (0.15, 0.1, 0.1), np.random.default_rng(8)
    places = np.meshgrid(*((np.arange(n) - n / 2) * side for n, side in zip((28, 42, 42), voxel, strict=True)),
                         indexing="ij")  # fmt: skip
    for normal in [np.eye(3)[0], np.eye(3)[2], *rng.normal(size=(5, 3))]:
        below = sum(a * b for a, b in zip(normal, places, strict=True)) < 0.01
        ball_mask = sum(a**2 for a in places) < 1.5**2
        first, second = (below & ball_mask).astype(np.int32), (~below & ball_mask).astype(np.int32)
        contacts = faces_of(first, voxel).contacts(second, Reach.within(0.0, voxel), is_wall=True)
        # Both voxels of a face lie in the ball: at its rim up to half a voxel is lost.
        assert contacts.area_um2[0] == pytest.approx(math.pi * 1.5**2, rel=0.05)


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_flips_leave_the_values_equal(axes) -> None:
    first, second = random_objects(9, 0.006), random_objects(10, 0.006)
    reach = Reach.within(0.2, VOXEL)
    straight = faces_of(first).contacts(second, reach)
    flipped = faces_of(np.ascontiguousarray(np.flip(first, axes))).contacts(
        np.ascontiguousarray(np.flip(second, axes)), reach
    )
    assert straight.pairs.tolist() == flipped.pairs.tolist()
    np.testing.assert_allclose(flipped.area_um2, straight.area_um2, rtol=1e-9)


def test_planar_objects_have_contacts_but_no_area() -> None:
    labels = np.zeros((1, 8, 20), np.int32)
    labels[0, 2:4, 2:4] = 1
    other = np.zeros_like(labels)
    other[0, 4:7, 3:6] = 1
    contacts = faces_of(labels, (math.nan, 0.2, 0.1)).contacts(other, Reach.within(0.0, (math.nan, 0.2, 0.1)))
    assert contacts.pairs.tolist() == [[1, 1]]
    assert math.isnan(contacts.area_um2[0])


def test_steps_within_reach_by_hand() -> None:
    """Gap 0: the 27 voxels that touch; from a face the voxels at its two sides. Gap of one voxel: 5³ minus corners."""
    reach = Reach.within(0.0, (1.0, 1.0, 1.0))
    assert len(reach.voxel) == 27
    assert [sorted(map(tuple, reach.face[5, : reach.n_face[5]].tolist()))] == [[(0, 0, 0), (0, 0, 1)]]
    assert len(Reach.within(1.0, (1.0, 1.0, 1.0)).voxel) == 27 + 6 * 9
    assert len(Reach.within(0.0, (math.nan, 1.0, 1.0)).voxel) == 9
