"""The classical engine: segments the structures that no trained model has segmented."""

from __future__ import annotations

from dataclasses import replace

from tomocyte.notices import Notice
from tomocyte.pipeline.plan import Plan
from tomocyte.pipeline.stage import FrameState, Stage, VolumeState
from tomocyte.segmentation.settings import SegmentationSettings
from tomocyte.volume import Frame, Volume

_SAME_SCALE = 1.5
"""Frames of one film whose estimated diameters differ by more are not treated alike."""


class ClassicalStage(Stage):
    """Finds cells, nuclei and inclusions without training."""

    name = "classical"

    @classmethod
    def is_needed(cls, plan: Plan) -> bool:
        """Where the masks are not given."""
        return not plan.masks

    def prepare(self, volume: Volume) -> None:
        """Start an empty list of diameters."""
        super().prepare(volume)
        self._diameters: dict[int, float | None] = {}

    def apply(self, state: FrameState) -> FrameState:
        """The frame with the missing structures added."""
        from tomocyte.segmentation import segment

        frame = state.frame
        labels = segment(
            frame.segmented,
            frame.voxel_size_um,
            self.plan.classical if "cell" in state.labels else self._scaled(frame),
            existing=state.labels,
            callback=lambda step: self.report(f"segment: {step}", frame),
        )
        return replace(state, labels=labels)

    def _scaled(self, frame: Frame) -> SegmentationSettings:
        """The settings with the objects' diameter, which is estimated where it was not given."""
        settings = self.plan.classical
        if not settings.follows_diameter:
            return settings
        diameter: float | None = settings.object_diameter_um
        if not diameter:
            from tomocyte.segmentation.classical.scale_space import estimate_diameter_um

            self.report("segment: scale", frame)
            diameter = estimate_diameter_um(frame.segmented, frame.voxel_size_um)
        self._diameters[frame.index] = diameter
        self._facts["object_diameter_um"] = tuple(self._diameters.values())
        return settings if diameter is None else settings.model_copy(update={"object_diameter_um": diameter})

    def after_all(self, state: VolumeState) -> VolumeState:
        """A notice where frames were segmented at different scales."""
        estimated = [diameter for diameter in self._diameters.values() if diameter is not None]
        if estimated and max(estimated) > _SAME_SCALE * min(estimated):
            text = (
                f"the objects' diameter was estimated frame by frame, from {min(estimated):.3g} to "
                f"{max(estimated):.3g} um; give --object-diameter-um for the same scale in all frames."
            )
            self.notify(Notice("W-SCALE", text))
        return state
