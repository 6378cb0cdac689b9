"""Objects from probabilities: counted by hand, and cells of known place."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.errors import MetadataError, SettingsError
from tomocyte.labels.settings import SplitSettings
from tomocyte.segmentation.prediction.objects import (
    InstanceSettings,
    instances_from_mask,
    instances_from_probability,
    splits_masks,
)

SIZE_UM = (0.5, 0.25, 0.2)
NAN = float("nan")


def balls(centres_um: list[tuple[float, float, float]], radius_um: float) -> NDArray[np.float32]:
    """Soft balls (24, 60, 90) on voxels of SIZE_UM: 0.5 at the radius, falling over 0.4 µm."""
    axes = [(np.arange(n) + 0.5) * step for n, step in zip((24, 60, 90), SIZE_UM, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    depth = np.max([radius_um - np.sqrt((z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2) for a, b, c in centres_um], axis=0)
    return np.clip(0.5 + depth / 0.4, 0, 1).astype(np.float32)


TWO = [(6.0, 7.0, 6.5), (6.0, 7.5, 11.5)]


def test_touching_cells_are_parted_at_the_middle() -> None:
    """Two balls of 3 µm whose centres are 5.02 µm apart: each has a ball less a cap of height h = 3 - 2.512 µm."""
    probability = np.stack([balls(TWO, 3.0), balls(TWO, 1.5)])
    found = instances_from_probability(probability, SIZE_UM)
    assert found.max() == 2
    height = 3 - math.dist(*TWO) / 2
    expected = 4 / 3 * math.pi * 27 - math.pi * height**2 * (9 - height) / 3
    volumes = np.bincount(found.ravel())[1:] * math.prod(SIZE_UM)
    np.testing.assert_allclose(volumes, expected, rtol=0.02)
    for label, centre in enumerate(TWO, 1):
        voxel = tuple(int(place / step) for place, step in zip(centre, SIZE_UM, strict=True))
        assert found[voxel] == label
    assert instances_from_probability(probability[:1], SIZE_UM).max() == 1
    split = InstanceSettings(split=SplitSettings(min_separation_um=2.0))
    assert instances_from_probability(probability[:1], SIZE_UM, split).max() == 2


def test_mask_without_a_core() -> None:
    centres = [(6.0, 4.0, 4.0), (6.0, 11.0, 13.0)]
    probability = np.stack([balls(centres, 2.5), balls(centres[:1], 1.2)])
    assert instances_from_probability(probability, SIZE_UM).max() == 2
    strict = InstanceSettings(is_coreless_kept=False)
    found = instances_from_probability(probability, SIZE_UM, strict)
    assert found.max() == 1
    assert found[12, 16, 20] == 1
    assert found[12, 44, 65] == 0


def plane(*rows: str) -> NDArray[np.float32]:
    return np.array([[[int(letter) / 10 for letter in row] for row in rows]], dtype=np.float32)


BY_HAND = InstanceSettings(min_area_um2=0, min_core_area_um2=0, is_hole_filled=False)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [[1, 1, 1, 0, 0, 0, 2], [1, 0, 1, 0, 3, 0, 0], [1, 1, 1, 0, 3, 3, 0]]),
        ({"is_hole_filled": True}, [[1, 1, 1, 0, 0, 0, 2], [1, 1, 1, 0, 3, 0, 0], [1, 1, 1, 0, 3, 3, 0]]),
        ({"min_area_um2": 1.2}, [[1, 1, 1, 0, 0, 0, 0], [1, 0, 1, 0, 2, 0, 0], [1, 1, 1, 0, 2, 2, 0]]),
        ({"min_area_um2": 1.21}, [[1, 1, 1, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0]]),
        ({"threshold": 0.85}, [[1, 1, 1, 0, 0, 0, 2], [1, 0, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0]]),
        ({"is_border_cleared": True}, [[0] * 7] * 3),
    ],
)
def test_single_plane_by_hand(changes: dict[str, object], expected: list[list[int]]) -> None:
    """Pixels of 0.8 x 0.5 µm: 3 pixels are 1.2 µm²."""
    image = plane("9990009", "9090800", "9990880")
    found = instances_from_probability(image[None], (NAN, 0.8, 0.5), BY_HAND.model_copy(update=changes))
    assert found.tolist() == [expected]
    assert found.dtype == np.uint8


def test_small_cores_are_noise() -> None:
    mask, core = plane("9999999"), plane("9900090")
    both = np.stack([mask, core])
    assert instances_from_probability(both, (NAN, 1, 1), BY_HAND).tolist() == [[[1, 1, 1, 1, 2, 2, 2]]]
    one = BY_HAND.model_copy(update={"min_core_area_um2": 2.0})
    assert instances_from_probability(both, (NAN, 1, 1), one).max() == 1
    assert instances_from_probability(both, (NAN, 1, 1), BY_HAND.model_copy(update={"core_threshold": 0.95})).max() == 1


def test_the_border_the_network_saw_parts_cells() -> None:
    mask, core = plane("999969999"), plane("900000009")
    found = instances_from_probability(np.stack([mask, core]), (NAN, 1, 1), BY_HAND)
    assert found[0, 0, :4].tolist() == [1] * 4
    assert found[0, 0, 5:].tolist() == [2] * 4


def test_more_cells_than_a_byte_counts() -> None:
    """20 x 20 touching cells in one mask: 400 labels, each 4 x 4 pixels."""
    core = np.zeros((80, 80), np.float32)
    core[1::4, 1::4] = core[2::4, 1::4] = core[1::4, 2::4] = core[2::4, 2::4] = 1
    probability = np.stack([np.ones((1, 80, 80), np.float32), core[None]])
    found = instances_from_probability(probability, (NAN, 1, 1), BY_HAND)
    assert found.dtype == np.uint16
    assert np.bincount(found.ravel()).tolist() == [0] + [16] * 400


def test_nothing_and_everything() -> None:
    for value, n in ((0.0, 0), (1.0, 1)):
        image = np.full((2, 3, 8, 9), value, np.float32)
        assert instances_from_probability(image[:1], SIZE_UM, InstanceSettings(min_volume_um3=0)).max() == n
        assert instances_from_probability(image, SIZE_UM, InstanceSettings(min_volume_um3=0)).max() == n


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(SettingsError, match="E-AXES"):
        instances_from_probability(np.zeros((3, 2, 4, 5), np.float32), SIZE_UM)
    with pytest.raises(MetadataError, match="E-VOXEL-SIZE"):
        instances_from_probability(np.zeros((1, 2, 4, 5), np.float32), (NAN, 1, 1))


def test_objects_of_a_mask_are_its_connected_parts() -> None:
    """As scipy counts them, faces only; holes of a volume are filled."""
    noise = ndimage.gaussian_filter(np.random.default_rng(4).random((6, 30, 40)), 2)
    mask = ndimage.binary_fill_holes(noise > np.quantile(noise, 0.8))
    settings = InstanceSettings(split=SplitSettings(method="none"), min_volume_um3=0)
    found = instances_from_mask(mask, SIZE_UM, settings)
    expected, n = ndimage.label(mask)
    assert n > 3
    assert len({*zip(found[mask].tolist(), expected[mask].tolist(), strict=True)}) == int(found.max()) == n
    np.testing.assert_array_equal(found > 0, mask)


@pytest.mark.parametrize(("method", "is_enough"), [("none", True), ("distance", True), ("intensity", False)])
def test_a_mask_is_split_by_its_shape_alone(method: str, is_enough: bool) -> None:
    settings = InstanceSettings(split=SplitSettings(method=method))
    assert splits_masks(settings) is is_enough
    if is_enough:
        soft = balls([(6, 8, 6), (6, 8, 11.2)], 3.0)
        np.testing.assert_array_equal(
            instances_from_mask(soft > 0.5, SIZE_UM, settings) > 0, instances_from_mask(soft > 0.5, SIZE_UM) > 0
        )
    else:
        with pytest.raises(SettingsError, match="E-SPLIT"):
            instances_from_mask(np.ones((2, 3, 4), bool), SIZE_UM, settings)


@pytest.mark.parametrize("shape", [(3, 4), (0, 3, 4), (1, 2, 3, 4)])
def test_masks_have_three_axes(shape: tuple[int, ...]) -> None:
    with pytest.raises(SettingsError, match="E-AXES"):
        instances_from_mask(np.ones(shape, bool), SIZE_UM)
    with pytest.raises(MetadataError, match="E-VOXEL-SIZE"):
        instances_from_mask(np.ones((2, 3, 4), bool), (NAN, 1, 1))
