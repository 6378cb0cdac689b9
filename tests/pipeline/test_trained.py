"""Trained models in the pipeline, with a network whose answer is known: it thresholds the normalised image."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.conftest import BALL_SIZE_UM, MEDIUM_RI, ball_ri
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.errors import ModalityError, SettingsError
from tomocyte.ledger import Ledger
from tomocyte.models import ModelCard, NetworkChoice, save_package
from tomocyte.models.settings import InferenceSettings
from tomocyte.networks import build_network
from tomocyte.networks.engine import describe_engine
from tomocyte.pipeline import analyse, preview
from tomocyte.pipeline.settings import RunSettings
from tomocyte.runs.run import run_inputs
from tomocyte.segmentation.prediction.normalization import NormalizationSettings
from tomocyte.segmentation.settings import InstanceSettings
from tomocyte.volume import Volume

CENTRES_UM = ((0.0, -3.5, -3.8), (0.0, 2.0, 3.4))
EXACT = InferenceSettings(engine="torch", precision="fp32")


def threshold_network(levels: tuple[float, ...]) -> torch.nn.Module:
    """An OS-Net whose k-th output is sigmoid(40 (v - level_k)) of the voxel's own value v > -1, by hand-set weights.

    First level: relu(v) and relu(v + 1); everything deeper is 0; the last level passes both on.
    """
    network = build_network("osnet", {"width": 2, "n_outputs": len(levels)}).eval()
    with torch.no_grad():
        for name, weights in network.state_dict().items():
            weights.fill_(1.0 if name.endswith("running_var") else 0.0)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.fill_(math.sqrt(1 + module.eps))
        first = network.downs[0].block
        first[0][0].weight[:, 0, 1, 1] = 1.0
        first[0][1].bias[1] = 1.0
        last = network.ups[3].block
        for convolution in (first[1][0], last[0][0], last[1][0]):
            for channel in range(2):
                convolution.weight[channel, channel, 1, 1] = 1.0
        network.head.weight[:, 1, 0, 0] = 40.0
        for output, level in enumerate(levels):
            network.head.bias[output] = -40.0 * (level + 1)
    return network


@pytest.fixture
def make_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Save a package of a threshold network into the user's library; RI 1.357 is 0 and 1.377 is 1."""
    monkeypatch.setenv("TOMOCYTE_MODELS", str(tmp_path / "library"))

    def save(name: str = "bright-nucleus", levels: tuple[float, ...] = (0.5,), **changes: Any) -> Path:
        fields: dict[str, Any] = {
            "name": name,
            "modality": "odt",
            "quantity": "refractive_index",
            "channels": ("refractive_index",),
            "dimensions": 2,
            "structures": ("nucleus",),
            "network": NetworkChoice(name="osnet", options={"width": 2, "n_outputs": len(levels)}),
            "normalization": NormalizationSettings(offset=1.357, scale=0.02),
            "voxel_size_um": (None, 0.4, 0.3),
            "value_range": (1.32, 1.40),
            "section_axis": "z",
            "tile_shape": (32, 48),
            **changes,
        }
        folder = tmp_path / "library" / name
        image = np.random.default_rng(1).normal(size=(1, 32, 48)).astype(np.float32)
        save_package(folder, threshold_network(levels).state_dict(), ModelCard(**fields), image, is_overwriting=True)
        return folder

    return save


def nucleated(*centres_um: tuple[float, float, float]) -> np.ndarray:
    """Balls of 4 µm and RI 1.357, each with a bright ball of 2 µm and RI 1.377 in its middle, edges anti-aliased."""
    image = ball_ri(centres_um=centres_um)
    grid = [(np.arange(n) - (n - 1) / 2) * size for n, size in zip(image.shape, BALL_SIZE_UM, strict=True)]
    z, y, x = np.meshgrid(*grid, indexing="ij")
    for centre in centres_um:
        depth = 2.0 - np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2)
        image += (0.02 * np.clip(0.5 + depth / 0.4, 0, 1)).astype(np.float32)
    return image


def odt_volume(*frames: np.ndarray, **properties: Any) -> Volume:
    known = {"voxel_size_um": BALL_SIZE_UM, "quantity": "refractive_index", "unit": "1", "medium_ri": MEDIUM_RI}
    return Volume.from_array(np.stack(frames)[:, None], **{**known, **properties})


def run_settings(model: str, **changes: Any) -> RunSettings:
    return RunSettings(**{"modality": "odt", "model": model, "inference": EXACT, **changes})


def test_the_network_is_the_threshold_it_is_meant_to_be() -> None:
    values = np.linspace(-0.9, 2, 64, dtype=np.float32).reshape(1, 1, 4, 16).repeat(4, axis=2)
    network = threshold_network((0.5, -0.5))
    with torch.no_grad():
        found = torch.sigmoid(network(torch.from_numpy(values))).numpy()
    for output, level in enumerate((0.5, -0.5)):
        np.testing.assert_allclose(found[0, output], 1 / (1 + np.exp(-40.0 * (values[0, 0] - level))), atol=1e-5)


def test_model_gives_nuclei_and_the_engine_the_cells(make_model: Callable[..., Path]) -> None:
    """Nuclei are balls of 2 µm, 33.5 µm³; cells are what they are without the model; each nucleus lies in its cell."""
    make_model(is_trained_on_simulated=True, limits="Only bright nuclei.")
    volume = odt_volume(nucleated(*CENTRES_UM), nucleated(CENTRES_UM[0]))
    found = analyse(volume, run_settings("bright-nucleus"))
    plain = analyse(volume, RunSettings(modality="odt", model="classical"))
    nuclei = found.table.query("structure == 'nucleus'")
    assert list(nuclei["frame"]) == [0, 0, 1]
    np.testing.assert_allclose(nuclei["volume_um3"], 4 / 3 * math.pi * 8, rtol=0.03)
    assert list(nuclei["cell_id"]) == [1, 2, 1]
    np.testing.assert_allclose(nuclei["mean_ri"], 1.3757, atol=0.001)
    for frame in range(2):
        for ours, theirs in zip(found.labels["cell"].frame(frame), plain.labels["cell"].frame(frame), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert found.facts["model"] == "bright-nucleus"
    facts = found.facts["trained_model"]
    assert (facts["name"], facts["version"], facts["engine"], facts["precision"]) == (
        "bright-nucleus", "0.1.0", "torch", "fp32",
    )  # fmt: skip
    assert len(facts["weights_sha256"]) == len(facts["card_sha256"]) == 64
    assert sum(warning.startswith("W-MODEL-SIMULATED") for warning in found.warnings) == 1
    assert plain.facts["model"] == "classical"
    assert "trained_model" not in plain.facts


def test_model_gives_cells_and_the_engine_looks_into_them(make_model: Callable[..., Path]) -> None:
    """Cell above RI 1.347 (its half-maximum, 268.1 µm³), core above 1.367: two cores part cells that touch."""
    make_model("cells", (-0.5, 0.5), structures=("cell", "cell_core"))
    touching = nucleated((0.0, -2.6, -2.6), (0.0, 2.6, 2.6))
    found = analyse(odt_volume(touching), run_settings("cells"))
    cells = found.table.query("structure == 'cell'")
    assert len(cells) == 2
    np.testing.assert_allclose(cells["volume_um3"], 4 / 3 * math.pi * 64, rtol=0.03)
    assert "nucleus" in found.labels  # by the classical engine, inside the model's cells
    assert "cell_core" not in found.labels


def test_section_axes_votes_and_other_voxel_sizes_find_the_same_nuclei(make_model: Callable[..., Path]) -> None:
    make_model()
    make_model("fine", voxel_size_um=(None, 0.22, 0.15))
    volume = odt_volume(nucleated(*CENTRES_UM))
    for name, changes in (
        ("bright-nucleus", {"section_axes": ("z", "y", "x"), "vote": "majority"}),
        ("bright-nucleus", {"tile_shape": (16, 16), "batch_size": 5, "weight": "spline", "overlap": 0.5}),
        ("bright-nucleus", {"test_time_flips": True}),
        ("fine", {}),
    ):
        settings = run_settings(name, inference=EXACT.model_copy(update=changes))
        nuclei = analyse(volume, settings).table.query("structure == 'nucleus'")
        np.testing.assert_allclose(nuclei["volume_um3"], 4 / 3 * math.pi * 8, rtol=0.06)
        assert len(nuclei) == 2


def test_a_single_plane(make_model: Callable[..., Path]) -> None:
    make_model()
    plane = nucleated(*CENTRES_UM)[12:13]
    volume = odt_volume(plane, voxel_size_um=(math.nan, *BALL_SIZE_UM[1:]))
    nuclei = analyse(volume, run_settings("bright-nucleus")).table.query("structure == 'nucleus'")
    np.testing.assert_allclose(nuclei["area_um2"], math.pi * (4 - 0.25**2), rtol=0.05)


def test_masked_voxels_belong_to_nothing(make_model: Callable[..., Path]) -> None:
    make_model("all", (-5.0,))  # everything is nucleus
    image = nucleated(*CENTRES_UM)
    image[:, :, 30:] = np.nan
    everything = InstanceSettings(min_volume_um3=0)
    settings = run_settings(
        "all", nan="mask", inference=EXACT.model_copy(update={"instances": {"nucleus": everything}})
    )
    found = analyse(odt_volume(image, np.full_like(image, np.nan)), settings)
    labels = found.labels["nucleus"]
    assert (labels.planes(0, 0)[:, :, :30] == 1).all()
    assert (labels.planes(0, 0)[:, :, 30:] == 0).all()
    assert labels.planes(1, 0).max() == 0


def test_medium_of_the_normalisation(make_model: Callable[..., Path]) -> None:
    """RI 1.337 becomes 0 and a nucleus of 1.377 becomes 2: a level of 1.5 finds it only where the medium is known."""
    medium = NormalizationSettings(kind="medium", offset=1.36, scale=0.02)
    make_model("medium", (1.5,), normalization=medium)
    image = nucleated(*CENTRES_UM)
    for volume, settings in (
        (odt_volume(image), run_settings("medium")),
        (odt_volume(image, medium_ri=None), run_settings("medium", medium_ri="background")),
    ):
        found = analyse(volume, settings)
        assert (found.table["structure"] == "nucleus").sum() == 2
        assert not any(warning.startswith("W-MODEL-MEDIUM") for warning in found.warnings)
    unknown = analyse(odt_volume(image, medium_ri=None), run_settings("medium"))
    assert (unknown.table["structure"] == "nucleus").sum() == 0
    assert sum(warning.startswith("W-MODEL-MEDIUM") for warning in unknown.warnings) == 1


def test_what_does_not_fit_is_refused_or_recorded(make_model: Callable[..., Path]) -> None:
    make_model("coarse", voxel_size_um=(None, 1.6, 1.2))
    volume = odt_volume(nucleated(*CENTRES_UM))
    with pytest.raises(ModalityError, match="E-MODEL-FIT-VOXEL-SIZE"):
        analyse(volume, run_settings("coarse"))
    forced = analyse(volume, run_settings("coarse", is_forced=True))
    assert any(warning.startswith("W-MODEL-FIT-VOXEL-SIZE: coarse") for warning in forced.warnings)
    make_model("narrow", value_range=(1.33, 1.36))
    with pytest.raises(ModalityError, match="E-MODEL-FIT-VALUES"):
        analyse(odt_volume(ball_ri(), nucleated(*CENTRES_UM)), run_settings("narrow"))
    assert analyse(odt_volume(ball_ri()), run_settings("narrow")).facts["model"] == "narrow"


def test_settings_that_cannot_work_are_refused(make_model: Callable[..., Path]) -> None:
    make_model()
    volume = odt_volume(nucleated(*CENTRES_UM))
    with pytest.raises(SettingsError, match=r"Known: .*bright-nucleus.*classical"):
        analyse(volume, run_settings("no-such-model"))
    with pytest.raises(SettingsError, match=r"tiles with 2 sizes"):
        analyse(volume, run_settings("bright-nucleus", inference=InferenceSettings(tile_shape=(16, 16, 16))))
    with pytest.raises(SettingsError, match="E-TILE"):
        analyse(volume, run_settings("bright-nucleus", inference=InferenceSettings(tile_shape=(20, 20))))
    with pytest.raises(ValidationError, match="needs a trained"):
        RunSettings(modality="odt", model="classical", inference=EXACT)


def test_a_model_is_loaded_once_per_process(make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from tomocyte.models import package

    make_model("once")
    loads = []
    load = package.load_package
    monkeypatch.setattr("tomocyte.models.load_package", lambda path: loads.append(path) or load(path), raising=False)
    volume = odt_volume(nucleated(*CENTRES_UM), nucleated(CENTRES_UM[0]))
    analyse(volume, run_settings("once"))
    analyse(volume, run_settings("once"))
    assert len(loads) == 1
    make_model("once", (0.6,))  # replaced meanwhile: another card
    analyse(volume, run_settings("once"))
    assert len(loads) == 2


def test_progress_of_tiles(make_model: Callable[..., Path]) -> None:
    make_model()
    steps: list[str] = []
    settings = run_settings("bright-nucleus", inference=EXACT.model_copy(update={"tile_shape": (32, 32)}))
    analyse(odt_volume(nucleated(*CENTRES_UM)), settings, callback=lambda event: steps.append(event.step))
    told = [step for step in steps if step.startswith("predict: bright-nucleus ")]
    # 24 sections of 36 x 52 pixels: starts 0, 16 and 0, 16, 32 (steps of 0.75 · 32 rounded down to 16)
    assert told[-1] == f"predict: bright-nucleus {24 * 2 * 3}/{24 * 2 * 3}"


def test_record_resume_and_report(
    make_model: Callable[..., Path], ball_file: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_model(is_trained_on_simulated=True, limits="Only bright nuclei.")
    path, output = ball_file(), tmp_path / "out"
    settings = run_settings(str(folder))
    first = run_inputs([path], settings, output)
    assert (first.n_done, first.n_resumed, first.failures) == (1, 0, [])
    with Ledger(output) as ledger:
        (record,) = ledger.records()
    assert record.model_sha256 == record.facts["trained_model"]["card_sha256"]
    run = json.loads((output / "run.json").read_text())
    assert run["model_sha256"] == record.model_sha256
    assert run["model"]["name"] == "bright-nucleus"
    report = (output / "report.html").read_text()
    assert "trained on simulated data" in report
    assert "Only bright nuclei." in report
    elsewhere = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    assert run_inputs([path], run_settings(str(elsewhere)), output).n_resumed == 1
    make_model(levels=(0.6,))
    assert run_inputs([path], settings, output).n_resumed == 0
    assert run_inputs([path], settings, output).n_resumed == 1
    with pytest.raises(SettingsError, match="E-MODEL-NAME"):
        run_inputs([path], run_settings("no-such-model"), output)


def test_forecast_and_dry_run(make_model: Callable[..., Path], ball_file: Callable[..., Path]) -> None:
    make_model()
    make_model("coarse", voxel_size_um=(None, 1.6, 1.2))
    path = ball_file()
    plain, with_model = (
        preview(path, settings)
        for settings in (RunSettings(modality="odt", model="classical"), run_settings("bright-nucleus"))
    )
    assert with_model["peak_bytes"] > plain["peak_bytes"] + 200e6
    assert with_model["seconds"] > plain["seconds"]
    runner = CliRunner()
    base = ["run", str(path), "-o", "never", "-m", "odt", "--dry-run"]
    shown = runner.invoke(app, [*base, "--model", "bright-nucleus"])
    assert shown.exit_code == 0
    assert "\n  stages     model > " in shown.output
    assert "\n  model      bright-nucleus " in shown.output
    engine = describe_engine()
    assert f"; engine {engine['engine']}, precision {engine['precision']}, device cpu\n" in shown.output
    assert "auto" not in shown.output.partition("model      ")[2].partition("\n")[0]
    assert "\n  cells      as the model finds them\n" in shown.output
    refused = runner.invoke(app, [*base, "--model", "coarse"])
    assert refused.exit_code != 0
    assert "E-MODEL-FIT-VOXEL-SIZE" in refused.output


def test_bf16_that_moves_the_self_test_is_given_up(
    make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a machine with bf16 would do with a network that bf16 changes."""
    from tomocyte.networks import engine

    make_model("sensitive")
    monkeypatch.setattr(engine.predictor, "has_bf16", lambda device: True)
    monkeypatch.setattr(engine, "bf16_problem", lambda *given: "bf16 moves a probability of the self-test by 0.4")
    settings = run_settings("sensitive", inference=InferenceSettings(engine="torch"))
    found = analyse(odt_volume(nucleated(*CENTRES_UM)), settings)
    assert found.facts["trained_model"]["precision"] == "fp32"
    assert sum(warning.startswith("W-MODEL-FP32: sensitive") for warning in found.warnings) == 1
