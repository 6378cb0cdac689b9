"""Architecture search: which operations and connections a ScNAS network should have, learned with its weights.

:func:`search_architecture` is the whole search; one step is in :meth:`Search.step`, what is needed to resume in
:meth:`Search.save` and :meth:`Search.resume`. Every draw depends on (seed, step, purpose) alone, so that a search that
was killed and resumed ends with the same genotype, bit for bit. To search among other operations, see
``networks/scnas/genotype``; to learn the choice by another method, change :meth:`Search.step`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tomocyte.errors import SettingsError
from tomocyte.ledger.atomic import write_atomic
from tomocyte.networks import build_network, count_parameters
from tomocyte.networks.engine.costs import multiply_adds_per_voxel
from tomocyte.networks.engine.precision import autocast_for
from tomocyte.networks.scnas.genotype import Genotype
from tomocyte.networks.scnas.supernet import SuperNetwork
from tomocyte.progress import Callback, Progress, silent
from tomocyte.training.batches import Prefetcher, epoch_order, loss_arguments
from tomocyte.training.checkpoint import TrainingState, load_training, save_training
from tomocyte.training.data.cell_samples import make_samples
from tomocyte.training.data.samples import Samples
from tomocyte.training.data.targets import output_names
from tomocyte.training.loop import Log, epoch_progress, recipe_hash, set_initial_shares
from tomocyte.training.losses import build_loss
from tomocyte.training.optimisation import Schedule, StepGuard, build_optimiser, step_if_finite
from tomocyte.training.run_folder import RunFolder
from tomocyte.training.search.recipe import NETWORK, SearchRecipe
from tomocyte.training.search.result import probability_table, training_recipe, write_search_curves
from tomocyte.training.training import LabelledData, check_positives, check_values

Batch = tuple[torch.Tensor, torch.Tensor]
MADE = ("genotype.yaml", "probabilities.csv", "train.yaml", "curves.csv", "curves.png", "recipe.json")
"""What a search makes; ``--restart`` puts it aside."""
_WEIGHTS, _CHOICE = 3, 4  # purposes of a draw; 1 and 2 belong to ``batches``


def search_architecture(
    recipe: SearchRecipe,
    data: LabelledData,
    *,
    folder: Path,
    device: str = "cpu",
    restarts: bool = False,
    callback: Callback = silent,
) -> dict[str, Any]:
    """Search a network's cells, or resume an interrupted search.

    The folder holds the files of a training (recipe, hashes of the data, log, curves) and, when the search is over,
    ``genotype.yaml``, ``probabilities.csv`` (one row per source and operation) and ``train.yaml`` (a recipe that trains
    the network of the genotype at the width of the search).

    Parameters
    ----------
    recipe : SearchRecipe
    data : LabelledData
        Weights learn from ``train``; the choice learns from ``validation``, except in a joint search, which leaves it.
    folder : Path
        The same call resumes from the last checkpoint; a finished search is returned as it is.
    device : str
        ``cpu`` or ``cuda[:n]``.
    restarts : bool
        Whether to start again from the beginning; the files of an earlier search are put aside, never deleted.
    callback : callable
        Receives an event of the step ``train`` after each step, and one of the step ``epoch`` after each epoch.

    Returns
    -------
    dict
        ``genotype`` (its content), ``history`` (one entry per epoch), ``n_parameters`` and ``multiply_adds_per_voxel``
        of the network it makes at the recipe's width, ``n_skipped_steps``, ``notes``, ``precision``.

    Raises
    ------
    SettingsError, InputError, OutputError
        Coded, with a cure; ``E-RECIPE`` where an alternating search has no validation data.
    """
    is_alternating = recipe.search.update == "alternating"
    if is_alternating and not data.validation:
        raise SettingsError(
            "E-RECIPE", "an alternating search needs validation images.", cure="Give some, or `search.update: joint`."
        )
    samples = make_samples(data.train, recipe.data, n_axes=3)
    held = make_samples(data.validation, recipe.data, n_axes=3) if is_alternating else None
    check_values(samples)
    check_positives(samples)
    with RunFolder(folder, recipe) as run:
        earlier = run.restart(MADE, name="search") if restarts else None
        finished = run.result()
        if finished is not None:
            return finished
        run.begin(data.train, data.validation)
        search = Search(recipe, samples, held, folder=folder, device=device, callback=callback, log=run.logger())
        genotype = search.run()
        module = search.network_of(genotype)
        content = {
            "genotype": genotype.model_dump(mode="json"),
            "history": search.history,
            "n_parameters": count_parameters(module),
            "multiply_adds_per_voxel": multiply_adds_per_voxel(module),
            "n_skipped_steps": search.guard.n_skipped,
            "notes": search.notes,
            "precision": search.precision,
        }
        write_atomic(folder / "genotype.yaml", genotype.as_yaml().encode("utf-8"))
        write_atomic(folder / "train.yaml", training_recipe(recipe, genotype).encode("utf-8"))
        write_atomic(folder / "probabilities.csv", probability_table(search.module.architecture).encode("utf-8"))
        write_search_curves(folder, search.history)
        run.finish(content)
        kept = [] if earlier is None else [f"the files of the earlier search are now in {earlier}."]
        return {**content, "notes": [*kept, *search.notes]}


def describe_search(recipe: SearchRecipe) -> list[str]:
    """Parameters, choices and epochs of a search, in lines for a screen."""
    module = SuperNetwork(recipe.form(1, len(recipe.data.structures)))
    n_choices = len(list(module.architecture.parameters()))
    loop = recipe.loop
    return [
        f"{count_parameters(module):,} parameters while searching, {n_choices} choices.",
        f"{loop.n_epochs} epochs, {recipe.search.n_warm_up_epochs} of them warm-up; batches of {loop.batch_size}.",
    ]


class Search:
    """One search from first to last step.

    Parameters
    ----------
    recipe : SearchRecipe
    train : Samples
        What the weights learn from.
    held : Samples or None
        What the choice learns from; None: the same batches (joint).
    folder : Path
        Holds ``checkpoints/``.
    device : str
    callback : callable
        Receives an event of the step ``train`` after each step, and one of the step ``epoch`` after each epoch.
    log : callable
        Receives the entries of the search's log: ``{"event": "step" | "epoch" | "resumed", ...}``.
    """

    def __init__(
        self,
        recipe: SearchRecipe,
        train: Samples,
        held: Samples | None,
        *,
        folder: Path,
        device: str = "cpu",
        callback: Callback = silent,
        log: Log = silent,
    ) -> None:
        self.recipe, self.samples, self.held, self.device = recipe, train, held, device
        self.checkpoints = folder / "checkpoints"
        self.callback, self.log = callback, log
        self.n_channels, self.n_outputs = train.n_channels, len(output_names(recipe.data))
        self.n_outputs += recipe.loss.activation == "softmax"
        torch.manual_seed(recipe.loop.seed)
        self.module = SuperNetwork(recipe.form(self.n_channels, self.n_outputs))
        if recipe.loop.initial_shares is not None:
            set_initial_shares(self.module, recipe.loop.initial_shares, self.n_outputs)
        self.module = self.module.to(device)
        self.loss = build_loss(recipe.loss, self.n_outputs)
        self.optimiser = build_optimiser(recipe.loop.optimiser, self.module.weights())
        self.chooser = build_optimiser(recipe.search.optimiser, self.module.architecture.parameters())
        self.steps_per_epoch = len(epoch_order(recipe, train.n_training, 0)) // recipe.loop.batch_size or 1
        self.n_steps = self.steps_per_epoch * recipe.loop.n_epochs
        self.schedule = Schedule(recipe.loop.schedule, self.optimiser, self.n_steps)
        self.guard = StepGuard(self.module)
        self.precision, self.autocast = autocast_for(device, recipe.loop.precision)
        self.n_taken = 0
        self.sums = {"loss": [0.0, 0], "choice_loss": [0.0, 0]}
        self.history: list[dict[str, Any]] = []
        self.notes: list[str] = []

    def run(self) -> Genotype:
        """Search to the end of the recipe, from the last checkpoint where there is one."""
        self.resume()
        prefetchers = [
            Prefetcher(part, self.recipe, divisor=self.module.divisor) for part in (self.samples, self.held) if part
        ]
        try:
            while self.n_taken < self.n_steps:
                self._run_epoch(prefetchers)
        finally:
            for prefetcher in prefetchers:
                prefetcher.close()
        recipe = self.recipe
        return self.module.architecture.genotype(
            f"Found by {recipe.name} in {self.n_taken} steps, seed {recipe.loop.seed}, at width {self.module_width}."
        )

    @property
    def module_width(self) -> int:
        """Feature maps of a node of the first level while searching."""
        return self.recipe.form(self.n_channels, self.n_outputs).width

    def network_of(self, genotype: Genotype) -> torch.nn.Module:
        """The network of a genotype in the form of this search."""
        options = {**self.recipe.network.options, "n_inputs": self.n_channels, "n_outputs": self.n_outputs}
        return build_network(NETWORK, {**options, "genotype": genotype.model_dump(mode="json")})

    def _run_epoch(self, prefetchers: list[Prefetcher]) -> None:
        epoch, first = divmod(self.n_taken, self.steps_per_epoch)
        is_warm_up = epoch < self.recipe.search.n_warm_up_epochs
        start = time.monotonic()
        self.module.train()
        held = self._held_batches(prefetchers, epoch, first) if len(prefetchers) > 1 and not is_warm_up else None
        order = epoch_order(self.recipe, self.samples.n_training, epoch)
        for batch in prefetchers[0].epoch(order, epoch, first * self.recipe.loop.batch_size):
            value = self.step(batch, None if held is None else next(held), is_warm_up=is_warm_up)
            self.n_taken += 1
            self.log({"event": "step", "step": self.n_taken, "n_steps": self.n_steps, "loss": value, "epoch": epoch})
            self.callback(Progress(step="train", done=self.n_taken, total=self.n_steps, values={"loss": value}))
            is_last = self.n_taken % self.steps_per_epoch == 0
            if self.n_taken % self.recipe.loop.checkpoint_every_steps == 0 and not is_last:
                self.save()
        self._end_epoch(epoch, time.monotonic() - start)

    def _held_batches(self, prefetchers: list[Prefetcher], epoch: int, first: int) -> Iterator[Batch]:
        """As many batches of the held samples as the epoch has steps; other patches in every epoch."""
        size, n_held = self.recipe.loop.batch_size, len(self.held or ())
        rng = np.random.default_rng([self.recipe.loop.seed, epoch, 5])
        repeats = -(-size * self.steps_per_epoch // n_held)
        order = [(int(index), False) for _ in range(repeats) for index in rng.permutation(n_held)]
        yield from prefetchers[1].epoch(order[: size * self.steps_per_epoch], epoch, first * size)

    def step(self, batch: Batch, held: Batch | None, *, is_warm_up: bool) -> float:
        """One step: the weights of what is drawn learn; after the warm-up the choice does, too.

        Returns the loss on the training batch.
        """
        is_joint = self.held is None and not is_warm_up
        drawn = self._draw(_WEIGHTS, is_learning=is_joint, is_uniform=is_warm_up)
        loss = self._loss(batch, drawn)
        self.optimiser.zero_grad(set_to_none=True)
        self.chooser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        is_taken = step_if_finite(self.optimiser, self.guard, self.recipe.loop.optimiser)
        self.schedule.step()
        self._add("loss", loss)
        if is_joint and is_taken:
            self.chooser.step()
        if held is not None:
            choice_loss = self._loss(held, self._draw(_CHOICE, is_learning=True))
            logits = list(self.module.architecture.parameters())
            gradients = torch.autograd.grad(choice_loss, logits, allow_unused=True)
            if all(bool(torch.isfinite(gradient).all()) for gradient in gradients if gradient is not None):
                for logit, gradient in zip(logits, gradients, strict=True):
                    logit.grad = gradient
                self.chooser.step()
            self._add("choice_loss", choice_loss)
        return float(loss.detach())

    def _draw(self, purpose: int, *, is_learning: bool, is_uniform: bool = False) -> Any:
        return self.module.architecture.draw(
            np.random.default_rng([self.recipe.loop.seed, self.n_taken, purpose]),
            temperature=self.temperature,
            n_operations=self.recipe.search.n_operations if is_learning else 1,
            is_learning=is_learning,
            is_uniform=is_uniform,
        )

    @property
    def temperature(self) -> float:
        """Of the present step: from the first to the last, geometrically, after the warm-up."""
        search = self.recipe.search
        first_step = search.n_warm_up_epochs * self.steps_per_epoch
        share = min(1.0, max(0, self.n_taken - first_step) / max(1, self.n_steps - first_step - 1))
        return float(search.first_temperature * (search.last_temperature / search.first_temperature) ** share)

    def _loss(self, batch: Batch, drawn: Any) -> torch.Tensor:
        images, target = (part.to(self.device) for part in batch)
        with self.autocast():
            logits = self.module(images, drawn)
        is_softmax = self.recipe.loss.activation == "softmax"
        return self.loss(logits, *loss_arguments(target, n_heads=self.n_outputs, is_softmax=is_softmax))

    def _add(self, name: str, loss: torch.Tensor) -> None:
        value = float(loss.detach())
        if np.isfinite(value):
            self.sums[name][0] += value
            self.sums[name][1] += 1

    def _end_epoch(self, epoch: int, seconds: float) -> None:
        means = {name: total / count if count else None for name, (total, count) in self.sums.items()}
        entry = {
            "epoch": epoch + 1,
            "step": self.n_taken,
            **means,
            "learning_rate": self.schedule.learning_rate,
            "temperature": self.temperature,
            "entropy": self.module.architecture.entropies(),
            "seconds": round(seconds, 2),
            "n_skipped_steps": self.guard.n_skipped,
        }
        if means["loss"] is not None:
            self.schedule.end_epoch(float(means["loss"]))
        self.history.append(entry)
        self.sums = {name: [0.0, 0] for name in self.sums}
        self.save()
        self.log({"event": "epoch", **entry})
        self.callback(epoch_progress(entry, self.recipe.loop.n_epochs))

    def save(self) -> None:
        """Write a checkpoint."""
        parts = {
            "module": self.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "chooser": self.chooser.state_dict(),
        }
        state = {
            "schedule": self.schedule.state_dict(),
            "guard": self.guard.state_dict(),
            "n_taken": self.n_taken,
            "sums": self.sums,
            "history": self.history,
            "notes": self.notes,
        }
        training, n_kept = TrainingState(parts, state, {}), self.recipe.loop.n_checkpoints
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
        self.chooser.load_state_dict(parts["chooser"])
        self.schedule.load_state_dict(state["schedule"])
        self.guard.load_state_dict(state["guard"])
        self.n_taken, self.sums = state["n_taken"], state["sums"]
        self.history, self.notes = state["history"], state["notes"]
        epoch = self.n_taken // self.steps_per_epoch
        self.log({"event": "resumed", "step": self.n_taken, "n_steps": self.n_steps, "epoch": epoch})
        self.callback(Progress(step="train", state="started", done=self.n_taken, total=self.n_steps))
