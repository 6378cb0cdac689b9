"""Touching cells separated by their nuclei, after a model has segmented all cells and all nuclei.

The method itself is in :mod:`tomocyte.segmentation.cells.separate`; here are the network, flags, counts and notices.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.corrections.apply import labels_as_segmented
from tomocyte.labels.dtypes import refit
from tomocyte.models.cells import cells_settings
from tomocyte.models.loaded import LoadedModel, load_model
from tomocyte.notices import Notice
from tomocyte.pipeline.plan import AS_FOUND, Plan
from tomocyte.pipeline.stage import FrameState, Stage, VolumeState
from tomocyte.segmentation.cells.separate import CellByCellSettings, CellsResult, separate_cells
from tomocyte.settings import build_settings
from tomocyte.structures import CELL, NUCLEUS
from tomocyte.volume import Volume, VoxelSize

if TYPE_CHECKING:
    import pandas as pd

NOTICES = {
    "n_crumbs": "W-CELLS-CRUMBS: {n} fragments of nuclei smaller than {smallest:g} um3 were ignored.",
    "n_attached_um3": "W-CELLS-ATTACHED: {n:.1f} um3 claimed by no nucleus were added to the neighbouring cells.",
    "n_lost_um3": "W-CELLS-LOST: {n:.1f} um3 of the cell mask (loose pieces) belong to no cell.",
    "n_added_um3": "W-CELLS-ADDED: {n:.1f} um3 of nuclei outside the cell mask were added to their cells.",
    "no-nucleus": "W-CELLS-NO-NUCLEUS: {n} cells have no nucleus (column flags).",
    "two-nuclei": "W-CELLS-TWO-NUCLEI: {n} cells have two or more nuclei (column flags).",
    "nucleus-outside": "W-CELLS-NUCLEUS-OUTSIDE: {n} cells have a nucleus that lies mostly outside the cell mask.",
}
"""The notice at the end of a run for each count above 0."""
LEAST_ATTACHED = 0.01
"""Smallest attached share of the mask that is mentioned; a little of the rims is always attached."""


class CellsStage(Stage):
    """Separates touching cells by their nuclei."""

    name = "cells"

    @classmethod
    def is_needed(cls, plan: Plan) -> bool:
        """Where cells are to be separated."""
        return plan.cells != AS_FOUND

    def prepare(self, volume: Volume) -> None:
        """Load the network, if the plan has one."""
        super().prepare(volume)
        self._counts: dict[int, Counter[str]] = {}
        self._model: LoadedModel | None = None
        facts: dict[str, Any] = {"method": self.plan.cells}
        card = self.plan.cells_card
        if card is not None:
            self._model = load_model(self.plan.cells_model or "", self.plan.settings.inference)
            facts |= {"name": card.name, "version": card.version, "card_sha256": self._model.facts["card_sha256"]}
            if card.is_trained_on_simulated:
                self.notify(Notice("W-MODEL-SIMULATED", f"{card.name} was trained on simulated data."))
        self._facts["cells"] = facts

    def apply(self, state: FrameState) -> FrameState:
        """The frame with cells separated and touching nuclei split."""
        frame, labels = state.frame, state.labels
        predictor = None if self._model is None else self._model.predictor
        result = separate_cells(
            labels[CELL] != 0,
            labels[NUCLEUS],
            frame.voxel_size_um,
            predictor,
            self._settings(),
            callback=lambda done, total: self.report(f"cells: {done}/{total}", frame),
        )
        self._counts[frame.index] = self._count(result, frame.voxel_size_um, int(np.count_nonzero(labels[CELL])))
        separated = {CELL: refit(result.labels), NUCLEUS: refit(result.nuclei)}
        return replace(state, labels={**labels, **separated}, cells=result)

    def _settings(self) -> CellByCellSettings:
        """Settings of the separation: from the network's card where there is one, but who shares a cell."""
        if self._model is None:
            settings = build_settings(CellByCellSettings, {"method": self.plan.cells})
        else:
            settings = cells_settings(self._model.card, self._model.divisor)
        has_binucleate = self.plan.settings.has_binucleate_cells
        if has_binucleate or (has_binucleate is None and "repair" not in self.plan.stages):
            return settings
        return settings.model_copy(update={"is_joining": False})

    def _count(self, result: CellsResult, voxel_size_um: VoxelSize, n_mask: int) -> Counter[str]:
        """The counts of a frame."""
        own: Counter[str] = Counter({"n_frames": 1})
        size = math.prod(1.0 if math.isnan(length) else length for length in voxel_size_um)
        counts = result.counts
        for name in ("n_nuclei", "n_split", "n_crumbs", "n_joined"):
            own[name] += counts[name]
        own["n_predicted_voxels"] += result.n_predicted_voxels
        volumes = {name: counts[f"{name}_voxels"] for name in ("n_attached", "n_lost", "n_added")}
        if volumes["n_attached"] < LEAST_ATTACHED * n_mask:
            volumes["n_attached"] = 0
        for name, n in volumes.items():
            own[f"{name}_um3"] += n * size  # type: ignore[assignment]
        for flags in result.flags.values():
            own.update(flags)
        self.notify(*(Notice("W-CELLS-PLANE", f"{note}.") for note in result.notes))
        return own

    def columns(self, state: FrameState, structure: str, table: pd.DataFrame) -> Mapping[str, Any]:
        """``flags`` and ``cell_confidence``; empty for other structures and for objects made by edits."""
        if state.cells is None:
            return {}
        labels = labels_as_segmented(state.edited, self.plan.name_of(structure), table["label"].tolist())
        if structure != CELL:
            return {"flags": [""] * len(labels), "cell_confidence": np.full(len(labels), np.nan)}
        flags, confidence = state.cells.flags, state.cells.confidence
        return {
            "flags": [";".join(flags.get(label, ())) for label in labels],
            "cell_confidence": np.asarray([confidence.get(label, math.nan) for label in labels], dtype=np.float64),
        }

    def after_all(self, state: VolumeState) -> VolumeState:
        """Counts over all frames, and their notices."""
        smallest = self._settings().min_nucleus_um3
        total: Counter[str] = Counter()
        for own in self._counts.values():
            total.update(own)
        for name, text in NOTICES.items():
            if total[name] > 0:
                self.notify(Notice.parse(text.format(n=total[name], smallest=smallest)))
        counts = {name: round(count, 3) for name, count in sorted(total.items())}
        self._facts["cells"] = self._facts["cells"] | {"counts": counts}
        return state
