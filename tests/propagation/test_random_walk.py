"""The random walk: against its transition matrix, walls, by hand from its visits, threads, and what it refuses."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import ndimage

from tomocyte.errors import InputError
from tomocyte.propagation import DenseLabels, propagate
from tomocyte.propagation.random_walk import RandomWalkSettings, count_visits

SIZE = (0.7, 0.3, 0.2)
STEPS = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]


def walked(image: np.ndarray, sparse: np.ndarray, **settings: float | bool) -> DenseLabels:
    options = RandomWalkSettings.model_validate(settings)
    return propagate(sparse, voxel_size_um=SIZE, image=image, method="random-walk", settings=options)


def visits(image: np.ndarray, starts: np.ndarray, variances: np.ndarray, **settings: int) -> np.ndarray:
    hits = np.zeros(image.shape, np.uint32)
    *_, (n_walked, box) = count_visits(image, starts, variances, RandomWalkSettings.model_validate(settings), hits)
    assert n_walked == len(starts)
    outside = hits.copy()
    outside[box] = 0
    assert not outside.any()
    return hits


def expected_visits(image: np.ndarray, start: tuple[int, ...], variance: float, n_steps: int) -> np.ndarray:
    """From the probability of every place after every step; the outermost layer is not entered."""
    grey = image.astype(float)
    inside = np.zeros(image.shape, bool)
    inside[1:-1, 1:-1, 1:-1] = True
    weight = np.exp(-((grey - grey[start]) ** 2) / (2 * variance))
    place, total = np.zeros(image.shape), np.zeros(image.shape)
    place[start] = 1
    around = sum(np.roll(weight, np.negative(step), (0, 1, 2)) for step in STEPS)
    for _ in range(n_steps):
        came = np.zeros(image.shape)
        stayed = place.copy()
        for step in STEPS:
            chance = np.where(inside, place * np.roll(weight, np.negative(step), (0, 1, 2)) / around, 0)
            moved = np.roll(chance, step, (0, 1, 2)) * inside
            came += moved
            stayed -= np.roll(moved, np.negative(step), (0, 1, 2))
        total += came
        place = came + stayed
    assert place.sum() == pytest.approx(1)
    return total


def test_visits_are_those_of_the_transition_matrix() -> None:
    image = np.random.default_rng(2).integers(90, 111, (5, 6, 7)).astype(np.uint8)
    start, variance, n_steps, n_walks = (1, 3, 2), 40.0, 12, 1000
    starts, variances = np.array([np.ravel_multi_index(start, image.shape)]), np.array([variance])
    runs = np.stack(
        [visits(image, starts, variances, n_walks=n_walks, n_steps=n_steps, seed=seed) for seed in range(30)]
    ).astype(float)
    expected = n_walks * expected_visits(image, start, variance, n_steps)
    error = runs.std(axis=0, ddof=1) / np.sqrt(len(runs))
    assert np.array_equal(expected == 0, runs.sum(axis=0) == 0)
    assert np.all(np.abs(runs.mean(axis=0) - expected) <= 5 * error)
    assert error.max() < 0.01 * expected.max()


def test_a_wall_is_never_crossed() -> None:
    """Two rooms behind a bright wall, found by scipy as components; the labels of one slice fill them."""
    wall = np.zeros((7, 12, 13), bool)
    wall[:, 5], wall[:, :, 6] = True, True
    image = np.where(wall, 250, 100).astype(np.uint8)
    rooms, n_rooms = ndimage.label(~wall)
    assert n_rooms == 4
    sparse = np.zeros(image.shape, np.uint8)
    sparse[3] = np.where(wall[3], 9, rooms[3])
    dense = walked(image, sparse, n_steps=400)
    assert np.array_equal(dense.labels, np.where(wall, 9, rooms))
    assert np.all(dense.uncertainty == 0)


def test_labels_and_uncertainty_are_those_of_the_visits() -> None:
    """Seeds, variances, the comparison of labels and the uncertainty, computed anew from the visits of each label."""
    rng = np.random.default_rng(5)
    image = rng.integers(80, 121, (6, 9, 10)).astype(np.uint8)
    sparse = np.zeros(image.shape, np.uint16)
    sparse[1] = rng.choice([0, 3, 7, 300], (9, 10))
    sparse[4, 2:7, 3:8] = 7
    padded, drawn = np.pad(image, 1), np.pad(sparse, 1, constant_values=999)
    hits = []
    for label in (0, 3, 7, 300):
        places = [(z, *place) for z in (2, 5) for place in np.argwhere(drawn[z] == label)]
        variances = []
        for z, y, x in places:
            window = padded[z, y - 1 : y + 2, x - 1 : x + 2].astype(float)
            same = window[drawn[z, y - 1 : y + 2, x - 1 : x + 2] == label]
            variances.append(max(1.0, np.mean((padded[z, y, x] - same) ** 2)))
        starts = np.asarray(np.ravel_multi_index(tuple(np.transpose(places)), padded.shape))
        hits.append(visits(padded, starts, np.array(variances), n_walks=3, n_steps=40)[1:-1, 1:-1, 1:-1])
    most = np.sort(hits, axis=0)[::-1].astype(float)
    first = np.where(most[0] == 0, 1, most[0])
    uncertainty = np.where(most[0] == 0, 1, 1 - (1 - most[1] / first) * (1 - most[2] / first))
    labels = np.array([0, 3, 7, 300])[np.argmax(hits, axis=0)]
    labels[[1, 4]], uncertainty[[1, 4]] = sparse[[1, 4]], 0
    dense = walked(image, sparse, n_walks=3, n_steps=40)
    assert dense.labels.dtype == np.uint16
    assert np.array_equal(dense.labels, labels)
    np.testing.assert_allclose(dense.uncertainty, uncertainty, atol=1e-6)


def test_neither_side_is_preferred() -> None:
    sparse = np.zeros((9, 20, 24), np.uint8)
    sparse[4, :, :12], sparse[4, :, 12:] = 1, 2
    dense = walked(np.full(sparse.shape, 9, np.uint8), sparse, n_walks=20, n_steps=100)
    truth = np.broadcast_to(sparse[4], sparse.shape)
    assert np.array_equal(dense.labels[:, :, :8], truth[:, :, :8])
    assert np.array_equal(dense.labels[:, :, 16:], truth[:, :, 16:])
    n_first, n_second = np.count_nonzero(dense.labels == 1), np.count_nonzero(dense.labels == 2)
    assert abs(n_first - n_second) < 0.02 * sparse.size
    assert dense.uncertainty[:, :, 11:13].mean() > 2 * dense.uncertainty[:, :, [2, 21]].mean()


def test_threads_change_nothing_and_the_seed_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tomocyte.propagation.random_walk.STEPS_AT_ONCE", 2000)
    image = np.random.default_rng(1).integers(0, 4000, (7, 16, 15)).astype(np.uint16)
    sparse = np.zeros(image.shape, np.uint8)
    sparse[2, 3:9, 4:12], sparse[5, 6:12, 2:9] = 1, 2
    options = {"n_walks": 2, "n_steps": 50, "is_denoised": True, "n_smoothing_steps": 3}
    one, three = (walked(image, sparse, n_threads=n, **options) for n in (1, 3))
    assert np.array_equal(one.labels, three.labels)
    assert np.array_equal(one.uncertainty, three.uncertainty)
    assert not np.array_equal(one.uncertainty, walked(image, sparse, seed=1, **options).uncertainty)


def test_what_lies_beyond_the_margin_is_background_and_unknown() -> None:
    sparse = np.zeros((9, 20, 20), np.uint8)
    sparse[4, 8:12, 8:12] = 5
    dense = walked(np.full(sparse.shape, 9, np.uint8), sparse, margin=2, n_steps=200)
    near = np.zeros(sparse.shape, bool)
    near[2:7, 6:14, 6:14] = True
    assert not dense.labels[~near].any()
    near[4] = True
    assert np.all(dense.uncertainty[~near] == 1)
    assert np.array_equal(dense.labels[4], sparse[4])


def test_an_interrupt_is_quick() -> None:
    sparse = np.zeros((5, 30, 30), np.uint8)
    sparse[2, 10:20, 10:20] = 1
    begin = time.monotonic()

    def interrupt(n_done: int, n_slices: int) -> None:
        assert 0 <= n_done <= n_slices == 5
        raise KeyboardInterrupt

    options = RandomWalkSettings(n_walks=1000, n_steps=100_000)
    image = np.full(sparse.shape, 9, np.uint8)
    with pytest.raises(KeyboardInterrupt):
        propagate(sparse, voxel_size_um=SIZE, image=image, method="random-walk", settings=options, callback=interrupt)
    assert time.monotonic() - begin < 30


def test_no_image_and_values_that_are_no_numbers_are_refused() -> None:
    sparse = np.zeros((3, 4, 5), np.uint8)
    sparse[1] = 1
    with pytest.raises(InputError, match="E-PROPAGATION-IMAGE"):
        propagate(sparse, voxel_size_um=SIZE, method="random-walk")
    with pytest.raises(InputError, match="not finite"):
        walked(np.full(sparse.shape, np.nan, np.float32), sparse)
