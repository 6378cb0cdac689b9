"""Charts of a page, read back from their SVG."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from tomocyte.errors import SettingsError
from tomocyte.figures.sketches import HEIGHT, WIDTH, Curve, sketch


def drawn(*curves: Curve, x_label: str = "x") -> ElementTree.Element:
    return ElementTree.fromstring(sketch(curves, x_label=x_label, y_label="y", name="chart"))


def line_of(svg: ElementTree.Element, colour: str) -> np.ndarray:
    """The points of the line of a colour, in pixels."""
    (path,) = [entry for entry in svg if entry.get("stroke") == colour and entry.get("fill") == "none"]
    return np.array([[float(number) for number in point.split()] for point in path.get("d", "")[1:].split("L")])


def ticks(svg: ElementTree.Element, anchor: str) -> dict[float, float]:
    """Value of each tick of an axis -> its place in pixels."""
    side = "x" if anchor == "middle" else "y"
    found = [
        entry
        for entry in svg.iter("text")
        if entry.get("text-anchor") == anchor and re.match("[−0-9]", entry.text or "")
    ]
    return {float((entry.text or "").replace("−", "-")): float(entry.get(side, "nan")) for entry in found}


def test_points_lie_where_the_ticks_say() -> None:
    x, y = np.array([0.0, 2.0, 8.0]), np.array([-1.0, 3.0, 1.0])
    svg = drawn(Curve(x, y, "#0072B2"))
    for values, places, anchor, tolerance in ((x, 0, "middle", 0.2), (y, 1, "end", 4.2)):
        known = sorted(ticks(svg, anchor).items())
        assert len(known) >= 3
        expected = np.interp(values, *zip(*known, strict=True)) + (4 if anchor == "end" else 0)
        inside = (values >= known[0][0]) & (values <= known[-1][0])
        assert inside.sum() >= 2
        assert line_of(svg, "#0072B2")[inside, places] == pytest.approx(expected[inside], abs=tolerance * 2)


def test_everything_stays_inside_and_the_band_is_closed() -> None:
    x, y = np.arange(5.0), np.array([2.0, 4.0, np.nan, 8.0, 1.0])
    svg = drawn(Curve(x, y, "#009E73", low=y - 1, high=y + np.array([1, 1, 1, np.nan, 1])))
    line = line_of(svg, "#009E73")
    assert len(line) == 4
    (band,) = [entry.get("d", "") for entry in svg if entry.get("fill") == "#009E73"]
    points = np.array([[float(number) for number in point.split()] for point in band[1:-1].split("L")])
    assert band.endswith("Z")
    assert len(points) == 8
    assert points[2] == pytest.approx(line[2])  # no upper end is known there
    for places in (line, points):
        assert (places >= 0).all()
        assert (places <= (WIDTH, HEIGHT)).all()


@pytest.mark.parametrize("y", [np.full(3, 7.0), np.array([1.3370, 1.3371, 1.3372]), np.array([0.0, 2e8, 3e8])])
def test_ticks_differ(y: np.ndarray) -> None:
    assert len(ticks(drawn(Curve(np.arange(3.0), y, "#000000")), "end")) >= 3


def test_text_is_escaped_and_colours_are_the_pages() -> None:
    source = sketch([Curve(np.arange(2.0), np.arange(2.0), "#000000")], x_label="<b>", y_label="&", name='"')
    assert "<b>" not in source
    assert 'aria-label="&quot;"' in source
    assert "currentColor" in source
    assert len(source) < 3000


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(SettingsError, match="E-PICTURE"):
        drawn(Curve(np.array([0.0]), np.array([np.nan]), "#000000"))
