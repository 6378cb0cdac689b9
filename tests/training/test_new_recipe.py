"""``tomocyte train --new-recipe``: a commented recipe that trains as it is."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.training.conftest import VOXEL_UM
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.errors import OutputError, SettingsError
from tomocyte.formats import write_volume
from tomocyte.settings import allowed_values
from tomocyte.training import build_recipe, load_recipe
from tomocyte.training.new_recipe import STARTS, new_recipe, recipe_fields
from tomocyte.volume import Volume

PAGE = Path(__file__).parents[2] / "docs" / "training.md"
QUANTITY = {"qpi": ("dry_mass_density", "pg/um2"), "odt": ("refractive_index", "1"), "sxt": ("absorption", "1/um")}
RANGE = {"qpi": (0.02, 0.5), "odt": (1.337, 0.03), "sxt": (0.1, 0.4)}
FAST = ["loop.n_epochs=1", "loop.samples_per_epoch=8", "loop.schedule.n_warm_up_steps=0", "loop.batch_size=2"]


def tomocyte(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(part) for part in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def write_images(folder: Path, modality: str) -> None:
    """Two images of two touching boxes, brighter than what is around them."""
    folder.mkdir()
    shape = (1, 48, 56) if modality == "qpi" else (8, 48, 56)
    labels = np.zeros(shape, dtype=np.uint32)
    inner = slice(0, 1) if modality == "qpi" else slice(2, 6)
    labels[inner, 10:30, 8:26], labels[inner, 10:30, 26:44] = 1, 2
    low, step = RANGE.get(modality, (100.0, 900.0))
    quantity, unit = QUANTITY.get(modality, ("intensity", "a.u."))
    size = (float("nan"), *VOXEL_UM[1:]) if shape[0] == 1 else VOXEL_UM
    for name, seed in (("a", 1), ("b", 2)):
        noise = np.random.default_rng(seed).normal(0, 0.02 * step, shape)
        image = (low + step * (labels > 0) + noise).astype(np.float32)
        voxels = {"voxel_size_um": size, "origin": {"voxel_size_um": "user"}}
        write_volume(folder / f"{name}.ome.tif", Volume.from_array(image, quantity=quantity, unit=unit, **voxels))
        volume = Volume.from_array(labels, quantity="labels", **voxels)
        write_volume(folder / f"{name}_instances.ome.tif", volume)


@pytest.mark.parametrize("modality", ["qpi", "odt", "fluorescence"])
def test_the_printed_command_trains(modality: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "FOLDER", modality)
    printed = tomocyte("train", "--new-recipe", modality, "-o", "my.yaml")
    line = re.search(r"next: tomocyte (.*)", printed)
    assert line is not None
    assert "2 training images" in tomocyte(*line[1].split(), "--dry-run")
    patch = "[32, 32]" if modality == "qpi" else "[8, 32, 32]"
    changes = [
        part for change in (*FAST, f"data.patch_shape={patch}", "validation_share=0.5") for part in ("--set", change)
    ]
    output = tomocyte(*line[1].split(), *changes)
    # The boxes are 20 pixels of 0.3 um by 18 of 0.2 um; in volumes 4 planes of 0.5 um, 2 planes deep.
    depth = {"qpi": 0.9}.get(modality, 0.5)
    assert f"core_depth_um: {depth:g}" in output
    assert "matched_dice" in output
    assert (tmp_path / "OUT" / "model").is_dir()


@pytest.mark.parametrize("modality", STARTS)
def test_every_field_is_there_with_its_meaning(modality: str) -> None:
    text = new_recipe(modality, name="mine")
    content = yaml.safe_load(text)
    assert build_recipe(content) == build_recipe({"kind": "train", "name": "mine", **STARTS[modality]})
    plain = " ".join(line.strip().lstrip("# ") for line in text.splitlines())
    for name, field in recipe_fields():
        if name.startswith(
            (
                "augmentation.",
                "held_out.",
                "data.fixed_frame.",
                "data.scaled_frame.",
                "data.channel_roles.registration.",
            )
        ):
            continue  # a preset by name, and parts that are empty
        assert field.description, name
        assert " ".join(field.description.replace("``", "").split()) in plain, name
        assert f"{name.rpartition('.')[2]}:" in text


def test_the_page_explains_every_field() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, field in recipe_fields():
        meaning = " ".join((field.description or "").replace("``", "`").split()).replace("|", "\\|")
        assert f"| `{name}` | {meaning} | {allowed_values(field).replace('|', 'or')} |" in page, name


def test_a_recipe_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("mine: 1\n")
    with pytest.raises(OutputError, match="E-EXISTS"):
        tomocyte("train", "--new-recipe", "qpi", "-o", path)
    assert path.read_text() == "mine: 1\n"
    assert "nothing written" in tomocyte("train", "--new-recipe", "qpi", "-o", tmp_path / "other.yaml", "--dry-run")
    assert not (tmp_path / "other.yaml").exists()
    with pytest.raises(SettingsError, match=r"folder\.yaml"):
        tomocyte("train", "--new-recipe", "qpi", "-o", tmp_path / "folder")
    with pytest.raises(SettingsError, match="fluorescence"):
        tomocyte("train", "--new-recipe", "xray", "-o", tmp_path / "x.yaml")
    with pytest.raises(SettingsError, match="--new-recipe"):
        tomocyte("train", "-o", tmp_path / "out")


def test_any_file_name_makes_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "_Zellen für März.yaml"
    printed = tomocyte("train", "--new-recipe", "odt", "-o", path)
    assert f"tomocyte train '{path}'" in printed
    assert build_recipe(load_recipe(path)).name == "Zellen-f-r-M-rz"
