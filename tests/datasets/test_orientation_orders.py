"""Any order and direction of axes is turned back; nibabel says which voxels are the same in space."""

from __future__ import annotations

import itertools
import pickle
import shlex
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.datasets.orientation import oriented_like
from tomocyte.errors import MetadataError
from tomocyte.formats import read_volume

BOX = np.zeros((20, 16, 12), np.uint8)  # x, y, z
BOX[6:13, 5:10, 3:9] = 1
BOX[6, 5, 3:6] = 2
AFFINE = np.diag([0.2, 0.3, 0.5, 1.0])
AFFINE[:3, 3] = 4.0, -7.0, 2.5


def save(path: Path, voxels: np.ndarray, affine: np.ndarray, codes: tuple[int, int] = (1, 1)) -> Path:
    image = nib.Nifti1Image(voxels, affine)
    image.set_sform(affine, code=codes[0])
    image.set_qform(affine, code=codes[1])
    image.header.set_xyzt_units("micron")
    image.to_filename(path)
    return path


def turned(order: tuple[int, ...], signs: tuple[int, ...]) -> nib.Nifti1Image:
    """The box with other axes first, some reversed, by nibabel; the same voxels in space."""
    image = nib.Nifti1Image(BOX, AFFINE)
    return image.as_reoriented(np.array(list(zip(order, signs, strict=True))))


ALL = [(order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)]


@pytest.mark.parametrize("codes", [(1, 1), (1, 0), (0, 1)])
@pytest.mark.parametrize(("order", "signs"), ALL)
def test_any_order_and_direction_of_axes_is_turned_back(
    order: tuple[int, ...], signs: tuple[int, ...], codes: tuple[int, int], tmp_path: Path
) -> None:
    other = turned(order, signs)
    reference = read_volume(save(tmp_path / "a.nii", BOX, AFFINE))
    stored = read_volume(save(tmp_path / "b.nii", np.asarray(other.dataobj), other.affine, codes))
    volume = oriented_like(stored, reference)
    volume = pickle.loads(pickle.dumps(volume))  # noqa: S301  worker processes of a training read it
    np.testing.assert_array_equal(volume.frame(0)[0], BOX.T)
    np.testing.assert_array_equal(volume.planes(0, 0, 2, 5), BOX.T[2:5])
    assert volume.voxel_size_um == pytest.approx((0.5, 0.3, 0.2), rel=1e-5)
    is_same = order == (0, 1, 2) and signs == (1, 1, 1)
    assert [note.split(":")[0] for note in volume.notes if "W-NIFTI" not in note] == (
        [] if is_same else ["W-ORIENTATION"]
    )


def test_the_command_printed_for_oblique_axes_gets_further(tmp_path: Path) -> None:
    angle = np.deg2rad(20)
    oblique = AFFINE.copy()
    oblique[:3, :3] = (
        np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]) @ AFFINE[:3, :3]
    )
    reference = read_volume(save(tmp_path / "a.nii", BOX, AFFINE))
    with pytest.raises(MetadataError, match="E-ORIENTATION") as caught:
        oriented_like(read_volume(save(tmp_path / "b.nii", BOX, oblique)), reference)
    cure = caught.value.cure
    command = shlex.split(cure[cure.index("python -c") : cure.rindex(", and give")])
    subprocess.run([sys.executable, *command[1:]], cwd=tmp_path, check=True, timeout=120)
    volume = oriented_like(read_volume(tmp_path / "resampled.nii"), reference)
    assert volume.shape == reference.shape
    assert volume.notes == ()


def test_labels_are_turned_as_their_image(tmp_path: Path) -> None:
    other = turned((2, 0, 1), (-1, 1, -1))
    image = save(tmp_path / "image.nii", BOX, AFFINE)
    labels = save(tmp_path / "labels.nii", np.asarray(other.dataobj), other.affine)
    item = LabelledItem("a", image, {"nucleus": labels})
    np.testing.assert_array_equal(item.read_labels("nucleus"), BOX.T)
