"""Main objects that the segmentation merged or cut in single frames, repaired as the frames before and after show.

Their frames are done once more, so that masks, measurements and everything that follows from them agree.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.corrections.apply import EditedFrame, apply_edits, labels_as_segmented
from tomocyte.corrections.edits import Edit, Merge
from tomocyte.corrections.repairs import repair_edits
from tomocyte.labels.stack import LabelStack
from tomocyte.notices import Notice
from tomocyte.pipeline.plan import Plan
from tomocyte.pipeline.stage import FrameState, Stage, VolumeState
from tomocyte.structures import CELL
from tomocyte.tracking import Tracks, join_inseparable, track_objects
from tomocyte.volume import Volume

Place = tuple[int, int]


class RepairStage(Stage):
    """Cuts objects that are two, and joins pieces of one."""

    name = "repair"

    @classmethod
    def is_needed(cls, plan: Plan) -> bool:
        """Where objects are tracked, and repairs are wanted."""
        settings = plan.settings.tracking
        return plan.n_frames > 1 and settings is not None and settings.has_repairs

    def prepare(self, volume: Volume) -> None:
        """Start without repairs."""
        super().prepare(volume)
        size = zip(volume.spatial_shape, self.plan.voxel_size_um, strict=True)
        self._extent_um = tuple(n * step for n, step in size)
        self._by_hand: set[Place] = set()
        self._without_waist: dict[int, set[tuple[int, int]]] = {}
        self._binucleate: set[Place] = set()
        self._edits: dict[int, list[Edit]] = {}
        self._repaired: set[Place] = set()
        self._before: LabelStack | None = None
        self._tracks: Tracks | None = None

    def apply(self, state: FrameState) -> FrameState:
        """The frame as it is, or with its repairs."""
        frame, main = state.frame, self.plan.main
        edits = self._edits.get(frame.index)
        if edits is None:
            by_hand = {} if state.edited is None else state.edited.edited.get(main, {})
            self._by_hand |= {(frame.index, label) for label in by_hand}
            if state.cells is not None:
                self._without_waist[frame.index] = self._pairs(state)
            return state
        self.report("repair", frame)
        named = {self.plan.name_of(structure): labels for structure, labels in state.labels.items()}
        edited = apply_edits(named, edits, frame.voxel_size_um, frame=frame.index, main=main)
        changed = {(frame.index, label) for label in edited.edited.get(main, {})}
        self._repaired |= changed - self._binucleate
        labels = {structure: edited.labels[self.plan.name_of(structure)] for structure in state.labels}
        return replace(state, labels=labels, edited=_with(state.edited, edited, main))

    def again(self, state: VolumeState) -> Collection[int]:
        """The frames with objects to repair."""
        settings = self.plan.settings.tracking
        is_main = (state.table["structure"] == self.plan.main).to_numpy()
        stack = state.labels[self.plan.main]
        volume, size = stack.volume(), self.plan.voxel_size_um

        def labels(frame: int) -> NDArray[np.uint32]:
            return np.asarray(volume.planes(frame, 0), dtype=np.uint32)

        tracks = track_objects(
            state.table[is_main].reset_index(drop=True),
            settings,
            labels=labels,
            voxel_size_um=size,
            extent_um=self._extent_um,
        )
        if self.plan.settings.has_binucleate_cells is None:
            as_cells, tracks = tracks, join_inseparable(tracks, self._without_waist, self._n_frames)
            self._binucleate = _wholes(tracks, set(tracks.pieces) - set(as_cells.pieces))
        for edit in repair_edits(tracks, labels, size, main=self.plan.main, kept=self._by_hand):
            self._edits.setdefault(edit.frame, []).append(edit)
        if self._edits:
            self._before = stack.copy()
        else:
            self._tracks = tracks
        return tuple(self._edits)

    def _pairs(self, state: FrameState) -> set[tuple[int, int]]:
        """Pairs of cells with no waist between them, by their labels after corrections by hand."""
        if state.cells is None:
            return set()
        now = np.unique(state.labels[CELL]).tolist()
        before = labels_as_segmented(state.edited, self.plan.main, now)
        label_of = {old: new for old, new in zip(before, now, strict=True) if old}
        pairs = state.cells.without_waist
        return {(label_of[a], label_of[b]) for a, b in pairs if a in label_of and b in label_of}

    def after_all(self, state: VolumeState) -> VolumeState:
        """The volume with what was repaired, and a notice of it."""
        edits = tuple(edit for frame in sorted(self._edits) for edit in self._edits[frame])
        if edits:
            n_joined = sum(isinstance(edit, Merge) for edit in edits)
            frames = sorted(self._edits)
            shown = ", ".join(map(str, frames[:8])) + (", …" if len(frames) > 8 else "")
            text = (
                f"as the frames before and after show, {len(edits) - n_joined} objects were cut in two and {n_joined} "
                f"put together from pieces (frames {shown}; flag repaired in the column track_flags); as_segmented has "
                "the labels before, and --set tracking.has_repairs=false leaves them so."
            )
            self.notify(Notice("W-TRACK-REPAIRED", text))
        return replace(
            state,
            repairs=edits,
            repaired=frozenset(self._repaired),
            as_segmented=self._before,
            tracked=self._tracks,
        )


def _wholes(tracks: Tracks, pieces: Collection[Place]) -> set[Place]:
    """Frame and label of what pieces belong to, where nothing else is wrong with it."""
    ours = {(frame, tracks.pieces[frame, label]) for frame, label in pieces}
    rows = tracks.objects[["frame", "label", "track_id"]].to_numpy().tolist()
    wholes = {(frame, label) for frame, label, track in rows if (frame, track) in ours}
    others = {(place[0], track) for place, track in tracks.pieces.items() if place not in pieces}
    return {place for place in wholes if place not in tracks.merged} - {
        (frame, label) for frame, label, track in rows if (frame, track) in others
    }


def _with(by_hand: EditedFrame | None, repaired: EditedFrame, main: str) -> EditedFrame:
    """Corrections by hand and repairs of the main objects together: neither has the labels of the segmentation."""
    if by_hand is None:
        return replace(repaired, edited=_unnamed(repaired.edited))
    own: Mapping[str, Any] = by_hand.edited
    marks = {**own, main: {**_unnamed(repaired.edited).get(main, {}), **own.get(main, {})}}
    return replace(by_hand, labels=repaired.labels, edited=marks)


def _unnamed(edited: Mapping[str, Mapping[int, tuple[str, ...]]]) -> dict[str, dict[int, tuple[str, ...]]]:
    """Objects that were changed, without the words for what was done by hand."""
    return {structure: dict.fromkeys(labels, ()) for structure, labels in edited.items()}
