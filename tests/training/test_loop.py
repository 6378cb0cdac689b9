"""The loop: resumed bit for bit, several epochs, other sizes, and what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.training.conftest import disc_volume, small_recipe, write_pair

from tomocyte.comparison import train
from tomocyte.datasets.labelled import find_items
from tomocyte.errors import InputError, ModalityError, SettingsError
from tomocyte.models import load_package
from tomocyte.progress import Progress
from tomocyte.training import LabelledData
from tomocyte.training.batches import as_loss_target, epoch_order
from tomocyte.training.checkpoint import load_checkpoint, pack, read_checkpoint, save_checkpoint, unpack
from tomocyte.training.data.samples import Samples
from tomocyte.training.data.settings import IGNORE
from tomocyte.training.loop import Trainer, build_module, recipe_hash
from tomocyte.training.recipe import LoopSettings, Recipe
from tomocyte.training.validation import validation_scores


class KilledError(Exception):
    """Stands for the end of the process."""


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_package(folder / "model").state)


def run(recipe: Recipe, data: Path, folder: Path, *, dies_after: int | None = None) -> dict[str, Any]:
    items = find_items(data, recipe.data)

    def kill(event: Progress) -> None:
        if event.step == "train" and event.state == "at-work" and event.done == dies_after:
            raise KilledError

    return train(recipe, LabelledData(items[:4], items[4:]), folder=folder, callback=kill)


VARIED = {
    "augmentation": "strong-2d",
    "loop": {
        "n_epochs": 3,
        "ema_decay": 0.9,
        "checkpoint_every_steps": 1,
        "schedule": {"kind": "cosine"},
        "select": "best",
    },
}


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("changes", [{}, VARIED], ids=["plain", "everything"])
@pytest.mark.parametrize("dies_after", [1, 2, 4, 5])
def test_a_broken_training_ends_with_the_same_weights(
    data: Path, tmp_path: Path, changes: dict[str, Any], dies_after: int
) -> None:
    """4 images of 3 sections are 3 batches per epoch; broken within and at the end of an epoch."""
    recipe = small_recipe(**changes)
    whole = run(recipe, data, tmp_path / "whole")
    with pytest.raises(KilledError):
        run(recipe, data, tmp_path / "broken", dies_after=dies_after)
    again = run(recipe, data, tmp_path / "broken")
    first, second = weights_of(tmp_path / "whole"), weights_of(tmp_path / "broken")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert again["weights_sha256"] == whole["weights_sha256"]
    timeless = [[{k: v for k, v in e.items() if k != "seconds"} for e in r["history"]] for r in (whole, again)]
    assert timeless[0] == timeless[1]


def test_another_seed_gives_other_weights(data: Path, tmp_path: Path) -> None:
    results = [run(small_recipe(loop={"seed": s}), data, tmp_path / str(s))["weights_sha256"] for s in (1, 2)]
    assert results[0] != results[1]


def test_it_learns_the_boxes(data: Path, tmp_path: Path) -> None:
    recipe = small_recipe(loop={"n_epochs": 20, "optimiser": {"learning_rate": 0.01}})
    result = run(recipe, data, tmp_path / "run")
    assert result["history"][-1]["validation"]["dice"] > 0.97
    assert result["history"][-1]["loss"] < 0.5 * result["history"][0]["loss"]


def test_a_3d_network_learns_with_the_same_loop(data: Path, tmp_path: Path) -> None:
    recipe = small_recipe(
        data={"patch_shape": [4, 32, 32]},
        network={"name": "unet3d", "options": {"width": 4, "strides": [[1, 2, 2], [2, 2, 2]]}},
        loop={"n_epochs": 12, "samples_per_epoch": 16, "optimiser": {"learning_rate": 0.01}},
        loss={"kind": "dice+bce"},
    )
    result = run(recipe, data, tmp_path / "run")
    assert result["history"][-1]["validation"]["dice"] > 0.9


def test_softmax_learns_and_its_package_names_the_background(data: Path, tmp_path: Path) -> None:
    recipe = small_recipe(loss={"kind": "cross-entropy"}, loop={"n_epochs": 20, "optimiser": {"learning_rate": 0.01}})
    result = run(recipe, data, tmp_path / "run")
    assert result["history"][-1]["validation"]["dice"] > 0.97
    assert load_package(tmp_path / "run" / "model").card.structures == ("background", "nucleus")


def test_the_run_folder_tells_everything(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(small_recipe(), data, folder)
    names = {entry.name for entry in folder.iterdir()}
    assert {"recipe.json", "data.json", "environment.json", "log.jsonl", "curves.csv", "curves.png"} <= names
    assert "checkpoints" not in names
    files = json.loads((folder / "data.json").read_text())
    assert len(files["train"]) == 4
    assert all(len(sha) == 64 for item in files["train"] for sha in item["files"].values())
    epochs = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in epochs if entry["event"] == "epoch"] == [1, 2]
    card = load_package(folder / "model").card
    assert card.voxel_size_um == (None, 0.3, 0.2)
    assert card.section_axis == "z"
    assert card.value_range[0] < 1.337 < 1.357 < card.value_range[1]


def test_a_finished_training_is_not_done_again_and_another_recipe_is_refused(data: Path, tmp_path: Path) -> None:
    first = run(small_recipe(), data, tmp_path / "run")
    assert run(small_recipe(), data, tmp_path / "run")["history"] == first["history"]
    with pytest.raises(SettingsError, match="E-RESUME"):
        run(small_recipe(loop={"seed": 9}), data, tmp_path / "run")
    items = find_items(data, small_recipe().data)
    other = small_recipe(loop={"seed": 9})
    train(other, LabelledData(items[:4], []), folder=tmp_path / "run", restarts=True)
    assert "validation" not in json.loads((tmp_path / "run" / "result.json").read_text())["history"][0]


def test_checkpoints_of_another_recipe_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run(small_recipe(loop={"checkpoint_every_steps": 1}), data, tmp_path / "run", dies_after=2)
    with pytest.raises(SettingsError, match="E-RESUME"):
        run(small_recipe(loop={"checkpoint_every_steps": 1, "n_epochs": 7}), data, tmp_path / "run")


def test_changed_data_are_noticed(data: Path, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run(small_recipe(loop={"checkpoint_every_steps": 1}), data, tmp_path / "run", dies_after=2)
    path = data / "cell0_nucleus.ome.tif"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(InputError, match="E-DATA-CHANGED"):
        run(small_recipe(loop={"checkpoint_every_steps": 1}), data, tmp_path / "run")


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_corrupt_checkpoint_falls_back_to_the_one_before(tmp_path: Path, damage: str) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, step, {"w": torch.full((3, 4), float(step))}, {"place": [0, step, step]})
    newest = max(tmp_path.iterdir())
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes({"flip": bytes(content), "cut": bytes(content[:-5]), "empty": b""}[damage])
    found = load_checkpoint(tmp_path)
    assert found is not None
    tensors, state, notes = found
    assert state["place"] == [0, 1, 1]
    assert tensors["w"].unique().tolist() == [1.0]
    assert "E-CHECKPOINT" in notes[0]
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"E-CHECKPOINT.*none of 2"):
        load_checkpoint(tmp_path)


def test_every_flipped_bit_of_a_checkpoint_is_seen(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 7, {"w": torch.arange(12.0)}, {"n": 1})
    whole = path.read_bytes()
    for position in range(0, len(whole), 7):
        broken = bytearray(whole)
        broken[position] ^= 1 << (position % 8)
        path.write_bytes(bytes(broken))
        with pytest.raises(InputError, match="E-CHECKPOINT"):
            read_checkpoint(path)


def test_old_checkpoints_go_and_unfinished_ones_are_removed(tmp_path: Path) -> None:
    for step in range(5):
        save_checkpoint(tmp_path, step, {"w": torch.zeros(1)}, {}, n_kept=2)
    (tmp_path / "step-00000009-0123456789abcdef.part12-0badcafe.safetensors").write_bytes(b"half")
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert sorted(entry.name[:13] for entry in tmp_path.iterdir()) == ["step-00000003", "step-00000004"]


def test_nested_states_come_back_as_they_were() -> None:
    state = {"state": {0: {"step": torch.tensor(3.0), "n": 2}}, "param_groups": [{"lr": 0.1, "betas": [0.5, 0.9]}]}
    tensors: dict[str, torch.Tensor] = {}
    rest = json.loads(json.dumps(pack("o", state, tensors)))
    back = unpack(rest, tensors)
    assert back["param_groups"] == state["param_groups"]
    assert back["state"][0]["n"] == 2
    assert torch.equal(back["state"][0]["step"], torch.tensor(3.0))


def test_an_epoch_is_whole_batches_in_another_order_each_time() -> None:
    recipe = small_recipe()
    orders = [epoch_order(recipe, 10, epoch) for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]
    assert [len(order) for order in orders] == [8, 8, 8]
    assert len({index for index, _ in orders[0]}) == 8
    assert len(epoch_order(recipe, 3, 0)) == 3
    many = small_recipe(loop={"samples_per_epoch": 12})
    assert len(epoch_order(many, 5, 0)) == 12


def test_softmax_targets_are_class_numbers() -> None:
    heads = torch.tensor([[[[0, 1, 1, IGNORE]], [[0, 0, 1, 0]]]], dtype=torch.uint8)
    assert as_loss_target(heads, is_softmax=True).tolist() == [[[0, 1, 2, IGNORE]]]
    assert as_loss_target(heads, is_softmax=False).dtype == torch.float32


def test_validation_scores_of_hand_counted_masks() -> None:
    """Image 1: TP 1, FP 1, FN 1; image 2: TP 2; one pixel unlabelled. Dice 0.5, 1; pooled P = R = D = 3/4, J = 3/5."""
    probabilities = [np.array([[0.9, 0.9, 0.1, 0.1]], np.float32), np.array([[0.5, 0.6, 0.0, 0.9]], np.float32)]
    targets = [np.array([[1, 0, 1, 0]], np.uint8), np.array([[1, 1, 0, IGNORE]], np.uint8)]
    scores = validation_scores(probabilities, targets)
    expected = {"dice": 0.75, "precision": 0.75, "recall": 0.75, "jaccard": 0.6, "pooled_dice": 0.75, "f05": 0.75}
    assert scores == pytest.approx(expected)


def test_patience_stops_early(data: Path, tmp_path: Path) -> None:
    """At a learning rate of next to nothing the score stops improving at once."""
    recipe = small_recipe(loop={"n_epochs": 30, "patience": 3, "optimiser": {"learning_rate": 1e-12}})
    assert len(run(recipe, data, tmp_path / "run")["history"]) < 30


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"data": {"patch_shape": [4, 32, 32]}}, "E-RECIPE"),
        ({"network": {"name": "unet3d"}}, "E-RECIPE"),
        ({"network": {"options": {"n_outputs": 3}}}, "E-RECIPE"),
        ({"network": {"name": "no-such"}}, "E-NETWORK"),
    ],
)
def test_recipes_that_cannot_be_are_refused(data: Path, tmp_path: Path, changes: Any, code: str) -> None:
    with pytest.raises(SettingsError, match=code):
        run(small_recipe(**changes), data, tmp_path / "run")


def test_values_that_cannot_be_refractive_indices_are_refused(tmp_path: Path) -> None:
    """RI times 10,000, as some programs export it."""
    image, labels = disc_volume(np.random.default_rng(1))
    write_pair(tmp_path / "data", "scaled", image * 10_000, labels)
    recipe = small_recipe()
    items = find_items(tmp_path / "data", recipe.data)
    with pytest.raises(ModalityError, match=r"E-MODALITY-RANGE.*scaled"):
        train(recipe, LabelledData(items, []), folder=tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".tomocyte.json"]  # whose folder it is


def test_weights_of_another_network_are_refused(data: Path, tmp_path: Path) -> None:
    recipe = small_recipe()
    samples = Samples(find_items(data, recipe.data), recipe.data, n_axes=2)
    trainer = Trainer(recipe, samples, validation=None, folder=tmp_path)
    with pytest.raises(SettingsError, match="E-INIT"):
        trainer.start_from({"w": torch.zeros(1)})
    own = {name: value.clone() for name, value in trainer.module.state_dict().items()}
    for changed in ({**own, "w": torch.zeros(1)}, dict(list(own.items())[1:]), {}):
        with pytest.raises(SettingsError, match="E-INIT"):
            trainer.start_from(changed)
    trainer.start_from(own)


def test_weights_from_before_a_part_was_added_leave_it_as_drawn(data: Path, tmp_path: Path) -> None:
    recipe = small_recipe()
    samples = Samples(find_items(data, recipe.data), recipe.data, n_axes=2)
    entries: list[dict[str, Any]] = []
    trainer = Trainer(recipe, samples, validation=None, folder=tmp_path, log=entries.append)
    own = {name: value.clone() for name, value in trainer.module.state_dict().items()}
    last = [*own][-1].partition(".")[0]
    given = {name: value + 1 for name, value in own.items() if not name.startswith(f"{last}.")}
    trainer.start_from(given)
    for name, value in trainer.module.state_dict().items():
        torch.testing.assert_close(value, given.get(name, own[name]))
    assert entries == [{"event": "new parts", "parts": [last]}]


def test_what_decides_the_weights_is_in_the_hash() -> None:
    assert recipe_hash(small_recipe()) == recipe_hash(small_recipe(description="another text"))
    assert recipe_hash(small_recipe()) != recipe_hash(small_recipe(loop={"seed": 4}))


def test_outputs_begin_with_the_shares_asked_for() -> None:
    """With weights of zero the last convolution says the same everywhere: its bias."""
    options = {"width": 4, "stem_stride": [1, 2, 2], "strides": [[2, 2, 2]]}
    recipe = small_recipe(
        data={"structures": ["nucleus", "nucleolus"], "patch_shape": [4, 32, 32]},
        network={"name": "unet3d", "options": options},
        loop={"initial_shares": [0.2, 0.01]},
        loss={"kind": "dice+bce"},
    )
    module = build_module(recipe, 1)
    torch.nn.init.zeros_(module.get_submodule("head").weight)
    probability = torch.sigmoid(module(torch.randn(1, 1, 4, 8, 8))).detach()
    torch.testing.assert_close(probability[0, :, 0, 0, 0], torch.tensor([0.2, 0.01]))
    assert float(probability.std(dim=(0, 2, 3, 4)).max()) < 1e-6
    for shares in ([0.2], [0.2, 0.1, 0.1]):
        with pytest.raises(SettingsError, match="E-RECIPE"):
            build_module(recipe.model_copy(update={"loop": LoopSettings(initial_shares=shares)}), 1)
    with pytest.raises(ValidationError):
        LoopSettings(initial_shares=(0.0, 0.5))
