"""The classical engine: segments the structures that no trained model has segmented."""

from __future__ import annotations

from dataclasses import replace

from tomocyte.pipeline.stage import FrameState, Stage


class ClassicalStage(Stage):
    """Finds cells, nuclei and inclusions without training."""

    name = "classical"

    def apply(self, state: FrameState) -> FrameState:
        """The frame with the missing structures added."""
        from tomocyte.segmentation import segment

        frame = state.frame
        labels = segment(
            frame.segmented,
            frame.voxel_size_um,
            self.plan.classical,
            existing=state.labels,
            callback=lambda step: self.report(f"segment: {step}", frame),
        )
        return replace(state, labels=labels)
