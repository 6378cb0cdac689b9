"""A model applied to a frame: objects, masks, empty tiles, forecast; the networks are plain functions."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.conftest import BALL_SIZE_UM, MEDIUM_RI, ball_ri
from tests.models.conftest import make_card
from tests.models.voxelwise import INFERENCE, RULES, SIZE_UM, frame_of, linear, model_of, solid_card, values

from tomocyte.errors import SettingsError
from tomocyte.labels.settings import CleanSettings, SplitSettings
from tomocyte.models import ModelCard, NetworkChoice
from tomocyte.models.forecast import model_forecast
from tomocyte.models.objects import ObjectRules
from tomocyte.models.prediction import (
    ModelInput,
    empty_test,
    mask_settings,
    objects_of_masks,
    predict_masks_of,
    predict_objects,
    predict_probabilities,
    predict_structure,
)
from tomocyte.models.settings import InferenceSettings
from tomocyte.networks.engine.forecast import ENGINE_SECONDS
from tomocyte.segmentation.prediction.normalization import NormalizationSettings
from tomocyte.segmentation.prediction.streamed import PredictedMasks
from tomocyte.segmentation.settings import InstanceSettings
from tomocyte.volume import Volume

CENTRES_UM = ((0.0, -3.5, -3.8), (0.0, 2.0, 3.4))


def rules(inference: InferenceSettings | None = None, split: SplitSettings | None = None) -> ObjectRules:
    return ObjectRules(inference or InferenceSettings(), CleanSettings(), split or SplitSettings())


def nucleated(*centres_um: tuple[float, float, float]) -> np.ndarray:
    """Balls of 4 µm and RI 1.357, each with a bright ball of 2 µm and RI 1.377 in its middle, edges anti-aliased."""
    image = ball_ri(centres_um=centres_um)
    grid = [(np.arange(n) - (n - 1) / 2) * size for n, size in zip(image.shape, BALL_SIZE_UM, strict=True)]
    z, y, x = np.meshgrid(*grid, indexing="ij")
    for centre in centres_um:
        depth = 2.0 - np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2)
        image += (0.02 * np.clip(0.5 + depth / 0.4, 0, 1)).astype(np.float32)
    return image


def test_softmax_classes_exclude_each_other() -> None:
    """Background, rim and core of a cell: the cell is rim and core together."""
    shares = np.zeros((3, 1, 8, 9), np.float32)
    shares[0] = 1
    shares[:, 0, 2:6, 2:7] = np.array([0.1, 0.9, 0.0])[:, None, None]
    shares[:, 0, 3:5, 3:6] = np.array([0.1, 0.1, 0.8])[:, None, None]
    card = ModelCard(
        name="classes", modality="odt", quantity="refractive_index", channels=("ri",), dimensions=2,
        structures=("background", "cell", "cell_core"), activation="softmax", network=NetworkChoice(name="osnet"),
        voxel_size_um=(None, 1, 1), value_range=(1, 2), section_axis="z", tile_shape=(16, 16),
    )  # fmt: skip
    model: Any = SimpleNamespace(
        card=card,
        predictor=lambda batch: np.pad(shares, ((0, 0), (0, 0), (0, 24), (0, 23)), mode="edge")[:, 0][None],
        divisor=(16, 16),
    )
    frame = ModelInput(np.full((1, 1, 8, 9), 1.3, np.float32), (math.nan, 1, 1), None)
    found = predict_objects(
        model, frame, rules(InferenceSettings(instances={"cell": InstanceSettings(min_area_um2=0)}))
    )
    assert set(found.labels) == {"cell"}
    assert int((found.labels["cell"] > 0).sum()) == 4 * 5


def card_3d(**changes: Any) -> ModelCard:
    fields: dict[str, Any] = {
        "name": "organelles", "modality": "odt", "quantity": "refractive_index", "channels": ("ri",), "dimensions": 3,
        "structures": ("cell", "nucleus"), "network": NetworkChoice(name="unet3d"),
        "normalization": NormalizationSettings(kind="medium", offset=1.4, scale=0.02),
        "voxel_size_um": (0.4, 0.4, 0.4), "value_range": (1.3, 1.5), "tile_shape": (16, 32, 32),
    }  # fmt: skip
    return ModelCard(**{**fields, **changes})


def levels_network(batch: np.ndarray) -> np.ndarray:
    """Cell above RI 1.347, nucleus above 1.367, where the medium is 1.337."""
    return np.concatenate([1 / (1 + np.exp(-40 * (batch - level))) for level in (0.5, 1.5)], 1).astype(np.float32)


def test_a_model_of_volumes_is_streamed_and_nuclei_that_touch_are_told_apart() -> None:
    """Two cells with their nuclei, and a third whose two nuclei touch: balls of 2 µm, 3.6 µm apart."""
    image = nucleated(*CENTRES_UM)
    model: Any = SimpleNamespace(card=card_3d(), predictor=levels_network, divisor=(4, 4, 4))
    frame = ModelInput(image[None], BALL_SIZE_UM, MEDIUM_RI)
    found = predict_objects(model, frame, rules(), keeps_probability=True)
    assert set(found.labels) == {"cell", "nucleus"}
    assert found.outputs == {"cell": 0, "nucleus": 1}
    assert found.masks is not None
    assert found.masks.probability is not None
    assert [int(labels.max()) for labels in found.labels.values()] == [2, 2]
    volume_um3 = math.prod(BALL_SIZE_UM)
    for output, radius in enumerate((4.0, 2.0)):
        per_object = found.masks.mask(output).sum() * volume_um3 / 2
        assert per_object == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.08)
    # the same, not streamed: the split by intensity needs probabilities
    whole = predict_objects(model, frame, rules(split=SplitSettings(method="intensity")))
    assert whole.masks is None
    for name in ("cell", "nucleus"):
        assert ((whole.labels[name] > 0) != (found.labels[name] > 0)).sum() <= 2

    pair = nucleated((0.0, 0.0, -2.3), (0.0, 0.0, 2.3))
    close = SplitSettings(min_separation_um=3.0, prominence=0.05)
    frame = ModelInput(np.maximum(pair, 1.377 * dumbbell())[None], BALL_SIZE_UM, MEDIUM_RI)
    assert predict_objects(model, frame, rules(split=close)).labels["nucleus"].max() == 2
    assert predict_objects(model, frame, rules(split=SplitSettings(method="none"))).labels["nucleus"].max() == 1


def dumbbell() -> np.ndarray:
    """1 on a bar of 0.8 µm between the two centres of a pair, 0 elsewhere."""
    shape = nucleated(CENTRES_UM[0]).shape
    z, y, x = np.meshgrid(
        *[(np.arange(n) - (n - 1) / 2) * size for n, size in zip(shape, BALL_SIZE_UM, strict=True)], indexing="ij"
    )
    return ((np.abs(x) < 2.3) & (np.hypot(z, y) < 0.8)).astype(np.float32)


def test_empty_tiles_are_left_out_where_the_medium_is_known() -> None:
    seen: list[int] = []

    def counted(batch: np.ndarray) -> np.ndarray:
        seen.append(len(batch))
        return levels_network(batch)

    image = np.full((24, 120, 130), MEDIUM_RI, np.float32)
    image[:, :36, :52] = nucleated(CENTRES_UM[0])
    card = card_3d()
    model: Any = SimpleNamespace(card=card, predictor=counted, divisor=(4, 4, 4))
    some, every = (InferenceSettings(tile_shape=(16, 32, 32), skips_empty=skips) for skips in (True, False))
    n_tiles, cells = [], []
    for inference in (some, every):
        seen.clear()
        frame = ModelInput(image[None], (0.4, 0.4, 0.4), MEDIUM_RI)
        found = predict_objects(model, frame, rules(inference))
        n_tiles.append(sum(seen))
        cells.append(found.labels["cell"])
    assert 0 < n_tiles[0] < n_tiles[1]
    np.testing.assert_array_equal(*cells)
    assert empty_test(card, some, None) is None
    assert empty_test(card_3d(normalization=NormalizationSettings(offset=1.337)), some, 1.337) is None


def test_forecast_of_a_streamed_model_counts_the_tiles_it_will_use() -> None:
    """Twice the tiles, twice the time; the memory does not hold a float volume per structure."""
    card = card_3d(network=NetworkChoice(name="unet3d", options={"width": 4, "n_outputs": 2}))
    seconds, held = [], []
    for n_planes in (64, 128):
        volume = Volume.from_array(
            np.broadcast_to(np.float32(1.34), (1, 1, n_planes, 300, 310)), voxel_size_um=(0.4, 0.4, 0.4),
            quantity="refractive_index", unit="1",
        )  # fmt: skip
        peak, time_s = model_forecast(card, rules(), volume)
        seconds.append(time_s - ENGINE_SECONDS)
        held.append(peak)
    assert seconds[1] == pytest.approx(2 * seconds[0], rel=0.35)
    assert held[1] - held[0] < 16 * 64 * 300 * 310


def test_probabilities_and_streamed_masks_of_a_volume_are_the_formula_voxel_by_voxel() -> None:
    v = values()
    frame = frame_of(v)
    frame.image[0, 2:4, 5] = np.nan
    model = model_of(lambda batch: linear(batch, 0.1))  # medium, too, has some probability
    probability = predict_probabilities(model, frame, INFERENCE)
    expected = np.stack([np.clip(v / 4 + 0.1, 0, 1), np.clip(v / 4 + 0.1, 0, 1) / 2])
    expected[:, 2:4, 5] = 0
    assert probability.dtype == np.float32
    np.testing.assert_allclose(probability, expected, atol=1e-4)
    masks = predict_masks_of(model, frame, RULES, keeps_probability=True)
    is_clear = np.abs(expected - 0.5) > 1e-3
    for output in range(2):
        clear = is_clear[output]
        np.testing.assert_array_equal(masks.mask(output)[clear], (expected[output] > 0.5)[clear])
    assert masks.probability is not None
    outside = np.isnan(frame.image[0])
    difference = masks.probability / 255.0 - expected
    assert np.abs(difference[:, ~outside]).max() < 1 / 255
    np.testing.assert_allclose(predict_structure(model, frame, "nucleus", INFERENCE), expected[1], atol=1e-4)


@pytest.mark.parametrize("axes", [("z",), ("z", "y", "x")])
def test_probabilities_of_sections_are_the_formula_pixel_by_pixel(axes: Any) -> None:
    v = values()
    card = make_card(structures=("cell", "nucleus"), voxel_size_um=(None, 0.3, 0.3), tile_shape=(16, 16))
    model = model_of(linear, card, divisor=(4, 4))  # its normalisation is fixed at 1.337 and 0.02
    frame = ModelInput(frame_of(v).image, (0.3, 0.3, 0.3), None)
    found = predict_probabilities(model, frame, InferenceSettings(tile_shape=(16, 16), section_axes=axes))
    np.testing.assert_allclose(found, [v / 4, v / 8], atol=1e-4)


def test_an_unknown_structure_lists_those_of_the_model() -> None:
    with pytest.raises(SettingsError, match=r"E-MODEL-STRUCTURE.*'mitochondria'") as caught:
        predict_structure(model_of(linear), frame_of(values()), "mitochondria")
    assert "cell, nucleus" in caught.value.cure


def test_thresholds_of_the_user_come_before_those_of_the_card() -> None:
    card = solid_card(threshold={"cell": 0.7, "nucleus": 0.2})
    settings = mask_settings(card, InferenceSettings(), {"cell": InstanceSettings(threshold=0.35)}, (2, 4, 4))
    assert settings.thresholds == (0.35, 0.2)
    assert settings.most_tile_voxels > 0
    assert mask_settings(card, INFERENCE, {}, (2, 4, 4), keeps_probability=True).keeps_probability
    assert mask_settings(card, INFERENCE, {}, (2, 4, 4)).most_tile_voxels == 0  # the user's tiles stay as they are


def test_objects_of_masks_are_the_pieces_of_each_bit() -> None:
    """Bit 0: two bars; bit 1: one of 2 x 3 x 4 voxels. A main structure of another name is called cell."""
    bits = np.zeros((5, 8, 12), np.uint8)
    bits[1:4, 1:3, 1:5] |= 1
    bits[1:4, 5:7, 6:11] |= 1
    bits[1:3, 5:8, 6:10] |= 2
    rules = ObjectRules(INFERENCE, CleanSettings(), SplitSettings(), main="nucleus")
    found = objects_of_masks(solid_card(structures=("vacuole", "nucleus")), PredictedMasks(bits), SIZE_UM, rules)
    assert found.outputs == {"vacuole": 0, "cell": 1}
    assert [int((found.labels["cell"] == 1).sum()), int(found.labels["cell"].max())] == [24, 1]
    assert sorted(np.bincount(found.labels["vacuole"].ravel())[1:].tolist()) == [24, 30]
    assert math.isclose(found.labels["vacuole"].astype(bool).mean(), 54 / bits.size)
