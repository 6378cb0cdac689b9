"""What is decided for one input before anything is computed."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from tests.conftest import ball_ri

from tomocyte.corrections.edits import EditList
from tomocyte.errors import InputError, SettingsError
from tomocyte.measurements import Region, measurements
from tomocyte.models import ModelCard, NetworkChoice
from tomocyte.pipeline.plan import Plan
from tomocyte.pipeline.planning import model_channels, plan_run, requested_card, requested_cells_card
from tomocyte.pipeline.settings import RunSettings
from tomocyte.segmentation.settings import NucleusSettings, SegmentationSettings
from tomocyte.volume import Volume

SIZE_UM = (0.4, 0.3, 0.2)
CLASSICAL_STAGES = ("classical", "measure", "organelles", "plausibility", "draw")


def stained(n_channels: int = 1, **properties: Any) -> Volume:
    voxels = np.zeros((n_channels, 4, 5, 6), np.uint8)
    return Volume.from_array(voxels, **{"voxel_size_um": SIZE_UM, "quantity": "intensity", **properties})


def tomogram(**properties: Any) -> Volume:
    given = {"voxel_size_um": SIZE_UM, "quantity": "refractive_index", "unit": "1", **properties}
    return Volume.from_array(ball_ri(), **given)


def plan_of(volume: Volume, modality: str = "fluorescence", **settings: Any) -> Plan:
    return plan_run(volume, RunSettings(modality=modality, **settings))


def card(*channels: str) -> ModelCard:
    return ModelCard(
        name="by-hand",
        modality="fluorescence",
        quantity="intensity",
        channels=channels,
        dimensions=2,
        structures=("nucleus",),
        network=NetworkChoice(name="osnet"),
        voxel_size_um=(None, 0.3, 0.2),
        value_range=(0, 255),
        section_axis="z",
        tile_shape=(32, 48),
    )


@pytest.mark.parametrize(
    ("of_model", "of_volume", "segmented", "expected"),
    [
        (("any",), ("DNA", "actin", "Golgi"), 2, (2,)),
        (("Golgi", "DNA"), ("DNA", "actin", "Golgi"), 1, (2, 0)),
        (("Golgi", "tubulin"), ("DNA", "actin"), 1, (0, 1)),
        (("Golgi", "DNA"), (), 0, (0, 1)),
    ],
)
def test_a_model_sees_the_channels_of_its_names(
    of_model: tuple[str, ...], of_volume: tuple[str, ...], segmented: int, expected: tuple[int, ...]
) -> None:
    volume = stained(len(of_volume) or 2, channel_names=of_volume)
    assert model_channels(card(*of_model), volume, segmented) == expected


def test_nothing_is_left_to_decide() -> None:
    """No model finds anything in fluorescence by default: the engine alone, told apart as found, sure of nothing."""
    plan = plan_of(stained(2, channel_names=("DNA", "Golgi")), channel="golgi")
    assert plan.stages == CLASSICAL_STAGES
    assert (plan.settings.model, plan.card, plan.model_channels) == ("classical", None, ())
    assert (plan.cells, plan.cells_card, plan.confidence) == ("as-found", None, "none")
    assert (plan.segmented, plan.channel.name, plan.voxel_size_um) == (1, "Golgi", SIZE_UM)
    assert (plan.medium_ri, plan.medium_origin, plan.converts) == (None, None, False)
    assert plan.name_of("cell") == plan.main == "object"
    assert plan.name_of("nucleus") == "nucleus"
    assert [str(notice) for notice in plan.notices] == [
        "W-CHANNEL: Golgi of DNA, Golgi is segmented, all are measured; choose with --channel."
    ]
    with pytest.raises(FrozenInstanceError):
        plan.cells = "watershed"  # type: ignore[misc]


def test_a_plan_is_json_and_says_what_it_holds() -> None:
    """A plane without thickness has no z; JSON knows no NaN."""
    phase = Volume.from_array(
        np.zeros((5, 6), np.float32), voxel_size_um=(math.nan, 0.3, 0.2), quantity="phase", unit="rad"
    )
    described = plan_of(phase, "qpi", wavelength_um=0.55, measurements=("perimeter_um",)).describe()
    assert json.loads(json.dumps(described, allow_nan=False)) == described
    assert described["voxel_size_um"] == [None, 0.3, 0.2]
    assert described["channels"] == [{"name": "channel_0", "quantity": "dry_mass_density", "unit": "pg/um2"}]
    assert (described["model"], described["engine"], described["n_edits"]) == ("classical", None, 0)
    assert described["measurements"].count("perimeter_um") == 1


@pytest.mark.parametrize(
    ("in_file", "asked_for", "expected"),
    [(None, None, (None, None)), (1.333, None, (1.333, "file")), (1.333, "background", ("background", "measured"))],
)
def test_medium_of_a_tomogram(in_file: float | None, asked_for: Any, expected: tuple[Any, Any]) -> None:
    known = {} if in_file is None else {"medium_ri": in_file, "origin": {"medium_ri": "file"}}
    plan = plan_of(tomogram(**known), "odt", model="classical", medium_ri=asked_for)
    assert (plan.medium_ri, plan.medium_origin) == expected


def test_a_stain_has_no_medium_to_measure() -> None:
    assert plan_of(stained(), medium_ri="background").medium_ri is None


def test_further_measurements_stand_once_in_the_table_of_their_kind() -> None:
    own = plan_of(stained()).measurements
    further = ("sphericity", own[0], "centroid_distance_um", "sphericity")
    plan = plan_of(stained(), measurements=further)
    assert [*plan.measurements] == list(dict.fromkeys([*own, "sphericity"]))
    assert plan.pair_measurements == ("centroid_distance_um",)
    track = next(iter(measurements("track")))
    with pytest.raises(SettingsError, match=r"E-MEASUREMENT-NAME.*measures tracks"):
        plan_of(stained(), measurements=(track,))


def test_columns_are_named_after_their_channels_and_ones_own_come_last() -> None:
    def brightness(region: Region) -> float:
        """Sum of the image."""
        return region.summary.mean

    volume = stained(2, channel_names=("DNA", "Golgi body"))
    plan = plan_run(volume, RunSettings(modality="fluorescence"), extra_measurements=[brightness])
    names = [column.name for column in plan.columns()]
    assert names.index("mean_intensity_dna") < names.index("mean_intensity_golgi_body")
    assert "mean_intensity" not in names
    assert [name for name in names if name.startswith("brightness")] == names[-1:]
    assert plan.describe()["extra_measurements"] == ["brightness"]


def test_corrections_come_after_the_segmentation_and_before_the_measuring() -> None:
    edit = {"do": "delete", "structure": "object", "targets": [1]}
    edits = EditList.model_validate({"edits": [edit]})
    plan = plan_run(stained(), RunSettings(modality="fluorescence"), edits=edits)
    assert plan.stages == ("classical", "corrections", "measure", "organelles", "plausibility", "draw")
    assert plan.describe()["n_edits"] == 1
    late = EditList.model_validate({"edits": [{**edit, "frame": 1}]})
    with pytest.raises(InputError, match="E-EDIT-FRAME"):
        plan_run(stained(), RunSettings(modality="fluorescence"), edits=late)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"edits": "mine.yaml"}, "E-EDIT-FILE"),
        ({"uncertainty": {"method": "flips"}}, "E-UNCERTAINTY"),
        ({"uncertainty": {"is_map_written": True}}, "E-UNCERTAINTY"),
        ({"cells": "watershed"}, "E-CELLS"),
        ({"model": "no-such-model"}, "E-MODEL-NAME"),
        ({"structure": "nucleus", "segmentation": {"nucleus": {"method": "dark-core"}}}, "E-STRUCTURE"),
    ],
)
def test_what_cannot_be_done_is_refused_before_it_begins(settings: dict[str, Any], code: str) -> None:
    with pytest.raises(SettingsError, match=code):
        plan_of(stained(), **settings)


def test_cards_are_those_of_the_names_asked_for() -> None:
    assert requested_card(RunSettings(modality="fluorescence")) is None
    assert requested_card(RunSettings(modality="odt", model="classical")) is None
    own = requested_card(RunSettings(modality="odt"))
    assert own is not None
    assert own == requested_card(RunSettings(modality="odt", model=own.name))
    cells = requested_cells_card(RunSettings(modality="odt"))
    assert cells is not None
    assert (cells.name, cells.role) == ("odt-cells", "cell-by-cell")
    for method in ("watershed", "components", "as-found"):
        assert requested_cells_card(RunSettings(modality="odt", cells=method)) is None
    with pytest.raises(SettingsError, match="E-MODEL-ROLE"):
        requested_cells_card(RunSettings(modality="odt", cells=own.name))


def test_a_model_that_does_not_fit_is_left_out_and_named() -> None:
    """Voxels of 5 µm are ten times what the tomographs' own model was trained on."""
    plan = plan_of(tomogram(voxel_size_um=(5.0, 5.0, 5.0)), "odt")
    assert (plan.settings.model, plan.card) == ("classical", None)
    assert plan.stages == ("classical", "measure", "missing_cone", "organelles", "plausibility", "draw")
    assert [notice.code for notice in plan.notices] == ["W-MODEL-AUTO"]
    assert plan.left_out_model_sha256 is not None
    assert len(bytes.fromhex(plan.left_out_model_sha256)) == 32
    forced = plan_of(tomogram(voxel_size_um=(5.0, 5.0, 5.0)), "odt", is_forced=True)
    assert forced.card is not None
    assert [notice.code for notice in forced.notices] == ["W-FORCED"]


def test_droplets_of_a_model_replace_inclusions_of_the_engine_unless_asked_for() -> None:
    own = requested_card(RunSettings(modality="odt"))
    assert own is not None
    finds_droplets = "lipid_droplet" in own.structures
    plan = plan_of(tomogram(), "odt", model=own.name, is_forced=True)
    assert (plan.classical.inclusion.method == "none") is finds_droplets
    asked_for = SegmentationSettings(nucleus=NucleusSettings())
    assert plan_of(tomogram(), "odt", model=own.name, is_forced=True, segmentation=asked_for).classical == asked_for
