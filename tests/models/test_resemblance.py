"""What a frame looks like to its model, and how a network that tells cells apart is applied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.models.conftest import make_card

from tomocyte.models import read_card
from tomocyte.models.cells import cells_settings
from tomocyte.models.library import BUNDLED
from tomocyte.models.prediction import ModelInput, Prediction
from tomocyte.models.resemblance import describe_frame
from tomocyte.segmentation.prediction.normalization import NormalizationSettings
from tomocyte.segmentation.prediction.streamed import PredictedMasks

SHAPE = (12, 30, 40)


def test_a_frame_is_described_as_the_network_sees_it() -> None:
    """A cell of value 2 with noise of 0.1 on a background of 0.25 with noise of 0.01: its levels come back."""
    rng = np.random.default_rng(3)
    probability = np.zeros((2, *SHAPE), np.uint8)
    probability[0, 2:10, 4:20, 5:25] = 255
    probability[1] = 51  # 0.2: 4 p (1 - p) = 0.64
    is_cell = probability[0] > 0
    values = np.where(is_cell, 2 + 0.1 * rng.normal(size=SHAPE), 0.25 + 0.01 * rng.normal(size=SHAPE))
    card = make_card(
        structures=("cell", "nucleus"), dimensions=3, section_axis=None, voxel_size_um=(0.4, 0.3, 0.25),
        tile_shape=(8, 16, 16), normalization=NormalizationSettings(kind="medium", offset=1.4, scale=0.02),
    )  # fmt: skip
    image = (1.337 + 0.02 * values)[np.newaxis].astype(np.float32)
    frame = ModelInput(image, (0.4, 0.3, 0.25), 1.337)
    masks = PredictedMasks(np.zeros(SHAPE, np.uint8), probability)
    figures = describe_frame(card, frame, Prediction({}, masks))
    assert figures is not None
    assert figures["cell_level"] == pytest.approx(np.median(values[is_cell]), abs=1e-3)
    low, high = np.percentile(values[is_cell], (5, 95))
    assert np.exp(figures["cell_spread"]) == pytest.approx(high - low, rel=1e-2)
    assert figures["background_level"] == pytest.approx(0.25, abs=3e-3)
    assert np.exp(figures["doubt_nucleus"]) == pytest.approx(0.64, rel=1e-3)
    assert np.exp(figures["doubt_cell"]) == pytest.approx(1e-4, rel=1e-3)  # certain: the smallest that is told apart
    assert describe_frame(card, frame, Prediction({})) is None
    assert describe_frame(card, frame, Prediction({}, PredictedMasks(masks.bits))) is None


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({}, {"frame": "windows", "input": "masks", "unclaimed": "attach"}),
        ({"input": "regions"}, {"frame": "windows", "input": "regions", "unclaimed": "attach"}),
        ({"frame": "as-published"}, {"frame": "as-published", "input": "masks", "unclaimed": "background"}),
    ],
)
def test_cells_are_told_apart_as_the_network_learned_it(cells: dict[str, Any], expected: dict[str, Any]) -> None:
    card = read_card(BUNDLED / "odt-cells").model_copy(
        update={"recipe": {"data": {"cells": cells}}, "threshold": {"cell": 0.3}, "voxel_size_um": (0.6, 0.5, 0.4)}
    )
    settings = cells_settings(card, (4, 8, 8))
    assert {name: getattr(settings, name) for name in expected} == expected
    assert (settings.voxel_size_um, settings.divisor, settings.threshold) == ((0.6, 0.5, 0.4), (4, 8, 8), 0.3)
    assert cells_settings(card.model_copy(update={"recipe": {}}), (4, 8, 8)).frame == "windows"
