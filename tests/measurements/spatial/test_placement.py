"""Random placement: where objects may lie against scipy's erosion, evenly used, without overlap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage, stats

from tomocyte.measurements.spatial import placement
from tomocyte.measurements.spatial.chance import compare
from tomocyte.measurements.spatial.placement import movables, place
from tomocyte.measurements.spatial.surfaces import Faces

VOXEL = (0.31, 0.17, 0.13)


def drawn(movable, at, shape) -> np.ndarray:
    """The placed objects as counts per voxel."""
    counts = np.zeros(math.prod(shape), int)
    for one, spot in zip(movable, at, strict=True):
        np.add.at(counts, one.steps + spot, 1)
    return counts.reshape(shape)


def scene() -> tuple[np.ndarray, np.ndarray]:
    """An irregular allowed region and three objects in it."""
    rng = np.random.default_rng(1)
    allowed = ndimage.gaussian_filter(rng.random((9, 18, 22)), 1.5) > 0.51
    objects = np.zeros(allowed.shape, np.int32)
    objects[2:4, 3:5, 4:9], objects[6, 9, 9], objects[4:6, 12:15, 3:5] = 1, 2, 3
    return allowed, objects


@pytest.mark.parametrize("pilot", [0, 300], ids=["listed", "tried"])
def test_places_are_those_of_an_erosion_and_are_used_evenly(pilot, monkeypatch) -> None:
    monkeypatch.setattr(placement, "PILOT_TRIES", pilot)
    allowed, objects = scene()
    form = np.ones((2, 2, 5))
    # scipy's centre of a form is the voxel n // 2 along each axis.
    expected = ndimage.binary_erosion(allowed, form)
    n_places = int(expected.sum())
    assert 5 < n_places < 400
    rng = np.random.default_rng(2)
    single = movables(Faces.of((objects == 1).astype(np.int32), 1, VOXEL), allowed, rng)
    spots = [int(place(single, allowed.astype(np.uint8), rng)[0][0]) for _ in range(40 * n_places)]
    lowest = np.array(np.unravel_index(spots, allowed.shape)).T + single[0].low
    centres = {tuple(corner + np.array([1, 1, 2])) for corner in lowest}
    assert centres == set(map(tuple, np.argwhere(expected)))
    assert stats.chisquare(np.unique(spots, return_counts=True)[1]).pvalue > 0.001


def test_placed_objects_keep_their_form_stay_in_the_region_and_apart() -> None:
    allowed, objects = scene()
    rng = np.random.default_rng(3)
    movable = movables(Faces.of(objects, 3, VOXEL), allowed, rng)
    places = set()
    for _ in range(200):
        at, n_staying = place(movable, allowed.astype(np.uint8), rng)
        counts = drawn(movable, at, allowed.shape)
        assert n_staying == 0
        assert counts.max() == 1
        assert counts.sum() == (objects > 0).sum()
        assert not (counts.astype(bool) & ~allowed).any()
        places.add(tuple(at.tolist()))
    assert len(places) > 150
    home = np.array([one.home for one in movable])
    np.testing.assert_array_equal(drawn(movable, home, allowed.shape) > 0, objects > 0)


def test_an_object_that_fits_nowhere_stays_and_keeps_its_place_free() -> None:
    """A corridor of one voxel: the thick object has no place in it, the single voxel every other."""
    allowed, objects = np.zeros((3, 5, 12), np.bool_), np.zeros((3, 5, 12), np.int32)
    allowed[1, 2] = True
    objects[0:2, 1:3, 4:6], objects[1, 2, 9] = 1, 2
    rng = np.random.default_rng(4)
    movable = movables(Faces.of(objects, 2, VOXEL), allowed, rng)
    assert [len(one.candidates) > 0 for one in movable] == [False, True]
    columns = set()
    for _ in range(200):
        at, n_staying = place(movable, allowed.astype(np.uint8), rng)
        assert n_staying == 1
        assert at[0] == movable[0].home
        columns.add(int(at[1]) % 12)
    assert columns == set(range(12)) - {4, 5}


def test_objects_without_room_for_all_stay_where_they_are() -> None:
    """Two objects of three voxels in a corridor of five: the one that comes second never finds room."""
    allowed, objects = np.zeros((1, 3, 7), np.bool_), np.zeros((1, 3, 7), np.int32)
    allowed[0, 1, 1:6] = True
    objects[0, 1, 1:4], objects[0, 0, 0:3] = 1, 2
    rng = np.random.default_rng(5)
    movable = movables(Faces.of(objects, 2, (math.nan, 0.2, 0.1)), allowed, rng)
    at, n_staying = place(movable, allowed.astype(np.uint8), rng)
    assert (at[1], n_staying) == (movable[1].home, 1)


def test_a_whole_region_that_is_forbidden() -> None:
    objects = np.zeros((3, 4, 5), np.int32)
    objects[1, 1, 1] = 1
    movable = movables(Faces.of(objects, 1, VOXEL), np.zeros(objects.shape, np.bool_), np.random.default_rng(6))
    assert len(movable[0].candidates) == 0


@pytest.mark.parametrize(
    ("observed", "placed", "expected"),
    [
        # 0 of 4 placements as high: 2 · (1 + 0) / 5; mean 2.5, standard deviation √(5/3).
        (5.0, [1, 2, 3, 4], (2.5, 2.0, 2.5 / math.sqrt(5 / 3), 0.4)),
        # In the middle: 2 · (1 + 2) / 5, at most 1.
        (2.5, [1, 2, 3, 4], (2.5, 1.0, 0.0, 1.0)),
        # Ties count as at least as extreme.
        (3.0, [1, 2, 3, 3], (2.25, 4 / 3, 0.75 / math.sqrt(2.75 / 3), 1.0)),
        (0.0, [0, 0, 0], (0.0, math.nan, math.nan, 1.0)),
        (math.nan, [1, 2], (math.nan,) * 4),
        (1.0, [], (math.nan,) * 4),
    ],
)  # fmt: skip
def test_comparisons_by_hand(observed, placed, expected) -> None:
    result = compare(observed, np.array(placed, float))
    np.testing.assert_allclose([result.expected, result.effect, result.z, result.p], expected, rtol=1e-12)
