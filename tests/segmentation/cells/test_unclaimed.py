"""Voxels of the mask that no nucleus reaches."""

from __future__ import annotations

import numpy as np

from tomocyte.segmentation.cells.unclaimed import anchored, place_unclaimed
from tomocyte.segmentation.cells.votes import FULL
from tomocyte.segmentation.cells.windows import (
    CellByCellSettings,
    make_grid,
)


def test_pieces_without_a_nucleus_are_loosened() -> None:
    cells = np.zeros((3, 4, 9), dtype=np.uint32)
    cells[1, 1:3, 1:4] = 1
    cells[1, 1:3, 4:6] = 2
    cells[1, 3, 6] = 2  # over an edge only
    cells[1, 1, 8] = 1
    nuclei = np.zeros_like(cells)
    nuclei[1, 1, 2], nuclei[1, 2, 5], nuclei[1, 1, 4] = 1, 2, 1
    expected = cells.copy()
    expected[1, 3, 6] = expected[1, 1, 8] = 0
    assert np.array_equal(anchored(cells, nuclei), expected)


def test_what_nobody_claims_is_a_cell_a_rim_or_a_loose_piece() -> None:
    settings = CellByCellSettings(voxel_size_um=(1, 1, 1), min_cell_um3=20.0, min_cell_depth_um=2.0, attach_um=1.0)
    membrane = np.zeros((7, 12, 40), dtype=bool)
    membrane[1:6, 2:9, 2:10] = True  # claimed
    membrane[1:6, 2:9, 10] = True  # a rim of 35 um3, thin: attached
    membrane[3, 5, 12] = True  # 1 um from it: attached
    membrane[3, 5, 16:18] = True  # too far: stays 0
    membrane[1:6, 2:9, 25:32] = True  # alone and large: a cell of its own
    membrane[3:5, 3, 36] = True  # alone and small: stays 0
    cells = np.zeros(membrane.shape, dtype=np.uint32)
    cells[1:6, 2:9, 2:10] = 4
    share = np.where(cells != 0, FULL, 0).astype(np.uint16)
    grid = make_grid(membrane.shape, (1, 1, 1), settings)  # type: ignore[arg-type]
    placed, weights, n_attached = place_unclaimed(cells, share, membrane, grid, settings)
    inside = np.where(membrane, placed, 0)
    assert (inside[1:6, 2:9, 2:11] == 4).all()
    assert inside[3, 5, 12] == 0  # two voxels from the rim's middle: 2 um, beyond 1 um and half a voxel
    assert (inside[1:6, 2:9, 25:32] == 5).all()
    assert not inside[3, 5, 16:18].any()
    assert not inside[3:5, 3, 36].any()
    assert n_attached == 35
    assert (weights[cells != 0] == FULL).all()
    assert (weights[1:6, 2:9, 10] == FULL // 2).all()
    thin = settings.model_copy(update={"min_cell_depth_um": 1.0})
    placed, _, n_attached = place_unclaimed(cells, share, membrane, grid, thin)
    assert (placed[1:6, 2:9, 10] == 4).all()  # 35 of the only cell's 280 um3: a far end of it
    # It meets the cell over 35 um2, 3.3 times its volume^(2/3).
    for change in ({"min_touching_share": 0.12}, {"joined_contact": 4.0}):
        placed, _, n_attached = place_unclaimed(cells, share, membrane, grid, thin.model_copy(update=change))
        assert n_attached == 35
    own = thin.model_copy(update={"min_touching_share": 0.12, "joined_contact": 3.4})
    placed, _, n_attached = place_unclaimed(cells, share, membrane, grid, own)
    assert (placed[1:6, 2:9, 10] == 5).all()
    assert n_attached == 0
