"""``tomocyte train``, ``fine-tune`` and ``crossval`` as a user types them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tests.training.conftest import disc_volume, small_recipe, write_pair
from typer.testing import CliRunner, Result

from tomocyte.cli import app
from tomocyte.confidence.settings import StructureCalibration
from tomocyte.errors import InputError, ModalityError, SettingsError
from tomocyte.models import load_package, read_card
from tomocyte.models.package import write_package
from tomocyte.training.loop import Trainer

STRONG = {"n_epochs": 20, "optimiser": {"learning_rate": 0.01}}


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def recipe_file(folder: Path, **changes: Any) -> str:
    content = small_recipe(**changes).model_dump(mode="json", exclude_defaults=True)
    path = folder / "boxes.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


def tomocyte(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=True)


def test_dry_run_counts_and_writes_nothing(data: Path, tmp_path: Path) -> None:
    """Four images of three sections in batches of four are three steps, in two epochs six."""
    done = tomocyte("train", recipe_file(tmp_path), "-o", tmp_path / "out", "--data", data, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "12 sections" in done.output
    assert "2 epochs, 6 steps of 4 samples" in done.output
    assert not (tmp_path / "out").exists()


def test_train_then_run_then_fine_tune(data: Path, tmp_path: Path) -> None:
    done = tomocyte("train", recipe_file(tmp_path, loop=STRONG), "-o", tmp_path / "out", "--data", data)
    assert done.exit_code == 0, done.output
    assert "epoch 20:" in done.output
    model = tmp_path / "out" / "model"
    run = tomocyte(
        "run", data / "cell0.ome.tif", "-o", tmp_path / "run", "-m", "odt", "--model", model, "--medium-ri", "1.337"
    )
    assert run.exit_code == 0, run.output
    tuned = tomocyte("fine-tune", model, "--data", data, "-o", tmp_path / "tuned", "--set", "loop.n_epochs=2")
    assert tuned.exit_code == 0, tuned.output
    assert "4 training images, 1 held out" in tuned.output
    before, after = (float(word) for word in tuned.output.split("held-out images: ")[1].split()[:3:2])
    assert before > 0.9
    assert after > 0.9
    card = tomocyte("models", "show", tmp_path / "tuned" / "model")
    assert "boxes-tuned" in card.output


def test_fine_tuning_on_what_the_model_was_not_made_for_is_refused(data: Path, tmp_path: Path) -> None:
    tomocyte("train", recipe_file(tmp_path), "-o", tmp_path / "out", "--data", data)
    image, labels = disc_volume(np.random.default_rng(1))
    write_pair(tmp_path / "eight bit", "a", (image - 1.33) * 5000, labels)
    done = tomocyte("fine-tune", tmp_path / "out" / "model", "--data", tmp_path / "eight bit", "-o", tmp_path / "tuned")
    assert isinstance(done.exception, ModalityError)
    assert done.exception.code.startswith("E-MODEL-FIT")
    assert not (tmp_path / "tuned").exists()


def test_the_same_command_again_does_not_train_again(data: Path, tmp_path: Path) -> None:
    arguments = ("train", recipe_file(tmp_path), "-o", tmp_path / "out", "--data", data)
    assert "epoch 2:" in tomocyte(*arguments).output
    assert "epoch 2:" not in tomocyte(*arguments).output
    assert "epoch 2:" in tomocyte(*arguments, "--restart").output


def test_restarting_keeps_the_finished_model(data: Path, tmp_path: Path) -> None:
    arguments = ("train", recipe_file(tmp_path), "-o", tmp_path / "out", "--data", data)
    tomocyte(*arguments)
    weights = (tmp_path / "out" / "model" / "weights.safetensors").read_bytes()
    again = tomocyte(*arguments, "--set", "loop.seed=4", "--restart")
    assert again.exit_code == 0, again.output
    assert f"note: the model of the earlier training is now {tmp_path / 'out' / 'model.earlier-1'}." in again.stderr
    third = tomocyte(*arguments, "--restart")
    assert "model.earlier-2" in third.stderr
    assert "earlier" not in tomocyte(*arguments).stderr, "told once"
    assert (tmp_path / "out" / "model.earlier-1" / "weights.safetensors").read_bytes() == weights
    assert (tmp_path / "out" / "model.earlier-2" / "weights.safetensors").read_bytes() != weights
    assert tomocyte("models", "show", tmp_path / "out" / "model.earlier-1").exit_code == 0


def test_a_finished_training_whose_result_is_damaged_is_not_trained_over(data: Path, tmp_path: Path) -> None:
    """Not known what the model in the folder is: refused, and the cure typed keeps it."""
    arguments = ("train", recipe_file(tmp_path), "-o", tmp_path / "out", "--data", data)
    tomocyte(*arguments)
    weights = (tmp_path / "out" / "model" / "weights.safetensors").read_bytes()
    result = tmp_path / "out" / "result.json"
    for damaged in (result.read_bytes()[:100], result.read_bytes().replace(b'"n_train"', b'"m_train"')):
        result.write_bytes(damaged)
        refused = tomocyte(*arguments)
        assert isinstance(refused.exception, InputError)
        assert refused.exception.code == "E-RECORD"
        assert "--restart, which keeps what is there" in refused.exception.cure
        assert (tmp_path / "out" / "model" / "weights.safetensors").read_bytes() == weights
        assert result.read_bytes() == damaged
    assert tomocyte(*arguments, "--restart").exit_code == 0
    assert (tmp_path / "out" / "model.earlier-1" / "weights.safetensors").read_bytes() == weights
    assert tomocyte(*arguments).exit_code == 0


@pytest.mark.parametrize("verb", ["train", "fine-tune"])
def test_an_interrupted_training_says_what_continues_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    first = [recipe_file(tmp_path)]
    if verb == "fine-tune":
        assert tomocyte("train", first[0], "-o", tmp_path / "begun", "--data", data).exit_code == 0
        first = [str(tmp_path / "begun" / "model")]
    folder = tmp_path / "it's my model"
    few = ["--set", "loop.n_epochs=2", "--set", "loop.checkpoint_every_steps=1"]
    arguments = [verb, *first, "-o", str(folder), "--data", str(data), *few]
    whole, n_steps = Trainer.step, 0

    def step(trainer: Trainer, *batch: torch.Tensor) -> float:
        nonlocal n_steps
        n_steps += 1
        if n_steps == 3:
            raise KeyboardInterrupt
        return whole(trainer, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", step)
        patch.setattr("sys.argv", ["tomocyte", *arguments, "--restart"])
        stopped = tomocyte(*arguments, "--restart")
    assert stopped.exit_code == 130, stopped.output
    printed = stopped.stderr.split("To continue: ")[1].splitlines()[0]
    program, *words = shlex.split(printed)
    assert program == "tomocyte"
    assert words == arguments, "without --restart, which would begin again"
    assert tomocyte(*words).exit_code == 0
    events = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in events if entry["event"] == "resumed"] == [2]


def test_a_tuned_model_that_lost_its_calibration_says_so(data: Path, tmp_path: Path) -> None:
    tomocyte("train", recipe_file(tmp_path), "-o", tmp_path / "out", "--data", data)
    package = load_package(tmp_path / "out" / "model")
    calibration = {"nucleus": StructureCalibration(slope=0.7, volume=(-1.0, 1.5), n_objects=40)}
    card = package.card.model_copy(update={"calibration": calibration})
    write_package(tmp_path / "sure", card, package.state, dict(package.selftest))
    few = ("--data", data, "--set", "loop.n_epochs=1")
    done = tomocyte("fine-tune", tmp_path / "sure", "-o", tmp_path / "tuned", *few)
    assert done.exit_code == 0, done.output
    assert "W-UNCALIBRATED" in done.stderr
    assert "tomocyte models calibrate" in done.stderr
    tuned = read_card(tmp_path / "tuned" / "model")
    assert not tuned.calibration, "intervals of other weights are not those of these"
    assert "no 90 % intervals" in tuned.limits
    plain = tomocyte("fine-tune", tmp_path / "out" / "model", "-o", tmp_path / "plain", *few)
    assert "W-UNCALIBRATED" not in plain.stderr, "there was nothing to lose"


def test_sections_of_stacks_get_scores_of_whole_objects(tmp_path: Path) -> None:
    """A 2-D network that tells touching objects apart, on stacks: F1 and matched Dice, as a 3-D one has."""
    rng = np.random.default_rng(7)
    for index in range(5):  # a box of 97 µm³: larger than what is cleaned away
        image, labels = rng.normal(1.337, 0.0005, (6, 40, 48)), np.zeros((6, 40, 48), np.uint32)
        y, x = int(rng.integers(2, 8)), int(rng.integers(2, 10))
        labels[1:4, y : y + 30, x : x + 36] = 1
        write_pair(tmp_path / "data", f"cell{index}", image + 0.02 * (labels > 0), labels)
    touching = {"targets": "mask-and-core", "core_depth_um": 0.6}
    recipe = recipe_file(tmp_path, loop={**STRONG, "n_epochs": 30}, data=touching, validation_share=0.2)
    done = tomocyte("train", recipe, "-o", tmp_path / "out", "--data", tmp_path / "data")
    assert done.exit_code == 0, done.output
    figures = read_card(tmp_path / "out" / "model").figures["validation (seen while training)"]
    assert figures["f1"] == 1.0, "one box in one stack"
    assert figures["matched_dice"] > 0.8
    assert "matched_dice" in done.output


def test_crossval_writes_the_tables(data: Path, tmp_path: Path) -> None:
    base = small_recipe().model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    content = {
        "kind": "crossval",
        "name": "boxes",
        "base": base,
        "rows": {"a": {}, "b": {"augmentation": "osnet-published"}},
    }
    path = tmp_path / "crossval.yaml"
    path.write_text(yaml.safe_dump(content))
    arguments = ("crossval", path, "-o", tmp_path / "out", "--data", data, "--groups", "image", "--folds", "2")
    dry = tomocyte(*arguments, "--dry-run")
    assert "2 rows, 4 trainings" in dry.output
    assert not (tmp_path / "out").exists()
    done = tomocyte(*arguments, "--set", "loop.n_epochs=1", "--row", "a")
    assert done.exit_code == 0, done.output
    assert "| a |" in done.output
    assert "| b |" not in done.output
    assert (tmp_path / "out" / "tables" / "validation.html").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("train", "no-such", "-o", "out"), "E-RECIPE"),
        (("train", "{recipe}", "-o", "out"), "E-NO-DATA"),
        (("train", "{recipe}", "-o", "out", "--data", "no-such"), "E-NO-DATA"),
        (("train", "{recipe}", "-o", "out", "--data", "{data}", "--set", "loop.n_epoch=3"), "E-SETTINGS"),
        (("train", "{recipe}", "-o", "out", "--data", "{data}", "--init", "no-such"), "E-MODEL-NAME"),
        (("fine-tune", "no-such", "-o", "out", "--data", "{data}"), "E-MODEL-NAME"),
        (("crossval", "{recipe}", "-o", "out", "--data", "{data}"), "E-RECIPE"),
    ],
)
def test_mistakes_are_told_with_a_code(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: str
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = recipe_file(tmp_path)
    done = tomocyte(*(word.format(recipe=recipe, data=data) for word in arguments))
    assert isinstance(done.exception, SettingsError | InputError)
    assert done.exception.code == code
    assert done.exception.cure


def test_help_says_what_is_needed() -> None:
    for verb in ("train", "fine-tune", "crossval"):
        text = tomocyte(verb, "--help").output
        assert "--data" in text
        assert "--dry-run" in text
