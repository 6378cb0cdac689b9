"""Grouped bars: heights read back from the picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tomocyte.errors import SettingsError
from tomocyte.figures.bars import grouped_bars_figure
from tomocyte.figures.canvas import STRUCTURE_COLOURS


def height_of(picture: bytes, colour: str) -> float:
    """Rows between the lowest and the highest pixel of a colour above the legend."""
    image = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    rows = np.flatnonzero((np.abs(image - wanted).sum(axis=-1) < 12).sum(axis=1)[: int(0.8 * len(image))] > 6)
    return float(rows.max() - rows.min() + 1)


def test_bars_are_as_high_as_their_means() -> None:
    groups = {"NIH3T3": {"cell": [0.8, 0.8], "nucleus": [0.4, float("nan")]}, "HeLa": {"cell": [0.8], "nucleus": []}}
    picture = grouped_bars_figure(groups, name="Dice", title="simulated", published={"cell": 0.9})
    ratio = height_of(picture, STRUCTURE_COLOURS["nucleus"]) / height_of(picture, STRUCTURE_COLOURS["cell"])
    # The dashed line of the paper, at 0.9, has the cell's colour too.
    assert ratio == pytest.approx(0.4 / 0.9, abs=0.03)


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(SettingsError, match="E-PICTURE"):
        grouped_bars_figure({}, name="Dice")
