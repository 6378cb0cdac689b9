"""A whole recipe in one call: what Python and the command leave behind is the same; what cannot be is refused first."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tests.papers.conftest import write_item
from tests.training.conftest import disc_volume, small_recipe, write_pair
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.comparison import fine_tune, train
from tomocyte.datasets.labelled import find_items
from tomocyte.errors import InputError, ModalityError, SettingsError
from tomocyte.models import load_package, read_card
from tomocyte.progress import Progress
from tomocyte.training import LabelledData, Recipe, build_recipe, fine_tuning_recipe, load_recipe, split_items

HELD_OUT = {"benchmark": "none/small", "sets": {"in-domain": {"split": "test"}}}
WHOLE: dict[str, Any] = {
    "kind": "train",
    "name": "balls",
    "data": {
        "modality": "odt",
        "structures": ["cell"],
        "normalization": {"kind": "medium", "offset": 1.337, "scale": 0.02},
        "patch_shape": [8, 32, 32],
        "object_share": 0.8,
    },
    "network": {"name": "unet3d", "options": {"width": 4, "strides": [[2, 2, 2]]}},
    "loss": {"kind": "dice+bce"},
    "loop": {
        "n_epochs": 3,
        "samples_per_epoch": 16,
        "batch_size": 2,
        "precision": "fp32",
        "optimiser": {"learning_rate": 0.01},
    },
    "calibrate": True,
    "limits": "balls only",
    "held_out": HELD_OUT,
}


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def card_without_time(folder: Path) -> dict[str, Any]:
    return {key: value for key, value in json.loads((folder / "card.json").read_text()).items() if key != "date"}


def test_python_and_the_command_make_the_same_model(tmp_path: Path) -> None:
    data = tmp_path / "balls"
    for name, radius, split in (("a", 2.5, "train"), ("b", 2.0, "train"), ("c", 3.0, "validation"), ("d", 2.2, "test")):
        write_item(data, name, [radius], split=split)
    path = tmp_path / "balls.yaml"
    path.write_text(yaml.safe_dump(WHOLE))

    recipe = build_recipe(load_recipe(path))
    sets = split_items(find_items(data, recipe.data), recipe.validation_share, seed=recipe.loop.seed)
    result = train(recipe, sets, folder=tmp_path / "python", held_out=data)

    arguments = ["train", str(path), "-o", str(tmp_path / "command"), "--data", str(data), "--held-out", str(data)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    cards = [card_without_time(tmp_path / face / "model") for face in ("python", "command")]
    assert cards[0] == cards[1]
    card = read_card(tmp_path / "python" / "model")
    assert card.calibration.keys() == {"cell"}
    assert card.limits == "balls only"
    assert "in-domain (simulated, 1 images)" in card.figures
    assert card.figures["calibration"]["validation (fitted on)"]["n_images"] == 1  # type: ignore[index, call-overload]
    assert result["figures"] == card.figures
    assert (tmp_path / "python" / "calibration.json").read_bytes() == (
        tmp_path / "command" / "calibration.json"
    ).read_bytes()


def test_what_the_recipe_asks_for_afterwards_is_checked_before_the_first_step(data: Path, tmp_path: Path) -> None:
    events: list[Progress] = []
    items = find_items(data, small_recipe().data)
    for changes, validation, held_out, code in (
        ({"calibrate": True}, [], None, "E-RECIPE"),
        ({"held_out": HELD_OUT}, items[4:], None, "E-BENCHMARK"),
        ({"held_out": HELD_OUT}, items[4:], data, "E-NO-DATA"),  # none of the split `test`
    ):
        recipe = small_recipe(**changes)
        with pytest.raises((SettingsError, InputError), match=code):
            train(
                recipe,
                LabelledData(items[:4], validation),
                folder=tmp_path / "out",
                held_out=held_out,
                callback=events.append,
            )
    assert not [event for event in events if event.step == "train"]
    assert not (tmp_path / "out" / "model").exists()


def test_held_out_data_are_not_simulated_by_several_processes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = find_items(data, small_recipe().data)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingsError, match=r"E-NO-DATA.*--held-out"):
        train(small_recipe(held_out=HELD_OUT), LabelledData(items, []), folder=tmp_path / "out")


def test_fine_tuning_scores_before_and_after_and_refuses_what_does_not_fit(data: Path, tmp_path: Path) -> None:
    recipe = small_recipe(loop={"n_epochs": 6, "optimiser": {"learning_rate": 0.01}})
    items = find_items(data, recipe.data)
    first = train(recipe, LabelledData(items[:4], items[4:]), folder=tmp_path / "out")
    package = load_package(tmp_path / "out" / "model")
    content = fine_tuning_recipe(package.card)
    content["loop"] |= {"n_epochs": 1, "samples_per_epoch": 8, "validate_every": 1, "schedule": {}, "precision": "fp32"}
    tuning = build_recipe(content)
    tuned = fine_tune(package, tuning, LabelledData(items[:4], items[4:]), folder=tmp_path / "tuned")
    # The model before is the one that the training scored last, on the same images.
    assert tuned["before"]["dice"] == pytest.approx(first["history"][-1]["validation"]["dice"], abs=1e-6)
    assert tuned["after"]["dice"] == pytest.approx(tuned["history"][-1]["validation"]["dice"], abs=1e-6)
    assert tuned["weights_sha256"] != first["weights_sha256"]

    image, labels = disc_volume(np.random.default_rng(1))
    write_pair(tmp_path / "eight bit", "a", (image - 1.33) * 5000, labels)
    other = find_items(tmp_path / "eight bit", tuning.data)
    with pytest.raises(ModalityError, match="E-MODEL-FIT"):
        fine_tune(package, tuning, LabelledData(other, []), folder=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_documentation_s_python_trains(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    data.rename("my_sections")
    content = small_recipe().model_dump(mode="json", exclude_defaults=True)
    Path("my_recipe.yaml").write_text(yaml.safe_dump({"kind": "train", **content}))
    exec(code, {})
    assert "dice" in capsys.readouterr().out
    assert load_package(Path("out") / "model").card.recipe["loop"]["n_epochs"] == 20


def test_there_is_one_train() -> None:
    """The rooms below keep the loop under another name."""
    import tomocyte.training

    assert not hasattr(tomocyte.training, "train")
    assert isinstance(small_recipe(), Recipe)


def test_two_images_are_enough_to_hold_one_out_and_a_worse_model_is_named(data: Path, tmp_path: Path) -> None:
    recipe = small_recipe(loop={"n_epochs": 6, "optimiser": {"learning_rate": 0.01}})
    items = find_items(data, recipe.data)
    train(recipe, LabelledData(items[:4], items[4:]), folder=tmp_path / "out")
    package = load_package(tmp_path / "out" / "model")
    content = fine_tuning_recipe(package.card)
    content["loop"] |= {"n_epochs": 1, "samples_per_epoch": 8, "optimiser": {"kind": "sgd", "learning_rate": 9.0}}
    content["loop"] |= {"schedule": {}, "ema_decay": None}
    sets = split_items(items[:2], 0.2, seed=1, min_held_out=1)
    assert (len(sets.train), len(sets.validation)) == (1, 1)
    tuned = fine_tune(package, build_recipe(content), sets, folder=tmp_path / "tuned")
    assert tuned["after"]["dice"] < tuned["before"]["dice"]
    assert [notice.code for notice in tuned["warnings"]] == ["W-TUNED-WORSE"]


def test_a_structure_without_labels_keeps_its_output_and_is_named(data: Path, tmp_path: Path) -> None:
    content = {"data": {"structures": ["nucleus", "cell"]}, "loss": {"kind": "dice+bce"}}
    recipe = small_recipe(**content)
    items = find_items(data, recipe.data)
    with pytest.raises(InputError, match="E-CLASS-MISSING"):
        train(recipe, LabelledData(items, []), folder=tmp_path / "none")
    both = [replace(item, labels={**item.labels, "cell": item.labels["nucleus"]}) for item in items]
    train(recipe, LabelledData(both, []), folder=tmp_path / "out")
    package = load_package(tmp_path / "out" / "model")
    tuning = fine_tuning_recipe(package.card)
    tuning["loop"] |= {"n_epochs": 1, "samples_per_epoch": 8, "schedule": {}}
    tuned = fine_tune(package, build_recipe(tuning), LabelledData(items, []), folder=tmp_path / "tuned")
    assert [notice.code for notice in tuned["warnings"]] == ["W-NOT-HELD-OUT", "W-STRUCTURE-UNLABELLED"]
    assert load_package(tmp_path / "tuned" / "model").card.structures == ("nucleus", "cell")
