"""Cells as what is not extracellular space, after a model that finds that space but no cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tomocyte.models.objects import finds_space_only
from tomocyte.pipeline.plan import Plan
from tomocyte.pipeline.stage import FrameState, Stage
from tomocyte.segmentation.prediction.objects import instances_from_mask
from tomocyte.segmentation.settings import InstanceSettings
from tomocyte.structures import CELL, find_name

SPACE = "extracellular"


class BodiesStage(Stage):
    """Adds the cells: the connected pieces of all that a model does not call extracellular."""

    name = "bodies"

    @classmethod
    def is_needed(cls, plan: Plan) -> bool:
        """Where the model, or a cascade of them, finds extracellular space and no cells."""
        if plan.cascade is not None:
            return SPACE in plan.cascade.structures and CELL not in plan.cascade.structures
        return plan.card is not None and finds_space_only(plan.card)

    def apply(self, state: FrameState) -> FrameState:
        """The frame with cells; too small pieces are none, as everywhere in the settings of cleaning."""
        frame, clean = state.frame, self.plan.classical.clean
        self.report("bodies", frame)
        mask = state.labels[find_name(SPACE, state.labels) or SPACE] == 0
        if frame.outside is not None:
            mask &= ~frame.outside
        settings = InstanceSettings(
            min_volume_um3=clean.min_volume_um3 or 0.0,
            min_area_um2=clean.min_area_um2 or 0.0,
            is_hole_filled=clean.is_hole_filled,
            is_border_cleared=clean.is_border_cleared,
        )
        cells = instances_from_mask(np.ascontiguousarray(mask), frame.voxel_size_um, settings)
        return replace(state, labels={CELL: cells, **state.labels})
