"""Ratio as hue, intensity as brightness: values worked out by hand, and seen in the picture."""

from __future__ import annotations

import colorsys
import io

import numpy as np
import pytest
from PIL import Image

from tomocyte.errors import SettingsError
from tomocyte.figures.ratio_images import display_limits, ratio_colours, ratio_figure


@pytest.mark.parametrize(
    ("intensity", "ratio", "colour"),
    [
        (0.0, 1.0, (0.0, 0.0, 0.0)),
        (10.0, 2.0, (1.0, 0.0, 0.0)),
        (99.0, 5.0, (1.0, 0.0, 0.0)),
        (10.0, 1.0, colorsys.hsv_to_rgb(0.7, 1.0, 1.0)),
        (5.0, 1.5, colorsys.hsv_to_rgb(0.35, 1.0, 0.5)),
        (np.nan, 1.5, (0.0, 0.0, 0.0)),
        (5.0, np.nan, (0.0, 0.0, 0.0)),
    ],
)
def test_hue_is_the_ratio_and_brightness_the_intensity(
    intensity: float, ratio: float, colour: tuple[float, float, float]
) -> None:
    found = ratio_colours(np.array([[intensity]]), np.array([[ratio]]), intensity_limits=(0, 10), ratio_limits=(1, 2))
    assert found[0, 0] == pytest.approx(colour)


def test_the_ratio_of_the_background_does_not_decide_the_hues() -> None:
    rng = np.random.default_rng(1)
    intensity, ratio = np.full((40, 40), 1.0), rng.uniform(0, 40, (40, 40))
    # Light in a quarter of the field: the ratio of the dark rest is noise.
    intensity[:10], ratio[:10] = 100.0, np.linspace(1, 2, 400).reshape(10, 40)
    (low, high), (first, last) = display_limits(intensity, ratio)
    assert (low, high) == (1.0, 100.0)
    assert (first, last) == pytest.approx((1.02, 1.98), abs=0.005)


def test_the_picture_shows_each_half_in_its_hue() -> None:
    intensity, ratio = np.full((30, 60), 50.0), np.ones((30, 60))
    intensity[0], ratio[:, 30:] = 0.0, 2.0
    png = ratio_figure([("plane", intensity, ratio)], (0.2, 0.2), ratio_name="red/yellow", title="simulated")
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    red, blue = (picture[..., 0] > 200) & (picture[..., 2] < 40), (picture[..., 2] > 200) & (picture[..., 1] < 80)
    columns = [np.flatnonzero(np.count_nonzero(mask, axis=0) > 150) for mask in (red, blue)]
    # 480 pixels wide behind 12 of margin, the border in the middle; to their right lies the scale.
    assert (columns[1].min(), columns[1].max()) == pytest.approx((12, 251), abs=2)
    assert (columns[0].min(), columns[0].max()) == pytest.approx((252, 491), abs=2)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(SettingsError, match="E-SHAPE"):
        ratio_colours(np.ones((2, 3)), np.ones((3, 2)), intensity_limits=(0, 1), ratio_limits=(0, 1))
    with pytest.raises(SettingsError, match=r"E-PICTURE.*ratio"):
        ratio_colours(np.ones((2, 3)), np.ones((2, 3)), intensity_limits=(0, 1), ratio_limits=(1, 1))
    with pytest.raises(SettingsError, match="E-PICTURE"):
        ratio_figure([], (0.1, 0.1), ratio_name="red/yellow")
