"""Recipes of all kinds: told apart by their tag, older ones without it, hashes that let a training resume."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tomocyte import __version__
from tomocyte.cli import app
from tomocyte.comparison import OrganelleRecipe
from tomocyte.comparison.crossval_recipe import CrossvalRecipe
from tomocyte.errors import SettingsError
from tomocyte.papers.reproduce import EXPERIMENTS
from tomocyte.provenance import sha256_of_json
from tomocyte.training.loop import recipe_hash
from tomocyte.training.recipe import COMMANDS, Recipe, build_recipe, load_recipe, recipe_names
from tomocyte.training.search.recipe import SearchRecipe

CLASSES: dict[str, tuple[type[Any], ...]] = {
    "train": (Recipe,),
    "organelle": (OrganelleRecipe,),
    "search": (SearchRecipe,),
    "crossval": (CrossvalRecipe,),
    "paper": EXPERIMENTS,
}
ALL = tuple(one for classes in CLASSES.values() for one in classes)
SMALL = {
    "name": "small",
    "data": {"modality": "odt", "structures": ["nucleus"], "normalization": {"offset": 1.3}},
    "network": {"name": "osnet"},
    "loop": {"n_epochs": 3},
}


@pytest.mark.parametrize("kind", CLASSES)
def test_every_recipe_that_ships_is_of_its_kind(kind: str) -> None:
    names = recipe_names(kind)
    assert names
    for name in names:
        recipe = build_recipe(load_recipe(name), *ALL)
        assert recipe.name == name
        assert type(recipe) in CLASSES[kind]


def test_the_documentation_names_the_right_command_for_each_recipe() -> None:
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| (`[^|]+`) \| `(\w+)", text, flags=re.MULTILINE)
    rows = [(names, command) for names, command in found if command in COMMANDS.values()]
    assert len(rows) > 5
    for names, command in rows:
        for name in re.findall(r"`([^`]+)`", names):
            assert COMMANDS[load_recipe(name)["kind"]] == command


@pytest.mark.parametrize("name", ["osnet-nucleus", "scnas-search", "osnet-tables", "osnet-fig3b", "choi-fig2c"])
@pytest.mark.parametrize("command", dict.fromkeys(COMMANDS.values()))
def test_a_recipe_of_another_kind_is_refused_with_the_command_that_takes_it(
    tmp_path: Path, name: str, command: str
) -> None:
    arguments = [name, "-o", str(tmp_path / "out"), "--dry-run"]
    done = CliRunner().invoke(app, [command, *arguments])
    right = COMMANDS[load_recipe(name)["kind"]]
    if command == right:
        assert done.exit_code == 0, done.output
        return
    assert isinstance(done.exception, SettingsError)
    assert done.exception.code == "E-RECIPE"
    (named,) = re.findall(r"`tomocyte (\w+)`", done.exception.cure)
    assert named == right
    assert CliRunner().invoke(app, [named, *arguments]).exit_code == 0


@pytest.mark.parametrize("name", ["scnas-search", "osnet-tables", "osnet-fig3b", "choi-fig2c"])
def test_an_older_recipe_is_refused_with_the_line_to_add(name: str, tmp_path: Path) -> None:
    """Its cure, added as printed, makes it the same recipe."""
    content = load_recipe(name)
    whole = build_recipe(content, *ALL)
    path = tmp_path / "old.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if key != "kind"}))
    with pytest.raises(SettingsError, match="E-RECIPE") as problem:
        build_recipe(load_recipe(path), *ALL)
    (line,) = re.findall(r"Add the line `(.+)`", problem.value.cure)
    path.write_text(f"{line}\n{path.read_text()}")
    assert build_recipe(load_recipe(path), *ALL) == whole


def test_an_older_recipe_of_a_training_works_and_one_of_a_search_is_asked_for() -> None:
    assert build_recipe(SMALL) == build_recipe({"kind": "train", **SMALL})
    with pytest.raises(SettingsError, match=r"E-RECIPE.*`kind: search`"):
        build_recipe(SMALL, SearchRecipe)
    with pytest.raises(SettingsError, match=r"E-RECIPE.*'train'.*`tomocyte train`"):
        build_recipe(SMALL, CrossvalRecipe)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "tarin"}, "train, organelle, search, crossval, paper"),
        ({"kind": ["train"]}, "train"),
        ({"kind": None}, "train"),
    ],
)
def test_unknown_kinds_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=f"E-RECIPE.*{words}"):
        build_recipe({**SMALL, **changes})


def test_unknown_experiments_are_refused() -> None:
    for experiment in ("no-such", None, ["organelles"]):
        with pytest.raises(SettingsError, match=r"E-RECIPE.*sections-3d, time-lapse, organelles"):
            build_recipe({**load_recipe("osnet-fig3b"), "experiment": experiment}, *EXPERIMENTS)


def test_an_unknown_name_lists_what_ships_and_a_folder_of_the_name_is_no_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match=r"E-RECIPE.*osnet-nucleus.*crossval: .*osnet-tables.*paper: .*choi-fig2c"):
        load_recipe("no-such")
    for name in ("benchmark", "osnet-published"):  # tables beside the recipes
        with pytest.raises(SettingsError, match="E-RECIPE"):
            load_recipe(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "osnet-nucleus").mkdir()
    assert load_recipe("osnet-nucleus")["name"] == "osnet-nucleus"
    with pytest.raises(SettingsError, match="E-SETTINGS"):
        load_recipe("osnet-nucleus", ["loop.n_epochs"])


def test_the_hash_is_that_of_recipes_without_a_kind() -> None:
    """As it was before recipes had kinds: what differs from the defaults, and the version; so trainings resume."""
    for recipe in (build_recipe({"kind": "train", **SMALL}), build_recipe(SMALL)):
        assert recipe_hash(recipe) == sha256_of_json({"recipe": SMALL, "version": __version__})
    content = {key: value for key, value in load_recipe("scnas-search").items() if key != "kind"}
    searched = build_recipe({"kind": "search", **content}, SearchRecipe)
    plain = searched.model_dump(mode="json", exclude_defaults=True, exclude={"description", "paper", "benchmark"})
    assert "kind" not in plain
    assert recipe_hash(searched) == sha256_of_json({"recipe": plain, "version": __version__})
