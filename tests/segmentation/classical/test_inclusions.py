"""Bright inclusions by hand and on shapes of known size."""

from __future__ import annotations

import numpy as np
from tests.segmentation.classical.nucleated_cell import CELL, IMAGE, SIZE, ball

from tomocyte.segmentation.classical.inclusions import bright_inclusions
from tomocyte.segmentation.settings import InclusionSettings

NAN = float("nan")


def test_inclusions_by_their_level_and_size() -> None:
    image = IMAGE.copy()
    droplets = [ball((6.8, 3.5, 6.8), 0.7), ball((6.8, 10.0, 6.8), 0.5), ball((6.8, 6.8, 2.5), 0.6)]
    for droplet, value in zip(droplets, (1.40, 1.39, 1.364), strict=True):
        image[droplet] = value
    # Median of the cell about 1.358: the third rises by 0.006 only.
    found = bright_inclusions(image, CELL, SIZE, InclusionSettings(min_contrast=0.015))
    assert np.array_equal(found, droplets[0] | droplets[1])
    large = InclusionSettings(min_contrast=0.015, min_volume_um3=1.0)
    assert np.array_equal(bright_inclusions(image, CELL, SIZE, large), droplets[0])
    strict = InclusionSettings(min_contrast=0.001, n_deviations=1000)
    assert not bright_inclusions(image, CELL, SIZE, strict).any()


def test_hysteresis_by_hand() -> None:
    image = np.zeros((1, 1, 40), dtype=np.float32)
    image[0, 0, 2:5] = 6, 10, 6
    image[0, 0, 7:9] = 9, 6
    image[0, 0, 11:13] = 4, 10
    cell = np.ones(image.shape, dtype=bool)
    settings = InclusionSettings(min_contrast=10, rim_fraction=0.5, min_area_um2=0)
    assert np.flatnonzero(bright_inclusions(image, cell, (NAN, 1, 1), settings)).tolist() == [2, 3, 4, 12]
