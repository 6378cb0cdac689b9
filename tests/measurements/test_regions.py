"""All objects at once against scipy, scikit-image and NumPy, and against one region at a time."""

from __future__ import annotations

import dataclasses
import math
import tracemalloc

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import euler_number as skimage_euler
from skimage.measure import regionprops

from tomocyte.measurements import _label_runs, measure, measurements, regions, registry
from tomocyte.measurements._label_runs import label_runs
from tomocyte.measurements._object_kernels import order_statistics
from tomocyte.measurements.shapes import Shapes

VOXEL = (0.31, 0.17, 0.13)
PLANAR = (math.nan, 0.17, 0.13)


def blobs(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Objects of all forms, some in pieces, some cut by the border, with labels that leave gaps."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=shape), [min(1.0, side - 1) for side in shape])
    labels = ndimage.label(noise > np.quantile(noise, 0.7))[0].astype(np.uint32) * 3
    labels[rng.random(shape) < 0.003] = 5
    return labels


def as_labels(runs: _label_runs.LabelRuns) -> np.ndarray:
    """The label image that the runs stand for."""
    painted = np.zeros((runs.shape[0] * runs.shape[1], runs.shape[2]), np.uint64)
    for index, number in enumerate(runs.numbers):
        for run in range(runs.first[index], runs.first[index + 1]):
            painted[runs.rows[run], runs.starts[run] : runs.stops[run]] = number
    return painted.reshape(runs.shape)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
@pytest.mark.parametrize("block", [1, 1 << 22])
def test_runs_are_the_labels(dtype, block, monkeypatch) -> None:
    monkeypatch.setattr(_label_runs, "BLOCK_VOXELS", block)
    labels = np.random.default_rng(1).choice(np.array([0, 0, 1, 7, 200]), (5, 6, 70)).astype(dtype)
    labels[2] = np.repeat(labels[2], 10, axis=1)[:, :70]  # stretches longer than one stride
    runs = label_runs(labels)
    assert runs.numbers.tolist() == [1, 7, 200]
    np.testing.assert_array_equal(as_labels(runs), labels)
    np.testing.assert_array_equal(as_labels(label_runs(labels[:, ::-1, ::-1])), labels[:, ::-1, ::-1])


def test_runs_of_labels_too_large_for_a_table(monkeypatch) -> None:
    labels = blobs((4, 9, 30)).astype(np.uint64) * 10**15
    monkeypatch.setattr(_label_runs, "LARGEST_TABLE", 10)
    np.testing.assert_array_equal(as_labels(label_runs(labels)), labels)


def test_noise_takes_little_more_than_its_runs(monkeypatch) -> None:
    """A run is three 32-bit numbers; where every voxel is one, nothing else of that size is held."""
    monkeypatch.setattr(_label_runs, "BLOCK_VOXELS", 1 << 14)
    labels = np.random.default_rng(7).integers(1, 1000, (32, 128, 128)).astype(np.uint32)
    label_runs(labels)
    tracemalloc.start()
    runs = label_runs(labels)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(runs.rows) > 0.99 * labels.size
    assert peak < 1.3 * 12 * labels.size


def test_no_planes_have_no_runs() -> None:
    assert len(label_runs(np.zeros((0, 4, 5), np.uint16))) == 0


def test_a_volume_without_objects_has_no_runs() -> None:
    shapes = Shapes(label_runs(np.zeros((3, 4, 5), np.uint16)), VOXEL)
    assert len(shapes.runs) == 0
    for values in (shapes.n_voxels, shapes.euler_number, shapes.mean_projection, shapes.axis_lengths_um[0]):
        assert values.shape == (0,)


@pytest.mark.parametrize(("size", "voxel"), [((14, 30, 40), VOXEL), ((1, 60, 80), PLANAR)], ids=["volume", "planar"])
def test_shapes_against_scikit_image(size, voxel) -> None:
    labels = blobs(size)
    shapes = Shapes(label_runs(labels), voxel)
    found = regionprops(labels)
    assert len(found) > 15
    np.testing.assert_array_equal(shapes.n_voxels, [one.area for one in found])
    np.testing.assert_allclose(shapes.centre, [one.centroid for one in found], rtol=1e-12)
    boxes = [[edge for side in one.slice for edge in (side.start, side.stop)] for one in found]
    np.testing.assert_array_equal(shapes.boxes, boxes)
    np.testing.assert_array_equal(shapes.n_projected_pixels, [one.image.any(axis=0).sum() for one in found])
    if size[0] > 1:
        expected = [skimage_euler(one.image, connectivity=3) for one in found]
    else:
        expected = [skimage_euler(one.image[0], connectivity=2) for one in found]
    np.testing.assert_array_equal(shapes.euler_number, expected)
    for one, covariance in zip(found, shapes.covariance, strict=True):
        np.testing.assert_allclose(covariance, np.cov(one.coords.T, bias=True) + np.eye(3) / 12, atol=1e-9)


def test_far_from_the_origin_no_digit_of_the_covariance_is_lost() -> None:
    """One row of n voxels has the variance n²/12 (the sum of 1/12 of a voxel and (n² - 1)/12), wherever it lies."""
    labels = np.zeros((2, 2, 3_000_000), np.uint8)
    labels[1, 1, 2_000_000:2_999_999] = 1
    shapes = Shapes(label_runs(labels), VOXEL)
    assert shapes.covariance[0, 2, 2] == pytest.approx(999_999**2 / 12, rel=1e-14)
    assert shapes.covariance[0, 0, 0] == 1 / 12


@pytest.mark.parametrize(("size", "voxel"), [((14, 30, 40), VOXEL), ((1, 60, 80), PLANAR)], ids=["volume", "planar"])
def test_all_at_once_is_one_at_a_time(size, voxel, monkeypatch) -> None:
    """Every elementwise column, from the runs of all objects and from the mask of each."""
    labels = blobs(size)
    image = np.random.default_rng(2).normal(1.36, 0.01, (2, *size)).astype(np.float32)
    image[0][np.random.default_rng(3).random(size) < 0.05] = np.nan
    names = [name for name, one in measurements("object").items() if one.is_elementwise]
    assert len(names) > 30
    given = {"medium_ri": 1.337, "refraction_increment_ml_per_g": 0.19, "structure": "cell", "names": names}
    together = measure(labels, image, voxel, **given)
    single = {name: dataclasses.replace(one, is_elementwise=False) for name, one in measurements().items()}
    monkeypatch.setattr(registry, "_discovered", lambda _folders: single)
    alone = measure(labels, image, voxel, **given)
    assert list(alone) == list(together)
    for name in together:
        np.testing.assert_allclose(
            together[name].to_numpy(np.float64), alone[name].to_numpy(np.float64), rtol=1e-9, err_msg=name
        )


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("limit", [100, 1 << 25], ids=["few at a time", "together"])
def test_statistics_against_numpy(dtype, limit, monkeypatch) -> None:
    monkeypatch.setattr(regions, "VALUES_IN_MEMORY", limit)
    labels = blobs((14, 30, 40))
    image = (np.random.default_rng(4).normal(100, 20, labels.shape)).astype(dtype)
    if image.dtype.kind == "f":
        image[np.random.default_rng(5).random(labels.shape) < 0.1] = np.nan
        image[labels == 5] = np.inf
    table = measure(
        labels, image[None], VOXEL, structure="cell",
        names=["n_nonfinite_voxels", "mean_value", "sd_value", "p05_value", "p50_value", "p95_value"],
    )  # fmt: skip
    for row in table.to_dict("records"):
        values = image[labels == row["label"]].astype(np.float64)
        finite = values[np.isfinite(values)]
        assert row["n_nonfinite_voxels"] == len(values) - len(finite)
        expected = [math.nan] * 5
        if len(finite):
            expected = [finite.mean(), finite.std(), *np.percentile(finite, (5, 50, 95))]
        found = [row[name] for name in ("mean_value", "sd_value", "p05_value", "p50_value", "p95_value")]
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["normal", "outlier", "two values", "one value", "subnormal", "huge"])
def test_ranks_of_long_parts_against_a_sort(kind) -> None:
    values = np.random.default_rng(6).normal(1.36, 0.01, 50_000)
    if kind == "outlier":
        values[17] = 1e12
    elif kind == "two values":
        values = np.where(values > 1.36, 1.0, -1.0)
    elif kind == "one value":
        values[:] = 2.5
    elif kind == "subnormal":
        values = np.round((values - 1.3) * 1e3) * 5e-324
    elif kind == "huge":
        values = (values - 1.36) / np.abs(values - 1.36).max() * 1.7e308
    ranks = np.array([[0, 100, 101, len(values) // 2, len(values) - 2, len(values) - 1]])
    found = order_statistics(values.copy(), np.array([0]), np.array([len(values)]), ranks)
    np.testing.assert_array_equal(found[0], np.sort(values)[ranks[0]])
