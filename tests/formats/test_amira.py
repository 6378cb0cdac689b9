"""Amira label fields: bytes written by hand, in the order in which the fields stand in files of the program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tomocyte.errors import InputError
from tomocyte.formats import ReadOptions, read_volume, write_volume
from tomocyte.formats._amira_data import decode_runs, encode_runs
from tomocyte.volume import LabelName, Volume

NAMES = (LabelName(1, "cell", "#56B4E9"), LabelName(2, "lipid droplet", "#CC79A7"))
HEAD = """# AmiraMesh BINARY-LITTLE-ENDIAN 3.0

define Lattice 4 3 2

Parameters {
    Materials {
        Exterior {
            Color 0 0 0,
            &Color "AAAA==",
            Id "0"
        }
        Left_Tree
        {
            Color 0.2 0 1,
            Id "9"
        }
        Inside { Color 0.8 0.4 0, Id 10 }
    }
    Units {
        Coordinates "nm"
    }
    Content "4x3x2 byte, uniform coordinates",
    BoundingBox 100 400 0 400 0 600,
    CoordType "uniform"
}

Lattice { byte Labels } @1(HxByteRLE,@)
Lattice { byte Probability } @2

# Data section follows
@1
"""
LABELS = np.array([[[0, 0, 0, 0], [0, 0, 0, 1], [2, 1, 0, 0]], [[0] * 4, [0] * 4, [2] * 4]], np.uint8)
CODED = bytes([7, 0, 131, 1, 2, 1, 10, 0, 4, 2])
"""By hand: seven zeros; 1, 2 and 1 as they are; ten zeros; four times 2."""


def _write(path: Path, head: str = HEAD, coded: bytes = CODED) -> Path:
    probability = bytes(range(24))
    path.write_bytes(head.replace("@)", f"{len(coded)})").encode() + coded + b"\n\n@2\n" + probability + b"\n")
    return path


def test_a_label_field_has_the_names_and_colours_of_its_materials(tmp_path: Path) -> None:
    """The value is the place in the list (Left_Tree: 1), whatever Id says; 300 nm over 3 steps along x."""
    volume = read_volume(_write(tmp_path / "a.am"))
    np.testing.assert_array_equal(volume.planes(0, 0), LABELS)
    assert volume.voxel_size_um == pytest.approx((0.6, 0.2, 0.1))
    assert volume.quantity == "labels"
    assert volume.label_names == (LabelName(1, "Left_Tree", "#3300FF"), LabelName(2, "Inside", "#CC6600"))
    assert volume.affine is not None
    assert volume.affine[3] == pytest.approx((0.1, 0, 0))
    assert volume.metadata["dataset_choices"] == ("Labels", "Probability")


def test_another_array_is_chosen_by_its_name(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.am")
    other = read_volume(path, ReadOptions(dataset="Probability"))
    np.testing.assert_array_equal(other.planes(0, 0).ravel(), np.arange(24))
    np.testing.assert_array_equal(other.planes(0, 0, 1, 2).ravel(), np.arange(12, 24))
    with pytest.raises(InputError, match=r"E-DATASET.*Labels, Probability"):
        read_volume(path, ReadOptions(dataset="labels2"))


@pytest.mark.parametrize(
    ("coded", "what"),
    [
        (CODED[:-2], "fewer"),
        (CODED[:-1], "fewer"),
        (CODED + b"\x01\x00", "more"),
        (CODED[:-2] + b"\x00\x02", "fewer"),
        (CODED[:-2] + b"\x80", "fewer"),
    ],
)
def test_runs_that_do_not_fill_the_lattice_are_refused(coded: bytes, what: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"E-AMIRA-TRUNC.*hold {what} than the 24 bytes"):
        read_volume(_write(tmp_path / "a.am", coded=coded))


def test_without_a_unit_the_voxel_size_is_asked_for(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.am", HEAD.replace('Coordinates "nm"', 'Other "nm"'))
    with pytest.raises(InputError, match=r"z = 600, y = 200, x = 100 without a known unit.*--voxel-size-um Z Y X"):
        read_volume(path)
    assert read_volume(path, ReadOptions(voxel_size_um=(0.6, 0.2, 0.1))).notes == ()


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("byte Labels", "complex Labels", "E-AMIRA-KIND"),
        ("HxByteRLE", "HxZarr", "E-AMIRA-KIND"),
        ('"uniform"', '"rectilinear"', "E-AMIRA-KIND"),
        ("define Lattice 4 3 2", "define Lattice 4 3", "E-AMIRA-KIND"),
        ("define Lattice 4 3 2", "define Vertices 24", "E-AMIRA-KIND"),
        ("define Lattice 4 3 2", "define Lattice 4 0 2", "E-SHAPE"),
        ("define Lattice 4 3 2", "define Lattice 4000 3000 200", "E-AMIRA-TRUNC"),
        ("# Data section follows\n@1", "# Data section follows\n", "E-AMIRA-TRUNC"),
        ('CoordType "uniform"\n}', 'CoordType "uniform"', "E-AMIRA-HEADER"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_code(old: str, new: str, code: str, tmp_path: Path) -> None:
    assert old in HEAD
    with pytest.raises(InputError, match=code) as refused:
        read_volume(_write(tmp_path / "a.am", HEAD.replace(old, new)))
    assert refused.value.cure


def test_runs_of_any_bytes_come_back() -> None:
    rng = np.random.default_rng(3)
    for n_values in (1, 2, 3, 256):
        plain = rng.integers(0, n_values, 5000).astype(np.uint8)
        coded = np.zeros(5000 + 5000 // 127 + 1, np.uint8)
        used = encode_runs(plain, coded)
        again = np.zeros(5000, np.uint8)
        assert decode_runs(coded[:used], again) == 5000
        np.testing.assert_array_equal(again, plain)


@pytest.mark.parametrize(("largest", "dtype"), [(255, np.uint8), (65_535, np.uint16), (70_000, np.int32)])
def test_labels_come_back_with_their_names(largest: int, dtype: type, tmp_path: Path) -> None:
    labels = np.zeros((5, 7, 9), np.uint32)
    labels[1:3, 2:5, 3:8], labels[4, 6, 8], labels[0, 0, 0] = 1, 2, largest
    about = {"voxel_size_um": (0.31, 0.17, 0.13), "quantity": "labels", "label_names": NAMES}
    write_volume(tmp_path / "a.am", Volume.from_array(labels, **about))
    again = read_volume(tmp_path / "a.am")
    assert again.dtype == dtype
    np.testing.assert_array_equal(again.planes(0, 0), labels)
    assert (again.quantity, again.label_names) == ("labels", NAMES)
    assert again.voxel_size_um == pytest.approx((0.31, 0.17, 0.13))


def test_a_material_keeps_its_place(tmp_path: Path) -> None:
    """Values 1 and 2 without names become materials, so that the third is 3; two of one name stay two."""
    names = (LabelName(3, "cell"), LabelName(4, "cell", "#112233"), LabelName(5, "Exterior"))
    labels = Volume.from_array(np.arange(6, dtype=np.uint8).reshape(1, 2, 3), quantity="labels", label_names=names)
    write_volume(tmp_path / "a.am", labels)
    again = read_volume(tmp_path / "a.am", is_size_required=False)
    assert again.label_names == (LabelName(1, "Material1"), LabelName(2, "Material2"), *names)


def test_what_the_format_has_no_place_for_is_refused(tmp_path: Path) -> None:
    for voxels in (np.zeros((2, 3, 4, 5), np.uint8), np.zeros((3, 4, 5), np.uint64), np.zeros((2, 1, 3, 4, 5))):
        with pytest.raises(InputError, match="E-AMIRA-WRITE"):
            write_volume(tmp_path / "a.am", Volume.from_array(voxels))
    assert not (tmp_path / "a.am").exists()
