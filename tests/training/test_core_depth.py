"""The rim around the cores of touching objects follows from the size of the labelled ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.training.conftest import VOXEL_UM, small_recipe, write_pair

from tomocyte.datasets.labelled import find_items
from tomocyte.segmentation.prediction.objects import instances_from_probability
from tomocyte.segmentation.settings import InstanceSettings
from tomocyte.training.core_depth import core_depth_of, with_core_depth
from tomocyte.training.data.targets import make_targets


def touching_discs(radius: float) -> np.ndarray:
    """Two discs side by side that share a part of their borders; 2 in the plane of 120 x 160 pixels."""
    y, x = np.indices((120, 160))
    first = (y - 60) ** 2 + (x - 50) ** 2 <= radius**2
    second = (y - 60) ** 2 + (x - 50 - 1.4 * radius) ** 2 <= radius**2
    return np.where(first & (x < 50 + 0.7 * radius), 1, np.where(second, 2, 0))


def test_half_of_the_depth_of_the_middle_object() -> None:
    """Squares of 7, 11 and 31 pixels are 4, 6 and 16 pixels deep at their middle; 6 pixels of 0.5 um are 3 um."""
    plane = np.zeros((40, 70), dtype=int)
    plane[2:9, 2:9], plane[2:13, 20:31], plane[5:36, 35:66] = 3, 8, 9
    assert core_depth_of(iter([(plane, (0.5, 0.5))])) == pytest.approx(1.5)
    assert core_depth_of(iter([(np.zeros((4, 4), int), (0.5, 0.5))])) is None


@pytest.mark.parametrize("size_um", [0.2, 0.6])
def test_a_perfect_network_tells_large_touching_objects_apart(size_um: float) -> None:
    """With a border that is blurred by a few pixels, as networks give it, two discs stay two."""
    from scipy import ndimage

    labels = touching_discs(40)
    depth_um = core_depth_of(iter([(labels, (size_um, size_um))]))
    numbers = {}
    for depth in (depth_um, 0.5 * size_um):
        data = small_recipe(data={"targets": "mask-and-core", "core_depth_um": depth}).data
        target = make_targets({"nucleus": labels}, data, (size_um, size_um)).astype(np.float32)
        blurred = np.stack([target[0], ndimage.gaussian_filter(target[1], 4)])[:, np.newaxis]
        nan = float("nan")
        objects = instances_from_probability(blurred, (nan, size_um, size_um), InstanceSettings(min_area_um2=0))
        numbers[depth] = int(objects.max())
    assert list(numbers.values()) == [2, 1]


def test_the_recipe_gets_the_depth_of_the_training_images(tmp_path: Path) -> None:
    labels = np.zeros((1, 60, 80), dtype=np.uint32)
    labels[0, 10:31, 10:31], labels[0, 10:31, 31:52] = 1, 2
    write_pair(tmp_path, "a", np.full(labels.shape, 1.34), labels)
    recipe = small_recipe(data={"targets": "mask-and-core"})
    filled = with_core_depth(recipe, find_items(tmp_path, recipe.data))
    # 21 pixels of 0.3 um by 0.2 um: deepest in the middle, 11 pixels of 0.2 um from the nearest outer pixel.
    assert filled.data.core_depth_um == pytest.approx(0.5 * 11 * VOXEL_UM[2], abs=1e-3)
    given = small_recipe(data={"targets": "mask-and-core", "core_depth_um": 0.7})
    assert with_core_depth(given, find_items(tmp_path, given.data)).data.core_depth_um == 0.7
    assert with_core_depth(small_recipe(), find_items(tmp_path, recipe.data)).data.core_depth_um is None
