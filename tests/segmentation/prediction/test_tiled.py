"""Prediction in tiles and sections equals prediction of the whole."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.segmentation.prediction.tiled import (
    flip_averaged,
    inference_bytes,
    predict_sections,
    predict_slabs,
    predict_tiled,
    section_slabs,
)
from tomocyte.segmentation.prediction.tiling import TilingSettings

Float = NDArray[np.float32]

RADIUS = (2, 3, 4)


def noise(*shape: int, seed: int = 7) -> Float:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def local_filter(batch: Float) -> Float:
    """Two outputs of a network that reaches RADIUS voxels and pads with zeros as convolutions do."""
    width = (1, 1, *(2 * reach + 1 for reach in RADIUS[-(batch.ndim - 2) :]))
    mean = ndimage.uniform_filter(batch[:, :1], width, mode="constant")
    largest = ndimage.maximum_filter(batch[:, :1], width, mode="constant")
    return np.concatenate([mean, largest / 2], axis=1).astype(np.float32)


def pooled(batch: Float) -> Float:
    """What a network with two poolings does: 4 x 4 blocks share a value."""
    n, c, height, width = batch.shape
    blocks = batch.reshape(n, c, height // 4, 4, width // 4, 4).mean(axis=(3, 5))
    return np.repeat(np.repeat(blocks, 4, axis=2), 4, axis=3).astype(np.float32)


@pytest.mark.parametrize("weight", ["constant", "gaussian", "spline", "linear"])
@pytest.mark.parametrize(("tile", "overlap"), [((16, 24, 32), 0.0), ((8, 16, 40), 0.5), ((24, 12, 16), 0.3)])
def test_tiles_with_a_halo_equal_the_whole_in_3d(weight: str, tile: tuple[int, ...], overlap: float) -> None:
    image = noise(1, 32, 48, 72)
    settings = TilingSettings(tile_shape=tile, overlap=overlap, weight=weight, halo=RADIUS, batch_size=3)
    found = predict_tiled(image, local_filter, settings, n_outputs=2, divisor=(2, 4, 4))
    np.testing.assert_allclose(found, local_filter(image[None])[0], atol=1e-5)


@pytest.mark.parametrize("size", [(45, 83), (44, 84), (9, 83), (1, 50)])
def test_tiles_of_any_image_equal_the_whole_away_from_the_far_border(size: tuple[int, int]) -> None:
    """Where a tile reaches beyond the end, the image is mirrored; a reach before the end nothing differs."""
    image = noise(1, *size)
    whole = local_filter(image[None])[0]
    for tile in ((16, 24), (32, 40), (64, 128)):
        settings = TilingSettings(tile_shape=tile, weight="constant", halo=RADIUS[1:])
        found = predict_tiled(image, local_filter, settings, n_outputs=2, divisor=(8, 8))
        inner = tuple(slice(0, max(0, n - reach)) for n, reach in zip(size, RADIUS[1:], strict=True))
        np.testing.assert_allclose(found[:, *inner], whole[:, *inner], atol=1e-5)


def test_osnet_in_tiles_equals_the_whole() -> None:
    """Untrained weights, an image of noise: with a halo of 128 pixels no probability is more than 1e-3 off."""
    torch = pytest.importorskip("torch")
    from tomocyte.networks import build_network

    torch.manual_seed(0)
    network = build_network("osnet")
    image = ndimage.gaussian_filter(noise(1, 128, 576) - 0.5, (0, 3, 3))
    image /= image.std()
    with torch.no_grad():
        for _ in range(10):  # so that the batch statistics are those of such images
            network(torch.from_numpy(image[None, :, :128, :128].copy()))
    network.eval()

    def predictor(batch: Float) -> Float:
        with torch.inference_mode():
            return np.asarray(torch.sigmoid(network(torch.from_numpy(batch))).numpy(), np.float32)

    whole = predictor(image[None])[0]
    assert whole.std() > 0.02
    settings = TilingSettings(tile_shape=(128, 320), halo=(0, 128))
    found = predict_tiled(image, predictor, settings, n_outputs=1, divisor=network.divisor)
    assert np.abs(found - whole).max() < 1e-3


def test_without_a_halo_seams_show() -> None:
    image = noise(1, 32, 48, 72)
    settings = TilingSettings(tile_shape=(16, 24, 32), overlap=0, weight="constant")
    found = predict_tiled(image, local_filter, settings, n_outputs=2, divisor=(2, 4, 4))
    assert np.abs(found - local_filter(image[None])[0]).max() > 0.1


def test_pooling_meets_the_same_pixels_in_every_tile() -> None:
    image = noise(1, 60, 88)
    whole = pooled(image[None])[0]
    for tile in ((12, 20), (16, 16), (28, 36)):
        settings = TilingSettings(tile_shape=tile, overlap=0.3)
        found = predict_tiled(image, pooled, settings, n_outputs=1, divisor=(4, 4))
        np.testing.assert_allclose(found, whole, atol=1e-6)


def test_mirrored_beyond_the_end() -> None:
    """Blocks of 4 at the end of 10 x 7 see rows 8, 9, 8, 7 and columns 4, 5, 6, 5: numpy's reflection."""
    image = noise(1, 10, 7)
    padded = np.pad(image, ((0, 0), (0, 2), (0, 1)), mode="reflect")
    found = predict_tiled(image, pooled, TilingSettings(tile_shape=(64, 64)), n_outputs=1, divisor=(4, 4))
    np.testing.assert_allclose(found, pooled(padded[None])[0][:, :10, :7], atol=1e-6)


def test_slabs_cover_the_volume_once_in_order_and_hold_little() -> None:
    image = noise(1, 64, 40, 50)
    settings = TilingSettings(tile_shape=(8, 16, 24), overlap=0.25, batch_size=5)
    whole = predict_tiled(image, local_filter, settings, n_outputs=2, divisor=(4, 4, 4))
    end = 0
    for start, slab in predict_slabs(image, local_filter, settings, n_outputs=2, divisor=(4, 4, 4)):
        assert start == end
        assert 0 < slab.shape[1] <= 8
        np.testing.assert_array_equal(slab, whole[:, start : start + slab.shape[1]])
        end += slab.shape[1]
    assert end == 64


def test_batches_and_reports() -> None:
    image = noise(1, 30, 40, 50)
    sizes: list[int] = []
    progress: list[tuple[int, int]] = []

    def remember(batch: Float) -> Float:
        sizes.append(len(batch))
        assert batch.dtype == np.float32
        assert batch.flags.c_contiguous
        return local_filter(batch)

    one = TilingSettings(tile_shape=(8, 16, 16), batch_size=1)
    all_at_once = one.model_copy(update={"batch_size": 100})
    few = predict_tiled(image, remember, one, n_outputs=2, divisor=(2, 4, 4))
    assert set(sizes) == {1}
    sizes.clear()
    many = predict_tiled(
        image, remember, all_at_once, n_outputs=2, divisor=(2, 4, 4), callback=lambda *counts: progress.append(counts)
    )
    assert sizes == [60]  # starts 0, 6, 12, 18, 22 in z; 0, 12, 24 in y; 0, 12, 24, 36 in x
    np.testing.assert_allclose(few, many, atol=1e-6)
    assert progress[-1] == (sum(sizes), sum(sizes))
    assert progress == sorted(progress)


def test_empty_tiles_are_not_predicted() -> None:
    image = noise(1, 40, 60)
    image[:, :, 32:] = 0
    seen = []

    def remember(batch: Float) -> Float:
        seen.append(len(batch))
        return np.ones_like(batch)

    settings = TilingSettings(tile_shape=(16, 16), overlap=0, weight="constant", batch_size=4)
    found = predict_tiled(image, remember, settings, n_outputs=1, divisor=(8, 8), is_empty=lambda tile: not tile.any())
    assert sum(seen) == 3 * 2
    assert (found[:, :, :32] == 1).all()
    assert (found[:, :, 32:] == 0).all()


def test_flips_undo_a_predictor_that_knows_left_from_right() -> None:
    """A predictor that adds a ramp: the mean over flips is even, and what is equivariant is unchanged."""
    image = noise(1, 1, 5, 6, 8)
    np.testing.assert_allclose(flip_averaged(local_filter)(image), local_filter(image), atol=1e-6)

    def one_sided(batch: Float) -> Float:
        return batch * np.linspace(0, 1, batch.shape[-1], dtype=np.float32)

    np.testing.assert_allclose(flip_averaged(one_sided)(image), image / 2, atol=1e-6)
    calls = []

    def count(batch: Float) -> Float:
        calls.append(batch.copy())
        return batch

    flip_averaged(count)(image)
    assert len({batch.tobytes() for batch in calls}) == len(calls) == 8
    flip_averaged(count)(image[0])
    assert len(calls) == 8 + 4


def test_flips_commute_with_prediction() -> None:
    """With all flips averaged, predicting the mirrored image is mirroring the prediction."""

    def shifted(batch: Float) -> Float:
        return np.roll(batch, 1, axis=-1)

    image = noise(1, 16, 24)
    settings = TilingSettings(tile_shape=(16, 24), test_time_flips=True)
    found = predict_tiled(image, shifted, settings, n_outputs=1, divisor=(8, 8))
    mirrored = predict_tiled(image[:, ::-1, ::-1].copy(), shifted, settings, n_outputs=1, divisor=(8, 8))
    np.testing.assert_allclose(mirrored[:, ::-1, ::-1], found, atol=1e-6)
    assert np.abs(found - shifted(image)).max() > 0.1


@pytest.mark.parametrize(("axis", "order"), [("z", (0, 1, 2)), ("y", (1, 0, 2)), ("x", (2, 0, 1))])
def test_sections_are_the_planes_of_the_volume(axis: str, order: tuple[int, int, int]) -> None:
    image = noise(1, 16, 24, 40)
    settings = TilingSettings(tile_shape=(64, 64), batch_size=3)
    turned = image[0].transpose(order)
    expected = np.stack([local_filter(plane[None, None])[0] for plane in turned], axis=1)
    slabs = section_slabs(image, local_filter, settings, axis=axis, n_outputs=2, divisor=(8, 8))
    found = np.concatenate([slab.copy() for _, slab in slabs], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    back = predict_sections(image, local_filter, settings, axes=(axis,), n_outputs=2, divisor=(8, 8))
    np.testing.assert_allclose(back, expected.transpose(0, *(1 + np.argsort(order))), atol=1e-6)


def test_memory_of_slabs_does_not_grow_with_depth() -> None:
    settings = TilingSettings(tile_shape=(16, 64, 64))
    forecast = [
        inference_bytes((1, depth, 90, 90), settings, n_outputs=4, divisor=(8, 8, 8)) for depth in (64, 128, 1024)
    ]
    assert forecast[0] == forecast[1] == forecast[2]
