"""Which slice to label next, against volumes whose answer is counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.errors import SettingsError
from tomocyte.propagation import DenseLabels, propagate
from tomocyte.propagation.next_slice import ErrorProfile, labour_saved, next_slices, profile_errors

SIZE = (0.7, 0.3, 0.2)


def profile(errors: list[float], slices: tuple[int, ...]) -> ErrorProfile:
    return ErrorProfile(slices, np.array(errors), np.ones(len(errors), bool), np.zeros((len(errors), 2), np.int64))


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_the_only_change_lies_in_one_slab(axis: str) -> None:
    """A bar that is the same on slices 0, 10, 30 and 40 and jumps between 10 and 30: the next slice lies there."""
    labels = np.zeros((41, 12, 30), np.uint8)
    labels[[0, 10], 4:8, 2:6] = labels[[30, 40], 4:8, 20:24] = 1
    turned = np.moveaxis(labels, 0, "zyx".index(axis))
    dense = propagate(turned, voxel_size_um=SIZE, axis=axis)
    first, *_ = next_slices(profile_errors(dense, (0, 10, 30, 40), axis), 5)
    assert 10 < first.index < 30
    assert 2 <= first.place[0] < 10


def test_errors_that_grow_with_the_gap() -> None:
    """A bridge over 6 slices spreads by 8/6, 9/6, 8/6 on slices 2 to 4; over 3 by 2/3: half of the 8 is left there.

    Labelling slice 3 leaves 4 and 4 of 25; labelling slice 2 leaves 3/4 and 1 of the spread, 4.5 and 6.
    """
    (best,) = next_slices(profile([0, 0, 8, 9, 8, 0, 0], (0, 6)), 1)
    assert best.index == 3
    assert best.gain_voxels == pytest.approx(17)


def test_errors_that_are_everywhere_halve_the_gap() -> None:
    """The bridge spreads by 5/6, 8/6, 9/6, 8/6, 5/6; over 3 slices by 2/3: 7 become 5.6 and 3.5 on both sides.

    Of these, labelling slice 1 leaves 7 / (8/6) / 2 = 2.625 on slice 2.
    """
    found = next_slices(profile([0, 7, 7, 7, 7, 7, 0], (0, 6)), 9)
    assert found[0].index == 3
    assert found[0].gain_voxels == pytest.approx(35 - 2 * (5.6 + 3.5))
    assert {one.index for one in found[1:3]} == {1, 5}
    assert found[1].gain_voxels == pytest.approx(5.6 + 3.5 - 2.625)
    assert sum(one.gain_voxels for one in found) == pytest.approx(35)


def test_the_larger_of_two_gaps_comes_first_unless_less_is_wrong_in_it() -> None:
    slices = (0, 6, 16)
    even = np.full(17, 3.0)
    even[list(slices)] = 0
    assert next_slices(profile(even.tolist(), slices), 1)[0].index == 11
    even[7:16] = 1
    assert next_slices(profile(even.tolist(), slices), 1)[0].index == 3


def test_gains_never_exceed_what_is_expected_to_be_wrong_and_end_with_it() -> None:
    errors = np.random.default_rng(0).uniform(0, 50, 40).round(1)
    slices = (3, 17, 30)
    errors[list(slices)] = 0
    found = next_slices(profile(errors.tolist(), slices), 100)
    assert {one.index for one in found} == set(range(40)) - set(slices)
    assert sum(one.gain_voxels for one in found) == pytest.approx(errors.sum())
    assert found[0].gain_voxels >= errors.max() - 1e-9


def test_what_was_not_filled_counts_as_the_nearest_labels() -> None:
    """Shape alone leaves slices beyond the last labelled one empty: 6 voxels each, not the whole slice of 40."""
    labels = np.zeros((6, 4, 10), np.uint8)
    labels[0, :2, :3] = labels[2, :2, :3] = 1
    errors = profile_errors(propagate(labels, voxel_size_um=SIZE), (0, 2))
    assert errors.errors.tolist() == [0, 0, 0, 6, 6, 6]
    assert errors.is_filled.tolist() == [True, True, True, False, False, False]
    assert next_slices(errors, 1)[0].index == 5


def test_labour_is_counted() -> None:
    """25 painted of 461 slices: 436 are saved, 94.6 %."""
    assert labour_saved(25, 461) == pytest.approx(436 / 461)
    assert f"{labour_saved(25, 461):.1%}" == "94.6%"


def test_without_uncertainty_nothing_is_named() -> None:
    empty = np.full((3, 2, 2), np.nan, np.float32)
    with pytest.raises(SettingsError, match="E-PROPAGATION-SETTINGS"):
        profile_errors(DenseLabels(np.zeros((3, 2, 2), np.uint8), empty), (0, 2))
