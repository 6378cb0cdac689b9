"""Distances to the border of a mask."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from tomocyte.labels.distances import distance_um


def test_distance_in_um() -> None:
    rng = np.random.default_rng(4)
    mask = rng.random((7, 11, 13)) < 0.95
    expected = ndimage.distance_transform_edt(mask, sampling=(0.8, 0.3, 0.1))
    assert np.allclose(distance_um(mask, (0.8, 0.3, 0.1)), expected, atol=1e-5)
    plane = distance_um(mask[:1], (float("nan"), 0.3, 0.1))
    assert np.allclose(plane[0], ndimage.distance_transform_edt(mask[0], sampling=(0.3, 0.1)), atol=1e-5)
    assert not distance_um(np.ones((2, 3, 4), bool), (1, 1, 1)).any()
