"""Figures of images whose noise, brightness and sharpness are known, and the distance they make."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from tomocyte.confidence.out_of_distribution import (
    MOST_VOXELS,
    WORDS,
    describe_deviation,
    describe_image,
    described_window,
    deviations,
    fit_training_distribution,
    out_of_distribution_distance,
)
from tomocyte.confidence.settings import TrainingDistribution

STRUCTURES = ("cell", "nucleus")
SHAPE = (20, 44, 52)


def made(seed: int, *, noise: float = 0.01, level: float = 1.0, blur: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A box of a cell with white texture of its own in white noise, and a sure answer about it."""
    rng = np.random.default_rng(seed)
    cell = np.zeros(SHAPE, bool)
    cell[5:15, 14:34, 14:36] = True
    image = np.where(cell, level * rng.uniform(0.95, 1.05) + 0.1 * rng.normal(size=SHAPE), 0.0)
    image = ndimage.gaussian_filter(image, blur) if blur else image
    image += noise * rng.uniform(0.9, 1.1) * rng.normal(size=SHAPE)
    probability = np.zeros((2, *SHAPE), np.uint8)
    probability[0] = np.where(cell, 250, 0)
    probability[1, 8:12, 20:30, 20:30] = 230
    return image.astype(np.float32), probability


def figures(seed: int, **changes: float) -> dict[str, float]:
    described = describe_image(*made(seed, **changes), STRUCTURES)
    assert described is not None
    return described


def test_figures_of_a_known_image() -> None:
    image, probability = made(1, noise=0.02)
    described = describe_image(image, probability, STRUCTURES)
    assert described is not None
    assert described["cell_level"] == pytest.approx(np.median(image[probability[0] > 0]), abs=0.01)
    assert described["background_level"] == pytest.approx(0, abs=0.001)
    # White noise of 0.018 to 0.022, by construction.
    assert 0.017 < math.exp(described["background_noise"]) < 0.023
    assert 0.017 < math.exp(described["background_spread"]) < 0.023
    # 90 % of a normal distribution of deviation 0.1 lie within 3.29 deviations.
    assert math.exp(described["cell_spread"]) == pytest.approx(0.329, rel=0.1)
    # White texture is as rough at one voxel as at three.
    assert described["sharpness_lateral"] == pytest.approx(0, abs=0.1)
    assert described["sharpness_axial"] == pytest.approx(0, abs=0.15)
    # 4 p (1 - p) of 250 / 255 in the cell; of the nucleus, 230 / 255 in 400 of 4,400 voxels.
    assert math.exp(described["doubt_cell"]) == pytest.approx(4 * (250 / 255) * (5 / 255), abs=2e-4)
    assert math.exp(described["doubt_nucleus"]) == pytest.approx(4 * (230 / 255) * (25 / 255) * 400 / 4400, abs=2e-4)


def test_blur_takes_fine_detail_away() -> None:
    sharp, blurred = (figures(2, noise=0.0005, blur=blur) for blur in (0.0, 1.5))
    for name in ("sharpness_lateral", "sharpness_axial"):
        assert blurred[name] < sharp[name] - 0.5


def test_nothing_is_said_without_cells_or_without_background() -> None:
    image, probability = made(3)
    for level in (0, 255):
        assert describe_image(image, np.full_like(probability, level), STRUCTURES) is None


def test_a_model_without_cells_takes_all_its_structures() -> None:
    image, probability = made(4)
    described = describe_image(image, probability, ("mitochondrion", "nucleus"))
    assert described is not None
    assert described["cell_level"] == figures(4)["cell_level"]


def test_training_images_are_inside_and_six_times_the_noise_is_named() -> None:
    distribution = fit_training_distribution(
        [figures(seed) for seed in range(40)], [figures(seed) for seed in range(40, 50)]
    )
    distances = [out_of_distribution_distance(figures(seed), distribution) for seed in range(50, 60)]
    assert np.mean(np.array(distances) > distribution.limit) <= 0.2
    noisy = figures(70, noise=0.06)
    assert out_of_distribution_distance(noisy, distribution) > 2 * distribution.limit
    words = describe_deviation(noisy, distribution)
    assert WORDS["background_noise"] in words
    times = float(words.split(WORDS["background_noise"])[1].split(" times")[0])
    assert times == pytest.approx(6, rel=0.15)


def test_brighter_cells_are_named_with_their_level() -> None:
    distribution = fit_training_distribution([figures(seed) for seed in range(30)])
    words = describe_deviation(figures(70, level=2.0), distribution)
    level, usual = re.search(f"{WORDS['cell_level']} (.+) instead of (.+) \\(", words).groups()  # type: ignore[union-attr]
    # Up to 5 % are drawn.
    assert float(level) == pytest.approx(2, rel=0.06)
    assert float(usual) == pytest.approx(1, rel=0.06)


def test_distance_is_mahalanobis_of_the_scaled_figures() -> None:
    distribution = TrainingDistribution(
        names=("a", "b"), centre=(1.0, -2.0), scale=(0.5, 2.0), correlation=((1.0, 0.6), (0.6, 1.0)), limit=3.0,
        n_images=9,
    )  # fmt: skip
    described = {"a": 2.0, "b": 2.0}
    assert deviations(described, distribution) == {"a": 2.0, "b": 2.0}
    # For equal scores z the quadratic form is 2 z² / (1 + r).
    assert out_of_distribution_distance(described, distribution) == pytest.approx(math.sqrt(2 * 4 / 1.6))
    # A figure that is missing counts as the median: z' R⁻¹ z = 4 / (1 - r²).
    assert out_of_distribution_distance({"a": 2.0}, distribution) == pytest.approx(math.sqrt(4 / (1 - 0.36)))


def test_less_doubt_than_usual_is_nothing_unusual() -> None:
    distribution = TrainingDistribution(
        names=("doubt_droplet", "noise"), centre=(-3.0, 0.0), scale=(0.5, 1.0), correlation=((1.0, 0.0), (0.0, 1.0)),
        limit=3.0, n_images=9,
    )  # fmt: skip
    assert out_of_distribution_distance({"doubt_droplet": -9.0, "noise": 0.0}, distribution) == 0
    assert out_of_distribution_distance({"doubt_droplet": -1.0, "noise": 0.0}, distribution) == pytest.approx(4)


def test_limit_covers_held_out_images_and_the_chi_distribution() -> None:
    training = [figures(seed) for seed in range(30)]
    alone = fit_training_distribution(training)
    # 99 % point of χ with ten degrees of freedom, from tables: √23.21.
    assert len(alone.names) == 10
    assert alone.limit == pytest.approx(math.sqrt(23.209), abs=1e-3)
    odd = figures(71, noise=0.03)
    assert fit_training_distribution(training, [odd]).limit == pytest.approx(out_of_distribution_distance(odd, alone))


@pytest.mark.parametrize(
    "wrong", [{"centre": (0.0,)}, {"scale": (1.0, 0.0)}, {"correlation": ((1.0, 0.0),)}, {"centre": (0.0, math.nan)}]
)
def test_statistics_that_do_not_fit_are_refused(wrong: dict[str, object]) -> None:
    fields = {
        "names": ("a", "b"), "centre": (0.0, 0.0), "scale": (1.0, 1.0), "correlation": ((1.0, 0.0), (0.0, 1.0)),
        "limit": 2.0, "n_images": 3,
    }  # fmt: skip
    TrainingDistribution(**fields)
    with pytest.raises(ValidationError):
        TrainingDistribution(**{**fields, **wrong})


def test_window_of_a_large_image_lies_around_its_cells() -> None:
    probability = np.zeros((1, 96, 260, 240), np.uint8)
    probability[0, 70:80, 200:230, 20:60] = 255
    window = described_window(probability, ("cell",))
    assert math.prod(part.stop - part.start for part in window) <= MOST_VOXELS
    assert probability[0][window].sum() == probability.sum()
    small = probability[:, :20, :30, :40]
    assert described_window(small, ("cell",)) == (slice(0, 20), slice(0, 30), slice(0, 40))
