"""MRC: modes, byte orders, axis orders, voxel sizes, stacks; mrcfile is the other opinion."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from container_samples import COUNTS, SIZE_UM, mrc

from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import ReadOptions, read_volume, write_volume
from tomocyte.formats.mrc import check_statistics
from tomocyte.volume import Volume


def _edited(path: Path, offset: int, form: str, *values: object) -> Path:
    """The file with some header fields replaced; offsets as in the MRC2014 paper."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, offset, *values)
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["i1", "i2", "f4", "u2", "f2"])
def test_modes_in_both_byte_orders(kind: str, order: str, tmp_path: Path) -> None:
    voxels = (COUNTS % 100).astype(order + kind)
    with mrcfile.new(tmp_path / "a.mrc", data=voxels) as file:
        file.voxel_size = 100.0
        file.set_volume()
    volume = read_volume(tmp_path / "a.mrc")
    assert volume.dtype == np.dtype(kind)
    np.testing.assert_array_equal(volume.frame(0)[0], voxels)
    assert volume.voxel_size_um == pytest.approx((0.01, 0.01, 0.01))


def test_mode_0_of_imod_is_unsigned(tmp_path: Path) -> None:
    voxels = (COUNTS % 256).astype(np.uint8)
    with mrcfile.new(tmp_path / "a.mrc", data=voxels.view(np.int8)) as file:
        file.voxel_size = 100.0
        file.set_volume()
    _edited(tmp_path / "a.mrc", 152, "<ii", 1146047817, 0)  # IMOD's stamp, flag "signed" off
    np.testing.assert_array_equal(read_volume(tmp_path / "a.mrc").frame(0)[0], voxels)
    _edited(tmp_path / "a.mrc", 156, "<i", 1)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.mrc").frame(0)[0], voxels.view(np.int8))


def test_columns_may_run_along_z(tmp_path: Path) -> None:
    """mapc, mapr, maps = 3, 1, 2: the fastest axis is z, then x, then y; the cell stays x, y, z."""
    path = mrc(tmp_path).path
    stored = np.ascontiguousarray(COUNTS.astype(np.float32).transpose(1, 2, 0))  # y, x, z
    with mrcfile.new(path, data=stored, overwrite=True) as file:
        file.set_volume()
        file.header.mapc, file.header.mapr, file.header.maps = 3, 1, 2
        file.header.mx, file.header.my, file.header.mz = 11, 9, 7
        file.header.cella = (11 * 1300.0, 9 * 1700.0, 7 * 3100.0)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.frame(0)[0], COUNTS)
    np.testing.assert_array_equal(volume.planes(0, 0, 2, 5), COUNTS[2:5])
    assert volume.voxel_size_um == pytest.approx(SIZE_UM)


def test_zero_cell_is_a_missing_voxel_size(tmp_path: Path) -> None:
    path = _edited(mrc(tmp_path).path, 40, "<fff", 0, 0, 0)
    with pytest.raises(MetadataError, match=r"E-VOXEL-SIZE.*--voxel-size-um"):
        read_volume(path)
    assert read_volume(path, is_size_required=False).voxel_size_um is None
    assert read_volume(path, ReadOptions(voxel_size_um=SIZE_UM)).notes == ()


@pytest.mark.parametrize("change", [-1, -500, 1, 4])
def test_shorter_and_longer_files_are_refused(change: int, tmp_path: Path) -> None:
    path = mrc(tmp_path).path
    data = path.read_bytes()
    path.write_bytes(data[:change] if change < 0 else data + bytes(change))
    with pytest.raises(InputError, match="E-MRC-TRUNC"):
        read_volume(path)


@pytest.mark.parametrize(
    ("offset", "form", "values", "code"),
    [
        (12, "<i", (4,), "E-MRC-MODE"),  # complex
        (12, "<i", (101,), "E-MRC-MODE"),
        (0, "<i", (2**31 - 1,), "E-MRC-TRUNC"),  # a header of terabytes
        (0, "<i", (-7,), "E-SHAPE"),
        (92, "<i", (-4,), "E-MRC-HEADER"),
        (92, "<i", (2**31 - 1,), "E-MRC-TRUNC"),
        (64, "<iii", (1, 1, 2), "E-MRC-HEADER"),
    ],
)
def test_bad_headers(offset: int, form: str, values: tuple[int, ...], code: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=code):
        read_volume(_edited(mrc(tmp_path).path, offset, form, *values))


def test_stack_of_volumes_is_a_time_series(tmp_path: Path) -> None:
    voxels = np.stack([COUNTS, COUNTS + 7, COUNTS + 90]).astype(np.float32)
    with mrcfile.new(tmp_path / "a.mrc", data=voxels) as file:  # 4-D: mrcfile writes space group 401
        file.voxel_size = (1300.0, 1700.0, 3100.0)
    volume = read_volume(tmp_path / "a.mrc")
    assert volume.shape == (3, 1, 7, 9, 11)
    np.testing.assert_array_equal(volume.frame(2)[0], voxels[2])
    assert volume.voxel_size_um == pytest.approx(SIZE_UM)


def test_stack_of_images_needs_axes(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "a.mrc", data=COUNTS.astype(np.float32)) as file:
        file.set_image_stack()
        file.voxel_size = (1300.0, 1700.0, 1.0)
    with pytest.raises(MetadataError, match=r"E-AXES.*--axes"):
        read_volume(tmp_path / "a.mrc")
    volume = read_volume(tmp_path / "a.mrc", ReadOptions(axes="TYX"))
    assert volume.shape == (7, 1, 1, 9, 11)
    assert math.isnan(volume.require_voxel_size()[0])
    assert volume.require_voxel_size()[1:] == pytest.approx(SIZE_UM[1:])


def test_statistics_of_the_header(tmp_path: Path) -> None:
    path = mrc(tmp_path).path
    assert check_statistics(path) == ()
    _edited(path, 80, "<f", 9999.0)
    (note,) = check_statistics(path)
    assert note.startswith("W-MRC-STATISTICS")
    assert "dmax" in note
    _edited(path, 76, "<fff", 0.0, -1.0, -2.0)  # "not set", as MRC2014 writes it
    assert check_statistics(path) == ()


@pytest.mark.parametrize("kind", ["f4", "i2", "u2", "i1", "u1", "bool"])
def test_written_files_satisfy_mrcfile(kind: str, tmp_path: Path) -> None:
    voxels = (np.stack([COUNTS, COUNTS + 7])[:, None] % 120).astype(kind)
    write_volume(tmp_path / "a.mrc", Volume.from_array(voxels, voxel_size_um=SIZE_UM))
    with open(tmp_path / "report.txt", "w") as report:
        assert mrcfile.validate(tmp_path / "a.mrc", print_file=report)
    with mrcfile.open(tmp_path / "a.mrc") as file:
        np.testing.assert_array_equal(file.data, voxels[:, 0])
        assert tuple(file.voxel_size.tolist()) == pytest.approx((1300.0, 1700.0, 3100.0))
        assert float(file.header.dmax) == voxels.max()
    np.testing.assert_array_equal(read_volume(tmp_path / "a.mrc").frame(1), voxels[1])


def test_labels_above_16_bits_are_not_cut(tmp_path: Path) -> None:
    labels = Volume.from_array(COUNTS.astype(np.uint32), voxel_size_um=SIZE_UM)
    with pytest.raises(InputError, match="E-MRC-WRITE"):
        write_volume(tmp_path / "a.mrc", labels)


def test_labels_of_32_bits_are_written_as_the_type_that_holds_them(tmp_path: Path) -> None:
    """mrcfile reads mode 6 (uint16), or mode 2 (float32) above 65,535; what no type holds exactly is refused."""
    for largest, mode, dtype in ((300, 6, np.uint16), (70_000, 2, np.float32)):
        labels = np.zeros((4, 5, 6), np.uint32)
        labels[1, 2, 3], labels[3, 4, 5] = 7, largest
        about = {"quantity": "labels", "voxel_size_um": (0.31, 0.17, 0.13)}
        write_volume(tmp_path / f"{mode}.mrc", Volume.from_array(labels, **about))
        with mrcfile.open(tmp_path / f"{mode}.mrc") as file:
            assert (int(file.header.mode), file.data.dtype) == (mode, dtype)
            np.testing.assert_array_equal(file.data, labels)
    labels[0, 0, 0] = 2**24 + 1
    with pytest.raises(InputError, match="E-MRC-WRITE"):
        write_volume(tmp_path / "c.mrc", Volume.from_array(labels, **about))
