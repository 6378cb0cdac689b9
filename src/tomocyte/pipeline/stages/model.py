"""The trained model: loaded once, checked against each frame, applied."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from tomocyte.errors import SettingsError
from tomocyte.models import check_fit
from tomocyte.models.card import ModelCard
from tomocyte.models.ensemble import check_member, not_streamed, predict_ensemble
from tomocyte.models.loaded import LoadedModel, load_model
from tomocyte.models.objects import ObjectRules
from tomocyte.models.prediction import ModelInput, Prediction, predict_objects
from tomocyte.notices import Notice
from tomocyte.pipeline.channels import with_derived
from tomocyte.pipeline.plan import Plan
from tomocyte.pipeline.stage import FrameState, Stage
from tomocyte.volume import Frame, Volume


class ModelStage(Stage):
    """Segments structures with a trained model, or with several."""

    name = "model"

    @classmethod
    def is_needed(cls, plan: Plan) -> bool:
        """Where a trained model is used."""
        return plan.card is not None

    def prepare(self, volume: Volume) -> None:
        """Load the model, and further ones of an ensemble.

        Raises
        ------
        SettingsError
            ``E-UNCERTAINTY``: further models that do not match the first.
        """
        super().prepare(volume)
        plan = self.plan
        inference = plan.settings.inference
        as_read = plan.channels_as_read[plan.segmented]
        self._volume = with_derived(volume, plan.settings).with_properties(quantity=as_read.quantity, unit=as_read.unit)
        self._models = (load_model(plan.model or "", inference), *self._further_models())
        self._rules = ObjectRules(inference, plan.classical.clean, plan.classical.split, plan.main)
        model = self._models[0]
        card = model.card
        self._facts["trained_model"] = model.facts
        if plan.confidence != "none" and not card.calibration:
            text = (
                f"{card.name} has not been calibrated: confidence comes from the network's uncorrected probabilities, "
                "and there are no intervals. See `tomocyte models calibrate`."
            )
            self.notify(Notice("W-MODEL-UNCALIBRATED", text))
        self.notify(*model.notices)
        if card.is_trained_on_simulated:
            self.notify(Notice("W-MODEL-SIMULATED", f"{card.name} was trained on simulated data."))

    def _further_models(self) -> list[LoadedModel]:
        settings, card = self.plan.settings, self.plan.card
        models = []
        for name in settings.uncertainty.models:
            if name == "classical" or card is None:
                raise SettingsError("E-UNCERTAINTY", f"{name!r} is not a trained model.", cure="Give trained models.")
            member = load_model(name, settings.inference)
            check_member(member.card, card)
            models.append(member)
        return models

    def apply(self, state: FrameState) -> FrameState:
        """The frame with the model's labels added.

        Raises
        ------
        ModalityError
            ``E-MODEL-FIT-…``: a frame that the model was not made for (unless forced).
        SettingsError
            ``E-UNCERTAINTY``: probabilities were requested that this model does not keep.
        """
        frame, card = state.frame, self._models[0].card
        self._check(frame, card)
        image = frame.image[list(self.plan.model_channels)]
        if len(self.plan.model_channels) == 1:
            image = frame.image[self.plan.model_channels[0]][np.newaxis]
        prediction = self._predict(ModelInput(image, frame.voxel_size_um, self._medium(frame, card)), frame)
        return replace(state, labels={**state.labels, **prediction.labels}, prediction=prediction)

    def _check(self, frame: Frame, card: ModelCard) -> None:
        if not np.isfinite(frame.segmented).any():
            return
        notes = check_fit(
            card,
            self._volume,
            image=frame.image,
            frame=frame.index,
            channels=self.plan.model_channels,
            is_forced=self.plan.settings.is_forced,
        )
        self.notify(*(Notice.parse(note) for note in notes))

    def _medium(self, frame: Frame, card: ModelCard) -> float | None:
        if card.normalization.kind != "medium":
            return None
        if frame.medium_ri is None:
            assumption = f"{card.name} assumes {card.normalization.offset:g}"
            text = f"the refractive index of the medium is unknown; {assumption}. Give --medium-ri."
            self.notify(Notice("W-MODEL-MEDIUM", text))
        return frame.medium_ri

    def _predict(self, model_input: ModelInput, frame: Frame) -> Prediction:
        method, name = self.plan.confidence, self._models[0].card.name

        def callback(done: int, total: int) -> None:
            self.report(f"predict: {name} {done}/{total}", frame)

        if method == "flips" or method == "ensemble":
            kind: Literal["flips", "ensemble"] = method
            prediction = predict_ensemble(self._models, model_input, self._rules, method=kind, callback=callback)
        else:
            keeps = method != "none"
            prediction = predict_objects(
                self._models[0], model_input, self._rules, keeps_probability=keeps, callback=callback
            )
        is_kept = prediction.masks is not None and prediction.masks.probability is not None
        if method != "none" and self.plan.is_confidence_required and not is_kept:
            raise not_streamed(name)
        return prediction
