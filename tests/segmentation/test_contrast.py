"""Bright or dark: images whose contrast is known, and their negatives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.segmentation.classical.sxt_field import SIZE_UM, field

from tomocyte.pipeline.frames import PERHAPS_DARK, SURELY_DARK
from tomocyte.segmentation.contrast import dark_share


@pytest.mark.parametrize("options", [{}, {"beads": ()}, {"beads": (), "has_glass": False}, {"cells": ()}])
def test_a_field_and_its_negative(options: dict[str, object]) -> None:
    image = field(**options)[0]  # type: ignore[arg-type]
    share = dark_share(image, SIZE_UM)
    assert share < PERHAPS_DARK / 2
    assert dark_share(-image, SIZE_UM) > SURELY_DARK
    assert dark_share(255 - 200 * image, SIZE_UM) == pytest.approx(dark_share(-image, SIZE_UM), rel=0.05)


def test_nan_around_the_field_does_not_count() -> None:
    image = field()[0]
    ring = image.copy()
    ring[:, :8] = np.nan
    assert dark_share(ring, SIZE_UM) < PERHAPS_DARK / 2


def test_noise_is_neither_and_a_flat_image_is_unknown() -> None:
    noise = np.random.default_rng(3).normal(size=(40, 60, 60))
    assert 0.7 < dark_share(noise, SIZE_UM) < 1.4
    assert math.isnan(dark_share(np.ones((40, 60, 60)), SIZE_UM))
