"""Text, axes and marks of the pictures, asked of matplotlib itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tomocyte.figures.canvas import (
    DPI,
    axes_at,
    defaults,
    drawable,
    sample,
    sample_steps,
    value_label,
    value_text,
    write,
)
from tomocyte.figures.marks import draw_colour_bar, draw_contours, draw_legend, draw_numbers, draw_scale_bar
from tomocyte.structures import structure_colour

PIXEL_UM = (0.4, 0.25)


@pytest.fixture
def figure() -> Iterator[Figure]:
    with defaults():
        yield Figure(figsize=(4, 3), dpi=DPI)  # 400 x 300 pixels


@pytest.mark.parametrize(
    ("shape", "steps"),
    [
        ((100, 100, 200), (1, 1, 1)),  # two million voxels: all of them
        ((200, 200, 400), (2, 2, 2)),  # eight times as many
        ((100, 100, 201), (2, 2, 2)),
        ((8, 1000, 2000), (1, 2, 2)),  # (16 / 2)^(1/3) = 2, but eight planes are too few to leave any out
        ((9, 1000, 2000), (1, 3, 3)),  # 9 planes are not more than four steps of 3
        ((13, 1000, 1000), (2, 2, 2)),
    ],
)
def test_about_two_million_voxels_are_left(shape: tuple[int, ...], steps: tuple[int, int, int]) -> None:
    assert sample_steps(shape) == steps


def test_a_sample_is_numpys_slice() -> None:
    array = np.arange(7 * 8 * 9).reshape(7, 8, 9)
    np.testing.assert_array_equal(sample(array, (3, 2, 4)), array[::3, ::2, ::4])


@pytest.mark.parametrize(
    ("quantity", "unit", "text"),
    [
        ("refractive_index", "1", "refractive index"),
        ("phase", "rad", "phase (rad)"),
        ("", "", "value"),
        ("linear_absorption", "1/µm", "linear absorption (1/µm)"),
    ],
)
def test_labels_of_quantities(quantity: str, unit: str, text: str) -> None:
    assert value_label(quantity, unit) == text


def test_values_have_the_decimals_that_matter() -> None:
    assert [value_text(1.33751, "refractive_index"), value_text(1.33751, "phase"), value_text(123456, "")] == [
        "1.3375", "1.338", "1.235e+05",
    ]  # fmt: skip


def test_text_that_the_font_lacks_is_a_square_and_text_stays_in_one_line() -> None:
    assert drawable("Zelle µm³") == "Zelle µm³"
    assert drawable("細胞 a\nb\tc") == "□□ a b c"
    assert len(drawable("x" * 500)) == 120


def test_boxes_and_text_are_placed_in_pixels_from_the_upper_left_corner(figure: Figure) -> None:
    axes = axes_at(figure, (40, 30, 200, 150))
    box = axes.get_window_extent()
    np.testing.assert_allclose([box.x0, 300 - box.y1, box.width, box.height], [40, 30, 200, 150])
    write(figure, (100, 75), "$x$")
    (text,) = figure.texts
    assert text.get_position() == (0.25, 0.75)
    assert text.get_parse_math() is False


def outlines(figure: Figure, labels: Any, *, is_turned: bool) -> list[Any]:
    axes = figure.add_axes((0, 0, 1, 1))
    draw_contours(axes, labels, PIXEL_UM, colour="#123456", is_turned=is_turned)
    (lines,) = [part for part in axes.collections if isinstance(part, LineCollection)]
    assert to_hex(lines.get_color()[0]) == "#123456"
    return list(lines.get_segments())


@pytest.mark.parametrize("is_turned", [False, True])
def test_an_outline_lies_on_the_pixels_edges_in_um(figure: Figure, is_turned: bool) -> None:
    """Rows 2 to 4 and columns 3 to 7 reach from 0.8 to 2.0 µm and from 0.75 to 2.0 µm; the corner pixel touches 0."""
    labels = np.zeros((8, 12), np.uint16)
    labels[2:5, 3:8] = 9
    labels[0, 0] = 4
    first, second = sorted(outlines(figure, labels, is_turned=is_turned), key=len)
    y, x = (0, 1) if is_turned else (1, 0)
    assert (second[:, y].min(), second[:, y].max()) == pytest.approx((0.8, 2.0))
    assert (second[:, x].min(), second[:, x].max()) == pytest.approx((0.75, 2.0))
    assert (first[:, y].min(), first[:, x].min()) == pytest.approx((0.0, 0.0), abs=1e-12)


def test_numbers_stand_in_the_middle_unless_there_are_too_many(figure: Figure) -> None:
    labels = np.zeros((8, 12), np.uint16)
    labels[2:5, 3:8] = 9
    axes = figure.add_axes((0, 0, 1, 1))
    draw_numbers(axes, labels, PIXEL_UM)
    (text,) = axes.texts
    assert text.get_text() == "9"
    assert text.get_position() == pytest.approx((5.5 * 0.25, 3.5 * 0.4))
    many = figure.add_axes((0, 0, 0.5, 0.5))
    draw_numbers(many, np.arange(252).reshape(14, 18), PIXEL_UM)
    assert not many.texts


def test_the_scale_bar_has_the_length_it_names(figure: Figure) -> None:
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_ylim(30, 0)
    draw_scale_bar(axes, width_um=40.0, scale=10.0)
    (bar,) = [part for part in axes.patches if isinstance(part, Rectangle)]
    assert bar.get_width() == 10.0  # the largest round length of at most 12 µm
    assert (bar.get_x(), bar.get_y(), bar.get_height()) == pytest.approx((1.0, 28.5, 0.5))  # 10 and 5 pixels
    assert [text.get_text() for text in axes.texts] == ["10 µm"]


@pytest.mark.parametrize(("label", "form"), [("refractive index", ".4f"), ("phase (rad)", ".4g")])
def test_a_refractive_index_has_four_decimals(figure: Figure, label: str, form: str) -> None:
    image = figure.add_axes((0, 0, 0.5, 1)).imshow(np.linspace(1.33, 1.40, 12).reshape(3, 4))
    bar = figure.add_axes((0.6, 0, 0.05, 1))
    draw_colour_bar(figure, image, bar, label)
    figure.draw_without_rendering()
    texts = [text.get_text() for text in bar.get_yticklabels() if text.get_text()]
    assert bar.get_ylabel() == label
    assert len(texts) > 2
    assert texts == [format(float(text), form) for text in texts]


def test_the_legend_has_a_line_per_structure_in_its_colour(figure: Figure) -> None:
    draw_legend(figure, ["cell", "lipid_droplet"], is_missing=True, has_cuts=True)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "cell", "lipid droplet", "no value (NaN)", "where the planes cut",
    ]  # fmt: skip
    assert [line.get_color() for line in legend.get_lines()][:2] == [
        structure_colour("cell"),
        structure_colour("lipid_droplet"),
    ]
    empty = Figure()
    draw_legend(empty, [], is_missing=False, has_cuts=False)
    assert not empty.legends
