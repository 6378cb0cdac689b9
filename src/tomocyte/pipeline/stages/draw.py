"""Figures: three planes of the first, middle and last frame, and time courses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tomocyte.measurements import measurements
from tomocyte.pipeline.stage import FrameState, Stage, VolumeState

if TYPE_CHECKING:
    import pandas as pd

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
        pictures = {"overview": overview(frame.segmented, labels, size, title=title, **meaning)}
        near = closeup(frame.segmented, labels, size, title=title, **meaning)
        if near is not None:
            pictures["closeup"] = near
        return replace(state, pictures={f"{name}_{frame.index:05d}.png": data for name, data in pictures.items()})

    def after_all(self, state: VolumeState) -> VolumeState:
        """Time courses of the main objects."""
        if self._n_frames == 1:
            return state
        return replace(state, pictures={**state.pictures, **time_courses(state.table, self.plan.main)})


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
