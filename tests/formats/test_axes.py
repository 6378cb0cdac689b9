"""Stored axes in any order, against numpy's own transposition."""

from __future__ import annotations

import math
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from tomocyte.errors import MetadataError
from tomocyte.formats._axes import (
    ambiguous_axes,
    as_planes,
    checked_axes,
    properties_of_axes,
    selection,
    shape_tczyx,
)

PATH = Path("image.tif")
WHOLE = np.arange(2 * 3 * 4 * 5 * 6).reshape(2, 3, 4, 5, 6)  # T C Z Y X


@pytest.mark.parametrize("axes", ["".join(order) for order in permutations("TCZYX")][::7])
def test_planes_are_found_whatever_the_stored_order(axes: str) -> None:
    """numpy's own transposition makes the stored array."""
    stored = WHOLE.transpose(["TCZYX".index(letter) for letter in axes]).astype(">i4")
    assert shape_tczyx(axes, stored.shape) == WHOLE.shape
    planes = as_planes(stored[selection(axes, 1, 2, 1, 3)], axes)
    np.testing.assert_array_equal(planes, WHOLE[1, 2, 1:3])
    assert planes.flags.c_contiguous
    assert planes.dtype == np.dtype("=i4")


@pytest.mark.parametrize(
    ("axes", "shape"), [("YX", (1, 1, 1, 5, 6)), ("XYC", (1, 3, 1, 5, 6)), ("TYX", (2, 1, 1, 5, 6))]
)
def test_axes_that_are_not_stored_have_length_one(axes: str, shape: tuple[int, ...]) -> None:
    sizes = dict(zip("TCZYX", WHOLE.shape, strict=True))
    stored = np.zeros([sizes[letter] for letter in axes])
    assert shape_tczyx(checked_axes(axes.lower(), stored.shape, PATH), stored.shape) == shape
    assert as_planes(stored[selection(axes, 0, 0, 0, 1)], axes).shape == (1, 5, 6)


@pytest.mark.parametrize("axes", ["ZY", "ZZYX", "ZYXT", "QYX", "TCZ", "", "SYX"])
def test_axes_that_cannot_be_are_refused(axes: str) -> None:
    with pytest.raises(MetadataError, match=r"E-AXES.*\(4, 5, 6\)"):
        checked_axes(axes, (4, 5, 6), PATH)
    error = ambiguous_axes((4, 5, 6), PATH)
    assert error.code == "E-AXES"
    assert "--axes ZYX" in error.cure


LENGTHS = {"z": 0.5, "y": 0.2, "x": 0.1}


@pytest.mark.parametrize(
    ("shape", "axes", "size"),
    [
        ((1, 1, 3, 5, 6), "ZYX", (0.5, 0.2, 0.1)),
        ((3, 1, 1, 5, 6), "TYX", (math.nan, 0.2, 0.1)),  # frames have no thickness, whatever the file says of z
        ((1, 3, 1, 5, 6), "CYX", (math.nan, 0.2, 0.1)),
        ((3, 1, 1, 5, 6), "TZYX", (0.5, 0.2, 0.1)),  # one plane, of which the file names a thickness
    ],
)
def test_a_thickness_belongs_to_z_alone(
    shape: tuple[int, int, int, int, int], axes: str, size: tuple[float, float, float]
) -> None:
    notes: list[str] = []
    found = properties_of_axes(shape, axes, lengths_um=LENGTHS, notes=notes)
    assert found["voxel_size_um"] == pytest.approx(size, nan_ok=True)
    assert not notes


def test_planes_without_a_distance_have_no_voxel_size() -> None:
    notes: list[str] = []
    assert properties_of_axes((1, 1, 3, 5, 6), "ZYX", lengths_um={"y": 0.2, "x": 0.1}, notes=notes) == {}
    assert notes[0].startswith("W-VOXEL-SIZE")
    assert "no distance in z" in notes[0]


def test_times_belong_to_t_and_names_to_c() -> None:
    def found(shape: tuple[int, int, int, int, int], axes: str, **file: object) -> dict[str, object]:
        return properties_of_axes(shape, axes, lengths_um={}, notes=[], **file)  # type: ignore[arg-type]

    assert found((3, 1, 1, 5, 6), "TYX", time_step_s=2.5) == {"time_s": (0.0, 2.5, 5.0)}
    assert found((3, 1, 1, 5, 6), "TYX", times_s=(0.0, 1.0, 4.0), time_step_s=2.5) == {"time_s": (0.0, 1.0, 4.0)}
    assert found((1, 1, 3, 5, 6), "ZYX", times_s=(0.0, 1.0, 4.0), time_step_s=2.5) == {}
    assert found((1, 2, 1, 5, 6), "CYX", channel_names=("DNA", "")) == {"channel_names": ("DNA", "")}
    assert found((1, 1, 2, 5, 6), "ZYX", channel_names=("DNA", "RNA")) == {}


def test_a_length_that_no_voxel_has_is_noted_and_not_used() -> None:
    for lengths, words in (
        ({"z": 0.5, "y": 500.0, "x": 0.1}, "y = 500 µm"),
        ({"z": -0.5, "y": 0.2, "x": math.inf}, "z = -0.5, x = inf µm"),
    ):
        notes: list[str] = []
        assert properties_of_axes((1, 1, 3, 4, 5), "ZYX", lengths_um=lengths, notes=notes) == {}
        assert len(notes) == 1
        assert notes[0].startswith(f"W-VOXEL-SIZE: the file gives {words}, which")
    notes = []
    plane = properties_of_axes((1, 1, 1, 4, 5), "ZYX", lengths_um={"z": 0.0, "y": 0.2, "x": 0.1}, notes=notes)
    assert math.isnan(plane["voxel_size_um"][0])
    assert plane["voxel_size_um"][1:] == (0.2, 0.1)
