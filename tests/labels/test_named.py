"""Labels by their names, as evaluation and training use them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.datasets.labelled import find_items
from tomocyte.datasets.settings import LabelledSettings
from tomocyte.errors import InputError
from tomocyte.formats import write_volume
from tomocyte.labels import only_labels_of
from tomocyte.volume import LabelName, Volume

SIZE = (0.7, 0.3, 0.2)
NAMES = (LabelName(1, "Cells"), LabelName(2, "nuclei"), LabelName(3, "nucleus 2"), LabelName(9, "debris"))
LABELS = np.zeros((3, 8, 12), np.uint8)
LABELS[:, 1:7, 1:11], LABELS[:, 2:4, 2:5], LABELS[:, 2:4, 6:9], LABELS[0, 7, 11] = 1, 2, 3, 9


def named(path: Path, labels: np.ndarray = LABELS, names: tuple[LabelName, ...] = NAMES) -> Path:
    write_volume(path, Volume.from_array(labels, voxel_size_um=SIZE, quantity="labels", label_names=names))
    return path


def test_a_structure_is_found_by_its_names_with_and_without_a_number() -> None:
    volume = Volume.from_array(LABELS, label_names=NAMES)
    nuclei = only_labels_of("nucleus", volume, kept=(9,))
    np.testing.assert_array_equal(nuclei.planes(0, 0), np.where(np.isin(LABELS, (2, 3, 9)), LABELS, 0))
    assert only_labels_of("nucleus", Volume.from_array(LABELS)).planes(0, 0).max() == 9
    with pytest.raises(InputError, match=r"E-STRUCTURE.*Cells, nuclei, nucleus 2, debris"):
        only_labels_of("golgi", volume)


def test_evaluation_compares_the_labels_of_the_structure(tmp_path: Path) -> None:
    """Six of the nuclei's 36 voxels are missing: Dice 2 · 30 / 66; the cell around them does not count."""
    truth = named(tmp_path / "truth.am")
    mask = np.isin(LABELS, (2, 3)).astype(np.uint8)
    mask[:, 2, 2:4] = 0
    prediction = tmp_path / "prediction.ome.tif"
    write_volume(prediction, Volume.from_array(mask, voxel_size_um=SIZE, quantity="labels"))
    done = CliRunner().invoke(app, ["evaluate", str(prediction), str(truth), "--structure", "nucleus"])
    assert done.exit_code == 0, done.output
    assert f"{60 / 66:.4f}" in done.output
    assert "W-PAIR-LABELS: of truth.am only nuclei, nucleus 2 is compared" in done.output
    wrong = CliRunner().invoke(app, ["evaluate", str(prediction), str(truth), "--structure", "golgi"])
    assert getattr(wrong.exception, "code", "") == "E-STRUCTURE"


def test_training_finds_the_structures_of_one_label_image(tmp_path: Path) -> None:
    image = Volume.from_array(np.ones((3, 8, 12), np.float32), voxel_size_um=SIZE, quantity="intensity")
    write_volume(tmp_path / "a.ome.tif", image)
    named(tmp_path / "a_labels.seg.nrrd")
    rules = LabelledSettings(structures=("cell", "nucleus", "golgi"), ignore_label=9)
    (item,) = find_items(tmp_path, rules)
    assert set(item.labels) == {"cell", "nucleus"}
    frame = item.read_frame()
    np.testing.assert_array_equal(frame.labels["cell"], np.where(np.isin(LABELS, (1, 9)), LABELS, 0))
    np.testing.assert_array_equal(frame.labels["nucleus"], np.where(np.isin(LABELS, (2, 3, 9)), LABELS, 0))
    assert np.count_nonzero(~frame.is_labelled("nucleus")) == 1
