"""Tiles put together row by row."""

from __future__ import annotations

import pytest

from tomocyte.segmentation.prediction.blending import row_groups, tallest
from tomocyte.segmentation.prediction.tiling import TilingSettings, plan_tiles


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(1, [1] * 7), (5, [1] * 7), (6, [1] * 7), (12, [2, 2, 2, 1]), (20, [3, 3, 1]), (99, [7])]
)
def test_rows_fill_batches(batch_size: int, sizes: list[int]) -> None:
    """Seven rows of 2 x 3 tiles: a batch of 12 holds two rows."""
    plan = plan_tiles((56, 16, 24), TilingSettings(tile_shape=(8, 8, 8), overlap=0), divisor=(1, 1, 1))
    assert tuple(len(axis) for axis in plan.axes) == (7, 2, 3)
    groups = row_groups(plan, batch_size)
    assert [len(group) for group in groups] == sizes
    assert [row for group in groups for row in group] == list(plan.axes[0])
    assert tallest(groups) == 8 * max(sizes)


def test_overlapping_rows_are_as_tall_as_what_they_write() -> None:
    plan = plan_tiles((20, 8, 8), TilingSettings(tile_shape=(8, 8, 8), overlap=0.5), divisor=(1, 1, 1))
    groups = row_groups(plan, 2)
    spans = [{z for row in group for z in range(row.first, row.stop)} for group in groups]
    assert set.union(*spans) == set(range(20))
    assert tallest(groups) == max(len(span) for span in spans)
