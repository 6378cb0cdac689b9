"""Nuclei and inclusions of all cells, with their numbers."""

from __future__ import annotations

import numpy as np
from tests.segmentation.classical.nucleated_cell import CELL, IMAGE, NUCLEUS, SIZE, ball

from tomocyte.segmentation.classical.organelles import find_inclusions, find_nuclei
from tomocyte.segmentation.settings import InclusionSettings, NucleusSettings


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * np.count_nonzero(first & second) / (np.count_nonzero(first) + np.count_nonzero(second))


def test_labels_of_all_cells() -> None:
    second = np.zeros_like(CELL)
    second[:3, :6, :8] = True
    cells = np.where(CELL, 2, np.where(second, 1, 0)).astype(np.uint8)
    image = np.where(ball((6.8, 3.5, 6.8), 0.7) | ball((6.8, 10.0, 6.8), 0.7), np.float32(1.40), IMAGE)
    nuclei = find_nuclei(image, cells, SIZE, NucleusSettings(method="dark-core"))
    assert int(nuclei.max()) == 1
    assert overlap(nuclei == 1, NUCLEUS) > 0.9
    inclusions = find_inclusions(image, cells, SIZE, InclusionSettings(method="bright", min_contrast=0.015))
    assert int(inclusions.max()) == 2
    assert inclusions[21, 20, 52] == 1
    assert inclusions[21, 58, 52] == 2


def test_more_inclusions_than_a_byte_holds() -> None:
    cells = np.ones((12, 40, 60), dtype=np.uint8)
    image = np.random.default_rng(0).normal(0, 0.01, cells.shape).astype(np.float32)
    image[::3, ::3, ::3] = 5
    settings = InclusionSettings(method="bright", min_contrast=1, min_volume_um3=0)
    found = find_inclusions(image, cells, SIZE, settings)
    assert found.dtype == np.uint16
    assert np.array_equal(found[::3, ::3, ::3].ravel(), np.arange(1, 4 * 14 * 20 + 1))
