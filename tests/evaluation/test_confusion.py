"""Structures that exclude each other: images of classes, matrices, and what ``tomocyte evaluate --classes`` prints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from click.testing import Result
from sklearn import metrics
from typer.testing import CliRunner

from tomocyte.cli.evaluate import evaluate
from tomocyte.errors import InputError, SettingsError, TomocyteError
from tomocyte.evaluation import ConfusionTable, class_image
from tomocyte.formats import write_volume
from tomocyte.structures import ZHANGHAO_CLASSES, ZHANGHAO_COMPARTMENTS
from tomocyte.volume import LabelName, Volume

VOXEL = (0.25, 0.1, 0.2)
SHAPE = (3, 5, 7)
STRUCTURES = ("nucleus", "cytosol", "extracellular")
APP = typer.Typer()
APP.command()(evaluate)
RNG = np.random.default_rng(3)
TRUTH = RNG.integers(0, 4, SHAPE)
PREDICTION = np.where(RNG.random(SHAPE) < 0.7, TRUTH, RNG.integers(0, 4, SHAPE))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(APP, [str(argument) for argument in arguments])


def save(path: Path, voxels: np.ndarray, **properties: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, Volume.from_array(voxels, **{"voxel_size_um": VOXEL, **properties}))
    return path


def folders(tmp_path: Path, n_items: int = 1) -> tuple[Path, Path]:
    """Results of a run and simulated truth, one label image per structure."""
    for item in ("one", "two")[:n_items]:
        for number, name in enumerate(STRUCTURES, 1):
            places = ("run", item, f"{name}.ome.tif"), ("set", item, f"labels/{name}.ome.tif")
            for (folder, where, file), classes in zip(places, (PREDICTION, TRUTH), strict=True):
                save(tmp_path / folder / "items" / where / file, (classes == number).astype(np.uint16))
        save(tmp_path / "set" / "items" / item / f"{item}.ome.tif", TRUTH.astype(np.float32))
    return tmp_path / "run", tmp_path / "set"


def test_the_earlier_mask_wins_and_overlap_is_counted() -> None:
    nucleus = np.array([[0, 3, 3, 0, 0]])
    cytosol = np.array([[0, 0, 7, 7, 0]])
    outside = np.array([[1, 1, 1, 0, 0]], bool)
    classes, n_in_several = class_image([nucleus, cytosol, outside])
    assert classes.tolist() == [[3, 1, 1, 2, 0]]
    assert n_in_several == 2
    with pytest.raises(SettingsError, match="E-SHAPE"):
        class_image([nucleus, cytosol[:, :2]])


def test_matrices_of_images_add_up() -> None:
    confusion = ConfusionTable(STRUCTURES)
    confusion.add("a", TRUTH, PREDICTION)
    confusion.add("b", TRUTH, TRUTH)
    one = metrics.confusion_matrix(TRUTH.ravel(), PREDICTION.ravel(), labels=range(4))
    both = one + np.diag(np.bincount(TRUTH.ravel(), minlength=4))
    assert confusion.matrix.tolist() == both.tolist()
    assert confusion.counts()["cytosol"].n_truth == 2 * np.count_nonzero(TRUTH == 2)
    table = confusion.table()
    pooled = table[table["level"] == "pooled"].pivot(
        index="true_class", columns="predicted_class", values="share_of_true_class"
    )
    assert pooled.loc["nucleus", "extracellular"] == pytest.approx(one[1, 3] / (2 * one[1].sum()))
    assert np.allclose(pooled.sum(axis=1), 1)
    with pytest.raises(SettingsError, match="E-DUPLICATE"):
        confusion.add("a", TRUTH, TRUTH)


def test_result_folders_give_a_matrix(tmp_path: Path) -> None:
    prediction, truth = folders(tmp_path, 2)
    done = run(prediction, truth, "--classes", "nuclei,cytosol,ECS", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    expected = metrics.confusion_matrix(TRUTH.ravel(), PREDICTION.ravel(), labels=range(4))
    table = pd.read_csv(tmp_path / "out" / "confusion.csv", keep_default_na=False)
    first = table[table["item"] == "one"]["n_class_voxels"].to_numpy().reshape(4, 4)
    assert first.tolist() == expected.tolist()
    assert set(table["classes"]) == {"nucleus+cytosol+extracellular"}
    scores = pd.read_csv(tmp_path / "out" / "class_scores.csv").set_index("structure")
    assert scores.loc["nucleus", "dice"] == pytest.approx(
        metrics.f1_score((TRUTH == 1).ravel(), (PREDICTION == 1).ravel())
    )
    assert f"{expected[2, 2] / expected[2].sum():.4f}" in done.output
    meanings = pd.read_csv(tmp_path / "out" / "scores.dictionary.csv", keep_default_na=False)
    assert {*table.columns, *scores.reset_index().columns} == set(meanings["column"])


def test_one_file_of_named_labels(tmp_path: Path) -> None:
    names = tuple(LabelName(number, name) for number, name in enumerate(STRUCTURES, 1))
    one = save(tmp_path / "p.am", PREDICTION.astype(np.uint8), quantity="labels", label_names=names)
    other = save(tmp_path / "t.am", TRUTH.astype(np.uint8), quantity="labels", label_names=names)
    done = run(one, other, "--classes", "nucleus,cytosol", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "out" / "confusion.csv", keep_default_na=False)
    nine = table[table["level"] == "pooled"]["n_class_voxels"].to_numpy().reshape(3, 3)
    kept = [np.where(classes > 2, 0, classes).ravel() for classes in (TRUTH, PREDICTION)]
    assert nine.tolist() == metrics.confusion_matrix(*kept, labels=range(3)).tolist()


def test_the_lines_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each as printed; the groups are those of the paper, and what equals its truth is right everywhere."""
    page = Path(__file__).parents[2] / "docs" / "evaluation.md"
    lines = [line.split() for line in page.read_text(encoding="utf-8").splitlines() if " --classes " in line]
    assert tuple(tuple(line[line.index("--classes") + 1].split(",")) for line in lines) == ZHANGHAO_CLASSES
    for number, name in enumerate(name for group in ZHANGHAO_CLASSES for name in group):
        mask = (number % 3 + 1 == TRUTH).astype(np.uint8)
        save(tmp_path / "out" / "items" / "one" / f"{name}.ome.tif", mask)
        save(tmp_path / "fields" / "items" / "one" / "labels" / f"{name}.ome.tif", mask)
    monkeypatch.chdir(tmp_path)
    for line in lines:
        done = run(*line[2:])
        assert done.exit_code == 0, done.output
        assert pd.read_csv(Path(line[-1]) / "class_scores.csv")["pixel_accuracy"].eq(1).all()


def test_what_is_no_group_of_classes_is_refused(tmp_path: Path) -> None:
    prediction, truth = folders(tmp_path)

    def problem_of(*arguments: object) -> TomocyteError:
        result = run(*arguments)
        assert isinstance(result.exception, TomocyteError), result.output
        assert result.exception.cure
        return result.exception

    assert problem_of(prediction, truth, "--classes", "nucleus").code == "E-CLASS"
    assert problem_of(prediction, truth, "--classes", "nucleus,nuclei").code == "E-CLASS"
    assert problem_of(prediction, truth, "--classes", "nucleus,golgi").code == "E-STRUCTURE"
    assert problem_of(prediction, truth, "--classes", "nucleus,cytosol", "-s", "nucleus").code == "E-USAGE"
    one, other = (
        save(tmp_path / f"{name}.ome.tif", classes.astype(np.uint8))
        for name, classes in (("p", PREDICTION), ("t", TRUTH))
    )
    same = problem_of(one, other, "--classes", "nucleus,cytosol")
    assert isinstance(same, InputError)
    assert same.code == "E-CLASS"


def test_the_groups_of_the_paper_are_of_its_compartments() -> None:
    names = [name for group in ZHANGHAO_CLASSES for name in group]
    assert len(names) == len(set(names)) == 8
    assert set(names) < set(ZHANGHAO_COMPARTMENTS)
