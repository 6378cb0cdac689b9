"""Scores that are read back from files written by hand, and what a comparison knows of its images."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.models.conftest import make_card
from tests.training.conftest import small_recipe

from tomocyte.comparison.calibrate import data_is_simulated, labelled_settings
from tomocyte.comparison.crossval import CrossvalResult, collect
from tomocyte.comparison.crossval_recipe import CrossvalRecipe
from tomocyte.errors import SettingsError
from tomocyte.evaluation import ScoreTable
from tomocyte.ledger.sealed import seal
from tomocyte.papers.osnet.tables import paper_table
from tomocyte.training import build_recipe


def recipe() -> Any:
    base = small_recipe().model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    content = {
        "kind": "crossval", "name": "boxes", "groups": "image", "n_folds": 2, "base": base,
        "rows": {"wide": {"network": {"options": {"width": 6}}}, "The plain one": {}}, "baselines": ["otsu"],
    }  # fmt: skip
    return build_recipe(content, CrossvalRecipe)


def write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(seal(content))


def scores_of(dice: float, **more: Any) -> dict[str, Any]:
    return {"summary": {"dice": dice, "n_images": 1.0}, "images": [{"item": "a", "dice": dice}], **more}


def test_what_is_finished_is_collected_and_what_is_damaged_is_not(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="E-NO-SCORES"):
        collect(recipe(), tmp_path)
    sets = {"validation": scores_of(0.5), "cross-modality": scores_of(0.25)}
    first = {"key": "k", "n_parameters": 123, "is_simulated": False, "sets": sets}
    write(tmp_path / "rows" / "the-plain-one" / "fold-1" / "scores.json", first)
    write(tmp_path / "rows" / "the-plain-one" / "fold-2" / "scores.json", {**first, "is_simulated": True})
    damaged = tmp_path / "rows" / "wide" / "fold-1" / "scores.json"
    write(damaged, first)
    damaged.write_bytes(damaged.read_bytes().replace(b"0.5", b"0.9"))
    baseline = {"key": "k", "sets": {"validation/2": scores_of(0.75), "cross-modality/0": scores_of(0.125)}}
    write(tmp_path / "baselines" / "otsu.json", baseline)
    result = collect(recipe(), tmp_path)
    rows = [(row["method"], row["set"], row["fold"], row["dice"]) for row in result.scores.rows]
    assert rows == [
        ("The plain one", "cross-modality", 1, 0.25), ("The plain one", "validation", 1, 0.5),
        ("The plain one", "cross-modality", 2, 0.25), ("The plain one", "validation", 2, 0.5),
        ("otsu", "cross-modality", 0, 0.125), ("otsu", "validation", 2, 0.75),
    ]  # fmt: skip
    assert [row["item"] for row in result.images.rows] == ["a"] * 6
    assert result.n_parameters == {"The plain one": 123}
    assert result.is_simulated
    assert json.loads(damaged.read_text())["sets"]["validation"]["summary"]["dice"] == 0.9


def test_a_papers_table_has_the_baselines_first_and_only_what_was_measured() -> None:
    scores = ScoreTable()
    for method, fold, dice in (("wide", 2, 0.5), ("wide", 1, 0.75), ("otsu", 1, 0.25)):
        scores.add_row(
            {"method": method, "set": "validation", "fold": fold, "dice": dice, "pixel_accuracy": 0.9, "n_images": 3}
        )
    scores.add_row({"method": "wide", "set": "cross-modality", "fold": 1, "dice": 0.1, "recall": 0.3, "n_images": 3})
    result = CrossvalResult(scores, ScoreTable(), {"wide": 77}, is_simulated=True)
    table = paper_table(recipe(), result, "validation", None)
    assert [(row["method"], row["fold"], row["dice"]) for row in table.scores.rows] == [
        ("otsu", 1, 0.25), ("wide", 1, 0.75), ("wide", 2, 0.5),
    ]  # fmt: skip
    assert all(set(row) == {"method", "fold", "dice"} for row in table.scores.rows)
    assert "simulated data" in table.title
    # mean 0.625, SD over folds 0.25 / sqrt(2)
    assert f"0.6250 ({0.25 / np.sqrt(2):.4f})" in table.markdown()


def test_images_are_read_with_the_structures_of_the_model() -> None:
    card = make_card(structures=("background", "nucleus"), activation="softmax")
    assert labelled_settings(card).structures == ("nucleus",)
    assert labelled_settings(make_card()).structures == ("nucleus", "nucleolus")


@pytest.mark.parametrize(("simulated", "expected"), [((), False), ((False, False), False), ((False, True), True)])
def test_one_simulated_image_is_enough(simulated: tuple[bool, ...], expected: bool) -> None:
    items: Any = [SimpleNamespace(open_image=lambda one=one: SimpleNamespace(is_simulated=one)) for one in simulated]
    assert data_is_simulated(items) is expected
