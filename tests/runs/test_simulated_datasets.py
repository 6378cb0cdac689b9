"""Simulated data sets on disk: the same bytes for any number of workers, truth that agrees with the labels."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tomocyte.errors import SettingsError
from tomocyte.formats import read_volume
from tomocyte.ledger import verify
from tomocyte.runs.simulate import benchmark_plan, dataset_plan, write_dataset
from tomocyte.runs.simulate.beside import real_beside_simulated

SMALL = {"preset": "T cell", "n_cells": (1, 2), "shape": (28, 72, 80), "voxel_size_um": (0.6, 0.31, 0.3)}
STRUCTURES = ("cell", "nucleus")


def contents(out: Path) -> dict[str, bytes]:
    """Every file that must not depend on how the set was made."""
    skipped = (".done.json", ".lock", "manifest.json")
    files = (path for path in sorted(out.rglob("*")) if path.is_file() and not path.name.endswith(skipped))
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "set"
    result = write_dataset(dataset_plan(SMALL, 2, seed=7), out, structures=STRUCTURES, n_workers=1)
    assert (result.n_done, result.failures) == (2, [])
    return out


def test_two_workers_make_the_same_bytes_and_again_makes_nothing(made: Path, tmp_path: Path) -> None:
    result = write_dataset(dataset_plan(SMALL, 2, seed=7), tmp_path / "set", structures=STRUCTURES, n_workers=2)
    assert result.n_done == 2
    assert contents(tmp_path / "set") == contents(made)
    again = write_dataset(dataset_plan(SMALL, 2, seed=7), made, structures=STRUCTURES)
    assert again.n_resumed == 2
    assert verify(made).is_ok


def test_another_seed_makes_another_set(made: Path) -> None:
    first, second = dataset_plan(SMALL, 2, seed=7), dataset_plan(SMALL, 2, seed=8)
    assert {plan.name for plan in first}.isdisjoint(plan.name for plan in second)


def test_labels_have_the_volumes_of_the_truth_table(made: Path) -> None:
    """Voxels counted in the label image against the continuous shapes: within the grid's own error of a few percent."""
    truth = pd.read_csv(made / "truth.csv").query("structure == 'cell' and not is_cut")
    assert len(truth)
    for row in truth.itertuples():
        labels = read_volume(made / "items" / row.item / "labels" / "cell.ome.tif")
        size = labels.require_voxel_size()
        counted = np.count_nonzero(labels.planes(0, 0) == row.label) * np.prod(size)
        assert counted == pytest.approx(row.volume_um3, rel=0.04)


def test_the_volume_says_what_it_is(made: Path) -> None:
    name = dataset_plan(SMALL, 1, seed=7)[0].name
    volume = read_volume(made / "items" / name / f"{name}.ome.tif")
    assert volume.shape == (1, 1, *SMALL["shape"])
    assert volume.voxel_size_um == pytest.approx(SMALL["voxel_size_um"])
    assert volume.quantity == "refractive_index"
    card = json.loads((made / "items" / name / "card.json").read_text(encoding="utf-8"))
    assert card["is_simulated"] is True
    assert volume.medium_ri == pytest.approx(card["medium_ri"])
    assert json.loads((made / "card.json").read_text(encoding="utf-8"))["is_simulated"] is True


def test_a_tomogram_as_tcf_reads_back_to_its_step(made: Path, tmp_path: Path) -> None:
    """A TCF stores RI in steps of 1e-4."""
    plans = dataset_plan(SMALL, 1, seed=7)
    write_dataset(plans, tmp_path / "tcf", file_format="tcf", structures=("cell",))
    name = plans[0].name
    stored = read_volume(tmp_path / "tcf" / "items" / name / f"{name}.TCF")
    exact = read_volume(made / "items" / name / f"{name}.ome.tif")
    assert stored.voxel_size_um == pytest.approx(exact.voxel_size_um)
    assert stored.medium_ri == pytest.approx(exact.medium_ri)
    np.testing.assert_allclose(stored.planes(0, 0), exact.planes(0, 0), atol=0.51e-4)


@pytest.mark.parametrize("ending", [".ome.tif", ".TCF", ".ome.zarr"])
def test_simulated_data_is_called_simulated_wherever_it_goes(made: Path, tmp_path: Path, ending: str) -> None:
    """Through another format, into the status table and the report."""
    name = dataset_plan(SMALL, 1, seed=7)[0].name
    copy, out = tmp_path / f"copy{ending}", tmp_path / "out"
    source = made / "items" / name / f"{name}.ome.tif"
    for command in (["convert", source, copy], ["run", copy, "-o", out, "-m", "odt", "--model", "classical"]):
        done = subprocess.run([sys.executable, "-m", "tomocyte", *command], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    assert read_volume(copy).is_simulated
    assert "W-SIMULATED" in pd.read_csv(out / "status.csv")["warnings"].item()
    assert "1 of 1 inputs are simulated" in (out / "report.html").read_text(encoding="utf-8")


def test_phase_images_and_their_refusal_as_tcf(tmp_path: Path) -> None:
    plans = dataset_plan(
        {**SMALL, "modality": "qpi", "shape": (60, 126, 140), "voxel_size_um": (0.3, 0.21, 0.2)}, 1, seed=2
    )
    result = write_dataset(plans, tmp_path / "qpi", structures=("cell",))
    assert result.failures == []
    volume = read_volume(tmp_path / "qpi" / "items" / plans[0].name / f"{plans[0].name}.ome.tif")
    assert volume.quantity == "dry_mass_density"
    assert volume.shape == (1, 1, 1, 126, 140)
    refused = write_dataset(plans, tmp_path / "tcf", file_format="tcf", structures=("cell",))
    assert [failure.code for failure in refused.failures] == ["E-SIM-FORMAT"]


@pytest.mark.parametrize(
    "wrong",
    [{"preset": "HeyLa"}, {"shape": (28, 72)}, {"instrument": "Hubble"}, {"sceen": {}}, {"n_cells": (0, 1)}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_cannot_be_simulated_is_said_before_anything_is_made(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="E-"):
        dataset_plan({**SMALL, **wrong}, 1, seed=1)


def test_benchmark_plans_have_unique_names_and_its_counts() -> None:
    """105 volumes for training, 24 for validation: the numbers of Choi et al. at full size."""
    plans = benchmark_plan("choi", "full", ("train", "validation"))
    assert [sum(plan.split == split for plan in plans) for split in ("train", "validation")] == [105, 24]
    assert len({plan.name for plan in plans}) == len(plans)
    shifted = benchmark_plan("choi", "small", ("shifted-test",))
    assert {"other-cell-line", "other-laboratory", "other-noise", "other-voxel-size"} <= {
        plan.domain for plan in shifted
    }


def test_the_truth_table_has_a_dictionary(made: Path) -> None:
    meanings = pd.read_csv(made / "truth.dictionary.csv", keep_default_na=False)
    assert list(meanings["column"]) == list(pd.read_csv(made / "truth.csv").columns)
    assert meanings["meaning"].str.len().min() > 0


def test_beside_draws_both_and_gives_the_real_percentiles(made: Path, tmp_path: Path) -> None:
    """A simulated volume stands for the real one here."""
    name = dataset_plan(SMALL, 1, seed=7)[0].name
    real = made / "items" / name / f"{name}.ome.tif"
    picture = tmp_path / "beside.png"
    command = [sys.executable, "-m", "tomocyte", "beside", real, "-o", picture, "-p", "T cell", "--seed", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    volume = read_volume(real)
    line = next(line for line in done.stdout.splitlines() if line.startswith("p99.9"))
    expected = np.percentile(volume.planes(0, 0).astype(np.float64) - volume.medium_ri, 99.9)
    assert float(line.split()[2]) == pytest.approx(expected, abs=1e-4)


def test_a_phase_image_has_no_fit_to_the_open_tomogram(made: Path, tmp_path: Path) -> None:
    name = dataset_plan(SMALL, 1, seed=7)[0].name
    real = read_volume(made / "items" / name / f"{name}.ome.tif")
    with pytest.raises(SettingsError, match="E-SIM-FITTED"):
        real_beside_simulated(real, tmp_path / "x.png", settings={"modality": "qpi"}, seed=1, is_open_hl60=True)


def test_command_line(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tomocyte",
        "simulate",
        "odt",
        "--preset",
        "Tcell",
        "--cells",
        "1",
        "1",
        "--seed",
        "3",
    ]
    options = ["--shape", "24", "64", "72", "--voxel-size-um", "0.6", "0.31", "0.3", "--frames", "2"]
    done = subprocess.run([*command, *options, "-o", tmp_path / "set"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "simulated" in done.stdout
    tracks = pd.read_csv(tmp_path / "set" / "tracks.csv")
    assert set(tracks["frame"]) == {0, 1}
    wrong = subprocess.run([*command, "--preset", "x", "-o", tmp_path], capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 1
    assert "E-SIM-PRESET" in wrong.stderr


@pytest.mark.parametrize(
    ("named", "code", "said"),
    [
        ("osnet", 0, "56 items"),
        ("osnet/small/validation", 0, "8 items"),
        ("osnet/tiny", 1, "osnet/small"),
        ("osnet/small/exam", 1, "shifted-test"),
    ],
)
def test_the_benchmark_by_name(tmp_path: Path, named: str, code: int, said: str) -> None:
    """Numbers of fields as the recipe lists them: 24 + 8 + 8 + 4 x 4, and 8 for validation."""
    command = [sys.executable, "-m", "tomocyte", "simulate", "odt", "--benchmark", named, "-o", tmp_path, "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
