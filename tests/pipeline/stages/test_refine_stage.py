"""Surfaces refined in a run: what the stage refines, what stands in its way, and what is recorded."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tomocyte.errors import SettingsError
from tomocyte.pipeline.planning import plan_run
from tomocyte.pipeline.settings import RunSettings
from tomocyte.pipeline.stage import FrameState
from tomocyte.pipeline.stages.refine import RefineStage, first_level_um
from tomocyte.progress import silent
from tomocyte.volume import Frame, Volume

SIZE = (0.1, 0.1, 0.1)
SHAPE = (40, 44, 48)


def image() -> np.ndarray:
    """A cell of 20 x 24 x 28 voxels with a dark nucleus of 10 x 12 x 14, and a bead that touches the cell."""
    voxels = np.full(SHAPE, 0.1, np.float32)
    voxels[10:30, 10:34, 10:38] = 0.3
    voxels[15:25, 16:28, 17:31] = 0.2
    voxels[10:30, 10:34, 38:46] = 0.9
    return voxels


def first_level() -> dict[str, np.ndarray]:
    """Surfaces off by two voxels; the cell's reaches into the bead."""
    labels = {name: np.zeros(SHAPE, np.uint8) for name in ("cell", "nucleus", "bead")}
    labels["cell"][12:28, 10:36, 10:38] = 3
    labels["nucleus"][13:25, 16:28, 17:29] = 5
    labels["bead"][10:30, 10:34, 38:46] = 1
    return labels


def stage_of(**refinement: Any) -> tuple[RefineStage, FrameState]:
    volume = Volume.from_array(image(), voxel_size_um=SIZE, quantity="linear_absorption_coefficient", unit="1/um")
    settings = RunSettings(modality="sxt", model="classical", refinement={"method": "boundary", **refinement})
    plan = plan_run(volume, settings)
    assert plan.stages[:2] == ("classical", "refine")
    stage = RefineStage(plan, silent)
    stage.prepare(volume)
    frame = Frame(
        index=0, image=image()[None], channel_names=("a",), quantities=("linear_absorption_coefficient",),
        units=("1/um",), voxel_size_um=SIZE, channel=0, medium_ri=None, medium_origin=None, time_s=None, outside=None,
    )  # fmt: skip
    return stage, FrameState(frame, first_level())


def test_the_main_objects_are_refined_beside_walls_and_around_their_contents() -> None:
    stage, state = stage_of(smoothing_um=0.0)
    labels = stage.apply(state).labels
    truth = np.zeros(SHAPE, bool)
    truth[10:30, 10:34, 10:38] = True
    assert np.array_equal(labels["cell"] == 3, truth)
    for other in ("nucleus", "bead"):
        assert np.array_equal(labels[other], first_level()[other])
    (record,) = stage.facts["refinement"]
    changed = record["structures"]["cell"]
    assert changed["volume_um3"] == pytest.approx(20 * 24 * 28 * 1e-3)
    assert changed["volume_before_um3"] == pytest.approx(16 * 26 * 28 * 1e-3)
    assert list(record["structures"]) == ["cell"]


def test_named_structures_are_refined_inside_their_parent() -> None:
    stage, state = stage_of(smoothing_um=0.0, structures=["nucleus", "cell", "mitochondrion"])
    labels = stage.apply(state).labels
    nucleus = np.zeros(SHAPE, bool)
    nucleus[15:25, 16:28, 17:31] = True
    assert np.array_equal(labels["nucleus"] == 5, nucleus)
    assert any(notice.code == "W-REFINE" and "mitochondrion" in notice.text for notice in stage.notices)


def test_nothing_is_done_unless_asked_for_and_planes_are_refused() -> None:
    volume = Volume.from_array(image(), voxel_size_um=SIZE, quantity="linear_absorption_coefficient", unit="1/um")
    assert "refine" not in plan_run(volume, RunSettings(modality="sxt", model="classical")).stages
    plane = Volume.from_array(
        np.zeros((1, 9, 9), np.float32), voxel_size_um=(float("nan"), 0.1, 0.1), quantity="dry_mass_density",
        unit="pg/um2",
    )  # fmt: skip
    with pytest.raises(SettingsError) as problem:
        plan_run(plane, RunSettings(modality="qpi", model="classical", refinement={"method": "boundary"}))
    assert problem.value.code == "E-REFINE-PLANAR"


def test_a_model_that_does_not_see_labels_cannot_refine() -> None:
    volume = Volume.from_array(image(), voxel_size_um=SIZE, quantity="linear_absorption_coefficient", unit="1/um")
    refinement = {"method": "network", "model": "odt-organelles"}
    with pytest.raises(SettingsError) as problem:
        plan_run(volume, RunSettings(modality="sxt", model="classical", refinement=refinement))
    assert problem.value.code == "E-MODEL-ROLE"


def test_a_second_network_replaces_classes_and_keeps_numbers() -> None:
    """A network that answers with the image itself: whatever is brighter than 0.25 is cell, than 0.6 bead."""
    from tomocyte.models import ModelCard, NetworkChoice

    card = ModelCard(
        name="second", modality="sxt", quantity="linear_absorption_coefficient",
        channels=("linear_absorption_coefficient", "labels"), dimensions=3, structures=("background", "cell", "bead"),
        activation="softmax", network=NetworkChoice(name="biomedisa", options={"n_inputs": 2, "n_outputs": 3}),
        voxel_size_um=SIZE, value_range=(-1, 5), tile_shape=(8, 8, 8),
    )  # fmt: skip

    def predictor(batch: np.ndarray) -> np.ndarray:
        value = batch[:, 0]
        return np.stack([value < 0.15, (value > 0.15) & (value < 0.6), value > 0.6], axis=1).astype(np.float32)

    stage, state = stage_of(stride=4)
    stage.plan = replace(
        stage.plan, refinement_card=card,
        settings=stage.plan.settings.model_copy(
            update={"refinement": stage.plan.settings.refinement.model_copy(update={"method": "network", "stride": 4})}
        ),
    )  # fmt: skip
    stage._model = SimpleNamespace(card=card, predictor=predictor)  # type: ignore[assignment]
    labels = stage.apply(state).labels
    truth = np.zeros(SHAPE, bool)
    truth[10:30, 10:34, 10:38] = True
    assert np.array_equal(labels["cell"] == 3, truth)
    assert np.array_equal(labels["bead"] == 1, image() > 0.6)


def test_the_band_follows_the_voxels_that_the_first_level_saw() -> None:
    _, state = stage_of()
    card: Any = SimpleNamespace(fixed_frame=None, scaled_frame=None, voxel_size_um=(0.39, 0.195, 0.195))
    assert first_level_um(card, state.frame) == 0.39
    card.scaled_frame = SimpleNamespace(shape=(20, 22, 12))
    assert first_level_um(card, state.frame) == pytest.approx(0.4)
    assert first_level_um(None, state.frame) == 0.0
