"""NRRD: spellings of the definition, skips, texts, several files, and what the header says twice; pynrrd is asked, too.

Rules that are checked are those of https://teem.sourceforge.net/nrrd/format.html, in their words where it matters.
"""

from __future__ import annotations

import bz2
import gzip
import json
import math
import pickle
import re
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pytest
from container_samples import COUNTS, SIZE_UM
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import ReadOptions, read_volume, write_volume
from tomocyte.volume import Volume

DATA = COUNTS.astype("<u2").tobytes()
SPACING = {"kinds": "domain domain domain", "spacings": "0.13 0.17 0.31", "units": "um um um"}
DIRECTIONS = {"space dimension": "3", "space directions": "(0.13,0,0) (0,0.17,0) (0,0,0.31)", "space units": "um um um"}


def write(path: Path, data: bytes = DATA, *, shape: tuple[int, ...] = COUNTS.shape, **fields: str) -> Path:
    """A file with these fields, of which an empty one is left out; ``_`` stands for a space."""
    head = {"type": "uint16", "dimension": str(len(shape)), "sizes": " ".join(map(str, shape[::-1]))}
    head |= {"endian": "little", "encoding": "raw"} | {key.replace("_", " "): value for key, value in fields.items()}
    last = {"data file": head.pop("data file")} if "data file" in head else {}
    lines = ["NRRD0005", *(f"{key}: {value}" for key, value in (head | last).items() if value)]
    path.write_bytes(("\n".join(lines) + "\n\n").encode() + data)
    return path


def codes(volume: Volume) -> list[str]:
    return [note.split(":")[0] for note in volume.notes]


NAMES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float", "Float", "FLOAT"),
    "f8": ("double",),
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in NAMES.items() for name in names])
@pytest.mark.parametrize("order", ["little", "big"])
def test_every_name_of_a_type(kind: str, name: str, order: str, tmp_path: Path) -> None:
    dtype = np.dtype(kind)
    voxels = np.arange(3 * 4 * 5).reshape(3, 4, 5).astype(kind)
    if dtype.kind in "iu":
        voxels[0, 0, :2] = np.iinfo(dtype).min, np.iinfo(dtype).max
    data = voxels.astype(dtype.newbyteorder("<" if order == "little" else ">")).tobytes()
    path = write(tmp_path / "a.nrrd", data, shape=(3, 4, 5), type=name, endian=order, **SPACING)
    volume = read_volume(path)
    assert volume.dtype == dtype
    np.testing.assert_array_equal(volume.frame(0)[0], voxels)


def test_names_of_fields_in_any_case_and_both_spellings(tmp_path: Path) -> None:
    lines = ["NRRD0004", "# a comment", "Type: UINT16", "DIMENSION: 3", "Sizes: 11 9 7", "Endian: Little"]
    lines += ["Encoding: RAW", "Kinds: Domain DOMAIN domain", "Spacings: 0.13 0.17 0.31", "Units: UM um Micron"]
    lines += ["byteskip: 3", "content: a : b := c", "sizes:=of a program", "Units of mine:=furlong"]
    (tmp_path / "a.nrrd").write_bytes(("\r\n".join(lines) + "\r\n\r\n").encode() + b"abc" + DATA)
    volume = read_volume(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(volume.frame(0)[0], COUNTS)
    assert volume.voxel_size_um == pytest.approx(SIZE_UM)
    assert volume.metadata["content"] == "a : b := c"
    assert volume.metadata["Units of mine"] == "furlong"
    assert volume.notes == ()


ENCODINGS = {
    "raw": DATA,
    "gzip": gzip.compress(DATA),
    "gz": gzip.compress(DATA),
    "bzip2": bz2.compress(DATA),
    "bz2": bz2.compress(DATA),
    "ascii": " ".join(map(str, COUNTS.ravel())).encode() + b"\n",
    "text": ",\n".join(map(str, COUNTS.ravel())).encode() + b"\n",
    "TXT": "\t".join(map(str, COUNTS.ravel())).encode() + b" ",
    "hex": b"\n".join(DATA.hex().encode()[start : start + 70] for start in range(0, 2 * len(DATA), 70)) + b"\n",
}


@pytest.mark.parametrize("is_detached", [False, True])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encodings_with_lines_before_them(encoding: str, is_detached: bool, tmp_path: Path) -> None:
    """Lines are skipped in the file as it is, before anything is unpacked."""
    data = b"one line\nanother\r\n" + ENCODINGS[encoding]
    name = {"data_file": "voxels.bin"} if is_detached else {}
    path = tmp_path / ("a.nhdr" if is_detached else "a.nrrd")
    write(path, b"" if is_detached else data, encoding=encoding, line_skip="2", **name, **SPACING)
    (tmp_path / "voxels.bin").write_bytes(data)
    volume = pickle.loads(pickle.dumps(read_volume(path)))  # noqa: S301  as worker processes do
    np.testing.assert_array_equal(volume.frame(0)[0], COUNTS)
    np.testing.assert_array_equal(volume.planes(0, 0, 2, 3), COUNTS[2:3])


@pytest.mark.parametrize("skip", [5, -1])
@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2"])
def test_bytes_are_skipped_in_what_was_unpacked(encoding: str, skip: int, tmp_path: Path) -> None:
    pack = {"raw": bytes, "gzip": gzip.compress, "bzip2": bz2.compress}[encoding]
    path = write(tmp_path / "a.nrrd", pack(b"abcde" + DATA), encoding=encoding, byte_skip=str(skip), **SPACING)
    np.testing.assert_array_equal(read_volume(path).frame(0)[0], COUNTS)
    if (encoding, skip) in (("raw", 5), ("raw", -1), ("gzip", -1)):  # of the others pynrrd skips packed bytes, too
        np.testing.assert_array_equal(nrrd.read(str(path))[0].T, COUNTS)
    short = write(tmp_path / "b.nrrd", pack(DATA[:-1]), encoding=encoding, byte_skip=str(skip), **SPACING)
    with pytest.raises(InputError, match="E-NRRD-TRUNC"):
        read_volume(short).frame(0)


def test_a_text_has_no_byte_order_and_its_numbers_must_fit(tmp_path: Path) -> None:
    words = b"1 2 3 -4 5 6e0\n"
    for kind, text, right in (
        ("float", words, [1, 2, 3, -4, 5, 6]),
        ("double", b"nan inf -inf 0 1e-300 2\n", [math.nan, math.inf, -math.inf, 0, 1e-300, 2]),
        ("uint64", b"18446744073709551615 0 1 2 3 4\n", [2**64 - 1, 0, 1, 2, 3, 4]),
    ):
        path = write(tmp_path / f"{kind}.nrrd", text, shape=(2, 3), type=kind, endian="", encoding="ascii")
        volume = read_volume(path, is_size_required=False)
        np.testing.assert_array_equal(volume.planes(0, 0).ravel(), np.array(right, NUMPY[kind]))
    for kind, text in (
        ("uint8", b"1 2 3 4 5 256\n"), ("int8", b"1 2 3 4 5 -129\n"), ("short", b"1 2 3 4 5 6.5\n"),
        ("uint8", b"1 2 3 4 5\n"), ("uint8", b"1 2 3 4 5 6 7\n"), ("uint8", b"1 2 3 4 5 6"),
        ("uint8", b"1 2 x 4 5 6\n"),
    ):  # fmt: skip
        path = write(tmp_path / "bad.nrrd", text, shape=(2, 3), type=kind, endian="", encoding="ascii")
        with pytest.raises(InputError, match="E-NRRD-TRUNC"):
            read_volume(path, is_size_required=False)


NUMPY = {"float": np.float32, "double": np.float64, "uint64": np.uint64}


@pytest.mark.parametrize(
    ("data_file", "steps"),
    [
        ("LIST", 1),
        ("LIST 2", 1),
        ("LIST 3", 1),
        ("s%d.raw 1 7 1", 1),
        ("s%03d.raw 30 -30 -10", 1),
        ("s%u.raw 0 6 1 2", 1),
        ("part %02d µ.raw 5 5 1 3", 7),
        ("LIST 1", 0),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_voxels_in_several_files(data_file: str, steps: int, pack: Any, tmp_path: Path) -> None:
    """One plane a file, all in one, or one row a file."""
    pieces = COUNTS.reshape(-1, 11) if steps == 0 else COUNTS.reshape(7 // steps, -1)
    if data_file.startswith("LIST"):
        names = [f"file {index} é.bin" for index in range(len(pieces))]
    else:
        form, numbers = re.match(r"(.*%\S*.*?\.raw) (.*)", data_file).groups()  # type: ignore[union-attr]
        first, _, step, *_ = map(int, numbers.split())
        names = [form.replace("%u", "%d") % (first + step * index) for index in range(len(pieces))]
    for name, piece in zip(names, pieces, strict=True):
        (tmp_path / name).write_bytes(b"#\n" + pack(b"abc" + piece.astype("<u2").tobytes()))
    text = "\n".join([data_file, *names]) if data_file.startswith("LIST") else data_file
    encoding = "raw" if pack is bytes else "gzip"
    path = write(tmp_path / "a.nhdr", b"", encoding=encoding, line_skip="1", byte_skip="3", data_file=text, **SPACING)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.frame(0)[0], COUNTS)
    np.testing.assert_array_equal(volume.planes(0, 0, 2, 5), COUNTS[2:5])
    (tmp_path / names[-1]).write_bytes((tmp_path / names[-1]).read_bytes()[:-1])
    with pytest.raises(InputError, match="E-INPUT-CHANGED"):
        volume.planes(0, 0, 6, 7)
    with pytest.raises(InputError, match="E-NRRD-TRUNC"):
        read_volume(path).frame(0)


@pytest.mark.parametrize("name", ["../s1.raw", "/etc/hostname"])
def test_each_of_several_files_stays_in_the_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for place in (tmp_path, tmp_path / "in"):
        (place / "s1.raw").write_bytes(DATA)
    path = write(tmp_path / "in" / "a.nhdr", b"", data_file=f"LIST 3\n{name}", **SPACING)
    with pytest.raises(InputError, match="E-COMPANION-OUTSIDE"):
        read_volume(path)


@pytest.mark.parametrize(
    ("fields", "code", "size"),
    [
        ({"spacings": "0.13 0.17"}, "W-NRRD-FIELD", None),
        ({"units": "um um"}, "W-NRRD-FIELD", None),
        ({"kinds": "domain domain"}, "W-NRRD-FIELD", SIZE_UM),  # the units say it
        ({**DIRECTIONS, "space units": "um um"}, "W-NRRD-FIELD", SIZE_UM),
        ({**DIRECTIONS, "space origin": "(1,2)"}, "W-NRRD-FIELD", SIZE_UM),
        ({**DIRECTIONS, "space directions": "(0.13,0,0) (0,0.17,0)"}, "W-NRRD-FIELD", SIZE_UM),
        ({**DIRECTIONS, "space dimension": "4"}, "W-NRRD-FIELD", SIZE_UM),
        ({"old min": "1.33", "old max": "1.41"}, "W-NRRD-QUANTISED", SIZE_UM),
        ({"max": "70000"}, "W-NRRD-RANGE", SIZE_UM),
        ({"min": "-1"}, "W-NRRD-RANGE", SIZE_UM),
        ({"min": "0", "max": "6810"}, None, SIZE_UM),
        ({**DIRECTIONS, "space directions": "( 0.13 , 0, 0)(0,0.17,0) (0, 0, 0.31 )"}, None, SIZE_UM),
        ({**DIRECTIONS, "space directions": "(0.13,0,0) (0.03,0.17,0) (0,0,0.31)", "spacings": "", "units": ""},
         "W-SHEAR", (0.31, math.hypot(0.17, 0.03), 0.13)),
    ],
)  # fmt: skip
def test_fields_that_do_not_fit_are_noted(
    fields: dict[str, str], code: str | None, size: tuple[float, ...] | None, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.nrrd", **(SPACING | fields))
    volume = read_volume(path, is_size_required=False)
    assert set(codes(volume)) - {"W-VOXEL-SIZE"} == (set() if code is None else {code})
    assert volume.voxel_size_um == (None if size is None else pytest.approx(size))
    np.testing.assert_array_equal(volume.frame(0)[0], COUNTS)


@pytest.mark.parametrize(
    ("centering", "z_end", "size"),
    [("cell", 7 * 0.31, 0.31), ("node", 6 * 0.31, 0.31), ("node", 7 * 0.31, None), ("???", 99.0, 0.31)],
)
def test_the_ends_of_an_axis_are_compared_with_its_spacing(
    centering: str, z_end: float, size: float | None, tmp_path: Path
) -> None:
    """Cells: from border to border; nodes: from the first to the last centre; unknown: not compared."""
    n_steps = np.array([11, 9]) - (centering == "node")
    maxs = [1 + 0.13 * n_steps[0], 0.17 * n_steps[1], z_end]
    fields = {"axis mins": "1 0 0", "axis maxs": " ".join(map(repr, map(float, maxs)))}
    fields |= {"centerings": " ".join([centering] * 3)}
    path = write(tmp_path / "a.nrrd", **SPACING, **fields)
    if size is None:
        with pytest.raises(
            MetadataError, match=r"z twice: 0\.31 µm by spacings and 0\.361667 µm by axis mins and maxs"
        ):
            read_volume(path)
        return
    assert read_volume(path).voxel_size_um == pytest.approx(SIZE_UM)
    if centering != "???":
        alone = write(tmp_path / "b.nrrd", **(SPACING | fields | {"spacings": ""}))
        assert read_volume(alone).voxel_size_um == pytest.approx(SIZE_UM)


@pytest.mark.parametrize(
    ("fields", "axes"),
    [
        ({"kinds": "domain domain domain", "units": "um um s"}, "TYX"),  # any domain, and it has seconds
        ({"kinds": "", "units": "um um ms"}, "TYX"),
        ({"kinds": "space space time", "units": "um um um"}, None),
        ({"kinds": "space space space", "units": "um um s"}, None),
        ({"labels": "x y z", "units": "um um s"}, None),
        ({"labels": "x y t", "units": "um um um"}, None),
        ({"kinds": "domain domain 3-vector"}, None),  # of 7
        ({"kinds": "domain domain complex"}, None),
        ({"kinds": "domain domain ???"}, None),
        ({"kinds": "domain domain vector"}, "CYX"),
        ({"kinds": "domain domain covariant-vector"}, "CYX"),
    ],
)
def test_kinds_units_labels_and_sizes_against_each_other(
    fields: dict[str, str], axes: str | None, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.nrrd", **({"units": "um um um", "spacings": "0.13 0.17 2"} | fields))
    if axes is None:
        with pytest.raises(MetadataError, match=r"E-AXES.*--axes ZYX"):
            read_volume(path, is_size_required=False)
        return
    volume = read_volume(path, is_size_required=False)
    assert volume.shape == ((7, 1, 1, 9, 11) if axes == "TYX" else (1, 7, 1, 9, 11))
    step = {"s": 2.0, "ms": 2e-3}.get(fields.get("units", "").split(" ")[-1])
    assert volume.time_s == (None if step is None else pytest.approx([step * frame for frame in range(7)]))
    np.testing.assert_array_equal(volume.planes(6, 0)[0] if axes == "TYX" else volume.planes(0, 6)[0], COUNTS[6])


def test_time_as_the_fourth_dimension_of_space(tmp_path: Path) -> None:
    """Its direction gives the step; the positions of the others are in millimetres."""
    stored = np.stack([COUNTS, COUNTS + 1])
    fields = {
        "space": "left-posterior-superior-time",
        "space directions": "(-0.00013,0,0,0) (0,-0.00017,0,0) (0,0,0.00031,0) (0,0,0,2.5)",
        "space units": '"mm" "mm" "mm" "s"', "space origin": "(-0.1,0.2,0.3,0)", "kinds": "space space space time",
    }  # fmt: skip
    volume = read_volume(write(tmp_path / "a.nrrd", stored.astype("<u2").tobytes(), shape=stored.shape, **fields))
    assert volume.voxel_size_um == pytest.approx(SIZE_UM)
    assert volume.time_s == pytest.approx((0, 2.5))
    expected = [[0, 0, 0.31], [0, 0.17, 0], [0.13, 0, 0], [100, -200, 300]]
    np.testing.assert_allclose(volume.affine, expected, atol=1e-9)
    assert volume.affine_unit == "um"


def test_lengths_without_a_unit_are_shown_where_the_size_is_asked_for(tmp_path: Path) -> None:
    for fields in ({"spacings": SPACING["spacings"]}, {**DIRECTIONS, "space units": ""}):
        path = write(tmp_path / "a.nrrd", kinds="domain domain domain", **fields)
        with pytest.raises(MetadataError, match=r"E-VOXEL-SIZE.*z = 0\.31, y = 0\.17, x = 0\.13 without a known unit"):
            read_volume(path)
        assert read_volume(path, ReadOptions(voxel_size_um=SIZE_UM)).notes == ()


def test_a_length_of_no_microscope_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nrrd", **(SPACING | {"units": "mm mm mm"}))
    assert read_volume(path, is_size_required=False).voxel_size_um is None
    with pytest.raises(MetadataError, match=r"E-VOXEL-SIZE.*z = 310 µm by spacings"):
        read_volume(path)


def test_what_the_file_says_of_an_axis_counts_only_for_that_axis(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nrrd", **SPACING)
    volume = read_volume(path, ReadOptions(axes="TYX"))
    assert volume.time_s is None
    assert volume.voxel_size_um == pytest.approx((math.nan, 0.17, 0.13), nan_ok=True)
    assert read_volume(path, ReadOptions(axes="YZX")).voxel_size_um == pytest.approx((0.17, 0.31, 0.13))
    single = write(tmp_path / "b.nrrd", shape=(7, 1, 9, 11))
    with pytest.raises(MetadataError, match="E-AXES"):
        read_volume(single)
    assert read_volume(single, ReadOptions(axes="ZYX"), is_size_required=False).shape == (1, 1, 7, 9, 11)


def test_info_names_the_field_behind_each_property(tmp_path: Path) -> None:
    five = np.stack([COUNTS, COUNTS + 1])[:, np.newaxis].repeat(2, axis=1)
    volume = Volume.from_array(
        five, voxel_size_um=SIZE_UM, time_s=(0.0, 7.25), quantity="intensity", unit="1", medium_ri=1.34,
        channel_names=("DNA", "actin"),
    )  # fmt: skip
    write_volume(tmp_path / "own.nrrd", volume)
    write(tmp_path / "directions.nrrd", kinds="space space space", **DIRECTIONS)
    fields = {"kinds": "domain domain time", "units": "um um s", "spacings": "0.13 0.17 3"}
    write(tmp_path / "film.nrrd", **fields)
    found = {}
    for name in ("own", "directions", "film"):
        result = CliRunner().invoke(app, ["info", str(tmp_path / f"{name}.nrrd"), "--json"])
        rows: list[dict[str, Any]] = json.loads(result.stdout)["properties"]
        found[name] = {row["property"]: row["source"] for row in rows if row["source"] is not None}
    assert found == {
        "own": {
            "voxel_size_um": "NRRD spacings", "time_s": "NRRD time_s", "quantity": "NRRD quantity", "unit": "NRRD unit",
            "medium_ri": "NRRD medium_ri", "channel_names": "NRRD channel_names",
        },
        "directions": {"voxel_size_um": "NRRD space directions"},
        "film": {"voxel_size_um": "NRRD spacings", "time_s": "NRRD spacings"},
    }  # fmt: skip


def test_a_place_in_space_is_written_and_pynrrd_reads_it(tmp_path: Path) -> None:
    affine = ((0.0, 0.0, -0.31), (0.17, 0.0, 0.0), (0.0, 0.13, 0.0), (40.0, -7.0, 2.5))
    volume = Volume.from_array(
        np.stack([COUNTS, COUNTS])[:, None], voxel_size_um=SIZE_UM, affine=affine, affine_unit="um", time_s=(0.0, 3.0)
    )
    write_volume(tmp_path / "a.nrrd", volume)
    again = read_volume(tmp_path / "a.nrrd")
    assert (again.affine, again.affine_unit, again.voxel_size_um) == (affine, "um", SIZE_UM)
    assert again.notes == ()
    header = nrrd.read_header(str(tmp_path / "a.nrrd"))
    np.testing.assert_array_equal(header["space directions"][:3], affine[2::-1])
    np.testing.assert_array_equal(header["space origin"], affine[3])
    assert header["space"] == "right-anterior-superior"
