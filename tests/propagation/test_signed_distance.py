"""Interpolation of signed distances: by hand, on a cone, against scipy, and what the door promises of every method."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from tomocyte.errors import InputError, MetadataError, SettingsError
from tomocyte.propagation import SparseLabels, labelled_slices, method_of, methods, propagate
from tomocyte.propagation.signed_distance import SignedDistanceSettings, interpolate_labels

SIZE = (0.7, 0.3, 0.2)


def disc(shape: tuple[int, int], centre_um: tuple[float, float], radius_um: float) -> np.ndarray:
    y, x = np.meshgrid(*[(np.arange(n) + 0.5) * size for n, size in zip(shape, SIZE[1:], strict=True)], indexing="ij")
    return np.hypot(y - centre_um[0], x - centre_um[1]) <= radius_um


def test_a_border_moves_evenly_by_hand() -> None:
    sparse = np.zeros((5, 1, 12), dtype=np.uint16)
    sparse[0, 0, :2] = sparse[4, 0, :10] = 700
    dense = propagate(sparse, voxel_size_um=SIZE)
    assert dense.labels.dtype == np.uint16
    assert np.count_nonzero(dense.labels == 700, axis=(1, 2)).tolist() == [2, 4, 6, 8, 10]


def test_a_cone_between_two_discs() -> None:
    """Between discs of radius 2 and 6 µm with one centre lie discs whose radius grows evenly."""
    shape, centre = (60, 90), (9.0, 9.0)
    sparse = np.zeros((9, *shape), dtype=np.uint8)
    sparse[0], sparse[8] = disc(shape, centre, 2.0), disc(shape, centre, 6.0)
    dense = propagate(sparse, voxel_size_um=SIZE)
    for index in range(1, 8):
        area_um2 = np.count_nonzero(dense.labels[index]) * SIZE[1] * SIZE[2]
        assert area_um2 == pytest.approx(np.pi * (2.0 + 0.5 * index) ** 2, rel=0.04)


def test_equals_scipy_for_one_label_of_any_shape() -> None:
    rng = np.random.default_rng(3)
    blobs = ndimage.gaussian_filter(rng.normal(size=(2, 40, 50)), (0, 4, 4)) > 0
    sparse = np.zeros((6, 40, 50), dtype=np.uint8)
    sparse[0], sparse[5] = blobs
    first, last = (
        ndimage.distance_transform_edt(blob, SIZE[1:]) - ndimage.distance_transform_edt(~blob, SIZE[1:])
        for blob in blobs
    )
    dense = propagate(sparse, voxel_size_um=SIZE)
    for index in range(1, 5):
        distance = (1 - index / 5) * first + index / 5 * last
        is_clear = (np.abs(distance) > 1e-4) & ~(blobs[0] & blobs[1])
        assert np.array_equal(dense.labels[index][is_clear] == 1, distance[is_clear] > 0)
        spread = 2 * min(index / 5, 1 - index / 5) * np.abs(last - first)
        expected = spread / (np.abs(distance) + spread)
        near = np.hypot(*np.gradient(blobs[0].astype(float))) > 0
        np.testing.assert_allclose(dense.uncertainty[index][near], expected[near], atol=1e-4)


def test_labelled_slices_stay_and_nothing_is_invented_beyond_them() -> None:
    rng = np.random.default_rng(1)
    sparse = np.zeros((11, 8, 9), dtype=np.uint8)
    for index in (2, 5, 8):
        sparse[index] = rng.integers(0, 4, (8, 9))
    before = sparse.copy()
    dense = propagate(sparse, voxel_size_um=SIZE)
    assert np.array_equal(sparse, before)
    for index in (2, 5, 8):
        assert np.array_equal(dense.labels[index], before[index])
        assert not dense.uncertainty[index].any()
    outside = [0, 1, 9, 10]
    assert not dense.labels[outside].any()
    assert np.all(dense.uncertainty[outside] == 1)
    assert dense.uncertainty.dtype == np.float32
    assert dense.uncertainty.min() >= 0
    assert dense.uncertainty.max() <= 1


def test_equal_slices_have_an_equal_and_certain_slice_between() -> None:
    sparse = np.zeros((5, 8, 9), dtype=np.uint8)
    sparse[0, 2:5, 3:7] = sparse[4, 2:5, 3:7] = 3
    dense = propagate(sparse, voxel_size_um=SIZE)
    assert np.all(dense.labels == sparse[0])
    assert not dense.uncertainty.any()


def test_touching_cells_stay_touching() -> None:
    """Three cells that fill the slices leave no hole where they meet."""
    y, x = np.mgrid[:60, :70]

    def cells(centre_y: int, centre_x: int, turn: float) -> np.ndarray:
        angle = np.mod(np.arctan2(y - centre_y, x - centre_x) + turn, 2 * np.pi)
        return (1 + np.floor(angle / (2 * np.pi) * 3)).astype(np.uint8)

    sparse = np.zeros((7, 60, 70), dtype=np.uint8)
    sparse[0], sparse[6] = cells(25, 30, 0.2), cells(35, 40, 0.9)
    dense = propagate(sparse, voxel_size_um=SIZE)
    assert dense.labels.min() == 1
    assert set(np.unique(dense.labels[3])) == {1, 2, 3}


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("is_tapered", [True, False])
def test_a_label_in_one_slice_only_ends_before_half_of_the_gap(is_tapered: bool, is_first: bool) -> None:
    """A disc of radius 3 µm has at t the radius 3 - 3 t / (1 - t)."""
    shape, centre = (40, 60), (6.0, 6.0)
    sparse = np.zeros((11, *shape), dtype=np.uint8)
    sparse[0 if is_first else 10] = disc(shape, centre, 3.0)
    dense = propagate(
        sparse, voxel_size_um=SIZE, slices=(0, 10), settings=SignedDistanceSettings(is_tapered=is_tapered)
    )
    radii_um = np.sqrt(np.count_nonzero(dense.labels, axis=(1, 2)) * SIZE[1] * SIZE[2] / np.pi)
    radii_um = radii_um if is_first else radii_um[::-1]
    if is_tapered:
        assert radii_um[:5] == pytest.approx([3 - 3 * t / (1 - t) for t in np.arange(5) / 10], abs=SIZE[1])
        assert not radii_um[6:].any()
    else:
        assert not radii_um[1:].any()


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_axes_are_alike(axis: str) -> None:
    shape, centre = (30, 50), (4.0, 5.0)
    sparse = np.zeros((6, *shape), dtype=np.uint8)
    sparse[0], sparse[5] = disc(shape, centre, 2.0), disc(shape, (5.0, 5.5), 3.0)
    expected = propagate(sparse, voxel_size_um=SIZE)
    place = "zyx".index(axis)
    size = list(SIZE[1:])
    size.insert(place, SIZE[0])
    dense = propagate(
        np.moveaxis(sparse, 0, place),
        voxel_size_um=(size[0], size[1], size[2]),
        axis=axis,  # type: ignore[arg-type]
    )
    assert np.array_equal(np.moveaxis(dense.labels, place, 0), expected.labels)
    assert np.array_equal(np.moveaxis(dense.uncertainty, place, 0), expected.uncertainty)


def test_flips_numbers_and_units_do_not_matter() -> None:
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 4, (3, 5, 6))
    sparse = np.zeros((9, 20, 24), dtype=np.uint32)
    sparse[::4] = np.kron(coarse, np.ones((1, 4, 4), int))
    dense = propagate(sparse, voxel_size_um=SIZE)
    flipped = propagate(sparse[::-1, :, ::-1], voxel_size_um=SIZE)
    renamed = propagate(np.where(sparse > 0, sparse + 4_000_000_000, 0).astype(np.uint32), voxel_size_um=SIZE)
    assert np.array_equal(np.where(dense.labels > 0, dense.labels.astype(np.int64) + 4_000_000_000, 0), renamed.labels)
    scaled = propagate(sparse, voxel_size_um=(7.0, 3.0, 2.0))
    assert np.array_equal(scaled.labels, dense.labels)
    np.testing.assert_allclose(scaled.uncertainty, dense.uncertainty, atol=1e-4)
    assert np.array_equal(flipped.labels[::-1, :, ::-1], dense.labels)
    np.testing.assert_allclose(flipped.uncertainty[::-1, :, ::-1], dense.uncertainty, atol=1e-4)


def test_a_slice_named_empty_is_background() -> None:
    sparse = np.zeros((9, 12, 14), dtype=np.uint8)
    sparse[0, 3:9, 3:9] = sparse[8, 3:9, 3:9] = 1
    assert labelled_slices(sparse) == (0, 8)
    assert propagate(sparse, voxel_size_um=SIZE).labels[4].any()
    assert not propagate(sparse, voxel_size_um=SIZE, slices=(0, 4, 8)).labels[4].any()


def test_slices_that_are_not_named_are_not_read() -> None:
    sparse = np.zeros((9, 12, 14), dtype=np.uint8)
    sparse[0, 3:9, 3:9] = sparse[8, 3:9, 3:9] = 1
    other = sparse.copy()
    other[3] = 2
    expected = propagate(sparse, voxel_size_um=SIZE).labels
    assert np.array_equal(propagate(other, voxel_size_um=SIZE, slices=(8, 0)).labels, expected)


def test_progress_runs_to_the_end() -> None:
    sparse = np.zeros((9, 4, 5), dtype=np.uint8)
    sparse[2:8:3, 1:3, 1:3] = 1
    events: list[tuple[int, int]] = []
    propagate(sparse, voxel_size_um=SIZE, callback=lambda done, total: events.append((done, total)))
    assert events == [(3, 9), (6, 9), (9, 9)]


def test_what_cannot_work_is_refused() -> None:
    empty = np.zeros((4, 5, 6), dtype=np.uint8)
    one = empty.copy()
    one[1, 2, 3] = 1
    cases: list[tuple[np.ndarray, dict[str, object], type[Exception], str]] = [
        (empty, {}, SettingsError, "E-PROPAGATION-SLICES"),
        (one, {}, SettingsError, "E-PROPAGATION-SLICES"),
        (one, {"slices": (0, 4)}, SettingsError, "E-PROPAGATION-SLICES"),
        (one, {"slices": (-1, 2)}, SettingsError, "E-PROPAGATION-SLICES"),
        (one, {"axis": "t"}, SettingsError, "E-PROPAGATION-AXIS"),
        (one, {"method": "nearest"}, SettingsError, "E-PROPAGATION-METHOD.*signed-distance"),
        (one, {"image": np.zeros((4, 5, 7))}, InputError, "E-SHAPE"),
        (one, {"image": np.zeros((4, 5, 6)), "method": "signed-distance"}, InputError, "E-PROPAGATION-IMAGE"),
        (one, {"method": "image-guided"}, InputError, "E-PROPAGATION-IMAGE"),
        (one.astype(np.int64), {}, InputError, "E-LABELS-TYPE"),
        (one[0], {}, InputError, "E-LABELS-TYPE"),
        (one, {"voxel_size_um": (1.0, 0.0, 1.0)}, MetadataError, "E-VOXEL-SIZE"),
    ]
    for labels, changes, kind, code in cases:
        with pytest.raises(kind, match=code):
            propagate(labels, **{"voxel_size_um": SIZE, **changes})  # type: ignore[arg-type]
    assert methods()["signed-distance"].settings is SignedDistanceSettings


@pytest.mark.parametrize("slices", [(0, 4), (0, 2, 4), (1, 4), (0, 1, 2, 3, 4)])
def test_the_method_fills_gaps_and_says_how_far_it_is(slices: tuple[int, ...]) -> None:
    """Equal slices have an equal slice between them, certain; beyond them nothing is known."""
    labels = np.zeros((5, 6, 7), np.uint16)
    labels[list(slices), 1:4, 2:6] = 9
    seen: list[tuple[int, int]] = []
    sparse = SparseLabels(labels, slices, SIZE)
    dense = interpolate_labels(sparse, SignedDistanceSettings(), lambda done, n: seen.append((done, n)))
    between = slice(slices[0], slices[-1] + 1)
    np.testing.assert_array_equal(
        dense.labels[between], np.broadcast_to(labels[slices[0]], dense.labels[between].shape)
    )
    assert not dense.labels[: slices[0]].any()
    assert set(np.unique(dense.uncertainty[between])) == {0.0}
    assert (dense.uncertainty[: slices[0]] == 1).all()
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == ((slices[0] + 1, 5), (5, 5))
    assert {n for _, n in seen} == {5}
    assert labels[list(slices)].sum() == labels.sum()


def test_one_slice_alone_is_too_few() -> None:
    sparse = SparseLabels(np.zeros((3, 4, 5), np.uint8), (1,), SIZE)
    with pytest.raises(SettingsError, match="E-PROPAGATION-SLICES"):
        interpolate_labels(sparse, SignedDistanceSettings(), lambda *_: None)


def test_methods_are_found_by_name_or_refused_with_the_list() -> None:
    assert {name: method_of(name).name for name in methods()} == {name: name for name in methods()}
    with pytest.raises(SettingsError, match=r"E-PROPAGATION-METHOD.*'nearest'.*signed-distance"):
        method_of("nearest")
