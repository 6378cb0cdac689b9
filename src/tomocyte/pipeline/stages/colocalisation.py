"""Colocalisation of the channels inside the objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tomocyte.errors import SettingsError
from tomocyte.measurements.colocalisation import colocalisation_columns, measure_colocalisation
from tomocyte.pipeline.plan import Plan
from tomocyte.pipeline.stage import FrameState, Stage
from tomocyte.tables import Column
from tomocyte.volume import Volume

if TYPE_CHECKING:
    import pandas as pd


class ColocalisationStage(Stage):
    """Adds columns for every two channels to the objects."""

    name = "colocalisation"

    @classmethod
    def is_needed(cls, plan: Plan) -> bool:
        """Where it is asked for."""
        return plan.settings.colocalisation.is_measured

    def prepare(self, volume: Volume) -> None:
        """Refuse an image of one channel."""
        super().prepare(volume)
        if volume.n_channels < 2:
            raise SettingsError(
                "E-COLOCALISATION",
                "the image has one channel, colocalisation compares two.",
                cure="Leave out --colocalisation, or give an image with both channels.",
            )

    def apply(self, state: FrameState) -> FrameState:
        """The frame as it is."""
        self.report("colocalisation", state.frame)
        return state

    def columns(self, state: FrameState, structure: str, table: pd.DataFrame) -> Mapping[str, Any]:
        """The coefficients of the objects of a structure, and the thresholds used."""
        frame = state.frame
        if structure not in state.labels:  # the cytoplasm, which is no structure of its own
            return {}
        measured = measure_colocalisation(
            state.labels[structure],
            frame.image,
            frame.voxel_size_um,
            channel_names=frame.channel_names,
            is_intensity=[quantity == "intensity" for quantity in frame.quantities],
            thresholds=self.plan.settings.colocalisation.thresholds,
        ).set_index("label")
        return {str(name): measured[name].reindex(table["label"]).to_numpy() for name in measured}

    @property
    def described(self) -> tuple[Column, ...]:
        """What those columns mean."""
        return tuple(colocalisation_columns([channel.name for channel in self.plan.channels]))
