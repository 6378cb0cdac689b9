"""NIfTI: what the header says twice, in other units or as codes agrees, is noted, or is asked for; nibabel writes."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from container_samples import COUNTS, SIZE_UM
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import ReadOptions, read_volume
from tomocyte.volume import Volume

VOXELS = COUNTS.astype(np.int16)
UNITS = {"mm": 1e-3, "micron": 1.0, "meter": 1e-6}
EDITS = {  # offset and form in a NIfTI-1 header, by the definition of the format
    "intent_code": (68, "<h"), "datatype": (70, "<h"), "bitpix": (72, "<h"), "qfac": (76, "<f"), "pixdim_x": (80, "<f"),
    "pixdim_z": (88, "<f"), "vox_offset": (108, "<f"), "scl_slope": (112, "<f"), "scl_inter": (116, "<f"),
    "xyzt_units": (123, "<B"), "cal_max": (124, "<f"), "toffset": (136, "<f"), "qform_code": (252, "<h"),
    "sform_code": (254, "<h"), "quatern_b": (256, "<f"), "srow_x0": (280, "<f"), "srow_x1": (284, "<f"),
}  # fmt: skip


def write(
    path: Path, voxels: np.ndarray = VOXELS, *, unit: str = "micron", affine: np.ndarray | None = None, **edits: float
) -> Path:
    """A file of nibabel with both forms coded, then fields of its header replaced."""
    x_y_z = voxels.transpose(tuple(reversed(range(voxels.ndim))))
    rows = np.diag([*reversed(SIZE_UM), 1.0]) if affine is None else affine.copy()
    rows[:3] *= UNITS.get(unit, 1.0)
    image = nib.Nifti1Image(x_y_z, rows)
    image.header.set_xyzt_units(unit, "sec")
    image.set_sform(rows, code=1)
    image.set_qform(rows, code=1)
    nib.save(image, path)
    data = bytearray(path.read_bytes())
    for name, value in edits.items():
        struct.pack_into(EDITS[name][1], data, EDITS[name][0], value)
    path.write_bytes(bytes(data))
    return path


def codes(volume: Volume) -> list[str]:
    return [note.split(":")[0] for note in volume.notes]


@pytest.mark.parametrize(
    ("edits", "code"),
    [
        ({}, None),
        ({"qfac": 0.0}, None),  # NIfTI-1: counts as 1
        ({"qfac": -1.0}, "W-NIFTI-ORIENTATION"),  # z runs the other way by the qform
        ({"quatern_b": 1.0}, "W-NIFTI-ORIENTATION"),  # half a turn about x
        ({"quatern_b": 3.0}, "W-NIFTI-ORIENTATION"),  # no quaternion
        ({"srow_x0": -0.13}, "W-NIFTI-ORIENTATION"),
        ({"srow_x1": 0.05}, "W-NIFTI-ORIENTATION"),  # 16 degrees against the qform, and sheared
    ],
)
def test_the_qform_is_compared_with_the_sform(edits: dict[str, float], code: str | None, tmp_path: Path) -> None:
    volume = read_volume(write(tmp_path / "a.nii", **edits), ReadOptions(voxel_size_um=SIZE_UM))
    assert [each for each in codes(volume) if each != "W-SHEAR"] == ([] if code is None else [code])
    assert volume.affine is not None
    expected = [-0.13 if "srow_x0" in edits else 0.13, 0.0, 0.0]
    np.testing.assert_allclose(volume.affine[2], expected, rtol=1e-6)


@pytest.mark.parametrize("qfac", [0.0, 1.0, -1.0, 7.0])
def test_a_qform_alone_gives_the_orientation_also_with_an_unset_handedness(qfac: float, tmp_path: Path) -> None:
    volume = read_volume(write(tmp_path / "a.nii", qfac=qfac, sform_code=0))
    assert volume.affine is not None
    np.testing.assert_allclose(volume.affine[0], [0, 0, -0.31 if qfac == -1 else 0.31], rtol=1e-6)
    assert volume.notes == ()


def test_sheared_axes_are_noted(tmp_path: Path) -> None:
    """tan(a) = 0.017 / 0.17, so y leans 5.71 degrees towards x."""
    rows = np.diag([0.13, 0.17, 0.31, 1.0])
    rows[0, 1] = 0.017
    image = nib.Nifti1Image(VOXELS.transpose(2, 1, 0), rows)
    image.header.set_xyzt_units("micron")
    image.set_qform(None, code=0)
    image.set_sform(rows, code=1)
    nib.save(image, tmp_path / "a.nii")
    (note,) = read_volume(tmp_path / "a.nii").notes
    assert note.startswith("W-SHEAR: by the file, its axes lean 5.71 degrees")


@pytest.mark.parametrize("bits", [0, 8, 32])
def test_bits_that_are_not_those_of_the_type_are_noted_where_the_length_decides(bits: int, tmp_path: Path) -> None:
    volume = read_volume(write(tmp_path / "a.nii", bitpix=bits))
    assert codes(volume) == ["W-NIFTI-BITPIX"]
    np.testing.assert_array_equal(volume.frame(0)[0], VOXELS)
    with pytest.raises(InputError, match="E-NIFTI-TRUNC"):
        read_volume(write(tmp_path / "b.nii", bitpix=32, datatype=8))  # int32 by both, int16 by the length


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_place_of_the_voxels_that_is_not_set_is_noted(ending: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", vox_offset=0.0)
    if ending == ".nii.gz":
        import gzip

        path = tmp_path / "a.nii.gz"
        path.write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes()))
    volume = read_volume(path)
    assert codes(volume) == ["W-NIFTI-OFFSET"]
    np.testing.assert_array_equal(volume.frame(0)[0], VOXELS)


@pytest.mark.parametrize(
    ("slope", "intercept", "code"),
    [
        (0.0, 0.0, None),
        (math.nan, math.nan, None),
        (1.0, 0.0, None),
        (0.0, 100.0, "W-NIFTI-SCALE"),
        (math.inf, 0.0, "W-NIFTI-SCALE"),
        (math.nan, -1024.0, "W-NIFTI-SCALE"),
    ],
)
def test_a_slope_that_means_none_is_no_scaling(
    slope: float, intercept: float, code: str | None, tmp_path: Path
) -> None:
    volume = read_volume(write(tmp_path / "a.nii", scl_slope=slope, scl_inter=intercept))
    assert codes(volume) == ([] if code is None else [code])
    assert volume.dtype == np.int16
    np.testing.assert_array_equal(volume.frame(0)[0], VOXELS)


def test_labels_that_are_scaled_are_no_labels(tmp_path: Path) -> None:
    volume = read_volume(write(tmp_path / "a.nii", intent_code=1002, scl_slope=0.5))
    assert (volume.quantity, volume.dtype) == (None, np.float32)
    np.testing.assert_allclose(volume.frame(0)[0], VOXELS * 0.5)


@pytest.mark.parametrize(
    ("intent", "quantity", "name"),
    [(0, None, ""), (1002, "labels", ""), (1003, "labels", ""), (1007, None, ""), (5, None, "z score"),
     (6, None, "chi"), (1006, None, "displacement"), (999, None, "unknown")],
)  # fmt: skip
def test_intents(intent: int, quantity: str | None, name: str, tmp_path: Path) -> None:
    volume = read_volume(write(tmp_path / "a.nii", intent_code=intent))
    assert volume.quantity == quantity
    assert len(volume.notes) == bool(name)
    assert name in "".join(volume.notes)
    assert all(note.startswith("W-NIFTI-INTENT") for note in volume.notes)


def test_vectors_as_itk_writes_channels_are_channels(tmp_path: Path) -> None:
    stored = np.stack([VOXELS, VOXELS + 1])[:, np.newaxis]  # C, T, Z, Y, X
    volume = read_volume(write(tmp_path / "a.nii", stored, intent_code=1007))
    assert volume.shape == (1, 2, 7, 9, 11)
    np.testing.assert_array_equal(volume.planes(0, 1), VOXELS + 1)
    assert volume.notes == ()


@pytest.mark.parametrize(
    ("code", "times"),
    [(8 + 3, (0, 2.5)), (16 + 3, (0, 2.5e-3)), (24 + 3, (0, 2.5e-6)), (3, None), (56 + 3, None), (3 + 64, None)],
)
def test_units_of_time_and_the_time_of_the_first_frame(
    code: int, times: tuple[float, ...] | None, tmp_path: Path
) -> None:
    """Times count from the first frame; when that was is shown, not added."""
    image = nib.Nifti1Image(np.stack([VOXELS, VOXELS]).transpose(3, 2, 1, 0), np.diag([0.13, 0.17, 0.31, 1.0]))
    image.header["pixdim"][4] = 2.5
    image.header["toffset"], image.header["xyzt_units"] = 40.0, code
    nib.save(image, tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    assert volume.time_s == (None if times is None else pytest.approx(times))
    factor = {8: 1.0, 16: 1e-3, 24: 1e-6}.get(code & 0x38)
    expected = None if factor is None else pytest.approx(40 * factor)
    assert volume.metadata.get("time_of_first_frame_s") == expected
    assert volume.voxel_size_um == pytest.approx(SIZE_UM)


@pytest.mark.parametrize("unit", ["unknown", "mm"])
def test_lengths_without_a_unit_or_of_no_microscope_are_shown_where_the_size_is_asked_for(
    unit: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.nii", unit="unknown")
    if unit == "mm":  # 310 µm
        path = write(tmp_path / "a.nii", unit="unknown", xyzt_units=2)
    words = {"unknown": "z = 0.31, y = 0.17, x = 0.13 without a known unit", "mm": "z = 310 µm by sform"}[unit]
    with pytest.raises(MetadataError, match=f"E-VOXEL-SIZE.*{words}"):
        read_volume(path)
    assert read_volume(path, is_size_required=False).voxel_size_um is None
    assert read_volume(path, ReadOptions(voxel_size_um=SIZE_UM)).notes == ()


@pytest.mark.parametrize("edits", [{"pixdim_x": -0.13}, {"pixdim_x": -0.13, "sform_code": 0}, {"pixdim_z": 0.0}])
def test_a_negative_pixdim_counts_by_its_amount_and_one_of_zero_not_at_all(
    edits: dict[str, float], tmp_path: Path
) -> None:
    volume = read_volume(write(tmp_path / "a.nii", **edits))
    assert volume.voxel_size_um == pytest.approx(SIZE_UM)
    assert codes(volume) == (["W-NIFTI-PIXDIM"] if "pixdim_x" in edits else [])
    assert volume.affine is not None


def test_a_display_range_that_the_type_cannot_hold_is_noted(tmp_path: Path) -> None:
    assert codes(read_volume(write(tmp_path / "a.nii", cal_max=60000.0))) == ["W-NIFTI-RANGE"]
    assert codes(read_volume(write(tmp_path / "a.nii", cal_max=60000.0, scl_slope=2.0))) == []
    assert codes(read_volume(write(tmp_path / "a.nii", cal_max=32767.0))) == []


def test_what_the_file_says_of_an_axis_counts_only_for_that_axis(tmp_path: Path) -> None:
    """Seven planes 0.31 µm apart are not frames 0.31 s apart, and frames have no thickness."""
    path = write(tmp_path / "a.nii")
    volume = read_volume(path, ReadOptions(axes="TYX"))
    assert (volume.shape, volume.time_s) == ((7, 1, 1, 9, 11), None)
    assert volume.voxel_size_um == pytest.approx((math.nan, 0.17, 0.13), nan_ok=True)
    turned = read_volume(path, ReadOptions(axes="YZX"))
    assert turned.voxel_size_um == pytest.approx((0.17, 0.31, 0.13))
    series = write(tmp_path / "b.nii", np.stack([VOXELS[:2], VOXELS[2:4]])[:, np.newaxis].squeeze(1))
    with pytest.raises(MetadataError, match="no distance in z"):
        read_volume(series, ReadOptions(axes="ZTYX"))  # pixdim of the fourth axis is a time
    assert read_volume(series, ReadOptions(axes="ZTYX", voxel_size_um=SIZE_UM)).time_s is None


def test_axes_of_length_one_may_be_left_out(tmp_path: Path) -> None:
    stored = np.stack([VOXELS, VOXELS + 1])[:, np.newaxis]
    path = write(tmp_path / "a.nii", stored)
    for axes in ("CZYX", "CTZYX"):
        volume = read_volume(path, ReadOptions(axes=axes))
        assert volume.shape == (1, 2, 7, 9, 11)
        assert volume.voxel_size_um == pytest.approx(SIZE_UM)
        np.testing.assert_array_equal(volume.planes(0, 1), VOXELS + 1)


def test_info_names_the_field_behind_each_property(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.stack([VOXELS, VOXELS]).transpose(3, 2, 1, 0), np.diag([0.13, 0.17, 0.31, 1.0]))
    image.header["pixdim"][4] = 2.5
    image.header.set_xyzt_units("micron", "sec")
    image.header.set_intent("label")
    nib.save(image, tmp_path / "a.nii")
    write(tmp_path / "b.nii", pixdim_x=1.0, pixdim_z=1.0, qform_code=0)
    data = bytearray((tmp_path / "b.nii").read_bytes())
    struct.pack_into("<f", data, 84, 1.0)
    (tmp_path / "b.nii").write_bytes(bytes(data))
    found = {}
    for name in ("a.nii", "b.nii"):
        result = CliRunner().invoke(app, ["info", str(tmp_path / name), "--json"])
        rows: list[dict[str, Any]] = json.loads(result.stdout)["properties"]
        found[name] = {row["property"]: row["source"] for row in rows if row["source"] is not None}
    assert found["a.nii"] == {
        "voxel_size_um": "NIfTI pixdim", "time_s": "NIfTI pixdim[4]", "quantity": "NIfTI intent_code"
    }  # fmt: skip
    assert found["b.nii"] == {"voxel_size_um": "NIfTI srow_x, srow_y, srow_z"}
