"""Blocks of voxels by hand."""

from __future__ import annotations

import numpy as np

from tomocyte.labels.blocks import block_factors, block_means, block_sizes, block_sums, coarse_voxel_size, fine_plane

NAN = float("nan")


def test_blocks_by_hand() -> None:
    voxels = np.arange(30).reshape(1, 5, 6)
    sums = block_sums(voxels, (1, 2, 4))
    assert sums[0].tolist() == [
        [0 + 1 + 2 + 3 + 6 + 7 + 8 + 9, 4 + 5 + 10 + 11],
        [12 + 13 + 14 + 15 + 18 + 19 + 20 + 21, 16 + 17 + 22 + 23],
        [24 + 25 + 26 + 27, 28 + 29],
    ]
    assert block_sizes(voxels.shape, (1, 2, 4)).tolist() == [[[8, 4], [8, 4], [4, 2]]]
    image = np.array([[[1.0, np.nan, 5.0, 7.0, 9.0]]])
    inside = np.array([[[True, True, True, False, False]]])
    assert block_means(image, (1, 1, 2), inside).tolist() == [[[1.0, 5.0, 0.0]]]
    assert fine_plane(np.array([[[1, 2]]]), 0, (1, 2, 5), (1, 3, 3)).tolist() == [[1, 1, 1, 2, 2]] * 2
    assert block_factors((NAN, 0.1, 0.6), 0.42) == (1, 4, 1)
    ramp = np.random.default_rng(0).normal(size=(6, 9, 8))
    means = block_means(ramp, (2, 3, 4), np.ones(ramp.shape, bool))
    assert np.allclose(means, ramp.reshape(3, 2, 3, 3, 2, 4).mean(axis=(1, 3, 5)), atol=1e-6)


def test_blocks_are_as_large_as_their_voxels_together() -> None:
    """The extent of an image of whole blocks stays the same; a plane without thickness keeps none."""
    size, factors, shape = (0.5, 0.3, 0.2), (1, 2, 5), (4, 6, 10)
    coarse = coarse_voxel_size(size, factors)
    n_blocks = [n / factor for n, factor in zip(shape, factors, strict=True)]
    np.testing.assert_allclose(np.multiply(n_blocks, coarse), np.multiply(shape, size))
    assert np.isnan(coarse_voxel_size((NAN, 0.3, 0.2), (1, 2, 2))[0])
