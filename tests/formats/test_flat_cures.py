"""Each refusal of the NIfTI and NRRD readers is provoked on the command line, its cure typed, the shape looked at."""

from __future__ import annotations

import json
import re
import shlex
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from container_samples import COUNTS, SIZE_UM
from test_nifti_twice import VOXELS
from test_nifti_twice import write as nifti
from test_nrrd_twice import DIRECTIONS, SPACING
from test_nrrd_twice import write as nrrd
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.errors import TomocyteError
from tomocyte.formats import read_volume, write_volume
from tomocyte.volume import Volume

OPTION = re.compile(r"--(axes [TCZYX]{2,5}\b|voxel-size-um Z Y X)")
SIZE = ["--voxel-size-um", *map(str, SIZE_UM)]


def invoke(*words: object) -> tuple[int, str, TomocyteError | None]:
    """Exit code, output, and the error of a command."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    error = result.exception if isinstance(result.exception, TomocyteError) else None
    return result.exit_code, result.output, error


def typed(message: str) -> list[str]:
    """The first of each option that a message prints, as a user would type it, with numbers for Z Y X."""
    found: dict[str, list[str]] = {}
    for match in OPTION.finditer(message):
        name, value = match[1].split(" ", 1)
        found.setdefault(name, SIZE if name == "voxel-size-um" else ["--axes", value])
    return [word for words in found.values() for word in words]


def header_of(path: Path, voxels: np.ndarray, **fields: int) -> Path:
    """A NIfTI of nibabel with another type or intent."""
    image = nib.Nifti1Image(voxels, np.diag([*reversed(SIZE_UM), 1.0]))
    image.header.set_xyzt_units("micron", "sec")
    for name, value in fields.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def colours(path: Path, letters: str) -> Path:
    voxels = np.zeros((11, 9, 7), np.dtype([(letter, "u1") for letter in letters]))
    for index, letter in enumerate(letters):
        voxels[letter] = (COUNTS.T + index) % 256
    return header_of(path, voxels)


def six_axes(path: Path) -> Path:
    return header_of(path, np.stack([VOXELS.T, VOXELS.T + 1], axis=-1).reshape(11, 9, 7, 1, 1, 2))


def spectrum(path: Path) -> Path:
    stored = np.stack([VOXELS, VOXELS + 1])
    return nifti(path, stored, xyzt_units=3 + 32)


def two_sizes(path: Path) -> Path:
    return nifti(path, pixdim_z=0.5, qform_code=0)


STACK = (1, 1, 7, 9, 11)
NIFTI: dict[str, tuple[Callable[[Path], Path], str, tuple[int, ...]]] = {
    "RGB": (lambda path: colours(path, "RGB"), "E-RGB", (1, 3, 7, 9, 11)),
    "RGBA": (lambda path: colours(path, "RGBA"), "E-RGB", (1, 4, 7, 9, 11)),
    "RGB vectors": (
        lambda path: header_of(path, np.stack([VOXELS.T] * 3, axis=-1)[:, :, :, None], intent_code=2003),
        "E-RGB",
        (1, 3, 7, 9, 11),
    ),
    "six axes": (six_axes, "E-AXES", (1, 2, 7, 9, 11)),
    "a spectrum": (spectrum, "E-AXES", (1, 2, 7, 9, 11)),
    "no unit": (lambda path: nifti(path, unit="unknown"), "E-VOXEL-SIZE", STACK),
    "of a patient": (lambda path: nifti(path, xyzt_units=2), "E-VOXEL-SIZE", STACK),
    "two sizes": (two_sizes, "E-VOXEL-SIZE", STACK),
    "zero lengths": (lambda path: nifti(path, pixdim_x=0.0, sform_code=0), "E-VOXEL-SIZE", STACK),
}
FILM = {"labels": "x y t", "units": "um um um"}
NRRD: dict[str, tuple[dict[str, str], str, tuple[int, ...]]] = {
    "bare": ({}, "E-AXES", STACK),
    "labels against kinds": ({"labels": "x y z", "kinds": "space space time"}, "E-AXES", STACK),
    "units against labels": (FILM, "E-AXES", STACK),
    "units against kinds": ({"kinds": "space space space", "units": "um um s"}, "E-AXES", STACK),
    "sizes against kinds": ({"kinds": "domain domain 3-vector"}, "E-AXES", STACK),
    "complex": ({"kinds": "domain domain complex"}, "E-AXES", STACK),
    "no unit": ({"kinds": "space space space", "spacings": "0.1 0.1 0.3"}, "E-VOXEL-SIZE", STACK),
    "of a patient": (SPACING | {"units": "mm mm mm"}, "E-VOXEL-SIZE", STACK),
    "two sizes": (SPACING | DIRECTIONS | {"spacings": "0.13 0.17 0.5"}, "E-VOXEL-SIZE", STACK),
    "too few": (SPACING | {"units": "um um"}, "E-VOXEL-SIZE", STACK),
}


def cured(path: Path, code: str, shape: tuple[int, ...], folder: Path) -> None:
    """Convert is refused with the code; with what the message names, info, convert and a dry run get further."""
    exit_code, _, error = invoke("convert", path, folder / "refused.ome.tif")
    assert (exit_code, None if error is None else error.code) == (1, code)
    assert not (folder / "refused.ome.tif").exists()
    options = typed(str(error))
    assert options, f"nothing to type in {error}"
    if "--voxel-size-um" not in options and code == "E-AXES":  # info can do without
        assert invoke("info", path, *options)[0] == 0
    exit_code, output, error = invoke("convert", path, folder / "cured.ome.tif", *options)
    if error is not None and error.code == "E-VOXEL-SIZE":  # the axes were known first
        options += typed(str(error))
        exit_code, output, error = invoke("convert", path, folder / "cured.ome.tif", *options)
    assert (exit_code, error) == (0, None), output
    assert read_volume(folder / "cured.ome.tif").shape == shape
    exit_code, output, error = invoke("info", path, *options, "--json")
    assert exit_code == 0
    assert json.loads(output)["shape"] == list(shape)
    run = ["run", path, *options, "-m", "fluorescence", "--model", "classical", "--quantity", "intensity"]
    exit_code, output, error = invoke(*run, "-o", folder / "out", "--dry-run")
    assert (exit_code, error) == (0, None), output


@pytest.mark.parametrize("name", NIFTI)
def test_the_cure_of_a_refused_nifti_cures(name: str, tmp_path: Path) -> None:
    make, code, shape = NIFTI[name]
    cured(make(tmp_path / "a.nii"), code, shape, tmp_path)


@pytest.mark.parametrize("name", NRRD)
def test_the_cure_of_a_refused_nrrd_cures(name: str, tmp_path: Path) -> None:
    fields, code, shape = NRRD[name]
    cured(nrrd(tmp_path / "a.nrrd", **fields), code, shape, tmp_path)


@pytest.mark.parametrize(("kind", "n_colours"), [("RGB-color", 3), ("3-color", 3), ("RGBA-color", 4), ("4-color", 4)])
@pytest.mark.parametrize("place", [0, 3])
def test_colours_of_an_nrrd_are_channels_when_asked_for(kind: str, n_colours: int, place: int, tmp_path: Path) -> None:
    stored = np.stack([COUNTS + index for index in range(n_colours)], axis=3 - place)
    kinds = ["domain"] * 3
    kinds.insert(place, kind)
    spacings = SPACING["spacings"].split()
    spacings.insert(place, "nan")
    units = ["um"] * 3
    units.insert(place, '""')
    path = nrrd(
        tmp_path / "a.nrrd", stored.astype("<u2").tobytes(), shape=stored.shape, kinds=" ".join(kinds),
        spacings=" ".join(spacings), units=" ".join(units),
    )  # fmt: skip
    cured(path, "E-RGB", (1, n_colours, 7, 9, 11), tmp_path)
    volume = read_volume(tmp_path / "cured.ome.tif")
    np.testing.assert_array_equal(volume.planes(0, 2), COUNTS + 2)
    assert volume.voxel_size_um == pytest.approx(SIZE_UM)


@pytest.mark.parametrize("wrong", ["YX", "ZZYX", "TCZYX", "QYX"])
def test_axes_that_do_not_fit_are_answered_with_the_shape(wrong: str, tmp_path: Path) -> None:
    for path in (nifti(tmp_path / "a.nii"), nrrd(tmp_path / "a.nrrd", **SPACING)):
        exit_code, _, error = invoke("info", path, "--axes", wrong)
        assert (exit_code, error and error.code) == (1, "E-AXES")
        assert "(7, 9, 11)" in str(error)
        assert typed(str(error)) == ["--axes", "ZYX"]
        assert invoke("info", path, *typed(str(error)))[0] == 0


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_the_command_printed_for_numbers_that_are_not_read_writes_a_file_that_opens(
    dtype: type, tmp_path: Path
) -> None:
    voxels = (VOXELS * (1 + 2j)).astype(dtype)
    path = header_of(tmp_path / "a b.nii", voxels.T)
    _, _, error = invoke("info", path)
    assert error is not None
    assert error.code == "E-DTYPE"
    command = shlex.split(re.search(r"python -c \".*?\"", error.cure)[0])  # type: ignore[index]
    subprocess.run([sys.executable, *command[1:]], cwd=tmp_path, check=True, timeout=120)
    volume = read_volume(tmp_path / "magnitudes.nii")
    np.testing.assert_allclose(volume.frame(0)[0], np.abs(voxels), rtol=1e-6)
    assert volume.voxel_size_um == pytest.approx(SIZE_UM)


def test_a_pair_of_files_is_cured_by_one_file(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(VOXELS.T, np.diag([*reversed(SIZE_UM), 1.0])), tmp_path / "a.hdr")
    (tmp_path / "a.hdr").rename(tmp_path / "a.nii")
    _, _, error = invoke("info", tmp_path / "a.nii")
    assert error is not None
    assert (error.code, ".nii" in error.cure) == ("E-NIFTI-HEADER", True)
    (tmp_path / "a.nii").rename(tmp_path / "a.hdr")
    nib.save(nib.load(tmp_path / "a.hdr"), tmp_path / "b.nii")
    assert read_volume(tmp_path / "b.nii", is_size_required=False).shape == STACK


@pytest.mark.parametrize(
    ("fields", "code", "words", "repaired"),
    [
        ({"endian": ""}, "E-NRRD-HEADER", "`endian: little`", {"endian": "little"}),
        ({"type": "block"}, "E-NRRD-HEADER", "an integer or float type", {"type": "uint16"}),
        ({"dimension": "4"}, "E-NRRD-HEADER", "`dimension` and `sizes`", {"dimension": "3"}),
        ({"encoding": "zrl"}, "E-NRRD-ENCODING", "unu save -f nrrd -e raw -i a.nrrd -o new.nrrd", {"encoding": "raw"}),
        ({"line skip": "-1"}, "E-NRRD-ENCODING", "0 or more", {"line skip": "0"}),
        ({"byte skip": "-3"}, "E-NRRD-ENCODING", "`byte skip: -1`", {"byte skip": "-1"}),
        ({"data file": "s%d.raw 0 5 1"}, "E-NRRD-DATAFILE", "one file for each step", {"data file": "s%d.raw 0 6 1"}),
        (
            {"data file": "LIST\nall.raw"},
            "E-NRRD-DATAFILE",
            "number of axes in a file",
            {"data file": "LIST 3\nall.raw"},
        ),
        ({"data file": "s%d.raw 1 7 1"}, "E-COMPANION-MISSING", "Copy all files", {"data file": "s%d.raw 0 6 1"}),
        ({"data file": "../all.raw"}, "E-COMPANION-OUTSIDE", "one folder", {"data file": "all.raw"}),
        ({"sizes": "11 9 8"}, "E-NRRD-TRUNC", "export it again", {"sizes": "11 9 7"}),
    ],
)
def test_the_line_that_a_cure_names_cures(
    fields: dict[str, str], code: str, words: str, repaired: dict[str, str], tmp_path: Path
) -> None:
    """What no option can say is said of the header; that line is corrected."""
    data = COUNTS.astype("<u2").tobytes()
    (tmp_path / "all.raw").write_bytes(data)
    for index in range(7):
        (tmp_path / f"s{index}.raw").write_bytes(COUNTS[index].astype("<u2").tobytes())
    attached = b"" if "data file" in fields else data
    _, _, error = invoke("info", nrrd(tmp_path / "a.nrrd", attached, **(SPACING | fields)))
    assert error is not None
    assert error.code == code
    assert words in error.cure
    path = nrrd(tmp_path / "b.nrrd", attached, **(SPACING | fields | repaired))
    np.testing.assert_array_equal(read_volume(path).frame(0)[0], COUNTS)


@pytest.mark.parametrize(
    ("edits", "code"),
    [
        ({"vox_offset": 351.5}, "E-NIFTI-HEADER"),
        ({"scl_slope": 2.0, "scl_inter": float("inf")}, "E-NIFTI-HEADER"),
        ({"datatype": 77}, "E-DTYPE"),
    ],
)
def test_damaged_nifti_headers_are_cured_by_the_file_as_it_was(
    edits: dict[str, float], code: str, tmp_path: Path
) -> None:
    _, _, error = invoke("info", nifti(tmp_path / "a.nii", **edits))
    assert error is not None
    assert error.code == code
    assert "xport" in error.cure
    path = nifti(tmp_path / "a.nii")
    path.write_bytes(path.read_bytes()[:-5])
    _, _, error = invoke("info", path)
    assert error is not None
    assert (error.code, "copy" in error.cure) == ("E-NIFTI-TRUNC", True)
    assert invoke("info", nifti(tmp_path / "a.nii"))[0] == 0


def test_what_nrrd_cannot_write_is_cured_by_the_ending_that_is_named(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii", Volume.from_array(COUNTS, voxel_size_um=SIZE_UM))
    _, _, error = invoke("convert", tmp_path / "a.nii", tmp_path / "b.nhdr")
    assert error is not None
    assert error.code == "E-NRRD-WRITE"
    (ending,) = re.findall(r"ending (\.[a-z]+) ", error.cure)
    assert invoke("convert", tmp_path / "a.nii", tmp_path / f"b{ending}")[0] == 0
    np.testing.assert_array_equal(read_volume(tmp_path / f"b{ending}").frame(0)[0], COUNTS)


def test_a_header_of_five_long_axes_and_more_is_refused(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii")
    data = bytearray(path.read_bytes())
    struct.pack_into("<8h", data, 40, 7, 2, 2, 2, 2, 2, 2, 2)
    path.write_bytes(bytes(data))
    many = nrrd(tmp_path / "a.nrrd", shape=(2,) * 6)
    for each in (path, many):
        _, _, error = invoke("info", each)
        assert error is not None
        assert "2 to 5 axes longer than 1" in error.cure
