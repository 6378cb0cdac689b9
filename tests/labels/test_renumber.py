"""Labels numbered in raster order."""

from __future__ import annotations

import numpy as np

from tomocyte.labels.components import connected_components
from tomocyte.labels.parents import assign_parents
from tomocyte.labels.renumber import renumber


def many_objects() -> np.ndarray:
    """70,000 single voxels: 70 × 40 × 25 on every second voxel."""
    mask = np.zeros((140, 80, 50), dtype=bool)
    mask[::2, ::2, ::2] = True
    return mask


def test_seventy_thousand_objects() -> None:
    mask = many_objects()
    labels = connected_components(mask).paint()
    assert labels.dtype == np.uint32
    assert np.array_equal(labels[mask], np.arange(1, 70_001))
    assert np.array_equal(renumber(labels[::-1])[::-1][-2][::2, ::2].ravel(), np.arange(1, 1001))
    keep = np.arange(70_001) > 4_465
    assert renumber(labels, keep).dtype == np.uint16
    assert int(renumber(labels, keep).max()) == 65_535
    parents = assign_parents(labels, np.where(mask, np.uint32(3), np.uint32(0)))
    assert len(parents) == 70_000
    assert set(parents.values()) == {3}


def test_renumber_in_raster_order() -> None:
    labels = np.array([[[0, 9, 4]], [[4, 2, 9]]], dtype=np.uint8)
    assert renumber(labels).tolist() == [[[0, 1, 2]], [[2, 3, 1]]]
    keep = np.ones(10, dtype=bool)
    keep[9] = False
    assert renumber(labels, keep).tolist() == [[[0, 0, 1]], [[1, 2, 0]]]
    assert labels[0, 0, 1] == 9
