"""Propagation that follows the image: simulated bodies of known shape, slabs of their own, tests of itself, limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from tomocyte.errors import InputError
from tomocyte.propagation import propagate
from tomocyte.propagation.borders import labels_differ
from tomocyte.propagation.flooding import flood, flood_twice, settle
from tomocyte.propagation.image_guided import ImageGuidedSettings

SIZE = (0.2, 0.2, 0.2)


def bodies(seed: int = 0, n_slices: int = 49) -> tuple[np.ndarray, np.ndarray]:
    """An image (float32) and its exact labels: two bent tubes that touch, in noise of half the contrast."""
    z, y, x = np.mgrid[:n_slices, :80, :90].astype(float)
    bend = 12 * np.sin(z / 8)
    first = np.hypot(y - 40 - bend / 2, x - 30 - bend) < 12
    second = (np.hypot(y - 40 + bend / 2, x - 56 - bend) < 13) & ~first
    truth = np.where(first, 3, np.where(second, 7, 0)).astype(np.uint16)
    clean = ndimage.gaussian_filter(np.where(first, 1.0, np.where(second, 2.0, 0.0)), 0.7)
    return (clean + np.random.default_rng(seed).normal(scale=0.5, size=clean.shape)).astype(np.float32), truth


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    both = [np.count_nonzero((found == label) & (truth == label)) for label in (3, 7)]
    sizes = [np.count_nonzero(found == label) + np.count_nonzero(truth == label) for label in (3, 7)]
    return float(np.mean([2 * a / b for a, b in zip(both, sizes, strict=True)]))


def test_follows_bodies_that_shape_alone_loses() -> None:
    image, truth = bodies()
    slices = range(0, 49, 16)
    guided = propagate(truth, voxel_size_um=SIZE, slices=slices, image=image)
    shape = propagate(truth, voxel_size_um=SIZE, slices=slices)
    between = np.setdiff1d(np.arange(49), slices)
    assert dice(guided.labels[between], truth[between]) > 0.95
    assert dice(shape.labels[between], truth[between]) < 0.85
    assert guided.labels.dtype == truth.dtype
    for index in slices:
        assert np.array_equal(guided.labels[index], truth[index])
        assert not guided.uncertainty[index].any()


def test_labels_do_not_depend_on_whether_errors_are_measured_or_on_threads() -> None:
    image, truth = bodies(1)
    results = [
        propagate(
            truth,
            voxel_size_um=SIZE,
            slices=range(0, 49, 12),
            image=image,
            settings=ImageGuidedSettings(is_uncertainty_measured=is_measured, n_threads=n_threads),
        )
        for is_measured, n_threads in ((True, 1), (False, 1), (True, 3))
    ]
    assert all(np.array_equal(result.labels, results[0].labels) for result in results)
    assert np.isnan(results[1].uncertainty).all()
    assert np.array_equal(results[0].uncertainty, results[2].uncertainty)


def test_uncertainty_is_about_the_share_of_errors_and_finds_them() -> None:
    """Pooled over eight volumes that nothing was chosen on; the errors are counted against the exact labels."""
    stated, wrong = [], []
    for seed in range(10, 18):
        image, truth = bodies(seed)
        slices = range(0, 49, 12)
        dense = propagate(truth, voxel_size_um=SIZE, slices=slices, image=image)
        between = np.setdiff1d(np.arange(49), slices)
        stated.append(dense.uncertainty[between].ravel())
        wrong.append((dense.labels[between] != truth[between]).ravel())
    u, is_wrong = np.concatenate(stated), np.concatenate(wrong)
    assert 0.4 < u.mean() / is_wrong.mean() < 2.5
    assert is_wrong[u >= np.quantile(u, 0.95)].sum() / is_wrong.sum() > 0.7


def test_an_image_changed_in_one_slab_changes_no_other() -> None:
    """But for what borders look like, which is learned from the labelled slices and as far as smoothing reaches."""
    image, truth = bodies(2)
    other = image.copy()
    other[17:19] += 3 * np.random.default_rng(0).normal(size=other[17:19].shape)
    settings = ImageGuidedSettings(is_uncertainty_measured=False)
    one, two = (
        propagate(truth, voxel_size_um=SIZE, slices=range(0, 49, 12), image=each, settings=settings).labels
        for each in (image, other)
    )
    changed = np.flatnonzero((one != two).any(axis=(1, 2)))
    assert changed.size
    assert changed.min() > 12
    assert changed.max() < 24


def test_where_the_image_shows_nothing_the_shape_decides() -> None:
    labels = np.zeros((11, 40, 40), np.uint8)
    labels[0, 10:30, 10:20] = labels[10, 10:30, 10:30] = 5
    flat = propagate(labels, voxel_size_um=SIZE, slices=(0, 10), image=np.full(labels.shape, 7.0, np.float32))
    shape = propagate(labels, voxel_size_um=SIZE, slices=(0, 10))
    assert np.array_equal(flat.labels, shape.labels)
    assert 20 * 13 < np.count_nonzero(flat.labels[5]) <= 20 * 15


def test_one_labelled_slice_and_slices_beyond() -> None:
    """From one slice all others are filled; with several, as many beyond the ends as lie between; or none."""
    z, y, x = np.mgrid[:30, :40, :40]
    ball = np.sqrt((z - 15.0) ** 2 + (y - 20.0) ** 2 + (x - 20.0) ** 2) < 11
    image = ball + np.random.default_rng(0).normal(scale=0.1, size=ball.shape)
    one = propagate(ball.astype(np.uint8), voxel_size_um=SIZE, slices=(15,), image=image)
    found, truth = one.labels > 0, ball
    assert 2 * np.count_nonzero(found & truth) / (found.sum() + truth.sum()) > 0.97
    assert one.test is None
    assert (one.uncertainty[3] > one.uncertainty[12]).mean() > 0.5
    labels = ball.astype(np.uint8)
    several = propagate(labels, voxel_size_um=SIZE, slices=(10, 15, 20), image=image)
    assert several.labels[6:10].any()
    assert (several.uncertainty[:6] == 1).all()
    none = ImageGuidedSettings(max_beyond=0)
    assert not propagate(labels, voxel_size_um=SIZE, slices=(10, 15), image=image, settings=none).labels[:10].any()


def test_its_test_of_itself_counts_what_was_left_out() -> None:
    image, truth = bodies(3)
    dense = propagate(truth, voxel_size_um=SIZE, slices=(0, 16, 32, 48), image=image)
    assert dense.test is not None
    (left_out,) = dense.test.slices
    others = tuple(index for index in (0, 16, 32, 48) if index != left_out)
    blind = propagate(truth, voxel_size_um=SIZE, slices=others, image=image)
    assert dense.test.dice == pytest.approx(dice(blind.labels[left_out], truth[left_out]), abs=0.03)
    by_shape = propagate(truth, voxel_size_um=SIZE, slices=others)
    assert dense.test.dice_by_shape == pytest.approx(dice(by_shape.labels[left_out], truth[left_out]), abs=1e-6)


def test_labels_beyond_16_bits_and_many_labels() -> None:
    image, truth = bodies(4)
    large = np.where(truth == 3, np.uint32(4_000_000_000), truth)
    dense = propagate(large, voxel_size_um=SIZE, slices=range(0, 49, 12), image=image)
    assert set(np.unique(dense.labels)) == {0, 7, 4_000_000_000}
    same = propagate(truth, voxel_size_um=SIZE, slices=range(0, 49, 12), image=image)
    assert np.array_equal(dense.labels == 4_000_000_000, same.labels == 3)
    many = np.arange(300 * 300, dtype=np.uint32).reshape(300, 300)
    sparse = np.stack([many, many, many])
    with pytest.raises(InputError, match="65,000"):
        propagate(sparse, voxel_size_um=SIZE, slices=(0, 2), image=np.zeros(sparse.shape, np.float32))


def test_values_that_are_not_finite_are_refused() -> None:
    image, truth = bodies(5, 9)
    image[3, 4, 5], image[3, 4, 6] = np.nan, np.inf
    with pytest.raises(InputError, match="2 voxels that are not finite"):
        propagate(truth, voxel_size_um=SIZE, slices=(0, 8), image=image)


@pytest.mark.parametrize("factor", [1.0, 1000.0, 1e-6])
def test_grey_values_may_have_any_scale(factor: float) -> None:
    image, truth = bodies(6)
    plain = propagate(truth, voxel_size_um=SIZE, slices=range(0, 49, 12), image=image)
    scaled = propagate(truth, voxel_size_um=SIZE, slices=range(0, 49, 12), image=(image * factor + 3 * factor))
    assert (plain.labels != scaled.labels).mean() < 1e-3


def test_the_barrier_is_the_lowest_pass_to_another_label() -> None:
    """Checked against Dijkstra's algorithm with the maximum for the sum, on a small landscape."""
    import heapq

    rng = np.random.default_rng(1)
    levels = rng.integers(0, 200, (4, 6, 7)).astype(np.uint8)
    seeds = np.zeros(levels.shape, np.uint16)
    seeds[0, 0, 0], seeds[3, 5, 6] = 1, 2
    both = flood_twice(levels, seeds)
    assert np.array_equal(both.labels, flood(levels, seeds))
    costs: dict[int, dict[tuple[int, ...], int]] = {}
    for label, start in ((1, (0, 0, 0)), (2, (3, 5, 6))):
        cost: dict[tuple[int, ...], int] = {start: 0}
        heap: list[tuple[int, tuple[int, ...]]] = [(0, start)]
        while heap:
            height, place = heapq.heappop(heap)
            for axis in range(3):
                for step in (-1, 1):
                    near = tuple(place[k] + step * (k == axis) for k in range(3))
                    if all(0 <= near[k] < levels.shape[k] for k in range(3)) and not seeds[near]:
                        new = max(height, int(levels[near]))
                        if new < cost.get(near, 999):
                            cost[near] = new
                            heapq.heappush(heap, (new, near))
        costs[label] = cost
    for place in np.ndindex(levels.shape):
        if not seeds[place]:
            first, second = costs[1][place], costs[2][place]
            assert both.barrier[place] == max(first, second)
            assert first == second or both.labels[place] == (1 if first < second else 2)
    left_half = np.zeros(levels.shape, bool)
    left_half[:, :, :4] = True
    partly = flood_twice(levels, seeds, left_half & (seeds == 0))
    assert np.array_equal(partly.labels, both.labels)
    assert (partly.barrier[:, :, 4:] == 255).all()
    assert (partly.barrier[:, :, :4] >= both.barrier[:, :, :4]).all()
    assert (partly.barrier[:, :, :4] < 255).any()


@pytest.mark.parametrize("density", [0.0, 0.7])
def test_barriers_of_a_larger_landscape_are_those_of_morphological_reconstruction(density: float) -> None:
    """Reconstruction by erosion (scikit-image) from a label says over which barrier it comes."""
    from skimage.morphology import reconstruction

    rng = np.random.default_rng(5)
    levels = ndimage.uniform_filter(rng.integers(0, 1000, (20, 60, 70)), 2).clip(0, 254).astype(np.uint8)
    levels[rng.random(levels.shape) < density] = 0
    seeds = np.zeros(levels.shape, np.uint16)
    seeds[0], seeds[-1] = 1, 2
    both = flood_twice(levels, seeds)
    assert np.array_equal(both.labels, flood(levels, seeds))
    cost = {}
    for label in (1, 2):
        landscape = np.where(seeds == label, 0, np.where(seeds > 0, 255, levels))
        start = np.where(seeds == label, 0, 255)
        cross = ndimage.generate_binary_structure(3, 1)
        cost[label] = reconstruction(start, landscape, method="erosion", footprint=cross)
    open_voxels = seeds == 0
    first, second = cost[1][open_voxels], cost[2][open_voxels]
    found = both.labels[open_voxels]
    assert np.array_equal(found[first < second], np.ones(np.count_nonzero(first < second)))
    assert np.array_equal(found[first > second], np.full(np.count_nonzero(first > second), 2))
    assert np.array_equal(both.barrier[open_voxels], np.maximum(first, second))


def test_all_of_an_open_slab_may_be_settled_as_the_flood_would_do_it() -> None:
    """One labelled end: what lies straight beyond it without a border is settled to the last slice, a shadow is not."""
    levels = np.zeros((7, 1, 4), np.uint8)
    levels[3, 0, 2] = 9
    seeds = np.zeros(levels.shape, np.uint16)
    seeds[0, 0] = [1, 1, 2, 2]
    quick, turned = seeds.copy(), seeds[::-1].copy()
    settle(levels, quick)
    assert quick[:, 0].T.tolist() == [[1] * 7, [1] * 7, [2, 2, 2, 0, 0, 0, 0], [2] * 7]
    settle(levels[::-1].copy(), turned)
    assert np.array_equal(turned[::-1], quick)
    assert np.array_equal(flood(levels, quick)[levels == 0][:-3], flood(levels, seeds)[levels == 0][:-3])


def test_settled_voxels_are_those_that_the_flood_would_give() -> None:
    image, truth = bodies(7)
    levels = (np.abs(ndimage.gaussian_laplace(image[:13], 1.5)) * 400).clip(0, 255).astype(np.uint8)
    levels[levels < 60] = 0
    seeds = np.zeros(levels.shape, np.uint16)
    seeds[0], seeds[12] = truth[0] + 1, truth[12] + 1
    quick = seeds.copy()
    settle(levels, quick)
    assert 0.2 < (quick[1:-1] > 0).mean() < 0.99
    assert (flood(levels, quick) != flood(levels, seeds)).mean() < 0.02


def test_borders_of_a_slice_by_hand() -> None:
    plane = np.zeros((4, 5), np.uint8)
    plane[1:3, 1:3] = 2
    expected = np.array([[0, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [0, 1, 1, 0, 0]], bool)
    assert np.array_equal(labels_differ(plane), expected)


def test_errors_beyond_the_last_labelled_slice_are_measured_there() -> None:
    """A box moves by 2 pixels per slice in an image that shows nothing: it is right between, and left behind beyond."""
    truth = np.zeros((30, 40, 120), np.uint8)
    for z in range(30):
        truth[z, 10:30, 4 + 2 * z : 44 + 2 * z] = 1
    flat = np.full(truth.shape, 7.0, np.float32)
    dense = propagate(truth, voxel_size_um=SIZE, slices=range(0, 25, 6), image=flat)
    expected = dense.uncertainty[25:].sum(axis=(1, 2))
    wrong = np.count_nonzero(dense.labels[25:] != truth[25:], axis=(1, 2))
    assert wrong.tolist() == [80 * step for step in range(1, 6)]
    assert 0.5 < expected.sum() / wrong.sum() < 1.5
    assert (np.diff(expected) > 0).all()
    none = ImageGuidedSettings(max_beyond=0)
    between = propagate(truth, voxel_size_um=SIZE, slices=range(0, 25, 6), image=flat, settings=none)
    assert np.array_equal(between.uncertainty[:25], dense.uncertainty[:25])
