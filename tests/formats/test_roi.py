"""Regions of Fiji: files written with roifile, pixels counted by hand, and every way to damage a set."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import roifile
from fuzz import mutated, truncated
from skimage.draw import polygon2mask

from tomocyte.errors import InputError, TomocyteError
from tomocyte.formats import ReadOptions, detect, read_volume, write_volume
from tomocyte.formats._roi_shapes import ellipse, outlines, paths_of_shape, pixels_within
from tomocyte.runs.convert import convert
from tomocyte.volume import LabelName, Volume

SIZE = (0.7, 0.3, 0.2)
SHAPE = (3, 9, 14)


def image(folder: Path, shape: tuple[int, ...] = SHAPE) -> ReadOptions:
    write_volume(folder / "image.ome.tif", Volume.from_array(np.zeros(shape, np.uint8), voxel_size_um=SIZE))
    return ReadOptions(region_image=folder / "image.ome.tif")


def polygon(corners: list[tuple[int, int]], name: str, position: int, **about: object) -> roifile.ImagejRoi:
    roi = roifile.ImagejRoi.frompoints(corners, name=name)
    roi.roitype, roi.position = roifile.ROI_TYPE.POLYGON, position
    for key, value in about.items():
        setattr(roi, key, value)
    return roi


def archive(path: Path, *rois: roifile.ImagejRoi) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for roi in rois:
            file.writestr(f"{roi.name}.roi", roi.tobytes())
    return path


SQUARE = [(2, 1), (6, 1), (6, 4), (2, 4)]


def test_a_set_becomes_labels_on_its_image(tmp_path: Path) -> None:
    """A square of 4 x 3 on the second plane, one on the third under the same name, and one with Fiji's own name."""
    path = archive(
        tmp_path / "RoiSet.zip",
        polygon(SQUARE, "nucleus", 2, stroke_color=b"\xff\xe6\x9f\x00"),
        polygon(SQUARE, "nucleus-1", 3),
        polygon([(8, 0), (14, 0), (14, 2), (8, 2)], "0003-0001-0011", 3),
    )
    volume = read_volume(path, image(tmp_path))
    expected = np.zeros(SHAPE, np.uint8)
    expected[1:3, 1:4, 2:6], expected[2, 0:2, 8:14] = 1, 2
    np.testing.assert_array_equal(volume.planes(0, 0), expected)
    np.testing.assert_array_equal(volume.planes(0, 0, 1, 2), expected[1:2])
    assert (volume.quantity, volume.voxel_size_um) == ("labels", SIZE)
    assert volume.label_names == (LabelName(1, "nucleus", "#E69F00"),)
    assert detect(path).name == "roi"


def test_groups_are_classes_where_all_regions_have_one(tmp_path: Path) -> None:
    square, other = polygon(SQUARE, "a", 1, group=4), polygon([(8, 0), (9, 0), (9, 1), (8, 1)], "b", 1, group=2)
    labels = read_volume(archive(tmp_path / "RoiSet.zip", square, other), image(tmp_path)).planes(0, 0)
    assert {value: int((labels == value).sum()) for value in np.unique(labels)[1:]} == {2: 1, 4: 12}


def test_kinds_of_areas(tmp_path: Path) -> None:
    """A rectangle of 5 x 3; an oval of 10 x 6 (47 pixels, π/4 · 60 = 47.1); a composite: 6 x 6 less a hole of 2 x 2."""
    rect, oval, whole = roifile.ImagejRoi(), roifile.ImagejRoi(), roifile.ImagejRoi()
    for roi, kind, box in ((rect, "RECT", (1, 2, 4, 7)), (oval, "OVAL", (1, 2, 7, 12)), (whole, "RECT", (1, 1, 7, 7))):
        roi.roitype, roi.name = roifile.ROI_TYPE[kind], kind
        roi.top, roi.left, roi.bottom, roi.right = box
    outer, inner = [(1, 1), (7, 1), (7, 7), (1, 7)], [(3, 3), (5, 3), (5, 5), (3, 5)]
    numbers = [part for loop in (outer, inner) for i, (x, y) in enumerate(loop) for part in (float(i > 0), x, y)]
    whole.multi_coordinates = np.array([*numbers[:12], 4, *numbers[12:], 4], np.float32)
    whole.shape_roi_size = len(whole.multi_coordinates)
    options = image(tmp_path, (9, 14))
    for roi, n_pixels in ((rect, 15), (whole, 32)):
        (tmp_path / "one.roi").write_bytes(roi.tobytes())
        assert np.count_nonzero(read_volume(tmp_path / "one.roi", options).planes(0, 0)) == n_pixels
    (tmp_path / "one.roi").write_bytes(oval.tobytes())
    assert abs(np.count_nonzero(read_volume(tmp_path / "one.roi", options).planes(0, 0)) - 47.1) < 3


def test_pixels_are_those_of_scikit_image() -> None:
    """Corners at random, moved by half a pixel: skimage has centres at whole numbers."""
    rng = np.random.default_rng(4)
    for _ in range(50):
        corners = rng.uniform(-3, 33, (7, 2))
        box, mask = pixels_within([corners], (24, 30))
        whole = np.zeros((24, 30), bool)
        whole[box] = mask
        np.testing.assert_array_equal(whole, polygon2mask((24, 30), corners[:, ::-1] - 0.5))


def test_outlines_hold_the_pixels_they_were_drawn_around() -> None:
    """Any mask, with holes, pieces and pixels that touch at a corner."""
    rng = np.random.default_rng(5)
    for density in (0.1, 0.5, 0.9):
        mask = rng.random((17, 23)) < density
        box, again = pixels_within(outlines(mask), mask.shape)
        np.testing.assert_array_equal(again, mask[box])
        assert again.sum() == mask.sum()


def test_curves_and_ellipses() -> None:
    """A quarter circle as a cubic has an area of π/4 to 0.03 %."""
    k = 4 / 3 * (np.sqrt(2) - 1)
    (path,) = paths_of_shape([0, 1, 0, 3, 1, k, k, 1, 0, 1, 1, 0, 0, 4])
    for corners, area in ((path, np.pi / 4), (ellipse(0, 0, 4, 2), np.pi * 2)):
        x, y = corners.T
        assert abs(0.5 * np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) == pytest.approx(area, rel=0.003)
    with pytest.raises(ValueError, match="command 7"):
        paths_of_shape([0, 1, 1, 7, 1, 1])


@pytest.mark.parametrize("shape", [(1, 1, 1, 12, 15), (1, 1, 4, 12, 15), (3, 1, 4, 12, 15)])
def test_labels_become_regions_and_labels_again(shape: tuple[int, ...], tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    labels = (rng.random(shape) < 0.4) * rng.integers(1, 4, shape).astype(np.uint16)
    labels[0, 0, 0, 0, 0] = 900
    names = (LabelName(2, "lipid droplet", "#CC79A7"), LabelName(900, "cell: old"))
    times = (0.0, 5.0, 10.0) if shape[0] > 1 else None
    about = {"voxel_size_um": SIZE, "quantity": "labels", "label_names": names, "time_s": times}
    write_volume(tmp_path / "in.ome.tif", Volume.from_array(labels, **about))
    assert convert(tmp_path / "in.ome.tif", tmp_path / "a.roi.zip", ReadOptions()) == ()
    again = read_volume(tmp_path / "a.roi.zip", ReadOptions(region_image=tmp_path / "in.ome.tif"))
    np.testing.assert_array_equal(np.stack([again.frame(t) for t in range(shape[0])]), labels)
    assert again.label_names == names
    with zipfile.ZipFile(tmp_path / "a.roi.zip") as file:
        rois = [roifile.ImagejRoi.frombytes(file.read(name)) for name in file.namelist()]
    assert len(set(file.namelist())) == len(rois) > 3
    assert {roi.position if shape[0] == 1 else roi.z_position for roi in rois} == set(range(1, shape[2] + 1))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("no image", "E-ROI-IMAGE"),
        ("line", "E-ROI-KIND"),
        ("no plane", "E-ROI-POSITION"),
        ("plane 9", "E-ROI-POSITION"),
    ],
)
def test_what_is_refused(change: str, code: str, tmp_path: Path) -> None:
    roi = polygon(SQUARE, "a", {"no plane": 0, "plane 9": 9}.get(change, 1))
    if change == "line":
        roi.roitype = roifile.ROI_TYPE.POLYLINE
    path, options = archive(tmp_path / "RoiSet.zip", roi), image(tmp_path)
    with pytest.raises(InputError, match=code) as refused:
        read_volume(path, ReadOptions() if change == "no image" else options)
    assert refused.value.cure


def test_what_is_no_set_of_regions_is_not_written(tmp_path: Path) -> None:
    for name, voxels in (("a.roi", np.ones((2, 3), np.uint8)), ("a.roi.zip", np.ones((2, 3), np.float32))):
        with pytest.raises(InputError, match="E-ROI-WRITE"):
            write_volume(tmp_path / name, Volume.from_array(voxels))
    with pytest.raises(InputError, match=r"E-ROI-WRITE.*no label"):
        write_volume(tmp_path / "a.roi.zip", Volume.from_array(np.zeros((2, 3), np.uint8)))


def test_a_damaged_set_is_refused_or_gives_labels_of_the_image(tmp_path: Path) -> None:
    options = image(tmp_path)
    square, codes = polygon(SQUARE, "nucleus", 2), dict[str, int]()
    wholes = {
        ".roi": square.tobytes(),
        ".zip": archive(tmp_path / "w.zip", square, polygon(SQUARE, "b", 1)).read_bytes(),
    }
    for ending, whole in wholes.items():
        cuts = list(range(0, len(whole), 19))
        for name, raw in [*truncated(whole, cuts), *mutated(whole, 60, seed=3)]:
            path = tmp_path / f"x{ending}"
            path.write_bytes(raw)
            try:
                labels = read_volume(path, options).planes(0, 0)
            except TomocyteError as error:
                codes[error.code] = codes.get(error.code, 0) + 1
            else:
                assert labels.shape == SHAPE, name
    assert codes["E-ROI"] > 3
