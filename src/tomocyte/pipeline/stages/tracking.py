"""The main objects of a time-lapse followed over time; what they contain follows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.corrections.links import LinkEdits, find_link_edits, in_labels
from tomocyte.measurements import measure_tracks
from tomocyte.notices import Notice
from tomocyte.pipeline.plan import Plan
from tomocyte.pipeline.stage import FrameState, Stage, VolumeState
from tomocyte.progress import Progress
from tomocyte.tracking import Tracks, track_objects
from tomocyte.volume import Volume

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = ("track_id", "parent_id", "generation")


class TrackingStage(Stage):
    """Gives every object the number of its track, and makes a table with one row per track."""

    name = "tracking"

    @classmethod
    def is_needed(cls, plan: Plan) -> bool:
        """Where there is more than one frame, unless it is not wanted."""
        return plan.n_frames > 1 and plan.settings.tracking is not None

    def prepare(self, volume: Volume) -> None:
        """Note the size of the field."""
        super().prepare(volume)
        size = zip(volume.spatial_shape, self.plan.voxel_size_um, strict=True)
        self._extent_um = tuple(n * step for n, step in size)

    def apply(self, state: FrameState) -> FrameState:
        """The frame as it is."""
        return state

    def after_all(self, state: VolumeState) -> VolumeState:
        """The volume with tracks."""
        self._callback(Progress(step="track", frame=self._n_frames - 1, n_frames=self._n_frames))
        is_main = (state.table["structure"] == self.plan.main).to_numpy()
        cells = state.table[is_main].reset_index(drop=True)
        stack = state.labels[self.plan.main].volume()

        def labels(frame: int) -> NDArray[Any]:
            return stack.planes(frame, 0)

        edits = self._link_edits(labels)
        if state.tracked is not None and not edits.changes:
            tracks = state.tracked
        else:
            tracks = track_objects(
                cells,
                self.plan.settings.tracking,
                labels=labels,
                voxel_size_um=self.plan.voxel_size_um,
                extent_um=self._extent_um,
                changes=edits.changes,
            )
        tracks = tracks.with_flag("repaired", state.repaired)
        log = edits.log(tracks.warnings)
        self.notify(*(Notice.parse(text) for record in log for text in record.warnings))
        table = with_tracks(state.table, is_main, tracks)
        self._describe(tracks, len(state.repaired))
        own = table[is_main & (table["track_id"] > 0)]
        measured = measure_tracks(own).drop(columns="structure")
        described = tracks.tracks.merge(measured, on="track_id", how="left", validate="one_to_one")
        described.insert(0, "structure", self.plan.main)
        return replace(state, table=table, tracks=described, edit_log=(*state.edit_log, *log))

    def _link_edits(self, labels: Callable[[int], NDArray[Any]]) -> LinkEdits:
        """What was corrected by hand of links."""
        edits = self.plan.edits
        if edits is None:
            return LinkEdits()
        find = in_labels(labels, self.plan.voxel_size_um, edits.go_by, main=self.plan.main)
        return find_link_edits(edits.edits, find, main=self.plan.main)

    def _describe(self, tracks: Tracks, n_repaired: int) -> None:
        """Facts, and what the segmentation had wrong in single frames."""
        self._facts["tracking"] = {
            "n_tracks": len(tracks.tracks),
            "n_divisions": int((tracks.tracks["end"] == "division").sum()),
            "n_deaths": int((tracks.tracks["end"] == "death").sum()),
            "n_appearing": int((tracks.tracks["start"] == "appears").sum()),
            "n_merged": len(tracks.merged),
            "n_pieces": len(tracks.pieces),
            "n_repaired": n_repaired,
        }
        frames = sorted({frame for frame, _ in (*tracks.merged, *tracks.pieces)})
        if frames:
            shown = ", ".join(map(str, frames[:8])) + (", …" if len(frames) > 8 else "")
            text = (
                f"the frames before and after show that {len(tracks.merged)} objects are two and {len(tracks.pieces)} "
                f"are pieces of another (frames {shown}; column track_flags): correct them with --edits, or leave them "
                "out."
            )
            self.notify(Notice("W-TRACK-SEGMENTATION", text))


def with_tracks(table: pd.DataFrame, is_main: NDArray[np.bool_], tracks: Tracks) -> pd.DataFrame:
    """The table with the tracks of the main objects, and of what lies in them.

    Parameters
    ----------
    table : DataFrame
        One row per object and frame, with ``frame``, ``label`` and ``cell_id``.
    is_main : (n,) bool
        Which rows are the objects that were tracked, in their order.
    tracks : Tracks
    """
    import pandas as pd

    keys = pd.MultiIndex.from_frame(tracks.objects[["frame", "label"]])
    cells = table[["frame", "cell_id"]].rename(columns={"cell_id": "label"})
    places = keys.get_indexer(pd.MultiIndex.from_frame(cells))
    result = table.copy()
    for name in NUMBERS:
        values = tracks.objects[name].to_numpy()
        numbers = np.zeros(len(table), dtype=np.int64)
        numbers[places >= 0] = values[places[places >= 0]]
        numbers[is_main] = values
        result[name] = numbers
    flags = np.full(len(table), "", dtype=object)
    flags[is_main] = tracks.objects["track_flags"].to_numpy()
    result["track_flags"] = flags
    return result
