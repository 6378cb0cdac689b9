"""MATLAB files: versions 5, 7 and 7.3 of one array give one volume; arrays and axes are asked for, never guessed."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from container_samples import COUNTS, MATLAB, SAMPLES, SIZE_UM
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import ReadOptions, read_volume

VERSIONS = ("mat_5", "mat_7", "mat_73")


@pytest.mark.parametrize("name", VERSIONS)
def test_axes_are_given_in_matlabs_order_whatever_the_version(name: str, tmp_path: Path) -> None:
    path = SAMPLES[name](tmp_path).path
    np.testing.assert_array_equal(read_volume(path, ReadOptions(SIZE_UM, "YXZ")).frame(0)[0], COUNTS)
    turned = read_volume(path, ReadOptions(SIZE_UM, "XYZ")).frame(0)[0]
    np.testing.assert_array_equal(turned, COUNTS.transpose(0, 2, 1))
    frames = read_volume(path, ReadOptions(SIZE_UM, "YXT"))
    assert frames.shape == (7, 1, 1, 9, 11)
    assert frames.planes(3, 0)[0, 8, 2] == 3402


@pytest.mark.parametrize("name", VERSIONS)
def test_what_is_missing_is_asked_for_and_its_cure_gets_further(name: str, tmp_path: Path) -> None:
    path = SAMPLES[name](tmp_path).path
    with pytest.raises(MetadataError, match="array of 9 x 11 x 7") as caught:
        read_volume(path)
    axes = re.findall(r"--axes ([A-Z]+)", caught.value.cure)[0]
    shown = CliRunner().invoke(app, ["info", str(path), "--axes", axes])
    assert "Z=7 Y=9 X=11" in shown.output
    assert "give it with --voxel-size-um Z Y X" in shown.output


@pytest.mark.parametrize("is_packed", [False, True])
def test_arrays_are_listed_and_chosen(is_packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "several.mat"
    inside = {"ri": MATLAB, "mask": MATLAB > 3000, "res": 0.1, "meta": {"n": np.zeros((3, 3))}, "name": "cell"}
    scipy.io.savemat(path, inside, do_compression=is_packed)
    with pytest.raises(
        InputError, match=r"E-DATASET.*holds 2 arrays.*ri \(9 x 11 x 7\), mask \(9 x 11 x 7\)"
    ) as caught:
        read_volume(path, ReadOptions(SIZE_UM, "YXZ"))
    assert caught.value.cure.startswith("Give --dataset ri,")
    assert read_volume(path, ReadOptions(SIZE_UM, "YXZ", dataset="mask")).planes(0, 0)[3].sum() == 98  # all but 3000
    with pytest.raises(InputError, match="no array 'missing'"):
        read_volume(path, ReadOptions(SIZE_UM, "YXZ", dataset="missing"))


def test_version_73_reads_a_plane_alone_and_lists_its_arrays(tmp_path: Path) -> None:
    path = SAMPLES["mat_73"](tmp_path).path
    with h5py.File(path, "r+") as file:
        file.create_dataset("#refs#/a", data=np.zeros((4, 5)))
        file.create_dataset("other", data=np.zeros((4, 5)))
    with pytest.raises(InputError, match=r"ri \(9 x 11 x 7\)") as caught:
        read_volume(path, ReadOptions(SIZE_UM, "YXZ"))
    assert "other (5 x 4)" in str(caught.value)
    assert "refs" not in str(caught.value)


def test_a_matrix_has_rows_and_columns(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "plane.mat", {"phase": COUNTS[3].astype(np.float32)})
    volume = read_volume(tmp_path / "plane.mat", ReadOptions((np.nan, 0.2, 0.1)))
    np.testing.assert_array_equal(volume.planes(0, 0)[0], COUNTS[3])


def test_complex_numbers_and_files_without_arrays_are_refused(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"field": COUNTS[0] * 1j})
    with pytest.raises(InputError, match=r"E-MAT-COMPLEX.*angle\(field\)"):
        read_volume(tmp_path / "a.mat")
    scipy.io.savemat(tmp_path / "b.mat", {"n": 3.0})
    with pytest.raises(InputError, match="E-DATASET"):
        read_volume(tmp_path / "b.mat")


def test_an_element_of_no_known_type_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """SciPy believes it and crashes; the numbers are the last 7 · 9 · 11 · 2 bytes, padded to 1392."""
    path = SAMPLES["mat_5"](tmp_path).path
    data = bytearray(path.read_bytes())
    place = len(data) - 1392 - 8
    assert data[place] == 4  # miUINT16
    data[place] = 200
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"E-MAT: .*is damaged or cut off"):
        read_volume(path, ReadOptions(SIZE_UM, "YXZ"))
