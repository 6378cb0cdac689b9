"""Cells as what is left of the extracellular space, by a card that finds that space and no cells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tomocyte.labels.settings import CleanSettings, SplitSettings
from tomocyte.models import ModelCard, NetworkChoice
from tomocyte.models.objects import ObjectRules
from tomocyte.models.settings import InferenceSettings
from tomocyte.pipeline import planning
from tomocyte.pipeline.planning import plan_run
from tomocyte.pipeline.settings import RunSettings
from tomocyte.pipeline.stage import FrameState
from tomocyte.pipeline.stages.bodies import BodiesStage
from tomocyte.progress import silent
from tomocyte.segmentation.prediction.normalization import NormalizationSettings
from tomocyte.segmentation.prediction.objects import instances_from_mask
from tomocyte.volume import Frame, Volume

VOXEL_UM = (0.5, 0.3, 0.3)


def card(*structures: str) -> ModelCard:
    fields: dict[str, Any] = {
        "name": "compartments",
        "modality": "nile_red",
        "quantity": "intensity",
        "channels": ("yellow", "red"),
        "dimensions": 3,
        "structures": structures,
        "network": NetworkChoice(name="unet3d"),
        "normalization": NormalizationSettings(),
        "voxel_size_um": VOXEL_UM,
        "value_range": (0, 65535),
        "tile_shape": (8, 32, 32),
        "activation": "sigmoid",
    }
    return ModelCard(**fields)


def plan_with(one: ModelCard, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Any:
    monkeypatch.setattr(planning, "requested_card", lambda _: one)
    volume = Volume.from_array(
        np.ones((2, 12, 60, 80), np.uint16), voxel_size_um=VOXEL_UM, quantity="intensity",
        channel_names=("yellow", "red"),
    )  # fmt: skip
    return plan_run(volume, RunSettings(modality="nile_red", model="compartments", **settings))


@pytest.mark.parametrize(
    ("structures", "cells", "is_needed"),
    [
        (("nucleus", "cytosol", "extracellular"), "watershed", True),
        (("cytosol", "extracellular"), "as-found", True),
        (("golgi",), "as-found", False),
    ],
)
def test_cells_are_told_apart_by_their_nuclei_where_there_are_any(
    structures: tuple[str, ...], cells: str, is_needed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_with(card(*structures), monkeypatch)
    assert plan.cells == cells
    assert ("bodies" in plan.stages) is is_needed
    assert ("cells" in plan.stages) is (cells == "watershed")


def test_a_cell_is_what_is_left_with_its_holes_and_without_crumbs(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_with(card("nucleus", "extracellular"), monkeypatch)
    space = np.ones((12, 60, 80), np.uint8)
    space[2:10, 5:55, 5:40] = space[2:10, 5:55, 45:75] = 0
    space[5:7, 20:24, 20:24] = 1  # a hole
    space[4, 2, 2] = 0  # a crumb
    frame = Frame(
        index=0, image=np.zeros((2, 12, 60, 80), np.float32), channel_names=("yellow", "red"),
        quantities=("intensity",) * 2, units=("",) * 2, voxel_size_um=VOXEL_UM, channel=0, medium_ri=None,
        medium_origin=None, time_s=None, outside=None,
    )  # fmt: skip
    stage = BodiesStage(plan, silent)
    labels = stage.apply(FrameState(frame, {"extracellular": space})).labels
    assert next(iter(labels)) == "cell"
    sizes = np.unique(labels["cell"], return_counts=True)[1].tolist()
    assert sizes == [60 * 80 * 12 - 8 * 50 * 65, 8 * 50 * 35, 8 * 50 * 30]
    cut = np.zeros(space.shape, bool)
    cut[:, :, 45:] = True
    assert stage.apply(FrameState(replace(frame, outside=cut), {"extracellular": space})).labels["cell"].max() == 1


def test_shells_and_networks_are_not_filled() -> None:
    """The membrane around a cell would otherwise be the whole cell."""
    rules = ObjectRules(
        InferenceSettings(), CleanSettings(min_volume_um3=1, min_area_um2=1), SplitSettings(method="none"), "cell"
    )
    shell = np.ones((6, 20, 20), bool)
    shell[1:5, 2:18, 2:18] = False
    names = ("plasma_membrane", "nuclear_membrane", "endoplasmic_reticulum", "extracellular", "cytosol", "nucleus")
    sizes = {}
    for name in names:
        settings = rules.of(card(*names), name).model_copy(update={"min_volume_um3": 0.0})
        sizes[name] = int(np.count_nonzero(instances_from_mask(shell, VOXEL_UM, settings)))
    hollow = 6 * 20 * 20 - 4 * 16 * 16
    assert sizes == {**dict.fromkeys(names, hollow), "nucleus": 6 * 20 * 20}
