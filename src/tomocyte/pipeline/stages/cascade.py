"""A cascade of networks: loaded once, checked against the input, applied to each frame one after the other."""

from __future__ import annotations

from dataclasses import replace

from tomocyte.models import check_fit
from tomocyte.models.cascade import apply_cascade, check_inputs
from tomocyte.models.loaded import load_model
from tomocyte.models.objects import ObjectRules
from tomocyte.notices import Notice
from tomocyte.pipeline.channels import with_derived
from tomocyte.pipeline.plan import Plan
from tomocyte.pipeline.stage import FrameState, Stage
from tomocyte.volume import Volume


class CascadeStage(Stage):
    """Segments structures with several networks, of which later ones may see what earlier ones made."""

    name = "cascade"

    @classmethod
    def is_needed(cls, plan: Plan) -> bool:
        """Where a cascade is used."""
        return plan.cascade is not None

    def prepare(self, volume: Volume) -> None:
        """Load the models and check those that see the input's own channels.

        Raises
        ------
        SettingsError
            ``E-CASCADE``: a channel that there is not.
        ModalityError
            ``E-MODEL-FIT-…``: an input that a model was not made for (unless forced).
        """
        super().prepare(volume)
        planned = self.plan.cascade
        if planned is None:
            return
        settings, seen = self.plan.settings, with_derived(volume, self.plan.settings)
        known: dict[str, None] = dict.fromkeys(seen.channels)
        self._models = tuple(load_model(step.model, settings.inference) for step in planned.cascade.steps)
        for step, model in zip(planned.cascade.steps, self._models, strict=True):
            check_inputs(step, known)
            if set(step.inputs) <= set(seen.channels):
                channels = [seen.channels.index(name) for name in step.inputs]
                notes = check_fit(model.card, seen, channels=channels, is_forced=settings.is_forced)
                self.notify(*(Notice.parse(note) for note in notes))
            known |= dict.fromkeys(step.makes)
            self.notify(*model.notices)
            if model.card.is_trained_on_simulated:
                self.notify(Notice("W-MODEL-SIMULATED", f"{model.card.name} was trained on simulated data."))
        self._rules = ObjectRules(
            settings.inference, self.plan.classical.clean, self.plan.classical.split, self.plan.main
        )
        self._facts["cascade"] = {
            "name": planned.cascade.name,
            "sha256": planned.sha256,
            "steps": planned.describe(),
            "models": [dict(model.facts) for model in self._models],
        }

    def apply(self, state: FrameState) -> FrameState:
        """The frame with the labels of all networks added."""
        planned, frame = self.plan.cascade, state.frame
        if planned is None:
            return state
        labels = apply_cascade(
            planned,
            self._models,
            dict(zip(frame.channel_names, frame.image, strict=True)),
            frame.voxel_size_um,
            self._rules,
            callback=lambda name, done, total: self.report(f"predict: {name} {done}/{total}", frame),
        )
        return replace(state, labels={**state.labels, **labels})
