"""The road: frames through the stages of a plan, in order, once each."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.conftest import BALL_SIZE_UM, MEDIUM_RI, ball_ri

import tomocyte.figures
from tomocyte.labels.stack import LabelStack
from tomocyte.notices import Notice
from tomocyte.pipeline import analyse
from tomocyte.pipeline.analysis import complete_table, map_volume, prepared_stages, segment_frame, walk
from tomocyte.pipeline.columns import object_columns, pair_columns
from tomocyte.pipeline.planning import plan_run
from tomocyte.pipeline.settings import RunSettings
from tomocyte.pipeline.stage import FrameState
from tomocyte.progress import Progress
from tomocyte.volume import Volume

SIZE_UM = (0.4, 0.3, 0.2)
SETTINGS = RunSettings(modality="odt", model="classical")


@pytest.fixture(autouse=True)
def blank_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than everything else together."""
    for name in ("overview", "closeup", "time_course_figure"):
        monkeypatch.setattr(tomocyte.figures, name, lambda *_, **__: b"")


def boxes(n_frames: int = 1) -> Volume:
    """Frame t holds t + 1 boxes of 6 x 10 x 10 voxels of 200, 5 columns apart."""
    voxels = np.zeros((n_frames, 1, 12, 30, 60), np.float32)
    for frame in range(n_frames):
        for box in range(frame + 1):
            voxels[frame, 0, 3:9, 10:20, 5 + 15 * box : 15 + 15 * box] = 200.0
    return Volume.from_array(voxels, voxel_size_um=SIZE_UM, quantity="intensity")


def test_every_frame_goes_through_every_stage_once_and_in_order() -> None:
    """Of three frames, none is skipped or seen twice; each step of a frame ends before the next begins."""
    events: list[Progress] = []
    analyse(boxes(3), RunSettings(modality="fluorescence"), callback=events.append)
    assert {event.n_frames for event in events} == {3}
    kinds = [(event.frame, event.step.split(":")[0]) for event in events]
    steps = list(dict.fromkeys(kinds))
    per_frame = [[kind for frame, kind in steps if frame == number] for number in range(3)]
    assert [frame for frame, _ in steps] == sorted(frame for frame, _ in steps)
    for order in per_frame:
        assert [kind for kind in order if kind in ("read", "measure", "draw")] == ["read", "measure", "draw"]
    assert sum(event.step == "read" for event in events) == 3
    assert sum(event.step == "measure: object" for event in events) == 3


def test_stages_are_those_of_the_plan_and_are_ready() -> None:
    volume = boxes(3)
    plan = plan_run(volume, RunSettings(modality="fluorescence"))
    stages = prepared_stages(plan, volume)
    names = ("classical", "repair", "measure", "organelles", "plausibility", "tracking", "draw")
    assert tuple(stage.name for stage in stages) == plan.stages == names
    notices: list[Notice] = []
    state = walk(plan, volume, 2, stages, notices)
    assert len(state.tables["cell"]) == 3
    assert notices == []
    assert set(state.pictures) >= {"overview_00002.png"}


def test_a_frame_alone_is_segmented_as_in_the_series_and_not_measured() -> None:
    volume = boxes(3)
    together = analyse(volume, RunSettings(modality="fluorescence"))
    plan, state = segment_frame(volume, RunSettings(modality="fluorescence"), frame=1)
    np.testing.assert_array_equal(state.labels["cell"], together.labels["object"].planes(1, 0))
    assert state.labels["cell"].max() == 2
    assert (plan.stages, state.tables, state.pictures) == (("classical",), {}, {})


def test_labels_do_not_depend_on_the_order_of_the_rows() -> None:
    """A ball that is read upside down is segmented upside down."""
    given = {"voxel_size_um": BALL_SIZE_UM, "quantity": "refractive_index", "unit": "1", "medium_ri": MEDIUM_RI}
    image = ball_ri(centres_um=((0.0, 1.0, -2.0),))
    _, state = segment_frame(Volume.from_array(image, **given), SETTINGS)
    _, flipped = segment_frame(Volume.from_array(image[:, ::-1].copy(), **given), SETTINGS)
    assert state.labels["cell"].any()
    np.testing.assert_array_equal(flipped.labels["cell"], state.labels["cell"][:, ::-1])


class Added:
    """A stand-in for a stage that adds one column."""

    def __init__(self, name: str) -> None:
        self.name = name

    def columns(self, state: FrameState, structure: str, table: pd.DataFrame) -> dict[str, object]:
        return {self.name.upper(): range(len(table))}


def test_columns_of_the_medium_stand_behind_confidence_and_cells() -> None:
    table = pd.DataFrame({"label": [1, 2], "medium_ri": [1.34, 1.34], "volume_um3": [5.0, 6.0]})
    state = FrameState(frame=None, tables={"cell": table.copy()})  # type: ignore[arg-type]
    stages = [Added(name) for name in ("cells", "corrections", "measure", "confidence")]
    columns = list(complete_table(state, "cell", stages).columns)  # type: ignore[arg-type]
    assert columns == ["label", "volume_um3", "CONFIDENCE", "CELLS", "medium_ri", "CORRECTIONS", "MEASURE"]


def test_maps_come_back_as_bytes_with_their_meaning() -> None:
    maps = np.random.default_rng(3).integers(0, 256, (2, 4, 5, 6)).astype(np.uint8)
    stack = LabelStack((4, 5, 6))
    for frame in maps:
        stack.append(frame)
    volume = map_volume(stack, "nucleus", voxel_size_um=SIZE_UM, time_s=(0.0, 3.0))
    assert (volume.shape, volume.dtype, volume.voxel_size_um) == ((2, 1, 4, 5, 6), np.uint8, SIZE_UM)
    assert (volume.quantity, volume.unit) == ("predictive_entropy", "bit/255")
    np.testing.assert_array_equal(volume.frame(1)[0], maps[1])
    assert volume.planes(0, 0, 2, 3).dtype == np.uint8


@pytest.mark.parametrize("columns", [object_columns(), pair_columns()], ids=["objects", "pairs"])
def test_no_column_is_described_twice(columns: tuple[object, ...]) -> None:
    names = [column.name for column in columns]  # type: ignore[attr-defined]
    assert len(names) == len(set(names))


def test_every_column_of_a_table_is_described() -> None:
    """Of a volume of one channel; columns of several channels are described by the plan."""
    settings = RunSettings(modality="fluorescence", measurements=("centroid_distance_um",), pair_distance_um=2.0)
    analysis = analyse(boxes(2), settings)
    assert set(analysis.table.columns) <= {column.name for column in object_columns()}
    assert analysis.pairs is not None
    assert len(analysis.pairs) == 1
    assert set(analysis.pairs.columns) <= {column.name for column in pair_columns()}
