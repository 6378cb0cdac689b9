"""Which voxels belong to cells: levels of known mixtures, and the same cells dark on bright."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.filters import threshold_otsu

from tomocyte.labels.settings import CleanSettings
from tomocyte.segmentation.classical.foreground import find_foreground, find_levels
from tomocyte.segmentation.classical.steps import find_cells
from tomocyte.segmentation.classical.thresholds import Histogram
from tomocyte.segmentation.settings import ForegroundSettings, SegmentationSettings

SIZE_UM = (0.5, 0.3, 0.2)


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Two boxes of 6 in a background of 2 with noise of 0.1, and where they are."""
    inside = np.zeros((12, 30, 50), bool)
    inside[3:9, 5:20, 5:20] = inside[3:9, 8:25, 30:45] = True
    image = np.where(inside, 6.0, 2.0) + np.random.default_rng(2).normal(0, 0.1, inside.shape)
    return image.astype(np.float32), inside


@pytest.mark.parametrize("method", ["half-maximum", "otsu", "value"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_levels_of_bright_and_dark_cells(method: str, sign: float) -> None:
    """The histogram of dark cells is that of the negative image; a value is given in the image's own sign."""
    image, _ = scene()
    settings = ForegroundSettings(method=method, value=sign * 3.5 if method == "value" else None, is_bright=sign > 0)
    levels = find_levels(Histogram.of(image), settings, sign)
    assert (levels.background, levels.inside) == (pytest.approx(2, abs=0.02), pytest.approx(6, abs=0.02))
    if method == "value":
        assert levels.threshold == 3.5
    elif method == "half-maximum":
        assert levels.threshold == pytest.approx(4, abs=0.05)
    else:
        assert np.array_equal(image > levels.threshold, image > threshold_otsu(image))


@pytest.mark.parametrize("method", ["half-maximum", "otsu", "local-adaptive"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_cells_are_found_bright_and_dark_and_nan_never_is(method: str, sign: float) -> None:
    image, inside = scene()
    image[0, 0, 0], image[5, 10, 10] = np.nan, np.inf
    settings = ForegroundSettings(method=method, smoothing_um=0, is_bright=sign > 0)
    found = find_foreground(sign * image, SIZE_UM, settings)
    inside[5, 10, 10] = False
    mask = found.mask if found.core is None or method == "half-maximum" else found.mask & found.core
    assert np.mean(mask == inside) > (0.99 if method == "local-adaptive" else 0.99999)
    assert not found.mask[0, 0, 0]
    assert not found.mask[5, 10, 10]
    assert found.levels.background == pytest.approx(sign * 2, abs=0.05)


@pytest.mark.parametrize(
    "image", [np.full((4, 5, 6), 1.337), np.full((4, 5, 6), np.nan), np.zeros((1, 5, 6)), np.array([[[1.337, np.nan]]])]
)
def test_an_image_of_one_value_has_no_cells_unless_it_lies_above_the_value_given(image: np.ndarray) -> None:
    assert not find_foreground(image, SIZE_UM, ForegroundSettings()).mask.any()
    given = find_foreground(image, SIZE_UM, ForegroundSettings(method="value", value=1.0))
    np.testing.assert_array_equal(given.mask, image > 1)


def test_noise_alone_is_no_cell() -> None:
    noise = np.random.default_rng(3).normal(1.337, 0.001, (12, 30, 50)).astype(np.float32)
    assert not find_foreground(noise, SIZE_UM, ForegroundSettings()).mask.any()


def test_cells_are_the_connected_parts_of_it_and_steps_are_reported() -> None:
    image, inside = scene()
    settings = SegmentationSettings(
        foreground=ForegroundSettings(smoothing_um=0), clean=CleanSettings(min_volume_um3=1.0)
    )
    steps: list[str] = []
    labels = find_cells(image, SIZE_UM, settings, steps.append)
    assert steps == ["foreground", "components", "split", "clean"]
    np.testing.assert_array_equal(labels > 0, inside)
    assert sorted(np.bincount(labels.ravel())[1:]) == [6 * 15 * 15, 6 * 15 * 17]
