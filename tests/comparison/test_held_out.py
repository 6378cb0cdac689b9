"""Figures on a card: scored on the sets the recipe names, on the weights that were saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.training.conftest import small_recipe

from tomocyte.comparison.held_out import dice_per_output, held_out_items, score_on_card
from tomocyte.datasets.labelled import find_items
from tomocyte.errors import InputError
from tomocyte.models import load_package
from tomocyte.training import LabelledData
from tomocyte.training.loop import recipe_hash
from tomocyte.training.recipe import TestSet
from tomocyte.training.training import train_network

HELD_OUT = {"benchmark": "none/small", "sets": {"in-domain": {"split": "test"}}}


def test_the_card_says_the_dice_of_the_held_out_images(data: Path, tmp_path: Path) -> None:
    """The validation score of the last epoch, on the same images, is the same number."""
    recipe = small_recipe(loop={"n_epochs": 6, "optimiser": {"learning_rate": 0.01}}, held_out=HELD_OUT)
    items = find_items(data, recipe.data)
    result = train_network(recipe, LabelledData(items[:4], items[4:]), folder=tmp_path / "run")
    before = load_package(tmp_path / "run" / "model").card
    card = score_on_card(tmp_path / "run" / "model", recipe, [replace(item, split="test") for item in items[4:]])
    figures = card.figures["in-domain (real, 3 images)"]
    assert isinstance(figures, dict)
    assert figures["dice"] == pytest.approx(result["history"][-1]["validation"]["dice"], abs=1e-4)
    after = load_package(tmp_path / "run" / "model").card
    assert after.figures == card.figures
    assert after.weights_sha256 == before.weights_sha256


def test_a_set_without_images_is_refused(data: Path, tmp_path: Path) -> None:
    recipe = small_recipe(held_out=HELD_OUT)
    items = find_items(data, recipe.data)
    train_network(recipe, LabelledData(items, []), folder=tmp_path / "run")
    with pytest.raises(InputError, match=r"E-NO-DATA.*in-domain"):
        score_on_card(tmp_path / "run" / "model", recipe, items)


def test_what_is_scored_afterwards_does_not_change_the_training() -> None:
    assert recipe_hash(small_recipe(held_out=HELD_OUT)) == recipe_hash(small_recipe())


def test_a_set_takes_the_items_whose_name_matches(data: Path) -> None:
    items = [replace(item, split="test") for item in find_items(data, small_recipe().data)]
    chosen = held_out_items(items, "some", TestSet(split="test", match="cell[13]"))
    assert [item.name for item in chosen] == ["cell1", "cell3"]
    with pytest.raises(InputError, match="E-NO-DATA"):
        held_out_items(items, "none", TestSet(split="test", match="A549"))


def test_dice_of_each_output_leaves_out_what_is_nowhere() -> None:
    rows = [
        {"output": "cell", "dice": 0.5},
        {"output": "cell", "dice": 1.0},
        {"output": "nucleus", "dice": float("nan")},
        {"output": "nucleus", "dice": 0.3},
        {"output": "nucleolus", "dice": float("nan")},
    ]
    found = dice_per_output(rows, ("cell", "nucleus", "nucleolus"))
    assert found == {"dice cell": 0.75, "dice nucleus": 0.3}
