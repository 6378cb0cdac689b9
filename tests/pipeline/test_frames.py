"""Frames as they are read: every channel, in physical values, missing voxels marked, the medium by one rule."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.conftest import ball_ri

from tomocyte.errors import InputError, ModalityError
from tomocyte.pipeline import frames
from tomocyte.pipeline.frames import background_mode, has_background, read_frame, without_medium
from tomocyte.pipeline.planning import plan_run
from tomocyte.pipeline.settings import RunSettings
from tomocyte.volume import Frame, Volume

SIZE_UM = (0.4, 0.3, 0.2)


def stained(**properties: object) -> Volume:
    """Two frames of two channels, (2, 2, 5, 4, 3), whose voxels count up from 0 in steps of 1."""
    voxels = np.arange(240, dtype=np.uint16).reshape(2, 2, 5, 4, 3)
    given = {"channel_names": ("DNA", "Golgi"), "time_s": (0.0, 12.5), "quantity": "intensity", **properties}
    return Volume.from_array(voxels, voxel_size_um=SIZE_UM, **given)


def read(volume: Volume, index: int, modality: str = "fluorescence", **settings: object) -> tuple[Frame, list[str]]:
    frame, notices = read_frame(volume, index, plan_run(volume, RunSettings(modality=modality, **settings)))
    return frame, [str(notice) for notice in notices]


@pytest.mark.parametrize("slab_voxels", [1, 24, 10**6])
def test_a_frame_holds_every_channel_whatever_is_read_at_once(
    slab_voxels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Voxel (t, c, z, y, x) holds 120 t + 60 c + 12 z + 3 y + x."""
    monkeypatch.setattr(frames, "SLAB_VOXELS", slab_voxels)
    frame, notices = read(stained(), 1, channel="golgi")
    assert (frame.image.shape, frame.image.dtype) == ((2, 5, 4, 3), np.float32)
    assert frame.image[0, 4, 3, 2] == 120 + 48 + 9 + 2
    assert frame.segmented[3, 2, 1] == 120 + 60 + 36 + 6 + 1
    assert (frame.index, frame.time_s, frame.voxel_size_um) == (1, 12.5, SIZE_UM)
    assert (frame.channel_names, frame.quantities) == (("DNA", "Golgi"), ("intensity", "intensity"))
    assert frame.outside is None
    assert notices == []


def test_missing_voxels_of_all_channels_are_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """One NaN in each channel alone, and an infinity where the other channel is NaN: three voxels."""
    monkeypatch.setattr(frames, "SLAB_VOXELS", 12)
    voxels = np.arange(120, dtype=np.float32).reshape(1, 2, 5, 4, 3)
    voxels[0, 0, 0, 0, 1] = voxels[0, 0, 1, 2, 0] = np.nan
    voxels[0, 1, 1, 2, 0] = -np.inf
    voxels[0, 1, 4, 3, 2] = np.nan
    volume = Volume.from_array(voxels, voxel_size_um=SIZE_UM, quantity="intensity")
    frame, notices = read(volume, 0, nan="mask")
    assert frame.outside is not None
    assert np.argwhere(frame.outside).tolist() == [[0, 0, 1], [1, 2, 0], [4, 3, 2]]
    assert np.argwhere(np.isnan(frame.image)).tolist() == [[0, 0, 0, 1], [0, 1, 2, 0], [1, 1, 2, 0], [1, 4, 3, 2]]
    assert notices == ["W-NAN: 3 NaN or infinite voxels of frame 0 were treated as outside."]
    with pytest.raises(InputError, match=r"E-NAN.*2 voxels of channel channel_0 of frame 0"):
        read(volume, 0)


def test_a_constant_channel_is_named_only_where_it_is_segmented() -> None:
    voxels = np.stack([np.full((5, 4, 3), 7.0), np.arange(60.0).reshape(5, 4, 3)])[None].astype(np.float32)
    volume = Volume.from_array(voxels, voxel_size_um=SIZE_UM, quantity="intensity")
    assert [line.split(":")[0] for line in read(volume, 0)[1]] == ["W-FLAT"]
    assert read(volume, 0, channel=1)[1] == []


def test_values_are_checked_unless_forced() -> None:
    """Refractive indices of 13 are none."""
    volume = Volume.from_array(10 * ball_ri(), voxel_size_um=SIZE_UM, quantity="refractive_index", unit="1")
    with pytest.raises(ModalityError, match="E-MODALITY-RANGE"):
        read(volume, 0, "odt", model="classical")
    frame, _ = read(volume, 0, "odt", model="classical", is_forced=True)
    assert frame.image.max() == pytest.approx(13.57)


def test_a_phase_is_converted_when_it_is_read() -> None:
    """σ = φ λ / (2π α), α = 0.19 µm³/pg: 1 rad at 0.6 µm is 0.6 / (2π 0.19) = 0.50259 pg/µm²."""
    phase = np.linspace(-1, 3, 12, dtype=np.float32).reshape(1, 3, 4)
    size = (math.nan, 0.5, 0.4)
    volume = Volume.from_array(phase, voxel_size_um=size, quantity="phase", unit="rad")
    frame, _ = read(volume, 0, "qpi", wavelength_um=0.6)
    np.testing.assert_allclose(frame.segmented, phase * 0.6 / (2 * math.pi * 0.19), rtol=1e-6)
    assert (frame.quantity, frame.unit) == ("dry_mass_density", "pg/um2")
    plain, _ = read(volume, 0, "qpi")
    np.testing.assert_array_equal(plain.segmented, phase)
    assert (plain.quantity, plain.unit) == ("phase", "rad")


@pytest.mark.parametrize(
    ("in_file", "asked_for", "expected", "origin"),
    [
        (None, None, None, None),
        (1.334, None, 1.334, "file"),
        (1.334, "background", 1.337, "measured"),
        (None, "background", 1.337, "measured"),
    ],
)
def test_one_rule_for_the_medium(
    in_file: float | None, asked_for: str | None, expected: float | None, origin: str | None
) -> None:
    """A ball in 1.337: what the file says counts unless the background is to be measured."""
    known = {} if in_file is None else {"medium_ri": in_file, "origin": {"medium_ri": "file"}}
    volume = Volume.from_array(ball_ri(), voxel_size_um=SIZE_UM, quantity="refractive_index", unit="1", **known)
    frame, _ = read(volume, 0, "odt", model="classical", medium_ri=asked_for)
    assert frame.medium_ri == (None if expected is None else pytest.approx(expected, abs=2e-4))
    assert frame.medium_origin == origin
    unknown = without_medium(frame)
    assert (unknown.medium_ri, unknown.medium_origin) == (None, None)
    assert unknown.image is frame.image


def test_background_is_the_mode_outside_the_cells() -> None:
    """Not the mean, which the cell and its blur would move."""
    image = np.full((1, 40, 60), 1.0, np.float32)
    image[:, 6:34, 6:34] = 1.4
    image[:, 10:30, 10:30] = 9.0
    assert background_mode(image) == pytest.approx(1.0, abs=8 / 256)
    image[0, 0] = np.nan
    assert background_mode(image) == pytest.approx(1.0, abs=8 / 256)
    assert background_mode(np.full_like(image, np.nan)) is None


def test_there_is_background_only_away_from_cells() -> None:
    """1 µm = 5 pixels: 4 free pixels beside a cell are none, 6 are."""
    cells = np.ones((1, 40, 60), np.uint8)
    for n_free, expected in ((4, False), (6, True)):
        cells[:, :, 60 - n_free :] = 0
        assert has_background(cells, (math.nan, 0.2, 0.2)) is expected
    outside = cells == 0
    assert not has_background(cells, (math.nan, 0.2, 0.2), outside=outside)
