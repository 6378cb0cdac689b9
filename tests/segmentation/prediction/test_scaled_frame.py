"""Volumes scaled as Biomedisa does it: grey values, number of patches, their sum, and the way back."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.segmentation.prediction.frame import PredictionSettings, count_tiles, predict_frame, prediction_bytes
from tomocyte.segmentation.prediction.planewise import resized_labels, resized_volume
from tomocyte.segmentation.prediction.scaled_frame import (
    ScaledFrameSettings,
    count_scaled_tiles,
    fitted_shape,
    moments,
    padded_shape,
    predict_scaled,
    scaled_image,
    scaled_tiling,
    tile_means,
)
from tomocyte.segmentation.prediction.tiling import TilingSettings, plan_tiles

PUBLISHED = TilingSettings(tile_shape=(64, 64, 64))
FRAME = ScaledFrameSettings(shape=(12, 12, 12), stride=4)
TILING = TilingSettings(tile_shape=(8, 8, 8))
Float = NDArray[np.float32]


@pytest.mark.parametrize("divisor", [16, 32])
def test_343_patches_of_a_published_volume(divisor: int) -> None:
    frame, divisors = ScaledFrameSettings(), (divisor,) * 3
    assert count_scaled_tiles(frame, PUBLISHED, divisor=divisors) == 7**3 == 343
    plan = plan_tiles(frame.shape, scaled_tiling(frame, PUBLISHED, divisor=divisors), divisor=divisors)
    assert [place.start for place in plan.axes[0]] == [0, 32, 64, 96, 128, 160, 192]
    # Away from the ends two patches share each voxel along an axis, and count alike.
    assert np.allclose(plan.axes[0][3].weights, 0.5)


def test_a_shape_that_is_no_multiple_of_the_patch_is_mirrored_up_to_one() -> None:
    frame = ScaledFrameSettings(shape=(96, 96, 96))
    assert padded_shape(frame, PUBLISHED) == (128, 128, 128)
    assert count_scaled_tiles(frame, PUBLISHED, divisor=(16, 16, 16)) == 3**3


@pytest.mark.parametrize(("side", "fitted"), [(256, 256), (250, 224), (96, 96), (95, 64), (64, 64)])
def test_a_shape_is_made_smaller_until_patches_fill_it(side: int, fitted: int) -> None:
    assert fitted == side - (side - 64) % 32
    assert fitted_shape((side,) * 3, (64,) * 3, 32) == (fitted,) * 3


def test_values_go_to_0_to_1_whatever_their_unit() -> None:
    image = np.random.default_rng(1).random((1, 20, 30, 25))
    scaled = scaled_image(image, FRAME)
    assert (float(scaled.min()), float(scaled.max())) == (0, 1)
    assert scaled.dtype == np.float32
    resized = resized_volume(image[0], FRAME.shape)
    np.testing.assert_allclose(scaled[0], (resized - resized.min()) / np.ptp(resized), atol=1e-6)
    np.testing.assert_allclose(scaled, scaled_image(200 * image + 31, FRAME), atol=1e-5)


def test_mean_and_deviation_become_those_of_the_first_volume() -> None:
    rng = np.random.default_rng(2)
    first, other = rng.normal(0.5, 0.1, (1, 12, 12, 12)), rng.gamma(9.0, 1.0, (1, 12, 12, 12))
    mean, sd = moments(scaled_image(first, FRAME))
    frame = FRAME.model_copy(update={"mean": mean, "sd": sd})
    np.testing.assert_allclose(scaled_image(first, frame), scaled_image(first, FRAME), atol=1e-6)
    low, high = other.min(), other.max()
    plain = (other - low) / (high - low)
    expected = (plain - plain.mean()) / plain.std() * sd[0] + mean[0]
    assert expected.max() > 1  # so that something is clipped
    np.testing.assert_allclose(scaled_image(other, frame), np.clip(expected, 0, 1), atol=1e-5)


def test_a_volume_without_contrast_is_the_mean() -> None:
    frame = FRAME.model_copy(update={"mean": (0.25,), "sd": (0.1,)})
    assert np.unique(scaled_image(np.full((1, 5, 6, 7), 3.0), frame)).tolist() == [0.25]
    with pytest.raises(SettingsError, match="E-AXES: an image of 1 channels"):
        scaled_image(np.zeros((2, 5, 6, 7)), frame)


def uneven(batch: Float) -> Float:
    """Three classes whose probabilities depend on the image and on the place within the tile."""
    place = np.indices(batch.shape[2:]).sum(0) / 21
    second = np.float32(0.6) * batch * (1 + place) / 2
    third = np.full_like(batch, 0.38)
    return np.concatenate((1 - second - third, second, third), axis=1).astype(np.float32)


def test_patches_are_added_up_without_weights() -> None:
    """The sum of all patches that hold a voxel, over their number, by a plain loop."""
    image = np.random.default_rng(3).random((1, 12, 12, 12)).astype(np.float32)
    padded = np.pad(image, ((0, 0), (0, 4), (0, 4), (0, 4)), mode="symmetric")
    total, count = np.zeros((3, 16, 16, 16)), np.zeros((16, 16, 16))
    for z, y, x in itertools.product((0, 4, 8), repeat=3):
        window = (slice(None), slice(z, z + 8), slice(y, y + 8), slice(x, x + 8))
        total[window] += uneven(padded[window][None])[0]
        count[window[1:]] += 1
    found = tile_means(image, uneven, FRAME, tiling=TILING, n_outputs=3, divisor=(4, 4, 4))
    np.testing.assert_allclose(found, (total / count)[:, :12, :12, :12], atol=1e-6)
    winners = np.argmax(total, axis=0)[:12, :12, :12]
    assert len(np.unique(winners)) == 3
    result = predict_scaled(image, uneven, FRAME, tiling=TILING, n_outputs=3, divisor=(4, 4, 4))
    assert np.array_equal(result, np.stack([winners == label for label in range(3)]).astype(np.float32))


def test_labels_come_back_to_the_images_grid_one_by_one() -> None:
    image = np.random.default_rng(4).random((1, 18, 10, 25)).astype(np.float32)
    settings = PredictionSettings(tiling=TILING, scaled_frame=FRAME)
    options = {"n_outputs": 3, "divisor": (4, 4, 4)}
    found = predict_frame(image, (0.1, 0.1, 0.1), uneven, settings, **options)  # type: ignore[arg-type]
    means = tile_means(scaled_image(image, FRAME), uneven, FRAME, tiling=TILING, **options)  # type: ignore[arg-type]
    assert found.shape == (3, 18, 10, 25)
    assert np.array_equal(found.argmax(0), resized_labels(means.argmax(0), (18, 10, 25), 2))
    assert np.array_equal(found.sum(0), np.ones((18, 10, 25)))
    soft = PredictionSettings(tiling=TILING, scaled_frame=FRAME.model_copy(update={"result": "probabilities"}))
    probabilities = predict_frame(image, (0.1, 0.1, 0.1), uneven, soft, **options)  # type: ignore[arg-type]
    assert np.abs(probabilities.sum(0) - 1).max() < 0.05
    assert 0 < np.mean(probabilities.argmax(0) == found.argmax(0)) < 1


def test_what_a_prediction_costs_is_known_before() -> None:
    settings = PredictionSettings(tiling=PUBLISHED, scaled_frame=ScaledFrameSettings())
    shape = (1, 491, 472, 472)
    assert count_tiles(shape, (0.03,) * 3, settings, divisor=(32,) * 3) == 343
    held = prediction_bytes(shape, (0.03,) * 3, settings, n_outputs=3, divisor=(32,) * 3)
    assert held > 4 * 3 * 491 * 472 * 472 + 4 * (1 + 3) * 256**3


@pytest.mark.parametrize(
    ("stride", "divisor", "tile"), [(3, 4, (8, 8, 8)), (9, 1, (8, 8, 8)), (1, 1, (8, 8, 8)), (4, 4, (8, 8))]
)
def test_strides_that_do_not_fit_are_refused(stride: int, divisor: int, tile: tuple[int, ...]) -> None:
    frame = ScaledFrameSettings(shape=(12, 12, 12), stride=stride)
    with pytest.raises(SettingsError, match="cannot be used in a scaled frame"):
        scaled_tiling(frame, TilingSettings(tile_shape=tile), divisor=(divisor,) * 3)


def test_frames_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="belong together"):
        ScaledFrameSettings(mean=(0.5,))
    with pytest.raises(ValueError, match="scaled frame needs 3-D"):
        PredictionSettings(tiling=TilingSettings(tile_shape=(16, 16)), scaled_frame=FRAME)
