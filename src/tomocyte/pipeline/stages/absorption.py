"""Soft X-ray tomograms: the beads that were found turn grey values into linear absorption coefficients.

The scale itself is made in :mod:`tomocyte.segmentation.bead_scale`; here are its record, its column and its notices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.notices import Notice
from tomocyte.pipeline.plan import Plan
from tomocyte.pipeline.stage import FrameState, Stage
from tomocyte.segmentation.bead_scale import BeadScale, scale_from_beads
from tomocyte.structures import BEAD
from tomocyte.volume import Volume

if TYPE_CHECKING:
    import pandas as pd

MEDIA_PER_UM = (0.05, 0.2)
"""Coefficients of ice and media in the water window: 0.12 at 500 eV, 0.11 at 517 eV, more with solutes."""


class AbsorptionStage(Stage):
    """Gives grey values the scale of the beads."""

    name = "absorption"

    @classmethod
    def is_needed(cls, plan: Plan) -> bool:
        """Where beads are to give the scale."""
        return plan.settings.lac_from_beads is not None

    def prepare(self, volume: Volume) -> None:
        """Start without scales."""
        super().prepare(volume)
        self._scales: dict[int, BeadScale] = {}

    def apply(self, state: FrameState) -> FrameState:
        """The frame in 1/µm.

        Raises
        ------
        ModalityError
            ``E-BEADS-…``, as :func:`tomocyte.segmentation.bead_scale.scale_from_beads`.
        """
        frame, settings = state.frame, self.plan.settings
        self.report("scale: beads", frame)
        channel = self.plan.channel
        beads = self.plan.settings.lac_from_beads
        if beads is None:
            return state
        scale = scale_from_beads(
            frame.segmented,
            state.labels.get(BEAD, np.zeros(frame.segmented.shape, np.uint8)),
            [labels for name, labels in state.labels.items() if name != BEAD],
            frame.voxel_size_um,
            lac_of_beads=beads,
            lac_of_medium=settings.lac_of_medium,
        )
        self._scales[frame.index] = scale
        self._facts["absorption"] = [self._fact(one) for one in self._scales.values()]
        self._notify(scale)
        image = frame.image.copy()
        image[frame.channel] = scale.apply(frame.segmented)
        names = [
            (quantity, unit) if index != frame.channel else (channel.quantity, channel.unit)
            for index, (quantity, unit) in enumerate(zip(frame.quantities, frame.units, strict=True))
        ]
        quantities, units = zip(*names, strict=True)
        return replace(state, frame=replace(frame, image=image, quantities=quantities, units=units))

    def _fact(self, scale: BeadScale) -> dict[str, Any]:
        settings = self.plan.settings
        return {
            "method": "proportional" if settings.lac_of_medium is None else "two points",
            "lac_of_beads_per_um": settings.lac_from_beads,
            "lac_of_medium_per_um": settings.lac_of_medium,
            "grey_of_beads": list(scale.grey_of_beads),
            "n_beads_left_out": scale.n_beads_left_out,
            "grey_of_medium": None if math.isnan(scale.grey_of_medium) else scale.grey_of_medium,
            "offset_grey": scale.offset,
            "per_um_of_grey": scale.per_um_of_grey,
            "relative_sd": None if math.isnan(scale.relative_sd) else scale.relative_sd,
        }

    def _notify(self, scale: BeadScale) -> None:
        n = len(scale.grey_of_beads)
        if n == 1:
            text = "one bead gave the scale of absorption: how well it holds is unknown (no uncertainty)."
            self.notify(Notice("W-BEADS-ONE", text))
        if self.plan.settings.lac_of_medium is not None or math.isnan(scale.grey_of_medium):
            return
        medium = (scale.grey_of_medium - scale.offset) * scale.per_um_of_grey
        if not MEDIA_PER_UM[0] <= medium <= MEDIA_PER_UM[1]:
            text = (
                f"with grey value 0 as no absorption, the medium comes out at {medium:.3g} 1/um, and frozen media have "
                f"{MEDIA_PER_UM[0]:g} to {MEDIA_PER_UM[1]:g}: the grey values may have an offset; give --lac-of-medium."
            )
            self.notify(Notice("W-BEADS-OFFSET", text))

    def columns(self, state: FrameState, structure: str, table: pd.DataFrame) -> Mapping[str, Any]:  # noqa: ARG002
        """The uncertainty of the mean coefficient."""
        scale = self._scales[state.frame.index]
        base = self.plan.settings.lac_of_medium or 0.0
        mean = table["mean_lac_per_um"].to_numpy(dtype=np.float64)
        # Beads differ by their place, and so do cells: the spread of one more, not that of the mean of the beads.
        share = scale.relative_sd * math.sqrt(1 + 1 / len(scale.grey_of_beads))
        return {"mean_lac_per_um_uncertainty": np.abs(mean - base) * share}
