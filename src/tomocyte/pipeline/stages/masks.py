"""The user's own masks, in the place of a segmentation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tomocyte.notices import Notice
from tomocyte.pipeline.masks import masks_sha256, open_masks, read_mask
from tomocyte.pipeline.plan import Plan
from tomocyte.pipeline.stage import FrameState, Stage
from tomocyte.structures import CELL, in_drawing_order
from tomocyte.volume import Volume


class MasksStage(Stage):
    """Reads masks and label images from files."""

    name = "masks"

    @classmethod
    def is_needed(cls, plan: Plan) -> bool:
        """Where masks are given."""
        return bool(plan.masks)

    def prepare(self, volume: Volume) -> None:
        """Open every file and compare it with the image; errors as :func:`tomocyte.pipeline.masks.open_masks`."""
        super().prepare(volume)
        self._opened = open_masks(self.plan.masks, volume, self.plan.settings.mask_dataset)
        files = {structure: path.name for structure, path in self.plan.masks.items()}
        self._facts["masks"] = {"sha256": masks_sha256(self.plan.masks), "files": files}
        for labels, _ in self._opened.values():
            self.notify(*(Notice.parse(note) for note in labels.notes if note.startswith("W-")))

    def apply(self, state: FrameState) -> FrameState:
        """The frame with its labels; voxels outside the image are background."""
        frame, found = state.frame, {}
        for structure in in_drawing_order(self._opened):
            labels, channel = self._opened[structure]
            self.report(f"read: {structure}", frame)
            objects, is_split = read_mask(
                labels, channel, frame.index, is_label_image=self.plan.settings.are_masks_labels
            )
            if is_split:
                text = f"the file of {structure} has one value only; each connected piece of it counts as one object."
                self.notify(Notice("W-MASK-PIECES", text))
            if frame.outside is not None:
                objects = np.where(frame.outside, objects.dtype.type(0), objects)
            found[CELL if structure == self.plan.main else structure] = objects
        # The main objects come first, as everywhere.
        return replace(state, labels={CELL: found.pop(CELL), **found})
