"""Intensity and ratio of two channels: analytic values, the neutral dark, which way the ratio goes, and units."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tomocyte.channels import RatioLevels, RatioSettings, intensity_and_ratio, ratio_levels
from tomocyte.errors import MetadataError, SettingsError
from tomocyte.settings import build_settings

REAL = Path(os.environ.get("TOMOCYTE_DATA", "absent")) / "two_colour_gpcalc"
PLAIN = RatioSettings(background=(0.0, 0.0), floor=0.0)


def field(
    ratio: float, *, offset: tuple[float, float] = (110.0, 130.0), sd: float = 3.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A cell of a known red / yellow on a camera's offset with noise, and where it is."""
    rng = np.random.default_rng(5)
    cell = np.zeros((4, 120, 136), bool)
    cell[:, 40:90, 30:100] = True
    yellow, red = (offset[i] + rng.normal(0, sd, cell.shape) for i in range(2))
    return yellow + 1500 * cell, red + 1500 * ratio * cell, cell


def test_where_there_is_light_the_ratio_is_that_of_the_light() -> None:
    yellow, red, cell = field(0.4)
    intensity, ratio = intensity_and_ratio(yellow, red)
    # Half a count of offset wrong is 0.0004 of the ratio here.
    assert ratio[cell].mean() == pytest.approx(0.4, abs=1e-3)
    assert intensity[cell].mean() == pytest.approx(0.5 * (1500 + 600), rel=2e-3)
    assert np.sqrt(np.mean((intensity[~cell]) ** 2)) < 4


def test_where_there_is_none_it_is_neutral_instead_of_noise() -> None:
    yellow, red, cell = field(0.4)
    ratio = intensity_and_ratio(yellow, red)[1]
    assert ratio[~cell].mean() == pytest.approx(1.0, abs=0.05)  # negative counts are none, so slightly above
    assert ratio[~cell].std() < 0.2
    bare = intensity_and_ratio(yellow, red, settings=RatioSettings(floor=0.0))[1]
    assert bare[~cell].std() > 1  # without a floor, it is noise


@pytest.mark.parametrize(("direction", "expected"), [("red/yellow", 0.25), ("yellow/red", 4.0)])
def test_the_direction_is_that_of_the_settings(direction: str, expected: float) -> None:
    yellow, red = np.full((1, 3, 4), 400, np.uint16), np.full((1, 3, 4), 100, np.uint16)
    settings = build_settings(RatioSettings, {"direction": direction, "background": [0, 0], "floor": 0})
    assert intensity_and_ratio(yellow, red, settings=settings)[1].tolist() == np.full((1, 3, 4), expected).tolist()


def test_the_ratio_rises_without_a_step_from_neutral() -> None:
    """By hand, floor 100, red twice yellow: 1 at I = 0; at I = 50 (33.3; 66.7) (66.7 + 50) / (33.3 + 50) = 1.4."""
    intensity = np.array([0.0, 50.0, 99.999, 100.0, 5000.0])
    yellow, red = (intensity * 2 / 3)[None, None], (intensity * 4 / 3)[None, None]
    settings = RatioSettings(background=(0.0, 0.0), floor=100.0)
    ratio = intensity_and_ratio(yellow, red, settings=settings)[1, 0, 0]
    np.testing.assert_allclose(ratio, [1.0, 1.4, 2.0, 2.0, 2.0], rtol=1e-5)


def test_twice_the_light_is_the_same_ratio_and_another_offset_nothing_at_all() -> None:
    yellow, red, _ = field(1.3)
    first = intensity_and_ratio(yellow, red)
    twice = intensity_and_ratio(2 * yellow, 2 * red)
    np.testing.assert_allclose(twice[0], 2 * first[0], rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(twice[1], first[1], rtol=1e-4, atol=1e-4)
    moved = intensity_and_ratio(yellow + 1000, red + 50)
    np.testing.assert_allclose(moved, first, rtol=1e-3, atol=1e-2)


def test_too_high_ratios_are_cut_and_dark_stays_finite() -> None:
    yellow, red = np.array([[[0.0, 1.0, 0.0]]]), np.array([[[50.0, 50.0, 0.0]]])
    assert intensity_and_ratio(yellow, red, settings=PLAIN)[1].tolist() == [[[4.0, 4.0, 1.0]]]


def test_what_has_no_value_keeps_none() -> None:
    yellow, red, cell = field(0.5)
    yellow[0, 50, 50] = np.nan
    derived = intensity_and_ratio(yellow, red)
    assert np.isnan(derived[:, 0, 50, 50]).all()
    assert np.count_nonzero(np.isnan(derived)) == 2
    assert derived[1][cell & np.isfinite(derived[1])].mean() == pytest.approx(0.5, abs=1e-3)


def test_a_part_of_an_image_can_have_the_levels_of_the_whole() -> None:
    yellow, red, _ = field(0.7)
    settings = RatioSettings()
    levels = ratio_levels(yellow, red, settings)
    assert levels.yellow == pytest.approx(110, abs=1.5)
    assert levels.red == pytest.approx(130, abs=1.5)
    assert levels.floor == pytest.approx(8 * 3 / np.sqrt(2), rel=0.15)
    whole = intensity_and_ratio(yellow, red, settings=settings)
    part = intensity_and_ratio(yellow[:, 50:80, 40:90], red[:, 50:80, 40:90], settings=settings, levels=levels)
    np.testing.assert_array_equal(part, whole[:, :, 50:80, 40:90])


@pytest.mark.parametrize("shape", [(1, 40, 50), (3, 5, 7)])
def test_any_number_of_planes_and_small_images(shape: tuple[int, int, int]) -> None:
    yellow = np.full(shape, 200, np.uint8)
    yellow[0, 0] = 10
    derived = intensity_and_ratio(yellow, yellow)
    assert derived.shape == (2, *shape)
    assert derived.dtype == np.float32
    assert np.all(derived[1] == 1.0)


def test_channels_of_different_size_are_refused() -> None:
    with pytest.raises(MetadataError, match="E-CHANNEL-SHAPE: channels of 1 x 8 x 9 and of 1 x 8 x 10"):
        intensity_and_ratio(np.zeros((1, 8, 9)), np.zeros((1, 8, 10)))


@pytest.mark.parametrize("wrong", [{"floor": -1}, {"floor": float("nan")}, {"neutral": 5}, {"direction": "red"}])
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="E-SETTINGS"):
        build_settings(RatioSettings, wrong)


def test_levels_given_are_used() -> None:
    image = np.full((1, 2, 2), 110.0)
    derived = intensity_and_ratio(image, image + 10, settings=PLAIN, levels=RatioLevels(100.0, 100.0, 0.0))
    assert derived[:, 0, 0, 0].tolist() == [15.0, 2.0]


@pytest.mark.skipif(not REAL.exists(), reason="needs the real two-colour fields")
def test_a_ramp_of_a_known_ratio_is_exact_to_its_quantisation() -> None:
    """The synthetic ramp of GPcalc: the ratio is that of the stored integers."""
    import tifffile

    first, second = tifffile.imread(REAL / "DemoTest_3Ch.tif")[:2, 240:250].astype(np.float64)[:, None]
    step = np.arange(1, 399)  # columns 57 to 454: the first grows by 163.84 a column, the second falls by as much
    is_inside = (399 - step) / step < 4
    ratio = intensity_and_ratio(first, second, settings=PLAIN)[1, 0, :, 57:455][:, is_inside]
    exact = ((399 - step) / step)[is_inside]
    allowed = 0.5 * (1 + exact) / (163.84 * step[is_inside] - 0.5)  # both are rounded to whole counts
    assert np.all(np.abs(ratio - exact) <= allowed * 1.001)
    assert ratio.size == 10 * 319
