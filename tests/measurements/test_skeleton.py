"""Centre lines against formulas and, voxel by voxel, against skan."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from bodies import ball, box, ellipsoid, filament, torus

from tomocyte.measurements import measurements
from tomocyte.measurements._skeleton import _canonical, _refined, _thinned, skeleton_of
from tomocyte.measurements.hull import feret_diameter_max_um, feret_diameter_min_um

ODT = (0.195, 0.098, 0.098)
VOXELS = [(0.1, 0.1, 0.1), ODT, (0.3, 0.1, 0.1)]
NAMES = (
    "skeleton_length_um", "n_skeleton_branches", "n_skeleton_junctions", "n_skeleton_ends", "mean_branch_length_um",
    "longest_branch_length_um", "tortuosity", "mean_thickness_um", "max_thickness_um", "feret_diameter_min_um",
)  # fmt: skip


def measured(region) -> dict[str, float]:
    return {name: measurements("object")[name](region) for name in NAMES}


def tubes(paths_um: list[list[tuple[float, float, float]]], radius_um: float, voxel: tuple[float, ...]) -> np.ndarray:
    """Voxels within a distance of polygons that lie in the positive octant."""
    corners = np.concatenate([np.array(path) for path in paths_um])
    counts = np.ceil((corners.max(axis=0) + 2 * radius_um) / voxel).astype(int)
    places = np.stack(np.meshgrid(*(np.arange(n) * s for n, s in zip(counts, voxel, strict=True)), indexing="ij"), -1)
    mask = np.zeros(counts, np.bool_)
    for path in paths_um:
        for start, stop in itertools.pairwise(np.array(path)):
            along = stop - start
            part = np.clip((places - start) @ along / (along @ along), 0, 1)
            mask |= np.linalg.norm(places - start - part[..., None] * along, axis=-1) <= radius_um
    return mask


@pytest.mark.parametrize("voxel", VOXELS, ids=str)
@pytest.mark.parametrize("radius_um", [0.25, 0.4, 0.8])
def test_a_straight_tube(make_region, voxel, radius_um) -> None:
    """Between the centres of its round ends it is 6 µm long; the stairs of the voxels make no length."""
    rows = [measured(make_region(filament(radius_um, 6.0, voxel, np.random.default_rng(s)), voxel)) for s in range(4)]
    for row in rows:
        assert (row["n_skeleton_branches"], row["n_skeleton_junctions"], row["n_skeleton_ends"]) == (1, 0, 2)
        assert row["tortuosity"] == pytest.approx(1.0, abs=0.05)
        assert row["mean_branch_length_um"] == row["longest_branch_length_um"] == row["skeleton_length_um"]
    assert np.mean([row["skeleton_length_um"] for row in rows]) == pytest.approx(6.0, rel=0.08)
    assert np.mean([row["mean_thickness_um"] for row in rows]) == pytest.approx(2 * radius_um, abs=0.7 * voxel[0])
    assert np.mean([row["max_thickness_um"] for row in rows]) == pytest.approx(2 * radius_um, abs=0.7 * voxel[0])


@pytest.mark.parametrize("voxel", VOXELS, ids=str)
def test_a_ring(make_region, voxel) -> None:
    for seed in range(4):
        row = measured(make_region(torus(3.0, 0.5, voxel, np.random.default_rng(seed)), voxel))
        assert (row["n_skeleton_branches"], row["n_skeleton_junctions"], row["n_skeleton_ends"]) == (1, 0, 0)
        assert row["skeleton_length_um"] == pytest.approx(2 * math.pi * 3.0, rel=0.01)
        assert math.isnan(row["tortuosity"])


@pytest.mark.parametrize("voxel", VOXELS, ids=str)
def test_a_star_of_five_arms_and_a_ladder(make_region, voxel) -> None:
    middle = (3.0, 3.0, 3.0)
    ends = [(0.8, 3.0, 3.0), (5.2, 3.2, 2.5), (3.0, 0.8, 3.5), (3.0, 5.2, 3.0), (3.5, 3.0, 6.5)]
    row = measured(make_region(tubes([[middle, end] for end in ends], 0.3, voxel), voxel))
    assert (row["n_skeleton_branches"], row["n_skeleton_junctions"], row["n_skeleton_ends"]) == (5, 1, 5)
    arms = [math.dist(middle, end) for end in ends]
    assert row["skeleton_length_um"] == pytest.approx(sum(arms), rel=0.08)
    assert row["longest_branch_length_um"] == pytest.approx(max(arms), rel=0.1)
    ladder = [[(1, 1, 1), (1, 1, 8)], [(1, 4, 1), (1, 4, 8)], [(1, 1, 3), (1, 4, 3)], [(1, 1, 6), (1, 4, 6)]]
    row = measured(make_region(tubes(ladder, 0.3, voxel), voxel))
    # Each rail in three pieces, two rungs.
    assert (row["n_skeleton_branches"], row["n_skeleton_junctions"], row["n_skeleton_ends"]) == (8, 4, 4)
    # The four free ends lie up to a diameter before the tips.
    assert 2 * 7 + 2 * 3 - 4 * 0.3 < row["skeleton_length_um"] < 2 * 7 + 2 * 3


def test_a_cavity_changes_no_centre_line(make_region) -> None:
    mask = tubes([[(1, 1, 1), (1, 2, 5)]], 0.5, (0.1, 0.1, 0.1))
    hollow = mask.copy()
    hollow[9:12, 14:17, 28:31] = False
    assert mask.sum() - hollow.sum() == 27
    filled = measured(make_region(mask, (0.1, 0.1, 0.1)))
    assert measured(make_region(hollow, (0.1, 0.1, 0.1))) == pytest.approx(filled)
    assert filled["n_skeleton_branches"] == 1


def test_a_bump_of_the_surface_is_no_branch(make_region) -> None:
    """A tube of 0.8 µm radius with a wart of 0.2 µm; thinning alone makes it a third branch."""
    path = [[(1.5, 1.5, 1.5), (1.5, 1.5, 6.0)]]
    tube, wart = tubes(path, 0.8, (0.1, 0.1, 0.1)), tubes([[(1.5, 1.5, 3.5), (1.5, 2.3, 3.5)]], 0.2, (0.1, 0.1, 0.1))
    mask = np.zeros(np.maximum(tube.shape, wart.shape), np.bool_)
    for part in (tube, wart):
        mask[tuple(slice(side) for side in part.shape)] |= part
    assert len(skeleton_of(mask, (0.1, 0.1, 0.1), is_pruned=False).branches) == 3
    row = measured(make_region(mask, (0.1, 0.1, 0.1)))
    assert (row["n_skeleton_branches"], row["n_skeleton_junctions"], row["n_skeleton_ends"]) == (1, 0, 2)


def test_a_half_circle_is_more_than_half_as_long_again_as_straight(make_region) -> None:
    angles = np.linspace(0, math.pi, 60)
    arc = [(1.0, 1 + 4 * math.sin(a), 6 - 4 * math.cos(a)) for a in angles]
    row = measured(make_region(tubes([arc], 0.3, (0.1, 0.1, 0.1)), (0.1, 0.1, 0.1)))
    # As both ends are missing a little: (θ/2) / sin(θ/2) of an arc between 0.9 π and π.
    assert 0.45 * math.pi / math.sin(0.45 * math.pi) < row["tortuosity"] < math.pi / 2


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_chains_are_those_of_skan(seed) -> None:
    """Without pruning, and measured from voxel to voxel, skan sees the same length, ends and junctions."""
    import skan
    from scipy.ndimage import gaussian_filter

    first, second = (gaussian_filter(noise, 4) for noise in np.random.default_rng(seed).normal(size=(2, 40, 60, 64)))
    # Both are zero on curves; tubes around these branch and close in rings.
    mask = np.square(first / first.std()) + np.square(second / second.std()) < 0.15
    sides = np.full(3, 0.1)
    voxels, _ = _thinned(_refined(np.pad(_canonical(mask, sides)[0], 1), sides)[0], sides)
    thin = np.zeros(voxels.max(axis=0) + 2, np.bool_)
    thin[tuple(voxels.T)] = True
    theirs = skan.Skeleton(thin, spacing=sides, keep_images=False)
    own = skeleton_of(mask, (0.1, 0.1, 0.1), is_pruned=False)
    ours = sum(branch.chain_length_um for branch in own.branches)
    assert ours == pytest.approx(theirs.path_lengths().sum(), rel=0.01)
    assert own.n_ends == int((theirs.degrees == 1).sum()) > 50


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_no_branch_is_lost_in_any_direction(make_region, order) -> None:
    """Thinning in the order of some axes alone eats both free ends of a rail here."""
    rails = [[(1, 1, 1), (1, 1, 8)], [(1, 4, 1), (1, 4, 8)], [(1, 1, 3), (1, 4, 3)], [(1, 1, 6), (1, 4, 6)]]
    mask = tubes(rails, 0.3, ODT).transpose(order)
    row = measured(make_region(mask, tuple(ODT[axis] for axis in order)))
    assert (row["n_skeleton_branches"], row["n_skeleton_junctions"], row["n_skeleton_ends"]) == (8, 4, 4)


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_mirror_images_have_the_same_skeleton(make_region, axes) -> None:
    mask = tubes([[(1, 1, 1), (2, 4, 5), (4, 5, 7)], [(2, 4, 5), (4, 2, 7)]], 0.4, ODT)
    expected = measured(make_region(mask, ODT))
    assert measured(make_region(np.flip(mask, axes), ODT)) == pytest.approx(expected, rel=1e-9, nan_ok=True)


def test_a_ball_has_a_point_and_no_branch(make_region) -> None:
    row = measured(make_region(ball(1.5, (0.1, 0.1, 0.1), np.random.default_rng(1)), (0.1, 0.1, 0.1)))
    assert row["skeleton_length_um"] < 0.2
    assert math.isnan(row["tortuosity"]) == (row["n_skeleton_branches"] == 0)
    assert row["max_thickness_um"] == pytest.approx(3.0, rel=0.05)


def test_planar_images(make_region) -> None:
    """An L of two straight bars, 0.5 µm wide, whose axes are 6 and 4 µm long."""
    mask = np.zeros((1, 80, 100), np.bool_)
    mask[0, 10:15, 10:75] = True
    mask[0, 10:52, 10:15] = True
    row = measured(make_region(mask, (math.nan, 0.1, 0.1)))
    assert (row["n_skeleton_branches"], row["n_skeleton_ends"]) == (1, 2)
    assert row["skeleton_length_um"] == pytest.approx(6.0 + 3.7, rel=0.05)
    assert row["mean_thickness_um"] == pytest.approx(0.5, abs=0.11)


@pytest.mark.parametrize("voxel", VOXELS, ids=str)
def test_feret_diameters(make_region, voxel) -> None:
    """A box lies between two faces, an ellipsoid between two poles; an even tetrahedron between two of its edges."""
    region = make_region(box((1.2, 3.0, 5.0), voxel, np.random.default_rng(2)), voxel)
    assert 1.2 - voxel[2] < feret_diameter_min_um(region) < 1.2 + sum(voxel)
    assert feret_diameter_max_um(region) == pytest.approx(math.sqrt(1.2**2 + 3**2 + 5**2), abs=2 * voxel[0])
    region = make_region(ellipsoid((1.0, 2.0, 3.0), voxel, np.random.default_rng(2)), voxel)
    assert 2.0 - voxel[2] < feret_diameter_min_um(region) < 2.0 + sum(voxel)


def test_the_smallest_feret_diameter_of_few_voxels(make_region) -> None:
    assert feret_diameter_min_um(make_region(np.ones((2, 3, 5), np.bool_), (0.5, 0.2, 0.1))) == pytest.approx(0.5)
    diagonal = np.eye(3, dtype=bool)[None] & np.ones((1, 1, 1), bool)
    # Squares of side 1 along a diagonal: between the two lines along it, 2 / sqrt(2).
    assert feret_diameter_min_um(make_region(diagonal, (math.nan, 1.0, 1.0))) == pytest.approx(math.sqrt(2))
    # Of the same cubes, one layer: the layer's thickness.
    assert feret_diameter_min_um(make_region(diagonal, (1.0, 1.0, 1.0))) == pytest.approx(1.0)
