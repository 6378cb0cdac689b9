"""Files of the same voxels stored in different directions; nibabel says where each voxel lies."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.datasets.labelled import LabelledItem
from tomocyte.datasets.orientation import oriented_like
from tomocyte.errors import MetadataError
from tomocyte.formats import read_volume

X_Y_Z = np.zeros((20, 16, 12), np.uint8)
X_Y_Z[6:13, 5:10, 3:9] = 1
X_Y_Z[7, 6, 4] = 0
AFFINE = np.diag([0.2, 0.3, 0.5, 1])


def _save(path: Path, orientation: str) -> Path:
    """The same voxels in space, stored by nibabel in another orientation, such as LPS."""
    image = nib.Nifti1Image(X_Y_Z, AFFINE)
    wanted = nib.orientations.axcodes2ornt(orientation)
    turned = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(AFFINE), wanted))
    turned.header.set_xyzt_units("micron")
    turned.to_filename(path)
    return path


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "RPI", "LAI", "SRA", "PIL", "ASR"])
def test_a_turned_file_is_read_in_the_directions_of_the_other(orientation: str, tmp_path: Path) -> None:
    truth = read_volume(_save(tmp_path / "truth.nii", "RAS"))
    turned = oriented_like(read_volume(_save(tmp_path / "p.nii", orientation)), truth)
    assert turned.shape == (1, 1, 12, 16, 20)
    np.testing.assert_array_equal(turned.planes(0, 0), X_Y_Z.T)
    np.testing.assert_array_equal(turned.planes(0, 0, 3, 5), X_Y_Z.T[3:5])
    assert turned.voxel_size_um == pytest.approx((0.5, 0.3, 0.2), rel=1e-6)
    assert [note.split(":")[0] for note in turned.notes] == ([] if orientation == "RAS" else ["W-ORIENTATION"])


def test_nrrd_in_lps_against_nifti_in_ras(tmp_path: Path) -> None:
    """LPS counts x to the left and y to the back, so positive steps there run against RAS."""
    truth = read_volume(_save(tmp_path / "truth.nii", "RAS"))
    head = ["NRRD0004", "type: uint8", "encoding: raw", "dimension: 3", "sizes: 20 16 12", "space: LPS"]
    head += ["space directions: (0.2,0,0) (0,0.3,0) (0,0,0.5)", 'space units: "um" "um" "um"']
    head += [f"space origin: ({-0.2 * 19},{-0.3 * 15},0)"]
    stored = X_Y_Z[::-1, ::-1].T
    (tmp_path / "p.nrrd").write_bytes(("\n".join(head) + "\n\n").encode() + stored.tobytes())
    turned = oriented_like(read_volume(tmp_path / "p.nrrd"), truth)
    np.testing.assert_array_equal(turned.planes(0, 0), X_Y_Z.T)
    assert [note.split(":")[0] for note in turned.notes] == ["W-ORIENTATION"]


def test_a_rotated_file_is_refused_and_a_shifted_one_noted(tmp_path: Path) -> None:
    truth = read_volume(_save(tmp_path / "truth.nii", "RAS"))
    c, s = np.cos(0.2), np.sin(0.2)
    rotation = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    shifted = AFFINE.copy()
    shifted[0, 3] = 0.6  # three voxels of x
    for name, affine in (("r.nii", rotation @ AFFINE), ("s.nii", shifted)):
        image = nib.Nifti1Image(X_Y_Z, affine)
        image.header.set_xyzt_units("micron")
        image.to_filename(tmp_path / name)
    with pytest.raises(MetadataError, match="E-ORIENTATION"):
        oriented_like(read_volume(tmp_path / "r.nii"), truth)
    (note,) = oriented_like(read_volume(tmp_path / "s.nii"), truth).notes
    assert note.startswith("W-POSITION: the two files lie 0, 0, 3 voxels")


def test_evaluate_compares_voxels_that_lie_at_the_same_place(tmp_path: Path) -> None:
    prediction, truth = _save(tmp_path / "p.nii", "LPS"), _save(tmp_path / "t.nii", "RAS")
    result = CliRunner().invoke(app, ["evaluate", str(prediction), str(truth)])
    assert result.exit_code == 0
    assert "W-ORIENTATION" in result.output
    (dice,) = (line.split()[1] for line in result.output.splitlines() if line.startswith("dice "))
    assert float(dice) == 1.0


def test_labels_of_a_data_set_are_turned_to_their_image(tmp_path: Path) -> None:
    image, labels = _save(tmp_path / "a.nii", "RAS"), _save(tmp_path / "a_cell.nii", "LPI")
    item = LabelledItem("a", image, {"cell": labels})
    np.testing.assert_array_equal(item.read_labels("cell"), X_Y_Z.T)
