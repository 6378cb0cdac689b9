"""Surfaces moved to where the image says: balls, tubes, boxes and slabs with known volumes."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from tomocyte.errors import SettingsError
from tomocyte.segmentation.refinement.boundary import refine_boundaries
from tomocyte.segmentation.refinement.settings import RefinementSettings

SIZE = 0.04
SIZES = (SIZE, SIZE, SIZE)
SHAPE = (84, 96, 108)
BOUNDARY = RefinementSettings(method="boundary")
CENTRE = np.array([42, 48, 46]) * SIZE
RADIUS = 1.0


def distance(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """From the centre of the ball, µm."""
    grid = np.indices(shape) * SIZE
    return np.sqrt(sum((axis - middle) ** 2 for axis, middle in zip(grid, CENTRE, strict=True)))


def tube(radius: float, length: float) -> np.ndarray:
    """A straight protrusion along x that ends ``length`` beyond the ball."""
    z, y, x = np.indices(SHAPE) * SIZE
    away = np.hypot(z - CENTRE[0], y - CENTRE[1])
    return (away <= radius) & (x >= CENTRE[2]) & (x <= CENTRE[2] + RADIUS + length)


def ball_at(z: float, y: float, x: float, radius: float) -> np.ndarray:
    grid = np.indices(SHAPE) * SIZE
    place = zip(grid, CENTRE + np.array([z, y, x]), strict=True)
    return np.sqrt(sum((axis - middle) ** 2 for axis, middle in place)) <= radius


@cache
def scene() -> dict[str, np.ndarray]:
    """A ball with a thin tube, a ball of debris that touches it, a bead that touches the ball, and glass."""
    ball = distance() <= RADIUS
    cell = ball | tube(0.08, 0.9)
    debris = ball_at(0, RADIUS + 0.4, 0, 0.4) & ~cell
    bead = ball_at(0.94, 0, -0.94, 0.32) & ~cell
    glass = np.zeros(SHAPE, bool)
    glass[:, :8] = True
    image = np.full(SHAPE, 0.1, np.float32)
    for mask, value in ((debris, 0.28), (cell, 0.3), (bead, 1.2), (glass, 0.95)):
        image[mask] = value
    noise = np.random.default_rng(3).normal(0, 0.05, SHAPE)
    image = ndimage.gaussian_filter(image, 0.8) + noise.astype(np.float32)
    return {"image": image, "cell": cell, "ball": ball, "debris": debris, "bead": bead, "glass": glass}


def coarse(mask: np.ndarray) -> np.ndarray:
    """What a network of four times larger voxels would say: blocks that are mostly inside, shifted by a voxel."""
    means = ndimage.uniform_filter(mask.astype(np.float32), 8)
    return np.roll(means > 0.5, 1, axis=1).astype(np.uint8)


def test_a_surface_comes_back_and_a_thin_tube_is_added() -> None:
    made = scene()
    first = coarse(made["cell"])
    refined = refine_boundaries(made["image"], first, SIZES, BOUNDARY, first_level_um=4 * SIZE) == 1
    far = tube(0.08, 0.9) & (distance() > RADIUS + 0.2)
    assert np.count_nonzero(first[far]) == 0
    assert np.count_nonzero(refined[far]) > 0.7 * np.count_nonzero(far)

    def error(mask: np.ndarray) -> float:
        return np.count_nonzero((mask != 0) ^ made["cell"]) / np.count_nonzero(made["cell"])

    assert error(refined) < 0.04
    assert error(refined) < 0.5 * error(first)
    only_ball = refined & (distance() < RADIUS + 0.15)
    assert np.count_nonzero(only_ball) * SIZE**3 == pytest.approx(4 / 3 * math.pi * RADIUS**3, rel=0.02)


@pytest.mark.parametrize("other", ["debris", "bead", "glass"])
def test_debris_beads_and_glass_are_not_taken_though_they_touch(other: str) -> None:
    made = scene()
    refined = refine_boundaries(made["image"], coarse(made["cell"]), SIZES, BOUNDARY, first_level_um=4 * SIZE) == 1
    beyond = made[other] & (distance() > RADIUS + 0.15)
    assert np.count_nonzero(refined & beyond) < 0.03 * np.count_nonzero(beyond)


def test_without_protrusions_only_the_band_moves() -> None:
    made = scene()
    settings = RefinementSettings(method="boundary", protrusion_width_um=0, band_um=0.2)
    refined = refine_boundaries(made["image"], coarse(made["cell"]), SIZES, settings) == 1
    assert not (refined & (distance() > RADIUS + 0.3)).any()


@pytest.mark.parametrize("change", ["scaled", "negative", "brighter", "coarser"])
def test_units_signs_and_voxel_sizes_do_not_matter(change: str) -> None:
    made = scene()
    first = coarse(made["cell"])
    settings = BOUNDARY.for_image(SIZES, 4 * SIZE)
    expected = refine_boundaries(made["image"], first, SIZES, settings)
    image, sizes, label = made["image"], SIZES, 1
    if change == "scaled":
        image = 64 * image
    elif change == "negative":
        image = -image
    elif change == "brighter":
        image, label = (image + 2).astype(np.float64), 7
    else:
        sizes = (4 * SIZE,) * 3
        lengths = {name: 4 * value for name, value in settings.model_dump().items() if name.endswith("_um") and value}
        settings = settings.model_copy(update=lengths)
    found = refine_boundaries(image, (first * label).astype(np.uint8), sizes, settings)
    assert np.count_nonzero((found == label) != (expected == 1)) <= 30  # rounding of values half-way between


def test_what_reaches_in_and_is_unlike_the_object_is_taken_out() -> None:
    """A dark nucleus in a bright shell, whose mask also takes in a brighter inclusion at its border."""
    away = distance()
    nucleus = away <= 0.9
    inclusion = ball_at(0, 0.8, 0, 0.45)
    image = np.full(SHAPE, 1.337, np.float32)
    image[away <= 1.6] = 1.36
    image[nucleus] = 1.35
    image[inclusion] = 1.40
    image = ndimage.gaussian_filter(image, 1.0) + np.random.default_rng(1).normal(0, 0.001, SHAPE).astype(np.float32)
    first = (nucleus | (inclusion & (away <= 1.2))).astype(np.uint8)
    refined = refine_boundaries(image, first, SIZES, BOUNDARY, blocked=away > 1.6, first_level_um=0.1) == 1
    truth = nucleus & ~inclusion
    assert np.count_nonzero(refined & inclusion) < 0.1 * np.count_nonzero(inclusion & nucleus)
    assert np.count_nonzero(refined ^ truth) < 0.06 * np.count_nonzero(truth)
    kept = refine_boundaries(
        image, first, SIZES, BOUNDARY.model_copy(update={"intrusion_depth_um": 0.0}), blocked=away > 1.6,
        first_level_um=0.1,
    )  # fmt: skip
    assert np.count_nonzero(kept[inclusion]) > 0.3 * np.count_nonzero(inclusion & nucleus)


def test_the_border_between_touching_cells_stays() -> None:
    image = np.zeros((30, 30, 60), np.float32)
    image[6:24, 6:24, 6:54] = 1
    labels = np.zeros(image.shape, np.uint8)
    labels[6:24, 6:24, 5:30] = 4
    labels[6:24, 6:24, 30:56] = 9
    refined = refine_boundaries(image, labels, SIZES, RefinementSettings(method="boundary", smoothing_um=0))
    expected = np.where(image > 0, labels, 0)
    assert np.array_equal(refined[6:24, 6:24], expected[6:24, 6:24])
    assert set(np.unique(refined)) == {0, 4, 9}


def test_where_the_image_says_nothing_the_first_level_stays() -> None:
    labels = coarse(scene()["cell"])
    noise = np.random.default_rng(0).normal(0, 1, SHAPE).astype(np.float32)
    for image in (np.zeros(SHAPE, np.float32), noise, np.full(SHAPE, np.nan, np.float32)):
        assert np.array_equal(refine_boundaries(image, labels, SIZES, BOUNDARY), labels)
    assert not refine_boundaries(noise, 0 * labels, SIZES, BOUNDARY).any()


def test_voxels_without_a_value_belong_to_nothing() -> None:
    made = scene()
    image = made["image"].copy()
    image[40:44] = np.nan
    refined = refine_boundaries(image, coarse(made["cell"]), SIZES, BOUNDARY, first_level_um=4 * SIZE)
    assert not (refined[40:44] & (distance()[40:44] > RADIUS + 0.25)).any()


def test_planes_and_other_shapes_are_refused() -> None:
    for image, labels in (
        (np.zeros((1, 9, 9)), np.zeros((1, 9, 9), np.uint8)),
        (np.zeros((9, 9, 9)), np.zeros((8, 9, 9), np.uint8)),
    ):
        with pytest.raises(SettingsError) as problem:
            refine_boundaries(image, labels, SIZES)
        assert problem.value.code == "E-AXES"


def test_a_network_needs_a_name_and_only_a_network_has_one() -> None:
    for settings in ({"method": "network"}, {"method": "boundary", "model": "x"}):
        with pytest.raises(ValueError, match="model"):
            RefinementSettings(**settings)
