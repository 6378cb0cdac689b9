"""A dark core must be a body: thin parts are cut off, rims and shells are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tomocyte.segmentation.classical.nucleus import dark_core, solidity, without_thin_parts
from tomocyte.segmentation.settings import NucleusSettings

SIZE_UM = (0.3, 0.25, 0.2)
SHAPE = (40, 60, 80)


def place_um() -> list[np.ndarray]:
    grid = [(np.arange(n) - n / 2) * size for n, size in zip(SHAPE, SIZE_UM, strict=True)]
    return np.meshgrid(*grid, indexing="ij")


def radius_um() -> np.ndarray:
    z, y, x = place_um()
    return np.sqrt(z**2 + y**2 + x**2)


def test_a_thin_plate_is_cut_off_a_ball() -> None:
    """Ball of 3 µm with a plate 0.6 µm thick through the whole volume: the ball stays, the plate goes."""
    ball = radius_um() < 3.0
    plate = np.zeros(SHAPE, dtype=bool)
    plate[19:21] = True
    kept = without_thin_parts(ball | plate, SIZE_UM, 0.8)
    volume_um3 = np.count_nonzero(kept) * math.prod(SIZE_UM)
    assert volume_um3 == pytest.approx(4 / 3 * math.pi * 27, rel=0.05)
    far = radius_um() > 4.5
    assert not (kept & far).any()


def test_radius_zero_and_nothing_left() -> None:
    shell = (radius_um() < 3.0) & (radius_um() > 2.4)
    np.testing.assert_array_equal(without_thin_parts(shell, SIZE_UM, 0.0), shell)
    assert not without_thin_parts(shell, SIZE_UM, 1.0).any()


def test_solidity_of_a_shell_is_its_share_of_the_ball() -> None:
    """1 - (2/3)³ = 0.704 for a shell between 2 and 3 µm, 1 for the ball."""
    assert solidity(radius_um() < 3.0) == pytest.approx(1.0, abs=0.02)
    shell = (radius_um() < 3.0) & (radius_um() > 2.0)
    assert solidity(shell) == pytest.approx(1 - (2 / 3) ** 3, abs=0.03)


@pytest.mark.parametrize(("is_core", "n_expected"), [(True, 1), (False, 0)], ids=["dark core", "dark rim"])
def test_a_dark_rim_is_no_nucleus(is_core: bool, n_expected: int) -> None:
    """A cell of 5 µm with a dark core of 2.5 µm has a nucleus; one with a dark bowl under its surface has none."""
    radius, x = radius_um(), place_um()[2]
    cell = radius < 5.0
    dark = radius < 2.5 if is_core else (radius > 2.8) & (radius < 4.0) & (x > -1.0)
    image = np.where(cell, np.where(dark, 1.350, 1.356), 1.337).astype(np.float32)
    nucleus = dark_core(image, cell, SIZE_UM, NucleusSettings(method="dark-core"))
    assert bool(nucleus.any()) == bool(n_expected)
    if is_core:
        assert np.count_nonzero(nucleus) * math.prod(SIZE_UM) == pytest.approx(4 / 3 * math.pi * 2.5**3, rel=0.05)
