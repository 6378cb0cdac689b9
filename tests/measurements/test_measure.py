"""The door itself: every registered measurement, and the table they make."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from bodies import disc, ellipsoid
from scipy import ndimage

from tomocyte.errors import InputError, MetadataError, SettingsError
from tomocyte.measurements import PlanesImage, _label_runs, measure, measurements
from tomocyte.measurements.measure import as_image, label_boxes, roomy_box

VOXEL = (0.31, 0.17, 0.13)
ALL = sorted(measurements("object"))
PHYSICS = {"medium_ri": 1.337, "refraction_increment_ml_per_g": 0.19}


def scene(voxel: tuple[float, float, float] = VOXEL, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Two bodies, the second cut by the border, and an image with a NaN in the first."""
    rng = np.random.default_rng(seed)
    if math.isnan(voxel[0]):
        first, second = disc(2.0, voxel[1:], rng), disc(1.5, voxel[1:], rng)
    else:
        first, second = ellipsoid((1.2, 1.5, 1.9), voxel, rng), ellipsoid((1.4, 1.2, 1.7), voxel, rng)
    shape = tuple(max(a, b) for a, b in zip(first.shape, second.shape, strict=True))
    labels = np.zeros((shape[0], shape[1] + 5, 2 * shape[2]), np.uint32)
    labels[: first.shape[0], 3 : 3 + first.shape[1], : first.shape[2]][first] = 3
    cut = second[:, :, : second.shape[2] * 2 // 3]
    labels[: cut.shape[0], 4 : 4 + cut.shape[1], labels.shape[2] - cut.shape[2] :][cut] = 70_001
    image = rng.normal(1.36, 0.01, labels.shape)
    image.flat[np.flatnonzero(labels == 3)[7]] = np.nan
    return labels, image[None]


def values(table: pd.DataFrame) -> np.ndarray:
    return table[ALL].to_numpy()


@pytest.mark.parametrize("voxel", [VOXEL, (math.nan, 0.17, 0.13)], ids=["volume", "planar"])
@pytest.mark.parametrize("scale", [0.37, 8.0])
def test_every_measurement_scales_as_its_unit_says(voxel, scale) -> None:
    labels, image = scene(voxel)
    small = measure(labels, image, voxel, structure="cell", names=ALL, **PHYSICS)
    large = measure(labels, image, tuple(side * scale for side in voxel), structure="cell", names=ALL, **PHYSICS)
    for name, one in measurements("object").items():
        np.testing.assert_allclose(large[name], small[name] * scale**one.length_power, rtol=1e-12, err_msg=name)
    assert values(small)[0, [ALL.index("n_voxels")]] > 100


def test_every_measurement_has_a_number_somewhere() -> None:
    """A measurement that is always NaN would pass the contract for nothing."""
    volume = measure(*scene(), VOXEL, structure="cell", names=ALL, **PHYSICS)
    planar = (math.nan, 0.17, 0.13)
    flat = measure(*scene(planar), planar, structure="cell", names=ALL, **PHYSICS)
    assert np.isfinite(np.vstack([values(volume), values(flat)])).any(axis=0).all()
    for name, one in measurements("object").items():
        is_ever_nan = volume[name].isna().any() or flat[name].isna().any()
        assert one.column.meaning.endswith(".")
        assert one.unit
        assert one.column.when_empty or not is_ever_nan, f"{name} is NaN and does not say why"


@pytest.mark.parametrize("flips", [axes for n in (1, 2, 3) for axes in itertools.combinations((0, 1, 2), n)], ids=str)
def test_flips_change_nothing(flips) -> None:
    labels, image = scene()
    before = measure(labels, image, VOXEL, structure="cell", names=ALL, **PHYSICS)
    turned = np.flip(image, [axis + 1 for axis in flips])
    after = measure(np.flip(labels, flips), turned, VOXEL, structure="cell", names=ALL, **PHYSICS)
    np.testing.assert_allclose(values(after), values(before), rtol=1e-9)
    assert after["is_cut"].tolist() == before["is_cut"].tolist()


@pytest.mark.parametrize("order", [order for order in itertools.permutations((0, 1, 2)) if order != (0, 1, 2)], ids=str)
@pytest.mark.parametrize("voxel", [VOXEL, (0.2, 0.1, 0.1)], ids=str)
def test_exchanged_axes_change_nothing_but_what_depends_on_z(order, voxel) -> None:
    names = [name for name in ALL if name not in ("projected_area_um2", "height_um")]
    labels, image = scene(voxel)
    before = measure(labels, image, voxel, structure="cell", names=names, **PHYSICS)
    turned = tuple(voxel[axis] for axis in order)
    image = image.transpose(0, *(axis + 1 for axis in order))
    after = measure(labels.transpose(order), image, turned, structure="cell", names=names, **PHYSICS)
    np.testing.assert_allclose(after[names].to_numpy(), before[names].to_numpy(), rtol=1e-9)
    np.testing.assert_allclose(after["x_um"], before["zyx"[order[2]] + "_um"], rtol=1e-12)


def test_one_row_per_label_in_order_with_centre_and_border() -> None:
    labels = np.zeros((5, 7, 11), np.uint64)
    labels[1:3, 2:4, 3:8] = 4_000_000_000
    labels[4, 3, 5] = 2
    labels[2, 5, 10] = 70_000
    table = measure(labels, None, VOXEL, structure="nucleus", names=["n_voxels", "volume_um3"])
    assert table["label"].tolist() == [2, 70_000, 4_000_000_000]
    assert table["n_voxels"].tolist() == [1, 1, 20]
    assert table["is_cut_z"].tolist() == [True, False, False]
    assert table["is_cut_lateral"].tolist() == [False, True, False]
    assert table["is_cut"].tolist() == [True, True, False]
    centres = np.array([[4, 3, 5], [2, 5, 10], [1.5, 2.5, 5.0]]) * VOXEL
    np.testing.assert_allclose(table[["z_um", "y_um", "x_um"]], centres, rtol=1e-12)
    assert list(table) == [
        "label", "n_voxels", "volume_um3", "is_cut", "is_cut_lateral", "is_cut_z", "z_um", "y_um", "x_um"
    ]  # fmt: skip


def test_many_labels_against_scipy() -> None:
    rng = np.random.default_rng(5)
    seeds = rng.random((20, 40, 60)) < 0.02
    labels = ndimage.label(seeds)[0].astype(np.uint32) * 300
    labels = ndimage.grey_dilation(labels, size=(3, 3, 3))
    image = rng.normal(1.35, 0.02, labels.shape).astype(np.float32)
    table = measure(
        labels, image[None], VOXEL, structure="cell", names=["n_voxels", "mean_value", "sd_value", "p50_ri"]
    )
    numbers = np.unique(labels)[1:]
    assert len(numbers) > 300
    wide = image.astype(np.float64)
    np.testing.assert_array_equal(table["label"], numbers)
    np.testing.assert_array_equal(table["n_voxels"], ndimage.sum_labels(np.ones(labels.shape), labels, numbers))
    np.testing.assert_allclose(table["mean_value"], ndimage.mean(wide, labels, numbers), rtol=1e-12)
    np.testing.assert_allclose(table["sd_value"], ndimage.standard_deviation(wide, labels, numbers), rtol=1e-9)
    np.testing.assert_allclose(table["p50_ri"], ndimage.median(wide, labels, numbers), rtol=1e-12)
    centres = np.array(ndimage.center_of_mass(np.ones(labels.shape), labels, numbers)) * VOXEL
    np.testing.assert_allclose(table[["z_um", "y_um", "x_um"]], centres, rtol=1e-10)


def test_seventy_thousand_objects_keep_their_numbers() -> None:
    labels = np.zeros((70, 100, 40), np.uint32)
    labels.reshape(-1)[::4] = np.arange(1, 70_001)
    table = measure(labels[::1], None, VOXEL, structure="droplet", names=["n_voxels"])
    assert table["label"].tolist() == list(range(1, 70_001))
    assert set(table["n_voxels"]) == {1.0}


def test_boxes_against_scipy(monkeypatch) -> None:
    monkeypatch.setattr(_label_runs, "BLOCK_VOXELS", 500)
    labels = (np.random.default_rng(6).random((9, 17, 23)) * 12).astype(np.uint8)
    numbers, boxes = label_boxes(labels)
    expected = [[edge for side in box for edge in (side.start, side.stop)] for box in ndimage.find_objects(labels)]
    assert numbers.tolist() == list(range(1, 12))
    assert boxes.tolist() == expected


@pytest.mark.parametrize(
    ("tight", "is_2d", "box", "borders"),
    [
        ((2, 4, 3, 5, 4, 6), False, ((1, 5), (2, 6), (3, 7)), (False, False, False)),
        ((0, 4, 3, 5, 4, 6), False, ((0, 5), (2, 6), (3, 7)), (True, False, True)),
        ((2, 7, 3, 9, 4, 6), False, ((1, 7), (2, 9), (3, 7)), (True, True, True)),
        ((2, 4, 3, 5, 0, 11), False, ((1, 5), (2, 6), (0, 11)), (True, True, False)),
        ((0, 7, 3, 5, 4, 6), True, ((0, 7), (2, 6), (3, 7)), (False, False, False)),
    ],
)
def test_boxes_have_a_margin_and_know_their_borders_by_hand(tight, is_2d, box, borders) -> None:
    """In a volume of 7 x 9 x 11; a plane is not cut along z."""
    slices, flags = roomy_box(np.array(tight), (7, 9, 11), is_2d=is_2d)
    assert slices == tuple(slice(*side) for side in box)
    assert (flags["is_cut"], flags["is_cut_lateral"], flags["is_cut_z"]) == borders


def test_images_are_read_through_a_cache_unless_they_are_arrays() -> None:
    array = np.arange(48, dtype=np.float32).reshape(2, 2, 3, 4)
    assert as_image(None) is None
    assert as_image(array) is array

    class Reader:
        shape = array.shape

        def __getitem__(self, index: tuple[int, slice]) -> np.ndarray:
            return array[index]

    image = as_image(Reader())
    assert as_image(image) is image
    np.testing.assert_array_equal(image[1, 0:2, 1:3, 2:4], array[1, :, 1:3, 2:4])


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "uint32", "uint64"])
def test_every_label_type_gives_the_same(dtype) -> None:
    labels, image = scene()
    binary = labels == 3
    expected = measure(binary.astype(np.uint32), image, VOXEL, structure="cell", names=ALL, **PHYSICS)
    found = measure(binary.astype(dtype), image, VOXEL, structure="cell", names=ALL, **PHYSICS)
    pd.testing.assert_frame_equal(found, expected)


def test_no_objects_give_an_empty_table_of_the_same_types() -> None:
    labels, image = scene()
    full = measure(labels, image, VOXEL, structure="cell", names=ALL)
    empty = measure(np.zeros_like(labels), image, VOXEL, structure="cell", names=ALL)
    assert len(empty) == 0
    assert list(empty.columns) == list(full.columns)
    assert empty.dtypes.tolist() == full.dtypes.tolist()


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 1, 9), (1, 6, 9), (4, 1, 2)], ids=str)
@pytest.mark.parametrize("is_inside", [True, False])
def test_degenerate_objects_are_measured_without_a_crash(size, is_inside) -> None:
    labels = np.pad(np.ones(size, np.uint32), int(is_inside))
    image = np.full((1, *labels.shape), 1.36)
    table = measure(labels, image, VOXEL, structure="cell", names=ALL, **PHYSICS)
    assert table.loc[0, "volume_um3"] == pytest.approx(math.prod(size) * math.prod(VOXEL))
    assert table.loc[0, "euler_number"] == 1
    assert table[["surface_area_um2", "sphericity", "surface_to_volume_per_um"]].isna().all(axis=None)
    assert table.loc[0, "is_cut"] == (not is_inside)


def test_a_reader_gives_what_the_array_gives() -> None:
    labels, image = scene()
    asked: list[tuple[int, int, int]] = []

    def read(channel: int, start: int, stop: int) -> np.ndarray:
        asked.append((channel, start, stop))
        return image[channel, start:stop]

    class OnlySlices:
        shape = image.shape

        def __getitem__(self, where):
            return image[where]

    expected = measure(labels, image, VOXEL, structure="cell", names=ALL, **PHYSICS)
    for lazy in (PlanesImage(image.shape, read), OnlySlices()):
        found = measure(labels, lazy, VOXEL, structure="cell", names=ALL, **PHYSICS)
        pd.testing.assert_frame_equal(found, expected, rtol=1e-12)
    assert len(asked) == len(set(asked)) > 1, "no plane is read twice"


def test_inputs_stay_as_they_were() -> None:
    labels, image = scene()
    before = labels.copy(), image.copy()
    labels.setflags(write=False)
    image.setflags(write=False)
    measure(labels, image, VOXEL, structure="cell", names=ALL, **PHYSICS)
    np.testing.assert_array_equal(labels, before[0])
    np.testing.assert_array_equal(image, before[1])


@pytest.mark.parametrize(
    ("labels", "image", "voxel", "names", "error", "code"),
    [
        (np.zeros((2, 3, 4), np.int32), None, VOXEL, ["n_voxels"], InputError, "E-LABELS"),
        (np.zeros((2, 3, 4)), None, VOXEL, ["n_voxels"], InputError, "E-LABELS"),
        (np.zeros((3, 4), np.uint8), None, VOXEL, ["n_voxels"], InputError, "E-LABELS"),
        (np.zeros((2, 3, 4), np.uint8), np.zeros((1, 2, 4, 3)), VOXEL, ["n_voxels"], InputError, "E-SHAPE"),
        (np.zeros((2, 3, 4), np.uint8), np.zeros((2, 3, 4)), VOXEL, ["n_voxels"], InputError, "E-SHAPE"),
        (np.zeros((2, 3, 4), np.uint8), None, (0.0, 0.1, 0.1), ["n_voxels"], MetadataError, "E-VOXEL-SIZE"),
        (np.zeros((2, 3, 4), np.uint8), None, (math.nan, 0.1, 0.1), ["n_voxels"], MetadataError, "E-VOXEL-SIZE"),
        (np.zeros((2, 3, 4), np.uint8), None, VOXEL, ["n_voxles"], SettingsError, "E-MEASUREMENT-NAME"),
    ],
)
def test_what_cannot_be_measured_is_refused(labels, image, voxel, names, error, code) -> None:
    with pytest.raises(error) as caught:
        measure(labels, image, voxel, structure="cell", names=names)
    assert caught.value.code == code
