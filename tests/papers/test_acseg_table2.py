"""ACSeg's Table 2 on small balls: training sets, continued weights, votes of three axes, what foretells scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from tests.in_process import tomocyte
from tests.papers.conftest import write_item
from tests.papers.test_acseg_table1 import TRAINING

from tomocyte.datasets.labelled import find_items
from tomocyte.errors import InputError
from tomocyte.models import load_package
from tomocyte.papers.acseg.transfer import TransferRecipe
from tomocyte.papers.acseg.transfer.experiment import rows_of
from tomocyte.papers.acseg.transfer.report import transfer_rows
from tomocyte.papers.acseg.transfer.volumes import volumes_by_type, with_sections_across
from tomocyte.settings import build_settings

SECTIONS: dict[str, Any] = {
    **TRAINING,
    "name": "sections",
    "data": {**TRAINING["data"], "structures": ["cell"], "patch_shape": [16, 16]},
    "network": {"name": "osnet", "options": {"width": 2}},
}


def content(folder: Path, **changes: Any) -> dict[str, Any]:
    for training in (TRAINING, SECTIONS):
        (folder / f"{training['name']}.yaml").write_text(yaml.safe_dump(training), encoding="utf-8")
    dataset = {"modality": "odt", "preset": "T cell", "shape": [16, 48, 48]}
    return {
        "kind": "paper",
        "name": "small",
        "title": "Balls",
        "paper": "none",
        "experiment": "transfer",
        "cell_types": {
            "T cell": {"dataset": dataset, "n_train": 2},
            "BV-2": {"dataset": dataset, "n_train": 1, "n_test": 2, "seed": 3},
            "MEF": {"dataset": dataset, "n_train": 1, "n_test": 2, "seed": 5},
            "β-cell": {"dataset": dataset, "n_train": 1, "n_test": 1, "seed": 7},
        },
        "training_sets": {
            "2 (T)": {"T cell": 2},
            "2 (T) + 1 (BV-2)": {"T cell": 2, "BV-2": 1},
            "2 (T) + 1 (MEF)": {"T cell": 2, "MEF": 1},
            "1 (β)": {"β-cell": 1},
        },
        "networks": {
            "ours": {"recipe": str(folder / "balls.yaml"), "n_steps": 6},
            "three axes": {
                "recipe": str(folder / "sections.yaml"),
                "n_steps": 2,
                "training_sets": ["1 (β)"],
                "tests": ["β-cell"],
                "axes": ["z", "y", "x"],
                "inference": {"engine": "torch", "section_axes": ["z", "y", "x"], "vote": "majority"},
            },
        },
        "continues": {
            "training_set": "2 (T)",
            "n_steps": 3,
            "changes": {"loop": {"optimiser": {"learning_rate": 0.001}}},
        },
        "inference": {"engine": "torch"},
        "labels": "manual",
        "claims": [
            {"words": "MEF is easier than BV-2", "says": "above", "first": "2 (T)/MEF", "second": "2 (T)/BV-2"},
            {"words": "more is better", "says": "above", "first": "2 (T) + 1 (MEF)/all", "second": "2 (T)/all"},
            {"words": "zero-shot wins", "says": "above", "first": "2 (T)/β-cell", "second": "three axes:1 (β)/β-cell"},
        ],
        **changes,
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder per cell type."""
    counts = {"T cell": ["train", "train"], "bv2": ["train", "test", "test"], "MEF": ["train", "test", "test"]}
    for number, (name, splits) in enumerate({**counts, "beta cell": ["train", "test"]}.items()):
        for index, split in enumerate(splits):
            folder = tmp_path / "data" / name
            write_item(folder, f"{name[0].lower()}{index}", [1.8 + 0.3 * number + 0.1 * index], split=split)
    return tmp_path / "data"


def test_the_table_from_trainings(data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump(content(tmp_path), sort_keys=False), encoding="utf-8")
    out = tmp_path / "out"
    words = ["reproduce", recipe, "-o", out, "--data", data]
    dry = tomocyte(*words, "--dry-run")
    assert "4 trainings; 5 volumes to test" in dry.output.replace("\n", "")
    assert "ours, 2 (T) + 1 (BV-2): 3 steps, begun with the weights of 2 (T)" in dry.output.replace("\n", " ")
    assert not out.exists()
    done = tomocyte(*words)
    assert done.exit_code == 0, done.exception
    fields = pd.read_csv(out / "fields.csv")
    ours = fields[fields["network"] == "ours"]
    assert len(ours) == 3 * 5
    assert len(fields) == 3 * 5 + 1
    assert ours.groupby("training_set")["n_steps"].first().to_dict() == {
        "2 (T)": 6, "2 (T) + 1 (BV-2)": 3, "2 (T) + 1 (MEF)": 3,
    }  # fmt: skip
    trainings = {path.name: json.loads((path / "data.json").read_text()) for path in (out / "trainings").iterdir()}
    assert sorted(len(one["train"]) for one in trainings.values()) == [2, 3, 3, 3]
    table = pd.read_csv(out / "table.csv")
    assert set(table["cell_type"]) == {"BV-2", "MEF", "β-cell"}
    claims = pd.read_csv(out / "claims.csv").set_index("words")
    by_type = ours[ours["training_set"] == "2 (T)"].groupby("cell_type")["dice"].mean()
    assert claims.loc["MEF is easier than BV-2", "figure"].iloc[0] == pytest.approx(by_type["MEF"] - by_type["BV-2"])
    volumes, pairs = pd.read_csv(out / "volumes.csv"), pd.read_csv(out / "pairs.csv")
    assert len(volumes) == 5
    assert len(pairs) == 2 * 3
    first = pairs[(pairs["added"] == "MEF") & (pairs["cell_type"] == "MEF")].iloc[0]
    means = ours[ours["cell_type"] == "MEF"].groupby("training_set")["dice"].mean()
    assert first["gain"] == pytest.approx(means["2 (T) + 1 (MEF)"] - means["2 (T)"])
    assert 0 <= first["distance_after"] <= first["distance_before"]
    assert (out / "which-next.png").stat().st_size > 5000
    again = tomocyte(*words, "--model", next((out / "trainings").glob("balls-*")) / "model")
    assert again.exit_code == 0, again.exception


def test_continued_trainings_begin_with_the_weights(data: Path, tmp_path: Path) -> None:
    """With a learning rate of nothing, a continued training ends with the weights that it began with."""
    changes = {
        "training_set": "2 (T)", "n_steps": 1, "changes": {"loop": {"optimiser": {"learning_rate": 1e-12}}},
    }  # fmt: skip
    networks = {"ours": {"recipe": str(tmp_path / "balls.yaml"), "n_steps": 3}}
    sets = {"2 (T)": {"T cell": 2}, "2 (T) + 1 (MEF)": {"T cell": 2, "MEF": 1}}
    recipe = tmp_path / "small.yaml"
    written = content(tmp_path, continues=changes, networks=networks, training_sets=sets, claims=[])
    recipe.write_text(yaml.safe_dump(written, sort_keys=False), encoding="utf-8")
    out = tmp_path / "out"
    done = tomocyte("reproduce", recipe, "-o", out, "--data", data)
    assert done.exit_code == 0, done.exception
    first, second = (load_package(path / "model").state for path in sorted((out / "trainings").iterdir()))
    moved = [name for name in first if name.endswith("weight") and first[name].ndim > 1]
    assert moved
    for name in moved:
        assert np.allclose(first[name].numpy(), second[name].numpy(), atol=1e-6)


def test_who_trains_on_what(tmp_path: Path) -> None:
    recipe = build_settings(TransferRecipe, content(tmp_path))
    assert [(row.network, row.training_set) for row in rows_of(recipe)] == [
        ("ours", "2 (T)"), ("ours", "2 (T) + 1 (BV-2)"), ("ours", "2 (T) + 1 (MEF)"), ("three axes", "1 (β)"),
    ]  # fmt: skip
    assert recipe.added == ("BV-2", "MEF", "β-cell")
    assert not recipe.is_continued("three axes", "1 (β)")
    anew = build_settings(TransferRecipe, content(tmp_path, continues=None))
    assert not anew.is_continued("ours", "2 (T) + 1 (MEF)")


def test_rows_of_all_cell_types(tmp_path: Path) -> None:
    recipe = build_settings(TransferRecipe, content(tmp_path))
    lines = [
        {"network": "ours", "training_set": "2 (T)", "cell_type": name, "item": f"{name}{i}", "dice": dice,
         **dict.fromkeys(("volume_um3", "volume_error_percent", "surface_to_volume_per_um",
                          "surface_to_volume_error_percent", "assd_um", "hd95_um", "uncertainty"), 0.0)}
        for name, dice in (("BV-2", 0.8), ("MEF", 0.9), ("β-cell", 0.7)) for i in range(2)
    ]  # fmt: skip
    rows = transfer_rows(recipe, pd.DataFrame(lines))["ours"]["dice"]
    assert len(rows["2 (T)/all"]) == 6
    assert np.mean(list(rows["2 (T)/all"].values())) == pytest.approx(0.8)


def test_sections_across_every_axis(data: Path, tmp_path: Path) -> None:
    item = find_items(data / "MEF")[0]
    turned = with_sections_across([item], ["z", "y", "x"], tmp_path / "sections")
    whole = item.read_frame(0)
    for one, order in zip(turned, ((0, 1, 2), (1, 0, 2), (2, 0, 1)), strict=True):
        frame = one.read_frame(0)
        assert np.array_equal(frame.image[0], whole.image[0].transpose(order))
        assert np.array_equal(frame.labels["cell"], whole.labels["cell"].transpose(order))
        assert frame.voxel_size_um == pytest.approx([whole.voxel_size_um[axis] for axis in order])
    assert with_sections_across([item], ["x"], tmp_path / "sections") == turned[2:]


def test_too_few_volumes_are_named(data: Path, tmp_path: Path) -> None:
    recipe = build_settings(TransferRecipe, content(tmp_path, training_sets={"3 (T)": {"T cell": 3}}, networks={
        "ours": {"recipe": str(tmp_path / "balls.yaml")}}, continues=None))  # fmt: skip
    with pytest.raises(InputError, match=r"needs 3 volumes of T cell, and there are 2"):
        volumes_by_type(recipe, data)
