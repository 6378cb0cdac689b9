"""One frame measured again with other labels: what follows the segmentation on the road, and nothing before it.

The values are those of a run with these labels; only what needs the segmentation itself (confidence) or all frames
(tracks) is left to the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tomocyte.corrections.apply import EditedFrame
from tomocyte.pipeline.analysis import complete_table
from tomocyte.pipeline.frames import read_frame
from tomocyte.pipeline.planning import plan_run
from tomocyte.pipeline.settings import RunSettings
from tomocyte.pipeline.stage import FrameState
from tomocyte.pipeline.stages import STAGES
from tomocyte.pipeline.stages.organelles import cell_columns
from tomocyte.progress import Callback, silent
from tomocyte.structures import CELL, contains
from tomocyte.volume import Volume

if TYPE_CHECKING:
    import pandas as pd

MEASURING = ("channels", "absorption", "measure", "missing_cone")
"""Stages that need labels and the image alone."""


def measure_frame(
    volume: Volume,
    settings: RunSettings,
    edited: EditedFrame,
    *,
    frame: int = 0,
    masks: Mapping[str, Path] | None = None,
    callback: Callback = silent,
) -> pd.DataFrame:
    """The table of the objects of one frame, from labels that were corrected.

    Parameters
    ----------
    volume : Volume
        As :func:`tomocyte.pipeline.open_input` returns it.
    settings : RunSettings
        Of the run.
    edited : EditedFrame
        Its labels, by the names of the run's structures, and what edits did to them.
    frame : int
    masks : mapping of str to Path, optional
        As for :func:`tomocyte.pipeline.analyse`, of a run that measured given masks.
    callback : callable

    Returns
    -------
    DataFrame
        One row per object, with the columns of a run but for confidence and tracks; ``edited`` for objects that the
        edits changed.

    Raises
    ------
    TomocyteError
        As :func:`tomocyte.pipeline.analyse`.
    """
    import pandas as pd

    plan = plan_run(volume, settings, masks=masks)
    plan = replace(plan, stages=tuple(name for name in plan.stages if name in MEASURING))
    stages = [STAGES[name](plan, callback) for name in (*plan.stages, "corrections")]
    for stage in stages:
        stage.prepare(volume)
    image, _ = read_frame(volume, frame, plan)
    labels = {CELL if name == plan.main else name: array for name, array in edited.labels.items()}
    state = FrameState(image, labels=labels, edited=edited)
    for stage in stages[:-1]:
        state = stage.apply(state)
    tables = [complete_table(state, structure, stages) for structure in state.tables]
    table = pd.concat(tables, ignore_index=True)
    if plan.main != CELL:
        return table
    return cell_columns(table, [name for name in edited.labels if name != CELL and contains(CELL, name)])[0]
