"""Runs that say how sure they are, with a network whose answer is known voxel by voxel."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy import special
from scipy.spatial import cKDTree
from tests.unet_by_hand import MEDIUM_RI, SIZE_UM, balls_ri, save_by_hand
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.confidence.out_of_distribution import fit_training_distribution
from tomocyte.confidence.settings import StructureCalibration, UncertaintySettings
from tomocyte.confidence.voxels import predictive_entropy
from tomocyte.errors import SettingsError
from tomocyte.formats import read_volume, write_volume
from tomocyte.ledger.result import RunResult
from tomocyte.models.settings import InferenceSettings
from tomocyte.pipeline import analyse, process_item
from tomocyte.pipeline.columns import object_columns
from tomocyte.pipeline.settings import RunSettings
from tomocyte.tables import Column, data_dictionary, find_columns
from tomocyte.volume import Volume

CENTRES = ((0.0, -2.3, -2.6), (0.0, 2.5, 2.7))
LEVELS, GAINS = (0.5, 1.5), (8.0, 6.0)
COLUMNS = [
    "confidence", "volume_um3_low", "volume_um3_high", "mean_ri_low", "mean_ri_high", "concentration_mg_per_ml_low",
    "concentration_mg_per_ml_high", "dry_mass_pg_low", "dry_mass_pg_high",
]  # fmt: skip
CALIBRATION = {
    "cell": StructureCalibration(slope=0.7, bias=0.2, volume=(-1.0, 1.5), dry_mass=(-0.5, 0.5), n_objects=40),
    "nucleus": StructureCalibration(slope=1.1, bias=-0.3),
}


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    monkeypatch.setenv("TOMOCYTE_MODELS", str(tmp_path / "library"))

    def make(name: str = "by-hand", levels: tuple[float, ...] = LEVELS, **changes: Any) -> Path:
        fields = {"calibration": CALIBRATION, **changes}
        return save_by_hand(tmp_path / "library" / name, levels, GAINS[: len(levels)], **fields)

    return make


def volume(image: np.ndarray | None = None, **properties: Any) -> Volume:
    known = {"voxel_size_um": SIZE_UM, "quantity": "refractive_index", "unit": "1", "medium_ri": MEDIUM_RI}
    return Volume.from_array(balls_ri(*CENTRES) if image is None else image, **{**known, **properties})


def settings(model: str = "by-hand", **changes: Any) -> RunSettings:
    fields = {"cells": "as-found", "inference": InferenceSettings(engine="torch", precision="fp32"), **changes}
    return RunSettings(modality="odt", model=model, **fields)


def value() -> np.ndarray:
    return (balls_ri(*CENTRES).astype(np.float64) - MEDIUM_RI) / 0.02


def said(output: int) -> np.ndarray:
    """What the network says of every voxel, in 8 bits."""
    return np.rint(255 * special.expit(GAINS[output] * (value() - LEVELS[output]))) / 255


def test_columns_follow_from_the_probabilities(save: Callable[..., Path]) -> None:
    save()
    found = analyse(volume(), settings())
    cells = found.table.query("structure == 'cell'")
    assert len(cells) == 2
    labels = np.concatenate(list(found.labels["cell"].frame(0)))
    p = said(0)
    p = np.where(p > 0, special.expit(0.7 * special.logit(np.clip(p, 1e-9, 1 - 1e-9)) + 0.2), 0)
    p[said(0) == 1] = 1
    for row in cells.itertuples():
        inside = labels == row.label
        # Half the equivalent radius, at most 1 µm; distances between voxel centres.
        points = np.argwhere(inside) * SIZE_UM
        box = np.argwhere(labels == 0)
        distance, _ = cKDTree(points).query(box * SIZE_UM, distance_upper_bound=1.0001)
        near = box[np.isfinite(distance)]
        around = p[tuple(near.T)].sum()
        assert row.confidence == pytest.approx(p[inside].sum() / (inside.sum() + around), abs=1e-3)
        n = inside.sum()
        expected = math.log((p[inside].sum() + around) / n)
        doubt = (n - p[inside].sum() + around) / n
        assert row.volume_um3_low == pytest.approx(row.volume_um3 * math.exp(expected - doubt), rel=1e-3)
        assert row.volume_um3_high == pytest.approx(row.volume_um3 * math.exp(expected + 1.5 * doubt), rel=1e-3)
        assert row.dry_mass_pg_low < row.dry_mass_pg_high
    nuclei = found.table.query("structure == 'nucleus'")
    assert len(nuclei) == 2
    assert nuclei["confidence"].between(0.5, 1).all()
    assert nuclei[COLUMNS[1:]].isna().all(axis=None)  # calibrated on no objects


def test_masks_do_not_depend_on_calibration(save: Callable[..., Path]) -> None:
    save()
    save("plain", calibration={})
    found, plain = analyse(volume(), settings()), analyse(volume(), settings("plain"))
    for structure in ("cell", "nucleus"):
        for ours, theirs in zip(found.labels[structure].frame(0), plain.labels[structure].frame(0), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert not set(COLUMNS) & set(plain.table.columns)
    assert set(COLUMNS) <= set(found.table.columns)


def test_an_uncalibrated_model_says_so_when_asked(save: Callable[..., Path]) -> None:
    save(calibration={})
    found = analyse(volume(), settings(uncertainty=UncertaintySettings(method="single")))
    assert found.table.query("structure == 'cell'")["confidence"].between(0.5, 1).all()
    assert found.table["volume_um3_low"].isna().all()
    assert any(warning.startswith("W-MODEL-UNCALIBRATED") for warning in found.warnings)


def test_none_says_nothing(save: Callable[..., Path]) -> None:
    save()
    found = analyse(volume(), settings(uncertainty=UncertaintySettings(method="none")))
    assert not set(COLUMNS) & set(found.table.columns)


def test_flips_of_a_network_that_looks_at_single_voxels_change_nothing(save: Callable[..., Path]) -> None:
    save()
    single = analyse(volume(), settings())
    flipped = analyse(volume(), settings(uncertainty=UncertaintySettings(method="flips")))
    pd.testing.assert_frame_equal(flipped.table.drop(columns="disagreement"), single.table)
    known = flipped.table["structure"].isin(["cell", "nucleus"])
    assert flipped.table[known]["disagreement"].to_numpy() == pytest.approx(0)


def test_an_ensemble_is_the_mean_of_its_models(save: Callable[..., Path]) -> None:
    """Two models that cut at v = 0.4 and 0.6: together the mask of the mean probability."""
    save(levels=(0.4, 1.5))
    save("other", levels=(0.6, 1.5))
    together = analyse(volume(), settings(uncertainty=UncertaintySettings(method="ensemble", models=("other",))))
    mean = (special.expit(8 * (value() - 0.4)) + special.expit(8 * (value() - 0.6))) / 2
    labels = np.concatenate(list(together.labels["cell"].frame(0)))
    assert np.mean((labels > 0) != (mean > 0.5)) < 0.002
    cells, nuclei = (together.table.query(f"structure == '{name}'") for name in ("cell", "nucleus"))
    assert (cells["disagreement"] > 0.02).all()
    assert nuclei["disagreement"].to_numpy() == pytest.approx(0, abs=1e-3)


def test_ensembles_need_models_that_fit_together(save: Callable[..., Path]) -> None:
    save()
    save("one", levels=(0.5,), calibration={})
    for names in (("one",), ("classical",)):
        with pytest.raises(SettingsError, match="E-UNCERTAINTY"):
            analyse(volume(), settings(uncertainty=UncertaintySettings(method="ensemble", models=names)))


def test_what_makes_no_sense_is_refused() -> None:
    for wrong in ({"method": "ensemble"}, {"models": ("a",)}, {"method": "none", "is_map_written": True}):
        with pytest.raises(ValidationError):
            UncertaintySettings(**wrong)
    with pytest.raises(SettingsError, match="E-UNCERTAINTY"):
        analyse(
            volume(), RunSettings(modality="odt", model="classical", uncertainty=UncertaintySettings(method="single"))
        )


def test_maps_hold_the_entropy_and_say_so(save: Callable[..., Path], tmp_path: Path) -> None:
    save(calibration={})
    path, folder = tmp_path / "two cells.ome.tif", tmp_path / "staged"
    write_volume(path, volume())
    folder.mkdir()
    chosen = settings(uncertainty=UncertaintySettings(is_map_written=True))
    task = {"path": str(path), "staged": str(folder), "settings": chosen.model_dump(mode="json"), "item": "two cells"}
    process_item(task, lambda _: None)
    written = read_volume(folder / "cell_uncertainty.ome.tif")
    assert (written.quantity, written.unit, written.dtype) == ("predictive_entropy", "bit/255", np.uint8)
    assert written.voxel_size_um == pytest.approx(SIZE_UM)
    found = np.concatenate(list(written.frame(0)))
    np.testing.assert_allclose(found, 255 * predictive_entropy(said(0)), atol=1)
    assert (folder / "nucleus_uncertainty.ome.tif").exists()
    table = pd.read_parquet(folder / "objects.parquet")
    own = (Column(**entry) for entry in json.loads((folder / "facts.json").read_text())["columns"])
    dictionary = data_dictionary(find_columns(table.columns, (*object_columns(), *own))).set_index("column")
    assert "overlap" in dictionary.loc["confidence", "meaning"].lower()
    assert dictionary.loc["dry_mass_pg_low", "unit"] == "pg"


def test_unusual_images_are_named(save: Callable[..., Path]) -> None:
    """Six times the noise that the model was trained on."""
    from tomocyte.models.prediction import ModelInput
    from tomocyte.models.resemblance import describe_frame
    from tomocyte.pipeline.analysis import segment_frame

    rng = np.random.default_rng(3)

    def noisy(sd: float) -> Volume:
        return volume((balls_ri(*CENTRES) + sd * rng.normal(size=balls_ri().shape)).astype(np.float32))

    save()
    figures = []
    for _ in range(25):
        plan, state = segment_frame(noisy(2e-4 * rng.uniform(0.9, 1.1)), settings())
        assert plan.card is not None
        assert state.prediction is not None
        frame = ModelInput(state.frame.image, state.frame.voxel_size_um, state.frame.medium_ri)
        figures.append(describe_frame(plan.card, frame, state.prediction))
    save("aware", domain=fit_training_distribution([one for one in figures if one is not None]))
    usual, odd = (analyse(noisy(sd), settings("aware")) for sd in (2e-4, 1.2e-3))
    assert not any("W-MODEL-DOMAIN" in warning for warning in usual.warnings)
    (warning,) = (warning for warning in odd.warnings if "W-MODEL-DOMAIN" in warning)
    # White noise is as uneven as it is noisy; its level is drawn within 10 %.
    assert re.search(r"background (5\.[4-9]|6\.\d) times what the model has seen", warning)
    assert json.dumps(odd.facts)
    assert odd.facts["domain"][0]["distance"] > odd.facts["domain"][0]["limit"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], {"method": "auto"}),
        (["--uncertainty", "flips"], {"method": "flips"}),
        (["--uncertainty", "other, third"], {"method": "ensemble", "models": ("other", "third")}),
        (["--uncertainty", "single", "--uncertainty-map"], {"method": "single", "is_map_written": True}),
        (
            ["--uncertainty-map", "--set", "uncertainty.method=flips"],
            {"method": "flips", "is_map_written": True},
        ),
    ],
)
def test_flags_become_settings(
    save: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: list[str],
    expected: dict[str, Any],
) -> None:
    save()
    (tmp_path / "a.ome.tif").write_bytes(b"")
    seen: list[RunSettings] = []

    def run_inputs(paths: list[Path], chosen: RunSettings, output: Path, **how: Any) -> RunResult:
        seen.append(chosen)
        return RunResult(n_done=1)

    monkeypatch.setattr("tomocyte.runs.run.run_inputs", run_inputs)
    command = ["run", str(tmp_path / "a.ome.tif"), "-o", str(tmp_path / "out"), "-m", "odt", "--model", "by-hand"]
    done = CliRunner().invoke(app, [*command, *given])
    assert done.exit_code == 0, done.output
    assert seen[0].uncertainty == UncertaintySettings(**expected)


def test_runs_without_a_model_keep_their_columns() -> None:
    assert not set(COLUMNS) & set(analyse(volume(), RunSettings(modality="odt")).table.columns)
