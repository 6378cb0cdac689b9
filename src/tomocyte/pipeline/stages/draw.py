"""Figures: planes of the first, middle and last frame, tiles of their cells, planes to leaf through, and courses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tomocyte.measurements import measurements
from tomocyte.pipeline.plan import Plan
from tomocyte.pipeline.stage import FrameState, Labels, Stage, VolumeState
from tomocyte.progress import Callback
from tomocyte.structures import in_drawing_order
from tomocyte.volume import Frame

if TYPE_CHECKING:
    import pandas as pd

    from tomocyte.figures.previews import Preview

TIME_COURSES = (
    "volume_um3",
    "area_um2",
    "mean_ri",
    "mean_intensity",
    "mean_value",
    "dry_mass_pg",
    "projected_dry_mass_pg",
)


class DrawStage(Stage):
    """Draws overviews, close-ups and time courses."""

    name = "draw"

    def __init__(self, plan: Plan, callback: Callback) -> None:
        super().__init__(plan, callback)
        self._drawn: dict[str, tuple[str, int, str, Preview]] = {}

    def apply(self, state: FrameState) -> FrameState:
        """The frame with its pictures, and the histogram of the first frame in the facts."""
        from tomocyte.figures import closeup, histogram, overview

        frame, last = state.frame, self._n_frames - 1
        labels = {self.plan.name_of(structure): objects for structure, objects in state.labels.items()}
        if frame.index == 0:
            self._facts["histogram"] = histogram(frame.segmented, labels)
        if frame.index not in {0, last // 2, last}:
            return state
        self.report("draw", frame)
        size, meaning = frame.voxel_size_um, {"unit": frame.unit, "quantity": frame.quantity}
        title = f"frame {frame.index}" if last else ""
        pictures = {f"overview_{frame.index:05d}.png": overview(frame.segmented, labels, size, title=title, **meaning)}
        near = closeup(frame.segmented, labels, size, title=title, **meaning)
        if near is not None:
            pictures[f"closeup_{frame.index:05d}.png"] = near
        pictures |= self._previews(frame, labels)
        return replace(state, pictures=pictures)

    def _previews(self, frame: Frame, labels: Mapping[str, Labels]) -> dict[str, bytes]:
        """Tiles of the cells, and in the first frame the planes; what they show is noted for later."""
        from tomocyte.figures.previews import cell_preview, plane_preview

        ordered = {name: labels[name] for name in in_drawing_order(labels)}
        previews = {"cells": cell_preview(frame.segmented, ordered, self.plan.main, frame.voxel_size_um)}
        if frame.index == 0:
            previews["planes"] = plane_preview(frame.segmented, ordered, frame.voxel_size_um)
        pictures = {}
        for kind, preview in previews.items():
            if preview is not None:
                name = f"{kind}_{frame.index:05d}.webp"
                pictures[name] = preview.picture
                self._drawn[name] = (kind, frame.index, name, preview)
        return pictures

    def after_all(self, state: VolumeState) -> VolumeState:
        """Time courses of the main objects; which cell is on which tile, by the labels as they are now."""
        self._facts["previews"] = [self._fact(state, *drawn) for drawn in self._drawn.values()]
        if self._n_frames == 1:
            return state
        return replace(state, pictures={**state.pictures, **time_courses(state.table, self.plan.main)})

    def _fact(self, state: VolumeState, kind: str, frame: int, name: str, preview: Preview) -> dict[str, Any]:
        fact = {
            "kind": kind, "frame": frame, "picture": name, "n_columns": preview.n_columns, "bar_um": preview.bar_um,
            "tile_px": list(preview.tile_px),
        }  # fmt: skip
        if kind == "planes":
            return fact | {"planes": [z for z, _, _ in preview.seeds]}
        labels = state.labels[self.plan.main].volume().planes(frame, 0)
        return fact | {"labels": [int(labels[seed]) for seed in preview.seeds]}


def time_courses(table: pd.DataFrame, structure: str) -> dict[str, bytes]:
    """Mean ± SD over time of the key measurements of one structure that have values: file name -> PNG.

    Parameters
    ----------
    table : DataFrame
        One row per object and frame.
    structure : str
    """
    from tomocyte.figures import time_course_figure

    rows = table[table["structure"] == structure]
    shown = [name for name in TIME_COURSES if name in rows and rows[name].notna().any()]
    units = {name: measurements()[name].unit for name in shown}
    return {
        f"timecourse_{name}.png": time_course_figure(table, name, units[name], structure=structure) for name in shown
    }
