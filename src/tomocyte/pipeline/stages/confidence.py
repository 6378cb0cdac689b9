"""Uncertainty of a trained model's masks: columns, entropy maps, and a notice for out-of-distribution images.

Works for 3-D models whose probabilities are kept. To give objects another column, add it to
:meth:`ConfidenceStage.columns` and describe it in :mod:`tomocyte.tables`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.models.prediction import ModelInput
from tomocyte.models.resemblance import describe_frame
from tomocyte.notices import Notice
from tomocyte.pipeline.plan import Plan
from tomocyte.pipeline.stage import FrameState, Stage
from tomocyte.volume import Volume

if TYPE_CHECKING:
    import pandas as pd

    from tomocyte.confidence.objects import ObjectSums
    from tomocyte.confidence.settings import StructureCalibration
    from tomocyte.models.prediction import Prediction

Byte = NDArray[np.uint8]
COLUMNS = (
    "confidence", "volume_um3_low", "volume_um3_high", "surface_area_um2_low", "surface_area_um2_high",
    "height_um_low", "height_um_high", "mean_ri_low", "mean_ri_high", "concentration_mg_per_ml_low",
    "concentration_mg_per_ml_high", "dry_mass_pg_low", "dry_mass_pg_high",
)  # fmt: skip


class ConfidenceStage(Stage):
    """Estimates how sure the model is of its prediction."""

    name = "confidence"

    @classmethod
    def is_needed(cls, plan: Plan) -> bool:
        """Where a trained model is used."""
        return plan.card is not None

    def prepare(self, volume: Volume) -> None:
        """Start without figures."""
        super().prepare(volume)
        self._domain: dict[int, dict[str, Any]] = {}

    def apply(self, state: FrameState) -> FrameState:
        """The frame, with uncertainty maps if the settings request them."""
        prediction = state.prediction
        if self.plan.card is None or prediction is None or not has_probability(prediction):
            return state
        self._compare_with_training(state, prediction)
        if not self.plan.settings.uncertainty.is_map_written:
            return state
        names = [structure for structure in state.labels if structure in prediction.outputs]
        return replace(state, maps={structure: self._map(prediction, structure) for structure in names})

    def _compare_with_training(self, state: FrameState, prediction: Prediction) -> None:
        """Record how far the frame is from the model's training images; a notice if it is out of distribution."""
        card = self.plan.card
        if card is None or card.domain is None:
            return
        from tomocyte.confidence.out_of_distribution import describe_deviation, out_of_distribution_distance

        frame = state.frame
        medium = frame.medium_ri if card.normalization.kind == "medium" else None
        # Only the first channel is described.
        image = frame.image[self.plan.model_channels[0]][np.newaxis]
        figures = describe_frame(card, ModelInput(image, frame.voxel_size_um, medium), prediction)
        if figures is None:
            return
        distance, limit = out_of_distribution_distance(figures, card.domain), card.domain.limit
        deviation = describe_deviation(figures, card.domain)
        entry = {"distance": distance, "limit": limit, "is_outside": distance > limit, "what": deviation}
        self._domain[frame.index] = {"frame": frame.index, **entry, "figures": figures}
        self._facts["domain"] = list(self._domain.values())
        if distance > limit:
            text = (
                f"frame {frame.index} looks unlike the images that {card.name} was trained on "
                f"(distance {distance / limit:.2f} times the limit): {deviation}. "
                "Check the masks before using the numbers; confidence and intervals are not valid for this frame."
            )
            self.notify(Notice("W-MODEL-DOMAIN", text))

    def _map(self, prediction: Prediction, structure: str) -> Byte:
        """The uncertainty of a structure on the image's grid, (Z, Y, X) uint8, 255 = 1 bit."""
        from tomocyte.confidence.voxels import calibrated_levels, entropy_map

        levels = calibrated_levels(self._calibration(prediction, structure))
        shape = prediction.masks.bits.shape if prediction.masks is not None else ()
        return entropy_map(probability_of(prediction, structure), levels, shape)

    def columns(self, state: FrameState, structure: str, table: pd.DataFrame) -> Mapping[str, Any]:
        """Confidence and intervals of the objects of a structure; NaN where the model gives none."""
        prediction, frame = state.prediction, state.frame
        if prediction is None or not has_probability(prediction):
            return {}
        names = COLUMNS if prediction.spread is None else (*COLUMNS, "disagreement")
        values = {name: np.full(len(table), np.nan) for name in names}
        if structure not in prediction.outputs or not len(table):
            return values
        from tomocyte.confidence.objects import interval, sum_over_objects
        from tomocyte.confidence.voxels import calibrated_levels

        objects, size = state.labels[structure], frame.voxel_size_um
        calibration = self._calibration(prediction, structure)
        sums = sum_over_objects(
            objects,
            probability_of(prediction, structure),
            calibrated_levels(calibration),
            size,
            image=frame.segmented,
            medium=frame.medium_ri,
        )
        values["confidence"] = sums.confidence
        if calibration is not None:
            if "volume_um3" in table:
                low, high = interval(table["volume_um3"].to_numpy(np.float64), sums.volume_change(), calibration.volume)
                values |= {"volume_um3_low": low, "volume_um3_high": high}
            values |= self._own_intervals(state, structure, table, sums, calibration)
        if prediction.spread is not None:
            spread = sum_over_objects(
                objects, prediction.spread[prediction.outputs[structure]], calibrated_levels(None), size
            )
            values["disagreement"] = (spread.inside + spread.near) / spread.n_voxels
        return values

    def _own_intervals(
        self,
        state: FrameState,
        structure: str,
        table: pd.DataFrame,
        sums: ObjectSums,
        calibration: StructureCalibration,
    ) -> dict[str, Any]:
        """Intervals of the objects' own numbers; of a complete tomogram, of the dry mass that it holds."""
        from tomocyte.confidence.objects import interval
        from tomocyte.confidence.own import own_intervals

        if state.is_cone_missing:
            alpha = self.plan.modality.structure(self.plan.name_of(structure)).refraction_increment_ml_per_g
            found = own_intervals(table, calibration.own, sums, structure, increment_ml_per_g=alpha)
            return {name: ends for name, ends in found.items() if np.isfinite(ends).any()}
        if state.is_cone_missing is None or "dry_mass_pg" not in table:
            return {}
        low, high = interval(table["dry_mass_pg"].to_numpy(np.float64), sums.mass_change(), calibration.dry_mass)
        return {"dry_mass_pg_low": low, "dry_mass_pg_high": high}

    def _calibration(self, prediction: Prediction, structure: str) -> Any:
        """The card's calibration of a structure (the main one has a name of its own there)."""
        card = self.plan.card
        return None if card is None else card.calibration.get(card.structures[prediction.outputs[structure]])


def has_probability(prediction: Prediction) -> bool:
    """Whether the probabilities were kept."""
    return prediction.masks is not None and prediction.masks.probability is not None


def probability_of(prediction: Prediction, structure: str) -> Byte:
    """The probability of a structure at the network's voxel size, (z, y, x) uint8."""
    if prediction.masks is None or prediction.masks.probability is None:
        raise ValueError("the probabilities of this prediction were not kept")
    return np.asarray(prediction.masks.probability[prediction.outputs[structure]])
