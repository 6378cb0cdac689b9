"""The training loop, for 2-D and 3-D alike: it reads from top to bottom.

A step is in :meth:`Trainer.step`; what is needed to resume a killed training in :meth:`Trainer.save` and
:meth:`Trainer.resume`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tomocyte import __version__
from tomocyte.errors import SettingsError
from tomocyte.networks import build_network
from tomocyte.networks.engine.precision import autocast_for
from tomocyte.progress import Callback, Progress, silent
from tomocyte.provenance import sha256_of_json
from tomocyte.training.batches import Order, Prefetcher, epoch_order, loss_arguments
from tomocyte.training.checkpoint import Tensors, TrainingState, load_training, save_training
from tomocyte.training.data.samples import Samples
from tomocyte.training.data.targets import output_names
from tomocyte.training.distributed import Processes
from tomocyte.training.losses import build_loss
from tomocyte.training.optimisation import Schedule, StepGuard, WeightAverage, build_optimiser, step_if_finite
from tomocyte.training.predictions import predict_samples
from tomocyte.training.recipe import Recipe
from tomocyte.training.validation import selection_score, validation_scores

Log = Callable[[dict[str, Any]], None]
"""What takes the entries of ``log.jsonl``."""


@dataclass
class TrainingResult:
    """What a training ends with.

    Parameters
    ----------
    weights : dict of str to Tensor
        Of the network, as the recipe selects them (last, best, averaged).
    history : list of dict
        One entry per epoch: loss, scores, learning rate, seconds.
    best : dict
        Epoch and score of the best validation; empty without validation.
    n_skipped_steps : int
        Steps with a gradient that was not finite, which were left out.
    notes : list of str
        What the reader of the log should know.
    """

    weights: Tensors
    history: list[dict[str, Any]]
    best: dict[str, Any] = field(default_factory=dict)
    n_skipped_steps: int = 0
    notes: list[str] = field(default_factory=list)


def build_module(recipe: Recipe, n_channels: int) -> torch.nn.Module:
    """The recipe's network with the right numbers of inputs and outputs, its weights drawn from the recipe's seed.

    Raises
    ------
    SettingsError
        ``E-NETWORK``, ``E-SETTINGS``: unknown network or options.
    """
    heads = len(output_names(recipe.data))
    n_outputs = heads + (recipe.loss.activation == "softmax")
    torch.manual_seed(recipe.loop.seed)
    options = {**recipe.network.options, "n_inputs": n_channels, "n_outputs": n_outputs}
    module = build_network(recipe.network.name, options)
    if recipe.loop.initial_shares is not None:
        set_initial_shares(module, recipe.loop.initial_shares, n_outputs)
    return module


@torch.no_grad()
def set_initial_shares(module: torch.nn.Module, shares: tuple[float, ...], n_outputs: int) -> None:
    """Let each output hold its share of the voxels inside at first, by the bias of the last convolution."""
    bias = getattr(module.get_submodule("head"), "bias", None)
    if len(shares) != n_outputs or bias is None:
        raise SettingsError(
            "E-RECIPE",
            f"loop.initial_shares has {len(shares)} values for {n_outputs} outputs"
            f"{' of a network whose last convolution has no bias' if bias is None else ''}.",
            cure="Give one per output, or leave it out.",
        )
    bias.copy_(torch.logit(torch.tensor(shares)).repeat_interleave(len(bias) // n_outputs))


class Trainer:
    """One training from first to last step.

    Parameters
    ----------
    recipe : Recipe
    train : Samples
    validation : Samples or None
    folder : Path
        Holds ``checkpoints/``.
    processes : Processes, optional
        Number of this process among others, and its device; alone on the CPU by default.
    callback : callable
        Receives an event of the step ``train`` after each step, and one of the step ``epoch`` after each epoch.
    log : callable
        Receives the entries of the training's log: ``{"event": "step" | "epoch" | "resumed", ...}``.
    """

    def __init__(
        self,
        recipe: Recipe,
        train: Samples,
        *,
        validation: Samples | None,
        folder: Path,
        processes: Processes | None = None,
        callback: Callback = silent,
        log: Log = silent,
    ) -> None:
        self.recipe, self.samples, self.validation = recipe, train, validation
        self.checkpoints = folder / "checkpoints"
        self.processes = processes or Processes.from_environment("cpu")
        n_drawn = len(self._order(0))
        self.processes.check_batch(min(recipe.loop.batch_size, n_drawn))
        self.device = self.processes.device
        self.callback, self.log = callback, log
        # Channels last is faster for 2-D; in 3-D it gave gradients that were not finite now and then.
        self.layout = torch.channels_last if train.n_axes == 2 else torch.contiguous_format
        self.module = build_module(recipe, train.n_channels)
        self.module = self.module.to(memory_format=self.layout).to(self.device)  # type: ignore[call-overload]
        self.parallel = self.processes.wrap(self.module)
        self.is_softmax = recipe.loss.activation == "softmax"
        self.loss = build_loss(recipe.loss, self.module.n_outputs)  # type: ignore[arg-type]
        self.optimiser = build_optimiser(recipe.loop.optimiser, self.module.parameters())
        self.steps_per_epoch = math.ceil(n_drawn / recipe.loop.batch_size)
        self.n_steps = self.steps_per_epoch * recipe.loop.n_epochs
        self.schedule = Schedule(recipe.loop.schedule, self.optimiser, self.n_steps)
        decay = recipe.loop.ema_decay
        self.average = None if decay is None else WeightAverage(self.module, decay=decay)
        self.guard = StepGuard(self.module)
        self.precision, self.autocast = autocast_for(self.device, recipe.loop.precision)
        self.epoch, self.batch, self.n_taken = 0, 0, 0
        self.loss_sum, self.loss_count = 0.0, 0
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {}
        self.best_weights: Tensors = {}
        self.notes: list[str] = []

    def start_from(self, weights: Tensors) -> None:
        """Begin with given weights instead of random ones.

        Parts of the network of which nothing is given (as ``detail``, of weights from before it was added) begin as
        they were drawn, which the log says.

        Raises
        ------
        SettingsError
            ``E-INIT``: they belong to another network.
        """
        own = self.module.state_dict()
        given_parts = {name.partition(".")[0] for name in weights}
        expected = {name: value for name, value in own.items() if name.partition(".")[0] in given_parts}
        shapes = {name: tuple(value.shape) for name, value in weights.items()}
        if not shapes or shapes != {name: tuple(value.shape) for name, value in expected.items()}:
            raise SettingsError("E-INIT", "the given weights belong to another network.", cure="Use the same network.")
        new_parts = sorted({name.partition(".")[0] for name in own} - given_parts)
        if new_parts:
            self.log({"event": "new parts", "parts": new_parts})
        self.module.load_state_dict({**own, **weights})
        if self.average is not None:
            self.average = WeightAverage(self.module, decay=self.average.decay)
        self.guard.remember()

    def run(self) -> TrainingResult:
        """Train to the end of the recipe, from the last checkpoint where there is one."""
        self.resume()
        self.processes.wait()
        prefetcher = Prefetcher(self.samples, self.recipe, divisor=tuple(self.module.divisor))  # type: ignore[arg-type]
        try:
            while self.epoch < self.recipe.loop.n_epochs and not self._is_patience_over():
                self._run_epoch(prefetcher)
        finally:
            prefetcher.close()
        return TrainingResult(self._final_weights(), self.history, self.best, self.guard.n_skipped, self.notes)

    def _order(self, epoch: int) -> Order:
        is_balanced = self.recipe.data.balance != "none"
        holds_object = self.samples.holds_object if is_balanced else None
        return epoch_order(self.recipe, self.samples.n_training, epoch, holds_object=holds_object)

    def _run_epoch(self, prefetcher: Prefetcher) -> None:
        order = self._order(self.epoch)
        start, size = time.monotonic(), self.recipe.loop.batch_size
        self.module.train()
        for images, target in prefetcher.epoch(order, self.epoch, self.batch * size, share=self.processes.share):
            value = self.step(images, target)
            self.batch += 1
            self.n_taken += 1
            self._report_step(value)
            if self.n_taken % self.recipe.loop.checkpoint_every_steps == 0 and self.batch < self.steps_per_epoch:
                self.save()
        self._end_epoch(time.monotonic() - start)

    def step(self, images: torch.Tensor, target: torch.Tensor) -> float:
        """One step: forward, loss, backward, and a change of the weights if every gradient is finite."""
        images, target = images.to(self.device, memory_format=self.layout), target.to(self.device)
        with self.autocast():
            logits = self.parallel(images)
        n_heads = int(self.module.n_outputs) - self.is_softmax  # type: ignore[arg-type]
        loss = self.loss(logits, *loss_arguments(target, n_heads=n_heads, is_softmax=self.is_softmax))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        is_taken = step_if_finite(self.optimiser, self.guard, self.recipe.loop.optimiser)
        self.schedule.step()
        if self.average is not None and is_taken:
            self.average.update(self.module)
        value = float(loss.detach())
        if is_taken and math.isfinite(value):
            self.loss_sum += value
            self.loss_count += 1
        return value

    def _end_epoch(self, seconds: float) -> None:
        entry: dict[str, Any] = {
            "epoch": self.epoch + 1,
            "step": self.n_taken,
            "loss": self.loss_sum / self.loss_count if self.loss_count else None,
            "learning_rate": self.schedule.learning_rate,
            "seconds": round(seconds, 2),
            "n_skipped_steps": self.guard.n_skipped,
        }
        is_last = self.epoch + 1 == self.recipe.loop.n_epochs
        if self.validation is not None and (is_last or (self.epoch + 1) % self.recipe.loop.validate_every == 0):
            scores = self._validate()
            entry["validation"] = scores
            score = selection_score(scores, self.recipe.loop.select_by)
            if not self.best or score > self.best["score"]:
                self.best = {"epoch": self.epoch + 1, "score": score}
                self.best_weights = self._current_weights()
            self.schedule.end_epoch(-score)
        elif self.validation is None and entry["loss"] is not None:
            self.schedule.end_epoch(entry["loss"])
        self.history.append(entry)
        self.epoch, self.batch, self.loss_sum, self.loss_count = self.epoch + 1, 0, 0.0, 0
        self.save()
        self.log({"event": "epoch", **entry})
        self.callback(epoch_progress(entry, self.recipe.loop.n_epochs))

    def _validate(self) -> dict[str, float]:
        validation = self.validation
        if validation is None:
            return {}
        with nullcontext() if self.average is None else self.average.applied_to(self.module):
            probabilities = predict_samples(
                self.module, validation, is_softmax=self.is_softmax, autocast=self.autocast, device=self.device
            )
            return validation_scores(probabilities, (validation.whole(i)[1] for i in range(len(validation))))

    def _current_weights(self) -> Tensors:
        if self.average is not None:
            return self.average.weights()
        return {name: value.detach().clone() for name, value in self.module.state_dict().items()}

    def _final_weights(self) -> Tensors:
        keeps_best = self.recipe.loop.select == "best" and bool(self.best_weights)
        return self.best_weights if keeps_best else self._current_weights()

    def _is_patience_over(self) -> bool:
        patience = self.recipe.loop.patience
        return patience is not None and bool(self.best) and self.epoch - int(self.best["epoch"]) >= patience

    def _report_step(self, value: float) -> None:
        self.log({"event": "step", "step": self.n_taken, "n_steps": self.n_steps, "loss": value, "epoch": self.epoch})
        self.callback(Progress(step="train", done=self.n_taken, total=self.n_steps, values={"loss": value}))

    def save(self) -> None:
        """Write a checkpoint (the first process only)."""
        if not self.processes.is_first:
            return
        parts: dict[str, dict[str, Any]] = {
            "module": self.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best_weights": self.best_weights if self.recipe.loop.select == "best" else {},
        }
        if self.average is not None:
            parts["average"] = self.average.state_dict()
        state = {
            "schedule": self.schedule.state_dict(),
            "guard": self.guard.state_dict(),
            "place": [self.epoch, self.batch, self.n_taken],
            "loss": [self.loss_sum, self.loss_count],
            "history": self.history,
            "best": self.best,
            "notes": self.notes,
        }
        training = TrainingState(parts, state, {"rng": torch.get_rng_state()})
        n_kept = self.recipe.loop.n_checkpoints
        save_training(self.checkpoints, self.n_taken, training, recipe_sha256=recipe_hash(self.recipe), n_kept=n_kept)

    def resume(self) -> None:
        """Resume from the newest sound checkpoint of this recipe, if there is one.

        Raises
        ------
        SettingsError, InputError
            ``E-RESUME``, ``E-CHECKPOINT``; see :func:`tomocyte.training.checkpoint.load_training`.
        """
        training = load_training(self.checkpoints, recipe_sha256=recipe_hash(self.recipe))
        if training is None:
            return
        parts, state = training.parts, training.state
        self.module.load_state_dict(parts["module"])
        self.optimiser.load_state_dict(parts["optimiser"])
        self.best_weights = parts["best_weights"]
        if self.average is not None:
            self.average.load_state_dict(parts["average"])
        self.schedule.load_state_dict(state["schedule"])
        self.guard.load_state_dict(state["guard"])
        torch.set_rng_state(training.tensors["rng"])
        self.epoch, self.batch, self.n_taken = state["place"]
        self.loss_sum, self.loss_count = state["loss"]
        self.history, self.best, self.notes = state["history"], state["best"], state["notes"]
        self.log({"event": "resumed", "step": self.n_taken, "n_steps": self.n_steps, "epoch": self.epoch})
        self.callback(Progress(step="train", state="started", done=self.n_taken, total=self.n_steps))


def epoch_progress(entry: Mapping[str, Any], n_epochs: int) -> Progress:
    """The event that ends an epoch: the numbers of its entry in the history, validation scores among them.

    Examples
    --------
    >>> epoch_progress({"epoch": 2, "loss": None, "seconds": 1.5, "validation": {"dice": 0.75}}, 9).values
    {'seconds': 1.5, 'dice': 0.75}
    """
    numbers = {name: value for name, value in entry.items() if isinstance(value, int | float) and name != "epoch"}
    return Progress(
        step="epoch", done=entry["epoch"], total=n_epochs, values={**numbers, **entry.get("validation", {})}
    )


def recipe_hash(recipe: Recipe) -> str:
    """SHA-256 of all that decides the weights: what differs from the defaults, and the program's version."""
    content = recipe.model_dump(
        mode="json",
        exclude={"description", "paper", "benchmark", "held_out", "limits", "calibrate"},
        exclude_defaults=True,
    )
    return sha256_of_json({"recipe": content, "version": __version__})
