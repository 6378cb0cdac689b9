"""NRRD: both ways to say the spacing, kinds and labels, detached voxels; pynrrd is the other opinion."""

from __future__ import annotations

import bz2
import gzip
import math
from pathlib import Path

import nrrd
import numpy as np
import pytest
from container_samples import COUNTS, SIZE_UM, nrrd_raw

from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import ReadOptions, read_volume, write_volume
from tomocyte.volume import Volume

HEADER = [
    "NRRD0005",
    "type: uint16",
    "dimension: 3",
    "sizes: 11 9 7",
    "endian: little",
    "encoding: raw",
    "kinds: domain domain domain",
    "spacings: 130 170 310",
    'units: "nm" "nm" "nm"',
]
DATA = COUNTS.astype("<u2").tobytes()


def _file(path: Path, header: list[str], data: bytes = DATA) -> Path:
    path.write_bytes("\n".join(header).encode() + b"\n\n" + data)
    return path


def _with(**fields: str) -> list[str]:
    """The header with some fields replaced, or removed when empty."""
    found = {line.split(":")[0]: line for line in HEADER[1:]}
    for key, value in fields.items():
        name = key.replace("_", " ")
        found.pop(name, None)
        if value:
            found[name] = f"{name}: {value}"
    return [HEADER[0], *found.values()]


def test_spacings_with_units(tmp_path: Path) -> None:
    volume = read_volume(_file(tmp_path / "a.nrrd", HEADER))
    np.testing.assert_array_equal(volume.frame(0)[0], COUNTS)
    assert volume.voxel_size_um == pytest.approx(SIZE_UM)


@pytest.mark.parametrize(
    "fields",
    [
        {"units": ""},
        {"units": '"furlong" "nm" "nm"'},
        {"spacings": "130 170 0"},
        {"spacings": "130 170 nan"},
        {"spacings": ""},
        {"spacings": "", "units": "", "space": "scanner-xyz", "space_directions": "(1,0,0) (0,2,0) (0,0,3)"},
    ],
)
def test_spacing_without_unit_is_missing(fields: dict[str, str], tmp_path: Path) -> None:
    path = _file(tmp_path / "a.nrrd", _with(**fields))
    with pytest.raises(MetadataError, match="E-VOXEL-SIZE"):
        read_volume(path)


def test_directions_in_millimetres_may_be_oblique(tmp_path: Path) -> None:
    """Steps of 5 · (0.6, 0.8, 0) · 10⁻⁴ mm = 0.5 µm along x."""
    fields = {
        "spacings": "",
        "units": "",
        "space": "scanner-xyz",
        "space_units": '"mm" "mm" "mm"',
        "space_directions": "(0.0003,0.0004,0) (0,0.0002,0) (0,0,0.0009)",
    }
    volume = read_volume(_file(tmp_path / "a.nrrd", _with(**fields)))
    assert volume.voxel_size_um == pytest.approx((0.9, 0.2, 0.5))


def test_kinds_tell_channel_and_time(tmp_path: Path) -> None:
    voxels = np.arange(2 * 4 * 5 * 6, dtype=np.uint16).reshape(4, 5, 6, 2)  # slowest first; channel fastest
    header = _with(
        dimension="4",
        sizes="2 6 5 4",
        kinds="list domain domain time",
        spacings="nan 130 170 3",
        units='"" "nm" "nm" "s"',
    )
    volume = read_volume(_file(tmp_path / "a.nrrd", header, voxels.astype("<u2").tobytes()))
    assert volume.shape == (4, 2, 1, 5, 6)
    np.testing.assert_array_equal(volume.frame(3)[1, 0], voxels[3, :, :, 1])
    assert volume.time_s == pytest.approx((0.0, 3.0, 6.0, 9.0))


def test_unknown_third_axis_needs_axes(tmp_path: Path) -> None:
    path = _file(tmp_path / "a.nrrd", _with(kinds="", spacings="", units=""))
    with pytest.raises(MetadataError, match=r"E-AXES.*--axes"):
        read_volume(path, ReadOptions(voxel_size_um=SIZE_UM))
    volume = read_volume(path, ReadOptions(axes="TYX", voxel_size_um=(math.nan, 0.2, 0.1)))
    assert volume.shape == (7, 1, 1, 9, 11)


@pytest.mark.parametrize(
    ("encoding", "data"), [("raw", DATA), ("gzip", gzip.compress(DATA)), ("bzip2", bz2.compress(DATA))]
)
def test_detached_voxels(encoding: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(data)
    path = _file(tmp_path / "a.nhdr", [*_with(encoding=encoding), "data file: a.bin"], b"")
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.planes(0, 0, 5, 7), COUNTS[5:])
    np.testing.assert_array_equal(volume.planes(0, 0, 0, 2), COUNTS[:2])


@pytest.mark.parametrize("name", ["../a.bin", "/etc/hostname", "sub/../../a.bin", "file:///etc/hostname", "link.bin"])
def test_detached_voxels_stay_in_the_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(DATA)
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "a.bin")
    with pytest.raises(InputError, match="E-COMPANION-OUTSIDE"):
        read_volume(_file(folder / "a.nhdr", [*HEADER, f"data file: {name}"], b""))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"sizes": "11 9 8"}, "E-NRRD-TRUNC"),
        ({"sizes": "11 9 6"}, "E-NRRD-TRUNC"),
        ({"sizes": "11 9 99999999999999"}, "E-SHAPE"),
        ({"sizes": "11 9"}, "E-NRRD-HEADER"),
        ({"sizes": "11 9 -7"}, "E-SHAPE"),
        ({"type": "block"}, "E-NRRD-HEADER"),
        ({"endian": ""}, "E-NRRD-HEADER"),
        ({"encoding": "zrl"}, "E-NRRD-ENCODING"),
        ({"line_skip": "-3"}, "E-NRRD-ENCODING"),
        ({"line_skip": "3000"}, "E-NRRD-TRUNC"),
        ({"byte_skip": "-2"}, "E-NRRD-ENCODING"),
        ({"byte_skip": "1"}, "E-NRRD-TRUNC"),
        ({"data_file": "slice%03d.raw 1 7 1"}, "E-COMPANION-MISSING"),
        ({"data_file": "slice%03d.raw 1 6 1"}, "E-NRRD-DATAFILE"),
        ({"data_file": "slice%03d.raw 1 7 0"}, "E-NRRD-DATAFILE"),
        ({"data_file": "slice%03d.raw 1 999999999999 1"}, "E-NRRD-DATAFILE"),
    ],
)
def test_bad_headers(fields: dict[str, str], code: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=code):
        read_volume(_file(tmp_path / "a.nrrd", _with(**fields)))


def test_byte_skip_from_the_end(tmp_path: Path) -> None:
    path = _file(tmp_path / "a.nrrd", _with(byte_skip="-1"), b"something else" + DATA)
    np.testing.assert_array_equal(read_volume(path).frame(0)[0], COUNTS)


@pytest.mark.parametrize("kind", ["u1", "i2", "u4", "f4", "f8"])
def test_pynrrd_reads_what_is_written(kind: str, tmp_path: Path) -> None:
    voxels = (np.arange(2 * 3 * 4 * 5 * 6) % 200).reshape(2, 3, 4, 5, 6).astype(kind)
    volume = Volume.from_array(voxels, voxel_size_um=SIZE_UM, time_s=(0.0, 7.25), quantity="labels", unit="1")
    write_volume(tmp_path / "a.nrrd", volume)
    stored, header = nrrd.read(str(tmp_path / "a.nrrd"))
    np.testing.assert_array_equal(stored.transpose(4, 3, 2, 1, 0), voxels)
    assert header["spacings"][:3] == pytest.approx(SIZE_UM[::-1])
    again = read_volume(tmp_path / "a.nrrd")
    assert (again.dtype, again.quantity, again.unit, again.time_s) == (np.dtype(kind), "labels", "1", (0.0, 7.25))
    assert again.voxel_size_um == pytest.approx(SIZE_UM)
    np.testing.assert_array_equal(again.frame(1), voxels[1])


def test_big_endian_by_pynrrd(tmp_path: Path) -> None:
    path = nrrd_raw(tmp_path).path
    data = path.read_bytes().replace(b"endian: little", b"endian: big")
    path.write_bytes(data[: -len(DATA)] + COUNTS.astype(">u2").tobytes())
    np.testing.assert_array_equal(read_volume(path).frame(0)[0], COUNTS)
