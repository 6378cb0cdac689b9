"""The nucleus in one cell, on shapes of known size."""

from __future__ import annotations

import numpy as np
import pytest
from tests.segmentation.classical.nucleated_cell import CELL, IMAGE, NUCLEUS, SHAPE, SIZE, ball, noisy

from tomocyte.segmentation.classical.inclusions import bright_inclusions
from tomocyte.segmentation.classical.nucleus import dark_core, edge_based_nucleus, largest_filled
from tomocyte.segmentation.settings import InclusionSettings, NucleusSettings

NAN = float("nan")


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * np.count_nonzero(first & second) / (np.count_nonzero(first) + np.count_nonzero(second))


# The edge method takes the outer half of the edge along.
@pytest.mark.parametrize(("find", "least"), [(dark_core, 0.93), (edge_based_nucleus, 0.85)])
def test_a_clear_nucleus_is_found(find: object, least: float) -> None:
    assert callable(find)
    found = find(IMAGE, CELL, SIZE, NucleusSettings(method="dark-core", smoothing_um=0.2))
    assert found.dtype == bool
    assert not np.any(found & ~CELL)
    assert overlap(found, NUCLEUS) > least


def test_dark_core_beside_a_droplet() -> None:
    image = np.where(ball((6.8, 6.8, 3.2), 0.9), np.float32(1.42), IMAGE)
    assert overlap(dark_core(image, CELL, SIZE, NucleusSettings()), NUCLEUS) > 0.9


def test_only_the_edge_method_takes_a_bright_core() -> None:
    bright = noisy(np.where(NUCLEUS, 1.366, np.where(CELL, 1.358, 1.335)))
    assert overlap(edge_based_nucleus(bright, CELL, SIZE, NucleusSettings(smoothing_um=0.2)), NUCLEUS) > 0.85
    assert overlap(dark_core(bright, CELL, SIZE, NucleusSettings()), NUCLEUS) < 0.1


@pytest.mark.parametrize(
    "settings",
    [
        NucleusSettings(min_contrast=0.02),
        NucleusSettings(min_fraction=0.3),
        NucleusSettings(max_fraction=0.08),
        NucleusSettings(erosion_um=6.5),
    ],
)
def test_what_is_no_nucleus(settings: NucleusSettings) -> None:
    # The nucleus is 1/8 of the cell and 0.008 darker.
    assert not dark_core(IMAGE, CELL, SIZE, settings).any()


def test_flat_cell_has_no_nucleus_and_no_inclusion() -> None:
    flat = np.where(CELL, np.float32(1.36), np.float32(1.335))
    assert not dark_core(flat, CELL, SIZE, NucleusSettings()).any()
    assert not edge_based_nucleus(flat, CELL, SIZE, NucleusSettings()).any()
    assert not bright_inclusions(flat, CELL, SIZE, InclusionSettings()).any()
    nowhere = np.zeros_like(CELL)
    assert not dark_core(flat, nowhere, SIZE, NucleusSettings()).any()
    assert not edge_based_nucleus(flat, nowhere, SIZE, NucleusSettings()).any()
    assert not bright_inclusions(flat, nowhere, SIZE, InclusionSettings()).any()


def test_missing_voxels_are_no_nucleus() -> None:
    image = IMAGE.copy()
    image[::5, ::4, ::3] = np.nan
    assert overlap(dark_core(image, CELL, SIZE, NucleusSettings()), NUCLEUS) > 0.85
    assert not bright_inclusions(image, CELL, SIZE, InclusionSettings(min_contrast=0.02)).any()


def test_nucleus_in_a_plane() -> None:
    z = SHAPE[0] // 2
    found = dark_core(IMAGE[z : z + 1], CELL[z : z + 1], (NAN, 0.17, 0.13), NucleusSettings(min_fraction=0.1))
    assert overlap(found, NUCLEUS[z : z + 1]) > 0.9


def test_largest_component_is_filled() -> None:
    mask = np.zeros((1, 6, 9), dtype=bool)
    mask[0, 1:4, 1:4] = True
    mask[0, 2, 2] = False
    mask[0, 5, 5:9] = True
    assert largest_filled(mask)[0, 1:4, 1:4].all()
    assert np.count_nonzero(largest_filled(mask)) == 9
    assert not largest_filled(np.zeros((2, 3, 4), dtype=bool)).any()
