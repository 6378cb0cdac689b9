"""Nuclei, inclusions and cleaning on shapes of known size."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.labels.cleaning import fill_holes, large_enough, touches_border, voxels_of
from tomocyte.labels.objects import label_extents
from tomocyte.segmentation.classical.inclusions import bright_inclusions
from tomocyte.segmentation.classical.nucleus import dark_core, edge_based_nucleus, largest_filled
from tomocyte.segmentation.classical.organelles import find_inclusions, find_nuclei
from tomocyte.segmentation.settings import InclusionSettings, NucleusSettings

NAN = float("nan")
SIZE = (0.31, 0.17, 0.13)
SHAPE = (44, 80, 104)
CENTRE = (6.8, 6.8, 6.8)


def ball(centre_um: tuple[float, float, float], radius_um: float) -> np.ndarray:
    axes = [(np.arange(n) + 0.5) * size for n, size in zip(SHAPE, SIZE, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    return (z - centre_um[0]) ** 2 + (y - centre_um[1]) ** 2 + (x - centre_um[2]) ** 2 <= radius_um**2


def noisy(image: np.ndarray, sigma: float = 0.0005) -> np.ndarray:
    return (image + np.random.default_rng(0).normal(0, sigma, image.shape)).astype(np.float32)


CELL = ball(CENTRE, 6.0)
NUCLEUS = ball((6.8, 6.8, 7.6), 3.0)
IMAGE = noisy(np.where(NUCLEUS, 1.350, np.where(CELL, 1.358, 1.335)))


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


def test_holes_go_to_the_object_around_them() -> None:
    labels = np.zeros((1, 7, 12), dtype=np.uint8)
    labels[0, 1:6, 1:6] = 3
    labels[0, 2:5, 2:5] = 0
    labels[0, 3, 3] = 5
    labels[0, 1:4, 8:11] = 4
    labels[0, 2, 9] = 0
    small = labels.copy()
    fill_holes(small, max_voxels=1)
    assert small[0, 2, 9] == 4
    assert small[0, 2, 2] == 0
    fill_holes(labels)
    assert labels[0, 2, 2] == 3
    assert labels[0, 3, 3] == 5
    assert labels[0, 2, 9] == 4
    assert np.count_nonzero(labels) == 25 + 9


def test_tunnels_are_not_holes_in_three_dimensions() -> None:
    labels = np.ones((5, 5, 5), dtype=np.uint8)
    labels[:, 2, 2] = 0
    fill_holes(labels)
    assert np.count_nonzero(labels) == 120
    labels[0, 2, 2] = labels[4, 2, 2] = 1
    fill_holes(labels)
    assert np.count_nonzero(labels) == 125


def test_sizes_and_borders_by_hand() -> None:
    assert voxels_of(10.0, 5.0, (0.5, 0.2, 0.1), 3) == 1000
    assert voxels_of(10.0, 5.0, (NAN, 0.2, 0.1), 1) == 250
    labels = np.zeros((3, 5, 6), dtype=np.uint8)
    labels[0, 2, 2:4], labels[1, 0, 3], labels[1, 3, 5], labels[2, 4, 1] = 1, 2, 3, 4
    extents = label_extents(labels)
    assert touches_border(extents.lower, extents.upper, labels.shape)[1:].tolist() == [False, True, True, True]
    assert large_enough(extents, 2).tolist() == [False, True, False, False, False]


def test_largest_component_is_filled() -> None:
    mask = np.zeros((1, 6, 9), dtype=bool)
    mask[0, 1:4, 1:4] = True
    mask[0, 2, 2] = False
    mask[0, 5, 5:9] = True
    assert largest_filled(mask)[0, 1:4, 1:4].all()
    assert np.count_nonzero(largest_filled(mask)) == 9
    assert not largest_filled(np.zeros((2, 3, 4), dtype=bool)).any()
