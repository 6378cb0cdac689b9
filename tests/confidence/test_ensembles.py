"""Members added one by one, against NumPy's mean and standard deviation."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.confidence.ensembles import MOST_MEMBERS, Ensemble, flips
from tomocyte.errors import SettingsError


def test_mean_and_spread_are_numpys() -> None:
    members = np.random.default_rng(2).integers(0, 256, (5, 2, 3, 4, 5), dtype=np.uint8)
    together = Ensemble(members.shape[1:])
    for member in members:
        together.add(member)
    np.testing.assert_allclose(together.mean(), members.mean(axis=0), atol=0.5)
    np.testing.assert_allclose(together.spread(), members.std(axis=0), atol=0.5)


def test_most_members_do_not_overflow() -> None:
    together = Ensemble((1, 1, 1, 2))
    for number in range(MOST_MEMBERS):
        together.add(np.array([[[[255, 255 * (number % 2)]]]], np.uint8))
    assert together.mean().ravel().tolist() == [255, 128]
    assert together.spread().ravel().tolist() == [0, 128]
    with pytest.raises(SettingsError, match="E-ENSEMBLE"):
        together.add(np.zeros((1, 1, 1, 2), np.uint8))


def test_members_of_another_shape_and_none_at_all_are_refused() -> None:
    together = Ensemble((1, 2, 3, 4))
    with pytest.raises(SettingsError, match="E-ENSEMBLE"):
        together.mean()
    for wrong in (np.zeros((1, 2, 3, 5), np.uint8), np.zeros((1, 2, 3, 4), np.float32)):
        with pytest.raises(SettingsError, match="E-SHAPE"):
            together.add(wrong)


def test_flips_are_all_subsets_and_undo_themselves() -> None:
    found = list(flips(3))
    assert len(found) == len(set(found)) == 8
    image = np.random.default_rng(3).random((2, 3, 4, 5))
    seen = set()
    for axes in found:
        turned = np.flip(image, axes) if axes else image
        seen.add(turned.tobytes())
        np.testing.assert_array_equal(np.flip(turned, axes) if axes else turned, image)
    assert len(seen) == 8
