"""Outputs that exclude each other: where several are above their thresholds, the most probable one alone is there."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.segmentation.prediction.frame import PredictionSettings
from tomocyte.segmentation.prediction.streamed import MaskSettings, predict_masks
from tomocyte.segmentation.prediction.tiling import TilingSettings

TILES = PredictionSettings(tiling=TilingSettings(tile_shape=(4, 4, 4)))


def bits(exclusive: tuple[tuple[int, ...], ...], probabilities: list[float], n_planes: int = 4) -> np.ndarray:
    """Bits of a field where each output has one probability everywhere."""

    def network(batch: np.ndarray) -> np.ndarray:
        shape = (1, len(probabilities), 1, 1, 1)
        ones = np.ones((len(batch), 1, *batch.shape[2:]), np.float32)
        return ones * np.asarray(probabilities, np.float32).reshape(shape)

    thresholds = (0.5,) * len(probabilities)
    settings = MaskSettings(prediction=TILES, thresholds=thresholds, divisor=(1, 1, 1), exclusive=exclusive)
    image = np.ones((1, n_planes, 6, 8), np.float32)
    return np.unique(predict_masks(image, (0.3, 0.2, 0.1), network, settings).bits)


@pytest.mark.parametrize(
    ("exclusive", "probabilities", "expected"),
    [
        ((), [0.9, 0.8, 0.7], 0b111),
        (((0, 2),), [0.8, 0.9, 0.7], 0b011),
        (((0, 2),), [0.7, 0.9, 0.8], 0b110),
        (((0, 1, 2),), [0.6, 0.9, 0.8], 0b010),
        (((0, 1), (2, 3)), [0.6, 0.9, 0.8, 0.7], 0b0110),
        # What is below its threshold has no say, what is alone stays.
        (((0, 1),), [0.4, 0.6, 0.7], 0b110),
        (((0, 1),), [0.4, 0.3, 0.7], 0b100),
    ],
)
def test_the_most_probable_of_a_group_is_there(
    exclusive: tuple[tuple[int, ...], ...], probabilities: list[float], expected: int
) -> None:
    assert bits(exclusive, probabilities).tolist() == [expected]


def test_a_contested_border_goes_to_the_nearer() -> None:
    """Two outputs that rise and fall along x: each has its half, at a voxel size that is not the image's."""

    def network(batch: np.ndarray) -> np.ndarray:
        rising = batch[:, :1]
        return np.concatenate([np.clip(rising + 0.3, 0, 1), np.clip(1.3 - rising, 0, 1)], axis=1)

    image = np.zeros((1, 4, 8, 32), np.float32) + np.linspace(0, 1, 32, dtype=np.float32)
    settings = MaskSettings(
        prediction=TILES.model_copy(update={"voxel_size_um": (0.3, 0.2, 0.2)}),
        thresholds=(0.5, 0.5),
        divisor=(1, 1, 1),
        exclusive=((0, 1),),
    )
    masks = predict_masks(image, (0.3, 0.1, 0.1), network, settings)
    assert not (masks.mask(0) & masks.mask(1)).any()
    assert masks.mask(1)[..., :16].all()
    assert masks.mask(0)[..., 16:].all()
