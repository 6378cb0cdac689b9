"""One more organelle from stacks with a probe: what is written is what was put in, and the model runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tomocyte.channels.foreground import ForegroundMethod, stain_foreground
from tomocyte.channels.registration_file import ChannelRegistration, RegistrationFile, save_registration
from tomocyte.channels.transform import ChannelTransform
from tomocyte.cli import app
from tomocyte.comparison import OrganelleRecipe
from tomocyte.comparison.organelle import foreground_of, prepare_stack
from tomocyte.datasets.probe_stacks import probe_stacks
from tomocyte.errors import InputError, MetadataError, SettingsError, TomocyteError
from tomocyte.formats import read_volume, write_volume
from tomocyte.models import read_card
from tomocyte.training import build_recipe, load_recipe
from tomocyte.volume import Volume

VOXEL = (0.25, 0.1, 0.1)
SHAPE = (6, 48, 56)
COLOURS = ("yellow", "red", "green")
SMALL = [
    "training.loop.n_epochs=1", "training.loop.samples_per_epoch=4", "training.loop.schedule.n_warm_up_steps=0",
    "registration=none", "training.data.patch_shape=[4, 32, 32]",
    "training.network.options.width=4", "training.validation_share=0.3",
]  # fmt: skip


def stack(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts (3, Z, Y, X): Nile Red everywhere in a cell, a probe in one box of it; and the box."""
    rng = np.random.default_rng(seed)
    voxels = rng.normal(100, 2, (3, *SHAPE))
    cell = (slice(None), slice(8, 44), slice(8, 50))
    dye = np.zeros(SHAPE)
    dye[cell] = 300
    box = np.zeros(SHAPE, bool)
    y, x = rng.integers(10, 30, 2)
    box[2:4, y : y + 10, x : x + 12] = True
    dye[box] += 200
    voxels += np.stack([dye, dye * np.where(box, 0.4, 0.8), 0.2 * dye + 400 * box])
    return voxels.astype(np.uint16), box


def save(path: Path, voxels: np.ndarray, names: tuple[str, ...]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    known: dict[str, Any] = {"voxel_size_um": VOXEL, "origin": {"voxel_size_um": "user"}}
    write_volume(path, Volume.from_array(voxels, quantity="intensity", channel_names=names, **known))
    return path


def folder(tmp_path: Path, n_stacks: int = 3) -> Path:
    for seed in range(n_stacks):
        save(tmp_path / "stacks" / f"field{seed}.ome.tif", stack(seed)[0], COLOURS)
    return tmp_path / "stacks"


def recipe(**changes: Any) -> OrganelleRecipe:
    return build_recipe({**load_recipe("nile-red-organelle", SMALL), "structure": "golgi", **changes}, OrganelleRecipe)


def test_three_files_of_one_stack_and_one_file_of_three_channels_are_the_same(tmp_path: Path) -> None:
    voxels, _ = stack(0)
    save(tmp_path / "a" / "x.ome.tif", voxels[[2, 0, 1]], ("green", "yellow", "red"))
    for colour, channel in zip(("Yellow", "red", "GREEN"), voxels, strict=True):
        save(tmp_path / "b" / f"x_{colour}.ome.tif", channel, ("",))
    for place in ("a", "b"):
        (one,) = probe_stacks(tmp_path / place)
        volume = one.open()
        assert (one.name, volume.channels) == ("x", COLOURS)
        np.testing.assert_array_equal(volume.frame(0), voxels)


def test_what_is_no_stack_with_a_probe_is_refused(tmp_path: Path) -> None:
    voxels, _ = stack(0)
    with pytest.raises(InputError, match="E-NO-DATA"):
        probe_stacks(tmp_path / "absent")
    save(tmp_path / "a" / "x_yellow.ome.tif", voxels[0], ("",))
    with pytest.raises(InputError, match=r"E-CHANNEL.*no red and no green"):
        probe_stacks(tmp_path / "a")
    save(tmp_path / "b" / "x.ome.tif", voxels[:2], COLOURS[:2])
    with pytest.raises(MetadataError, match=r"E-CHANNEL.*2 channels"):
        probe_stacks(tmp_path / "b")[0].open()
    save(tmp_path / "c" / "x.ome.tif", np.stack([voxels, voxels]), COLOURS)
    with pytest.raises(InputError, match="E-FRAMES"):
        probe_stacks(tmp_path / "c")[0].open()
    for colour, channel in zip(COLOURS, (voxels[0], voxels[1][:, :40], voxels[2]), strict=True):
        save(tmp_path / "d" / f"x_{colour}.ome.tif", channel, ("",))
    with pytest.raises(MetadataError, match="E-CHANNEL-SHAPE"):
        probe_stacks(tmp_path / "d")[0].open()


def test_the_truth_is_the_box_of_the_probe_and_is_not_made_twice(tmp_path: Path) -> None:
    voxels, box = stack(0)
    one = probe_stacks(folder(tmp_path, 1))[0]
    prepared = prepare_stack(one, recipe(), tmp_path / "out")
    mask_path = tmp_path / "out" / "data" / "field0_golgi.ome.tif"
    found = read_volume(mask_path).planes(0, 0) > 0
    assert 2 * (found & box).sum() / (found.sum() + box.sum()) > 0.95
    assert prepared.foreground_share == pytest.approx(found.mean(), abs=1e-6)
    assert (prepared.bleed_through, prepared.n_planes, prepared.n_planes_with_foreground) == (0.2, 6, 2)
    image = read_volume(tmp_path / "out" / "data" / "field0.ome.tif")
    assert (image.channels, image.voxel_size_um) == (COLOURS[:2], VOXEL)
    np.testing.assert_array_equal(image.frame(0), voxels[:2])
    assert (tmp_path / "out" / "pictures" / "field0.png").read_bytes()[:4] == b"\x89PNG"
    before = mask_path.stat().st_mtime_ns
    assert prepare_stack(one, recipe(), tmp_path / "out") == prepared
    assert mask_path.stat().st_mtime_ns == before
    again = prepare_stack(one, recipe(unmixing={"share": "fitted"}), tmp_path / "out")
    assert again.bleed_through == pytest.approx(0.2, abs=0.01)
    assert mask_path.stat().st_mtime_ns != before


def test_channels_are_laid_on_yellow_by_a_stored_registration(tmp_path: Path) -> None:
    """Red and green were recorded 3 and 5 pixels further along x; the truth lies where yellow has the box."""
    voxels, box = stack(1)
    moved = np.stack([voxels[0], np.roll(voxels[1], 3, axis=2), np.roll(voxels[2], 5, axis=2)])
    one = probe_stacks(save(tmp_path / "stacks" / "x.ome.tif", moved, COLOURS).parent)[0]
    channels = {
        name: ChannelRegistration(transform=ChannelTransform(translation_um=(0.0, 0.0, shift)))
        for name, shift in (("red", 0.3), ("green", 0.5))
    }
    content = RegistrationFile(reference="yellow", shape_zyx=SHAPE, voxel_size_um=VOXEL, channels=channels)
    save_registration(tmp_path / "registration.yaml", content)
    prepared = prepare_stack(one, recipe(registration=str(tmp_path / "registration.yaml")), tmp_path / "out")
    found = read_volume(tmp_path / "out" / "data" / "x_golgi.ome.tif").planes(0, 0) > 0
    assert 2 * (found & box).sum() / (found.sum() + box.sum()) > 0.95
    red = read_volume(tmp_path / "out" / "data" / "x.ome.tif").planes(0, 1)
    np.testing.assert_allclose(red[:, 4:-4, 4:-8], voxels[1][:, 4:-4, 4:-8], atol=1.0)
    assert prepared.registration.startswith("red: +0.000 +0.000")
    assert np.isfinite(red).all()


def test_each_threshold_is_the_one_that_is_named() -> None:
    light = np.random.default_rng(1).normal(10, 1, SHAPE).astype(np.float32)
    light[2:4, 10:20, 10:20] += 60
    for method in ("otsu", "adaptive", "top-hat"):
        numbers: dict[str, Any] = {"size_um": 1.5, "n_deviations": 6.0}
        expected = stain_foreground(light, VOXEL[1:], ForegroundMethod(method=method, **numbers))  # type: ignore[arg-type]
        found = foreground_of(light, VOXEL, recipe(foreground=method, threshold=numbers))
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(SettingsError, match="E-MODEL-NAME"):
        foreground_of(light, VOXEL, recipe(foreground="no-such-model"))
    with pytest.raises(SettingsError, match="E-MODEL-STRUCTURE"):
        foreground_of(light, VOXEL, recipe(foreground="osnet-nucleus"))


def test_the_command_makes_a_model_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As typed in docs/training.md, on small stacks and with few steps."""
    monkeypatch.chdir(tmp_path)
    folder(tmp_path)
    line = ["train", "nile-red-organelle", "--structure", "golgi", "--data", "stacks", "-o", "golgi"]
    settings = [word for text in SMALL for word in ("--set", text)]
    dry = CliRunner().invoke(app, [*line, *settings, "--dry-run"], catch_exceptions=False)
    assert "nile-red-golgi: golgi by otsu, 1 epochs" in dry.output
    assert not Path("golgi").exists()
    done = CliRunner().invoke(app, [*line, *settings], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert pd.read_csv("golgi/foreground.csv")["name"].tolist() == ["field0", "field1", "field2"]
    card = read_card(Path("golgi/model"))
    assert (card.structures, card.channels) == (("golgi",), ("intensity", "ratio"))
    run = ["run", "stacks/field0.ome.tif", "-m", "nile_red", "--model", "golgi/model", "-o", "out"]
    ran = CliRunner().invoke(app, run, catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    assert Path("out/items/field0/golgi.ome.tif").exists()


def test_the_page_names_lines_that_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FG-net of one's own images, without its steps; and the stacks with a network for the foreground."""
    monkeypatch.chdir(tmp_path)
    folder(tmp_path)
    for number in range(3):
        voxels, box = stack(number)
        save(tmp_path / "annotated" / f"plane{number}.ome.tif", voxels[2:, 2:3], ("green",))
        mask = Volume.from_array(box[2:3].astype(np.uint8), voxel_size_um=VOXEL, quantity="labels")
        write_volume(tmp_path / "annotated" / f"plane{number}_foreground.ome.tif", mask)
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    lines = [
        line.partition("#")[0].split()[1:] for line in page.splitlines() if line.startswith("tomocyte train fg-net")
    ]
    done = CliRunner().invoke(app, [*lines[1], "--dry-run"], catch_exceptions=False)
    assert "attention-unet2d: " in done.output
    stacks = [line.split()[1:] for line in page.splitlines() if "--foreground fg/model" in line]
    done = CliRunner().invoke(app, [*stacks[0], "--dry-run"], catch_exceptions=False)
    assert "golgi by fg/model" in done.output


def test_options_of_an_organelle_mean_nothing_elsewhere(tmp_path: Path) -> None:
    def problem(*words: str) -> TomocyteError:
        result = CliRunner().invoke(app, ["train", *words, "-o", str(tmp_path / "out")])
        assert isinstance(result.exception, TomocyteError), result.output
        return result.exception

    assert problem("osnet-nucleus", "--foreground", "otsu", "--dry-run").code == "E-USAGE"
    assert problem("nile-red-organelle", "--structure", "golgi").code == "E-NO-DATA"
