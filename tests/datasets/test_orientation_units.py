"""Positions have a unit: millimetres against micrometres, NRRD against NIfTI; files of which only one says a place."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.datasets.orientation import oriented_like
from tomocyte.formats import read_volume

BOX = np.zeros((20, 16, 12), np.uint8)  # x, y, z
BOX[6:13, 5:10, 3:9] = 1
AFFINE_UM = np.diag([0.2, 0.3, 0.5, 1.0])
AFFINE_UM[:3, 3] = 40.0, -70.0, 25.0
FACTORS = {"micron": 1.0, "mm": 1e-3, "meter": 1e-6, "unknown": 1.0}


def nifti(path: Path, unit: str, affine_um: np.ndarray = AFFINE_UM, voxels: np.ndarray = BOX) -> Path:
    affine = affine_um.copy()
    affine[:3] *= FACTORS[unit]
    image = nib.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units(unit)
    image.to_filename(path)
    return path


def nrrd(path: Path, unit: str, space: str = "right-anterior-superior") -> Path:
    """In words of the format's definition; a patient's left and back count positive in LPS."""
    signs = np.array([-1, -1, 1]) if space == "left-posterior-superior" else np.ones(3)
    rows = (AFFINE_UM[:3].T * FACTORS[unit] * signs).tolist()
    vectors = ["(" + ",".join(repr(part) for part in row) + ")" for row in rows]
    word = {"micron": "um", "mm": "mm", "meter": "m"}.get(unit)
    head = ["NRRD0004", "type: uint8", "encoding: raw", "dimension: 3", "sizes: 20 16 12", f"space: {space}"]
    head += [f"space directions: {' '.join(vectors[:3])}", f"space origin: {vectors[3]}"]
    head += [] if word is None else [f'space units: "{word}" "{word}" "{word}"']
    path.write_bytes(("\n".join(head) + "\n\n").encode() + BOX.T.tobytes())
    return path


@pytest.mark.parametrize("unit", ["micron", "mm", "meter"])
def test_the_same_place_in_another_unit_is_the_same_place(unit: str, tmp_path: Path) -> None:
    truth = read_volume(nifti(tmp_path / "a.nii", "micron"))
    for other in (
        nifti(tmp_path / "b.nii", unit),
        nrrd(tmp_path / "b.nrrd", unit),
        nrrd(tmp_path / "c.nrrd", unit, "left-posterior-superior"),
    ):
        assert oriented_like(read_volume(other), truth).notes == ()
        assert oriented_like(truth, read_volume(other)).notes == ()


@pytest.mark.parametrize("unit", ["micron", "mm"])
def test_a_shift_is_counted_in_voxels_whatever_the_unit(unit: str, tmp_path: Path) -> None:
    truth = read_volume(nifti(tmp_path / "a.nii", "micron"))
    shifted = AFFINE_UM.copy()
    shifted[1, 3] += 0.6  # two voxels of y
    (note,) = oriented_like(read_volume(nifti(tmp_path / "b.nii", unit, shifted)), truth).notes
    shifts = [float(part) for part in note.split(" lie ")[1].split(" voxels")[0].split(",")]
    assert shifts == pytest.approx([0, 2, 0], abs=1e-3)


def test_positions_without_a_unit_are_compared_with_their_like_only(tmp_path: Path) -> None:
    known = read_volume(nifti(tmp_path / "a.nii", "micron"))
    unknown = read_volume(nifti(tmp_path / "b.nii", "unknown"), is_size_required=False)
    bare = read_volume(nrrd(tmp_path / "b.nrrd", "unknown"), is_size_required=False)
    assert not any(note.startswith("W-POSITION") for note in oriented_like(bare, unknown).notes)
    for one, other in ((unknown, known), (known, bare)):
        assert oriented_like(one, other).notes[-1].startswith("W-POSITION: only one of the two files names the unit")


def test_a_turned_volume_keeps_its_place(tmp_path: Path) -> None:
    """Turned to the first file, the second lies as the first does, so turning a third like it gives no note."""
    truth = read_volume(nifti(tmp_path / "a.nii", "micron"))
    image = nib.load(tmp_path / "a.nii").as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    image.header.set_xyzt_units("micron")
    image.to_filename(tmp_path / "b.nii")
    turned = oriented_like(read_volume(tmp_path / "b.nii"), truth)
    np.testing.assert_allclose(turned.affine, truth.affine, rtol=1e-5)
    assert oriented_like(truth, turned).notes == ()


@pytest.mark.parametrize("stating", ["prediction", "truth"])
def test_evaluate_says_that_only_one_file_has_an_orientation(stating: str, tmp_path: Path) -> None:
    paths = {"prediction": tmp_path / "p.tif", "truth": tmp_path / "t.tif"}
    for path in paths.values():
        size = {"PhysicalSizeZ": 0.5, "PhysicalSizeY": 0.3, "PhysicalSizeX": 0.2}
        tifffile.imwrite(path, BOX.T, photometric="minisblack", metadata={"axes": "ZYX", **size}, ome=True)
    paths[stating] = nifti(tmp_path / "q.nii", "mm")
    result = CliRunner().invoke(app, ["evaluate", *map(str, paths.values())])
    assert result.exit_code == 0
    other = next(path for name, path in paths.items() if name != stating)
    words = " ".join(result.output.split())
    assert f"W-ORIENTATION: q.nii says where its axes point and {other.name} does not" in words
