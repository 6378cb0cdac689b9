"""Tiles: every voxel once, windows against their formulas."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.signal.windows import gaussian, triang

from tomocyte.errors import SettingsError
from tomocyte.segmentation.prediction.tiling import TilingSettings, plan_tiles, reflected, window

WEIGHTS = ("gaussian", "spline", "linear", "constant")


@pytest.mark.parametrize("n", [8, 10, 64, 128, 130])
def test_spline_adds_up_to_two_at_half_overlap(n: int) -> None:
    """Choi et al.: w(i) + w(i + n/2) = 2, mean 1."""
    found = window(n, "spline")
    np.testing.assert_allclose(found[: n // 2] + found[n // 2 :], 2, atol=1e-12)
    assert found.mean() == pytest.approx(1)
    np.testing.assert_array_equal(found, found[::-1])


def test_spline_is_the_published_formula() -> None:
    """(2t)²/2 in the outer quarters, 1 - (2(t-1))²/2 inside, over its mean; t the triangular window."""
    t = triang(128)
    outer = np.minimum(np.arange(128), np.arange(128)[::-1]) < 32
    expected = np.where(outer, (2 * t) ** 2 / 2, 1 - (2 * (t - 1)) ** 2 / 2)
    np.testing.assert_allclose(window(128, "spline"), expected / expected.mean(), rtol=1e-12)
    assert window(128, "spline").min() == pytest.approx(0.00024, abs=1e-5)  # the minimum that is known of it


def test_gaussian_is_scipys() -> None:
    np.testing.assert_allclose(window(48, "gaussian"), gaussian(48, std=6), rtol=1e-12)
    np.testing.assert_allclose(window(33, "gaussian"), gaussian(33, std=33 / 8), rtol=1e-12)


def test_linear_ramps_meet_at_one() -> None:
    """Zhanghao et al.: 256 tiles at stride 182 share 74 voxels, over which the ramps add up to 1."""
    found = window(256, "linear", overlap=74)
    np.testing.assert_allclose(found[:74] + found[182:], 1, atol=1e-12)
    assert (found[74:182] == 1).all()
    assert (np.diff(found[:74]) > 0).all()
    assert (window(9, "linear") == 1).all()


@pytest.mark.parametrize("weight", WEIGHTS)
@given(
    size=st.integers(1, 300),
    divisor=st.sampled_from([1, 2, 4, 16]),
    blocks=st.integers(1, 6),
    overlap=st.floats(0, 0.75),
    halo=st.integers(0, 20),
)
def test_shares_add_up_to_one_and_starts_are_multiples(
    weight: str, size: int, divisor: int, blocks: int, overlap: float, halo: int
) -> None:
    tile = blocks * divisor
    if 2 * halo + divisor > tile:
        halo = 0
    settings = TilingSettings(tile_shape=(tile, tile), overlap=overlap, weight=weight, halo=(halo, halo))
    plan = plan_tiles((size, 3), settings, divisor=(divisor, divisor))
    total = np.zeros(size)
    for place in plan.axes[0]:
        assert place.start % divisor == 0
        assert 0 <= place.start <= place.first < place.stop <= min(size, place.start + plan.tile_shape[0])
        assert place.first == 0 or place.first - place.start >= halo
        assert place.stop == size or place.start + plan.tile_shape[0] - place.stop >= halo
        assert (place.weights > 0).all()
        total[place.first : place.stop] += place.weights
    np.testing.assert_allclose(total, 1, atol=1e-6)
    firsts = [place.first for place in plan.axes[0]]
    assert firsts == sorted(set(firsts))
    assert all(length % divisor == 0 for length in plan.tile_shape)


@pytest.mark.parametrize(
    ("size", "tile", "overlap", "n"),
    [(802, 256, 74 / 256, 4), (512, 256, 0.5, 3), (512, 128, 0.5, 7), (512, 128, 0, 4), (256, 64, 0.5, 7)],
)
def test_counts_of_the_papers(size: int, tile: int, overlap: float, n: int) -> None:
    """Zhanghao: 4 and 3 tiles per axis; Choi at stride 64: 7 between the borders; ACSeg: 7 per axis, 343 in all."""
    settings = TilingSettings(tile_shape=(tile,) * 3, overlap=overlap)
    assert plan_tiles((size,) * 3, settings, divisor=(1, 1, 1)).n_tiles == n**3


def test_smaller_images_get_smaller_tiles() -> None:
    settings = TilingSettings(tile_shape=(64, 128, 128))
    plan = plan_tiles((20, 33, 500), settings, divisor=(16, 16, 16))
    assert plan.tile_shape == (32, 48, 128)
    assert plan_tiles((1, 5, 9), settings, divisor=(8, 16, 16)).tile_shape == (16, 32, 32)


def test_mirrored_indices_are_numpys() -> None:
    for size, (before, after) in itertools.product((2, 3, 7), ((0, 1), (1, 5), (9, 16))):
        expected = np.pad(np.arange(size), (before, after), mode="reflect")
        np.testing.assert_array_equal(reflected(-before, size + after, size), expected)
    assert reflected(0, 4, 1).tolist() == [0, 0, 0, 0]


def test_what_cannot_work_is_refused() -> None:
    for wrong in (
        {"tile_shape": (64,)},
        {"tile_shape": (0, 64)},
        {"tile_shape": (64, 64), "halo": (4,)},
        {"tile_shape": (64, 64), "halo": (32, 4)},
        {"tile_shape": (64, 64), "overlap": 0.9},
        {"tile_shape": (64, 64), "weight": "cosine"},
        {"tile_shape": (64, 64), "overlap": math.nan},
    ):
        with pytest.raises(ValidationError):
            TilingSettings(**wrong)
    tiles = TilingSettings(tile_shape=(64, 40))
    with pytest.raises(SettingsError, match="E-TILE"):
        plan_tiles((100, 100), tiles, divisor=(16, 16))
    with pytest.raises(SettingsError, match="E-TILE"):
        plan_tiles((100, 100), TilingSettings(tile_shape=(64, 48), halo=(8, 20)), divisor=(16, 16))
    with pytest.raises(SettingsError, match="predict_sections"):
        plan_tiles((9, 100, 100), tiles, divisor=(8, 8))
