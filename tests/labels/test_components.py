"""Components, labels and types against cc3d, scipy and counting."""

from __future__ import annotations

import cc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tomocyte.errors import ResourceError, SettingsError
from tomocyte.labels.components import connected_components
from tomocyte.labels.dtypes import label_dtype, refit
from tomocyte.labels.objects import assign_parents, label_extents, renumber

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


@pytest.mark.parametrize(("largest", "dtype"), [(0, "u1"), (255, "u1"), (256, "u2"), (65_535, "u2"), (65_536, "u4")])
def test_smallest_type(largest: int, dtype: str) -> None:
    assert np.dtype(label_dtype(largest)) == np.dtype(dtype)
    labels = np.array([0, largest], dtype=np.uint32)
    assert refit(labels).dtype == np.dtype(dtype)
    assert refit(labels).tolist() == [0, largest]
    assert refit(np.array([0], np.uint8), largest).dtype == np.dtype(dtype)


def test_types_that_are_no_labels() -> None:
    with pytest.raises(ResourceError, match="E-LABELS"):
        label_dtype(2**32)
    with pytest.raises(SettingsError, match="E-LABELS-TYPE"):
        refit(np.array([0.5]))
    with pytest.raises(SettingsError, match="E-LABELS-TYPE"):
        refit(np.array([-1]))


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


def test_parents_by_hand() -> None:
    cells = np.array([[[1, 1, 1, 2, 2, 0, 0]], [[1, 1, 1, 2, 2, 0, 0]]])
    children = np.array([[[0, 5, 5, 5, 0, 7, 7]], [[0, 3, 5, 5, 9, 9, 0]]])
    # 5: three voxels in 1, two in 2; 3 in 1; 7 outside; 9 one voxel in 2, one outside.
    assert assign_parents(children, cells) == {3: 1, 5: 1, 7: 0, 9: 2}
    assert assign_parents(np.zeros_like(cells), cells) == {}
    # Equally many: the smaller label.
    assert assign_parents(np.array([[[1, 1]]]), np.array([[[8, 6]]])) == {1: 6}
    with pytest.raises(SettingsError, match="E-SHAPE"):
        assign_parents(np.zeros((1, 2, 3), int), np.zeros((1, 3, 2), int))
