"""Organelle networks compared on balls: masks and cells whose scores are known, trainings shared, runs that go on."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from tests.papers.conftest import SHAPE, SIZE, ball, by_value, make_card, write_item
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.datasets.labelled import find_items
from tomocyte.errors import InputError, SettingsError
from tomocyte.models.loaded import LoadedModel
from tomocyte.papers.choi.comparison import compare_trainings, fields_of
from tomocyte.papers.choi.recipe import (
    INSTANCES,
    CellLineSet,
    OrganellesRecipe,
    training_folder,
)
from tomocyte.papers.choi.report import MEAN_OF_SETS, comparison_result, field_table, score_table
from tomocyte.papers.choi.scores import SeparationMethod, predict_field, score_field
from tomocyte.progress import Progress
from tomocyte.segmentation.cells.windows import CellByCellSettings
from tomocyte.settings import build_settings
from tomocyte.training.recipe import build_recipe, load_recipe

METHODS = {INSTANCES: SeparationMethod(CellByCellSettings(method="watershed"))}


def write_line(folder: Path, name: str, line: str, split: str, radius: float = 2.5) -> None:
    write_item(folder, name, [radius], split=split, domain="other-cell-line" if split == "shifted-test" else "")
    card = folder / "items" / name / "card.json"
    content = json.loads(card.read_text(encoding="utf-8"))
    content["settings"]["preset"] = line
    card.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for name, line, split in (
        ("a", "NIH3T3", "train"),
        ("b", "NIH3T3", "train"),
        ("c", "NIH3T3", "test"),
        ("d", "HeLa", "shifted-test"),
        ("e", "A549", "shifted-test"),
    ):
        write_line(folder, name, line, split)
    return folder


def small_recipe(**changes: Any) -> OrganellesRecipe:
    content: dict[str, Any] = {
        "name": "small",
        "title": "Balls",
        "paper": "none",
        "experiment": "organelles",
        "benchmark": "choi/small",
        "base": {
            "name": "balls",
            "data": {
                "modality": "odt",
                "structures": ["cell", "nucleus"],
                "normalization": {"kind": "medium", "offset": 1.337, "scale": 0.02},
                "patch_shape": [8, 16, 16],
            },
            "network": {"name": "unet3d", "options": {"width": 2, "strides": [[2, 2, 2]]}},
            "loop": {"n_epochs": 1, "samples_per_epoch": 4, "batch_size": 2, "precision": "fp32"},
        },
        "rows": {
            "together": {},
            "apart": [{"data": {"structures": ["cell"]}}, {"data": {"structures": ["nucleus"]}}],
            "again": {},
        },
        "tests": {
            "NIH3T3": {"split": "test", "cell_line": "NIH3T3"},
            "HeLa": {"split": "shifted-test", "domain": "other-cell-line", "cell_line": "HeLa"},
        },
        "published": {"cell": 0.831},
    }
    return build_settings(OrganellesRecipe, {**content, **changes})


def test_a_perfect_model_scores_one_and_a_centred_blob_is_seen(data: Path) -> None:
    item = find_items(data, splits=("test",))[0]
    solid = make_card(dimensions=3, section_axis=None, voxel_size_um=SIZE, tile_shape=(16, 32, 48))
    masks = predict_field([LoadedModel(solid, by_value, (4, 16, 16))], item)
    assert set(masks) == {"cell", "nucleus"}
    found = score_field(masks, item, METHODS)
    assert found["structures"]["cell"]["dice"] == found["structures"]["nucleus"]["dice"] == 1.0
    assert found["cells"][INSTANCES] == {"dice": 1.0, "f1": 1.0, "n_truth": 1, "n_prediction": 1}
    (nucleus,) = found["nuclei"]
    assert nucleus["distance_um"] == 0
    assert nucleus["truth_contrast"] == pytest.approx(1.350 - 1.360, abs=1e-6)
    # A ball of half the radius, 1 um off.
    masks["nucleus"] = ball((7.0, 8.0, 7.0), 1.25)
    worse = score_field(masks, item, METHODS)
    assert worse["structures"]["nucleus"]["dice"] == pytest.approx(2 / 9, abs=0.02)
    assert worse["nuclei"][0]["distance_um"] == pytest.approx(1.0, abs=0.1)
    counts = worse["structures"]["nucleus"]
    assert counts["dice"] == 2 * counts["n_common"] / (counts["n_truth"] + counts["n_prediction"])
    assert counts["n_truth"] == int((item.read_labels("nucleus") > 0).sum())


def test_an_empty_field_has_no_dice_and_a_missed_cell_scores_nothing(data: Path) -> None:
    item = find_items(data, splits=("test",))[0]
    nothing = np.zeros(SHAPE, bool)
    found = score_field({"cell": nothing, "nucleus": nothing}, item, METHODS)
    assert found["structures"]["cell"]["dice"] == 0
    assert found["cells"][INSTANCES]["dice"] == 0
    assert found["nuclei"][0]["prediction_label"] == 0
    assert found["nuclei"][0]["distance_um"] is None
    assert score_field({"cell": nothing}, item, METHODS)["cells"] == {}


def test_something_must_be_compared_under_names_of_its_own() -> None:
    with pytest.raises(SettingsError, match="rows"):
        small_recipe(rows={}, models={})
    with pytest.raises(SettingsError, match="has the name"):
        small_recipe(models={"together": "osnet-nucleus"})


def test_sets_are_cell_lines(data: Path) -> None:
    assert [item.name for item in fields_of(data, CellLineSet(split="shifted-test", cell_line="A549"))] == ["e"]
    with pytest.raises(InputError, match=r"E-NO-DATA.*RAW"):
        fields_of(data, CellLineSet(split="shifted-test", domain="other-cell-line", cell_line="RAW 264.7"))


def test_rows_may_not_share_a_structure() -> None:
    with pytest.raises(SettingsError, match="E-ROW"):
        small_recipe(rows={"twice": [{}, {}]}).trainings("twice", 1)
    with pytest.raises(SettingsError, match="E-ROW"):
        small_recipe().trainings("nobody", 1)


def test_a_comparison_is_done_once_and_reported(data: Path, tmp_path: Path) -> None:
    folder, recipe = tmp_path / "out", small_recipe()
    events: list[Progress] = []
    entries = compare_trainings(recipe, data, folder, callback=events.append)
    assert [(e["row"], e["set"], e["item"]) for e in entries] == [
        (row, name, item) for row in recipe.rows for name, item in (("NIH3T3", "c"), ("HeLa", "d"))
    ]
    # 'again' is 'together': three trainings, and two fields scored for two different sets of weights.
    assert len(list((folder / "trainings").iterdir())) == 3
    assert sum(event.step == "score" for event in events) == 4
    by_row = {entry["row"]: entry for entry in entries}
    assert by_row["again"]["scores"] == by_row["together"]["scores"]
    assert (by_row["together"]["n_networks"], by_row["apart"]["n_networks"]) == (1, 2)
    assert (by_row["together"]["n_steps"], by_row["apart"]["n_steps"]) == (2, 4)
    assert by_row["apart"]["n_parameters"] > 1.9 * by_row["together"]["n_parameters"]
    events.clear()
    again = compare_trainings(recipe, data, folder, callback=events.append)
    assert again == entries
    assert {event.step for event in events} == {"fold"}
    # A damaged score is made anew.
    path = next((folder / "scores" / "c").iterdir())
    path.write_bytes(path.read_bytes()[:-5])
    assert compare_trainings(recipe, data, folder) == entries

    # A finished model scores what its training scored.
    place = training_folder(folder, recipe.trainings("together", 1)[0]) / "model"
    finished = small_recipe(rows={}, models={"finished": str(place)})
    by_model = compare_trainings(finished, data, tmp_path / "finished")
    assert [(e["row"], e["set"], e["n_steps"]) for e in by_model] == [
        ("finished", name, 0) for name in ("NIH3T3", "HeLa")
    ]
    assert [e["scores"] for e in by_model] == [e["scores"] for e in entries if e["row"] == "together"]
    assert "trained before" in comparison_result(finished, by_model, is_simulated=True).summary

    # The command finds everything done and writes what there is to see.
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json")), encoding="utf-8")
    said = CliRunner().invoke(app, ["reproduce", str(path), "-o", str(folder), "--data", str(data)])
    assert said.exit_code == 0, said.output
    assert {"summary.md", "experiment.json", "fields.csv", "scores.csv", "nuclei.csv", "position.csv"} <= {
        entry.name for entry in folder.iterdir()
    }
    assert "## apart" in said.output

    result = comparison_result(recipe, entries, is_simulated=True)
    assert set(result.pictures) == {"bars-1", "bars-2", "bars-3"}
    assert set(result.tables) == {"fields", "scores", "nuclei", "position"}
    assert "simulated" in result.summary
    assert "0.831" in result.summary
    assert "2 networks" in result.summary


def entry(row: str, name: str, item: str, seed: int, *values: float | None) -> dict[str, Any]:
    counts = {"n_truth": 100, "n_prediction": 100}
    structures = {
        part: {"dice": dice, "n_common": round(100 * (dice or 0)), **counts}
        for part, dice in zip(("cell", "lipid_droplet"), values, strict=True)
    }
    return {
        "row": row,
        "seed": seed,
        "set": name,
        "item": item,
        "scores": {"structures": structures, "cells": {}, "nuclei": []},
    }


def test_means_are_over_fields_and_then_over_cell_lines() -> None:
    entries = [
        entry("r", "A", "1", 1, 0.8, None),
        entry("r", "A", "2", 1, 0.6, 0.2),
        entry("r", "A", "1", 2, 0.6, None),
        entry("r", "A", "2", 2, 0.6, 0.4),
        entry("r", "B", "3", 1, 0.9, 0.5),
        entry("r", "B", "3", 2, 0.7, 0.5),
    ]
    table = {(row["set"], row["structure"]): row for row in score_table(field_table(entries)).to_dict("records")}
    first = table["A", "cell"]
    assert (first["dice_mean"], first["dice_sd"]) == pytest.approx((0.65, math.sqrt(0.005)))
    assert first["seed_sd"] == pytest.approx(0.1 / math.sqrt(2))
    assert (first["n_fields"], first["n_seeds"]) == (2, 2)
    assert table["A", "lipid_droplet"]["dice_mean"] == pytest.approx(0.3)
    assert table["A", "lipid_droplet"]["n_fields"] == 1
    assert table["A", "cell"]["dice_pooled"] == pytest.approx(0.65)
    assert table[MEAN_OF_SETS, "cell"]["dice_mean"] == pytest.approx((0.65 + 0.8) / 2)
    assert pd.isna(table[MEAN_OF_SETS, "cell"]["dice_sd"])


@pytest.mark.parametrize("name", ["choi-fig2c", "choi-multitask", "choi-shipped"])
def test_shipped_recipes_are_sound(name: str) -> None:
    recipe = build_recipe(load_recipe(name), OrganellesRecipe)
    assert recipe.name == name
    assert "10.1101/2021.05.23.445351" in recipe.paper
    assert sorted(one.cell_line for one in recipe.tests.values()) == [
        "A549", "HeLa", "MDA-MB-231", "NIH3T3", "RAW 264.7",
    ]  # fmt: skip
    for row in recipe.rows:
        learned = [part for training in recipe.trainings(row, 1) for part in training.data.structures]
        assert sorted(learned) == ["cell", "lipid_droplet", "nucleolus", "nucleus"]


def test_the_two_recipes_share_their_longest_training() -> None:
    ours = build_recipe(load_recipe("choi-fig2c"), OrganellesRecipe).trainings("our settings", 1)
    multi = build_recipe(load_recipe("choi-multitask"), OrganellesRecipe)
    folders = {row: [training_folder(Path(), one) for one in multi.trainings(row, 1)] for row in multi.rows}
    assert folders["one network, 600 steps"] == [training_folder(Path(), ours[0])]
    steps = {row: [one.loop.n_epochs * 50 for one in multi.trainings(row, 1)] for row in multi.rows}
    assert [sum(found) for found in steps.values()] == [150, 600, 600]


def test_wrong_rows_and_seeds_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"E-SETTINGS.*n_epoch"):
        build_recipe(load_recipe("choi-fig2c", ["base.loop.n_epoch=2"]), OrganellesRecipe)
    with pytest.raises(SettingsError, match="twice"):
        small_recipe(seeds=(1, 1))


@pytest.mark.parametrize("name", ["choi-shipped", "choi-shipped-shifts", "choi-fig2c", "choi-multitask", "osnet-fig3b",
                                  "osnet-fig4"])  # fmt: skip
def test_every_experiment_knows_what_to_simulate_for_itself(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without data, the labels that are simulated are those of what is learned or of the model that is scored."""
    from tomocyte.papers import reproduce

    class SimulatedError(Exception):
        pass

    def simulated(plans: list[Any], folder: Path, *, structures: tuple[str, ...], **others: Any) -> Path:
        assert len(plans) > 0
        raise SimulatedError(*structures)

    monkeypatch.setattr(reproduce, "simulate_plans", simulated)
    recipe = build_recipe(load_recipe(name), *reproduce.EXPERIMENTS)
    with pytest.raises(SimulatedError) as labels:
        reproduce.reproduce(recipe, tmp_path / "out")
    expected = {"osnet-fig3b": {"cell", "nucleus"}, "osnet-fig4": {"cell", "nucleus"}}
    assert set(labels.value.args) == expected.get(name, {"cell", "nucleus", "nucleolus", "lipid_droplet"})
