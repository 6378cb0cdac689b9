"""Corrected labels that another program saved in other directions than the run's input; nibabel turns them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
import yaml
from tests.conftest import BALL_SIZE_UM, MEDIUM_RI, ball_ri
from tests.corrections.conftest import TWO, segment, tomocyte

from tomocyte.errors import MetadataError
from tomocyte.formats import read_volume, write_volume
from tomocyte.volume import Volume

KNOWN = {"voxel_size_um": BALL_SIZE_UM, "quantity": "refractive_index", "unit": "1", "medium_ri": MEDIUM_RI}
Z_UM, Y_UM, X_UM = BALL_SIZE_UM
AFFINE = ((0.0, 0.0, Z_UM), (0.0, -Y_UM, 0.0), (-X_UM, 0.0, 0.0), (12.0, -30.0, 7.0))
"""As medical programs store: x to the left, y to the back."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two inputs, of which one says where its voxels lie."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "in").mkdir()
    placed = Volume.from_array(ball_ri(centres_um=TWO), **KNOWN, affine=AFFINE, affine_unit="um")
    write_volume(folder / "in" / "placed.nrrd", placed)
    write_volume(folder / "in" / "bare.ome.tif", Volume.from_array(ball_ri(centres_um=TWO), **KNOWN))
    assert segment(folder / "in", folder / "out").exit_code == 0
    return folder


def corrected(run: Path, item: str) -> np.ndarray:
    """Something new in a corner, which no symmetry of the field maps onto itself."""
    labels = read_volume(run / "items" / item / "cell.ome.tif").planes(0, 0).copy()
    labels[0, :2, :5] = 9
    return labels


def save(path: Path, labels: np.ndarray, orientation: str, *, unit: str = "micron", rotation: float = 0.0) -> Path:
    rows = np.eye(4)
    rows[:3] = np.array(AFFINE)[[2, 1, 0, 3]].T * (1e-3 if unit == "mm" else 1.0)
    c, s = np.cos(rotation), np.sin(rotation)
    rows[:3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ rows[:3]
    image = nib.Nifti1Image(labels.astype(np.uint8).transpose(2, 1, 0), rows)
    wanted = nib.orientations.axcodes2ornt(orientation)
    turned = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(rows), wanted))
    turned.header.set_xyzt_units(unit)
    turned.to_filename(path)
    return path


def take(run: Path, item: str, file: Path, edits: Path) -> Any:
    return tomocyte("edits", "from-labels", run, item, "--structure", "cell", "--corrected", file, "-o", edits)


@pytest.mark.parametrize("unit", ["micron", "mm"])
@pytest.mark.parametrize("orientation", ["LPS", "RAS", "SLA", "PIR"])
def test_labels_that_a_program_turned_give_the_edits_of_labels_that_it_did_not(
    orientation: str, unit: str, finished: Path, tmp_path: Path
) -> None:
    labels = corrected(finished / "out", "placed")
    edits = tmp_path / "edits.yaml"
    done = take(finished / "out", "placed", save(tmp_path / "c.nii", labels, orientation, unit=unit), edits)
    assert "1 add: wrote" in done.stdout, done.stderr
    assert ("W-ORIENTATION" in done.stderr) == (orientation != "LPS")
    assert "W-POSITION" not in done.stderr
    tifffile.imwrite(tmp_path / "c.tif", labels.astype(np.uint8), photometric="minisblack")
    plain = take(finished / "out", "placed", tmp_path / "c.tif", tmp_path / "plain.yaml")
    assert "W-ORIENTATION" not in plain.stderr  # it has lost what the run's own label image has not, either
    both = [yaml.safe_load(path.read_text())["edits"] for path in (edits, tmp_path / "plain.yaml")]
    assert both[0] == both[1]


def test_edits_of_turned_labels_are_applied_where_they_belong(finished: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished / "out", tmp_path / "out"))
    labels = corrected(run, "placed")
    take(run, "placed", save(tmp_path / "c.nii", labels, "RAS"), tmp_path / "edits.yaml")
    assert segment(finished / "in", run, "--edits", tmp_path / "edits.yaml").exit_code == 0
    np.testing.assert_array_equal(read_volume(run / "items" / "placed" / "cell.ome.tif").planes(0, 0) > 0, labels > 0)


def test_labels_that_alone_say_an_orientation_are_noted_and_rotated_ones_refused(
    finished: Path, tmp_path: Path
) -> None:
    labels = corrected(finished / "out", "bare")
    done = take(finished / "out", "bare", save(tmp_path / "c.nii", labels, "LPS"), tmp_path / "edits.yaml")
    words = " ".join(done.stderr.split())
    assert "W-ORIENTATION: c.nii says where its axes point and cell.ome.tif does not" in words
    assert "1 add: wrote" in done.stdout
    rotated = save(tmp_path / "r.nii", labels, "LPS", rotation=0.3)
    refused = take(finished / "out", "placed", rotated, tmp_path / "other.yaml")
    assert isinstance(refused.exception, MetadataError)
    assert refused.exception.code == "E-ORIENTATION"
    assert not (tmp_path / "other.yaml").exists()
