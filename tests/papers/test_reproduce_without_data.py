"""Every experiment that ships, as the documentation prints it: without ``--data`` its own data are simulated."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
import yaml
from tests.in_process import tomocyte

RECIPES = {
    path.name.removesuffix(".yaml"): yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in (resources.files("tomocyte") / "recipes").iterdir()
    if path.name.endswith(".yaml")
}
EXPERIMENTS = sorted(name for name, recipe in RECIPES.items() if recipe.get("kind") == "paper")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_says_what_it_would_simulate(name: str, tmp_path: Path) -> None:
    done = tomocyte("reproduce", name, "-o", tmp_path / "out", "--dry-run")
    assert done.exit_code == 0, done.output
    assert "items with the truth of cell" in done.output or "simulated for it" in done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "n_items"),
    # docs/organelles.md: 24 fields of five cell lines and 4 of each of three shifted domains; the lines that are not
    # shifted have 8 of these fields (NIH3T3), which the second recipe does not need.
    [("choi-shipped", 24 + 3 * 4), ("choi-shipped-shifts", 24 + 3 * 4 - 8)],
)
def test_finished_models_need_no_fields_to_learn_from(name: str, n_items: int, tmp_path: Path) -> None:
    done = tomocyte("reproduce", name, "-o", tmp_path / "out", "--dry-run")
    assert f"{n_items} items with the truth of cell, nucleus, nucleolus, lipid_droplet" in done.output


def test_the_truth_alone_is_not_imaged(tmp_path: Path) -> None:
    done = tomocyte("reproduce", "choi-fig4", "-o", tmp_path / "out", "--from-truth", "--dry-run")
    assert "simulated and measured exactly" in done.output
