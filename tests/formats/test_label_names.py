"""Names and colours of labels in other programs' files: 3D Slicer, ITK-SNAP, OME-Zarr; from files written by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicerio
import zarr

from tomocyte.errors import InputError, OutputError
from tomocyte.formats import ReadOptions, read_volume, write_volume
from tomocyte.formats._label_tables import read_label_table
from tomocyte.runs.convert import convert
from tomocyte.volume import LabelName, Volume

SIZE = (0.31, 0.17, 0.13)
NAMES = (LabelName(1, "cell", "#56B4E9"), LabelName(7, "lipid droplet", "#CC79A7"))
LABELS = np.zeros((4, 5, 6), np.uint8)
LABELS[1, 2, 3:5], LABELS[3, 4, 5] = 1, 7
SEGMENTATION = """NRRD0004
# Complete NRRD file format specification at:
# http://teem.sourceforge.net/nrrd/format.html
type: unsigned char
dimension: 3
space: left-posterior-superior
sizes: 3 2 2
space directions: (-0.1,0,0) (0,-0.2,0) (0,0,0.4)
kinds: domain domain domain
space units: "um" "um" "um"
encoding: raw
space origin: (-0.1,-0.4,1.2)
Segment0_Color:=0.992157 0.909804 0.619608
Segment0_Extent:=0 2 0 1 0 1
Segment0_ID:=Segment_1
Segment0_LabelValue:=1
Segment0_Layer:=0
Segment0_Name:=ribs
Segment0_Tags:=Segmentation.Status:inprogress|
Segment1_Color:=1 1 0
Segment1_ID:=Segment_2
Segment1_LabelValue:=4
Segment1_Layer:=0
Segment1_Name:=cervical vertebral column
Segmentation_ConversionParameters:=Oversampling factor|1|Words.&Reference image geometry|3.04;0;0;-193.09;0;3.04;0;\
-216;0;0;9.9;-340;0;0;0;1;0;5;0;4;0;6;|Words.&Threshold fraction|0.5|Words.&
Segmentation_MasterRepresentation:=Binary labelmap
Segmentation_ReferenceImageExtentOffset:=1 2 3

"""
PART = np.array([[[0, 1, 1], [0, 0, 4]], [[4, 4, 4], [0, 0, 1]]], np.uint8)
SNAP = """################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################
    0     0    0    0        0  0  0    "Clear Label"
    7   204  121  167     0.65  1  1    "lipid droplet"
    1    86  180  233        1  1  0    "cell"
"""


def labelled(**about: object) -> Volume:
    return Volume.from_array(LABELS, voxel_size_um=SIZE, quantity="labels", label_names=NAMES, **about)


def test_a_segmentation_of_slicer_lies_where_it_lies_in_its_image(tmp_path: Path) -> None:
    """The part begins at x 1, y 2, z 3 of an image of 6, 5 and 7 voxels; LPS points against x and y."""
    path = tmp_path / "a.seg.nrrd"
    path.write_bytes(SEGMENTATION.encode() + PART.tobytes())
    volume = read_volume(path)
    assert volume.spatial_shape == (7, 5, 6)
    whole = np.zeros((7, 5, 6), np.uint8)
    whole[3:5, 2:4, 1:4] = PART
    np.testing.assert_array_equal(volume.planes(0, 0), whole)
    np.testing.assert_array_equal(volume.planes(0, 0, 4, 6), whole[4:6])
    assert volume.voxel_size_um == pytest.approx((0.4, 0.2, 0.1))
    assert volume.affine is not None
    assert volume.affine[3] == pytest.approx((0.0, 0.0, 0.0))  # (0.1 - 0.1, 0.4 - 2 · 0.2, 1.2 - 3 · 0.4)
    assert volume.label_names == (
        LabelName(1, "ribs", "#FDE89E"),
        LabelName(4, "cervical vertebral column", "#FFFF00"),
    )
    assert (volume.quantity, volume.notes) == ("labels", ())
    assert set(volume.metadata) >= {"Segment0_Tags", "Segmentation_MasterRepresentation"}


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (";0;5;0;4;0;6;", ";0;5;0;4;0;3;", "reaches beyond the image"),
        ("Reference image geometry", "Reference", "does not say how large"),
    ],
)
def test_a_part_without_a_place_is_read_alone_and_says_so(old: str, new: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "a.seg.nrrd"
    path.write_bytes(SEGMENTATION.replace(old, new).encode() + PART.tobytes())
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.planes(0, 0), PART)
    (note,) = volume.notes
    assert note.startswith("W-NRRD-PART")
    assert why in note


def test_overlapping_segments_lie_in_layers(tmp_path: Path) -> None:
    """Written by tomocyte, read by slicerio; the layers are the fastest axis, as 3D Slicer has them."""
    layers = np.stack([LABELS, 2 * LABELS])
    names = (*NAMES, LabelName(2, "golgi", "#FB9A99", channel=1))
    affine = ((0, 0, 0.31), (0, 0.17, 0), (0.13, 0, 0), (1.0, 2.0, 3.0))
    about = {"voxel_size_um": SIZE, "quantity": "labels", "affine": affine, "affine_unit": "um"}
    write_volume(tmp_path / "a.seg.nrrd", Volume.from_array(layers, label_names=names, **about))
    theirs = slicerio.read_segmentation(str(tmp_path / "a.seg.nrrd"))
    assert theirs["voxels"].shape == (2, 6, 5, 4)
    np.testing.assert_array_equal(theirs["voxels"].transpose(0, 3, 2, 1), layers)
    found = [(one["name"], one["labelValue"], one["layer"]) for one in theirs["segments"]]
    assert found == [("cell", 1, 0), ("lipid droplet", 7, 0), ("golgi", 2, 1)]
    assert theirs["segments"][2]["color"] == pytest.approx((251 / 255, 154 / 255, 153 / 255), abs=1e-5)
    again = read_volume(tmp_path / "a.seg.nrrd")
    np.testing.assert_array_equal(again.frame(0), layers)
    assert again.label_names == names
    assert again.affine is not None
    np.testing.assert_allclose(again.affine, affine)


def test_a_segmentation_of_one_layer_is_read_by_slicerio(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.seg.nrrd", labelled())
    theirs = slicerio.read_segmentation(str(tmp_path / "a.seg.nrrd"))
    np.testing.assert_array_equal(theirs["voxels"].T, LABELS)
    assert {one["name"]: one["labelValue"] for one in theirs["segments"]} == {"cell": 1, "lipid droplet": 7}


def test_tables_of_itk_snap_and_slicer_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(SNAP)
    (tmp_path / "a.ctbl").write_text(
        "# Color table file a.ctbl\n# 3 values\n0 background 0 0 0 0\n1 cell 86 180 233 255\n7 drop 204 121 167 255\n"
    )
    assert read_label_table(tmp_path / "a.txt") == NAMES
    assert read_label_table(tmp_path / "a.ctbl") == (NAMES[0], LabelName(7, "drop", "#CC79A7"))


@pytest.mark.parametrize("line", ["1 2 3", '1 256 0 0 1 1 1 "cell"', '7 1 1 1 1 1 1 "again"', "cell 1 2 3 4"])
def test_a_table_that_is_none_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(SNAP + line + "\n")
    with pytest.raises(InputError, match=r"E-LABEL-TABLE.*line 9"):
        read_label_table(tmp_path / "a.txt")


def test_the_description_beside_a_nifti_names_its_labels(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii.gz", Volume.from_array(LABELS, voxel_size_um=SIZE))
    assert read_volume(tmp_path / "a.nii.gz").quantity is None
    (tmp_path / "a.txt").write_text("What I ate on this day.\n")  # no table: not looked at
    assert read_volume(tmp_path / "a.nii.gz").label_names == ()
    (tmp_path / "a_labels.txt").write_text(SNAP)
    volume = read_volume(tmp_path / "a.nii.gz")
    assert (volume.quantity, volume.label_names) == ("labels", NAMES)
    assert volume.sources["label_names"] == "a_labels.txt"


def test_the_users_table_names_the_labels_of_any_file(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text(SNAP)
    write_volume(tmp_path / "a.mrc", Volume.from_array(LABELS, voxel_size_um=SIZE))
    volume = read_volume(tmp_path / "a.mrc", ReadOptions(label_table=tmp_path / "names.txt"))
    assert (volume.label_names, volume.origin["label_names"]) == (NAMES, "user")


@pytest.mark.parametrize("target", ["a.am", "a.seg.nrrd", "a.nrrd", "a.nii", "a.nii.gz", "a.ome.tif", "a.ome.zarr"])
def test_names_and_colours_survive_conversion(target: str, tmp_path: Path) -> None:
    write_volume(tmp_path / "in.ome.tif", labelled())
    assert convert(tmp_path / "in.ome.tif", tmp_path / target, ReadOptions()) == ()
    again = read_volume(tmp_path / target)
    np.testing.assert_array_equal(again.planes(0, 0), LABELS)
    assert [one for one in again.label_names if not one.name.startswith("Material")] == list(NAMES)
    assert convert(tmp_path / target, tmp_path / "back.ome.tif", ReadOptions()) == ()
    assert set(NAMES) <= set(read_volume(tmp_path / "back.ome.tif").label_names)


def test_a_format_without_names_says_that_they_are_lost(tmp_path: Path) -> None:
    write_volume(tmp_path / "in.ome.tif", labelled())
    notes = convert(tmp_path / "in.ome.tif", tmp_path / "a.mrc", ReadOptions())
    assert "W-CONVERT-LABELS: the names of the labels (cell, lipid droplet): not kept." in notes


def test_a_description_that_somebody_wrote_is_not_replaced(tmp_path: Path) -> None:
    write_volume(tmp_path / "in.ome.tif", labelled())
    (tmp_path / "a.label.txt").write_text("mine")
    with pytest.raises(OutputError, match="E-EXISTS"):
        convert(tmp_path / "in.ome.tif", tmp_path / "a.nii.gz", ReadOptions())
    assert (tmp_path / "a.label.txt").read_text() == "mine"
    assert not (tmp_path / "a.nii.gz").exists()


def test_labels_of_another_ome_zarr_have_names_and_colours(tmp_path: Path) -> None:
    """Properties and colours as the specification has them, by zarr alone."""
    write_volume(tmp_path / "a.ome.zarr", labelled().with_properties(label_names=()))
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r+")
    ome = dict(group.attrs["ome"])
    ome["image-label"] = {
        "version": "0.5",
        "colors": [{"label-value": 7, "rgba": [204, 121, 167, 255]}, {"label-value": 1}],
        "properties": [{"label-value": 1, "class": "cell"}, {"label-value": 7, "name": "drop", "area": 3}, {"a": 1}],
    }
    group.attrs["ome"] = ome
    names = (LabelName(1, "cell"), LabelName(7, "drop", "#CC79A7"))
    assert read_volume(tmp_path / "a.ome.zarr").label_names == names
