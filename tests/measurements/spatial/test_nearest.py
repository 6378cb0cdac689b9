"""Objects of one kind among each other against brute force over all pairs of voxels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_surfaces import VOXEL, box_gap, random_objects

from tomocyte.measurements._label_runs import label_runs
from tomocyte.measurements.spatial.nearest import nearest_of_kind


def matrix(objects: np.ndarray, voxel) -> np.ndarray:
    """Distances of all objects among each other, infinite to themselves."""
    masks = [objects == number for number in range(1, objects.max() + 1)]
    rows = [[box_gap(one, other, voxel) if one is not other else math.inf for other in masks] for one in masks]
    return np.array(rows)


@pytest.mark.parametrize("gap", [0.0, 0.3])
@pytest.mark.parametrize("share", [0.001, 0.004])
def test_distances_and_contacts(share, gap) -> None:
    for seed in range(2):
        objects = random_objects(seed, share)
        apart = matrix(objects, VOXEL)
        distances, n_contacts = nearest_of_kind(label_runs(objects.astype(np.uint16)), VOXEL, gap)
        np.testing.assert_allclose(distances, apart.min(axis=1), rtol=1e-9)
        assert n_contacts.tolist() == (apart <= gap * (1 + 1e-9)).sum(axis=1).tolist()


def test_shifted_objects_are_as_painted_elsewhere() -> None:
    rng = np.random.default_rng(5)
    for _ in range(5):
        objects = np.zeros((20, 40, 40), np.uint16)
        shifts = np.stack([rng.integers(-9, 9, 4), rng.integers(-9, 9, 4), rng.integers(-9, 9, 4)], axis=1)
        painted = np.zeros_like(objects)
        for number, corner in enumerate([(9, 9, 9), (9, 9, 24), (9, 24, 9), (9, 24, 24)], start=1):
            for low, high in ((0, 2), (1, 3)):
                place = [slice(at + low, at + high) for at in corner]
                objects[tuple(place)] = number
                at = np.array(corner) + shifts[number - 1]
                painted[tuple(slice(start + low, start + high) for start in at)] = number
        if len(np.unique(painted)) < 5 or (painted > 0).sum() < (objects > 0).sum():
            continue  # they overlap
        moved, _ = nearest_of_kind(label_runs(objects), VOXEL, 0.1, shifts)
        np.testing.assert_allclose(moved, matrix(painted, VOXEL).min(axis=1), rtol=1e-9)


def test_planar_objects_are_as_far_apart_as_in_the_plane() -> None:
    labels = np.zeros((1, 8, 20), np.uint8)
    labels[0, 1, 1], labels[0, 5, 5] = 1, 2
    distances, _ = nearest_of_kind(label_runs(labels), (math.nan, 0.2, 0.1), 0.0)
    np.testing.assert_allclose(distances, math.hypot(3 * 0.2, 3 * 0.1))


def test_one_object_has_no_other() -> None:
    distances, n_contacts = nearest_of_kind(label_runs(np.ones((1, 2, 2), np.uint8)), VOXEL, 1.0)
    assert np.isnan(distances).all()
    assert n_contacts.tolist() == [0]
