"""One volume through all steps, in memory: against formulas for balls and discs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.conftest import BALL_RADIUS_UM, BALL_SIZE_UM, MEDIUM_RI, ball_ri

from tomocyte.errors import InputError, ModalityError
from tomocyte.pipeline import analyse, background_level
from tomocyte.pipeline.forecast import forecast
from tomocyte.pipeline.settings import RunSettings
from tomocyte.segmentation.settings import SegmentationSettings
from tomocyte.volume import Volume

VOLUME_UM3 = 4 / 3 * math.pi * BALL_RADIUS_UM**3


def odt_volume(*frames: np.ndarray, **properties: object) -> Volume:
    voxels = np.stack(frames)[:, None]
    known = {"voxel_size_um": BALL_SIZE_UM, "quantity": "refractive_index", "unit": "1", **properties}
    return Volume.from_array(voxels, **known)


def test_time_lapse_keeps_frames_apart_and_uses_real_times() -> None:
    one, two = ball_ri(), ball_ri(centres_um=((0, -3.5, -3.8), (0, 2.0, 3.4)))
    volume = odt_volume(one, two, one, time_s=(0.0, 30.0, 95.0), medium_ri=MEDIUM_RI)
    analysis = analyse(volume, RunSettings(modality="odt", model="classical"))
    cells = analysis.table.query("structure == 'cell'")
    assert list(cells["frame"]) == [0, 1, 1, 2]
    assert list(cells["time_s"]) == [0.0, 30.0, 30.0, 95.0]
    assert analysis.labels["cell"].shape == (3, 1, 24, 36, 52)
    assert [int(analysis.labels["cell"].planes(frame, 0).max()) for frame in range(3)] == [1, 2, 1]
    assert analysis.labels["cell"].time_s == (0.0, 30.0, 95.0)
    assert any(name.startswith("timecourse_volume") for name in analysis.pictures)


def test_medium_from_the_background() -> None:
    """The median outside is the medium's RI to the noise over √n."""
    noise = np.random.default_rng(5).normal(0, 2e-4, (24, 36, 52)).astype(np.float32)
    analysis = analyse(
        odt_volume(ball_ri() + noise), RunSettings(modality="odt", model="classical", medium_ri="background")
    )
    assert analysis.table["medium_ri"].iloc[0] == pytest.approx(MEDIUM_RI, abs=1e-5)
    assert analysis.facts["origin"]["medium_ri"] == "measured"
    assert analysis.table["dry_mass_pg"].notna().all()


def test_without_a_medium_the_columns_are_empty_and_say_why() -> None:
    analysis = analyse(odt_volume(ball_ri()), RunSettings(modality="odt", model="classical"))
    assert analysis.table["dry_mass_pg"].isna().all()
    assert analysis.table["volume_um3"].iloc[0] == pytest.approx(VOLUME_UM3, rel=0.02)
    assert any(warning.startswith("W-NO-MEDIUM") for warning in analysis.warnings)


def test_background_is_measured_away_from_cells() -> None:
    image = np.full((1, 40, 60), 1.0, np.float32)
    cells = np.zeros((1, 40, 60), np.uint8)
    cells[:, 10:30, 10:30] = 1
    image[:, 6:34, 6:34] = 9.0  # blur around the cell reaches 4 px = 0.8 µm
    assert background_level(image, cells, (math.nan, 0.2, 0.2)) == 1.0
    assert background_level(image, np.ones_like(cells), (math.nan, 0.2, 0.2)) is None


def disc_phase() -> np.ndarray:
    y, x = np.indices((80, 110))
    y, x = (y - 40.0) * 0.5, (x - 60.0) * 0.4
    return np.where(y**2 + x**2 < 8.0**2, 2.0, 0.0).astype(np.float32)


def test_phase_becomes_dry_mass_only_with_a_wavelength() -> None:
    """σ = φ λ / (2π α): a disc of 2 rad and radius 8 µm at 0.532 µm holds 2 · 0.532/(2π·0.19) · π·64 = 179.2 pg."""
    volume = Volume.from_array(disc_phase(), voxel_size_um=(math.nan, 0.5, 0.4), quantity="phase", unit="rad")
    plain = analyse(volume, RunSettings(modality="qpi", segmentation=SegmentationSettings()))
    assert "projected_dry_mass_pg" not in plain.table
    assert plain.table["area_um2"].item() == pytest.approx(math.pi * 64, rel=0.02)
    assert plain.table["mean_phase_rad"].item() == pytest.approx(2.0, rel=0.02)
    with_mass = analyse(volume, RunSettings(modality="qpi", wavelength_um=0.532))
    assert with_mass.table["projected_dry_mass_pg"].item() == pytest.approx(179.2, rel=0.02)


def test_names_of_the_main_objects() -> None:
    image = np.zeros((12, 40, 60), np.float32)
    image[3:9, 10:30, 20:50] = 200.0
    volume = Volume.from_array(image, voxel_size_um=(0.4, 0.3, 0.2), quantity="intensity")
    analysis = analyse(volume, RunSettings(modality="fluorescence", structure="nucleus"))
    assert set(analysis.table["structure"]) == {"nucleus"}
    assert set(analysis.labels) == {"nucleus"}


def test_flat_volume_is_a_result() -> None:
    analysis = analyse(
        odt_volume(np.full((9, 20, 31), 1.337, np.float32)), RunSettings(modality="odt", model="classical")
    )
    assert len(analysis.table) == 0
    assert any(warning.startswith("W-FLAT") for warning in analysis.warnings)


def test_values_and_nan_are_checked_in_every_frame() -> None:
    bad = ball_ri() * 1e4
    with pytest.raises(ModalityError, match="E-MODALITY-RANGE"):
        analyse(odt_volume(ball_ri(), bad), RunSettings(modality="odt", model="classical"))
    hole = ball_ri()
    hole[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="frame 1"):
        analyse(odt_volume(ball_ri(), hole), RunSettings(modality="odt", model="classical"))
    everywhere = np.full_like(hole, np.nan)
    masked = analyse(odt_volume(ball_ri(), everywhere), RunSettings(modality="odt", model="classical", nan="mask"))
    assert list(masked.table.query("structure == 'cell'")["frame"]) == [0]


def test_forecast_grows_with_the_frame_and_not_with_their_number() -> None:
    engine = SegmentationSettings()
    small, _ = forecast(odt_volume(ball_ri()), engine)
    seen = {
        n: forecast(Volume.from_array(np.broadcast_to(np.float32(0), (n, 1, 64, 256, 256))), engine) for n in (1, 2, 9)
    }
    assert small < seen[1][0] == seen[9][0]
    assert seen[9][1] - seen[1][1] == pytest.approx(8 * (seen[2][1] - seen[1][1]))


def test_organelles_belong_to_the_cell_around_them() -> None:
    """Two cells with a dark core each; the nucleus lies where its cell lies."""
    z, y, x = np.meshgrid(
        *(np.arange(n) * s for n, s in zip((32, 60, 110), (0.5, 0.4, 0.3), strict=True)), indexing="ij"
    )
    image = np.full(z.shape, 1.337, np.float32)
    for y0, x0 in ((8.0, 24.0), (16.0, 9.0)):
        radius = np.sqrt((z - 8) ** 2 + (y - y0) ** 2 + (x - x0) ** 2)
        image[radius < 5.5] = 1.360
        image[radius < 3.0] = 1.352
    volume = Volume.from_array(image, voxel_size_um=(0.5, 0.4, 0.3), quantity="refractive_index", unit="1")
    table = analyse(volume, RunSettings(modality="odt", model="classical")).table
    cells = table.query("structure == 'cell'").set_index("label")
    nuclei = table.query("structure == 'nucleus'")
    assert (cells.index == cells["cell_id"]).all()
    assert sorted(nuclei["cell_id"]) == [1, 2]
    for nucleus in nuclei.itertuples():
        assert nucleus.y_um == pytest.approx(cells.loc[nucleus.cell_id, "y_um"], abs=0.3)
        assert nucleus.x_um == pytest.approx(cells.loc[nucleus.cell_id, "x_um"], abs=0.3)
        assert nucleus.volume_um3 == pytest.approx(4 / 3 * math.pi * 27, rel=0.08)


def test_the_channel_asked_for_is_measured_and_the_choice_is_told() -> None:
    image = np.zeros((2, 12, 40, 60), np.float32)
    image[0, 3:9, 10:30, 20:50] = 200.0
    image[1, 3:9, 5:15, 10:50] = 700.0
    volume = Volume.from_array(image, voxel_size_um=(0.4, 0.3, 0.2), quantity="intensity")
    for channel, value in ((0, 200.0), (1, 700.0)):
        analysis = analyse(volume, RunSettings(modality="fluorescence", channel=channel))
        assert analysis.table["p50_value"].item() == value
        assert any(f"channel {channel} of 2" in warning for warning in analysis.warnings)
