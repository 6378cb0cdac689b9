"""Thinning, voxel by voxel, against scikit-image; distances to lines and surfaces against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import skeletonize

from tomocyte.measurements._thinning import count_far, surface_distances, thinned

SIDES = np.array([0.3, 0.17, 0.1])


def blobs(seed: int, shape: tuple[int, ...], blur: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=shape), blur)
    return noise > np.quantile(noise, rng.uniform(0.1, 0.9))


@pytest.mark.parametrize("blur", [0.0, 0.7, 1.5, 3.0])
@pytest.mark.parametrize("shape", [(1, 23, 31), (2, 14, 9), (17, 24, 30), (24, 1, 19), (30, 22, 2)], ids=str)
def test_the_voxels_are_those_of_scikit_image(shape, blur) -> None:
    for seed in range(5):
        mask = blobs(seed, shape, blur)
        expected = np.argwhere(skeletonize(mask, method="lee"))
        np.testing.assert_array_equal(thinned(mask), expected)
        np.testing.assert_array_equal(thinned(np.asfortranarray(mask)), expected)


@pytest.mark.parametrize("sides", [SIDES, np.array([0.1, 0.1, 0.1])], ids=str)
def test_voxels_far_from_a_line_are_counted(sides) -> None:
    rng = np.random.default_rng(3)
    for seed in range(6):
        inside = blobs(seed, (13, 30, 26), 2.0)
        line = np.unique(rng.integers(0, inside.shape, (int(rng.integers(1, 12)), 3)), axis=0)
        radii = rng.uniform(0.1, 0.8, len(line))
        thin = np.zeros(inside.shape, np.int64)
        thin[tuple(line.T)] = np.arange(1, len(line) + 1)
        away, nearest = ndimage.distance_transform_edt(thin == 0, sampling=sides, return_indices=True)
        expected = np.count_nonzero(inside & (away > 2 * radii[thin[tuple(nearest)] - 1]))
        assert 0 < expected < inside.sum()
        # Where two voxels of the line are equally near, either may count.
        assert count_far(inside, line, radii, sides) == pytest.approx(expected, abs=0.01 * inside.sum())


@pytest.mark.parametrize("sides", [SIDES, SIDES[::-1], np.array([0.1, 0.1, 0.1])], ids=str)
def test_distances_next_to_a_surface_are_exact(sides) -> None:
    mask = np.pad(blobs(4, (11, 15, 14), 1.0), 1)
    expected = ndimage.distance_transform_edt(~mask, sampling=sides)
    distances = surface_distances(mask, np.ascontiguousarray(sides))
    touches = ndimage.binary_dilation(mask, np.ones((3, 3, 3)))
    np.testing.assert_allclose(distances[touches], expected[touches], rtol=1e-12)
    assert distances[~touches].min() > 0
