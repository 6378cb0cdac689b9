"""What every stage has: notices, facts, progress events, and nothing to do unless it says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tomocyte.notices import Notice
from tomocyte.pipeline.plan import Plan
from tomocyte.pipeline.planning import plan_run
from tomocyte.pipeline.settings import RunSettings
from tomocyte.pipeline.stage import FrameState, Stage, VolumeState
from tomocyte.progress import Progress
from tomocyte.volume import Frame, Volume

SIZE_UM = (0.4, 0.3, 0.2)


class Counting(Stage):
    """Gives every frame one picture."""

    name = "counting"

    def apply(self, state: FrameState) -> FrameState:
        self.report("count", state.frame)
        return replace(state, pictures={**state.pictures, f"{state.frame.index}.png": b""})


@pytest.fixture
def volume() -> Volume:
    return Volume.from_array(np.zeros((4, 1, 2, 3, 5), np.uint8), voxel_size_um=SIZE_UM, quantity="intensity")


@pytest.fixture
def plan(volume: Volume) -> Plan:
    return plan_run(volume, RunSettings(modality="fluorescence"))


def test_a_stage_says_where_it_is(plan: Plan, volume: Volume) -> None:
    events: list[Progress] = []
    stage = Counting(plan, events.append)
    stage.prepare(volume)
    frame = Frame(2, np.zeros((1, 2, 3, 5), np.float32), ("a",), ("intensity",), ("",), SIZE_UM)
    before = FrameState(frame)
    after = stage.apply(before)
    assert events == [Progress(step="count", frame=2, n_frames=4)]
    assert (list(after.pictures), list(before.pictures)) == (["2.png"], [])


def test_notices_are_given_once(plan: Plan) -> None:
    stage = Counting(plan, lambda _: None)
    one, other = Notice("W-A", "x"), Notice("W-B", "y")
    stage.notify(one, one)
    stage.notify(other, one)
    assert stage.notices == (one, other)


def test_a_stage_adds_nothing_by_itself(plan: Plan) -> None:
    stage = Counting(plan, lambda _: None)
    table = pd.DataFrame({"label": [1]})
    state = VolumeState(table, {}, {}, {})
    assert stage.after_all(state) is state
    assert (dict(stage.facts), stage.notices) == ({}, ())
    assert dict(stage.columns(FrameState(None), "cell", table)) == {}  # type: ignore[arg-type]


def test_a_stage_must_say_what_it_does(plan: Plan) -> None:
    with pytest.raises(TypeError, match="apply"):
        Stage(plan, lambda _: None)  # type: ignore[abstract]
