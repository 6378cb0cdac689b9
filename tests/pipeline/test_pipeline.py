"""One volume through all steps, in memory: against formulas for balls and discs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.conftest import BALL_RADIUS_UM, BALL_SIZE_UM, MEDIUM_RI, ball_ri

from tomocyte.errors import InputError, MetadataError, ModalityError, SettingsError
from tomocyte.measurements import Region
from tomocyte.pipeline import analyse
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


def two_channels(**properties: object) -> Volume:
    """A box of 200 in the first channel, another of 700 in the second; the first box holds 30 of the second channel."""
    image = np.zeros((2, 12, 40, 60), np.float32)
    image[0, 3:9, 10:30, 20:50] = 200.0
    image[1, 3:9, 5:15, 10:50] = 700.0
    return Volume.from_array(image, voxel_size_um=(0.4, 0.3, 0.2), quantity="intensity", **properties)


@pytest.mark.parametrize("channel", [0, "DNA", "dna"])
def test_every_channel_is_measured_by_its_name_whichever_is_segmented(channel: int | str) -> None:
    """The means are those of numpy over the same object."""
    volume = two_channels(channel_names=("DNA", "Golgi"))
    analysis = analyse(volume, RunSettings(modality="fluorescence", channel=channel))
    is_object = analysis.labels["object"].planes(0, 0) > 0
    for index, name in enumerate(("dna", "golgi")):
        mean = volume.planes(0, index)[is_object].mean()
        assert analysis.table[f"mean_intensity_{name}"].item() == pytest.approx(mean)
    assert any("DNA of DNA, Golgi is segmented" in warning for warning in analysis.warnings)
    meanings = {entry["name"]: entry["meaning"] for entry in analysis.facts["columns"]}
    assert "Golgi" in meanings["mean_intensity_golgi"]


def test_channels_without_names_are_counted() -> None:
    for channel, value in ((0, 200.0), (1, 700.0)):
        analysis = analyse(two_channels(), RunSettings(modality="fluorescence", channel=channel))
        assert analysis.table[f"p50_value_channel_{channel}"].item() == value


@pytest.mark.parametrize("channel", ["DNAA", "2", 2])
def test_a_channel_that_is_not_there_is_refused_with_those_that_are(channel: int | str) -> None:
    volume = two_channels(channel_names=("DNA", "Golgi"))
    with pytest.raises(MetadataError, match=r"E-CHANNEL.*0 \(DNA\), 1 \(Golgi\)"):
        analyse(volume, RunSettings(modality="fluorescence", channel=channel))


def test_a_stain_beside_the_refractive_index_is_measured_as_an_intensity() -> None:
    voxels = np.stack([ball_ri(), np.where(ball_ri() > 1.347, 50.0, 10.0).astype(np.float32)])[None]
    volume = Volume.from_array(
        voxels, voxel_size_um=BALL_SIZE_UM, quantity="refractive_index", unit="1", channel_names=("RI", "GFP"),
        medium_ri=MEDIUM_RI,
    )  # fmt: skip
    table = analyse(volume, RunSettings(modality="odt", model="classical")).table.query("structure == 'cell'")
    assert table["mean_intensity"].item() == pytest.approx(50.0, rel=0.05)
    assert table["mean_ri"].item() == pytest.approx(1.357, abs=0.001)


def test_a_missing_value_in_any_channel_is_outside() -> None:
    image = two_channels().frame(0).copy()
    image[1, 4, 12, 25] = np.nan
    volume = Volume.from_array(image, voxel_size_um=(0.4, 0.3, 0.2), quantity="intensity")
    with pytest.raises(InputError, match="channel_1 of frame 0"):
        analyse(volume, RunSettings(modality="fluorescence"))
    masked = analyse(volume, RunSettings(modality="fluorescence", nan="mask"))
    assert masked.facts["n_masked_voxels"] == 1


def test_pairs_are_measured_where_they_are_asked_for() -> None:
    """Two boxes of 6 x 10 x 10 voxels, 10 columns of 0.2 µm between them: surfaces 2 µm apart, centres 4 µm."""
    image = np.zeros((12, 40, 70), np.float32)
    image[3:9, 10:20, 15:25] = image[3:9, 10:20, 35:45] = 200.0
    volume = Volume.from_array(image, voxel_size_um=(0.4, 0.3, 0.2), quantity="intensity")
    named = {"measurements": ("centroid_distance_um", "n_voxels"), "pair_distance_um": 5.0}
    analysis = analyse(volume, RunSettings(modality="fluorescence", **named))
    assert analysis.pairs is not None
    assert analysis.pairs[["structure", "label", "other_structure", "other_label"]].values.tolist() == [
        ["object", 1, "object", 2]
    ]
    assert analysis.pairs["centroid_distance_um"].item() == pytest.approx(4.0, abs=0.1)
    assert "n_voxels" in analysis.table
    with pytest.raises(SettingsError, match="no-such"):
        analyse(volume, RunSettings(modality="fluorescence", measurements=("no-such",)))


def test_measurements_of_ones_own() -> None:
    def brightness(region: Region) -> float:
        """Sum of the image over the object."""
        return float(region.summary.mean * region.n_voxels)

    volume = two_channels()
    one = Volume.from_array(volume.frame(0)[0], voxel_size_um=(0.4, 0.3, 0.2), quantity="intensity")
    analysis = analyse(one, RunSettings(modality="fluorescence"), extra_measurements=[brightness])
    assert analysis.table["brightness"].item() == pytest.approx(200.0 * 6 * 20 * 30)
    assert analysis.facts["columns"][0]["meaning"] == "Sum of the image over the object."


def test_main_objects_cannot_take_the_name_of_another_structure() -> None:
    with pytest.raises(SettingsError, match="E-STRUCTURE"):
        analyse(odt_volume(ball_ri()), RunSettings(modality="odt", model="classical", structure="nucleus"))
