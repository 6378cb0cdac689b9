"""Tiles that hold nothing."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.segmentation.prediction.empty_tiles import EmptyTile

NETWORK_UM = (0.4, 0.2, 0.2)


@pytest.mark.parametrize(("excess", "is_empty"), [(0.0, True), (0.03, True), (0.3, False), (-0.3, False)])
def test_what_counts_as_empty(excess: float, is_empty: bool) -> None:
    """One block of 1 µm³ decides: 2 x 5 x 5 voxels of 0.4 x 0.2 x 0.2 µm; the margin is 0.05."""
    tile = np.random.default_rng(0).normal(0, 0.02, (2, 7, 12, 13)).astype(np.float32)
    tile[1, 2:4, 5:10, 5:10] += np.float32(excess)
    assert EmptyTile(0.05, NETWORK_UM)(tile) is is_empty
