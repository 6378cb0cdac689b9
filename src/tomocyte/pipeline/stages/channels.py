"""Channels of one field: what they give together becomes channels of their own, by name, for all later stages."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.channels import Roles, intensity_and_ratio, ratio_levels
from tomocyte.channels.correlation import CLEAR, phase_shift
from tomocyte.channels.laying import find_registrations, lay, stored_transforms
from tomocyte.channels.registration import Registration
from tomocyte.channels.registration_file import RegistrationFile
from tomocyte.channels.roles import role_names
from tomocyte.channels.transform import ChannelTransform
from tomocyte.notices import Notice
from tomocyte.pipeline.plan import Plan
from tomocyte.pipeline.stage import FrameState, Stage, VolumeState
from tomocyte.volume import Frame, Volume

BRIGHTEST = 99.9
"""Percentile of the intensity from which on there are droplets, if there are any."""
REDDER = 1.25
"""How much larger than that of the rest the ratio of droplets, which emit at shorter wavelengths, cannot be."""
SHIFTED_PX, FARTHEST_PX, SMALLEST_PX = 0.5, 30.0, 64
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
        self._transforms: dict[int, ChannelTransform] | None = None
        self._registrations: dict[str, dict[str, Any]] = {}

    def apply(self, state: FrameState) -> FrameState:
        """The frame with its derived channels behind those that were read."""
        roles = self.plan.roles
        if roles is None:
            return state
        settings = self.plan.settings.channels
        frame = self._registered(state.frame, roles)
        self.report("channels: intensity and ratio", frame)
        yellow, red = frame.image[roles.yellow], frame.image[roles.red]
        levels = ratio_levels(yellow, red, settings.ratio)
        derived = intensity_and_ratio(yellow, red, settings=settings.ratio, levels=levels)
        self._of_frames[frame.index] = {
            "direction": settings.ratio.direction,
            "background": {"yellow": levels.yellow, "red": levels.red},
            "floor": levels.floor,
            "n_saturated_voxels": self._saturated(state.frame, roles),
            "registration": self._registrations,
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

    def _registered(self, frame: Frame, roles: Roles) -> Frame:
        """The frame with its channels laid on yellow, where that is asked for."""
        if self.plan.settings.channels.registration == "none":
            self._notify_shifted(frame, roles)
            return frame
        self.report("channels: registration", frame)
        if self._transforms is None:
            self._transforms = self._found(frame, roles)
        image = lay(frame.image, self._transforms, frame.voxel_size_um)
        is_unseen = np.isnan(image)
        outside: NDArray[np.bool_] = np.logical_or.reduce(is_unseen, axis=0)
        return replace(frame, image=image, outside=outside if outside.any() else None)

    def _found(self, frame: Frame, roles: Roles) -> dict[int, ChannelTransform]:
        """Where the channels of the first frame lie on yellow: as it is stored, or as they show themselves."""
        choice, names = self.plan.settings.channels.registration, role_names(frame.channel_names, roles)
        if isinstance(choice, RegistrationFile):
            transforms = stored_transforms(choice, names, roles.yellow, [roles.red], frame.voxel_size_um)
            self._registrations = {names[index][0]: {"source": "file"} for index in transforms}
        else:
            found = find_registrations(list(frame.image), roles.yellow, frame.voxel_size_um)
            transforms = {index: one.transform for index, one in found.items() if one.is_certain}
            self._registrations = {names[index][0]: self._registration_fact(one) for index, one in found.items()}
            for index, one in found.items():
                if not one.is_certain:
                    text = f"{names[index][0]} was not registered on {names[roles.yellow][0]}: {one.problem}."
                    self.notify(Notice("W-REGISTRATION", text))
        for index, transform in transforms.items():
            self._registrations[names[index][0]]["transform"] = transform.model_dump(mode="json", exclude_none=True)
        return transforms

    @staticmethod
    def _registration_fact(found: Registration) -> dict[str, Any]:
        return {
            "source": "first frame",
            "is_certain": found.is_certain,
            "correlation": found.correlation,
            "correlation_before": found.correlation_before,
            "uncertainty_voxels": [None if math.isnan(part) else part for part in found.uncertainty_voxels],
        }

    def _notify_shifted(self, frame: Frame, roles: Roles) -> None:
        """Say so where the channels are clearly shifted and nobody asked for a registration."""
        if min(frame.image.shape[2:]) < SMALLEST_PX:
            return
        flat = [np.nan_to_num(frame.image[index].max(axis=0)) for index in (roles.yellow, roles.red)]
        shift, clarity = phase_shift(flat[0], flat[1])
        pixels = math.hypot(shift[0], shift[1])
        if clarity >= CLEAR and SHIFTED_PX <= pixels <= FARTHEST_PX:
            text = f"red is shifted by {pixels:.1f} pixels against yellow; --registration auto lays it on it."
            self.notify(Notice("W-CHANNEL-SHIFTED", text))

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
