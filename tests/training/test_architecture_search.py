"""The search as a whole: resumed bit for bit, its files, its verb, what it refuses."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tests.training.conftest import disc_volume, write_pair
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.datasets.labelled import find_items
from tomocyte.errors import InputError, SettingsError
from tomocyte.networks import build_network
from tomocyte.networks.engine.costs import multiply_adds_per_voxel
from tomocyte.networks.scnas.genotype import CELL_KINDS, STAY, load_genotype, operations_for
from tomocyte.progress import Progress
from tomocyte.training import LabelledData, build_recipe, load_recipe
from tomocyte.training.data.samples import Samples
from tomocyte.training.recipe import recipe_names
from tomocyte.training.search.recipe import SearchRecipe
from tomocyte.training.search.search import Search, search_architecture


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    rng = np.random.default_rng(7)
    for index in range(4):
        write_pair(tmp_path / "data", f"cell{index}", *disc_volume(rng))
    return tmp_path / "data"


CONTENT: dict[str, Any] = {
    "kind": "search",
    "name": "boxes-search",
    "data": {
        "modality": "odt",
        "structures": ["nucleus"],
        "normalization": {"kind": "fixed", "offset": 1.337, "scale": 0.02},
        "patch_shape": [4, 8, 12],
    },
    "network": {
        "name": "scnas",
        "options": {"width": 2, "n_layers": 4, "multiplier": 2, "strides": [[1, 2, 2]], "norm": "batch"},
    },
    "loss": {"kind": "dice+bce"},
    "loop": {
        "n_epochs": 3,
        "samples_per_epoch": 4,
        "batch_size": 1,
        "precision": "fp32",
        "seed": 3,
        "checkpoint_every_steps": 2,
        "optimiser": {"learning_rate": 0.01},
        "schedule": {"kind": "cosine"},
    },
    "search": {"n_warm_up_epochs": 1},
}


def recipe(**changes: Any) -> SearchRecipe:
    content = {**CONTENT}
    for key, value in changes.items():
        content[key] = {**content[key], **value} if isinstance(content.get(key), dict) else value
    return build_recipe(content, SearchRecipe)


def run(chosen: SearchRecipe, data: Path, folder: Path, *, dies_after: int | None = None) -> dict[str, Any]:
    items = find_items(data, chosen.data)

    def kill(event: Progress) -> None:
        if event.step == "train" and event.state == "at-work" and event.done == dies_after:
            raise KilledError

    return search_architecture(chosen, LabelledData(items[:3], items[3:]), folder=folder, callback=kill)


def files_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("genotype.yaml", "probabilities.csv")}


@pytest.mark.parametrize("update", ["alternating", pytest.param("joint", marks=pytest.mark.slow)])
def test_resumed_in_every_phase_it_finds_the_same_bit_for_bit(boxes: Path, tmp_path: Path, update: str) -> None:
    """Twelve steps, killed in the warm-up, at its end and in the search."""
    chosen = recipe(search={"update": update})
    whole = run(chosen, boxes, tmp_path / "whole")
    for step in (3, 5, 10):
        with pytest.raises(KilledError):
            run(chosen, boxes, tmp_path / "killed", dies_after=step)
        assert not (tmp_path / "killed" / "genotype.yaml").exists()
    again = run(chosen, boxes, tmp_path / "killed")
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")
    drop = {"seconds"}
    assert [{k: v for k, v in entry.items() if k not in drop} for entry in again["history"]] == [
        {k: v for k, v in entry.items() if k not in drop} for entry in whole["history"]
    ]
    assert not list((tmp_path / "killed").rglob("*.part*"))


def test_a_search_leaves_its_genotype_its_table_and_its_curves(boxes: Path, tmp_path: Path) -> None:
    result = run(recipe(), boxes, tmp_path / "out")
    genotype = load_genotype(tmp_path / "out" / "genotype.yaml")
    assert genotype.model_dump(mode="json") == result["genotype"]
    follows = build_recipe(load_recipe(tmp_path / "out" / "train.yaml"))
    assert follows.data == recipe().data
    module: Any = build_network("scnas", follows.network.options)
    assert module.genotype == genotype
    rows = list(csv.DictReader((tmp_path / "out" / "probabilities.csv").read_text().splitlines()))
    assert len(rows) == sum(len(operations_for(kind, s)) for kind in CELL_KINDS for n in range(2) for s in range(2 + n))
    chosen = {(r["cell"], int(r["node"]), int(r["source"]), r["operation"]) for r in rows if r["is_chosen"] == "True"}
    assert chosen == {(k, n, s, o) for k in CELL_KINDS for n, node in enumerate(genotype.cell(k)) for s, o in node}
    by_edge: dict[tuple[str, ...], float] = {}
    for row in rows:
        key = (row["cell"], row["node"], row["source"])
        by_edge[key] = by_edge.get(key, 0) + float(row["operation_probability"])
    assert list(by_edge.values()) == pytest.approx([1.0] * len(by_edge), abs=1e-5)
    curves = list(csv.DictReader((tmp_path / "out" / "curves.csv").read_text().splitlines()))
    assert [row["choice_loss"] == "" for row in curves] == [True, False, False]  # one epoch of warm-up
    assert float(curves[0]["entropy_reduction"]) == pytest.approx(1)
    assert float(curves[2]["entropy_reduction"]) < 1
    assert (tmp_path / "out" / "curves.png").read_bytes().startswith(b"\x89PNG")
    temperatures = [float(row["temperature"]) for row in curves]
    assert temperatures[0] == 2
    assert temperatures[2] == pytest.approx(0.5)
    assert temperatures == sorted(temperatures, reverse=True)


def test_the_temperature_falls_geometrically(boxes: Path, tmp_path: Path) -> None:
    """9 steps after 4 of warm-up: the middle one, the fifth, has the geometric mean of 4 and 1."""
    chosen = recipe(search={"first_temperature": 4, "last_temperature": 1}, loop={**CONTENT["loop"], "n_epochs": 4})
    search = Search(chosen, Samples(find_items(boxes, chosen.data), chosen.data, n_axes=3), None, folder=tmp_path)
    assert search.n_steps == 16
    found = {}
    for search.n_taken in (0, 3, 4, 15):
        found[search.n_taken] = search.temperature
    assert found == pytest.approx({0: 4, 3: 4, 4: 4, 15: 1})
    search.n_steps, search.n_taken = 13, 8
    assert search.temperature == pytest.approx(2)


def test_the_choice_does_not_move_in_the_warm_up_and_weights_do_not_learn_from_validation(
    boxes: Path, tmp_path: Path
) -> None:
    chosen = recipe()
    samples = Samples(find_items(boxes, chosen.data), chosen.data, n_axes=3)
    search = Search(chosen, samples, samples, folder=tmp_path)
    batch = (torch.randn(1, 1, 4, 8, 12), torch.randint(0, 2, (1, 1, 4, 8, 12), dtype=torch.uint8))
    search.step(batch, None, is_warm_up=True)
    assert all(bool((logit == 0).all()) for logit in search.module.architecture.parameters())
    for group in search.optimiser.param_groups:
        group["lr"] = 0.0  # the weights' own step does nothing
    before = [weight.detach().clone() for weight in search.module.weights()]
    search.step(batch, batch, is_warm_up=False)
    assert any(bool((logit != 0).any()) for logit in search.module.architecture.parameters())
    assert all(torch.equal(old, new) for old, new in zip(before, search.module.weights(), strict=True))


@pytest.mark.parametrize(
    "changes",
    [
        {"network": {"name": "unet3d", "options": {}}},
        {"network": {"options": {"genotype": "simulated-nih3t3"}}},
        {"data": {**CONTENT["data"], "patch_shape": None}},
        {"search": {"n_warm_up_epochs": 3}},
        {"search": {"n_operations": 3}},
        {"search": {"steps": 3}},
        {"loop": {"ema_decay": 0.9}},
        {"loop": {"select": "best"}},
        {"loop": {"patience": 3}},
    ],
)
def test_recipes_that_make_no_sense_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="E-SETTINGS"):
        recipe(**changes)


def test_other_mistakes_are_told_with_a_code(boxes: Path, tmp_path: Path) -> None:
    items = find_items(boxes, recipe().data)
    with pytest.raises(SettingsError, match="E-RECIPE: an alternating search needs validation"):
        search_architecture(recipe(), LabelledData(items, []), folder=tmp_path / "out")
    with pytest.raises(SettingsError, match="E-SETTINGS"):
        run(recipe(network={"options": {"genes": 1}}), boxes, tmp_path / "out")
    with pytest.raises(KilledError):
        run(recipe(), boxes, tmp_path / "out", dies_after=3)
    with pytest.raises(SettingsError, match="E-RESUME"):
        run(recipe(search={"first_temperature": 3}), boxes, tmp_path / "out")
    write_pair(boxes, "cell0", *disc_volume(np.random.default_rng(99)))
    with pytest.raises(InputError, match="E-DATA-CHANGED"):
        run(recipe(), boxes, tmp_path / "out")


def test_what_ships_can_be_built_and_is_no_training() -> None:
    names = recipe_names("search")
    assert "scnas-search" in names
    for name in names:
        built = build_recipe(load_recipe(name), SearchRecipe)
        assert built.name == name
        assert built.form(1, len(built.data.structures)).multiplier == 3
    with pytest.raises(SettingsError, match="tomocyte train"):
        build_recipe(load_recipe("osnet-nucleus"), SearchRecipe)


def test_the_plain_network_of_the_comparison_differs_in_nothing_but_its_form() -> None:
    """Within 5 % of the multiply-adds, the same data, loss and loop."""
    searched, plain = (build_recipe(load_recipe(name)) for name in ("choi-scnas", "choi-unet-equal"))
    same = {"data", "loss", "loop", "augmentation", "benchmark"}
    assert searched.model_dump(include=same) == plain.model_dump(include=same)
    costs = [
        multiply_adds_per_voxel(build_network(one.network.name, {**one.network.options, "n_outputs": 4}))
        for one in (searched, plain)
    ]
    assert costs[1] == pytest.approx(costs[0], rel=0.05)
    assert searched.network.options["strides"] == plain.network.options["strides"]
    found = build_recipe(load_recipe("scnas-search"), SearchRecipe)
    assert found.data == searched.data
    wide = {**found.network.options, "genotype": "simulated-nih3t3", "width": 12}
    assert wide == searched.network.options


def test_the_verb_searches_once_and_says_what_it_found(boxes: Path, tmp_path: Path) -> None:
    path = tmp_path / "boxes-search.yaml"
    path.write_text(yaml.safe_dump(CONTENT))
    arguments = ["search", str(path), "-o", str(tmp_path / "out"), "--data", str(boxes)]
    dry = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert "3 images to train the weights, 1 to choose the operations" in dry.output
    assert not (tmp_path / "out").exists()
    done = CliRunner().invoke(app, [*arguments, "--set", "loop.n_epochs=2"])
    assert done.exit_code == 0, done.output
    assert "expansion:" in done.output
    assert "epoch 2:" in done.output
    again = CliRunner().invoke(app, [*arguments, "--set", "loop.n_epochs=2"])
    assert "epoch 2:" not in again.output
    genotype = (tmp_path / "out" / "genotype.yaml").read_bytes()
    restarted = CliRunner().invoke(app, [*arguments, "--set", "loop.n_epochs=3", "--set", "loop.seed=5", "--restart"])
    assert "epoch 3:" in restarted.output
    earlier = tmp_path / "out" / "search.earlier-1"
    assert f"note: the files of the earlier search are now in {earlier}." in restarted.stderr
    assert (earlier / "genotype.yaml").read_bytes() == genotype
    assert {"train.yaml", "probabilities.csv", "curves.csv"} <= {path.name for path in earlier.iterdir()}
    third = CliRunner().invoke(app, [*arguments, "--set", "loop.n_epochs=2", "--restart"])
    assert "search.earlier-2" in third.stderr
    assert (earlier / "genotype.yaml").read_bytes() == genotype
    helped = CliRunner().invoke(app, ["search", "--help"]).output
    assert all(word in helped for word in ("--data", "--dry-run", "--restart", "genotype.yaml"))


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_stopped_from_outside_it_leaves_no_half_file_and_goes_on(boxes: Path, tmp_path: Path, how: int) -> None:
    path, output = tmp_path / "boxes-search.yaml", tmp_path / "out"
    path.write_text(yaml.safe_dump(CONTENT))
    command = [sys.executable, "-m", "tomocyte", "search", str(path), "-o", str(output), "--data", str(boxes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
    while process.poll() is None and len(list((output / "checkpoints").glob("step-*"))) < 2:
        time.sleep(0.02)
    process.send_signal(how)
    _, said = process.communicate(timeout=120)
    if process.returncode != 0:  # it may have been quicker
        assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL), said.decode()
        assert not (output / "result.json").exists()
    run(recipe(), boxes, output)
    assert json.loads((output / "result.json").read_text())["genotype"]["encoder_normal"]
    assert not [entry for entry in output.rglob("*") if ".part" in entry.name]


@pytest.mark.slow
def test_on_boxes_all_of_the_search_learns(boxes: Path, tmp_path: Path) -> None:
    """Bright boxes are found by any operation; the loss must fall and the choice become surer."""
    loop = {**CONTENT["loop"], "n_epochs": 25, "samples_per_epoch": 12, "checkpoint_every_steps": 1000}
    result = run(recipe(loop=loop), boxes, tmp_path / "out")
    losses = [entry["choice_loss"] for entry in result["history"] if entry["choice_loss"] is not None]
    assert np.mean(losses[-3:]) < 0.5 * np.mean(losses[:3])
    assert np.mean(list(result["history"][-1]["entropy"].values())) < 0.97
    assert len(STAY) == 5
