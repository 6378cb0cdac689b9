"""What a channel is worth: pairs of trainings that share all but the channel, and differences counted by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from scipy import stats
from tests.training.conftest import SHAPE, VOXEL_UM
from typer.testing import CliRunner

from tomocyte.cli.ablate import ablate as ablate_command
from tomocyte.comparison import AblationSettings, ablate
from tomocyte.comparison.ablation import METRICS, channels_of, differences_of, split_for_ablation, without_channel
from tomocyte.datasets.labelled import find_items
from tomocyte.errors import MetadataError, SettingsError
from tomocyte.formats import write_volume
from tomocyte.models import read_card
from tomocyte.training import build_recipe
from tomocyte.training.data.samples import Samples
from tomocyte.volume import Volume

NAMES = ("intensity", "ratio")
CONTENT: dict[str, Any] = {
    "kind": "train",
    "name": "boxes",
    "data": {
        "modality": "nile_red",
        "structures": ["golgi"],
        "normalization": {"kind": "fixed", "offset": 2.0, "scale": 1.0},
        "sections": "all",
    },
    "network": {"name": "osnet", "options": {"width": 4}},
    "loop": {
        "n_epochs": 16,
        "batch_size": 4,
        "precision": "fp32",
        "optimiser": {"kind": "adam", "learning_rate": 0.02},
    },
    "validation_share": 0.0,
}


def boxes(folder: Path, n_images: int = 4) -> Path:
    """Bright boxes of two kinds that differ in the ratio alone; one kind is Golgi."""
    folder.mkdir()
    rng = np.random.default_rng(5)
    for number in range(n_images):
        image = rng.normal(2.0, 0.02, (2, *SHAPE)).astype(np.float32)
        labels = np.zeros(SHAPE, np.uint8)
        for is_golgi, x in ((True, 4), (False, 26)) if number % 2 else ((False, 4), (True, 26)):
            y = int(rng.integers(4, 20))
            box = (slice(1, 5), slice(y, y + 14), slice(x, x + 16))
            image[0][box] += 1
            image[1][box] += 1 if is_golgi else -1
            labels[box] = is_golgi
        known: dict[str, Any] = {"voxel_size_um": VOXEL_UM}
        volume = Volume.from_array(image, quantity="intensity", channel_names=NAMES, **known)
        write_volume(folder / f"cell{number}.ome.tif", volume)
        write_volume(folder / f"cell{number}_golgi.ome.tif", Volume.from_array(labels, quantity="labels", **known))
    return folder


def test_the_network_sees_nothing_of_a_constant_channel(tmp_path: Path) -> None:
    recipe = build_recipe(CONTENT)
    items = find_items(boxes(tmp_path / "data"), recipe.data)
    assert channels_of(recipe, items) == NAMES
    whole = Samples(items, recipe.data, n_axes=2).whole(2)[0]
    blank = recipe.data.model_copy(update={"constant_channels": ("ratio",)})
    seen = Samples(items, blank, n_axes=2).whole(2)[0]
    np.testing.assert_array_equal(seen[0], whole[0])
    assert (seen[1] == -2).all()  # 0 in the image's unit, 2 below what is normalised to 0
    with pytest.raises(MetadataError, match=r"E-CHANNEL.*'green'.*intensity, ratio"):
        Samples(items, recipe.data.model_copy(update={"constant_channels": ("green",)}), n_axes=2)


def test_the_arms_differ_in_the_channel_alone(tmp_path: Path) -> None:
    recipe = build_recipe(CONTENT)
    constant = without_channel(recipe, NAMES, AblationSettings(channel="ratio"))
    removed = without_channel(recipe, NAMES, AblationSettings(channel="ratio", method="remove"))
    assert (constant.data.channels, constant.data.constant_channels) == ((), ("ratio",))
    assert (removed.data.channels, removed.data.constant_channels) == (("intensity",), ())
    for other in (constant, removed):
        same = other.model_copy(update={"data": recipe.data, "limits": recipe.limits})
        assert same == recipe
    for channel, known in (("green", NAMES), ("ratio", ("ratio",))):
        with pytest.raises(SettingsError, match="E-CHANNEL"):
            without_channel(recipe, known, AblationSettings(channel=channel))
    items = find_items(boxes(tmp_path / "data"), recipe.data)
    data, held_out = split_for_ablation(items, recipe, AblationSettings(channel="ratio", held_out_share=0.5))
    assert len(data.train) == len(held_out) == 2
    assert not {item.group for item in data.train} & {item.group for item in held_out}


def test_differences_are_those_of_pairs_over_held_out_images() -> None:
    """Two seeds and three images; the interval is SciPy's of the three mean differences."""
    with_, without = np.array([[0.8, 0.6], [0.5, 0.7], [0.9, 0.9]]), np.array([[0.4, 0.6], [0.3, 0.3], [0.5, 0.6]])
    rows = [
        {"arm": arm, "seed": seed + 1, "group": f"cell{cell}", "structure": "golgi", **dict.fromkeys(METRICS, value)}
        for arm, values in (("with", with_), ("without", without))
        for (cell, seed), value in np.ndenumerate(values)
    ]
    result = differences_of(pd.DataFrame(rows), AblationSettings(channel="ratio"))
    dice = result.set_index("metric").loc["dice"]
    steps = with_.mean(axis=1) - without.mean(axis=1)
    test = stats.ttest_rel(with_.mean(axis=1), without.mean(axis=1))
    assert dice["difference"] == pytest.approx(steps.mean())
    assert (dice["low"], dice["high"]) == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert dice["p"] == pytest.approx(test.pvalue)
    assert dice["sd_of_seeds"] == pytest.approx(np.std((with_ - without).mean(axis=0), ddof=1))
    assert (dice["n_groups"], dice["n_seeds"]) == (3, 2)


def test_only_the_ratio_tells_the_boxes_apart_and_the_same_call_resumes(tmp_path: Path) -> None:
    """Without it no network can know which of two boxes of one brightness is Golgi: F1 is near 2/3 or below."""
    recipe = build_recipe(CONTENT)
    items = find_items(boxes(tmp_path / "data", 6), recipe.data)
    settings = AblationSettings(channel="ratio", n_seeds=1, held_out_share=0.4)
    result = ablate(recipe, items, tmp_path / "out", settings)
    dice = result.differences.set_index("metric").loc["dice"]
    assert dice["mean_with"] > 0.85
    assert dice["mean_without"] < 0.75
    assert "not for use" in read_card(tmp_path / "out" / "seed-1" / "without" / "model").limits
    first = json.loads((tmp_path / "out" / "seed-1" / "with" / "result.json").read_text(encoding="utf-8"))
    assert first["history"][0]["epoch"] == 1
    events: list[str] = []
    again = ablate(recipe, items, tmp_path / "out", settings, callback=lambda event: events.append(event.step))
    assert "train" not in events
    pd.testing.assert_frame_equal(again.scores, result.scores)


def test_the_lines_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()
    app.command()(ablate_command)
    monkeypatch.chdir(tmp_path)
    boxes(tmp_path / "my_cells")
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    shipped, own = (line.split()[2:] for line in page.splitlines() if line.startswith("tomocyte ablate "))
    would = CliRunner().invoke(app, shipped)
    assert would.exit_code == 0, would.output
    assert "Would simulate" in would.output
    Path("my.yaml").write_text(json.dumps({**CONTENT, "loop": {**CONTENT["loop"], "n_epochs": 1}}), encoding="utf-8")
    line = [*own, "--seeds", "2"]
    dry = CliRunner().invoke(app, [*line, "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert "4 trainings of " in dry.output
    assert "min in all on this computer" in dry.output
    assert not Path("ablation").exists()
    done = CliRunner().invoke(app, [*line, "--replace-by", "nothing"])
    assert done.exit_code == 0, done.output
    table = pd.read_csv("ablation/ablation.csv")
    assert table["metric"].tolist() == list(METRICS)
    assert set(pd.read_csv("ablation/scores.csv")["seed"]) == {1, 2}
    meanings = pd.read_csv("ablation/ablation.dictionary.csv", keep_default_na=False)
    assert {*table.columns, *pd.read_csv("ablation/scores.csv").columns} == set(meanings["column"])
    assert read_card(Path("ablation/seed-2/without/model")).channels == ("intensity",)
