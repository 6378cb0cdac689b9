"""Outlines at each object's own level: blurred discs whose edges are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from tomocyte.segmentation.classical.outlines import at_own_level


def test_dim_and_bright_discs_end_at_the_same_radius() -> None:
    y, x = np.mgrid[:80, :160]
    dim, bright = np.hypot(y - 40, x - 40) < 20, np.hypot(y - 40, x - 115) < 20
    image = ndimage.gaussian_filter(10.0 + 20 * dim + 500 * bright, 2)[None]
    loose = np.zeros(image.shape, dtype=np.uint8)
    loose[0][np.hypot(y - 40, x - 40) < 25], loose[0][np.hypot(y - 40, x - 115) < 25] = 1, 2
    cut = at_own_level(loose, image, (0, 0, 0), share=0.6, background=10.0)
    areas = np.bincount(cut.ravel())[1:]
    assert areas == pytest.approx(np.full(2, np.pi * 20**2), rel=0.05)
    assert loose.max() == 2
    assert np.count_nonzero(loose) > np.count_nonzero(cut)


def test_one_part_without_holes() -> None:
    image = np.zeros((1, 20, 40))
    image[0, 2:14, 2:14] = 100
    image[0, 6:9, 6:9] = 0
    image[0, 5:8, 30:33] = 100
    labels = np.ones(image.shape, dtype=np.uint16)
    cut = at_own_level(labels, image, (0, 0, 0), share=0.5, background=0.0)
    assert np.count_nonzero(cut) == 144


def test_without_contrast_nothing_is_cut() -> None:
    labels = np.ones((1, 6, 7), dtype=np.uint8)
    assert np.array_equal(at_own_level(labels, np.full((1, 6, 7), 5.0), (0, 0, 0), share=0.5, background=5.0), labels)
