"""Votes of windows and the painting of cells."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage

from tomocyte.segmentation.cells.votes import FULL, Votes, paint_cells
from tomocyte.segmentation.cells.windows import (
    Window,
)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_votes_do_not_depend_on_their_order(order: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    claims = rng.random((3, 4, 5, 6)).astype(np.float32)
    claims[:, 0] = 0.25  # equal votes
    votes = Votes.empty((4, 5, 6))
    inside = np.ones((4, 5, 6), dtype=bool)
    for index in order:
        votes.cast(Window(index + 1, (0, 0, 0), (4, 5, 6)), claims[index], inside)
    ranked = np.sort(claims, axis=0)
    assert np.array_equal(votes.label, claims.argmax(axis=0) + 1)
    assert np.abs(votes.best / FULL - ranked[-1]).max() < 1e-5
    assert np.abs(votes.second / FULL - ranked[-2]).max() < 1e-5


def test_votes_count_inside_the_mask_and_the_window_only() -> None:
    votes = Votes.empty((2, 3, 4))
    inside = np.zeros((2, 3, 4), dtype=bool)
    inside[:, 1] = True
    votes.cast(Window(7, (1, 0, -1), (2, 3, 4)), np.ones((2, 3, 4), np.float32), inside)
    expected = np.zeros((2, 3, 4))
    expected[1, 1, :3] = 7
    assert np.array_equal(votes.label, expected)


def test_painting_is_the_linear_interpolation_of_every_cells_probability() -> None:
    rng = np.random.default_rng(4)
    coarse, fine = (4, 5, 6), (9, 10, 21)
    cells = rng.integers(0, 4, coarse).astype(np.uint32)
    share = rng.integers(1, FULL, coarse).astype(np.uint16)
    places = np.meshgrid(
        *[np.clip((np.arange(n) + 0.5) * m / n - 0.5, 0, m - 1) for n, m in zip(fine, coarse, strict=True)],
        indexing="ij",
    )
    each = [
        ndimage.map_coordinates(np.where(cells == label, share, 0).astype(float), places, order=1)
        for label in (1, 2, 3)
    ]
    best = np.max(each, axis=0)
    expected = np.where(best > 1e-6, np.argmax(each, axis=0) + 1, 0)
    clear = np.sort(each, axis=0)[-1] - np.sort(each, axis=0)[-2] > 1e-3 * FULL
    membrane = rng.random(fine) < 0.8
    painted = paint_cells(membrane, cells, share, cells > 0)
    assert np.array_equal(painted[membrane & clear], expected[membrane & clear])
    assert not painted[~membrane].any()
    known = ndimage.map_coordinates((cells > 0).astype(float), places, order=1)
    enough = best / FULL >= 0.6 * known
    barely = np.abs(best / FULL - 0.6 * known) < 1e-4
    painted = paint_cells(membrane, cells, share, cells > 0, least=0.6)
    assert np.array_equal((painted > 0)[membrane & ~barely], (enough & (best > 1e-6))[membrane & ~barely])
