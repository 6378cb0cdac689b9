"""Dim nuclei beside bright ones, counted in a field whose truth is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from tomocyte.modalities import modality
from tomocyte.segmentation import segment
from tomocyte.segmentation.settings import SegmentationSettings

VOXEL_UM = (1.0, 0.5, 0.5)
ENGINE = modality("fluorescence").segmentation


def field(ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Twelve balls of 5 um, every second one ``ratio`` times dimmer: numbers, and photons of the blurred image."""
    numbers = np.zeros((24, 100, 130), np.uint8)
    z, y, x = (np.arange(n) * size for n, size in zip(numbers.shape, VOXEL_UM, strict=True))
    for number in range(12):
        row, column = divmod(number, 4)
        square = (z[:, None, None] - 12) ** 2 + (y[:, None] - 9 - 16 * row) ** 2 + (x - 9 - 15.5 * column) ** 2
        numbers[square < 5**2] = number + 1
    height = np.array([0, *(40 * ratio if number % 2 else 40 for number in range(1, 13))])
    blurred = ndimage.gaussian_filter(20 + height[numbers], (1, 2, 2))
    return numbers, np.random.default_rng(0).poisson(blurred).astype(np.uint16)


def n_found(numbers: np.ndarray, labels: np.ndarray) -> tuple[int, int]:
    """Bright and dim balls that one object of its own covers by at least half of the two together."""
    found = [0, 0]
    for number in range(1, 13):
        ball = numbers == number
        own = int(np.argmax(np.bincount(labels[ball])[1:], axis=0)) + 1 if labels[ball].any() else 0
        shared = np.count_nonzero(ball & (labels == own))
        found[number % 2] += own > 0 and 2 * shared >= np.count_nonzero(ball | (labels == own))
    return found[1], found[0]


@pytest.mark.parametrize("ratio", [1, 3, 6, 10, 20])
def test_dim_nuclei_are_found_beside_bright_ones(ratio: float) -> None:
    numbers, image = field(ratio)
    labels = segment(image, VOXEL_UM, ENGINE)["cell"]
    assert (n_found(numbers, labels), int(labels.max())) == ((6, 6), 12)


def test_without_the_second_look_they_are_missed() -> None:
    numbers, image = field(10)
    once = ENGINE.foreground.model_copy(update={"is_dim_sought": False})
    labels = segment(image, VOXEL_UM, ENGINE.model_copy(update={"foreground": once}))["cell"]
    assert n_found(numbers, labels) == (6, 0)


def test_nothing_dim_is_made_up() -> None:
    numbers, image = field(10)
    bright = ndimage.gaussian_filter(np.where(numbers % 2, 420.0, 20.0), (1, 2, 2))
    image[:] = np.random.default_rng(1).poisson(bright)
    labels = segment(image, VOXEL_UM, ENGINE)["cell"]
    assert (n_found(numbers, labels), int(labels.max())) == ((6, 0), 6)


def test_cytoplasm_around_a_nucleus_is_no_object() -> None:
    numbers, _ = field(1)
    cell = ndimage.binary_dilation(numbers % 2 > 0, iterations=7)
    blurred = ndimage.gaussian_filter(20.0 + 15 * cell + 180 * (numbers % 2), (1, 2, 2))
    image = np.random.default_rng(2).poisson(blurred).astype(np.uint16)
    labels = segment(image, VOXEL_UM, ENGINE)["cell"]
    assert (n_found(numbers, labels), int(labels.max())) == ((6, 0), 6)


def test_it_is_asked_for() -> None:
    assert not SegmentationSettings().foreground.is_dim_sought
    assert ENGINE.foreground.is_dim_sought
