"""``tomocyte evaluate`` as its user sees it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import typer
from click.testing import Result
from tests.evaluation.shapes import ball
from typer.testing import CliRunner

from tomocyte.cli.evaluate import evaluate
from tomocyte.errors import TomocyteError
from tomocyte.formats import write_volume
from tomocyte.volume import Volume

VOXEL = (0.4, 0.2, 0.1)
SHAPE = (12, 25, 60)
APP = typer.Typer()
APP.command()(evaluate)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(APP, [str(argument) for argument in arguments])


def code_of(*arguments: object) -> str:
    """The code of the error the command line would print."""
    result = run(*arguments)
    assert isinstance(result.exception, TomocyteError), result.output
    assert result.exception.cure
    return result.exception.code


def save(path: Path, voxels: np.ndarray, **properties: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {"voxel_size_um": VOXEL, **properties}
    write_volume(path, Volume.from_array(voxels, **known))
    return path


def truth_and_shifted(shift: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Two balls, one shifted along x."""
    truth = np.zeros(SHAPE, np.uint16)
    truth[ball((2.2, 2.2, 1.6), 1.1, shape=SHAPE, voxel_size_um=VOXEL)] = 1
    truth[ball((2.2, 2.2, 4.2), 1.1, shape=SHAPE, voxel_size_um=VOXEL)] = 2
    return truth, np.roll(truth, shift, axis=2)


def test_two_files(tmp_path: Path) -> None:
    truth, prediction = truth_and_shifted()
    one = save(tmp_path / "prediction.ome.tif", prediction)
    other = save(tmp_path / "truth.ome.tif", truth)
    out = tmp_path / "out"
    arguments = (
        one,
        other,
        "-o",
        out,
        "--structure",
        "cell",
        "--instances",
        "--min-iou",
        "0.5",
        "--tolerance-um",
        "0.2",
    )
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    table = pd.read_csv(out / "scores.csv", keep_default_na=False, na_values=[""])
    image = table[table["level"] == "image"].iloc[0]
    common = np.count_nonzero((truth > 0) & (prediction > 0))
    assert image["dice"] == pytest.approx(2 * common / (2 * np.count_nonzero(truth)))
    assert image["hausdorff_um"] == pytest.approx(2 * VOXEL[2])
    assert image["surface_dice"] == 1
    assert (image["item"], image["structure"]) == ("truth", "cell")
    assert image["instance_f1_iou50"] == 1
    assert f"{image['dice']:.4f}" in done.output
    parquet = pd.read_parquet(out / "scores.parquet")
    pd.testing.assert_series_equal(parquet["dice"], table["dice"], check_exact=True)
    objects = pd.read_csv(out / "objects.csv")
    assert objects["label"].tolist() == [1, 2]
    expected = np.count_nonzero(truth == 2) * math.prod(VOXEL)
    assert objects["truth_volume_um3"].iloc[1] == pytest.approx(expected)
    intervals = pd.read_csv(out / "intervals.csv")
    assert set(intervals["reason"]) == {"an interval needs two groups", "no image has a value"} & set(
        intervals["reason"]
    )
    meanings = pd.read_csv(out / "scores.dictionary.csv", keep_default_na=False)
    assert {*table.columns, *objects.columns, *intervals.columns} == set(meanings["column"])
    about = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    assert about["settings"]["tolerance_um"] == 0.2
    assert len(about["pairs"][0]["truth_sha256"]) == 64
    assert not list(out.glob("*.part*"))
    assert "simulated" not in done.output
    before = (out / "scores.csv").read_bytes()
    assert run(*arguments).exit_code == 0
    assert (out / "scores.csv").read_bytes() == before


def test_probabilities_have_curves_and_a_threshold(tmp_path: Path) -> None:
    truth, _ = truth_and_shifted()
    rng = np.random.default_rng(2)
    probability = np.clip(0.4 * (truth > 0) + 0.6 * rng.random(SHAPE), 0, 1).astype(np.float32)
    one = save(tmp_path / "p.ome.tif", probability)
    other = save(tmp_path / "t.ome.tif", truth)
    done = run(one, other, "-o", tmp_path / "out", "--threshold", "0.7")
    assert done.exit_code == 0, done.output
    image = pd.read_csv(tmp_path / "out" / "scores.csv").iloc[0]
    both = np.count_nonzero((probability >= 0.7) & (truth > 0))
    assert image["recall"] == pytest.approx(both / np.count_nonzero(truth))
    assert image["brier"] == pytest.approx(np.mean((probability.astype(float) - (truth > 0)) ** 2))
    assert 0 < image["auc_pr"] < 1
    assert code_of(one, other, "--instances") == "E-LABELS-TYPE"
    assert code_of(other, other, "--threshold", "0.7") == "E-USAGE"
    assert code_of(one, other, "--min-iou", "0.5") == "E-USAGE"


def test_folders_are_matched_by_name(tmp_path: Path) -> None:
    truth, prediction = truth_and_shifted()
    for name in ("a", "b", "c", "lonely"):
        save(tmp_path / "truth" / f"{name}.ome.tif", truth)
    save(tmp_path / "prediction" / "a.ome.tif", truth)
    save(tmp_path / "prediction" / "b.nrrd", prediction)
    save(tmp_path / "prediction" / "c.ome.tif", prediction[:5])
    save(tmp_path / "prediction" / "stranger.ome.tif", prediction)
    done = run(tmp_path / "prediction", tmp_path / "truth", "-o", tmp_path / "out")
    assert done.exit_code == 3
    assert "no truth for 1, left out: stranger" in done.output
    assert "no prediction for 1, left out: lonely" in done.output
    assert "failed: c: E-SHAPE" in done.output
    table = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert table.loc[table["level"] == "image", "item"].tolist() == ["a", "b"]
    about = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert [failure["code"] for failure in about["failures"]] == ["E-SHAPE"]
    assert (about["without_truth"], about["without_prediction"]) == (["stranger"], ["lonely"])
    save(tmp_path / "prediction" / "a.nrrd", truth)
    assert code_of(tmp_path / "prediction", tmp_path / "truth") == "E-PAIR"


def test_all_failed(tmp_path: Path) -> None:
    truth, _ = truth_and_shifted()
    for name in ("a", "b"):
        save(tmp_path / "truth" / f"{name}.ome.tif", truth)
        save(tmp_path / "prediction" / f"{name}.ome.tif", truth[:5])
    assert run(tmp_path / "prediction", tmp_path / "truth").exit_code == 4


def test_result_folders_are_matched_by_item(tmp_path: Path) -> None:
    truth, prediction = truth_and_shifted()
    for item in ("one", "two"):
        save(tmp_path / "run" / "items" / item / "nucleus.ome.tif", prediction)
        save(tmp_path / "run" / "items" / item / "cell.ome.tif", 0 * prediction)
        save(tmp_path / "set" / "items" / item / f"{item}.ome.tif", truth.astype(np.float32) + 1.337)
        save(
            tmp_path / "set" / "items" / item / "labels" / "nucleus.ome.tif",
            truth,
            origin={"voxel_size_um": "simulated"},
        )
    done = run(tmp_path / "run", tmp_path / "set", "--structure", "nucleus", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "nucleus: 2 images of 2 files, 2 of them simulated" in done.output
    table = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert table["is_simulated"].all()
    assert table["item"].tolist()[:2] == ["one", "two"]
    assert 0 < table["dice"].iloc[0] < 1
    assert code_of(tmp_path / "run", tmp_path / "set") == "E-STRUCTURE"
    assert code_of(tmp_path / "run", tmp_path / "set", "-s", "golgi") == "E-STRUCTURE"


def test_time_series_frame_by_frame(tmp_path: Path) -> None:
    frames = np.stack([truth_and_shifted(0)[1], truth_and_shifted(3)[1], truth_and_shifted(6)[1]])[:, np.newaxis]
    still = np.repeat(frames[:1], 3, axis=0)
    one, other = save(tmp_path / "p.ome.tif", frames), save(tmp_path / "t.ome.tif", still)
    assert run(one, other, "-o", tmp_path / "out").exit_code == 0
    table = pd.read_csv(tmp_path / "out" / "scores.csv")
    images = table[table["level"] == "image"]
    assert images["frame"].tolist() == [0, 1, 2]
    assert images["hausdorff_um"].tolist() == pytest.approx([0, 0.3, 0.6])
    assert images["group"].nunique() == 1


def test_without_a_voxel_size_there_are_no_distances(tmp_path: Path) -> None:
    truth, prediction = truth_and_shifted()
    np_options = {"voxel_size_um": None}
    one, other = (
        save(tmp_path / "p.ome.tif", prediction, **np_options),
        save(tmp_path / "t.ome.tif", truth, **np_options),
    )
    done = run(one, other, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    image = pd.read_csv(tmp_path / "out" / "scores.csv").iloc[0]
    assert math.isnan(image["hd95_um"])
    assert "no voxel size is known: hausdorff_um, hd95_um, assd_um" in image["reason"]
    assert "no voxel size is known" in done.output
    done = run(one, other, "-o", tmp_path / "out", "--voxel-size-um", *VOXEL)
    assert pd.read_csv(tmp_path / "out" / "scores.csv")["hausdorff_um"].iloc[0] == pytest.approx(0.2)


def test_planar_images(tmp_path: Path) -> None:
    truth, prediction = (image[5:6] for image in truth_and_shifted())
    sizes = {"voxel_size_um": (math.nan, 0.2, 0.1)}
    one, other = save(tmp_path / "p.ome.tif", prediction, **sizes), save(tmp_path / "t.ome.tif", truth, **sizes)
    assert run(one, other, "-o", tmp_path / "out").exit_code == 0
    assert pd.read_csv(tmp_path / "out" / "scores.csv")["hausdorff_um"].iloc[0] == pytest.approx(0.2)
    assert run(one, other, "-o", tmp_path / "out", "--pixel-size-um", "0.4", "0.3").exit_code == 0
    assert pd.read_csv(tmp_path / "out" / "scores.csv")["hausdorff_um"].iloc[0] == pytest.approx(0.6)


def test_the_channel_called_like_the_structure(tmp_path: Path) -> None:
    truth, prediction = truth_and_shifted()
    two = np.stack([0 * prediction, prediction])
    one = save(tmp_path / "p.ome.tif", two, channel_names=("cell", "nucleus"))
    other = save(tmp_path / "t.ome.tif", truth)
    for choice in (("-s", "nucleus"), ("--channel", "1")):
        assert run(one, other, "-o", tmp_path / "out", *choice).exit_code == 0
        assert pd.read_csv(tmp_path / "out" / "scores.csv")["dice"].iloc[0] > 0.5
    assert code_of(one, other) == "E-CHANNEL"
    assert code_of(one, other, "--channel", "2") == "E-CHANNEL"


def bad(name: str, truth: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    mask = (truth > 0).astype(np.float32)
    holes = mask * 0.8
    holes[1, 2, 3] = np.nan
    made: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "another shape": (truth[:, :-1], {}),
        "another voxel size": (truth, {"voxel_size_um": (0.4, 0.2, 0.13)}),
        "a raw image": (mask + 1.337, {}),
        "NaN voxels": (holes, {}),
        "8-bit probability": (truth, {"quantity": "probability", "unit": "1"}),
    }
    return made[name]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("another shape", "E-SHAPE"),
        ("another voxel size", "E-VOXEL-SIZE"),
        ("a raw image", "E-LABELS-TYPE"),
        ("NaN voxels", "E-NAN"),
        ("8-bit probability", "E-LABELS-TYPE"),
    ],
)
def test_bad_predictions(tmp_path: Path, name: str, code: str) -> None:
    truth, _ = truth_and_shifted()
    voxels, properties = bad(name, truth)
    one = save(tmp_path / "p.ome.tif", voxels, **properties)
    other = save(tmp_path / "t.ome.tif", truth)
    assert code_of(one, other, "-o", tmp_path / "out") == code
    assert not (tmp_path / "out").exists()


def test_bad_truth_and_paths(tmp_path: Path) -> None:
    truth, prediction = truth_and_shifted()
    one = save(tmp_path / "p" / "p.ome.tif", prediction)
    soft = save(tmp_path / "t.ome.tif", (truth * 0.3).astype(np.float32))
    assert code_of(one, soft) == "E-LABELS-TYPE"
    assert code_of(one, tmp_path / "nothing.tif") == "E-NOT-FOUND"
    assert code_of(one, tmp_path / "p") == "E-PAIR"
    save(tmp_path / "q" / "q.ome.tif", prediction)
    assert code_of(tmp_path / "p", tmp_path / "q") == "E-PAIR"


def test_empty_masks_are_a_result(tmp_path: Path) -> None:
    truth, _ = truth_and_shifted()
    empty = save(tmp_path / "p.ome.tif", 0 * truth)
    done = run(empty, save(tmp_path / "t.ome.tif", truth), "--instances", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    image = pd.read_csv(tmp_path / "out" / "scores.csv").iloc[0]
    assert (image["dice"], image["recall"], image["instance_f1_iou50"]) == (0, 0, 0)
    assert math.isnan(image["precision"])
    assert run(empty, empty, "--instances").exit_code == 0


def test_labels_of_64_bits_are_told_apart(tmp_path: Path) -> None:
    """Two objects above 2⁶³ - 1, which as signed numbers would be negative, and one below."""
    truth = np.zeros(SHAPE, np.uint64)
    truth[2:5, 3:9, 4:14], truth[2:5, 12:20, 4:14], truth[7:9, 3:9, 30:40] = 2**63 + 5, 2**64 - 1, 7
    prediction = np.where(truth > 2**63 + 5, 3, truth > 0).astype(np.uint8)  # the two others are one
    one = save(tmp_path / "prediction.ome.tif", prediction, quantity="labels")
    other = save(tmp_path / "truth.ome.zarr", truth, quantity="labels")
    result = run(one, other, "--instances", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    objects = pd.read_csv(tmp_path / "out" / "objects.csv", dtype={"label": str})
    assert objects["label"].tolist() == ["7", "9223372036854775813", "18446744073709551615"]
    assert objects["n_truth_voxels"].tolist() == [120, 180, 240]
    assert objects["prediction_label"].tolist() == [0, 1, 3]
    assert objects["object_distance_um"].tolist()[2] == 0
    same = run(other, other, "--instances", "-o", tmp_path / "same")
    assert same.exit_code == 0, same.output
    assert pd.read_csv(tmp_path / "same" / "objects.csv")["object_dice"].tolist() == [1.0, 1.0, 1.0]


def test_a_truth_in_hdf5_against_a_prediction_in_tiff(tmp_path: Path) -> None:
    """Each refusal's cure is typed; what only one of the two files can have does not stop the other."""
    truth, prediction = truth_and_shifted(0)
    one = save(tmp_path / "prediction.ome.tif", prediction)
    other = tmp_path / "truth.h5"
    with h5py.File(other, "w") as file:
        file["image"], file["labels"] = truth.astype(np.float32), truth
    options: list[str] = []
    for code, cure in (("E-HDF5-DATASET", ["--dataset", "labels"]), ("E-AXES", ["--axes", "ZYX"])):
        refused = run(one, other, *options)
        assert isinstance(refused.exception, TomocyteError)
        assert refused.exception.code == code
        assert cure[0] in refused.exception.cure
        options += cure
    for pair in ((one, other), (other, one)):
        result = run(*pair, *options, "--instances", "--json")
        assert result.exit_code == 0, result.output
        assert "W-PAIR-OPTION: --dataset is not used for prediction.ome.tif" in result.stderr
        assert json.loads(result.stdout)["scores"]["instance_f1_iou50"]["mean"] == 1.0
    assert code_of(one, one, "--dataset", "labels") == "E-DATASET"  # neither of them has it
    assert code_of(one, one, "--axes", "YX") == "E-AXES"
    assert code_of(one, other, "--dataset", "label") == "E-HDF5-DATASET"
