"""Calibrated levels, entropy, and what sums over objects say, against formulas and draws of the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats
from scipy.interpolate import RegularGridInterpolator
from skimage.transform import resize

from tomocyte.confidence.levels import conformal_ends, coverage
from tomocyte.confidence.objects import ExpectedChange, change_score, interval, sum_over_objects
from tomocyte.confidence.settings import StructureCalibration
from tomocyte.confidence.voxels import (
    axis_places,
    calibrated_levels,
    entropy_levels,
    entropy_map,
    predictive_entropy,
    probability_at,
)
from tomocyte.errors import SettingsError
from tomocyte.evaluation import with_temperature

SIZE_UM = (0.3, 0.2, 0.15)
SHAPE = (26, 34, 42)


def radius_um(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Distance of every voxel from the middle."""
    grid = [(np.arange(n) - (n - 1) / 2) * size for n, size in zip(shape, SIZE_UM, strict=True)]
    z, y, x = np.meshgrid(*grid, indexing="ij")
    return np.sqrt(z**2 + y**2 + x**2)


def as_bytes(probability: np.ndarray) -> np.ndarray:
    return np.rint(255 * probability).astype(np.uint8)


def test_slope_alone_is_a_temperature() -> None:
    said = np.arange(256) / 255
    found = calibrated_levels(StructureCalibration(slope=1 / 1.7))
    np.testing.assert_allclose(found, with_temperature(said, 1.7), atol=1e-6)


def test_slope_and_bias_act_on_the_log_odds_and_the_ends_are_measured() -> None:
    levels = calibrated_levels(StructureCalibration(slope=0.8, bias=-0.9, floor=1e-4, ceiling=0.97))
    said = np.arange(1, 255) / 255
    np.testing.assert_allclose(special.logit(levels[1:-1].astype(float)), 0.8 * special.logit(said) - 0.9, atol=2e-4)
    assert levels[0] == pytest.approx(1e-4)
    assert levels[-1] == max(np.float32(0.97), levels[-2])
    assert (np.diff(levels) >= 0).all()


def test_ends_never_turn_the_order_round() -> None:
    """A floor above the next level, a ceiling below the one before."""
    levels = calibrated_levels(StructureCalibration(floor=0.4, ceiling=0.5))
    assert (np.diff(levels) >= 0).all()


def test_entropy_is_scipys_in_bits() -> None:
    p = np.random.default_rng(1).random((3, 5))
    expected = stats.entropy(np.stack([p, 1 - p]), base=2, axis=0)
    np.testing.assert_allclose(predictive_entropy(p), expected, atol=1e-6)


def test_entropy_map_is_the_entropy_of_the_resized_probability() -> None:
    """skimage resizes linearly too; a smooth field keeps 8 bits from mattering."""
    small = special.expit(2 * np.sin(np.linspace(0, 6, 7 * 9 * 11)).reshape(7, 9, 11))
    shape = (13, 20, 27)
    found = entropy_map(as_bytes(small), calibrated_levels(None), shape)
    expected = 255 * predictive_entropy(resize(as_bytes(small) / 255, shape, order=1, mode="edge"))
    assert found.shape == shape
    np.testing.assert_allclose(found, expected, atol=1.2)


@pytest.mark.parametrize(("n", "m"), [(7, 3), (3, 7), (5, 5), (4, 1), (1, 4)])
def test_places_are_where_numpy_interpolates(n: int, m: int) -> None:
    """Centres of n voxels among the centres of m over one extent; beyond the outermost centres nothing changes."""
    low, high, share = axis_places(n, m)
    values = np.random.default_rng(n).random(m)
    expected = np.interp((np.arange(n) + 0.5) / n, (np.arange(m) + 0.5) / m, values)
    np.testing.assert_allclose(values[low] * (1 - share) + values[high] * share, expected, atol=1e-6)
    assert 0 <= low.min() <= high.max() < m


def test_between_voxels_the_calibrated_probability_is_scipys() -> None:
    probability = np.random.default_rng(2).integers(0, 256, (3, 4, 5)).astype(np.uint8)
    levels = calibrated_levels(StructureCalibration(slope=0.7, bias=0.4))
    interpolated = RegularGridInterpolator(tuple(map(np.arange, (3, 4, 5))), levels[probability].astype(np.float64))
    for point in ((0.25, 2.5, 3.75), (1.0, 0.0, 4.0), (2.0, 1.5, 0.0)):
        low = [min(int(place), n - 2) for place, n in zip(point, (3, 4, 5), strict=True)]
        z, y, x = ((first, first + 1, place - first) for first, place in zip(low, point, strict=True))
        expected = interpolated([point])[0]
        assert probability_at(probability, levels, z, y, x) == pytest.approx(expected, abs=1e-6)


def test_entropy_of_levels_in_255_parts_of_a_bit() -> None:
    """0 and 1 are certain, 1/2 is one bit; p and 1 - p are equally uncertain."""
    entropy = entropy_levels(calibrated_levels(None))
    assert (entropy.dtype, entropy[0], entropy[255]) == (np.uint8, 0, 0)
    assert entropy_levels(np.array([0.5, 0.3], np.float32)).tolist() == [255, 225]
    np.testing.assert_array_equal(entropy, entropy[::-1])


def test_sums_of_a_hand_countable_object() -> None:
    """An object of 2 voxels 0.3 µm apart reaches 0.4 µm: one free voxel at each side; the next label is not free."""
    labels = np.zeros((1, 1, 8), np.uint8)
    labels[0, 0, 2:4] = 4
    labels[0, 0, 5:7] = 9
    p = as_bytes(np.array([[[0.0, 0.2, 0.8, 1.0, 0.4, 1.0, 0.6, 0.2]]]))
    image = np.array([[[1.0, 2.0, 3.0, 4.0, np.nan, 2.0, 0.5, 2.0]]], np.float32)
    sums = sum_over_objects(labels, p, calibrated_levels(None), (math.nan, 1.0, 0.3), image=image, medium=1.0)
    assert sums.label.tolist() == [4, 9]
    np.testing.assert_allclose(sums.n_voxels, [2, 2])
    np.testing.assert_allclose(sums.inside, [1.8, 1.6], atol=1e-6)
    np.testing.assert_allclose(sums.near, [0.6, 0.6], atol=1e-6)
    np.testing.assert_allclose(sums.mass, [5, 1], atol=1e-6)
    np.testing.assert_allclose(sums.mass_inside, [0.8 * 2 + 3, 1], atol=1e-6)
    np.testing.assert_allclose(sums.mass_near, [0.2, 0.2], atol=1e-6)
    np.testing.assert_allclose(sums.confidence, [1.8 / 2.6, 1.6 / 2.6], atol=1e-6)
    expected, uncertainty = sums.volume_change()
    np.testing.assert_allclose(expected, np.log([2.4 / 2, 2.2 / 2]), atol=1e-6)
    np.testing.assert_allclose(uncertainty, [0.8 / 2, 1.0 / 2], atol=1e-6)


def test_sums_without_an_image_or_a_medium_know_no_mass() -> None:
    labels = np.ones((2, 3, 4), np.uint16)
    image = np.ones((2, 3, 4), np.float32)
    for given in ({}, {"image": image}, {"medium": 1.0}, {"image": image, "medium": math.nan}):
        sums = sum_over_objects(labels, np.full((2, 3, 4), 255, np.uint8), calibrated_levels(None), SIZE_UM, **given)
        assert np.isnan(sums.mass).all()
        assert np.isnan(sums.mass_change()[0]).all()
        assert sums.confidence.tolist() == [1.0]


def test_shapes_that_do_not_fit_are_refused() -> None:
    labels = np.ones((2, 3, 4), np.uint8)
    with pytest.raises(SettingsError, match="E-SHAPE"):
        sum_over_objects(
            labels,
            np.zeros((2, 3, 4), np.uint8),
            calibrated_levels(None),
            SIZE_UM,
            image=np.ones((2, 3, 5), np.float32),
        )


def test_probability_on_a_coarser_grid_gives_nearly_the_same_sums() -> None:
    """The probability of a ball on every second voxel, which blurs it a little."""
    shape = (24, 32, 40)
    r = radius_um(shape)
    fine = special.expit((2.0 - r) / 0.3)
    coarse = fine.reshape(12, 2, 16, 2, 20, 2).mean(axis=(1, 3, 5))
    labels = (r < 2.0).astype(np.uint8)
    sums = [sum_over_objects(labels, as_bytes(p), calibrated_levels(None), SIZE_UM) for p in (fine, coarse)]
    assert sums[1].inside[0] == pytest.approx(sums[0].inside[0], rel=0.05)
    assert sums[1].near[0] == pytest.approx(sums[0].near[0], rel=0.15)


def test_confidence_is_the_mean_iou_of_draws_from_the_probability() -> None:
    """Truth drawn as balls of random radius: p is then the share of draws that cover a voxel.

    A ratio of means is not the mean of ratios: the more the radius varies, the more they differ.
    """
    r, rng = radius_um(), np.random.default_rng(5)
    for sd, tolerance in ((0.05, 0.01), (0.15, 0.02), (0.3, 0.04)):
        p = stats.norm.sf((r - 2.0) / sd)
        labels = (r < 2.0).astype(np.uint8)
        confidence = sum_over_objects(labels, as_bytes(p), calibrated_levels(None), SIZE_UM).confidence[0]
        drawn = r[None] < rng.normal(2.0, sd, 400)[:, None, None, None]
        inside = labels[None] > 0
        iou = (drawn & inside).sum(axis=(1, 2, 3)) / (drawn | inside).sum(axis=(1, 2, 3))
        assert confidence == pytest.approx(iou.mean(), abs=tolerance)


def balls(n: int, rng: np.random.Generator) -> tuple[np.ndarray, ExpectedChange]:
    """True over found volume of balls whose radius is only known to a normal deviation, and their change."""
    ratio, expected, uncertainty = [], [], []
    r = radius_um()
    for _ in range(n):
        radius, sd = rng.uniform(1.2, 2.2), rng.choice([0.03, 0.15])
        p = stats.norm.sf((r - radius) / sd)
        sums = sum_over_objects((p > 0.5).astype(np.uint8), as_bytes(p), calibrated_levels(None), SIZE_UM)
        change = sums.volume_change()
        ratio.append((rng.normal(radius, sd) / radius) ** 3)
        expected.append(change.log_ratio[0])
        uncertainty.append(change.uncertainty[0])
    return np.array(ratio), ExpectedChange(np.array(expected), np.array(uncertainty))


def test_intervals_learned_on_some_balls_cover_nine_of_ten_others() -> None:
    rng = np.random.default_rng(8)
    ratio, change = balls(120, rng)
    ends = conformal_ends(change_score(ratio, change))
    assert ends is not None
    ratio, change = balls(150, rng)
    low, high = interval(np.ones(150), change, ends)
    share = coverage(ratio, low, high)
    # Binomial of 150 at 0.9, and the spread that 120 calibration objects give: ± 2 x 0.037.
    assert 0.82 <= share <= 0.98
    is_sure = change.uncertainty < np.median(change.uncertainty)
    width = high / low - 1
    assert np.median(width[is_sure]) < 0.5 * np.median(width[~is_sure])
    assert coverage(ratio[is_sure], low[is_sure], high[is_sure]) >= 0.8
    assert coverage(ratio[~is_sure], low[~is_sure], high[~is_sure]) >= 0.8


def test_interval_without_ends_or_value_is_empty() -> None:
    change = ExpectedChange(np.array([0.1, 0.1]), np.array([0.2, 0.2]))
    assert np.isnan(interval(np.array([3.0, 4.0]), change, None)).all()
    low, high = interval(np.array([3.0, np.nan]), change, (-1.0, 1.0))
    assert np.isfinite([low[0], high[0]]).all()
    assert np.isnan([low[1], high[1]]).all()
    assert np.isnan(interval(np.array([-3.0, 0.0]), change, (-1.0, 1.0))).all()
