"""Compartments seen through each other: what light passes is worked out by hand."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from tomocyte.errors import SettingsError
from tomocyte.figures.compartments import CompartmentPanel, compartment_colours, compartment_figure
from tomocyte.structures import ZHANGHAO_COMPARTMENTS, structure_colour

RED, BLUE = (np.array(to_rgb(structure_colour(name))) for name in ("lysosome", "mitochondrion"))


def voxel(z: int) -> np.ndarray:
    mask = np.zeros((5, 1, 1), bool)
    mask[z] = True
    return mask


def test_what_is_nearer_hides_and_what_is_deeper_is_darker() -> None:
    above = compartment_colours({"lysosome": voxel(4), "mitochondrion": voxel(0)})
    assert above[0, 0] == pytest.approx(RED)
    below = compartment_colours({"lysosome": voxel(0), "mitochondrion": voxel(4)})
    assert below[0, 0] == pytest.approx(BLUE)
    assert compartment_colours({"lysosome": voxel(0)})[0, 0] == pytest.approx((0.6 + 0.4 / 5) * RED)


def test_light_passes_what_is_not_opaque() -> None:
    masks = {"lysosome": voxel(4) | voxel(3), "mitochondrion": voxel(2)}
    found = compartment_colours(masks, opacities={"lysosome": 0.25})
    # 1/4 of the light, 1/4 of what is left of it, and the rest from below: 9/16.
    expected = 0.25 * RED + 0.75 * 0.25 * 0.92 * RED + 0.75**2 * 0.84 * BLUE
    assert found[0, 0] == pytest.approx(expected)


def test_where_masks_overlap_the_inner_one_is_seen() -> None:
    cell = np.ones((1, 1, 1), bool)
    assert compartment_colours({"nucleus": cell, "lysosome": cell})[0, 0] == pytest.approx(RED)


def test_the_figure_names_what_it_shows_and_has_all_colours() -> None:
    masks = {name: np.zeros((2, 60, 90), np.uint8) for name in ZHANGHAO_COMPARTMENTS}
    for number, mask in enumerate(masks.values()):
        mask[1, 10:50, number * 6 : number * 6 + 5] = 1
    panels = [CompartmentPanel(ZHANGHAO_COMPARTMENTS, "all"), CompartmentPanel(("golgi", "nucleolus"), "one")]
    png = compartment_figure(masks, panels, (0.3, 0.1, 0.1), title="simulated")
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    legend = picture[:, 505:530]
    for name in ZHANGHAO_COMPARTMENTS:
        colour = np.round(255 * np.array(to_rgb(structure_colour(name))))
        assert (np.abs(legend - colour).sum(axis=-1) < 6).sum() > 60, name
    svg = compartment_figure(masks, panels, (0.3, 0.1, 0.1), file_format="svg")
    assert svg.startswith(b"<?xml")
    # Lipid droplets are the first strip of 15: 480 pixels for 90 columns, behind 10 of margin.
    pink = np.abs(picture[:, :490] - np.round(255 * np.array(to_rgb(structure_colour("lipid_droplet"))))).sum(-1) < 6
    columns = np.flatnonzero(pink.sum(axis=0) > 100)
    assert (columns.min(), columns.max()) == pytest.approx((10, 10 + 5 * 480 / 90 - 1), abs=2)


def test_what_cannot_be_drawn_is_refused() -> None:
    masks = {"golgi": np.ones((1, 2, 2)), "nucleus": np.ones((1, 2, 3))}
    with pytest.raises(SettingsError, match="E-SHAPE"):
        compartment_figure(masks, [CompartmentPanel(("golgi",))], (0.3, 0.1, 0.1))
    with pytest.raises(SettingsError, match="E-PICTURE"):
        compartment_figure({}, [], (0.3, 0.1, 0.1))
