"""Children and the cells that they lie in."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.errors import SettingsError
from tomocyte.labels.parents import assign_parents


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
