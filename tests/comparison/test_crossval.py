"""Cross-validation: folds that share nothing, scores counted by hand, tables that resume."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score, precision_recall_curve
from tests.training.conftest import disc_volume, small_recipe, write_pair

from tomocyte.comparison.crossval import crossvalidate, folds_of, row_folder
from tomocyte.comparison.crossval_recipe import CrossvalRecipe, check_disjoint, grouped_folds, merged
from tomocyte.comparison.samples import Sample, pixel_fields, score_samples, summary_of
from tomocyte.comparison.score import Field, score_model
from tomocyte.datasets.labelled import LabelledItem, find_items
from tomocyte.errors import InputError, OutputError, SettingsError
from tomocyte.progress import Progress
from tomocyte.training import build_recipe, load_recipe
from tomocyte.training.data.samples import Samples

BASE = small_recipe().model_dump(mode="json", exclude_defaults=True, exclude={"name"})


def recipe(**changes: Any) -> Any:
    content: dict[str, Any] = {
        "kind": "crossval",
        "name": "boxes",
        "groups": "image",
        "n_folds": 2,
        "base": BASE,
        "rows": {"plain": {}, "wide": {"network": {"options": {"width": 6}}}},
        "baselines": ["otsu"],
    }
    return build_recipe({**content, **changes}, CrossvalRecipe)


@pytest.mark.parametrize(("n_groups", "n_folds"), [(7, 3), (12, 4), (4, 4)])
def test_every_group_is_in_exactly_one_fold(n_groups: int, n_folds: int) -> None:
    rng = np.random.default_rng(n_groups)
    groups = [f"cell{g}" for g in range(n_groups) for _ in range(int(rng.integers(1, 20)))]
    folds = grouped_folds(groups, n_folds, seed=2)
    assert sorted(name for fold in folds for name in fold) == sorted(set(groups))
    assert grouped_folds(groups, n_folds, seed=2) == folds


def test_folds_have_about_the_same_number_of_samples() -> None:
    groups = [f"cell{g}" for g in range(50) for _ in range(10 + g % 18)]
    sizes = [sum(groups.count(name) for name in fold) for fold in grouped_folds(groups, 4, seed=1)]
    assert max(sizes) - min(sizes) <= 27  # no more than one group


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(InputError, match="E-FOLDS"):
        grouped_folds(["a", "a", "b"], 3, seed=1)


def test_a_cell_in_two_folds_is_seen() -> None:
    one, other = LabelledItem("a", Path("a"), {}, "cell 1"), LabelledItem("b", Path("b"), {}, "cell 1")
    with pytest.raises(InputError, match=r"E-FOLDS.*cell 1.*fold 1.*fold 2"):
        check_disjoint([[one], [other]])
    check_disjoint([[one, other], [LabelledItem("c", Path("c"), {}, "cell 2")]])


def test_images_of_one_cell_stay_together_and_images_alone_do_not(data: Path) -> None:
    """cell0 and cell3, cell1 and cell4 by the remainder of their number: with two folds the three cells cannot mix."""
    for number, cell in enumerate("abcab"):
        for path in data.glob(f"cell{number}*"):
            path.rename(path.with_name(path.name.replace(f"cell{number}", f"{cell}_view{number}")))
    base = merged(BASE, {"data": {"group_pattern": "^([a-z])_"}})
    by_cell = recipe(base=base, groups="cell")
    items = find_items(data, by_cell.recipe("plain").data)
    cells = [{item.name[0] for item in fold} for fold in folds_of(items, by_cell)]
    assert not cells[0] & cells[1]
    with pytest.raises(InputError, match="E-FOLDS"):
        folds_of(items, recipe(base=base, groups="cell", n_folds=4))
    assert len(folds_of(items, recipe(base=base, groups="image", n_folds=4))) == 4


def test_a_fold_without_any_object_says_which(tmp_path: Path) -> None:
    """Two images, one of them empty: with two folds one fold has no positive."""
    image, labels = disc_volume(np.random.default_rng(5))
    write_pair(tmp_path, "full", image, labels)
    write_pair(tmp_path, "empty", image, np.zeros_like(labels))
    chosen = recipe(base=merged(BASE, {"data": {"sections": "all"}}))
    with pytest.raises(InputError, match=r"E-CLASS-MISSING.*fold [12]: no .*nucleus"):
        folds_of(find_items(tmp_path, chosen.recipe("plain").data), chosen)


def test_without_any_object_there_are_no_folds(data: Path) -> None:
    """The largest section of each image has 13.44 um2."""
    base = merged(BASE, {"data": {"min_section_area_um2": 13.0}})
    items = find_items(data, small_recipe().data)
    assert sorted(item.name for fold in folds_of(items, recipe(base=base)) for item in fold) == [
        f"cell{i}" for i in range(5)
    ]
    with pytest.raises(InputError, match="E-NO-POSITIVES"):
        folds_of(items, recipe(base=merged(base, {"data": {"min_section_area_um2": 14.0}})))


def test_another_network_does_not_inherit_options() -> None:
    base = {"network": {"name": "osnet", "options": {"width": 4}}, "loop": {"n_epochs": 3, "seed": 1}}
    over = {"network": {"name": "unet16"}, "loop": {"seed": 2}}
    assert merged(base, over) == {"network": {"name": "unet16"}, "loop": {"n_epochs": 3, "seed": 2}}
    same = merged(base, {"network": {"name": "osnet", "options": {"up_kernel": 3}}})
    assert same["network"]["options"] == {"width": 4, "up_kernel": 3}


def test_scores_are_those_of_scikit_learn(data: Path) -> None:
    """Dice is the mean over images; precision, recall and the area under the curve are of all pixels together."""
    settings = small_recipe().data
    samples = Samples(find_items(data, settings)[:1], settings, n_axes=2)
    rng = np.random.default_rng(0)
    truths = [samples.whole(i)[1] for i in range(len(samples))]
    probabilities = [np.clip(t * 0.3 + rng.random(t.shape) * 0.7, 0, 1).astype(np.float32).round(3) for t in truths]
    table = score_samples(samples, lambda sample: {"nucleus": probabilities[sample.index][0]})
    found = summary_of(table, "pixels")
    flat = np.concatenate([t.ravel() for t in truths]), np.concatenate([p.ravel() for p in probabilities])
    precision, recall, _ = precision_recall_curve(*flat)
    masks = [p >= 0.5 for p in probabilities]
    by_hand = [2 * (m & (t == 1)).sum() / (m.sum() + t.sum()) for m, t in zip(masks, truths, strict=True)]
    assert found["dice"] == pytest.approx(np.mean(by_hand), abs=1e-12)
    assert found["pr_auc"] == pytest.approx(auc(recall, precision), abs=2e-3)  # counted in bins of probability
    assert found["pr_auc"] == pytest.approx(average_precision_score(*flat), abs=5e-3)
    inside = flat[0] == 1
    assert found["recall"] == pytest.approx((flat[1][inside] >= 0.5).mean(), abs=1e-12)


def test_scores_of_two_outputs_count_both(data: Path) -> None:
    """A perfect output and one that finds nothing: Dice 1 and 0; half of the true pixels are found."""
    settings = small_recipe().data
    samples = Samples(find_items(data, settings)[:1], settings, n_axes=2)

    def predict(sample: Sample) -> dict[str, Any]:
        truth = samples.whole(sample.index)[1]
        return {"nucleus": truth[0].astype(np.float32), "cell": np.zeros(truth.shape[1:], np.float32)}

    fields = (replace(field, truth=partial(_nucleus, field)) for field in pixel_fields(samples))
    table = score_model(predict, fields, metrics=["dice", "recall", "precision"])
    assert table.mean_and_sd("dice")[0] == 0.5
    assert (table.pooled()["recall"], table.pooled()["precision"]) == (0.5, 1.0)


def _nucleus(field: Field[Sample], _: str) -> Any:
    return field.truth("nucleus")


def test_a_comparison_trains_scores_and_resumes(data: Path, tmp_path: Path) -> None:
    items, chosen = find_items(data, small_recipe().data), recipe()
    events: list[Progress] = []
    result = crossvalidate(chosen, items, tmp_path / "out", callback=events.append)
    assert sum(event.step == "epoch" for event in events) == 2 * 2 * 2
    scores = result.scores.frame()
    assert sorted(scores["method"].unique()) == ["otsu", "plain", "wide"]
    assert (scores.groupby("method").size() == 2).all()
    otsu = scores[scores["method"] == "otsu"]
    assert (otsu["dice"] > 0.99).all()  # the boxes are twenty deviations above the noise
    assert result.n_parameters["wide"] > result.n_parameters["plain"]
    assert not result.is_simulated
    folds = [{row["group"] for row in result.images.rows if row["fold"] == fold} for fold in (1, 2)]
    assert not folds[0] & folds[1]
    again: list[Progress] = []
    same = crossvalidate(chosen, items, tmp_path / "out", callback=again.append)
    assert not [event for event in again if event.step == "epoch"]
    assert same.scores.frame().equals(scores)
    assert (row_folder(tmp_path / "out", "plain", 0) / "model" / "card.json").exists()


def test_the_tables_say_what_they_are(data: Path, tmp_path: Path) -> None:
    from tomocyte.papers.osnet.tables import write_tables

    chosen = recipe(rows={"plain": {}})
    result = crossvalidate(chosen, find_items(data, small_recipe().data), tmp_path / "out")
    texts = write_tables(chosen, result, tmp_path / "out")
    assert "real data" in texts[0]
    assert {entry.name for entry in (tmp_path / "out" / "tables").iterdir()} == {
        "validation.md", "validation.csv", "validation.html", "validation.png", "scores.csv", "images.csv",
    }  # fmt: skip
    mean = result.scores.mean_and_sd("dice", method="plain")[0]
    assert f"{mean:.4f}" in (tmp_path / "out" / "tables" / "validation.md").read_text()


def test_wrong_rows_and_recipes_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"E-ROW.*plain, wide"):
        recipe().recipe("no-such")
    with pytest.raises(SettingsError, match="E-RECIPE"):
        build_recipe({"name": "x"}, CrossvalRecipe)
    with pytest.raises(SettingsError, match="E-SETTINGS"):
        recipe(rows={"plain": {"loop": {"no_such": 1}}})
    with pytest.raises(SettingsError, match=r"E-RECIPE.*osnet-tables"):
        load_recipe("no-such")


def test_the_table_has_the_paper_s_nine_rows_and_its_training() -> None:
    chosen = build_recipe(load_recipe("osnet-tables-full"), CrossvalRecipe)
    assert len(chosen.rows) == 9
    assert chosen.n_folds == 4
    proposed = chosen.recipe("OS-Net")
    loop = proposed.loop
    assert (loop.n_epochs, loop.batch_size, loop.optimiser.learning_rate) == (300, 32, 0.0005)
    assert loop.optimiser.betas == (0.5, 0.999)
    assert proposed.augmentation.share == 0.3
    assert proposed.loss.kind == "bce"


def test_a_crossvalidation_writes_into_a_folder_of_its_own(data: Path, tmp_path: Path) -> None:
    (tmp_path / "folds.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"E-OUT-FOREIGN.*folds\.txt"):
        crossvalidate(recipe(rows={"plain": {}}), find_items(data, small_recipe().data), tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path != data] == ["folds.txt"]
