"""A whole frame predicted: axes, votes, pixel sizes, memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy import ndimage
from skimage.transform import resize

from tomocyte.errors import MetadataError, SettingsError
from tomocyte.segmentation.prediction.frame import (
    PredictionSettings,
    axes_of,
    check_frame,
    count_tiles,
    predict_frame,
    prediction_bytes,
    resampled,
    tile_of,
    working_shape,
)
from tomocyte.segmentation.prediction.tiled import (
    predict_sections,
    predict_tiled,
)
from tomocyte.segmentation.prediction.tiling import TilingSettings

Float = NDArray[np.float32]

NAN = float("nan")


def noise(*shape: int, seed: int = 7) -> Float:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def test_three_axes_are_their_mean_or_their_vote() -> None:
    """A predictor that sees only which axis it looks along, by the mean of its section: 3 axes, known answers."""
    image = np.zeros((1, 8, 16, 24), np.float32)
    sizes = {(16, 24): 0.9, (8, 24): 0.6, (8, 16): 0.2}

    def by_size(batch: Float) -> Float:
        return np.full_like(batch, sizes[batch.shape[2:]])

    tiles = TilingSettings(tile_shape=(64, 64))
    arguments = {"n_outputs": 1, "divisor": (4, 4)}
    mean = predict_sections(image, by_size, tiles, axes=("z", "y", "x"), **arguments)
    np.testing.assert_allclose(mean, (0.9 + 0.6 + 0.2) / 3, atol=1e-6)
    settings = PredictionSettings(tiling=tiles, section_axes=("z", "y", "x"), vote="majority")
    voxel = (0.3, 0.2, 0.1)
    np.testing.assert_allclose(predict_frame(image, voxel, by_size, settings, **arguments), 2 / 3, atol=1e-6)
    strict = settings.model_copy(update={"vote_threshold": 0.8})
    np.testing.assert_allclose(predict_frame(image, voxel, by_size, strict, **arguments), 1 / 3, atol=1e-6)


def test_vote_for_the_most_probable_class() -> None:
    image = np.zeros((1, 8, 16, 24), np.float32)
    classes = {(16, 24): (0.4, 0.35, 0.25), (8, 24): (0.3, 0.45, 0.25), (8, 16): (0.45, 0.3, 0.25)}

    def by_size(batch: Float) -> Float:
        share = np.asarray(classes[batch.shape[2:]], np.float32).reshape(1, 3, 1, 1)
        return np.broadcast_to(share, (len(batch), 3, *batch.shape[2:])).copy()

    settings = PredictionSettings(
        tiling=TilingSettings(tile_shape=(64, 64)),
        section_axes=("x", "z", "y"),
        vote="majority",
        vote_threshold=None,
    )
    found = predict_frame(image, (0.3, 0.2, 0.1), by_size, settings, n_outputs=3, divisor=(4, 4))
    np.testing.assert_allclose(found[:, 4, 5, 6], (2 / 3, 1 / 3, 0), atol=1e-6)
    with pytest.raises(SettingsError, match="E-VOTE"):
        predict_frame(image, (0.3, 0.2, 0.1), by_size, settings, n_outputs=1, divisor=(4, 4))


def test_working_shapes_by_hand() -> None:
    """Voxel 0.4 x 0.2 x 0.1 µm to the network's 0.5 x 0.2 x 0.2: z-sections halve x; x-sections take z to 0.2 µm."""
    settings = PredictionSettings(tiling=TilingSettings(tile_shape=(16, 16)), voxel_size_um=(0.5, 0.2, 0.2))
    shape, voxel = (1, 10, 30, 40), (0.4, 0.2, 0.1)
    assert working_shape(shape, voxel, settings, "z") == (30, 20)
    assert working_shape(shape, voxel, settings, "y") == (20, 20)
    assert working_shape(shape, voxel, settings, "x") == (20, 30)
    assert working_shape(shape, voxel, settings, "volume") == (8, 30, 20)
    assert working_shape(shape, (0.4, 0.19, 0.211), settings, "z") == (28, 42)
    near = settings.model_copy(update={"resample_tolerance": 0.06})
    assert working_shape(shape, (0.4, 0.19, 0.21), near, "z") == (30, 40)


@pytest.mark.parametrize("is_planar", [True, False])
def test_a_disc_keeps_its_place_and_area_at_another_pixel_size(is_planar: bool) -> None:
    """An ellipse of 6 x 9 µm found by a threshold at twice the pixel size covers π·54 µm², centred where it was."""
    size_um = (NAN if is_planar else 0.5, 0.25, 0.15)
    y, x = ((np.arange(n) + 0.5) * step for n, step in zip((90, 180), size_um[1:], strict=True))
    depth = 1 - np.hypot((y[:, None] - 10) / 6, (x[None] - 15) / 9)
    plane = np.clip(0.5 + depth * 20, 0, 1).astype(np.float32)
    image = np.repeat(plane[None, None], 1 if is_planar else 3, axis=1)
    shapes = set()

    def identity(batch: Float) -> Float:
        shapes.add(batch.shape[2:])
        return batch.copy()

    settings = PredictionSettings(tiling=TilingSettings(tile_shape=(48, 64)), voxel_size_um=(NAN, 0.5, 0.5))
    found = predict_frame(image, size_um, identity, settings, n_outputs=1, divisor=(16, 16))
    assert shapes == {(48, 64)}  # 45 x 54 pixels
    mask = found[0, 0] > 0.5
    assert mask.sum() * 0.25 * 0.15 == pytest.approx(np.pi * 54, rel=0.01)
    centre = np.argwhere(mask).mean(axis=0) + 0.5
    np.testing.assert_allclose(centre * size_um[1:], (10, 15), atol=0.03)


def test_volume_at_another_voxel_size_is_scikit_images_resize() -> None:
    from skimage.transform import resize

    image = ndimage.gaussian_filter(noise(2, 12, 20, 28), (0, 1, 2, 2))
    settings = PredictionSettings(tiling=TilingSettings(tile_shape=(8, 16, 16)), voxel_size_um=(0.5, 0.25, 0.4))
    found = predict_frame(image, (0.5, 0.5, 0.2), lambda batch: batch.copy(), settings, n_outputs=2, divisor=(4, 8, 8))
    for channel in range(2):
        coarse = resize(image[channel], (12, 40, 14), order=1, mode="edge", anti_aliasing=True)
        back = resize(coarse, (12, 20, 28), order=1, mode="edge", anti_aliasing=True)
        np.testing.assert_allclose(found[channel], back, atol=1e-6)


def test_reports_run_to_the_end_over_all_axes() -> None:
    progress: list[tuple[int, int]] = []
    settings = PredictionSettings(
        tiling=TilingSettings(tile_shape=(16, 16), batch_size=2),
        voxel_size_um=(0.4, 0.2, 0.2),
        section_axes=("z", "x"),
    )
    voxel, shape = (0.4, 0.1, 0.2), (1, 9, 40, 20)
    predict_frame(
        noise(*shape),
        voxel,
        lambda batch: batch.copy(),
        settings,
        n_outputs=1,
        divisor=(8, 8),
        callback=lambda *counts: progress.append(counts),
    )
    total = count_tiles(shape, voxel, settings, divisor=(8, 8))
    assert progress[-1] == (total, total)
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)
    # Sections of 20 x 20 pixels (z) need 2 x 2 tiles of 16, sections of 18 x 20 pixels (x) too.
    assert total == 9 * 4 + 20 * 4


@pytest.mark.parametrize("axes", [("z",), ("z", "y", "x"), "volume"])
@pytest.mark.parametrize("target", [None, (0.5, 0.1, 0.3)])
def test_memory_stays_below_what_was_said(axes: tuple[str, ...] | str, target: tuple[float, ...] | None) -> None:
    shape, voxel = (1, 40, 160, 140), (0.4, 0.2, 0.2)
    is_volume = axes == "volume"
    tiling = TilingSettings(tile_shape=(16, 64, 64) if is_volume else (64, 64), batch_size=4)
    extra = {} if is_volume else {"section_axes": axes}
    settings = PredictionSettings(tiling=tiling, voxel_size_um=target, **extra)
    image = noise(*shape)
    divisor = (8, 8, 8) if is_volume else (8, 8)
    forecast = prediction_bytes(shape, voxel, settings, n_outputs=2, divisor=divisor)

    def two(batch: Float) -> Float:
        return np.repeat(batch, 2, axis=1)

    predict_frame(image[:, :8, :32, :32].copy(), voxel, two, settings, n_outputs=2, divisor=divisor)  # imports
    tracemalloc.start()
    try:
        predict_frame(image, voxel, two, settings, n_outputs=2, divisor=divisor)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.4 * forecast < peak < 1.05 * forecast


def test_what_cannot_work_is_refused() -> None:
    tiles = TilingSettings(tile_shape=(16, 16))
    image = noise(1, 20, 30)
    with pytest.raises(SettingsError, match="E-PREDICTOR"):
        predict_tiled(image, lambda batch: batch[:, :, 1:], tiles, n_outputs=1, divisor=(8, 8))
    with pytest.raises(SettingsError, match="NaN"):
        predict_tiled(image, lambda batch: batch * np.float32(NAN), tiles, n_outputs=1, divisor=(8, 8))
    with pytest.raises(SettingsError, match="E-AXES"):
        predict_tiled(image[None], lambda batch: batch, tiles, n_outputs=1, divisor=(8, 8))
    with pytest.raises(SettingsError, match="float32"):
        predict_tiled(image.astype(float), lambda batch: batch, tiles, n_outputs=1, divisor=(8, 8))
    with pytest.raises(SettingsError, match="E-AXES"):
        predict_sections(image[None], lambda batch: batch, tiles, axes=("z", "z"), n_outputs=1, divisor=(8, 8))
    flat = PredictionSettings(tiling=TilingSettings(tile_shape=(16, 16, 16)))
    arguments = {"n_outputs": 1, "divisor": (8, 8, 8)}
    with pytest.raises(SettingsError, match="single plane"):
        predict_frame(image[None], (0.5, 0.2, 0.2), lambda batch: batch, flat, **arguments)
    with pytest.raises(MetadataError, match="E-VOXEL-SIZE"):
        predict_frame(noise(1, 4, 20, 30), (NAN, 0.2, 0.2), lambda batch: batch, flat, **arguments)
    with pytest.raises(ValidationError):
        PredictionSettings(tiling=tiles, section_axes=("z", "z"))
    with pytest.raises(ValidationError):
        PredictionSettings(tiling=TilingSettings(tile_shape=(16, 16, 16)), section_axes=("y",))


def test_a_plane_has_one_axis_to_look_along() -> None:
    settings = PredictionSettings(tiling=TilingSettings(tile_shape=(16, 16)), section_axes=("x", "z"))
    assert axes_of((1, 5, 8, 9), settings) == ("x", "z")
    assert axes_of((3, 1, 8, 9), settings) == ("z",)


@pytest.mark.parametrize("shape", [(4, 12, 9), (8, 12), (8, 24)])
def test_resampling_keeps_the_extent_and_leaves_other_axes_alone(shape: tuple[int, ...]) -> None:
    image = noise(2, 6, 8, 12)
    found = resampled(image, shape)
    blocks = image.reshape(-1, *image.shape[-len(shape) :])
    options = {"order": 1, "mode": "edge", "anti_aliasing": True}
    expected = [resize(block, shape, **options) for block in blocks]
    np.testing.assert_allclose(found.reshape(-1, *shape), expected, atol=1e-6)
    assert found.shape == (*image.shape[: -len(shape)], *shape)
    assert resampled(image, (8, 12)) is image


def test_the_largest_tile_is_that_of_the_largest_section() -> None:
    """At the network's size z-sections have 30 x 20 pixels and y-sections 8 x 20; tiles have 24 x 24 at most."""
    settings = PredictionSettings(
        tiling=TilingSettings(tile_shape=(24, 24)), voxel_size_um=(0.5, 0.2, 0.2), section_axes=("y", "z")
    )
    shape, voxel = (1, 4, 30, 40), (0.4, 0.2, 0.1)
    assert tile_of(shape, voxel, settings, divisor=(4, 4)) == (24, 20)
    only_y = settings.model_copy(update={"section_axes": ("y",)})
    assert tile_of(shape, voxel, only_y, divisor=(4, 4)) == (8, 20)
    volume = PredictionSettings(tiling=TilingSettings(tile_shape=(8, 16, 16)))
    assert tile_of((1, 20, 30, 40), voxel, volume, divisor=(4, 4, 4)) == (8, 16, 16)


@pytest.mark.parametrize(
    ("shape", "voxel", "changes", "error", "code"),
    [
        ((4, 5, 6), (0.4, 0.2, 0.1), {}, SettingsError, "E-AXES"),
        ((1, 0, 5, 6), (0.4, 0.2, 0.1), {}, SettingsError, "E-AXES"),
        ((1, 4, 5, 6), (0.0, 0.2, 0.1), {}, MetadataError, "E-VOXEL-SIZE"),
        ((1, 4, 5, 6), (NAN, 0.2, 0.1), {}, MetadataError, "E-VOXEL-SIZE"),
        ((1, 1, 5, 6), (NAN, 0.2, 0.1), {"tiling": TilingSettings(tile_shape=(8, 16, 16))}, SettingsError, "E-AXES"),
        ((1, 4, 5, 6), (0.4, 0.2, 0.1), {"vote": "majority", "vote_threshold": None}, SettingsError, "E-VOTE"),
    ],
)
def test_what_cannot_be_predicted_is_refused_before(
    shape: tuple[int, ...], voxel: tuple[float, ...], changes: dict[str, object], error: type[Exception], code: str
) -> None:
    settings = PredictionSettings(tiling=TilingSettings(tile_shape=(16, 16)))
    check_frame((1, 4, 5, 6), (0.4, 0.2, 0.1), settings, n_outputs=1)
    check_frame((1, 1, 5, 6), (NAN, 0.2, 0.1), settings, n_outputs=1)
    with pytest.raises(error, match=code):
        check_frame(shape, voxel, settings.model_copy(update=changes), n_outputs=1)  # type: ignore[arg-type]
