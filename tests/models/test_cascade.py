"""Cascades of networks: which channels each sees, in which order, and what a file must not ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.labels.settings import CleanSettings, SplitSettings
from tomocyte.models import ModelCard, NetworkChoice, save_package
from tomocyte.models.cascade import Cascade, PlannedCascade, apply_cascade, plan_cascade
from tomocyte.models.loaded import LoadedModel
from tomocyte.models.objects import ObjectRules
from tomocyte.models.settings import InferenceSettings
from tomocyte.networks import build_network
from tomocyte.segmentation.prediction.normalization import NormalizationSettings
from tomocyte.segmentation.settings import InstanceSettings

SIZE_UM = (0.25, 0.1, 0.1)
SHAPE = (8, 24, 40)
Batch = NDArray[np.float32]
EVERY_VOXEL = InstanceSettings(min_volume_um3=0, min_area_um2=0, is_hole_filled=False)
CLASSES = ("background", "endoplasmic_reticulum", "nuclear_membrane", "nuclear_reticulum")


def card_of(name: str, channels: tuple[str, ...], structures: tuple[str, ...], **changes: Any) -> ModelCard:
    softmax = structures[0] == "background"
    fields: dict[str, Any] = {
        "name": name,
        "modality": "nile_red",
        "quantity": "intensity",
        "channels": channels,
        "dimensions": 3,
        "structures": structures,
        "activation": "softmax" if softmax else "sigmoid",
        "network": NetworkChoice(name="attention-unet3d"),
        "normalization": NormalizationSettings(),
        "voxel_size_um": SIZE_UM,
        "value_range": (-1e6, 1e6),
        "tile_shape": (8, 64, 64),
        **changes,
    }
    return ModelCard(**fields)


class Spy:
    """A network whose answer is a function of what it sees, which it remembers."""

    def __init__(self, answer: Callable[[Batch], Batch]) -> None:
        self.answer = answer
        self.seen: list[Batch] = []

    def __call__(self, batch: Batch) -> Batch:
        self.seen.append(batch.copy())
        return self.answer(batch).astype(np.float32)


def above(level: float) -> Callable[[Batch], Batch]:
    return lambda batch: (batch[:, :1] > level).astype(np.float32)


def reticulum_by_place(batch: Batch) -> Batch:
    """Of what is inside its mask, the left third is reticulum, the middle membrane, the right nuclear reticulum."""
    inside = batch[:, 0] > 0
    x = np.broadcast_to(np.arange(batch.shape[-1]), inside.shape)
    places = [inside & (x < 16), inside & (x >= 16) & (x < 28), inside & (x >= 28)]
    return np.stack([0.34 + 0 * inside, *(np.where(place, 0.36, 0.1) for place in places)], axis=1)


STEPS: list[dict[str, Any]] = [
    {
        "model": "er",
        "inputs": ["intensity", "ratio"],
        "finds": [],
        "makes": {"er_mask": {"structure": "endoplasmic_reticulum"}},
    },
    {"model": "er-nm-nr", "inputs": ["er_mask"]},
    {
        "model": "focus",
        "inputs": ["intensity"],
        "finds": [],
        "makes": {"in_focus": {"structure": "foreground", "times": "intensity"}},
    },
    {"model": "membrane", "inputs": ["in_focus"]},
]
CARDS = {
    "er": card_of("er", ("intensity", "ratio"), ("endoplasmic_reticulum",)),
    "er-nm-nr": card_of("er-nm-nr", ("mask",), CLASSES),
    "focus": card_of("focus", ("intensity",), ("foreground",)),
    "membrane": card_of("membrane", ("intensity",), ("plasma_membrane",)),
    "vacuole": card_of("vacuole", ("ratio",), ("vacuole",)),
}


def planned(steps: list[dict[str, Any]]) -> PlannedCascade:
    cascade = Cascade.model_validate({"kind": "cascade", "name": "test", "steps": steps})
    return PlannedCascade(cascade, tuple(CARDS[step["model"]] for step in steps))


def applied(
    steps: list[dict[str, Any]], spies: dict[str, Spy], channels: dict[str, Batch]
) -> dict[str, NDArray[np.unsignedinteger]]:
    plan = planned(steps)
    names = [name for card in CARDS.values() for name in card.structures]
    rules = ObjectRules(
        InferenceSettings(instances=dict.fromkeys(names, EVERY_VOXEL)), CleanSettings(), SplitSettings()
    )
    models = tuple(LoadedModel(CARDS[step["model"]], spies[step["model"]], (8, 8, 8)) for step in steps)
    return apply_cascade(plan, models, channels, SIZE_UM, rules)


@pytest.fixture
def channels() -> dict[str, Batch]:
    rng = np.random.default_rng(0)
    return {name: rng.random(SHAPE).astype(np.float32) for name in ("yellow", "intensity", "ratio")}


@pytest.fixture
def spies() -> dict[str, Spy]:
    return {
        "er": Spy(above(0.6)),
        "er-nm-nr": Spy(reticulum_by_place),
        "focus": Spy(above(0.3)),
        "membrane": Spy(above(0.8)),
        "vacuole": Spy(above(0.9)),
    }


def whole(spy: Spy) -> Batch:
    """What a network saw of the frame, whose tiles are larger than it."""
    (batch,) = spy.seen
    return batch[0][(slice(None), *(slice(n) for n in SHAPE))]


def test_every_network_sees_its_channels_and_nothing_else(channels: dict[str, Batch], spies: dict[str, Spy]) -> None:
    found = applied(STEPS, spies, channels)
    np.testing.assert_array_equal(whole(spies["er"]), np.stack([channels["intensity"], channels["ratio"]]))
    mask = channels["intensity"] > 0.6
    np.testing.assert_array_equal(whole(spies["er-nm-nr"]), mask[None].astype(np.float32))
    in_focus = np.where(channels["intensity"] > 0.3, channels["intensity"], 0)
    np.testing.assert_array_equal(whole(spies["membrane"]), in_focus[None])
    assert set(found) == {*CLASSES[1:], "plasma_membrane"}  # the mask of the first step is no result
    np.testing.assert_array_equal(found["plasma_membrane"] > 0, channels["intensity"] > 0.8)


def test_classes_that_exclude_each_other_are_the_most_probable_ones(
    channels: dict[str, Batch], spies: dict[str, Spy]
) -> None:
    """0.36 is more than the background's 0.34, although less than a half."""
    found = applied(STEPS, spies, channels)
    mask, x = channels["intensity"] > 0.6, np.arange(SHAPE[2])
    for name, place in zip(CLASSES[1:], (x < 16, (x >= 16) & (x < 28), x >= 28), strict=True):
        np.testing.assert_array_equal(found[name] > 0, mask & place)


def test_what_the_first_network_calls_er_is_all_that_the_second_one_knows(
    channels: dict[str, Batch], spies: dict[str, Spy]
) -> None:
    applied(STEPS[:2], spies, channels)
    before = whole(spies["er-nm-nr"])
    spies["er-nm-nr"].seen.clear()
    applied(STEPS[:2], spies, {**channels, "ratio": 1 - channels["ratio"], "yellow": 2 * channels["yellow"]})
    np.testing.assert_array_equal(whole(spies["er-nm-nr"]), before)


def test_voxels_outside_belong_to_nothing(channels: dict[str, Batch], spies: dict[str, Spy]) -> None:
    channels["intensity"][:, 5] = np.nan
    found = applied(STEPS, spies, channels)
    assert not any(labels[:, 5].any() for labels in found.values())


def test_a_further_structure_is_one_step(channels: dict[str, Batch], spies: dict[str, Spy]) -> None:
    before = applied(STEPS, spies, channels)
    for spy in spies.values():
        spy.seen.clear()
    found = applied([*STEPS, {"model": "vacuole", "inputs": ["ratio"]}], spies, channels)
    assert set(found) - set(before) == {"vacuole"}
    np.testing.assert_array_equal(found["vacuole"] > 0, channels["ratio"] > 0.9)
    for name, labels in before.items():
        np.testing.assert_array_equal(found[name], labels)
    assert [len(spy.seen) for spy in spies.values()] == [1] * 5


def stored_model(folder: Path, card: ModelCard, **options: Any) -> None:
    """Random weights in the network that the card names."""
    n = {"n_inputs": len(card.channels), "n_outputs": len(card.structures)}
    choice = NetworkChoice(name="attention-unet3d", options={"width": 2, **options, **n})
    torch.manual_seed(0)
    module = build_network(choice.name, choice.options).eval()
    step = tuple(module.divisor)
    image = np.random.default_rng(1).normal(size=(n["n_inputs"], 8, *step[1:])).astype(np.float32)
    card = card.model_copy(update={"network": choice, "tile_shape": (8, *step[1:])})
    save_package(folder / card.name, module.state_dict(), card, image)


def write(folder: Path, steps: list[dict[str, Any]], **changes: Any) -> Path:
    content = {"kind": "cascade", "name": "own", "steps": steps, **changes}
    (folder / "own.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder / "own.yaml"


def test_a_file_names_models_beside_it(tmp_path: Path) -> None:
    for name in ("er", "er-nm-nr"):
        stored_model(tmp_path, CARDS[name], form="preprint" if name == "er" else "published")
    plan = plan_cascade(write(tmp_path, STEPS[:2]))
    assert plan.structures == CLASSES[1:]
    assert [card.name for card in plan.cards] == ["er", "er-nm-nr"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("er", "er-nm-nr"):
        (tmp_path / name).rename(elsewhere / name)
    moved = plan_cascade(write(elsewhere, STEPS[:2]))
    assert moved.sha256 == plan.sha256  # where models lie decides nothing
    fewer = [STEPS[0], {**STEPS[1], "finds": ["nuclear_membrane"]}]
    assert plan_cascade(write(elsewhere, fewer)).sha256 != plan.sha256


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([STEPS[1], STEPS[0]], "sees 'er_mask' before"),
        ([{**STEPS[0], "makes": {}}], "neither finds nor makes"),
        ([STEPS[0], {**STEPS[2], "makes": STEPS[0]["makes"]}], "made once"),
        ([{**STEPS[0], "finds": ["golgi"]}], "does not find golgi"),
        ([{**STEPS[0], "inputs": ["intensity"]}], "sees 2 channels, not 1"),
        ([{"model": "er", "inputs": ["intensity", "ratio"]}, *STEPS[:2]], "two steps find endoplasmic_reticulum"),
        ([{**STEPS[0], "input": ["intensity"]}], "input"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, steps: list[dict[str, Any]], words: str) -> None:
    for name in {step["model"] for step in steps}:
        stored_model(tmp_path, CARDS[name])
    with pytest.raises(SettingsError, match=words):
        plan_cascade(write(tmp_path, steps))


def test_a_channel_that_there_is_not_is_named_with_those_there_are(
    channels: dict[str, Batch], spies: dict[str, Spy]
) -> None:
    del channels["ratio"]
    with pytest.raises(SettingsError, match=r"E-CASCADE.*er is to see ratio.*yellow, intensity"):
        applied(STEPS, spies, channels)


def test_what_is_no_cascade_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: train\n", encoding="utf-8")
    for name in (tmp_path / "a.yaml", "no-such-cascade"):
        with pytest.raises(SettingsError, match="E-CASCADE"):
            plan_cascade(name)
