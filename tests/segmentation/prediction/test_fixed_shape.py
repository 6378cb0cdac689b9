"""Volumes at one fixed shape, as Choi et al. published: what is seen, what is blended, what stays empty."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.segmentation.prediction.fixed_shape import (
    FixedFrameSettings,
    central_planes,
    count_fixed_tiles,
    framed_shape,
    framed_tiling,
    predict_fixed,
)
from tomocyte.segmentation.prediction.frame import PredictionSettings, count_tiles, predict_frame, prediction_bytes
from tomocyte.segmentation.prediction.streamed import MaskSettings, masks_bytes, predict_masks
from tomocyte.segmentation.prediction.tiled import Predictor
from tomocyte.segmentation.prediction.tiling import TilingSettings, plan_tiles, window

FRAME = FixedFrameSettings(shape=(12, 24, 32), depth=8, padding=8, stride=8)
TILING = TilingSettings(tile_shape=(8, 16, 16))


def half(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    return batch * np.float32(0.5)


def predicted(
    image: NDArray[np.float32], frame: FixedFrameSettings = FRAME, predictor: Predictor = half
) -> NDArray[np.float32]:
    return predict_fixed(image, predictor, frame, tiling=TILING, n_outputs=1, divisor=(4, 4, 4))


def test_the_spline_overlaps_to_a_constant_at_half_its_length() -> None:
    weights = window(128, "spline")
    # Added up by hand: the mean of the squared triangle is 1/2, so the window reaches 2 in its middle
    assert weights.mean() == pytest.approx(1, abs=1e-12)
    assert np.abs(weights[:64] + weights[64:] - 2).max() < 1e-12
    # and is near zero at its ends, where tiles that only touch would leave gaps if sums were divided by a constant.
    assert weights[0] == pytest.approx(2 * (2 * (0.5 / 64)) ** 2 / 2, rel=1e-9)


def test_published_geometry() -> None:
    frame, tiling = FixedFrameSettings(), TilingSettings(tile_shape=(64, 128, 128))
    plan = plan_tiles((64, 640, 640), framed_tiling(frame, tiling), divisor=(8, 8, 8))
    assert [place.start for place in plan.axes[1]] == list(range(0, 513, 64))
    assert (len(plan.axes[0]), plan.n_tiles) == (1, 81)
    # Away from the padded border two tiles share each voxel with weights that add up to 1.
    second = plan.axes[1][1]
    assert np.allclose(second.weights, window(128, "spline") / 2, atol=1e-6)
    printed = framed_tiling(frame.model_copy(update={"stride": 128}), tiling)
    starts = [place.start for place in plan_tiles((64, 640, 640), printed, divisor=(8, 8, 8)).axes[2]]
    assert starts == [0, 128, 256, 384, 512]


def test_a_constant_stays_one_inside_and_nothing_is_said_outside() -> None:
    found = predicted(np.full((1, 12, 24, 32), 0.6, np.float32))
    assert found.shape == (1, 12, 24, 32)
    assert np.abs(found[:, 2:10] - 0.3).max() < 1e-6
    assert not found[:, :2].any()
    assert not found[:, 10:].any()


def test_the_border_is_continued_by_its_mirror_image() -> None:
    rng = np.random.default_rng(1)
    image = rng.random((1, 12, 24, 32), dtype=np.float32)
    seen = []

    def watch(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(batch[0, 0].copy())
        return batch

    found = predicted(image, predictor=watch)
    assert np.abs(found[:, 2:10] - image[:, 2:10]).max() < 1e-6
    first = seen[0]  # begins 8 voxels before the image in y and x
    assert np.array_equal(first[:, 8:, 8:], image[0, 2:10, :8, :8])
    assert np.array_equal(first[:, 7::-1, 8:], image[0, 2:10, :8, :8])  # the border voxel stands twice
    assert len(seen) == count_fixed_tiles(FRAME, TILING, divisor=(4, 4, 4)) == 4 * 5


def test_the_printed_stride_leaves_seams_where_the_overlapping_one_blends() -> None:
    numbers = iter(range(1000))

    def disagreeing(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Tiles that say 0 and 1 in turn."""
        return np.stack([np.full(tile.shape, next(numbers) % 2, np.float32) for tile in batch])

    def steepest(stride: int) -> float:
        frame = FRAME.model_copy(update={"stride": stride, "shape": (12, 32, 32)})
        found = predicted(np.zeros((1, 12, 32, 32), np.float32), frame, predictor=disagreeing)
        return float(max(np.abs(np.diff(found[:, 2:10], axis=axis)).max() for axis in (2, 3)))

    assert steepest(16) == 1.0
    # The spline rises fastest at a quarter of the tile: 4 t dt with t = 1/2 and dt = 1/8 of its half length.
    assert steepest(8) <= 0.25


@pytest.mark.parametrize(("stride", "tile"), [(17, (8, 16, 16)), (3, (8, 16, 16)), (8, (8, 16, 12)), (8, (16, 16))])
def test_tiles_that_do_not_suit_are_refused(stride: int, tile: tuple[int, ...]) -> None:
    with pytest.raises(SettingsError, match="E-TILE"):
        framed_tiling(FRAME.model_copy(update={"stride": stride}), TilingSettings(tile_shape=tile))


def test_a_frame_of_any_voxels_is_resized_there_and_back() -> None:
    settings = PredictionSettings(tiling=TILING, voxel_size_um=(9.0, 9.0, 9.0), fixed_frame=FRAME)
    z = np.linspace(0, 1, 24, dtype=np.float32)[:, None, None]
    image = np.broadcast_to(z, (24, 36, 40))[np.newaxis].copy()
    size = (0.2, 0.3, 0.1)
    found = predict_frame(image, size, lambda x: x, settings, n_outputs=1, divisor=(4, 4, 4))
    assert found.shape == (1, 24, 36, 40)
    assert np.abs(found[0, 6:18] - image[0, 6:18]).max() < 0.02
    assert not found[0, :3].any()
    assert not found[0, 21:].any()
    assert count_tiles(image.shape, size, settings, divisor=(4, 4, 4)) == 20
    assert prediction_bytes(image.shape, size, settings, n_outputs=1, divisor=(4, 4, 4)) > 4 * image.size
    with pytest.raises(SettingsError, match="E-AXES"):
        predicted(image)
    with pytest.raises(ValueError, match="fixed frame needs 3-D"):
        PredictionSettings(tiling=TilingSettings(tile_shape=(16, 16)), fixed_frame=FRAME)


def test_streamed_masks_are_those_of_the_frame() -> None:
    image = np.random.default_rng(2).random((1, 20, 30, 36), dtype=np.float32)
    prediction = PredictionSettings(tiling=TILING, fixed_frame=FRAME)
    size = (0.2, 0.3, 0.1)
    settings = MaskSettings(prediction=prediction, thresholds=(0.5,), divisor=(4, 4, 4), keeps_probability=True)
    found = predict_masks(image, size, lambda x: x, settings)
    whole = predict_frame(image, size, lambda x: x, prediction, n_outputs=1, divisor=(4, 4, 4))
    is_clear = np.abs(whole[0] - 0.5) > 0.02  # shrinking smooths a little differently there
    assert is_clear.mean() > 0.7
    assert (found.mask(0) == (whole[0] > 0.5))[is_clear].mean() > 0.99
    assert not found.mask(0)[:3].any()
    assert found.probability is not None
    assert found.probability.shape == (1, *FRAME.shape)
    assert not found.probability[:, :2].any()
    plain = settings.model_copy(update={"prediction": PredictionSettings(tiling=TILING)})
    assert masks_bytes(image.shape, size, settings) > masks_bytes(image.shape, size, plain)


@pytest.mark.parametrize(
    ("shape", "depth", "padding", "planes", "framed"),
    [
        ((128, 512, 512), 64, 64, (32, 96), (64, 640, 640)),
        ((12, 24, 32), 8, 8, (2, 10), (8, 40, 48)),
        ((13, 24, 32), 8, 0, (2, 10), (8, 24, 32)),
        ((8, 24, 32), 64, 1, (0, 8), (8, 26, 34)),
    ],
)
def test_the_middle_planes_are_seen_and_padded_by_hand(
    shape: tuple[int, int, int], depth: int, padding: int, planes: tuple[int, int], framed: tuple[int, int, int]
) -> None:
    settings = FixedFrameSettings(shape=shape, depth=depth, padding=padding, stride=8)
    assert central_planes(settings) == planes
    assert framed_shape(settings) == framed
