"""Objects cut into parts: against geometry."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import spatial

from tomocyte.corrections.edits import Place, Plane
from tomocyte.corrections.split import parts_by_plane, parts_by_seeds
from tomocyte.errors import InputError

SIZE_UM = (0.5, 0.3, 0.2)
CORNER = (2, 5, 7)


def place(*index: int) -> Place:
    """A voxel of the object, in the frame."""
    return Place(voxel=tuple(at + start for at, start in zip(index, CORNER, strict=True)))  # type: ignore[arg-type]


@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (0.0, 2.0, 0.0), (1.0, -1.0, 0.5)])
def test_a_plane_cuts_where_its_equation_changes_sign(normal: tuple[float, float, float]) -> None:
    inside = np.random.default_rng(2).random((5, 8, 9)) < 0.8
    through = (2.617, 2.551, 2.303)
    parts = parts_by_plane(inside, CORNER, Plane(through=Place(um=through), normal=normal), SIZE_UM)
    places = (np.argwhere(inside) + CORNER) * SIZE_UM
    is_ahead = (places - through) @ normal > 0
    assert (parts.dtype, parts.shape) == (np.uint32, inside.shape)
    np.testing.assert_array_equal(parts[inside], np.where(is_ahead, 2, 1))
    assert not parts[~inside].any()
    opposite = Plane(through=Place(um=through), normal=tuple(-n for n in normal))  # type: ignore[arg-type]
    np.testing.assert_array_equal(parts_by_plane(inside, CORNER, opposite, SIZE_UM)[inside], 3 - parts[inside])


def test_a_plane_beside_the_object_is_refused() -> None:
    with pytest.raises(InputError, match="E-EDIT-SPLIT"):
        parts_by_plane(np.ones((2, 3, 4), bool), CORNER, Plane(through=Place(um=(0, 0, 9)), normal=(0, 0, 1)), SIZE_UM)


def test_a_slab_without_a_waist_goes_to_the_nearest_seed_in_um() -> None:
    inside = np.ones((1, 6, 9), bool)
    seeds = [(0, 1, 1), (0, 4, 6), (0, 0, 8)]
    parts, has_waist = parts_by_seeds(inside, CORNER, [[place(*seed)] for seed in seeds], (math.nan, 0.3, 0.2))
    tree = spatial.KDTree(np.array(seeds)[:, 1:] * SIZE_UM[1:])
    distance, nearest = tree.query(np.argwhere(inside[0]) * SIZE_UM[1:], k=2)
    is_clear = distance[:, 1] - distance[:, 0] > 1e-9
    assert not has_waist
    np.testing.assert_array_equal(parts.reshape(-1)[is_clear], nearest[is_clear, 0] + 1)


def test_two_balls_are_cut_where_they_meet() -> None:
    """Equal balls of 1.5 µm whose centres lie 2.4 µm apart along x: each part is what lies on its side."""
    z, y, x = (np.arange(n) * size for n, size in zip((9, 13, 29), SIZE_UM, strict=True))
    z, y, x = z[:, None, None] - 2.0, y[:, None] - 1.8, x - 2.8
    balls = [(z**2 + y**2 + (x - side) ** 2 <= 1.5**2) for side in (-1.2, 1.2)]
    inside = balls[0] | balls[1]
    parts, has_waist = parts_by_seeds(inside, CORNER, [[place(4, 4, 5)], [place(5, 7, 24)]], SIZE_UM)
    assert has_waist
    expected = np.where(np.broadcast_to(x, inside.shape) < 0, 1, 2)
    is_clear = inside & (np.abs(np.broadcast_to(x, inside.shape)) > 0.1)
    np.testing.assert_array_equal(parts[is_clear], expected[is_clear])


@pytest.mark.parametrize(
    "seeds", [[(0, 0, 0), (0, 0, 0)], [(0, 0, 0), (0, 0, 3)], [(0, 0, 0), (0, 5, 1)]], ids=["same", "hole", "beside"]
)
def test_seeds_lie_in_the_object_and_in_voxels_of_their_own(seeds: list[tuple[int, int, int]]) -> None:
    inside = np.ones((1, 2, 5), bool)
    inside[0, 0, 3] = False
    with pytest.raises(InputError, match="E-EDIT-SPLIT"):
        parts_by_seeds(inside, CORNER, [[place(*seed)] for seed in seeds], SIZE_UM)
