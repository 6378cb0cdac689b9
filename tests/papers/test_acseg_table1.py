"""ACSeg's Table 1 on small balls: trainings of equal cost, scores counted by hand, claims, resumed runs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from tests.in_process import tomocyte
from tests.papers.conftest import SHAPE, SIZE, ball, write_item

from tomocyte.papers.acseg.learning_curve import LearningCurveRecipe
from tomocyte.papers.acseg.learning_curve.report import curve_table, needed_table
from tomocyte.papers.acseg.trainings.claims import TableClaim, claim_table, decide, score_rows
from tomocyte.papers.acseg.trainings.score import score_mask
from tomocyte.settings import build_settings
from tomocyte.training.recipe import build_recipe, load_recipe

TRAINING: dict[str, Any] = {
    "kind": "train",
    "name": "balls",
    "data": {
        "modality": "odt",
        "structures": ["cell", "nucleus"],
        "normalization": {"kind": "medium", "offset": 1.337, "scale": 0.02},
        "patch_shape": [8, 16, 16],
    },
    "network": {"name": "unet3d", "options": {"width": 2, "strides": [[2, 2, 2]]}},
    "loop": {"batch_size": 2, "precision": "fp32", "optimiser": {"kind": "adam", "learning_rate": 0.02}},
}


def content(folder: Path, **changes: Any) -> dict[str, Any]:
    training = folder / "balls.yaml"
    training.write_text(yaml.safe_dump(TRAINING), encoding="utf-8")
    return {
        "kind": "paper",
        "name": "small",
        "title": "Balls",
        "paper": "none",
        "experiment": "learning-curve",
        "data": {"dataset": {"modality": "odt", "preset": "T cell", "shape": [16, 48, 48]}, "n_items": 5},
        "n_test": 2,
        "sizes": [1, 2, 3],
        "labels": ["manual", "propagated"],
        "labelling": {"every": 5},
        "networks": {
            "ours": {"recipe": str(training), "n_steps": 4},
            "other": {"recipe": str(training), "n_steps": 2, "sizes": [3], "labels": ["manual"]},
        },
        "n_epochs": 2,
        "inference": {"engine": "torch"},
        "claims": [{"words": "more is better", "says": "above", "first": "manual/3", "second": "manual/1"}],
        "needed": [{"words": "9 for 0.999", "labels": "manual", "goal": 0.999, "published": 9}],
        **changes,
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, split, radius in (
        ("a", "train", 2.5), ("b", "train", 2.7), ("c", "train", 2.2), ("d", "test", 2.4), ("e", "test", 3.5)
    ):  # fmt: skip
        write_item(tmp_path / "data", name, [radius], split=split)
    return tmp_path / "data"


def test_the_table_from_trainings(data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump(content(tmp_path)), encoding="utf-8")
    out = tmp_path / "out"
    words = ["reproduce", recipe, "-o", out, "--data", data]
    dry = tomocyte(*words, "--dry-run")
    assert "7 trainings, each scored on 2 volumes" in dry.output
    assert "3 volumes to learn from, 2 to test" in dry.output.replace("\n", "")
    assert not out.exists()
    done = tomocyte(*words)
    assert done.exit_code == 0, done.exception
    fields = pd.read_csv(out / "fields.csv")
    assert len(fields) == 7 * 2
    assert set(fields["item"]) == {"d", "e"}
    assert fields.groupby("network")["n_steps"].unique().map(list).to_dict() == {"other": [2], "ours": [4]}
    trainings = sorted((out / "trainings").iterdir())
    assert len(trainings) == 7
    learned = [len(json.loads((one / "data.json").read_text())["train"]) for one in trainings]
    assert sorted(learned) == [1, 1, 2, 2, 3, 3, 3]
    curve = pd.read_csv(out / "curve.csv").set_index(["network", "labels", "n_training"])
    own = fields[(fields["network"] == "ours") & (fields["labels"] == "propagated") & (fields["n_training"] == 2)]
    row = curve.loc["ours", "propagated", 2]
    assert row["dice_mean"] == pytest.approx(own["dice"].mean())
    assert row["dice_sd"] == pytest.approx(own["dice"].std(ddof=1))
    assert row["dice_worst"] == pytest.approx(own["dice"].min())
    labels = pd.read_csv(out / "labels.csv").set_index(["labels", "structure"])
    assert labels.loc["manual", "cell"]["n_volumes"] == 3
    assert 0.9 < labels.loc["manual", "cell"]["dice_mean"] < 1
    for name in ("learning-curve", "plan-ours-manual"):
        assert (out / f"{name}.png").stat().st_size > 5000
    before = {path: path.stat().st_mtime_ns for path in (out / "trainings").rglob("weights*")}
    again = tomocyte(*words)
    assert again.exit_code == 0
    assert before == {path: path.stat().st_mtime_ns for path in (out / "trainings").rglob("weights*")}
    assert pd.read_csv(out / "fields.csv").equals(fields)
    plan = tomocyte("plan", out, "--where", "network=ours", "--where", "labels=manual", "--goal", "0.999")
    assert plan.exit_code == 0, plan.exception


def test_minutes_become_steps_and_stay_the_same(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a step is measured once; an hour of another machine's time later the steps are the same."""
    from tomocyte.papers.acseg.trainings import train
    from tomocyte.papers.acseg.trainings.volumes import divide, labelled_volumes

    recipe = build_settings(LearningCurveRecipe, content(tmp_path, networks={
        "ours": {"recipe": str(tmp_path / "balls.yaml"), "minutes": 0.5}}))  # fmt: skip
    items, _ = divide(labelled_volumes(data, ["cell", "nucleus"], scored="cell"), 2, seed=1)
    out = tmp_path / "out"
    seconds = train.seconds_per_step(recipe.training("ours"), items, out / "pace")
    assert 0.0005 < seconds < 5
    made = train.timed_recipe(recipe.training("ours"), recipe.cost_of("ours"), items, out)
    n_steps = made.loop.n_epochs * (made.loop.samples_per_epoch or 0) / made.loop.batch_size
    assert n_steps == pytest.approx(30 / seconds, abs=2)
    monkeypatch.setattr(train, "train_network", None)
    assert train.timed_recipe(recipe.training("ours"), recipe.cost_of("ours"), items, out) == made


def test_validation_takes_its_share_of_the_training_volumes(data: Path, tmp_path: Path) -> None:
    from tomocyte.papers.acseg.trainings.train import training_data
    from tomocyte.papers.acseg.trainings.volumes import divide, labelled_volumes

    recipe = build_settings(LearningCurveRecipe, content(tmp_path))
    training = recipe.training("ours")
    items, tested = divide(labelled_volumes(data, ["cell"], scored="cell"), 2, seed=1)
    assert {item.name for item in tested} == {"d", "e"}
    whole = training_data(training, items)
    assert (len(whole.train), len(whole.validation)) == (3, 0)
    best = training.model_copy(update={"loop": training.loop.model_copy(update={"select": "best"})})
    parts = training_data(best, items)
    assert (len(parts.train), len(parts.validation)) == (2, 1)


def test_a_body_is_scored_as_geometry_says() -> None:
    truth, mask = ball((6.0, 8.0, 7.0), 4.0), ball((6.0, 8.0, 7.0), 4.4)
    scores = score_mask(truth, mask, SIZE)
    assert scores["volume_error_percent"] == pytest.approx(100 * (1.1**3 - 1), rel=0.03)
    assert scores["surface_to_volume_error_percent"] == pytest.approx(100 * (1 / 1.1 - 1), rel=0.05)
    assert scores["dice"] == pytest.approx(2 * 4**3 / (4**3 + 4.4**3), rel=0.01)
    nothing = score_mask(truth, np.zeros(SHAPE, bool), SIZE)
    assert (nothing["dice"], nothing["volume_um3"], nothing["volume_error_percent"]) == (0, 0, -100)
    assert math.isnan(nothing["surface_to_volume_error_percent"])


ROWS = {
    "a/5": {"x": 0.80, "y": 0.90, "z": 0.85},
    "a/10": {"x": 0.90, "y": 0.95, "z": 0.91},
    "a/20": {"x": 0.91, "y": 0.96, "z": 0.92},
    "b/5": {"x": 0.70, "y": 0.92, "z": 0.88},
}


@pytest.mark.parametrize(
    ("claim", "figure", "verdict"),
    [
        ({"says": "above", "first": "a/20", "second": "a/5"}, 0.08, "holds"),
        ({"says": "above", "first": "a/5", "second": "b/5"}, 0.05 / 3, "holds on average"),
        ({"says": "above", "first": "a/5", "second": "a/20"}, -0.08, "does not hold"),
        ({"says": "by", "first": "a/20", "second": "a/5", "value": 0.1}, 0.08, "right direction, but less"),
        ({"says": "similar", "first": "a/20", "second": "a/10", "value": 0.02}, 0.01, "holds"),
        ({"says": "similar", "first": "a/20", "second": "a/5", "value": 0.02}, 0.08, "does not hold"),
        ({"says": "at-least", "first": "a/20", "value": 0.93}, 0.93, "holds"),
        ({"says": "at-least", "first": "a/20", "statistic": "worst", "value": 0.92}, 0.91, "does not hold"),
        ({"says": "at-most", "first": "a/5", "statistic": "sd", "value": 0.06}, 0.05, "holds"),
        ({"says": "slows", "first": "a/5", "second": "a/10", "third": "a/20"}, 0.07 / 5 - 0.001, "holds"),
        ({"says": "slows", "first": "a/5", "second": "a/10", "third": "a/40"}, math.nan, "not measured"),
        ({"says": "above", "first": "a/5", "second": "c/5"}, math.nan, "not measured"),
    ],
)
def test_claims_are_decided(claim: dict[str, Any], figure: float, verdict: str) -> None:
    made = decide(TableClaim(words="", **claim), ROWS)
    assert made.verdict == verdict
    assert made.figure == pytest.approx(figure, nan_ok=True, abs=1e-9)


def test_rows_of_other_networks_are_compared_too() -> None:
    table = pd.DataFrame(
        [
            {"network": network, "labels": "a", "n_training": 5, "seed": seed, "item": item, "dice": value}
            for network, values in (("ours", (0.9, 0.8, 0.85)), ("theirs", (0.8, 0.7, 0.76)))
            for item, value in zip("xyz", values, strict=True)
            for seed in (1, 2)
        ]
    )
    rows = score_rows(table, ("labels", "n_training"), ("dice",))
    claim = TableClaim(words="w", says="above", first="a/5", second="theirs:a/5", networks=("ours",))
    line = claim_table([claim], rows).iloc[0]
    assert line["figure"] == pytest.approx((0.1 + 0.1 + 0.09) / 3)
    assert line["verdict"] == "holds"


def test_an_extrapolation_needs_more_than_one_curve(tmp_path: Path) -> None:
    """Scores on 1 - 0.2 exp(-0.02 n) reach 0.98 at ln(10) / 0.02 = 115 volumes; noise makes that uncertain."""
    from tomocyte.papers.acseg.learning_curve.report import _plans

    rng = np.random.default_rng(2)
    lines = [
        {"network": "ours", "labels": "manual", "n_training": n, "seed": 1, "item": str(i),
         "dice": 1 - 0.2 * math.exp(-0.02 * n) + 0.001 * rng.normal()}
        for n in (5, 10, 20, 30, 43) for i in range(10)
    ]  # fmt: skip
    changes = {"needed": [{"words": "w", "labels": "manual", "goal": 0.98, "published": 115}]}
    recipe = build_settings(LearningCurveRecipe, content(tmp_path, **changes))
    plans = {(network, labels): plan for network, labels, plan in _plans(recipe, pd.DataFrame(lines))}
    line = needed_table(recipe, plans).iloc[0]
    assert line["volumes"] == pytest.approx(math.log(10) / 0.02, rel=0.02)
    assert line["low"] < 115 < line["high"]
    assert line["verdict"] == "holds"
    far = recipe.model_copy(update={"needed": (recipe.needed[0].model_copy(update={"published": 300}),)})
    assert needed_table(far, plans).iloc[0]["verdict"] == "does not hold"


def test_seeds_are_averaged_before_the_spread() -> None:
    lines = [
        {"network": "n", "labels": "manual", "n_training": 5, "seed": seed, "item": item, "dice": dice, "n_steps": 3,
         "volume_um3": 1.0, "volume_error_percent": 10 * seed, "surface_to_volume_per_um": 1.0,
         "surface_to_volume_error_percent": -2.0, "assd_um": 0.1, "hd95_um": 0.2, "uncertainty": 0.1,
         "core_minutes": 2.0 * seed}
        for seed, item, dice in ((1, "x", 0.8), (1, "y", 0.6), (2, "x", 0.6), (2, "y", 0.8))
    ]  # fmt: skip
    row = curve_table(pd.DataFrame(lines), None).iloc[0]
    assert (row["dice_mean"], row["dice_sd"], row["dice_worst"]) == pytest.approx((0.7, 0, 0.7))
    assert (row["volume_error_percent"], row["core_minutes"]) == pytest.approx((15, 3))


@pytest.mark.parametrize("name", ["acseg-table1", "acseg-table1-full", "acseg-table2", "acseg-table2-full"])
def test_shipped_tables_say_what_the_paper_prints(name: str) -> None:
    """Every claim's printed figure is the difference, or the value, of the printed rows that it names."""
    from tomocyte.papers.acseg.transfer import TransferRecipe
    from tomocyte.papers.score_tables import load_published

    recipe = build_recipe(load_recipe(name), LearningCurveRecipe, TransferRecipe)
    tables = load_published("acseg-printed").tables
    printed = {row: entry.dice for table in tables.values() for row, entry in table.rows.items()}
    counts = {"BV-2": 12, "Huh-7": 12, "MEF": 9}
    for row in [row for row in printed if row.endswith("/BV-2")]:
        part = row.removesuffix("BV-2")
        mean = sum(n * printed[part + cell_type][0] for cell_type, n in counts.items()) / 33
        printed[f"{part}all"] = (mean, math.nan)
    n_checked = 0
    for claim in recipe.claims:
        rows = [one.rpartition(":")[2] for one in (claim.first, claim.second) if one]
        if math.isnan(claim.published):
            continue
        values = [printed[row][claim.statistic == "sd"] for row in rows]
        figure = values[0] - values[1] if len(values) == 2 else values[0]
        assert abs(figure) == pytest.approx(claim.published, abs=2e-4), claim.words
        n_checked += 1
    assert n_checked >= 9
