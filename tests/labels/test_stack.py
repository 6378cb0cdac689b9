"""LabelStack: frames come back as they went in."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.labels.stack import LabelStack


def test_round_trip_in_any_order_and_type() -> None:
    rng = np.random.default_rng(1)
    frames = [
        rng.integers(0, 200, (3, 4, 5)).astype(np.uint8),
        rng.integers(0, 70_000, (3, 4, 5)).astype(np.uint32),
        np.zeros((3, 4, 5), np.uint16),
    ]
    stack = LabelStack((3, 4, 5))
    for frame in frames:
        stack.append(frame)
    volume = stack.volume(voxel_size_um=(0.3, 0.2, 0.1))
    assert volume.shape == (3, 1, 3, 4, 5)
    for index in (2, 0, 1, 0):
        planes = volume.planes(index, 0, 1, 3)
        assert planes.dtype == np.uint32
        np.testing.assert_array_equal(planes, frames[index][1:3])


@pytest.mark.parametrize("wrong", [np.zeros((3, 4, 6), np.uint8), np.zeros((3, 4, 5), np.float32)])
def test_other_shapes_and_types_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="labels must be"):
        LabelStack((3, 4, 5)).append(wrong)
