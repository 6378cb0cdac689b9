"""Thresholds of a stain: what is known of a square, a slope and a haze."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from skimage.filters import threshold_otsu

from tomocyte.channels.foreground import ForegroundMethod, stain_foreground
from tomocyte.errors import SettingsError

PIXEL = (0.1, 0.2)
SHAPE = (3, 40, 50)
SQUARE = (slice(1, 2), slice(10, 18), slice(20, 30))


def square(background: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A bright square in one plane on a background with a little noise."""
    truth = np.zeros(SHAPE, bool)
    truth[SQUARE] = True
    noise = np.random.default_rng(4).normal(0, 1.0, SHAPE)
    return truth, noise + 60.0 * truth + background


def found(image: np.ndarray, **settings: Any) -> np.ndarray:
    return stain_foreground(image, PIXEL, ForegroundMethod(smoothing_um=0.0, **settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "otsu"},
        {"method": "top-hat", "size_um": 3.0},
        {"method": "adaptive", "size_um": 4.0, "n_deviations": 8},
    ],
)
def test_a_square_on_noise_is_found_exactly_and_the_other_planes_are_empty(settings: dict[str, Any]) -> None:
    truth, image = square()
    np.testing.assert_array_equal(found(image, **settings), truth)
    np.testing.assert_array_equal(found(5 * image, **settings), truth)  # gain does not matter


def test_on_a_slope_only_local_methods_find_the_square() -> None:
    """The background rises to four times the square's contrast."""
    truth, image = square(np.linspace(0, 240, SHAPE[2]))
    assert (found(image, method="otsu") & ~truth).sum() > truth.sum()
    inside = np.s_[:, :, :38]  # nearer to the border the slope goes on outside the image
    np.testing.assert_array_equal(found(image, method="top-hat", size_um=2.5, factor=1.0)[inside], truth[inside])


def test_otsu_is_scikit_images_and_a_constant_stack_has_no_foreground() -> None:
    _, image = square()
    shifted = image - image.min()
    expected = shifted > 1.5 * threshold_otsu(shifted.astype(np.float32))
    np.testing.assert_array_equal(found(image, method="otsu", factor=1.5), expected)
    for method in ("otsu", "top-hat", "adaptive"):
        assert not found(np.full(SHAPE, 7.0), method=method).any()


def test_what_is_no_stack_is_refused() -> None:
    with pytest.raises(SettingsError, match="E-AXES"):
        stain_foreground(np.zeros((4, 5)), PIXEL)
    with pytest.raises(SettingsError, match="E-NAN"):
        stain_foreground(np.full((1, 4, 5), np.nan), PIXEL)
