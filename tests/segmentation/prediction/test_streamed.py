"""Masks streamed through the volume are those of the whole frame."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from scipy import ndimage
from skimage.transform import resize

from tomocyte.errors import MetadataError, SettingsError
from tomocyte.segmentation.prediction.blending import LEVELS
from tomocyte.segmentation.prediction.empty_tiles import EmptyTile
from tomocyte.segmentation.prediction.frame import PredictionSettings, predict_frame
from tomocyte.segmentation.prediction.streamed import (
    MaskSettings,
    ResampledSource,
    masks_bytes,
    predict_masks,
    tiles_for,
)
from tomocyte.segmentation.prediction.tiled import fixed_point_slabs, predict_tiled
from tomocyte.segmentation.prediction.tiling import TilingSettings, grown_tiles, plan_tiles

NETWORK_UM = (0.4, 0.2, 0.2)

MEDIUM, SCALE = 1.337, 0.02

SEEN = ((MEDIUM, SCALE),)

FRAMES = {
    "finer": ((23, 61, 47), (0.36, 0.1, 0.12)),
    "its own size": ((21, 30, 37), NETWORK_UM),
    "coarse z, finer in plane: both ways": ((11, 61, 47), (0.8, 0.1, 0.1)),
    "much finer in z": ((40, 31, 27), (0.1, 0.2, 0.2)),
    "1:8": ((3, 41, 37), (1.6, 0.2, 0.2)),
    "coarser": ((9, 21, 27), (0.4, 0.25, 0.3)),
    "one row": ((5, 1, 37), (0.4, 0.1, 0.1)),
}


def network(batch: np.ndarray) -> np.ndarray:
    """Two pointwise outputs: a steep sigmoid at 0.5, and the value itself."""
    value = batch[:, 0]
    return np.stack([1 / (1 + np.exp(-6 * (value - 0.5))), np.clip(value, 0, 1)], axis=1).astype(np.float32)


def local_mean(batch: np.ndarray) -> np.ndarray:
    """One output that sees 2 voxels around it."""
    return np.clip(ndimage.uniform_filter(batch, (1, 1, 5, 5, 5), mode="nearest"), 0, 1).astype(np.float32)


def tomogram(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Smooth physical values from the medium to the scale above it: (1, Z, Y, X)."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 1.5)
    field = (field - field.min()) / (field.max() - field.min())
    return (MEDIUM + SCALE * field).astype(np.float32)[None]


def mask_settings(tile: tuple[int, ...] = (8, 16, 16), **changes: object) -> MaskSettings:
    prediction = PredictionSettings(tiling=TilingSettings(tile_shape=tile), voxel_size_um=NETWORK_UM)
    return MaskSettings(**{"prediction": prediction, "thresholds": (0.5, 0.4), "divisor": (2, 4, 4), **changes})


@pytest.mark.parametrize(("shape", "voxel_size_um"), FRAMES.values(), ids=FRAMES)
def test_masks_are_those_of_the_whole_frame(shape: tuple[int, ...], voxel_size_um: tuple[float, float, float]) -> None:
    """The other way: scikit-image resizes whole volumes, the tiles are blended in float32, then the threshold."""
    image, settings = tomogram(shape), mask_settings(keeps_probability=True)
    found = predict_masks(image, voxel_size_um, network, settings, offset_and_scale=SEEN)
    seen = ((image.astype(np.float64) - MEDIUM) / SCALE).astype(np.float32)
    whole = predict_frame(seen, voxel_size_um, network, settings.prediction, n_outputs=2, divisor=(2, 4, 4))
    assert found.bits.shape == shape
    for output, threshold in enumerate(settings.thresholds):
        differs = found.mask(output) != (whole[output] > threshold)
        assert np.abs(whole[output][differs] - threshold).max(initial=0) < 1e-4
        assert differs.mean() < 1e-3
        assert 0 < found.mask(output).mean() < 1
        kept = found.upsampled(output, 1, shape[0])
        np.testing.assert_allclose(kept, whole[output, 1:], atol=1 / 510 + 1e-4)
    assert not (found.bits & ~np.uint8(3)).any()


@pytest.mark.parametrize(("n_outputs", "dtype"), [(8, np.uint8), (16, np.uint16)])
def test_every_output_has_a_bit_of_its_own(n_outputs: int, dtype: type[np.unsignedinteger]) -> None:
    """Output k is the value times (k + 1) / K: above one half where the value exceeds K / (2 k + 2)."""
    image = tomogram((9, 20, 33))
    shares = (np.arange(n_outputs, dtype=np.float32) + 1).reshape(1, -1, 1, 1, 1) / n_outputs
    settings = mask_settings(thresholds=(0.5,) * n_outputs)
    found = predict_masks(image, NETWORK_UM, lambda batch: shares * batch, settings, offset_and_scale=SEEN)
    assert found.bits.dtype == dtype
    value = (image[0] - MEDIUM) / SCALE
    for output in range(n_outputs):
        differs = found.mask(output) != (value > n_outputs / (2 * output + 2))
        assert np.abs(value[differs] - n_outputs / (2 * output + 2)).max(initial=0) < 1e-3
    assert found.mask(n_outputs - 1).any()
    assert not found.mask(0).any()


def test_voxels_outside_belong_to_nothing() -> None:
    image = np.full((1, 9, 33, 21), MEDIUM + SCALE, dtype=np.float32)
    image[0, 4:, 7, 5:] = np.nan
    image[0, 0, 0, 0] = np.inf
    found = predict_masks(image, (0.4, 0.1, 0.2), network, mask_settings(), offset_and_scale=SEEN)
    assert not found.bits[~np.isfinite(image[0])].any()
    assert (found.bits[:4, :, :] > 0).sum() == 4 * 33 * 21 - 1


@pytest.mark.parametrize("grid", [NETWORK_UM, (0.4, 0.1, 0.1)])
def test_every_tile_sees_what_the_image_holds(grid: tuple[float, float, float]) -> None:
    """Whatever order boxes are asked for, they are those of the image resized at once."""
    image = tomogram((22, 26, 31))
    shape = (22, 26, 31) if grid == NETWORK_UM else (22, 13, 16)
    source = ResampledSource(image, shape, SEEN)
    seen = ((image[0].astype(np.float64) - MEDIUM) / SCALE).astype(np.float32)
    expected = resize(seen, shape, order=1, mode="edge", anti_aliasing=True, preserve_range=True)
    for first, stop in ((0, 8), (0, 8), (6, 14), (5, 13), (12, 20), (20, 22), (2, 3)):
        box = (slice(first, stop), slice(3, 11), slice(1, 9))
        np.testing.assert_allclose(source.read(box)[0], expected[box], atol=2e-5)


def test_fixed_point_is_within_half_a_level_per_tile() -> None:
    rng = np.random.default_rng(3)
    image = rng.random((1, 20, 33, 27)).astype(np.float32)
    settings = TilingSettings(tile_shape=(8, 12, 12), overlap=0.5)
    whole = predict_tiled(image, local_mean, settings, n_outputs=1, divisor=(2, 4, 4))
    source = ResampledSource(image, image.shape[1:], ((0.0, 1.0),))
    stop = 0
    for start, slab in fixed_point_slabs(source, local_mean, settings, n_outputs=1, divisor=(2, 4, 4)):
        assert start == stop
        stop = start + slab.shape[1]
        np.testing.assert_allclose(slab / LEVELS, whole[:, start:stop], atol=27 * 0.5 / LEVELS)
    assert stop == 20
    ones = np.ones_like(image)
    full = fixed_point_slabs(
        ResampledSource(ones, image.shape[1:], ((0.0, 1.0),)),
        lambda b: 1.5 * b,
        settings,
        n_outputs=1,
        divisor=(2, 4, 4),
    )
    for _, slab in full:  # more than 1 is 1, and never starts again at 0
        np.testing.assert_allclose(slab / LEVELS, 1, atol=27 * 0.5 / LEVELS)


def test_seams_vanish_where_the_overlap_is_what_the_network_sees() -> None:
    """A filter that reaches 2 voxels, tiles that leave out what lies nearer to their sides: one tile's answer."""
    image = tomogram((20, 50, 41))
    tight = TilingSettings(tile_shape=(8, 16, 16), halo=(2, 4, 4), overlap=0.25)
    one = TilingSettings(tile_shape=(20, 52, 44))
    results = []
    for tiling in (tight, one):
        settings = mask_settings(
            prediction=PredictionSettings(tiling=tiling), thresholds=(0.5,), keeps_probability=True
        )
        results.append(predict_masks(image, NETWORK_UM, local_mean, settings, offset_and_scale=SEEN))
    inner = (slice(0, 17), slice(0, 47), slice(0, 38))  # beyond lie mirrored voxels, which the filter sees otherwise
    tiled, whole = (found.probability[0][inner].astype(int) for found in results)
    assert np.abs(tiled - whole).max() <= 1
    assert (results[0].mask(0)[inner] != results[1].mask(0)[inner]).mean() < 1e-3


def test_grown_tiles_predict_fewer_voxels_and_keep_the_overlap() -> None:
    divisor = (16, 32, 32)
    for shape in ((128, 512, 512), (64, 192, 192), (70, 441, 300), (260, 860, 860), (5, 40, 2000)):
        small = TilingSettings(tile_shape=(64, 160, 160))
        grown = grown_tiles(shape, small, divisor=divisor, most_voxels=5_000_000)
        before, after = (plan_tiles(shape, tiling, divisor=divisor) for tiling in (small, grown))
        work_before, work = (plan.n_tiles * np.prod(plan.tile_shape) for plan in (before, after))
        assert work <= work_before
        assert np.prod(after.tile_shape) <= 5_000_000
        for size, placements, wanted in zip(shape, after.axes, (16, 40, 40), strict=True):
            assert sum(place.weights.sum() for place in placements) == pytest.approx(size, rel=1e-5)
            for left, right in itertools.pairwise(placements):
                assert left.stop - right.first >= wanted
    deep = grown_tiles((260, 860, 860), small, divisor=divisor, most_voxels=10**9, most_planes=64)
    assert deep.tile_shape[0] == 64
    halo = TilingSettings(tile_shape=(64, 160, 160), halo=(8, 16, 16))
    assert grown_tiles((128, 512, 512), halo, divisor=divisor, most_voxels=10**9) == halo


def test_larger_tiles_give_the_same_masks() -> None:
    image = tomogram((20, 90, 70))
    found = [
        predict_masks(image, NETWORK_UM, network, mask_settings(most_tile_voxels=most), offset_and_scale=SEEN).bits
        for most in (0, 20_000)
    ]
    grown = tiles_for((20, 90, 70), mask_settings(most_tile_voxels=20_000), n_voxels=20 * 90 * 70)
    assert np.prod(grown.tile_shape) > 8 * 16 * 16
    huge = tiles_for((20, 90, 70), mask_settings(most_tile_voxels=20_000), n_voxels=600_000_000)
    assert np.prod(huge.tile_shape) == 8 * 16 * 16  # no memory left for larger ones
    assert (found[0] != found[1]).mean() < 1e-4


def test_empty_tiles_are_left_out_and_nothing_else() -> None:
    """A cell in one corner: RI 0.02 above the medium; everywhere noise of 0.001."""
    rng = np.random.default_rng(5)
    image = (MEDIUM + rng.normal(0, 0.001, (1, 16, 96, 120))).astype(np.float32)
    image[0, 2:12, 4:30, 4:40] += np.float32(0.02)
    seen: list[int] = []

    def counted(batch: np.ndarray) -> np.ndarray:
        seen.append(len(batch))
        return network(batch)

    settings = mask_settings((8, 32, 32))
    everywhere = predict_masks(image, NETWORK_UM, counted, settings, offset_and_scale=SEEN)
    n_all = sum(seen)
    seen.clear()
    is_empty = EmptyTile(0.003 / SCALE, NETWORK_UM)
    skipped = predict_masks(image, NETWORK_UM, counted, settings, offset_and_scale=SEEN, is_empty=is_empty)
    assert skipped.n_skipped == n_all - sum(seen)
    assert skipped.n_skipped > n_all / 2
    np.testing.assert_array_equal(skipped.bits, everywhere.bits)
    assert everywhere.n_skipped == 0


def test_memory_is_what_was_said() -> None:
    """No float volume at the image's size: 4 outputs of 2.3 million voxels would be 36 MB; a byte each is 2.3 MB."""
    shape = (1, 64, 168, 210)
    image = tomogram((8, 21, 21)).repeat(8, 1).repeat(8, 2).repeat(10, 3)
    assert image.shape == shape

    def four(batch: np.ndarray) -> np.ndarray:
        return np.clip(np.repeat(batch, 4, axis=1), 0, 1)

    for voxel_size_um in ((0.2, 0.1, 0.1), NETWORK_UM):
        settings = mask_settings((8, 32, 32), thresholds=(0.5, 0.4, 0.3, 0.2))
        small = np.ascontiguousarray(image[:, :4, :8, :8])
        predict_masks(small, voxel_size_um, four, settings, offset_and_scale=SEEN)  # compiled before it is measured
        tracemalloc.start()
        try:
            found = predict_masks(image, voxel_size_um, four, settings, offset_and_scale=SEEN)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        bound = masks_bytes(shape, voxel_size_um, settings)
        assert found.bits.nbytes < peak < bound + 1_000_000
        assert peak < 4 * image.size  # less than one float volume


def test_progress_counts_tiles() -> None:
    progress: list[tuple[int, int]] = []
    settings = mask_settings()
    predict_masks(
        tomogram((9, 20, 31)), NETWORK_UM, network, settings,
        offset_and_scale=SEEN, callback=lambda done, total: progress.append((done, total)),
    )  # fmt: skip
    assert progress[-1] == (2 * 2 * 3, 2 * 2 * 3)


def test_what_cannot_be_done_is_refused() -> None:
    image = tomogram((5, 9, 11))
    with pytest.raises(SettingsError, match="E-AXES"):
        predict_masks(image.astype(np.float64), NETWORK_UM, network, mask_settings())
    with pytest.raises(SettingsError, match="E-AXES"):
        predict_masks(image[:, :1], NETWORK_UM, network, mask_settings())
    flat = PredictionSettings(tiling=TilingSettings(tile_shape=(16, 16)))
    with pytest.raises(SettingsError, match="E-AXES"):
        predict_masks(image, NETWORK_UM, network, mask_settings(prediction=flat))
    with pytest.raises(SettingsError, match="E-AXES"):
        predict_masks(image, NETWORK_UM, network, mask_settings(), offset_and_scale=SEEN * 2)
    with pytest.raises(MetadataError, match="E-VOXEL-SIZE"):
        predict_masks(image, (0.4, 0.2, 0.0), network, mask_settings())
    with pytest.raises(SettingsError, match="E-PREDICTOR"):
        predict_masks(image, NETWORK_UM, local_mean, mask_settings())
    with pytest.raises(SettingsError, match="E-PROBABILITY"):
        predict_masks(image, NETWORK_UM, network, mask_settings()).upsampled(0, 0, 1)
    with pytest.raises(SettingsError, match="E-MARGIN"):
        EmptyTile(0.0, NETWORK_UM)
    for changes in ({"thresholds": (0.5,) * 17}, {"thresholds": (1.0,)}, {"thresholds": ()}):
        with pytest.raises(ValueError):
            mask_settings(**changes)
