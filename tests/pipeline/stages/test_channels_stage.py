"""Intensity and ratio on the road: for measurements, models and drawing, with what a user must know about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.channels.test_ratio import field

from tomocyte.channels import intensity_and_ratio
from tomocyte.errors import ModalityError, SettingsError
from tomocyte.models import ModelCard, NetworkChoice
from tomocyte.pipeline.analysis import Analysis, analyse, segment_frame
from tomocyte.pipeline.channels import with_derived
from tomocyte.pipeline.planning import model_channels, plan_run
from tomocyte.pipeline.settings import RunSettings
from tomocyte.volume import Volume

SIZE_UM = (0.3, 0.2, 0.21)


def stack(*channels: np.ndarray, names: tuple[str, ...] = ("yellow", "red"), **properties: Any) -> Volume:
    voxels = np.stack(channels)[None]
    return Volume.from_array(voxels, voxel_size_um=SIZE_UM, quantity="intensity", channel_names=names, **properties)


def result(volume: Volume, **settings: Any) -> Analysis:
    return analyse(volume, RunSettings(modality="nile_red", **{"model": "classical", **settings}))


def codes(analysis: Analysis) -> set[str]:
    return {notice.code for notice in analysis.notices}


def test_a_frame_has_its_derived_channels_by_name() -> None:
    yellow, red, _ = field(0.4)
    plan, state = segment_frame(stack(yellow, red), RunSettings(modality="nile_red", channel="intensity"))
    frame = state.frame
    assert plan.stages[0] == "channels"
    assert frame.channel_names == ("yellow", "red", "intensity", "ratio")
    assert (frame.quantities[3], frame.units[3], frame.channel) == ("ratio", "1", 2)
    np.testing.assert_array_equal(frame.image[2:], intensity_and_ratio(*frame.image[:2]))
    np.testing.assert_array_equal(frame.segmented, frame.image[2])


def test_objects_have_the_ratio_that_the_light_has() -> None:
    yellow, red, _cell = field(0.4)
    analysis = result(stack(yellow, red))
    (row,) = analysis.table[analysis.table["structure"] == "cell"].to_dict("records")
    assert row["mean_intensity_yellow"] == pytest.approx(1610, rel=0.1)
    # The mask's soft edge holds some voxels of the background, whose ratio is 1.
    assert row["mean_ratio"] == pytest.approx(0.4, abs=0.06)
    (fact,) = analysis.facts["channels"]
    assert (fact["direction"], fact["n_saturated_voxels"]) == ("red/yellow", {"yellow": 0, "red": 0})
    assert fact["background"]["red"] == pytest.approx(130, abs=1.5)
    assert codes(analysis) == {"W-CHANNEL"}


def test_the_other_direction_is_asked_for_and_recorded() -> None:
    yellow, red, cell = field(0.4)
    settings = {"ratio": {"direction": "yellow/red"}}
    analysis = result(stack(yellow, red), channels=settings)
    ratio = segment_frame(stack(yellow, red), RunSettings(modality="nile_red", channels=settings))[1].frame.image[3]
    assert ratio[cell].mean() == pytest.approx(2.5, rel=0.01)
    assert analysis.facts["channels"][0]["direction"] == "yellow/red"
    assert analysis.facts["plan"]["derived_channels"]["direction"] == "yellow/red"


def test_channels_stored_the_other_way_round_are_told_apart_by_name_and_that_is_noted() -> None:
    yellow, red, _ = field(0.4)
    analysis = result(stack(red, yellow, names=("red", "yellow")), channel="intensity")
    straight = result(stack(yellow, red), channel="intensity")
    assert analysis.table["mean_ratio"].tolist() == straight.table["mean_ratio"].tolist()
    assert "W-CHANNEL-ORDER" in codes(analysis)
    assert "W-CHANNEL-ORDER" not in codes(straight)


def test_without_names_the_order_is_taken_and_that_is_noted() -> None:
    yellow, red, _ = field(0.4)
    analysis = result(stack(yellow, red, names=()))
    (text,) = (notice.text for notice in analysis.notices if notice.code == "W-CHANNEL-ORDER")
    assert text.startswith("no name says which channel is which: channel_0 was taken for yellow")


def test_droplets_redder_than_the_cell_raise_a_doubt_but_change_nothing() -> None:
    """Droplets, the brightest, are yellower than the membranes; with swapped names they look redder."""
    yellow, red, cell = field(0.9)
    droplets = np.zeros_like(cell)
    droplets[1:3, 50:58, 50:58] = True
    yellow, red = yellow + 9000 * droplets, red + 2000 * droplets
    right, wrong = result(stack(yellow, red)), result(stack(red, yellow))
    assert "W-CHANNEL-SWAPPED" not in codes(right)
    assert "W-CHANNEL-SWAPPED" in codes(wrong)
    assert wrong.table["mean_ratio"].iloc[0] > 1


@pytest.mark.parametrize(("dtype", "full"), [(np.uint8, 255), (np.uint16, 65535), (np.uint16, 4095)])
def test_saturated_voxels_are_counted(dtype: type, full: int) -> None:
    yellow, red, _cell = field(0.4)
    yellow, red = (np.minimum(channel / 20, full - 1).astype(dtype) for channel in (yellow, red))
    red[0, 50, 50:57] = full
    analysis = result(stack(yellow, red))
    assert analysis.facts["channels"][0]["n_saturated_voxels"] == {"yellow": 0, "red": 7}
    assert any(str(notice).startswith("W-SATURATED: 7 voxels of red") for notice in analysis.notices)


def test_one_plane_gives_derived_channels_too() -> None:
    yellow, red, _ = field(0.4)
    volume = stack(yellow[:1], red[:1]).with_properties(voxel_size_um=(float("nan"), 0.2, 0.2))
    assert result(volume).table["mean_ratio"].iloc[0] == pytest.approx(0.4, abs=0.06)


def test_one_channel_is_refused_and_settings_that_do_nothing_too() -> None:
    from tomocyte.pipeline.item import settled

    yellow, _, _ = field(0.4)
    with pytest.raises(ModalityError, match=r"E-MODALITY: .*needs the channels yellow, red; the file has 1"):
        settled(stack(yellow, names=("yellow",)), RunSettings(modality="nile_red"))
    with pytest.raises(SettingsError, match="E-CHANNELS-NONE"):
        plan_run(
            stack(yellow, names=("a",)),
            RunSettings.model_validate({"modality": "fluorescence", "channels": {"red": 0}}),
        )


def test_derived_channels_of_the_file_itself_are_taken_as_they_are() -> None:
    yellow, red, _ = field(0.4)
    volume = stack(*intensity_and_ratio(yellow, red), names=("intensity", "ratio"))
    plan = plan_run(volume, RunSettings(modality="nile_red"))
    assert "channels" not in plan.stages
    assert [channel.quantity for channel in plan.channels] == ["intensity", "ratio"]


def test_a_model_of_derived_channels_finds_them_by_name() -> None:
    yellow, red, _ = field(0.4)
    card = ModelCard(
        name="by-hand",
        modality="nile_red",
        quantity="intensity",
        channels=("ratio", "intensity"),
        dimensions=3,
        structures=("nucleus",),
        network=NetworkChoice(name="osnet"),
        voxel_size_um=(0.3, 0.2, 0.2),
        value_range=(0, 65535),
        tile_shape=(4, 32, 48),
    )
    settings = RunSettings(modality="nile_red")
    assert model_channels(card, with_derived(stack(yellow, red), settings), 0) == (3, 2)
