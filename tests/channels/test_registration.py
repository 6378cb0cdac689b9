"""Registration of channels against transforms that are known: of drawn spots, and of real images."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from tests.channels.fields import SIZE_UM, by_hand, residual_voxels, spots

from tomocyte.channels.correlation import phase_shift, quarter_motion
from tomocyte.channels.laying import stored_transforms
from tomocyte.channels.registration import RegistrationSettings, register_channels
from tomocyte.channels.registration_file import (
    ChannelRegistration,
    RegistrationFile,
    load_registration,
    save_registration,
)
from tomocyte.channels.transform import ChannelTransform, LocalWarp, apply_transform
from tomocyte.errors import MetadataError, SettingsError

REAL = Path(os.environ.get("TOMOCYTE_DATA", "absent"))
NEAR = ChannelTransform(translation_um=(0.17, -0.12, 0.21), rotation_deg=0.3, magnification=(1.0, 1.004, 1.0032))


def test_all_seven_are_found_to_a_small_part_of_a_voxel() -> None:
    shape = (10, 224, 240)
    reference, moving = spots(shape, NEAR, n=600)
    found = register_channels(reference, moving, SIZE_UM)
    assert found.is_certain
    z, y, x = residual_voxels(found, NEAR, shape)
    assert max(y, x) <= 0.1
    assert z <= 0.2
    assert found.transform.rotation_deg == pytest.approx(0.3, abs=0.02)
    np.testing.assert_allclose(found.transform.magnification, NEAR.magnification, atol=2e-4)
    assert found.correlation > 0.9 > 0.5 > found.correlation_before
    # What halves of the image say of the error is of its order.
    assert all(0 < part < 0.2 for part in found.uncertainty_voxels)


def test_a_planar_image_is_registered_in_its_plane_from_far() -> None:
    shape = (1, 200, 216)
    transform = ChannelTransform(translation_um=(0.0, 1.2, -0.7))
    reference, moving = spots(shape, transform, n=250)
    found = register_channels(reference, moving, (float("nan"), *SIZE_UM[1:]))
    assert found.is_certain
    assert residual_voxels(found, transform, shape)[1:].max() <= 0.1
    assert found.transform.translation_um[0] == 0
    assert np.isnan(found.uncertainty_voxels[0])


def test_another_gain_and_offset_changes_nothing() -> None:
    shape = (3, 128, 144)
    reference, moving = spots(shape, NEAR, n=140)
    first = register_channels(reference, moving, SIZE_UM)
    second = register_channels(reference, 0.01 * moving.astype(np.float64) + 3, SIZE_UM)
    assert residual_voxels(second, first.transform, shape).max() < 0.02


def test_channels_that_have_nothing_in_common_are_reported_and_left_alone() -> None:
    reference, _ = spots((3, 128, 144), NEAR, seed=1, n=140)
    _, moving = spots((3, 128, 144), NEAR, seed=2, n=140)
    found = register_channels(reference, moving, SIZE_UM)
    assert not found.is_certain
    assert found.transform == ChannelTransform()
    assert found.problem == "the channels have no structure in common"
    rng = np.random.default_rng(0)
    noise = register_channels(rng.poisson(100, (2, 96, 112)), rng.poisson(100, (2, 96, 112)), SIZE_UM)
    assert not noise.is_certain
    assert register_channels(reference, 0 * moving, SIZE_UM).problem.startswith("a channel is constant")


def test_a_shift_above_the_limit_is_none() -> None:
    reference, moving = spots((3, 128, 144), ChannelTransform(translation_um=(0.0, 0.0, 1.0)), n=140)
    found = register_channels(reference, moving, SIZE_UM, RegistrationSettings(max_shift_um=0.5))
    assert not found.is_certain
    assert "above 0.5 um" in found.problem


def test_what_remains_locally_is_found_too() -> None:
    """A shift along x that grows from -1 pixel at the left to 1 at the right is a magnification; a wave is not."""
    from scipy.ndimage import map_coordinates

    reference, _ = spots((2, 256, 256), ChannelTransform(), n=400)
    z, y, x = np.meshgrid(np.arange(2), np.arange(256), np.arange(256), indexing="ij")
    wave = 1.2 * np.sin(2 * np.pi * x / 256)
    # What lies at x in the reference lies at x + wave in the moving channel (the wave is flat to first order).
    moving = map_coordinates(reference.astype(np.float64), [z, y - wave, x], order=3, mode="nearest")
    settings = RegistrationSettings(has_local_warp=True)
    found = register_channels(reference, moving, SIZE_UM, settings)
    plain = register_channels(reference, moving, SIZE_UM)
    assert found.transform.warp is not None
    laid, before = (apply_transform(moving, one.transform, SIZE_UM) for one in (found, plain))
    inner = np.s_[:, 24:-24, 24:-24]

    def error(image: np.ndarray) -> float:
        return float(np.sqrt(np.nanmean((image[inner] - reference[inner]) ** 2)))

    assert error(laid) < 0.3 * error(before)


def test_channels_of_different_size_are_refused() -> None:
    with pytest.raises(MetadataError, match="E-CHANNEL-SHAPE: channels of 2 x 40 x 50 and of 3 x 40 x 50"):
        register_channels(np.zeros((2, 40, 50)), np.zeros((3, 40, 50)), SIZE_UM)


def test_laying_puts_spots_where_the_formula_says() -> None:
    """The drawn reference against the moved channel, of one brightness: nothing but noise is left inside."""
    shape = (6, 120, 136)
    rng = np.random.default_rng(4)
    from tests.channels.fields import drawn

    size, half = np.array(SIZE_UM), (np.array(shape) - 1) / 2
    centres = ((rng.random((80, 3)) - 0.5) * np.array(shape) * size).T
    light = np.full(80, 500.0)
    reference = drawn(shape, centres / size[:, None] + half[:, None], light)
    moving = drawn(shape, by_hand(NEAR, centres) / size[:, None] + half[:, None], light)
    laid = apply_transform(moving, NEAR, SIZE_UM)
    inner = np.s_[2:-2, 12:-12, 12:-12]
    assert np.abs(laid[inner] - reference[inner]).max() < 0.03 * 500
    assert np.abs(moving[inner] - reference[inner]).max() > 100


def test_what_a_channel_did_not_see_has_no_value() -> None:
    image = np.arange(24.0).reshape(1, 4, 6)
    moved = apply_transform(image, ChannelTransform(translation_um=(0, 0, 0.4)), (float("nan"), 0.2, 0.2))
    assert np.isnan(moved[0, :, 4:]).all()
    np.testing.assert_allclose(moved[0, :, :4], image[0, :, 2:], atol=1e-4)
    near = apply_transform(image, ChannelTransform(translation_um=(0, 0, 0.08)), (float("nan"), 0.2, 0.2))
    assert np.isfinite(near).all()  # less than half a voxel


def test_a_registration_is_stored_and_read_back(tmp_path: Path) -> None:
    warp = LocalWarp(shift_y_um=((0.0, 0.1), (0.0, 0.0)), shift_x_um=((0.0, 0.0), (0.2, 0.0)))
    content = RegistrationFile(
        reference="yellow",
        shape_zyx=(4, 5, 6),
        voxel_size_um=(None, 0.1, 0.1),
        channels={"red": ChannelRegistration(transform=NEAR.model_copy(update={"warp": warp}))},
    )
    path = tmp_path / "beads.yaml"
    save_registration(path, content)
    assert load_registration(path) == content
    names = {0: ("yellow",), 1: ("red",)}
    assert stored_transforms(content, names, 0, [1], (0.3, 0.1, 0.1))[1].warp == warp
    with pytest.raises(SettingsError, match="E-REGISTRATION-CHANNEL: the registration lays red on yellow, not on red"):
        stored_transforms(content, names, 1, [0], (0.3, 0.1, 0.1))
    with pytest.raises(SettingsError, match=r"found with pixels of 0\.1 x 0\.1 um, these are 0\.2 x 0\.1"):
        stored_transforms(content, names, 0, [1], (0.3, 0.2, 0.1))
    with pytest.raises(SettingsError, match="has no channel green; it has red"):
        stored_transforms(content, names | {2: ("green",)}, 0, [1, 2], (0.3, 0.1, 0.1))
    path.write_text("reference: 3\n")
    with pytest.raises(SettingsError, match="E-REGISTRATION-FILE"):
        load_registration(path)


def test_quarters_show_rotation_and_magnification() -> None:
    reference, moving = spots((1, 256, 288), NEAR, n=300)
    motion = quarter_motion(reference[0].astype(np.float32), moving[0].astype(np.float32))
    assert motion is not None
    (y, x), angle, magnification = motion
    assert (y, x) == pytest.approx((-0.12 / 0.0668, 0.21 / 0.0668), abs=0.3)
    assert np.rad2deg(angle) == pytest.approx(0.3, abs=0.15)
    assert magnification == pytest.approx((1.004, 1.0032), abs=1.5e-3)


def test_a_shift_between_pixels_agrees_with_another_library() -> None:
    from skimage.registration import phase_cross_correlation

    reference, moving = spots((1, 200, 216), ChannelTransform(translation_um=(0.0, 0.15, -0.33)), n=140)
    shift, clarity = phase_shift(reference[0].astype(np.float64), moving[0].astype(np.float64))
    theirs, _, _ = phase_cross_correlation(reference[0], moving[0], upsample_factor=20, normalization=None)
    np.testing.assert_allclose(shift, -theirs, atol=0.25)
    assert clarity > 6


def moved_by(image: np.ndarray, transform: ChannelTransform, size_um: tuple[float, float, float]) -> np.ndarray:
    """The channel in which an image lies by a transform: interpolated (quintic) at the inverse of the formula."""
    from scipy.ndimage import affine_transform

    size, centre = np.array(size_um), (np.array(image.shape) - 1) / 2
    columns = by_hand(transform, np.eye(3)) - np.array(transform.translation_um)[:, None]
    inverse = np.linalg.inv(columns) / size[:, None] * size[None]
    offset = centre - inverse @ (centre + np.array(transform.translation_um) / size)
    return affine_transform(image, inverse, offset, order=5, mode="nearest")


@pytest.mark.skipif(not (REAL / "fluo3d_neubias").exists(), reason="needs real stacks")
@pytest.mark.parametrize(
    ("name", "channel", "limit_px"),
    [
        ("fluo3d_neubias/xyz_calibrated_16bit__golgi_bfa.tif", None, 0.1),
        ("fluo3d_neubias/xyz_8bit__chromosomes.tif", None, 0.1),
        ("fluo3d_neubias/xyz_8bit__nuclei_autothresh.tif", None, 0.1),
        ("fluo3d_plantseg/rgb_3D_c_raw.tif", 0, 0.13),
        ("fluo3d_plantseg/rgb_3D_c_raw.tif", 1, 0.1),
    ],
)
def test_a_known_transform_of_a_real_stack_is_found(name: str, channel: int | None, limit_px: float) -> None:
    import tifffile

    image = tifffile.imread(REAL / name).astype(np.float64)
    image = image if channel is None else image[channel]
    rng, size = np.random.default_rng(0), (0.3, 0.1, 0.1)
    transform = ChannelTransform(translation_um=(0.1, -0.15, 0.21), rotation_deg=0.3, magnification=(1, 1.004, 1.0032))
    noise = 0.02 * image.std()
    reference = image + rng.normal(0, noise, image.shape)
    moving = moved_by(image, transform, size) + rng.normal(0, noise, image.shape)
    found = register_channels(reference, moving, size)
    assert found.is_certain
    corners = (
        np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1)
        * ((np.array(image.shape) - 1) / 2 * np.array(size))[:, None]
    )
    apart = np.abs(by_hand(found.transform, corners) - by_hand(transform, corners)).max(axis=1) / np.array(size)
    assert apart[0] <= 0.2
    assert apart[1:].max() <= limit_px
    if min(image.shape[1:]) >= 128:  # in 75 pixels, 0.02 degrees and 2e-4 are a hundredth of a pixel
        assert found.transform.rotation_deg == pytest.approx(0.3, abs=0.02)
        np.testing.assert_allclose(found.transform.magnification, transform.magnification, atol=2e-4)
