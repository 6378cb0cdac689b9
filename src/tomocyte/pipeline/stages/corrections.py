"""Corrections by hand, applied to every frame; the effect of an edit on labels is in :mod:`tomocyte.corrections`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.corrections.apply import EditRecord, apply_edits
from tomocyte.corrections.files import edit_facts
from tomocyte.notices import Notice
from tomocyte.pipeline.plan import Plan
from tomocyte.pipeline.stage import FrameState, Stage, VolumeState
from tomocyte.volume import Volume

if TYPE_CHECKING:
    import pandas as pd


class CorrectionsStage(Stage):
    """Applies the edits of the plan and keeps their log."""

    name = "corrections"

    @classmethod
    def is_needed(cls, plan: Plan) -> bool:
        """Where there are edits."""
        return plan.edits is not None

    def prepare(self, volume: Volume) -> None:
        """Start an empty log."""
        super().prepare(volume)
        self._logs: dict[int, tuple[EditRecord, ...]] = {}

    def apply(self, state: FrameState) -> FrameState:
        """The frame with its edits applied; voxels outside the image stay background.

        Raises
        ------
        InputError
            ``E-EDIT-…`` of :func:`tomocyte.corrections.apply.apply_edits`.
        """
        edits = self.plan.edits
        if edits is None:
            return state
        self.report("correct", state.frame)
        # Edits name structures as the run's tables and files do.
        named = {self.plan.name_of(structure): labels for structure, labels in state.labels.items()}
        edited = apply_edits(
            named,
            edits.edits,
            state.frame.voxel_size_um,
            frame=state.frame.index,
            main=self.plan.main,
            go_by=edits.go_by,
        )
        self._logs[state.frame.index] = edited.log
        if state.frame.outside is not None:
            for structure in {record.structure for record in edited.log}:
                edited.labels[structure][state.frame.outside] = 0
        labels = {structure: edited.labels[self.plan.name_of(structure)] for structure in state.labels}
        return replace(state, labels=labels, edited=edited)

    def columns(self, state: FrameState, structure: str, table: pd.DataFrame) -> Mapping[str, Any]:
        """``edited``, and ``cell_id`` where it was set by hand."""
        if state.edited is None:
            return {}
        import pandas as pd

        name = self.plan.name_of(structure)
        edited, cells = state.edited.edited.get(name, {}), state.edited.cells.get(name, {})
        labels = table["label"].tolist()
        cell_ids = [cells.get(label, cell) for label, cell in zip(labels, table["cell_id"].tolist(), strict=True)]
        words = [" ".join(edited.get(label, ())) for label in labels]
        return {
            "cell_id": np.asarray(cell_ids, dtype=np.int64),
            "edited": pd.Series(words, index=table.index, dtype="object"),
        }

    def after_all(self, state: VolumeState) -> VolumeState:
        """A notice that results were corrected by hand, and the warnings of the edits."""
        log = tuple(record for records in self._logs.values() for record in records)
        if self.plan.edits is not None:
            facts = edit_facts(self.plan.edits, log)
            counts = ", ".join(f"{count} {kind}" for kind, count in facts["n_by_kind"].items())
            self.notify(Notice("W-EDITED", f"corrected by hand: {counts}."))
            self.notify(*(Notice.parse(text) for record in log for text in record.warnings))
            self._facts["edits"] = facts
        return replace(state, edit_log=log)
