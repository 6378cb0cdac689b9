"""Grouped bars: heights read back from the picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tomocyte.errors import SettingsError
from tomocyte.figures.bars import grouped_bars_figure
from tomocyte.structures import structure_colour


def top_of(picture: bytes, structure: str) -> float:
    """First row of the picture that shows a structure's colour on more than a few pixels."""
    image = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)
    colour = structure_colour(structure)
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return float(np.flatnonzero((np.abs(image - wanted).sum(axis=-1) < 12).sum(axis=1) > 6)[0])


def test_bars_are_as_high_as_their_means() -> None:
    nan = float("nan")
    groups = {
        "NIH3T3": {"cell": [0.9, 0.7], "nucleus": [0.4, nan], "nucleolus": [0.1, 0.3]},
        "HeLa": {"cell": [0.8], "nucleus": [], "nucleolus": [0.2]},
    }
    picture = grouped_bars_figure(groups, name="Dice", title="simulated")
    cell, nucleus, nucleolus = (top_of(picture, name) for name in ("cell", "nucleus", "nucleolus"))
    per_unit = (nucleolus - cell) / (0.8 - 0.2)
    assert per_unit > 100
    assert nucleus - cell == pytest.approx(0.4 * per_unit, abs=2)
    # What the paper prints is drawn, too; for a structure without bars there is nothing to set it beside.
    assert grouped_bars_figure(groups, name="Dice", title="simulated", published={"nucleus": 0.6}) != picture
    assert grouped_bars_figure(groups, name="Dice", title="simulated", published={"spindle": 0.6}) == picture


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(SettingsError, match="E-PICTURE"):
        grouped_bars_figure({}, name="Dice")
