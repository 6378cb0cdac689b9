"""Measuring: every object of every structure, on every channel, from the physical image."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np

from tomocyte.labels.cleaning import beside
from tomocyte.labels.components import connected_components
from tomocyte.labels.parents import assign_parents, without_contents
from tomocyte.measurements import measure, measure_pairs
from tomocyte.notices import Notice
from tomocyte.pipeline.frames import has_background, without_medium
from tomocyte.pipeline.stage import FrameState, Labels, Stage, VolumeState
from tomocyte.structures import CELL, CYTOPLASM, contains
from tomocyte.volume import Frame, Volume

if TYPE_CHECKING:
    import pandas as pd


class MeasureStage(Stage):
    """Turns labels and the image into tables."""

    name = "measure"

    def prepare(self, volume: Volume) -> None:
        """Start without media and pairs."""
        super().prepare(volume)
        self._media: dict[int, float | None] = {}
        self._pairs: dict[int, list[pd.DataFrame]] = {}

    def apply(self, state: FrameState) -> FrameState:
        """The frame with one table per structure."""
        frame = self._with_medium(state)
        state = replace(state, frame=frame)
        self._media[frame.index] = frame.medium_ri
        tables = {structure: self._table(state, structure, state.labels[structure]) for structure in state.labels}
        cytoplasm = self._cytoplasm(state) if self.plan.main == CELL else None
        if cytoplasm is not None:
            tables[CYTOPLASM] = self._table(state, CYTOPLASM, cytoplasm)
        if self.plan.pair_measurements:
            self._pairs[frame.index] = self._pair_tables(state)
        return replace(state, tables=tables)

    @staticmethod
    def _cytoplasm(state: FrameState) -> Labels | None:
        """The cells without their organelles, as far as they hold any; ``None`` where the cytoplasm was segmented."""
        organelles = [objects for name, objects in state.labels.items() if name != CELL and contains(CELL, name)]
        if not organelles or CYTOPLASM in state.labels:
            return None
        return without_contents(state.labels[CELL], organelles)

    def _pair_tables(self, state: FrameState) -> list[pd.DataFrame]:
        """Objects that overlap, touch or are near each other: of one structure, and of every two."""
        frame, tables = state.frame, []
        for structure, other in combinations_with_replacement(state.labels, 2):
            name, other_name = self.plan.name_of(structure), self.plan.name_of(other)
            self.report(f"measure: {name} and {other_name}", frame)
            table = measure_pairs(
                state.labels[structure],
                None if other == structure else state.labels[other],
                frame.voxel_size_um,
                structure=name,
                other_structure=None if other == structure else other_name,
                names=self.plan.pair_measurements,
                max_distance_um=self.plan.settings.pair_distance_um,
                image=frame.image,
            )
            table.insert(0, "frame", frame.index)
            table.insert(1, "time_s", math.nan if frame.time_s is None else frame.time_s)
            tables.append(table)
        return tables

    def _with_medium(self, state: FrameState) -> Frame:
        """The frame; without a medium if it was to be measured but no cell-free background exists."""
        frame = state.frame
        if self.plan.medium_ri != "background":
            return frame
        if has_background(state.labels["cell"], frame.voxel_size_um, outside=frame.outside):
            return frame
        self.notify(
            Notice("W-MEDIUM", "there is no background outside the cells in which the medium could be measured.")
        )
        return without_medium(frame)

    def _table(self, state: FrameState, structure: str, objects: Labels) -> pd.DataFrame:
        frame, name = state.frame, self.plan.name_of(structure)
        self.report(f"measure: {name}", frame)
        table = measure(
            objects,
            frame.image,
            frame.voxel_size_um,
            structure=name,
            names=self.plan.measurements,
            medium_ri=frame.medium_ri,
            refraction_increment_ml_per_g=self.plan.modality.structure(name).refraction_increment_ml_per_g,
            channel_names=frame.channel_names,
            channel_quantities=frame.quantities,
            extra_measurements=self.plan.extra_measurements,
        )
        self._mark_cut(table, objects, frame)
        cells = table["label"]
        if structure not in (CELL, CYTOPLASM):
            parents = assign_parents(objects, state.labels["cell"]) if contains(self.plan.main, name) else {}
            cells = table["label"].map(parents).fillna(0)
        table.insert(0, "frame", frame.index)
        table.insert(1, "time_s", math.nan if frame.time_s is None else frame.time_s)
        table.insert(2, "structure", name)
        table.insert(list(table.columns).index("label") + 1, "cell_id", cells.astype("int64"))
        table["medium_ri"] = math.nan if frame.medium_ri is None else frame.medium_ri
        return table

    @staticmethod
    def _mark_cut(table: pd.DataFrame, objects: Labels, frame: Frame) -> None:
        """Objects cut where the values end before the volume does, as around a round field of view."""
        if frame.outside is None:
            return
        around = connected_components(frame.outside)
        rim = around.paint(np.arange(len(around.n_voxels)) > 0)
        sides = [rim[:, 0], rim[:, -1], rim[:, :, 0], rim[:, :, -1]]
        numbers = np.unique(np.concatenate([side.ravel() for side in sides]))
        is_cut = table["label"].isin(beside(objects, np.isin(rim, numbers[numbers != 0])))
        table.loc[is_cut, ["is_cut", "is_cut_lateral"]] = True

    def _nothing_found(self) -> str:
        """Why there may be no objects, and what decides it."""
        if self.plan.masks:
            return f"the file of {self.plan.main} holds no object: all of its voxels are 0."
        settings, smallest = self.plan.classical, self.plan.classical.clean
        if smallest.min_volume_um3 is None or smallest.min_area_um2 is None:
            return (
                f"no {self.plan.main} stands out of the noise; where you see one, give its size with "
                "--object-diameter-um, and see the setting segmentation.foreground.min_significance "
                f"({settings.foreground.min_significance:g})."
            )
        return (
            f"no {self.plan.main} of at least {smallest.min_volume_um3:g} um3 (2-D: {smallest.min_area_um2:g} um2) "
            "was found; see the settings segmentation.clean and segmentation.foreground."
        )

    def after_all(self, state: VolumeState) -> VolumeState:
        """Tables of pairs, the media of all frames, and notices about what could not be measured."""
        import pandas as pd

        self._facts["medium_ri"] = list(self._media.values())
        is_unknown = all(medium is None for medium in self._media.values())
        if self.plan.channel.quantity == "refractive_index" and is_unknown:
            text = (
                "the refractive index of the medium is unknown, so concentration and dry mass are empty; "
                "give --medium-ri N or --medium-ri background."
            )
            self.notify(Notice("W-NO-MEDIUM", text))
        if (state.table["structure"] == self.plan.main).sum() == 0:
            self.notify(Notice("W-NO-OBJECT", self._nothing_found()))
        pairs = [table for tables in self._pairs.values() for table in tables]
        return replace(state, pairs=pd.concat(pairs, ignore_index=True)) if pairs else state
