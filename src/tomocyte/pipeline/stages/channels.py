"""Channels of one field: what they give together becomes channels of their own, by name, for all later stages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.channels import Roles, intensity_and_ratio, ratio_levels
from tomocyte.notices import Notice
from tomocyte.pipeline.plan import Plan
from tomocyte.pipeline.stage import FrameState, Stage, VolumeState
from tomocyte.volume import Frame, Volume

BRIGHTEST = 99.9
"""Percentile of the intensity from which on there are droplets, if there are any."""
REDDER = 1.25
"""How much larger than that of the rest the ratio of droplets, which emit at shorter wavelengths, cannot be."""
FULL_SCALES = (255, 1023, 4095, 16383, 65535)


class ChannelsStage(Stage):
    """Adds intensity and ratio to the channels of a frame."""

    name = "channels"

    @classmethod
    def is_needed(cls, plan: Plan) -> bool:
        """Where the modality derives channels that the input does not hold itself."""
        return plan.roles is not None

    def prepare(self, volume: Volume) -> None:
        """Start without frames."""
        super().prepare(volume)
        self._is_integer = volume.dtype.kind in "ui"
        self._of_frames: dict[int, dict[str, Any]] = {}

    def apply(self, state: FrameState) -> FrameState:
        """The frame with its derived channels behind those that were read."""
        roles = self.plan.roles
        if roles is None:
            return state
        frame, settings = state.frame, self.plan.settings.channels
        self.report("channels: intensity and ratio", frame)
        yellow, red = frame.image[roles.yellow], frame.image[roles.red]
        levels = ratio_levels(yellow, red, settings.ratio)
        derived = intensity_and_ratio(yellow, red, settings=settings.ratio, levels=levels)
        self._of_frames[frame.index] = {
            "direction": settings.ratio.direction,
            "background": {"yellow": levels.yellow, "red": levels.red},
            "floor": levels.floor,
            "n_saturated_voxels": self._saturated(frame, roles),
        }
        self._facts["channels"] = [self._of_frames[index] for index in sorted(self._of_frames)]
        self._notify_swapped(derived)
        added = self.plan.channels[len(frame.channel_names) :]
        return replace(
            state,
            frame=replace(
                frame,
                image=np.concatenate([frame.image, derived]),
                channel_names=(*frame.channel_names, *(channel.name for channel in added)),
                quantities=(*frame.quantities, *(channel.quantity for channel in added)),
                units=(*frame.units, *(channel.unit for channel in added)),
                channel=self.plan.segmented,
            ),
        )

    def _saturated(self, frame: Frame, roles: Roles) -> dict[str, int]:
        """Voxels of each channel at the largest value that a camera of 8 to 16 bits gives."""
        counts = {}
        for name, index in (("yellow", roles.yellow), ("red", roles.red)):
            highest = float(np.nanmax(frame.image[index], initial=0.0))
            is_full = self._is_integer and highest in FULL_SCALES
            counts[name] = int(np.count_nonzero(frame.image[index] == highest)) if is_full else 0
        return counts

    def _notify_swapped(self, derived: NDArray[np.float32]) -> None:
        """Say so where the brightest structures are redder than the rest."""
        intensity, ratio = (channel.reshape(-1)[:: max(1, channel.size // 1_000_000)] for channel in derived)
        is_finite = np.isfinite(intensity)
        if not is_finite.any():
            return
        middle, top = np.percentile(intensity[is_finite], (75.0, BRIGHTEST))
        is_bright, is_rest = intensity >= top, (intensity >= middle) & (intensity < top)
        if top <= 0 or not (is_bright.any() and is_rest.any()):
            return
        bright, rest = float(np.median(ratio[is_bright])), float(np.median(ratio[is_rest]))
        if self.plan.settings.channels.ratio.direction == "yellow/red":
            bright, rest = 1 / max(bright, 1e-6), 1 / max(rest, 1e-6)
        if bright > REDDER * rest:
            text = (
                f"the brightest structures are redder (red / yellow {bright:.2f}) than the rest ({rest:.2f}); in Nile "
                "Red, these are droplets and yellower: yellow and red may be swapped. Nothing was changed; see "
                "--set channels.yellow=INDEX --set channels.red=INDEX."
            )
            self.notify(Notice("W-CHANNEL-SWAPPED", text))

    def after_all(self, state: VolumeState) -> VolumeState:
        """Say how many voxels were saturated in all frames."""
        for name in ("yellow", "red"):
            n = sum(fact["n_saturated_voxels"][name] for fact in self._of_frames.values())
            if n:
                text = (
                    f"{n} voxels of {name} are saturated: by how much intensity and ratio are wrong there is unknown."
                )
                self.notify(Notice("W-SATURATED", text))
        return state
