"""Components, labels and types against cc3d, scipy and counting."""

from __future__ import annotations

import cc3d
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tomocyte.labels.components import connected_components
from tomocyte.labels.extents import label_extents

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=7), elements=st.booleans())


@settings(deadline=None, max_examples=200)
@given(MASKS, st.sampled_from([(1, 6), (3, 26)]))
def test_components_equal_cc3d(mask: np.ndarray, connectivity: tuple[int, int]) -> None:
    found = connected_components(mask, connectivity=connectivity[0])
    # Padded, because cc3d 4 raises on some arrays that are one voxel thin.
    padded, n = cc3d.connected_components(np.pad(mask, 1), connectivity=connectivity[1], return_N=True)
    other = padded[1:-1, 1:-1, 1:-1]
    labels = found.paint()
    assert found.n == n
    # Same partition, whatever the numbers.
    pairs = np.unique(np.stack([labels.ravel(), other.ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(labels))
    assert np.array_equal(labels > 0, mask)
    assert found.n_voxels[1:].tolist() == np.bincount(labels.ravel())[1:].tolist()
    firsts = [int(np.flatnonzero(labels.ravel() == label)[0]) for label in range(1, n + 1)]
    assert firsts == sorted(firsts)


def test_components_equal_cc3d_on_a_large_mask() -> None:
    mask = np.random.default_rng(0).random((41, 53, 67)) < 0.28
    assert np.array_equal(connected_components(mask).paint(), cc3d.connected_components(mask, connectivity=6))


def test_boxes_by_hand() -> None:
    mask = np.zeros((4, 5, 6), dtype=bool)
    mask[1:3, 2, 3:6] = True
    mask[0, 0, 0] = True
    found = connected_components(mask)
    assert found.lower[1:].tolist() == [[0, 0, 0], [1, 2, 3]]
    assert found.upper[1:].tolist() == [[1, 1, 1], [3, 3, 6]]
    extents = label_extents(found.paint())
    assert extents.box(2, mask.shape) == (slice(1, 3), slice(2, 3), slice(3, 6))
    assert extents.box(2, mask.shape, margin=2) == (slice(0, 4), slice(0, 5), slice(1, 6))


def test_components_that_reach_a_core() -> None:
    mask = np.array([[[1, 1, 0, 1, 0, 1]]], dtype=bool)
    core = np.array([[[0, 1, 1, 0, 0, 1]]], dtype=bool)
    assert connected_components(mask).reach(core).tolist() == [False, True, False, True]
    assert connected_components(mask).paint(np.array([False, True, False, True])).tolist() == [[[1, 1, 0, 0, 0, 2]]]
