"""Pairs of objects against bodies whose overlap and distance are known, and against a brute force over voxels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from tomocyte.errors import InputError, SettingsError
from tomocyte.measurements import Pair, measure_pairs

VOXEL = (0.31, 0.17, 0.13)


def ball_labels(shape, voxel, balls) -> np.ndarray:
    """Balls ((z, y, x) in µm, radius in µm) as labels 1, 2, …"""
    z, y, x = np.meshgrid(*(np.arange(n) * side for n, side in zip(shape, voxel, strict=True)), indexing="ij")
    labels = np.zeros(shape, np.uint16)
    for number, ((at_z, at_y, at_x), radius) in enumerate(balls, start=1):
        labels[(z - at_z) ** 2 + (y - at_y) ** 2 + (x - at_x) ** 2 <= radius**2] = number
    return labels


def brute_gap(first: np.ndarray, second: np.ndarray, voxel) -> float:
    """Smallest distance between two voxels taken as boxes, over all pairs of voxels."""
    apart = np.abs(np.argwhere(first)[:, None] - np.argwhere(second)[None])
    return float(np.sqrt(np.square(np.maximum(apart - 1, 0) * np.array(voxel)).sum(axis=2).min()))


@pytest.mark.parametrize("voxel", [(0.1, 0.1, 0.1), (0.2, 0.1, 0.08)], ids=str)
@pytest.mark.parametrize("toward", [(0.0, 0.0, 1.0), (0.6, 0.0, 0.8), (1 / 3, 2 / 3, 2 / 3)], ids=str)
def test_two_balls(voxel, toward) -> None:
    """Centres 5 µm apart, radii 2 and 1.5 µm: 1.5 µm between the surfaces.

    The faces of a ball's voxels lie up to half a diagonal of a voxel beside its surface, on both sides of the gap.
    """
    place = np.array([2.5, 2.5, 2.5])
    other = place + 5.0 * np.array(toward)
    shape = tuple(math.ceil((max(a, b) + 2.5) / side) for a, b, side in zip(place, other, voxel, strict=True))
    first, second = (ball_labels(shape, voxel, [ball]) for ball in ((place, 2.0), (other, 1.5)))
    table = measure_pairs(first, second, voxel, structure="cell", other_structure="nucleus", max_distance_um=2.0)
    assert table[["structure", "label", "other_structure", "other_label"]].values.tolist() == [
        ["cell", 1, "nucleus", 1]
    ]
    row = table.iloc[0]
    assert row["centroid_distance_um"] == pytest.approx(5.0, abs=0.02)
    assert row["surface_distance_um"] == pytest.approx(1.5, abs=math.hypot(*voxel))
    assert row["overlap_volume_um3"] == 0
    assert measure_pairs(first, second, voxel, structure="cell", other_structure="nucleus", max_distance_um=1.0).empty


@pytest.mark.parametrize("distance", [0.0, 1.0, 2.0, 3.0])
def test_overlap_of_two_balls(distance) -> None:
    """V = π (4R + d) (2R - d)² / 12 for two balls of radius R at the distance d."""
    voxel, radius = (0.12, 0.1, 0.08), 2.0
    shape = (50, 50, 100)
    first, second = (ball_labels(shape, voxel, [((3.0, 2.5, 2.5 + move), radius)]) for move in (0.0, distance))
    table = measure_pairs(first, second, voxel, structure="cell", other_structure="nucleus")
    exact = math.pi * (4 * radius + distance) * (2 * radius - distance) ** 2 / 12
    assert table.loc[0, "overlap_volume_um3"] == pytest.approx(exact, rel=0.01)
    assert table.loc[0, "centroid_distance_um"] == pytest.approx(distance, abs=0.01)
    assert table.loc[0, "surface_distance_um"] == 0


def test_an_object_inside_another_has_the_distance_to_its_surface() -> None:
    """Concentric balls of 3 and 1 µm: 2 µm; the inner one 0.5 µm off the centre: 1.5 µm; to a diagonal of a voxel."""
    voxel = (0.1, 0.1, 0.1)
    outer = ball_labels((70, 70, 70), voxel, [((3.5, 3.5, 3.5), 3.0)])
    for move, expected in ((0.0, 2.0), (0.5, 1.5)):
        inner = ball_labels((70, 70, 70), voxel, [((3.5, 3.5 + move, 3.5), 1.0)])
        table = measure_pairs(outer, inner, voxel, structure="cell", other_structure="nucleus")
        assert table.loc[0, "surface_distance_um"] == pytest.approx(expected, abs=math.hypot(*voxel))
        assert table.loc[0, "overlap_volume_um3"] == pytest.approx(4 / 3 * math.pi, rel=0.01)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ((0, 0, 1), 0.0),
        ((1, 1, 1), 0.0),
        ((0, 0, 2), 0.13),
        ((0, 3, 0), 0.34),
        ((4, 0, 0), 0.93),
        ((2, 2, 2), math.sqrt(0.31**2 + 0.17**2 + 0.13**2)),
        ((1, 3, 4), math.hypot(0.34, 0.39)),
    ],
    ids=str,
)
def test_single_voxels_by_hand(step, expected) -> None:
    labels = np.zeros((7, 8, 9), np.uint32)
    labels[1, 2, 3] = 5
    labels[1 + step[0], 2 + step[1], 3 + step[2]] = 9
    table = measure_pairs(labels, None, VOXEL, structure="cell", max_distance_um=expected)
    assert table[["label", "other_label"]].values.tolist() == [[5, 9]]
    assert table.loc[0, "surface_distance_um"] == pytest.approx(expected, rel=1e-12)
    assert table.loc[0, "centroid_distance_um"] == pytest.approx(math.dist([0, 0, 0], np.multiply(step, VOXEL)))
    if expected > 0:
        assert measure_pairs(labels, None, VOXEL, structure="cell", max_distance_um=expected * 0.999).empty


@pytest.mark.parametrize("limit", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("most", [1, 1 << 16], ids=["tree", "direct"])
def test_many_objects_against_a_brute_force(limit, most, monkeypatch) -> None:
    monkeypatch.setattr("tomocyte.measurements.pair.MOST_COMPARED", most)
    rng = np.random.default_rng(3)
    labels = ndimage.label(ndimage.binary_dilation(rng.random((9, 24, 30)) < 0.008, iterations=1))[0].astype(np.uint8)
    numbers = np.unique(labels)[1:]
    assert len(numbers) > 15
    gaps = {(int(a), int(b)): brute_gap(labels == a, labels == b, VOXEL) for a, b in itertools.combinations(numbers, 2)}
    expected = {key: gap for key, gap in gaps.items() if gap <= limit}
    table = measure_pairs(labels, None, VOXEL, structure="cell", max_distance_um=limit, names=["surface_distance_um"])
    assert list(zip(table["label"], table["other_label"], strict=True)) == sorted(expected)
    np.testing.assert_allclose(table["surface_distance_um"], [expected[key] for key in sorted(expected)], atol=1e-12)


def test_two_structures_against_counting() -> None:
    rng = np.random.default_rng(4)
    cells = np.kron(np.arange(1, 9, dtype=np.uint32).reshape(2, 2, 2), np.ones((5, 6, 7), np.uint32))
    droplets = ndimage.label(rng.random(cells.shape) < 0.05)[0].astype(np.uint32)
    table = measure_pairs(
        cells, droplets, VOXEL, structure="cell", other_structure="droplet", names=["overlap_volume_um3"]
    )
    both, n_voxels = np.unique(np.stack([cells, droplets])[:, droplets > 0], axis=1, return_counts=True)
    overlapping = table[table["overlap_volume_um3"] > 0]
    assert overlapping[["label", "other_label"]].values.tolist() == both.T.tolist()
    np.testing.assert_allclose(overlapping["overlap_volume_um3"], n_voxels * math.prod(VOXEL), rtol=1e-12)


def test_a_whole_structure_is_one_object() -> None:
    labels = np.zeros((4, 6, 20), np.uint8)
    labels[1:3, 1:3, 1:3], labels[1:3, 1:3, 12:14] = 1, 2
    other = np.zeros_like(labels)
    other[1:3, 1:3, 5] = 4
    table = measure_pairs(
        labels > 0, other > 0, VOXEL, structure="cell", other_structure="nucleus", max_distance_um=1.0
    )
    assert table[["label", "other_label"]].values.tolist() == [[1, 1]]
    assert table.loc[0, "surface_distance_um"] == pytest.approx(2 * VOXEL[2])


def test_planar_images_have_distances_in_the_plane_and_no_volumes() -> None:
    labels = np.zeros((1, 8, 20), np.uint8)
    labels[0, 2:4, 2:4], labels[0, 5:7, 8:10] = 1, 2
    table = measure_pairs(labels, None, (math.nan, 0.2, 0.1), structure="cell", max_distance_um=5.0)
    assert table.loc[0, "surface_distance_um"] == pytest.approx(math.hypot(0.2, 0.4))
    assert table.loc[0, "centroid_distance_um"] == pytest.approx(math.hypot(0.6, 0.6))
    assert math.isnan(table.loc[0, "overlap_volume_um3"])


def test_the_cut_at_the_border_is_no_surface() -> None:
    """A slab that fills y and x and is cut at z = 0: the droplet at its foot is 3 voxels below its only face."""
    slab = np.zeros((8, 6, 6), np.uint8)
    slab[:5] = 1
    droplet = np.zeros_like(slab)
    droplet[1, 2, 2] = 1
    table = measure_pairs(slab, droplet, VOXEL, structure="cell", other_structure="droplet")
    assert table.loc[0, "surface_distance_um"] == pytest.approx(3 * VOXEL[0])
    everywhere = measure_pairs(np.ones_like(slab), droplet, VOXEL, structure="cell", other_structure="droplet")
    assert math.isnan(everywhere.loc[0, "surface_distance_um"])


@pytest.mark.parametrize("scale", [0.37, 8.0])
def test_pairs_scale_as_their_units_say(scale) -> None:
    first = ball_labels((20, 30, 40), VOXEL, [((3, 2.2, 1.8), 1.0), ((3, 2.2, 4.0), 0.8)])
    second = ball_labels((20, 30, 40), VOXEL, [((3, 2.6, 2.5), 0.9)])
    kinds = {"structure": "cell", "other_structure": "nucleus"}
    small = measure_pairs(first, second, VOXEL, max_distance_um=0.7, **kinds)
    large = measure_pairs(first, second, tuple(side * scale for side in VOXEL), max_distance_um=0.7 * scale, **kinds)
    assert len(small) == len(large) == 2
    for name, power in (("overlap_volume_um3", 3), ("centroid_distance_um", 1), ("surface_distance_um", 1)):
        np.testing.assert_allclose(large[name], small[name] * scale**power, rtol=1e-12)


def test_no_pairs_give_an_empty_table_of_the_same_types() -> None:
    labels = np.zeros((3, 4, 9), np.uint8)
    labels[1, 1, 1], labels[1, 1, 2] = 1, 2
    full = measure_pairs(labels, None, VOXEL, structure="cell")
    empty = measure_pairs(np.zeros_like(labels), None, VOXEL, structure="cell")
    assert (len(full), len(empty)) == (1, 0)
    assert empty.dtypes.tolist() == full.dtypes.tolist()
    assert list(empty) == list(full)


def test_extra_measurements_of_pairs_see_the_image() -> None:
    def brighter_by(pair: Pair) -> float:
        """Mean of the first object minus the mean of the second."""
        return pair.first.summary.mean - pair.second.summary.mean

    labels = np.zeros((3, 4, 9), np.uint8)
    labels[1, 1, 1:3], labels[1, 1, 3] = 1, 2
    image = np.arange(labels.size, dtype=np.float32).reshape(1, *labels.shape)
    table = measure_pairs(
        labels, None, VOXEL, structure="cell", names=[], image=image, extra_measurements=[brighter_by]
    )
    assert table["brighter_by"].tolist() == [-1.5]
    assert list(table) == ["structure", "label", "other_structure", "other_label", "brighter_by"]


LABELS = np.ones((2, 3, 4), np.uint8)


@pytest.mark.parametrize(
    ("other", "changes", "error", "code"),
    [
        (None, {"max_distance_um": -1.0}, SettingsError, "E-PAIRS"),
        (None, {"max_distance_um": math.inf}, SettingsError, "E-PAIRS"),
        (None, {"other_structure": "nucleus"}, SettingsError, "E-PAIRS"),
        (LABELS, {}, SettingsError, "E-PAIRS"),
        (LABELS, {"other_structure": "cell"}, SettingsError, "E-PAIRS"),
        (LABELS[:1], {"other_structure": "nucleus"}, InputError, "E-SHAPE"),
        (LABELS.astype(float), {"other_structure": "nucleus"}, InputError, "E-LABELS"),
        (None, {"names": ["volume_um3"]}, SettingsError, "E-MEASUREMENT-NAME"),
    ],
)
def test_what_cannot_be_measured_is_refused(other, changes, error, code) -> None:
    with pytest.raises(error) as caught:
        measure_pairs(LABELS, other, VOXEL, **{"structure": "cell", **changes})
    assert caught.value.code == code


def test_inputs_stay_as_they_were() -> None:
    labels = ball_labels((20, 30, 40), VOXEL, [((3, 2.2, 1.8), 1.0), ((3, 2.2, 4.0), 0.8)])
    before = labels.copy()
    labels.setflags(write=False)
    measure_pairs(labels, None, VOXEL, structure="cell", max_distance_um=1.0)
    pd.testing.assert_frame_equal(pd.DataFrame(labels[0]), pd.DataFrame(before[0]))
    np.testing.assert_array_equal(labels, before)
