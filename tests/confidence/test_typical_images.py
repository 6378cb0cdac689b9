"""Figures of images whose noise, brightness and sharpness are known, and the distance they make."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from tomocyte.confidence.settings import DomainStatistics
from tomocyte.confidence.typical_images import (
    MOST_VOXELS,
    WORDS,
    describe_deviation,
    describe_domain,
    deviations,
    domain_distance,
    domain_window,
    fit_domain,
)

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
    said = np.zeros((2, *SHAPE), np.uint8)
    said[0] = np.where(cell, 250, 0)
    said[1, 8:12, 20:30, 20:30] = 230
    return image.astype(np.float32), said


def figures(seed: int, **changes: float) -> dict[str, float]:
    found = describe_domain(*made(seed, **changes), STRUCTURES)
    assert found is not None
    return found


def test_figures_of_a_known_image() -> None:
    image, said = made(1, noise=0.02)
    found = describe_domain(image, said, STRUCTURES)
    assert found is not None
    assert found["cell_level"] == pytest.approx(np.median(image[said[0] > 0]), abs=0.01)
    assert found["background_level"] == pytest.approx(0, abs=0.001)
    # White noise of 0.018 to 0.022, by construction.
    assert 0.017 < math.exp(found["background_noise"]) < 0.023
    assert 0.017 < math.exp(found["background_spread"]) < 0.023
    # 90 % of a normal distribution of deviation 0.1 lie within 3.29 deviations.
    assert math.exp(found["cell_spread"]) == pytest.approx(0.329, rel=0.1)
    # White texture is as rough at one voxel as at three.
    assert found["sharpness_lateral"] == pytest.approx(0, abs=0.1)
    assert found["sharpness_axial"] == pytest.approx(0, abs=0.15)
    # 4 p (1 - p) of 250 / 255 in the cell; of the nucleus, 230 / 255 in 400 of 4,400 voxels.
    assert math.exp(found["doubt_cell"]) == pytest.approx(4 * (250 / 255) * (5 / 255), abs=2e-4)
    assert math.exp(found["doubt_nucleus"]) == pytest.approx(4 * (230 / 255) * (25 / 255) * 400 / 4400, abs=2e-4)


def test_blur_takes_fine_detail_away() -> None:
    sharp, blurred = (figures(2, noise=0.0005, blur=blur) for blur in (0.0, 1.5))
    for name in ("sharpness_lateral", "sharpness_axial"):
        assert blurred[name] < sharp[name] - 0.5


def test_nothing_is_said_without_cells_or_without_background() -> None:
    image, said = made(3)
    for level in (0, 255):
        assert describe_domain(image, np.full_like(said, level), STRUCTURES) is None


def test_a_model_without_cells_takes_all_its_structures() -> None:
    image, said = made(4)
    found = describe_domain(image, said, ("mitochondrion", "nucleus"))
    assert found is not None
    assert found["cell_level"] == figures(4)["cell_level"]


def test_training_images_are_inside_and_six_times_the_noise_is_named() -> None:
    known = fit_domain([figures(seed) for seed in range(40)], [figures(seed) for seed in range(40, 50)])
    distances = [domain_distance(figures(seed), known) for seed in range(50, 60)]
    assert np.mean(np.array(distances) > known.limit) <= 0.2
    noisy = figures(70, noise=0.06)
    assert domain_distance(noisy, known) > 2 * known.limit
    words = describe_deviation(noisy, known)
    assert WORDS["background_noise"] in words
    times = float(words.split(WORDS["background_noise"])[1].split(" times")[0])
    assert times == pytest.approx(6, rel=0.15)


def test_brighter_cells_are_named_with_their_level() -> None:
    known = fit_domain([figures(seed) for seed in range(30)])
    words = describe_deviation(figures(70, level=2.0), known)
    level, usual = re.search(f"{WORDS['cell_level']} (.+) instead of (.+) \\(", words).groups()  # type: ignore[union-attr]
    # Up to 5 % are drawn.
    assert float(level) == pytest.approx(2, rel=0.06)
    assert float(usual) == pytest.approx(1, rel=0.06)


def test_distance_is_mahalanobis_of_the_scaled_figures() -> None:
    known = DomainStatistics(
        names=("a", "b"), centre=(1.0, -2.0), scale=(0.5, 2.0), correlation=((1.0, 0.6), (0.6, 1.0)), limit=3.0,
        n_images=9,
    )  # fmt: skip
    described = {"a": 2.0, "b": 2.0}
    assert deviations(described, known) == {"a": 2.0, "b": 2.0}
    # For equal scores z the quadratic form is 2 z² / (1 + r).
    assert domain_distance(described, known) == pytest.approx(math.sqrt(2 * 4 / 1.6))
    # A figure that is missing counts as the median: z' R⁻¹ z = 4 / (1 - r²).
    assert domain_distance({"a": 2.0}, known) == pytest.approx(math.sqrt(4 / (1 - 0.36)))


def test_less_doubt_than_usual_is_nothing_unusual() -> None:
    known = DomainStatistics(
        names=("doubt_droplet", "noise"), centre=(-3.0, 0.0), scale=(0.5, 1.0), correlation=((1.0, 0.0), (0.0, 1.0)),
        limit=3.0, n_images=9,
    )  # fmt: skip
    assert domain_distance({"doubt_droplet": -9.0, "noise": 0.0}, known) == 0
    assert domain_distance({"doubt_droplet": -1.0, "noise": 0.0}, known) == pytest.approx(4)


def test_limit_covers_held_out_images_and_the_chi_distribution() -> None:
    training = [figures(seed) for seed in range(30)]
    alone = fit_domain(training)
    # 99 % point of χ with ten degrees of freedom, from tables: √23.21.
    assert len(alone.names) == 10
    assert alone.limit == pytest.approx(math.sqrt(23.209), abs=1e-3)
    odd = figures(71, noise=0.03)
    assert fit_domain(training, [odd]).limit == pytest.approx(domain_distance(odd, alone))


@pytest.mark.parametrize(
    "wrong", [{"centre": (0.0,)}, {"scale": (1.0, 0.0)}, {"correlation": ((1.0, 0.0),)}, {"centre": (0.0, math.nan)}]
)
def test_statistics_that_do_not_fit_are_refused(wrong: dict[str, object]) -> None:
    fields = {
        "names": ("a", "b"), "centre": (0.0, 0.0), "scale": (1.0, 1.0), "correlation": ((1.0, 0.0), (0.0, 1.0)),
        "limit": 2.0, "n_images": 3,
    }  # fmt: skip
    DomainStatistics(**fields)
    with pytest.raises(ValidationError):
        DomainStatistics(**{**fields, **wrong})


def test_window_of_a_large_image_lies_around_its_cells() -> None:
    said = np.zeros((1, 96, 260, 240), np.uint8)
    said[0, 70:80, 200:230, 20:60] = 255
    window = domain_window(said, ("cell",))
    assert math.prod(part.stop - part.start for part in window) <= MOST_VOXELS
    assert said[0][window].sum() == said.sum()
    small = said[:, :20, :30, :40]
    assert domain_window(small, ("cell",)) == (slice(0, 20), slice(0, 30), slice(0, 40))
