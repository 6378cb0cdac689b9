"""Outlines: their colours and places, seen in the picture itself."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tomocyte.errors import SettingsError
from tomocyte.figures import ContourPanel, contour_figure
from tomocyte.figures.canvas import COMPARISON_COLOURS, picture_format
from tomocyte.figures.contours import comparison_colour


def pixels_of(png: bytes, colour: str) -> NDArray[Any]:
    """Row and column of every pixel of a colour, the legend's strip left out."""
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)[:-30]
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return np.argwhere(np.abs(picture - wanted).sum(axis=-1) < 40)


def scene() -> tuple[NDArray[Any], NDArray[Any]]:
    image = np.random.default_rng(1).normal(1.35, 0.004, (60, 90))
    inside = np.zeros(image.shape, bool)
    inside[15:45, 30:75] = True
    return image, inside


def test_paper_colours() -> None:
    hue = {name: [int(code[i : i + 2], 16) for i in (1, 3, 5)] for name, code in COMPARISON_COLOURS.items()}
    red, yellow, cyan = hue["truth"], hue["OS-Net"], hue["edge-based"]
    green = hue["OS-Net (cross-laboratory)"]
    assert red[0] > 200
    assert max(red[1:]) < 60
    assert min(yellow[:2]) > 200
    assert yellow[2] < 60
    assert min(cyan[1:]) > 200
    assert cyan[0] < 60
    assert green[1] > 200
    assert max(green[0], green[2]) < 60
    assert comparison_colour("nucleus") == "#E69F00"


def test_outline_lies_where_the_mask_ends() -> None:
    image, inside = scene()
    pixel = (0.2, 0.1)  # 12 µm high, 9 µm wide: 480 px for 12 µm
    png = contour_figure([ContourPanel(image, {"truth": inside})], pixel)
    found = pixels_of(png, COMPARISON_COLOURS["truth"])
    scale, gap = 480 / 12.0, 10
    low, high = found.min(axis=0), found.max(axis=0)
    assert low == pytest.approx([gap + 15 * 0.2 * scale, gap + 30 * 0.1 * scale], abs=2)
    assert high == pytest.approx([gap + 45 * 0.2 * scale, gap + 75 * 0.1 * scale], abs=2)


def test_each_panel_has_its_own_outlines() -> None:
    image, inside = scene()
    panels = [
        ContourPanel(image, {}, "as measured"),
        ContourPanel(image, {"truth": inside, "OS-Net": np.roll(inside, (7, 7), axis=(0, 1))}),
    ]
    png = contour_figure(panels, (0.2, 0.1), title="simulated")
    for name in ("truth", "OS-Net"):
        columns = pixels_of(png, COMPARISON_COLOURS[name])[:, 1]
        assert columns.size > 50
        assert columns.min() > 10 + 9 / 12 * 300 + 10
    assert pixels_of(png, COMPARISON_COLOURS["edge-based"]).size == 0
    assert png == contour_figure(panels, (0.2, 0.1), title="simulated")


def test_rows_fill_up() -> None:
    image, _ = scene()
    two = Image.open(io.BytesIO(contour_figure([ContourPanel(image)] * 2, (0.2, 0.1), n_columns=1)))
    five = Image.open(io.BytesIO(contour_figure([ContourPanel(image)] * 5, (0.2, 0.1), n_columns=2)))
    assert five.width == pytest.approx(two.width + 225 + 10, abs=1)
    assert five.height == pytest.approx(two.height + 300 + 10, abs=1)


def test_vector_formats_and_names() -> None:
    image, inside = scene()
    panels = [ContourPanel(image, {"truth": inside})]
    assert contour_figure(panels, (0.2, 0.1), file_format="pdf")[:5] == b"%PDF-"
    svg = contour_figure(panels, (0.2, 0.1), file_format="svg")
    assert ET.fromstring(svg).tag.endswith("svg")
    for kind in ("png", "pdf", "svg"):
        made = contour_figure(panels, (0.2, 0.1), file_format=kind)  # type: ignore[arg-type]
        assert made == contour_figure(panels, (0.2, 0.1), file_format=kind)  # type: ignore[arg-type]
    assert picture_format("a.b/figure.PDF") == "pdf"
    with pytest.raises(SettingsError, match="E-PICTURE"):
        picture_format("figure.bmp")
    with pytest.raises(SettingsError, match="E-PICTURE"):
        contour_figure(panels, (0.2, 0.1), file_format="gif")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [np.nan, 1.337])
def test_constant_and_missing_images_are_drawn(value: float) -> None:
    assert contour_figure([ContourPanel(np.full((20, 30), value))], (0.2, 0.1))[:4] == b"\x89PNG"


def test_shapes_must_agree() -> None:
    image, inside = scene()
    for panels in ([], [ContourPanel(image, {"truth": inside[1:]})], [ContourPanel(image), ContourPanel(image[:-1])]):
        with pytest.raises(SettingsError, match="E-SHAPE"):
            contour_figure(panels, (0.2, 0.1))


def test_long_titles_and_many_names_are_not_cut() -> None:
    image, inside = scene()
    contours = {f"{10 * frame} min": inside for frame in range(12)}
    plain = Image.open(io.BytesIO(contour_figure([ContourPanel(image, {"truth": inside})], (0.2, 0.1))))
    many = Image.open(io.BytesIO(contour_figure([ContourPanel(image, contours)], (0.2, 0.1))))
    assert many.height > plain.height
    long = Image.open(io.BytesIO(contour_figure([ContourPanel(image)], (0.2, 0.1), title="long " * 20)))
    pixels = np.asarray(long.convert("L"))[:30]
    last = np.flatnonzero((pixels < 128).any(axis=0)).max()
    assert 500 < last < long.width - 5


def test_own_colours_go_before_known_ones() -> None:
    image, inside = scene()
    png = contour_figure([ContourPanel(image, {"truth": inside}, colours={"truth": "#10A0F0"})], (0.2, 0.1))
    assert pixels_of(png, "#10A0F0").size > 0
    assert pixels_of(png, COMPARISON_COLOURS["truth"]).size == 0
