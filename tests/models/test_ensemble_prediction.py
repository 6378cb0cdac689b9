"""Several predictions made into one, and probabilities of a frame against the networks' own formulas."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.models.conftest import make_card

from tomocyte.errors import SettingsError
from tomocyte.labels.settings import CleanSettings, SplitSettings
from tomocyte.models import ModelCard
from tomocyte.models.ensemble import check_member, not_streamed, predict_ensemble
from tomocyte.models.objects import ObjectRules
from tomocyte.models.prediction import (
    ModelInput,
    mask_settings,
    objects_of_masks,
    predict_masks_of,
    predict_probabilities,
    predict_structure,
)
from tomocyte.models.settings import InferenceSettings
from tomocyte.segmentation.prediction.normalization import NormalizationSettings
from tomocyte.segmentation.prediction.streamed import PredictedMasks
from tomocyte.segmentation.settings import InstanceSettings

SIZE_UM = (0.4, 0.3, 0.25)
SHAPE = (7, 22, 26)
EVERY_VOXEL = InstanceSettings(
    min_volume_um3=0, min_area_um2=0, is_hole_filled=False, split=SplitSettings(method="none")
)
INFERENCE = InferenceSettings(
    tile_shape=(4, 16, 16), skips_empty=False, instances={"cell": EVERY_VOXEL, "nucleus": EVERY_VOXEL}
)
RULES = ObjectRules(INFERENCE, CleanSettings(), SplitSettings())


def solid_card(**changes: Any) -> ModelCard:
    return make_card(
        **{
            "structures": ("cell", "nucleus"), "dimensions": 3, "section_axis": None, "voxel_size_um": SIZE_UM,
            "tile_shape": (4, 16, 16), "normalization": NormalizationSettings(kind="medium", offset=1.4, scale=0.02),
            **changes,
        }
    )  # fmt: skip


def linear(batch: NDArray[np.float32], shift: float = 0.0) -> NDArray[np.float32]:
    """Cell v / 4 + shift, nucleus half of it: of each voxel's own value, so that tiles cannot matter."""
    cell = np.clip(batch / 4 + shift, 0, 1)
    return np.concatenate([cell, cell / 2], axis=1).astype(np.float32)


def model_of(predictor: Any, card: ModelCard | None = None, divisor: tuple[int, ...] = (2, 4, 4)) -> Any:
    return SimpleNamespace(card=card or solid_card(), predictor=predictor, divisor=divisor)


def values() -> NDArray[np.float32]:
    """What the network sees: 0 to 4, with structure on all axes."""
    return np.random.default_rng(4).uniform(0, 4, SHAPE).astype(np.float32)


def frame_of(v: NDArray[np.float32], medium_ri: float | None = 1.337) -> ModelInput:
    return ModelInput((1.337 + 0.02 * v.astype(np.float64)).astype(np.float32)[None], SIZE_UM, medium_ri)


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


def test_mean_and_spread_of_an_ensemble_are_numpys() -> None:
    shifts = (0.0, 0.1, -0.2)
    v = values()
    models = [model_of(lambda batch, shift=shift: linear(batch, shift)) for shift in shifts]
    calls: list[tuple[int, int]] = []
    found = predict_ensemble(
        models, frame_of(v), RULES, method="ensemble", callback=lambda done, total: calls.append((done, total))
    )
    members = np.stack([np.clip(v / 4 + shift, 0, 1) for shift in shifts])
    members = np.stack([members, members / 2], axis=1)  # (member, output, z, y, x)
    assert found.spread is not None
    assert found.masks is not None
    assert found.masks.probability is not None
    assert np.abs(found.spread / 255.0 - members.std(axis=0)).max() < 1.1 / 255
    assert np.abs(found.masks.probability / 255.0 - members.mean(axis=0)).max() < 1.1 / 255
    is_clear = np.abs(members.mean(axis=0) - 0.5) > 2 / 255
    for output, name in enumerate(("cell", "nucleus")):
        clear = is_clear[output]
        np.testing.assert_array_equal(found.masks.mask(output)[clear], (members.mean(axis=0)[output] > 0.5)[clear])
        np.testing.assert_array_equal(found.labels[name] > 0, found.masks.mask(output))
    assert sum(done == total for done, total in calls) == 3  # every member anew


def test_flips_are_turned_back_before_they_are_compared() -> None:
    """A voxelwise network does not care; one that adds a gradient along x is averaged over both directions."""
    v = values()
    same = predict_ensemble([model_of(linear)], frame_of(v), RULES, method="flips")
    assert same.spread is not None
    assert same.spread.max() <= 1  # rounding to 8 bits
    assert same.masks is not None
    assert same.masks.probability is not None
    assert np.abs(same.masks.probability[0] / 255.0 - v / 4).max() < 1.1 / 255

    def tilted(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        slope = np.linspace(-0.1, 0.1, batch.shape[-1], dtype=np.float32)
        return np.repeat(np.broadcast_to(0.5 + slope, batch.shape), 2, axis=1)

    frame = frame_of(v[..., :24])
    whole = INFERENCE.model_copy(update={"tile_shape": (8, 24, 24)})
    found = predict_ensemble(
        [model_of(tilted)], frame, ObjectRules(whole, CleanSettings(), SplitSettings()), method="flips"
    )
    assert found.spread is not None
    expected = np.abs(np.linspace(-0.1, 0.1, 24))  # ± the slope: the standard deviation of two equal halves
    np.testing.assert_allclose(
        found.spread[0] / 255.0, np.broadcast_to(expected, found.spread[0].shape), atol=1.1 / 255
    )


def test_voxels_outside_belong_to_nothing_in_an_ensemble() -> None:
    frame = frame_of(np.zeros(SHAPE, np.float32))
    frame.image[0, :, :, 20:] = np.nan
    found = predict_ensemble([model_of(lambda batch: linear(batch, 1.0))] * 2, frame, RULES, method="ensemble")
    assert (found.labels["cell"][:, :, :20] == 1).all()
    assert not found.labels["cell"][:, :, 20:].any()


def test_members_that_cannot_be_joined_are_refused() -> None:
    frame = frame_of(values())
    with pytest.raises(SettingsError, match="E-UNCERTAINTY"):
        predict_ensemble([], frame, RULES, method="ensemble")
    flat = make_card(structures=("cell", "nucleus"))
    with pytest.raises(SettingsError, match="E-UNCERTAINTY: small-nucleus"):
        predict_ensemble([model_of(linear, flat, (4, 4))], frame, RULES, method="flips")
    assert not_streamed("osnet").code == "E-UNCERTAINTY"


@pytest.mark.parametrize(
    "changes",
    [
        {"structures": ("nucleus", "cell")},  # another order is another output
        {"structures": ("cell", "nucleolus")},
        {"voxel_size_um": (0.4, 0.3, 0.2)},
        {"channels": ("phase",)},
    ],
)
def test_a_member_trained_on_something_else_is_refused(changes: dict[str, Any]) -> None:
    first = solid_card(name="first")
    check_member(solid_card(name="second", limits="others", threshold={"cell": 0.4}), first)
    with pytest.raises(SettingsError, match=r"E-UNCERTAINTY: second does not find .* as first"):
        check_member(solid_card(name="second", **changes), first)


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
