"""How weights move: optimisers, learning-rate schedules, averaged weights, and a guard against broken steps.

Every object with a state gives it as a plain dictionary and takes it back, so that a resumed training takes the same
steps bit for bit. To add an optimiser or a schedule, name it in its settings and add its branch here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch.optim import swa_utils

from tomocyte.errors import SettingsError, TomocyteError
from tomocyte.settings import Settings


class OptimiserSettings(Settings):
    """Which optimiser, its parameters, and how gradients are clipped."""

    kind: Literal["adam", "adamw", "sgd"] = "adam"
    """Adam, Adam with decoupled weight decay, stochastic gradient descent with momentum."""
    learning_rate: float = Field(default=5e-4, gt=0, le=10)
    """Step size before any schedule."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam: decay of the first and second moment; OS-Net used 0.5 and 0.999."""
    epsilon: float = Field(default=1e-8, gt=0, lt=1)
    """Adam: added to the root of the second moment."""
    weight_decay: float = Field(default=0.0, ge=0, lt=1)
    """Pull towards zero: added to the gradient (``adam``, ``sgd``) or to the step (``adamw``)."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """``sgd``: momentum, the share of the last step that is added to the next."""
    is_nesterov: bool = True
    """``sgd``: whether the gradient is taken ahead of the momentum."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Longest gradient (Euclidean norm over all weights); empty: no bound."""
    clip_value: float | None = Field(default=None, gt=0)
    """Largest absolute entry of the gradient; empty: no bound."""

    @model_validator(mode="after")
    def _is_possible(self) -> OptimiserSettings:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError("'betas' must lie in [0, 1)")
        if self.clip_norm is not None and self.clip_value is not None:
            raise ValueError("give 'clip_norm' or 'clip_value', not both")
        if self.kind == "sgd" and self.is_nesterov and self.momentum == 0:
            raise ValueError("'is_nesterov' needs a momentum above 0")
        return self


def build_optimiser(
    settings: OptimiserSettings, parameters: Iterable[torch.nn.Parameter]
) -> torch.optim.Adam | torch.optim.AdamW | torch.optim.SGD:
    """The optimiser of the settings over the given weights.

    References
    ----------
    .. [1] D. P. Kingma, J. Ba, Adam, arXiv:1412.6980. I. Loshchilov, F. Hutter, AdamW, arXiv:1711.05101.
    """
    weights = list(parameters)
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.kind == "sgd":
        return torch.optim.SGD(
            weights, lr=rate, momentum=settings.momentum, nesterov=settings.is_nesterov, weight_decay=decay
        )
    kind = torch.optim.AdamW if settings.kind == "adamw" else torch.optim.Adam
    return kind(weights, lr=rate, betas=settings.betas, eps=settings.epsilon, weight_decay=decay)


class ScheduleSettings(Settings):
    """How the learning rate changes."""

    kind: Literal["constant", "plateau", "cosine", "inverse-decay"] = "constant"
    """Constant; smaller when the score stops falling; half a cosine down; lr / (1 + decay × step) as Keras."""
    n_warm_up_steps: int = Field(default=0, ge=0)
    """Steps over which the rate first rises linearly from near zero; all kinds."""
    minimum: float = Field(default=0.0, ge=0)
    """``plateau``, ``cosine``: smallest learning rate."""
    factor: float = Field(default=0.2, gt=0, lt=1)
    """``plateau``: what the rate is multiplied with."""
    patience: int = Field(default=30, ge=0)
    """``plateau``: epochs without improvement that are forgiven."""
    threshold: float = Field(default=1e-4, ge=0, lt=1)
    """``plateau``: relative fall of the score that counts as improvement."""
    decay: float = Field(default=0.0, ge=0, lt=1)
    """``inverse-decay``: per step; ACSeg used 1e-6."""


# torch's schedulers multiply the last rate or a factor, so they differ from these closed forms in the last bit, and a
# training begun earlier would not resume bit for bit; its plateau also takes any rise of a score below zero for a fall.
class Schedule:
    """The learning rate of every step, as a function of the step and (for ``plateau``) of the scores so far.

    Parameters
    ----------
    settings : ScheduleSettings
    optimiser : torch.optim.Optimizer
        Its rates at this moment are the base rates.
    n_steps : int
        Length of the whole training in steps; only ``cosine`` needs it.

    Raises
    ------
    SettingsError
        ``E-SCHEDULE``: ``cosine`` without steps after the warm-up.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, SGDR, arXiv:1608.03983, eq. 5 (cosine).
    """

    def __init__(self, settings: ScheduleSettings, optimiser: torch.optim.Optimizer, n_steps: int) -> None:
        if settings.kind == "cosine" and n_steps <= settings.n_warm_up_steps:
            raise SettingsError(
                "E-SCHEDULE",
                f"{settings.n_warm_up_steps} steps of warm-up leave none of {n_steps}.",
                cure="Lower it with --set loop.schedule.n_warm_up_steps=0, or train for more steps.",
            )
        self.settings = settings
        self.n_steps = n_steps
        self._optimiser = optimiser
        self._base = [float(group["lr"]) for group in optimiser.param_groups]
        self._step = 0
        self._scale = 1.0
        self._best = math.inf
        self._n_bad = 0
        self._apply()

    @property
    def learning_rate(self) -> float:
        """Rate of the next step (of the first group of weights)."""
        return self._rate(self._base[0])

    def step(self) -> None:
        """Call after every step of the optimiser."""
        self._step += 1
        self._apply()

    def end_epoch(self, score: float) -> None:
        """Call after every epoch with a score that should fall (a loss); only ``plateau`` listens."""
        if self.settings.kind != "plateau":
            return
        # relative to the magnitude, so that a score below zero (minus Dice) works too
        if score < self._best - self.settings.threshold * (abs(self._best) if math.isfinite(self._best) else 0.0):
            self._best, self._n_bad = score, 0
        else:
            self._n_bad += 1
        if self._n_bad > self.settings.patience:
            self._scale, self._n_bad = self._scale * self.settings.factor, 0
        self._apply()

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed schedule needs, as plain numbers."""
        return {
            "step": self._step,
            "n_steps": self.n_steps,
            "base": list(self._base),
            "scale": self._scale,
            "best": self._best,
            "n_bad": self._n_bad,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume where ``state_dict`` was taken; sets the optimiser's rates."""
        self._step, self.n_steps = int(state["step"]), int(state["n_steps"])
        self._base = [float(value) for value in state["base"]]
        self._scale, self._best, self._n_bad = float(state["scale"]), float(state["best"]), int(state["n_bad"])
        self._apply()

    def _apply(self) -> None:
        for group, base in zip(self._optimiser.param_groups, self._base, strict=True):
            group["lr"] = self._rate(base)

    def _rate(self, base: float) -> float:
        settings, past = self.settings, self._step - self.settings.n_warm_up_steps
        if past < 0:
            return base * (self._step + 1) / settings.n_warm_up_steps
        if settings.kind == "plateau":
            return max(base * self._scale, min(base, settings.minimum))
        if settings.kind == "cosine":
            share = min(1.0, past / (self.n_steps - settings.n_warm_up_steps))
            lowest = min(base, settings.minimum)
            return lowest + (base - lowest) * (1 + math.cos(math.pi * share)) / 2
        if settings.kind == "inverse-decay":
            return base / (1 + settings.decay * past)
        return base


_Group = tuple[torch.Tensor, ...] | list[torch.Tensor]


class WeightAverage:
    """An exponential moving average of a module's weights and running statistics.

    Floating-point buffers (running mean and variance of batch normalisation) are averaged like weights, so that they
    belong to the averaged weights; whole-number buffers are copied.

    Parameters
    ----------
    module : torch.nn.Module
        The bare module (not wrapped for several processes).
    decay : float
        How much of the average stays in each step, in [0, 1).
    is_warmed_up : bool
        Whether early steps use the smaller (1 + n) / (10 + n), so that a short training forgets its first weights.
    """

    def __init__(self, module: torch.nn.Module, *, decay: float = 0.999, is_warmed_up: bool = True) -> None:
        if not 0 <= decay < 1:
            raise SettingsError("E-AVERAGE", f"decay {decay} is not in [0, 1).")
        self.decay, self.is_warmed_up, self.n_updates = decay, is_warmed_up, 0
        self._model = swa_utils.AveragedModel(module, multi_avg_fn=self._mix, use_buffers=True)
        self._model.n_averaged.fill_(1)  # the first update is a step of the average, too, not a copy

    def update(self, module: torch.nn.Module) -> None:
        """Take the module's present weights in; call after every step."""
        self._model.update_parameters(module)
        self.n_updates += 1

    def _mix(self, averaged: _Group, present: _Group, n_averaged: torch.Tensor | int) -> None:
        decay = min(self.decay, (1 + self.n_updates) / (10 + self.n_updates)) if self.is_warmed_up else self.decay
        if averaged[0].is_floating_point():
            swa_utils.get_ema_multi_avg_fn(decay)(averaged, present, n_averaged)  # type: ignore[no-untyped-call]
        else:
            torch._foreach_copy_(averaged, present)

    @contextmanager
    def applied_to(self, module: torch.nn.Module) -> Iterator[None]:
        """Inside, the module has the averaged weights; afterwards its own again."""
        own = {name: value.detach().clone() for name, value in module.state_dict().items()}
        module.load_state_dict(self._model.module.state_dict())
        try:
            yield
        finally:
            module.load_state_dict(own)

    def weights(self) -> dict[str, torch.Tensor]:
        """A copy of the averaged weights, for ``module.load_state_dict``."""
        return {name: value.detach().clone() for name, value in self._model.module.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """``n_updates`` and ``average`` (tensors by name)."""
        return {"n_updates": self.n_updates, "average": self.weights()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume where ``state_dict`` was taken."""
        if state["average"].keys() != self._model.module.state_dict().keys():
            raise SettingsError("E-AVERAGE", "the saved average belongs to another network.")
        self._model.module.load_state_dict(state["average"])
        self.n_updates = int(state["n_updates"])


class StepGuard:
    """Counts steps, and remembers the running statistics of the last good one.

    Parameters
    ----------
    module : torch.nn.Module
    most_in_a_row : int
        How many broken steps in a row are forgiven before training stops.
    """

    def __init__(self, module: torch.nn.Module, *, most_in_a_row: int = 20) -> None:
        self.module, self.most_in_a_row = module, most_in_a_row
        self.n_steps = self.n_skipped = self.n_in_a_row = 0
        self.gradient_norm = math.nan
        self._live = list(module.buffers())
        self._good = [buffer.detach().clone() for buffer in self._live]

    def remember(self) -> None:
        """Take the present running statistics for good; also call after loading a checkpoint."""
        with torch.no_grad():
            for good, live in zip(self._good, self._live, strict=True):
                good.copy_(live)

    def restore(self) -> None:
        """Put the running statistics of the last good step back."""
        with torch.no_grad():
            for good, live in zip(self._good, self._live, strict=True):
                live.copy_(good)

    def state_dict(self) -> dict[str, Any]:
        """The counts."""
        return {"n_steps": self.n_steps, "n_skipped": self.n_skipped, "n_in_a_row": self.n_in_a_row}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume where ``state_dict`` was taken; load the module first."""
        self.n_steps, self.n_skipped = int(state["n_steps"]), int(state["n_skipped"])
        self.n_in_a_row = int(state["n_in_a_row"])
        self.remember()


def step_if_finite(optimiser: torch.optim.Optimizer, guard: StepGuard, settings: OptimiserSettings) -> bool:
    """Clip the gradients and step, or, where a gradient is NaN or infinite, change nothing.

    A skipped step leaves weights, moments and running statistics bit for bit as after the last good step. Judged by the
    gradients alone, which all processes of a distributed training share, so that none steps alone.

    Parameters
    ----------
    optimiser : torch.optim.Optimizer
        Over the guard's module, after ``backward``.
    guard : StepGuard
        Counts; ``gradient_norm`` holds the norm before clipping afterwards.
    settings : OptimiserSettings
        ``clip_norm`` or ``clip_value``.

    Returns
    -------
    bool
        Whether the step was taken.

    Raises
    ------
    TomocyteError
        ``E-TRAIN-NONFINITE``: too many broken steps in a row.
    """
    gradients = [w.grad for group in optimiser.param_groups for w in group["params"] if w.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients, error_if_nonfinite=False)
    guard.gradient_norm = float(norm)
    if not math.isfinite(guard.gradient_norm):
        guard.n_skipped, guard.n_in_a_row = guard.n_skipped + 1, guard.n_in_a_row + 1
        guard.restore()
        if guard.n_in_a_row > guard.most_in_a_row:
            raise TomocyteError(
                "E-TRAIN-NONFINITE",
                f"{guard.n_in_a_row} steps in a row had gradients that are not finite.",
                cure="Lower the learning rate, clip the gradient, or train in fp32.",
            )
        return False
    weights = [w for group in optimiser.param_groups for w in group["params"]]
    if settings.clip_norm is not None:
        torch.nn.utils.clip_grads_with_norm_(weights, settings.clip_norm, norm)
    if settings.clip_value is not None:
        torch.nn.utils.clip_grad_value_(weights, settings.clip_value)
    optimiser.step()
    guard.n_steps, guard.n_in_a_row = guard.n_steps + 1, 0
    guard.remember()
    return True
