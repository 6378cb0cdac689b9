"""MRC: what the header says twice, stamps of other programs, and refusals whose cure is typed as it is printed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from container_samples import COUNTS, SIZE_UM
from mrcfile.dtypes import HEADER_DTYPE, get_ext_header_dtype

from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import ReadOptions, read_volume

FLOATS = COUNTS.astype(np.float32)


def write(
    path: Path, voxels: np.ndarray, mode: int, *, order: str = "<", extended: bytes = b"", **fields: object
) -> Path:
    """An MRC2014 file by the numbers of its table; ``stamp``, ``word`` and header fields may be replaced."""
    header = np.zeros((), HEADER_DTYPE.newbyteorder(order))
    depth, height, width = voxels.shape
    header["nx"], header["ny"], header["nz"] = header["mx"], header["my"], header["mz"] = width, height, depth
    header["mode"], header["ispg"], header["nsymbt"] = mode, 1, len(extended)
    header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
    for axis, size, count in zip("zyx", SIZE_UM, voxels.shape, strict=True):
        header["cella"][axis] = size * 1e4 * count
    header["dmin"], header["dmax"], header["dmean"] = 0.0, -1.0, -2.0  # not set
    stamp, word = fields.pop("stamp", b"\x44\x44\0\0" if order == "<" else b"\x11\x11\0\0"), fields.pop("word", b"MAP ")
    for name, value in fields.items():
        header[name] = value
    raw = bytearray(header.tobytes())
    raw[208:212], raw[212:216] = word, stamp
    path.write_bytes(bytes(raw) + extended + voxels.astype(voxels.dtype.newbyteorder(order)).tobytes())
    return path


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    "fields",
    [
        {"stamp": b"\x44\0\0\0"},  # SerialEM
        {"stamp": b"\x44\x20\x20\x20"},
        {"stamp": b"\0\0\0\0"},
        {"word": b"\0\0\0\0"},  # Amira
        {"word": b"\0\0\0\0", "stamp": b"\0\0\0\0"},
        {"stamp": b"wrong"},
    ],
)
def test_stamps_of_other_programs(fields: dict[str, bytes], order: str, tmp_path: Path) -> None:
    if fields == {"stamp": b"wrong"}:  # the stamp of the other byte order
        fields = {"stamp": b"\x11\x11\0\0" if order == "<" else b"\x44\x44\0\0"}
    volume = read_volume(write(tmp_path / "a.mrc", FLOATS, 2, order=order, **fields))
    np.testing.assert_array_equal(volume.frame(0)[0], FLOATS)
    assert volume.voxel_size_um == pytest.approx(SIZE_UM)
    (note,) = volume.notes
    assert note.startswith("W-MRC-STAMP")
    assert ("little" if order == "<" else "big") in note


def test_a_strange_stamp_whose_length_fits_no_byte_order_is_refused_by_this_reader(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrc", FLOATS, 2, stamp=b"\0\0\0\0")
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    with pytest.raises(InputError, match=r"(?s)E-MRC-HEADER.*neither byte order.*copy it again"):
        read_volume(path)
    path.write_bytes(whole)  # copied again
    assert read_volume(path).shape == (1, 1, 7, 9, 11)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("mode", "stored", "found"), [(0, "u1", "u1"), (0, "i1", "i1"), (1, "u2", "u2"), (1, "i2", "i2"), (6, "i2", "i2")]
)
def test_the_range_in_the_header_decides_on_the_sign(
    mode: int, stored: str, found: str, order: str, tmp_path: Path
) -> None:
    info = np.iinfo(stored)
    voxels = np.linspace(info.min, info.max, FLOATS.size).astype(stored).reshape(FLOATS.shape)
    path = write(
        tmp_path / "a.mrc", voxels, mode, order=order, dmin=voxels.min(), dmax=voxels.max(), dmean=voxels.mean()
    )
    volume = read_volume(path)
    assert volume.dtype == np.dtype(found)
    np.testing.assert_array_equal(volume.frame(0)[0], voxels)
    as_declared = np.dtype({0: "i1", 1: "i2", 6: "u2"}[mode]) == voxels.dtype
    assert [note.split(":")[0] for note in volume.notes] == ([] if as_declared else ["W-MRC-RANGE"])


def test_intervals_that_are_not_the_voxels_are_noted_with_both_sizes(tmp_path: Path) -> None:
    volume = read_volume(write(tmp_path / "a.mrc", FLOATS, 2, mz=1))
    assert volume.voxel_size_um == pytest.approx((7 * 0.31, 0.17, 0.13))
    (note,) = volume.notes
    assert "MZ = 1 intervals but holds 7 voxels along z: z = 2.17 µm by the intervals (used), 0.31 µm" in note
    assert read_volume(tmp_path / "a.mrc", ReadOptions(voxel_size_um=SIZE_UM)).notes == ()


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_the_extended_header_of_fei_is_compared(factor: float, tmp_path: Path) -> None:
    extended = np.zeros(1, get_ext_header_dtype(b"FEI1", "<"))
    extended["Pixel size X"], extended["Pixel size Y"] = 0.13e-6, 0.17e-6 * factor
    path = write(tmp_path / "a.mrc", FLOATS, 2, extended=extended.tobytes(), exttyp=b"FEI1")
    if factor == 1:
        assert read_volume(path).voxel_size_um == pytest.approx(SIZE_UM)
        return
    with pytest.raises(MetadataError, match=r"y twice: 0\.17 µm by the cell and 0\.34 µm by the extended header"):
        read_volume(path)
    assert read_volume(path, ReadOptions(voxel_size_um=SIZE_UM)).shape == (1, 1, 7, 9, 11)


def test_a_plane_of_a_stack_has_no_thickness(tmp_path: Path) -> None:
    volume = read_volume(write(tmp_path / "a.mrc", FLOATS, 2, ispg=0, mz=1), ReadOptions(axes="TYX"))
    assert volume.shape == (7, 1, 1, 9, 11)
    assert np.isnan(volume.require_voxel_size()[0])


@pytest.mark.parametrize(
    ("fields", "code", "shape"),
    [
        ({"ispg": 0, "mz": 1}, "E-AXES", (1, 1, 7, 9, 11)),
        ({"ispg": 401, "mz": 3}, "E-MRC-HEADER", (1, 1, 7, 9, 11)),
        ({"mapc": 1, "mapr": 1, "maps": 2}, "E-MRC-HEADER", (1, 1, 7, 9, 11)),
    ],
)
def test_the_axes_that_a_refusal_names_cure_it(
    fields: dict[str, int], code: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    path = write(tmp_path / "a.mrc", FLOATS, 2, **fields)
    with pytest.raises((InputError, MetadataError)) as caught:
        read_volume(path)
    assert caught.value.code == code
    (axes,) = re.findall(r"--axes ([A-Z]+)", caught.value.cure)
    assert read_volume(path, ReadOptions(axes=axes)).shape == shape


def test_the_voxel_size_that_a_refusal_asks_for_cures_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrc", FLOATS, 2, cella=(0, 0, 0))
    with pytest.raises(MetadataError, match=r"E-VOXEL-SIZE.*--voxel-size-um Z Y X"):
        read_volume(path)
    assert read_volume(path, ReadOptions(voxel_size_um=SIZE_UM)).shape == (1, 1, 7, 9, 11)


def test_the_command_printed_for_complex_voxels_writes_a_file_that_opens(tmp_path: Path) -> None:
    voxels = (FLOATS + 2j * FLOATS).astype(np.complex64)
    with mrcfile.new(tmp_path / "a b.mrc", data=voxels) as file:
        file.voxel_size = (1300.0, 1700.0, 3100.0)
        file.set_volume()
    with pytest.raises(InputError, match="E-MRC-MODE") as caught:
        read_volume(tmp_path / "a b.mrc")
    command = shlex.split(caught.value.cure[caught.value.cure.index("python -c") :])
    subprocess.run([sys.executable, *command[1:]], cwd=tmp_path, check=True, timeout=120)
    volume = read_volume(tmp_path / "magnitudes.mrc")
    np.testing.assert_allclose(volume.frame(0)[0], np.abs(voxels), rtol=1e-6)
    assert volume.voxel_size_um == pytest.approx(SIZE_UM)


@pytest.mark.parametrize(("mode", "why"), [(3, "complex int16"), (16, "RGB"), (101, "4-bit"), (77, "unknown")])
def test_modes_that_only_another_program_converts_name_it(mode: int, why: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrc", FLOATS, mode)
    with pytest.raises(InputError, match=rf"E-MRC-MODE.*mode {mode} \({why}\).*newstack -mode 2 FILE new\.mrc"):
        read_volume(path)
    write(tmp_path / "new.mrc", FLOATS, 2)  # what the command writes
    assert read_volume(tmp_path / "new.mrc").shape == (1, 1, 7, 9, 11)


def test_what_mrc_cannot_hold_is_cured_by_the_ending_that_is_named(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from tomocyte.cli import app
    from tomocyte.formats import write_volume
    from tomocyte.volume import Volume

    write_volume(tmp_path / "a.nrrd", Volume.from_array(COUNTS.astype("L"), voxel_size_um=SIZE_UM))
    refused = CliRunner().invoke(app, ["convert", str(tmp_path / "a.nrrd"), str(tmp_path / "b.mrc")])
    text = " ".join((refused.output + str(refused.exception)).split())
    assert "E-MRC-WRITE" in text
    (ending,) = re.findall(r"use (\.[a-z.]+)\.", text)
    target = tmp_path / f"b{ending}"
    assert CliRunner().invoke(app, ["convert", str(tmp_path / "a.nrrd"), str(target)]).exit_code == 0
    np.testing.assert_array_equal(read_volume(target).frame(0)[0], COUNTS)
