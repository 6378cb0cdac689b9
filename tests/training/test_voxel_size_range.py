"""What voxel sizes a trained model takes: a tenth to one and a half of its own, and all that it learned from."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tomocyte.training import build_recipe, load_recipe
from tomocyte.training.training import voxel_size_range
from tomocyte.volume import Volume


@pytest.mark.parametrize(
    ("sizes_um", "expected"),
    [((0.086, 0.1), (0.1, 1.5)), ((0.086, 0.172), (0.1, 2.0)), ((0.0043,), (0.05, 1.5))],
)
def test_coarser_and_finer_voxels_fit_when_they_were_learned_from(
    sizes_um: tuple[float, ...], expected: tuple[float, float]
) -> None:
    recipe = build_recipe(load_recipe("sxt-cytoplasm"))
    volumes = [Volume.from_array(np.zeros((2, 2, 2), np.float32), voxel_size_um=(size,) * 3) for size in sizes_um]
    samples: Any = SimpleNamespace(items=volumes, volume=lambda item: (volumes[item], {}))
    assert voxel_size_range(recipe, samples) == pytest.approx(expected)


def test_a_scaled_frame_takes_other_sizes() -> None:
    samples: Any = SimpleNamespace(items=[], volume=None)
    low, high = voxel_size_range(build_recipe(load_recipe("acseg-published")), samples)
    assert low == 0.1
    assert high == 10.0
