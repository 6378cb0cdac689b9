"""The road of one input, from its path to its tables: which rooms it enters, in which order, how often it is read.

A tracing hook sees every call that the pipeline makes to other rooms and to its own modules.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.conftest import MEDIUM_RI
from tests.in_process import workers_in_this_process
from tests.unet_by_hand import SIZE_UM, balls_ri, save_by_hand

import tomocyte
from tomocyte.formats import read_volume, write_volume
from tomocyte.pipeline import process_item
from tomocyte.volume import Volume

SOURCE = Path(tomocyte.__file__).parent


@dataclass(frozen=True)
class Step:
    """A call of a function of the package, made by the pipeline.

    Parameters
    ----------
    room : str
        The folder or file that it was made to; a module of the pipeline itself has its name, e.g. ``pipeline.frames``.
    function : str
    caller : str
        The pipeline's module that made it, e.g. ``stages.model``.
    """

    room: str
    function: str
    caller: str


def _module_of(frame: FrameType | None) -> tuple[str, ...]:
    """The module of a frame below the package, e.g. ``("pipeline", "stages", "model")``; empty outside of it."""
    path = "" if frame is None else frame.f_code.co_filename
    return Path(path).with_suffix("").relative_to(SOURCE).parts if path.startswith(str(SOURCE)) else ()


@contextmanager
def watched() -> Iterator[list[Step]]:
    """The calls that the pipeline makes to other rooms and to its own modules, in their order."""
    steps: list[Step] = []

    def on_event(frame: FrameType, event: str, _: object) -> None:
        if event != "call" or frame.f_code.co_name.startswith(("<", "__")):
            return
        caller, module = _module_of(frame.f_back), _module_of(frame)
        if caller[:1] == ("pipeline",) and module and module != caller:
            room = ".".join(module if module[0] == "pipeline" else module[:1])
            steps.append(Step(room, frame.f_code.co_name, ".".join(caller[1:])))

    before = sys.getprofile()
    sys.setprofile(on_event)
    try:
        yield steps
    finally:
        sys.setprofile(before)


def counting(volume: Volume) -> tuple[Volume, Counter[tuple[int, int, int]]]:
    """The volume, and how often each plane (frame, channel, z) of it has been read."""
    reads: Counter[tuple[int, int, int]] = Counter()

    def read_planes(frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        reads.update((frame, channel, z) for z in range(z_start, z_stop))
        return np.asarray(volume.read_planes(frame, channel, z_start, z_stop))

    return volume.with_properties(read_planes=read_planes), reads


N_FRAMES, N_CHANNELS = 2, 2
GROUND = {"volume", "settings", "structures", "notices", "progress", "labels"}
"""Rooms that serve every stage."""
ROOMS = {
    "model": {"models", "pipeline.channels"},
    "cells": {"segmentation", "corrections"},
    "classical": {"segmentation"},
    "corrections": {"corrections"},
    "measure": {"measurements", "modalities"},
    "missing_cone": {"missing_cone", "modalities"},
    "organelles": set(),
    "plausibility": {"confidence"},
    "confidence": {"confidence"},
    "repair": {"tracking", "corrections"},
    "tracking": {"tracking", "measurements", "corrections"},
    "draw": {"figures"},
}
"""Which rooms a stage enters; to mark columns, ``cells`` asks the corrections which objects are still the model's."""
EXACT = {"engine": "torch", "precision": "fp32"}
SETTINGS: dict[str, dict[str, Any]] = {
    "classical": {"modality": "odt", "model": "classical"},
    "trained": {
        "modality": "odt",
        "inference": EXACT,
        "cells": "watershed",
        "uncertainty": {"method": "single", "is_map_written": True},
    },
}
STAGES = {
    "classical": ["classical", "repair", "measure", "missing_cone", "organelles", "plausibility", "tracking", "draw"],
    "trained": [
        "model",
        "cells",
        "classical",
        "corrections",
        "repair",
        "measure",
        "missing_cone",
        "organelles",
        "plausibility",
        "confidence",
        "tracking",
        "draw",
    ],
}
EDITS = {"edits": [{"do": "delete", "structure": "cell", "frame": 0, "targets": [{"label": 1}]}]}


@dataclass(frozen=True)
class Walk:
    """One input that has been walked: its steps, the planes that were read, and the folder with what was written."""

    engine: str
    steps: list[Step]
    reads: Counter[tuple[int, int, int]]
    staged: Path


@pytest.fixture(scope="module", params=["classical", "trained"])
def walk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """Two frames of two channels, with the classical engine, and with a network, cells told apart and one edit."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "staged").mkdir()
    frames = np.stack([balls_ri((0.0, 0.0, -2.7), (0.0, 0.0, 2.7)), balls_ri((0.0, 0.0, 0.0))])
    image = np.stack([frames, frames[:, :, ::-1]], axis=1)
    known = {"voxel_size_um": SIZE_UM, "quantity": "refractive_index", "unit": "1", "medium_ri": MEDIUM_RI}
    write_volume(folder / "x.ome.tif", Volume.from_array(image, channel_names=("a", "b"), **known))
    settings = SETTINGS[request.param]
    task = {"path": str(folder / "x.ome.tif"), "staged": str(folder / "staged"), "item": "x", "settings": settings}
    if request.param == "trained":
        model = save_by_hand(folder / "by-hand", (0.5, 1.5), (40.0, 40.0))
        task |= {"settings": {**settings, "model": str(model)}, "edits": EDITS}
    volume, reads = counting(read_volume(folder / "x.ome.tif"))
    with workers_in_this_process(), pytest.MonkeyPatch.context() as patch, watched() as steps:
        patch.setattr("tomocyte.formats._apply", lambda *_: volume)
        process_item(task, lambda event: None)
    return Walk(request.param, steps, reads, folder / "staged")


def milestone(step: Step) -> str:
    """The word for a step that every input takes; empty for all others."""
    stage = step.room.removeprefix("pipeline.stages.")
    if step.function == "apply" and stage != step.room:
        return stage
    if step.caller == "analysis" and step.function in ("prepare", "after_all"):
        return step.function
    words = {
        ("item", "formats", "read_volume"): "open",
        ("analysis", "pipeline.planning", "plan_run"): "plan",
        ("analysis", "pipeline.frames", "read_frame"): "read",
        ("item", "formats", "write_volume"): "write labels",
        ("item", "tables", "write_table"): "write tables",
        ("item", "corrections", "write_corrections"): "write corrections",
    }
    return words.get((step.caller, step.room, step.function), "")


def test_every_step_is_taken_once_and_in_order(walk: Walk) -> None:
    """Opened and planned once; each frame read once and once through each stage; written at the end."""
    words = [word for step in walk.steps if (word := milestone(step))]
    repeated = ("prepare", "after_all", "write labels")
    taken = [word for word, group in groupby(words) for _ in ([word] if word in repeated else list(group))]
    stages = STAGES[walk.engine]
    assert taken == [
        "open", "plan", "prepare", *N_FRAMES * ["read", *stages], "after_all", "write labels",
        "write tables", "write tables",  # of objects and of tracks
        *(["write corrections"] if walk.engine == "trained" else []),
    ]  # fmt: skip
    assert words.count("prepare") == words.count("after_all") == len(stages)
    assert {path.name for path in walk.staged.iterdir()} >= {"cell.ome.tif", "objects.parquet", "facts.json"}


def test_a_stage_enters_its_own_rooms_and_no_other_stage(walk: Walk) -> None:
    entered: dict[str, set[str]] = {stage: set() for stage in STAGES[walk.engine]}
    for step in walk.steps:
        stage = step.caller.removeprefix("stages.")
        if stage in entered and step.caller != stage:
            assert not step.room.startswith("pipeline.stages.")
            entered[stage] |= {step.room} - GROUND - {"pipeline.stage", "pipeline.plan", "pipeline.frames"}
    assert entered == {stage: ROOMS[stage] for stage in entered}


def test_rooms_are_first_entered_from_file_to_tables(walk: Walk) -> None:
    """Nothing is computed before the plan is made, and nothing is written before all is measured."""
    order = ["models", "segmentation", "corrections", "measurements", "confidence", "figures", "tables"]
    first = {"models": "predict_objects", "corrections": "apply_edits", "measurements": "measure"}
    works = [step.room for step in walk.steps if step.function == first.get(step.room, step.function)]
    rooms = list(dict.fromkeys(room for room in works if room in order))
    assert rooms == [room for room in order if walk.engine == "trained" or room in rooms]
    assert set(rooms) >= {"segmentation", "measurements", "figures", "tables"}


def test_every_voxel_of_every_channel_is_read_once(walk: Walk) -> None:
    planes = [(frame, channel, z) for frame in range(N_FRAMES) for channel in range(N_CHANNELS) for z in range(22)]
    assert walk.reads == Counter(planes)
