"""Simulated images in and out of focus: discs and light that can be computed by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tomocyte.datasets.labelled import find_items
from tomocyte.datasets.settings import LabelledSettings
from tomocyte.errors import SettingsError
from tomocyte.runs.simulate.benchmark import labelled_images
from tomocyte.runs.simulate.focus import write_focus_images
from tomocyte.simulation.focus import (
    KINDS,
    FocusSettings,
    Kind,
    focused_light,
    in_focus_mask,
    organelle_balls,
    simulate_focus,
)
from tomocyte.training import build_recipe, load_recipe

SETTINGS = FocusSettings(shape=(80, 120), pixel_size_um=0.05)


def ball(z: float, radius: float = 1.0) -> np.ndarray:
    return np.array([[z, 2.0, 3.0, radius]])


@pytest.mark.parametrize(("z", "area"), [(0.0, math.pi), (0.25, math.pi), (-0.85, math.pi * 0.64), (1.3, 0.0)])
def test_a_ball_shows_the_disc_that_the_slab_cuts(z: float, area: float) -> None:
    """Up to 0.25 um away the whole radius of 1; 0.6 um further (0.85) √(1 - 0.36) = 0.8; beyond the ball nothing."""
    mask = in_focus_mask(ball(z), SETTINGS)
    assert mask.sum() * 0.05**2 == pytest.approx(area, rel=0.01)
    if area:
        y, x = (np.argwhere(mask).mean(axis=0) + 0.5) * 0.05
        assert (y, x) == pytest.approx((2.0, 3.0), abs=0.01)


def test_light_out_of_focus_is_wider_and_weaker() -> None:
    """All light of a ball in focus arrives; of one far away the crosstalk, √(0.06 + 0.35 · 2)² + 0.1²) um wide."""
    wide = FocusSettings(shape=(400, 500), pixel_size_um=0.05, lateral_sigma_um=0.06)
    middle = np.array([[0.0, 10.0, 12.5, 0.2]])
    sharp = focused_light(middle, np.array([7.0]), wide, crosstalk=0.1)
    far = focused_light(middle + np.array([2.0, 0.0, 0.0, 0.0]), np.array([7.0]), wide, crosstalk=0.1)
    assert sharp.sum() == pytest.approx(7.0, rel=1e-3)
    assert far.sum() == pytest.approx(0.7, rel=1e-3)
    for light, sigma in ((sharp, math.hypot(0.06, 0.1)), (far, math.hypot(0.76, 0.1))):
        y = (np.arange(400) + 0.5) * 0.05
        profile = light.sum(axis=1) / light.sum()
        mean = (profile * y).sum()
        assert math.sqrt((profile * (y - mean) ** 2).sum()) == pytest.approx(sigma, rel=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_in_focus_is_brighter_and_the_same_seed_gives_the_same_image(kind: Kind) -> None:
    image, mask = simulate_focus(kind, rng=np.random.default_rng(3))
    again, same = simulate_focus(kind, rng=np.random.default_rng(3))
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(mask, same)
    assert 0.0005 < mask.mean() < 0.6
    assert image[mask].mean() > image[~mask].mean()
    balls, _ = organelle_balls(kind, FocusSettings(), np.random.default_rng(3))
    assert (np.abs(balls[:, 0]) > 1).any()  # something is out of focus


def test_written_images_are_read_as_pairs_and_not_made_twice(tmp_path: Path) -> None:
    folder = write_focus_images(tmp_path / "images", 4, seed=8, settings=FocusSettings(shape=(32, 48)))
    items = find_items(folder, LabelledSettings(structures=("foreground",)))
    assert [item.name.partition("-")[0] for item in items] == sorted(KINDS)
    one = items[-1].read_frame()
    assert one.image.shape == (1, 1, 32, 48)
    assert one.labels["foreground"].shape == (1, 32, 48)
    assert items[0].open_image().is_simulated
    events: list[str] = []
    write_focus_images(folder, 4, seed=8, callback=lambda event: events.append(event.state))
    assert events == ["resumed"] * 4


def test_the_recipe_makes_its_own_images_where_none_are_given(tmp_path: Path) -> None:
    recipe = build_recipe(load_recipe("fg-net"))
    items = labelled_images(recipe.data, None, benchmark=recipe.benchmark, folder=tmp_path / "data")
    assert len(items) == 40
    with pytest.raises(SettingsError, match="E-BENCHMARK"):
        labelled_images(recipe.data, None, benchmark="focus/huge", folder=tmp_path / "other")
