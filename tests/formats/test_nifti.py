"""NIfTI: axis order, units, scaling, packing; nibabel is the other opinion."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from container_samples import COUNTS, SIZE_UM, nifti, nifti_gz

from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import ReadOptions, read_volume, write_volume
from tomocyte.volume import Volume

VOXELS_5D = (np.arange(2 * 3 * 4 * 5 * 6) * 3).reshape(3, 2, 4, 5, 6).astype(np.int16)  # T, C, Z, Y, X


def _save(path: Path, stored: np.ndarray, zooms: tuple[float, ...], units: tuple[str, str]) -> Path:
    image = nib.Nifti1Image(stored, np.eye(4))
    image.header.set_zooms(zooms)
    image.header.set_xyzt_units(*units)
    nib.save(image, path)
    return path


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1e-6), ("mm", 1e-3), ("micron", 1.0)])
def test_units_of_length(unit: str, factor: float, tmp_path: Path) -> None:
    zooms = tuple(size * factor for size in reversed(SIZE_UM))
    path = _save(tmp_path / "a.nii", COUNTS.T.astype(np.int16), zooms, (unit, "sec"))
    assert read_volume(path).voxel_size_um == pytest.approx(SIZE_UM, rel=1e-6)


def test_unknown_unit_is_a_missing_voxel_size(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.nii", COUNTS.T.astype(np.int16), SIZE_UM, ("unknown", "sec"))
    with pytest.raises(MetadataError, match="E-VOXEL-SIZE"):
        read_volume(path)


def test_five_axes_and_milliseconds(tmp_path: Path) -> None:
    stored = VOXELS_5D.transpose(4, 3, 2, 0, 1)  # x, y, z, t, channel
    path = _save(tmp_path / "a.nii.gz", stored, (0.13, 0.17, 0.31, 250.0, 1.0), ("micron", "msec"))
    volume = read_volume(path)
    assert volume.shape == (3, 2, 4, 5, 6)
    for frame in (2, 0, 1):  # going back means unpacking again
        np.testing.assert_array_equal(volume.frame(frame), VOXELS_5D[frame])
    assert volume.time_s == pytest.approx((0.0, 0.25, 0.5))


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(COUNTS.T.astype(np.int16), np.eye(4))
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    struct.pack_into("<ff", data, 112, 0.5, -3.0)  # scl_slope, scl_inter
    (tmp_path / "a.nii").write_bytes(bytes(data))
    volume = read_volume(tmp_path / "a.nii")
    assert volume.dtype == np.float32
    np.testing.assert_allclose(volume.frame(0)[0], COUNTS * 0.5 - 3, rtol=1e-7)
    np.testing.assert_allclose(volume.frame(0)[0], nib.load(tmp_path / "a.nii").get_fdata().T, rtol=1e-6)


def test_2d_has_no_thickness(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.nii", COUNTS[0].T.astype(np.int16), (0.13, 0.17), ("micron", "sec"))
    volume = read_volume(path)
    assert volume.shape == (1, 1, 1, 9, 11)
    assert math.isnan(volume.require_voxel_size()[0])
    assert volume.require_voxel_size()[1:] == pytest.approx(SIZE_UM[1:])


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "u4", "f4", "f8"])
def test_nibabel_reads_what_is_written(kind: str, suffix: str, tmp_path: Path) -> None:
    voxels = VOXELS_5D.astype(kind)
    volume = Volume.from_array(voxels, voxel_size_um=SIZE_UM, time_s=(0.0, 2.5, 5.0), quantity="labels")
    write_volume(tmp_path / f"a{suffix}", volume)
    image = nib.load(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(np.asanyarray(image.dataobj).transpose(3, 4, 2, 1, 0), voxels)
    assert image.header.get_zooms()[:4] == pytest.approx((0.13, 0.17, 0.31, 2.5))
    assert image.header.get_xyzt_units() == ("micron", "sec")
    again = read_volume(tmp_path / f"a{suffix}")
    assert again.dtype == np.dtype(kind)
    assert again.quantity == "labels"
    assert again.time_s == pytest.approx((0.0, 2.5, 5.0))
    np.testing.assert_array_equal(again.frame(1), voxels[1])


def test_packed_files_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    volume = Volume.from_array(COUNTS, voxel_size_um=SIZE_UM)
    write_volume(tmp_path / "a.nii.gz", volume)
    write_volume(tmp_path / "b.nii.gz", volume)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_axis_above_32767_gives_nifti2(tmp_path: Path) -> None:
    voxels = np.arange(2 * 40_000, dtype=np.uint16).reshape(1, 2, 40_000)
    write_volume(tmp_path / "a.nii", Volume.from_array(voxels, voxel_size_um=SIZE_UM))
    assert isinstance(nib.load(tmp_path / "a.nii"), nib.Nifti2Image)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii").frame(0)[0], voxels)


def test_members_of_a_gzip_are_joined(tmp_path: Path) -> None:
    """Block-wise packers write several gzip members; the last trailer then knows only its own size."""
    plain = nifti(tmp_path).path.read_bytes()
    packed = tmp_path / "joined.nii.gz"
    packed.write_bytes(gzip.compress(plain[:700]) + gzip.compress(plain[700:]))
    np.testing.assert_array_equal(read_volume(packed).frame(0)[0], COUNTS)
    packed.write_bytes(gzip.compress(plain[:700]) + gzip.compress(plain[700:-2]))
    with pytest.raises(InputError, match="E-NIFTI-TRUNC"):
        read_volume(packed)


def test_a_flipped_bit_in_a_packed_file_is_found_by_its_checksum(tmp_path: Path) -> None:
    sample = nifti_gz(tmp_path)
    plain = gzip.decompress(sample.path.read_bytes())
    stored = bytearray(gzip.compress(plain, compresslevel=0))
    stored[1000] ^= 4  # within the voxels, which level 0 stores as they are
    sample.path.write_bytes(bytes(stored))
    volume = read_volume(sample.path)
    with pytest.raises(InputError, match=r"E-NIFTI-TRUNC.*CRC"):
        volume.frame(0)


@pytest.mark.parametrize(
    ("offset", "form", "value", "code"),
    [
        (42, "<h", -3, "E-NIFTI-HEADER"),
        (42, "<h", 12, "E-NIFTI-TRUNC"),
        (40, "<h", 9, "E-"),
        (70, "<h", 128, "E-"),  # colour
        (108, "<f", 1e30, "E-"),  # place of the voxels
        (108, "<f", 100.0, "E-NIFTI-HEADER"),
    ],
)
def test_bad_headers(offset: int, form: str, value: float, code: str, tmp_path: Path) -> None:
    path = nifti(tmp_path).path
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, offset, value)
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=code):
        read_volume(path)


def test_axes_of_the_user(tmp_path: Path) -> None:
    volume = read_volume(nifti(tmp_path).path, ReadOptions(axes="TYX", voxel_size_um=(math.nan, 0.2, 0.1)))
    assert volume.shape == (7, 1, 1, 9, 11)
