"""Plausibility: whether what was found can be right, said in notices ``W-IMPLAUSIBLE-…``."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tomocyte.confidence.plausibility import Objects, implausible, without_cell
from tomocyte.labels.settings import CleanSettings
from tomocyte.notices import Notice
from tomocyte.pipeline.plan import Plan
from tomocyte.pipeline.stage import FrameState, Stage, VolumeState
from tomocyte.segmentation.classical.surroundings import find_surroundings, without_surroundings
from tomocyte.structures import contains
from tomocyte.volume import Frame, Volume


class PlausibilityStage(Stage):
    """Compares objects with what physics and counting allow."""

    name = "plausibility"

    @classmethod
    def is_needed(cls, plan: Plan) -> bool:
        """Where there is an image to compare with."""
        return plan.channel.quantity != "labels"

    def prepare(self, volume: Volume) -> None:
        """Start with no frame that has anything to say."""
        super().prepare(volume)
        self._found: dict[int, dict[str, Notice]] = {}

    def apply(self, state: FrameState) -> FrameState:
        """The frame as it is; what cannot be right about its main objects is kept."""
        frame = state.frame
        self.report("plausibility", frame)
        objects = Objects(
            state.labels["cell"],
            frame.segmented,
            frame.voxel_size_um,
            self.plan.main,
            is_light=frame.quantities[frame.channel] == "intensity" and self.plan.classical.foreground.is_bright,
            smallest_um=self._smallest(math.isnan(frame.voxel_size_um[0]) or frame.segmented.shape[0] == 1),
            is_what_remains="bodies" in self.plan.stages,
            uncluttered=self._uncluttered(frame) if self._has_surroundings else None,
        )
        self._found[frame.index] = {notice.code: notice for notice in reversed(list(implausible(objects)))}
        return state

    @property
    def _has_surroundings(self) -> bool:
        options = self.plan.classical
        return options.capillary.method != "none" or options.bead.method != "none"

    def _uncluttered(self, frame: Frame) -> Callable[[], NDArray[np.float32]]:
        """What finds glass, what lies outside it, and beads, whatever found the cells, and takes them out."""

        def image() -> NDArray[np.float32]:
            surroundings = find_surroundings(frame.segmented, frame.voxel_size_um, self.plan.classical, {})
            return without_surroundings(frame.segmented, frame.voxel_size_um, surroundings, self.plan.classical)

        return image

    def _smallest(self, is_plane: bool) -> float:
        """Smallest object of the classical engine in µm² or µm³; 0 where a model or the image decides."""
        clean: CleanSettings = self.plan.classical.clean
        size = clean.min_area_um2 if is_plane else clean.min_volume_um3
        return 0.0 if self.plan.card is not None or self.plan.masks or size is None else size

    def after_all(self, state: VolumeState) -> VolumeState:
        """Notices about all frames, and about organelles without a cell."""
        first: dict[str, Notice] = {}
        for notices in self._found.values():
            first = {**notices, **first}
        for code, notice in first.items():
            n = sum(code in notices for notices in self._found.values())
            where = f" (in {n} of {self._n_frames} frames; the first is described)" if self._n_frames > 1 else ""
            self.notify(Notice(code, notice.text + where))
        table = state.table
        n_cells = int((table["structure"] == self.plan.main).sum())
        for structure in state.labels:
            if structure == self.plan.main or not contains(self.plan.main, structure):
                continue
            cells = table.loc[table["structure"] == structure, "cell_id"]
            outside = int((cells == 0).sum())
            lost = without_cell(
                len(cells) - outside, outside, organelle=structure, cell=self.plan.main, n_cells=n_cells
            )
            if lost is not None:
                self.notify(lost)
        return state
