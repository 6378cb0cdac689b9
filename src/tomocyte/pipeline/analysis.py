"""The road: frames of one volume through the stages of its plan.

Nothing is decided here (that is the plan's) and nothing is computed (that is the stages').
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.corrections.edits import EditList
from tomocyte.labels.stack import LabelStack
from tomocyte.notices import Notice, unique
from tomocyte.pipeline.columns import object_columns
from tomocyte.pipeline.facts import ItemFacts
from tomocyte.pipeline.frames import read_frame
from tomocyte.pipeline.plan import Plan
from tomocyte.pipeline.planning import plan_run
from tomocyte.pipeline.settings import RunSettings
from tomocyte.pipeline.stage import FrameState, Stage, VolumeState
from tomocyte.pipeline.stages import STAGES
from tomocyte.progress import Callback, Progress, silent
from tomocyte.volume import Volume

if TYPE_CHECKING:
    import pandas as pd

    from tomocyte.corrections.apply import EditRecord
    from tomocyte.corrections.edits import Edit

MAP_UNIT = "bit/255"
MAP_QUANTITY = "predictive_entropy"
COLUMNS_BEFORE_MEDIUM = ("confidence", "cells")
"""Stages whose columns stand before that of the medium; the others' follow it."""


@dataclass(frozen=True, eq=False)
class Analysis:
    """What came out of one volume.

    Parameters
    ----------
    table : DataFrame
        One row per object and frame.
    labels : mapping
        Structure -> label volume (T, 1, Z, Y, X) uint32.
    facts : dict
        JSON-able, :class:`ItemFacts`: shape, voxel size, medium, origins, counts, histogram, plan.
    notices : tuple of Notice
    pictures : mapping
        File name -> PNG bytes.
    plan : Plan
        What was decided before.
    maps : mapping
        Structure -> uncertainty, (T, 1, Z, Y, X) uint8, 255 = 1 bit; only where asked for.
    pairs : DataFrame, optional
        One row per pair of near objects and frame, where pairs are measured.
    contacts : DataFrame, optional
        One row per cell, two structures and frame, where contacts are measured.
    tracks : DataFrame, optional
        One row per track of the main objects, in a time-lapse.
    repairs : tuple of Edit
        What was repaired of the main objects in single frames, as edits.
    as_segmented : Volume, optional
        The labels of the main objects before they were repaired.
    edit_log : tuple of EditRecord
        What corrections by hand did.
    """

    table: pd.DataFrame
    labels: Mapping[str, Volume]
    facts: dict[str, Any]
    notices: tuple[Notice, ...]
    pictures: Mapping[str, bytes]
    plan: Plan
    maps: Mapping[str, Volume] = field(default_factory=dict)
    pairs: pd.DataFrame | None = None
    contacts: pd.DataFrame | None = None
    tracks: pd.DataFrame | None = None
    repairs: tuple[Edit, ...] = ()
    as_segmented: Volume | None = None
    edit_log: tuple[EditRecord, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """The notices as lines, ``W-…: …``."""
        return tuple(str(notice) for notice in self.notices)


def analyse(
    volume: Volume,
    settings: RunSettings,
    *,
    edits: EditList | None = None,
    masks: Mapping[str, Path] | None = None,
    extra_measurements: Sequence[Callable[..., float]] = (),
    callback: Callback = silent,
) -> Analysis:
    """Segment and measure every frame of a volume.

    Parameters
    ----------
    volume : Volume
        With voxel size and quantity settled, as :func:`open_input` returns it.
    settings : RunSettings
        Its ``edits`` must have been read.
    edits : EditList, optional
        Corrections of this volume, from :func:`tomocyte.corrections.files.load_edits`.
    masks : mapping of str to Path, optional
        Structure -> file with its masks or labels; then nothing is segmented.
    extra_measurements : sequence of callable, optional
        Functions ``Region -> float`` of your own; name and docstring become column and dictionary entry.
    callback : callable
        Receives :class:`~tomocyte.progress.Progress` events as the work goes on.

    Returns
    -------
    Analysis

    Raises
    ------
    ModalityError
        ``E-MODALITY-RANGE``, ``E-MODEL-FIT-…``: the values do not fit the modality or the model (unless forced).
    InputError
        ``E-NAN``: NaN or infinite voxels and ``nan="refuse"``. ``E-EDIT-…``: an edit that cannot be applied.
    SettingsError, MetadataError
        As :func:`tomocyte.pipeline.planning.plan_run`.
    """
    plan = plan_run(volume, settings, edits=edits, masks=masks, extra_measurements=extra_measurements)
    stages = prepared_stages(plan, volume, callback)
    frames = _Frames(plan, volume)
    for index in range(volume.n_frames):
        frames.add(walk(plan, volume, index, stages, frames.notices, callback), stages)
    state = frames.state()
    for stage in stages:
        repeated = sorted(stage.again(state))
        for index in repeated:
            frames.add(walk(plan, volume, index, stages, frames.notices, callback), stages)
        state = frames.state() if repeated else state
    return _finish(plan, volume, stages, frames, state)


def segment_frame(
    volume: Volume, settings: RunSettings, *, frame: int = 0, is_measured: bool = False
) -> tuple[Plan, FrameState]:
    """One frame read and segmented exactly as :func:`analyse` does, measured only if asked for; errors as there.

    Alone it has no frames before and after, so nothing is repaired.
    """
    plan = plan_run(volume, settings)
    stages = plan.stages[: plan.stages.index("measure") + is_measured]
    plan = replace(plan, stages=tuple(name for name in stages if name != "repair"))
    return plan, walk(plan, volume, frame, prepared_stages(plan, volume), [])


def prepared_stages(plan: Plan, volume: Volume, callback: Callback = silent) -> list[Stage]:
    """The stages of a plan, in order, ready for the frames of its volume."""
    stages = [STAGES[name](plan, callback) for name in plan.stages]
    for stage in stages:
        stage.prepare(volume)
    return stages


def walk(
    plan: Plan,
    volume: Volume,
    index: int,
    stages: Sequence[Stage],
    notices: list[Notice],
    callback: Callback = silent,
) -> FrameState:
    """One frame, read and taken through stages; what is to be known of reading it is added to ``notices``."""
    callback(Progress(step="read", frame=index, n_frames=volume.n_frames))
    frame, noticed = read_frame(volume, index, plan)
    notices += noticed
    state = FrameState(frame)
    for stage in stages:
        state = stage.apply(state)
    return state


class _Frames:
    """What the frames so far have left: tables, compressed labels and maps, pictures."""

    def __init__(self, plan: Plan, volume: Volume) -> None:
        self.plan = plan
        self.shape = volume.spatial_shape
        self.tables: dict[int, list[pd.DataFrame]] = {}
        self.labels: dict[str, LabelStack] = {}
        self.maps: dict[str, LabelStack] = {}
        self.pictures: dict[str, bytes] = {}
        self.notices: list[Notice] = []
        self._n_masked_voxels: dict[int, int] = {}

    @property
    def n_masked_voxels(self) -> int:
        return sum(self._n_masked_voxels.values())

    def add(self, state: FrameState, stages: Sequence[Stage]) -> None:
        """Keep what is known of the next frame, or of one that was done again."""
        index, is_again = state.frame.index, state.frame.index in self.tables
        self.tables[index] = [complete_table(state, structure, stages) for structure in state.tables]
        self.pictures |= state.pictures
        for stacks, arrays in ((self.labels, state.labels), (self.maps, state.maps)):
            for structure, array in arrays.items():
                stack = stacks.setdefault(self.plan.name_of(structure), LabelStack(self.shape))
                if is_again:
                    stack.replace(index, array)
                else:
                    stack.append(array)
        if state.frame.outside is not None:
            self._n_masked_voxels[index] = int(np.count_nonzero(state.frame.outside))

    def state(self) -> VolumeState:
        import pandas as pd

        tables = [table for of_frame in self.tables.values() for table in of_frame]
        return VolumeState(pd.concat(tables, ignore_index=True), self.labels, self.maps, self.pictures)


def complete_table(state: FrameState, structure: str, stages: Sequence[Stage]) -> pd.DataFrame:
    """The measured table of a structure with the columns of all stages."""
    table = state.tables[structure]
    columns = {stage.name: stage.columns(state, structure, table) for stage in stages}
    for name in COLUMNS_BEFORE_MEDIUM:
        table = table.assign(**columns.pop(name, {}))
    medium = table.pop("medium_ri")
    table["medium_ri"] = medium
    for added in columns.values():
        table = table.assign(**added)
    return table


def _finish(plan: Plan, volume: Volume, stages: Sequence[Stage], frames: _Frames, state: VolumeState) -> Analysis:
    for stage in stages:
        state = stage.after_all(state)
    counts = state.table.groupby("structure").size().reindex(list(state.labels), fill_value=0)
    measured = measured_origins(plan, stages)
    known = {column.name for column in object_columns()}
    described = [*plan.columns(), *(column for stage in stages for column in stage.described)]
    about: dict[str, Any] = {
        "shape_tczyx": volume.shape,
        "dtype": str(volume.dtype),
        "voxel_size_um": [None if math.isnan(size) else size for size in plan.voxel_size_um],
        "quantity": plan.channel.quantity,
        "unit": plan.channel.unit,
        "time_s": volume.time_s,
        "affine": volume.affine,
        "affine_unit": None if volume.affine is None else volume.affine_unit,
        "origin": {**volume.origin, **measured},
        "modality": plan.modality.name,
        "model": plan.engine_name if plan.card is None else plan.card.name,
        "primary": plan.main,
        "channel": plan.segmented,
        "is_simulated": volume.is_simulated,
        "n_objects": {str(name): int(count) for name, count in counts.items()},
        "n_masked_voxels": frames.n_masked_voxels,
        "plan": plan.describe(),
        "columns": [asdict(column) for column in described if column.name not in known],
        "left_out_model": plan.left_out_model_sha256,
    }
    for stage in stages:
        about |= stage.facts
    properties: dict[str, Any] = {"voxel_size_um": plan.voxel_size_um, "time_s": volume.time_s}
    return Analysis(
        table=state.table,
        labels={structure: stack.volume(**properties) for structure, stack in state.labels.items()},
        facts=ItemFacts.model_validate(about).as_json(),
        notices=unique([*plan.notices, *frames.notices, *(notice for stage in stages for notice in stage.notices)]),
        pictures=state.pictures,
        plan=plan,
        maps={structure: map_volume(stack, structure, **properties) for structure, stack in state.maps.items()},
        pairs=state.pairs,
        contacts=state.contacts,
        tracks=state.tracks,
        repairs=state.repairs,
        as_segmented=None if state.as_segmented is None else state.as_segmented.volume(**properties),
        edit_log=state.edit_log,
    )


def measured_origins(plan: Plan, stages: Sequence[Stage]) -> dict[str, str]:
    """Origins of what the run itself has found out, or was told about the objects."""
    facts: dict[str, Any] = {}
    for stage in stages:
        facts |= stage.facts
    origins = {}
    if plan.medium_ri == "background" and any(value is not None for value in facts.get("medium_ri", ())):
        origins["medium_ri"] = "measured"
    if "absorption" in facts:
        origins["quantity"] = "beads"
    if "object_diameter_um" in facts:
        origins["object_diameter_um"] = "user" if plan.classical.object_diameter_um else "estimated"
    return origins


def map_volume(stack: LabelStack, structure: str, **properties: Any) -> Volume:
    """The maps of all frames as a volume (T, 1, Z, Y, X) uint8 that says what its values are."""
    unpacked = stack.volume()

    def read_planes(frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[np.uint8]:
        return unpacked.read_planes(frame, channel, z_start, z_stop).astype(np.uint8)

    return Volume(
        shape=unpacked.shape,
        dtype=np.dtype(np.uint8),
        read_planes=read_planes,
        quantity=MAP_QUANTITY,
        unit=MAP_UNIT,
        channel_names=(f"uncertainty of {structure}, 255 = 1 bit",),
        **properties,
    )
