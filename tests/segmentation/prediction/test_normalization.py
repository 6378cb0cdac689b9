"""Normalisation: against numpy, and never NaN."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from tomocyte.errors import SettingsError
from tomocyte.segmentation.prediction.normalization import NormalizationSettings, normalize, offset_and_scale

KINDS = ("fixed", "medium", "zscore", "percentile")


def two_channels(seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.normal(1.34, 0.01, (5, 7, 11)), rng.normal(50.0, 9.0, (5, 7, 11))]).astype(np.float32)


def test_fixed_and_medium_are_the_formula() -> None:
    image = two_channels()
    fixed = normalize(image, NormalizationSettings(offset=1.3, scale=0.05))
    np.testing.assert_allclose(fixed, (image.astype(float) - 1.3) / 0.05, rtol=1e-6)
    medium = NormalizationSettings(kind="medium", offset=1.3, scale=0.05)
    np.testing.assert_allclose(normalize(image, medium, medium_ri=1.337), (image - 1.337) / 0.05, rtol=1e-3)
    np.testing.assert_array_equal(normalize(image, medium), fixed)


def test_zscore_of_each_channel_alone() -> None:
    found = normalize(two_channels(), NormalizationSettings(kind="zscore"))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=(1, 2, 3)), 1, atol=1e-5)


def test_percentiles_of_each_channel_alone() -> None:
    image = two_channels()
    found = normalize(image, NormalizationSettings(kind="percentile", low=5, high=90))
    np.testing.assert_allclose(np.percentile(found, (5, 90), axis=(1, 2, 3)), [[0, 0], [1, 1]], atol=1e-4)
    assert found.max() > 1  # nothing is clipped


def test_unit_does_not_matter_to_relative_kinds() -> None:
    image = two_channels()
    for kind in ("zscore", "percentile"):
        settings = NormalizationSettings(kind=kind)
        np.testing.assert_allclose(normalize(image * 8 - 16, settings), normalize(image, settings), atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_bad_voxels_become_zero_and_do_not_count(kind: str) -> None:
    settings = NormalizationSettings(kind=kind, scale=2.0)
    image = two_channels()[:1]
    image[0, 0] = np.nan
    image[0, 1, 0, :2] = (np.inf, -np.inf)
    found = normalize(image, settings)
    bad = ~np.isfinite(image)
    assert bad.sum() == 79
    assert np.isfinite(found).all()
    assert (found[bad] == 0).all()
    offset, scale = offset_and_scale(image[0][~bad[0]][None], settings)
    np.testing.assert_allclose(found[~bad], (image[~bad] - offset) / scale, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["zscore", "percentile"])
@pytest.mark.parametrize("value", [0.0, 1.337, 65535.0, np.nan, np.inf])
def test_constant_images_give_zeros(kind: str, value: float) -> None:
    found = normalize(np.full((1, 3, 6, 8), value, np.float32), NormalizationSettings(kind=kind))
    assert (found == 0).all()


def test_large_images_are_sampled_across_every_column() -> None:
    """A 2100 x 2048 ramp along x: percentiles 1 and 99 of 0..2047 by formula, although only part is looked at."""
    image = np.broadcast_to(np.arange(2048, dtype=np.float32), (1, 1, 2100, 2048))
    offset, scale = offset_and_scale(image[0], NormalizationSettings(kind="percentile"))
    assert offset == pytest.approx(0.01 * 2047, abs=2)
    assert offset + scale == pytest.approx(0.99 * 2047, abs=2)


def test_integers_and_planes() -> None:
    image = np.array([[[0, 10], [20, 65535]]], dtype=np.uint16)
    assert normalize(image, NormalizationSettings(offset=10, scale=10)).tolist() == [[[-1, 0], [1, 6552.5]]]


def test_beyond_float32_is_outside_too() -> None:
    image = np.array([[[1e300, 2.0], [3.0, -1e300]]])
    assert normalize(image, NormalizationSettings()).tolist() == [[[0, 2], [3, 0]]]


def test_bad_settings_are_refused() -> None:
    for wrong in ({"scale": 0}, {"low": 50, "high": 50}, {"kind": "minmax"}, {"gain": 2}, {"offset": float("nan")}):
        with pytest.raises(ValidationError):
            NormalizationSettings(**wrong)
    with pytest.raises(SettingsError, match="E-MEDIUM"):
        normalize(two_channels(), NormalizationSettings(kind="medium"), medium_ri=float("nan"))
    with pytest.raises(SettingsError, match="E-AXES"):
        normalize(np.zeros((4, 4)), NormalizationSettings())
