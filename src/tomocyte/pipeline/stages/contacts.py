"""Contacts, distances and positions of the objects within their cell, and what they would be by chance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tomocyte.measurements.spatial import ContactTables, measure_contacts
from tomocyte.pipeline.plan import Plan
from tomocyte.pipeline.stage import FrameState, Stage, VolumeState
from tomocyte.structures import OUTSIDE_CELLS, canonical_name, contains
from tomocyte.tables import Column
from tomocyte.volume import Volume

if TYPE_CHECKING:
    import pandas as pd


class ContactsStage(Stage):
    """Adds columns to the objects, and a table with one row per cell and two structures."""

    name = "contacts"

    @classmethod
    def is_needed(cls, plan: Plan) -> bool:
        """Where contacts are asked for."""
        return plan.settings.contacts.is_measured

    def prepare(self, volume: Volume) -> None:
        """Start with no table."""
        super().prepare(volume)
        self._tables: dict[int, pd.DataFrame] = {}
        self._columns: dict[str, Column] = {}
        settings, overlapping = self.plan.settings.contacts, self.plan.modality.overlapping
        is_given = settings.overlapping is not None
        self._settings = settings if is_given else settings.model_copy(update={"overlapping": overlapping})

    def apply(self, state: FrameState) -> FrameState:
        """The frame as it is; its contacts are kept."""
        frame, names = state.frame, {one: self.plan.name_of(one) for one in state.labels}
        self.report("contacts", frame)
        # Main objects that are one kind of organelle beside others hold nothing: then the volume is the cell.
        beside = (self.plan.main, *OUTSIDE_CELLS)
        others = [name for name in names.values() if name not in beside and canonical_name(name) not in beside]
        cells = self.plan.main if all(contains(self.plan.main, name) for name in others) else None
        parents = {
            names[one]: dict(zip(table["label"].tolist(), table["cell_id"].tolist(), strict=True))
            for one, table in state.tables.items()
            if one in names
        }
        self._frame: ContactTables = measure_contacts(
            {names[one]: labels for one, labels in state.labels.items()},
            frame.voxel_size_um,
            cells=cells,
            cell_ids=None if cells is None else parents,
            settings=self._settings,
            frame=frame.index,
        )
        table = self._frame.structures
        table.insert(0, "frame", frame.index)
        table.insert(1, "time_s", math.nan if frame.time_s is None else frame.time_s)
        self._tables[frame.index] = table
        self._columns |= {column.name: column for column in self._frame.object_columns}
        return state

    def columns(self, state: FrameState, structure: str, table: pd.DataFrame) -> Mapping[str, Any]:  # noqa: ARG002
        """Distances, contacts and positions of the objects of a structure."""
        found = self._frame.objects.get(self.plan.name_of(structure))
        if found is None:  # the cytoplasm, which is no structure of its own
            return {}
        measured = found.set_index("label")
        return {str(name): measured[name].reindex(table["label"]).to_numpy() for name in measured}

    @property
    def described(self) -> tuple[Column, ...]:
        """What those columns mean."""
        return tuple(self._columns.values())

    def after_all(self, state: VolumeState) -> VolumeState:
        """The volume with the table of contacts."""
        import pandas as pd

        return replace(state, contacts=pd.concat(self._tables.values(), ignore_index=True))
