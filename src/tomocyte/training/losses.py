"""Losses on logits, which training minimises; unlabelled voxels are left out exactly.

A target value of 255 means "not labelled": such a voxel adds nothing to the value and its gradient is exactly zero. A
head that a sample has no labels for is simply 255 everywhere. Voxels may have weights, by how certain their labels are;
a weight of 0 is the same as "not labelled". Everything is computed in float32 (float64 stays), also under autocast. To
add a loss, write a function ``(logits, target, weights, settings) -> scalar``, name it in ``LossSettings.kind`` and in
``_LOSSES``, and list in ``_APPLIES`` the settings it reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import torch
from pydantic import Field, model_validator
from torch.nn import functional

from tomocyte.errors import InputError, SettingsError
from tomocyte.settings import Settings

IGNORED = 255
"""Target value of an unlabelled voxel."""

_Rule = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, "LossSettings"], torch.Tensor]


class Loss(Protocol):
    """A loss as :func:`build_loss` makes it."""

    def __call__(self, logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Scalar."""


_SIGMOID = ("bce", "dice", "dice+bce", "focal")
_APPLIES = {
    "positive_weights": {"bce", "dice+bce"},
    "head_weights": set(_SIGMOID),
    "head_reduction": set(_SIGMOID),
    "class_weights": {"cross-entropy", "softmax-focal"},
    "gamma": {"focal", "softmax-focal"},
    "alpha": {"focal"},
    "smoothing": {"dice", "dice+bce"},
    "is_batch_dice": {"dice", "dice+bce"},
    "is_present_only": {"dice", "dice+bce"},
    "dice_weight": {"dice+bce"},
    "bce_weight": {"dice+bce"},
}


class LossSettings(Settings):
    """Which loss, and its parameters; a parameter the loss does not read is refused unless left at its default."""

    kind: Literal["bce", "dice", "dice+bce", "focal", "cross-entropy", "softmax-focal"] = "bce"
    """Binary cross-entropy, soft Dice, their sum, focal (one sigmoid per head); cross-entropy or focal over classes
    that exclude each other (softmax)."""
    positive_weights: tuple[float, ...] | None = None
    """Weight of the positive voxels in the binary cross-entropy, one for all heads or one per head."""
    head_weights: tuple[float, ...] | None = None
    """Weight of each head in the mean (or sum) over heads; empty: equal."""
    head_reduction: Literal["mean", "sum"] = "mean"
    """Several heads: the mean over them, or the sum of each head's own loss, as Choi et al. for their organelles."""
    class_weights: tuple[float, ...] | None = None
    """Weight of each class, background first, in the mean over voxels; empty: equal."""
    gamma: float = Field(default=2.0, ge=0, le=10)
    """Focal: exponent that turns down what is already right; 0 is cross-entropy."""
    alpha: float | None = Field(default=None, gt=0, lt=1)
    """Focal with sigmoid: weight of the positive voxels, the negative ones having 1 - alpha; empty: none."""
    smoothing: float = Field(default=1e-5, ge=0, le=1e6)
    """Dice: added to numerator and denominator, in voxels; what an empty truth costs depends on it."""
    is_batch_dice: bool = True
    """Dice: whether a batch counts as one large image, instead of a mean over its samples."""
    is_present_only: bool = False
    """Dice: whether heads without a positive voxel in the sample (or batch) are left out of the mean."""
    dice_weight: float = Field(default=1.0, gt=0)
    """Weight of the Dice part in ``dice+bce``."""
    bce_weight: float = Field(default=1.0, gt=0)
    """Weight of the cross-entropy part in ``dice+bce``."""

    @model_validator(mode="after")
    def _has_no_unused_option(self) -> LossSettings:
        for name, kinds in _APPLIES.items():
            if self.kind not in kinds and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name!r} does not apply to the loss {self.kind!r}, only to {sorted(kinds)}")
        for name in ("positive_weights", "head_weights", "class_weights"):
            weights = getattr(self, name)
            if weights is not None and not (weights and all(0 <= w < float("inf") for w in weights) and sum(weights)):
                raise ValueError(f"{name!r} must be finite, not negative and not all zero")
        if self.kind == "dice" and self.smoothing == 0 and not self.is_present_only:
            raise ValueError("'smoothing' 0 divides by zero where truth and prediction are empty")
        return self

    @property
    def activation(self) -> Literal["sigmoid", "softmax"]:
        """What turns the network's logits into probabilities under this loss."""
        return "sigmoid" if self.kind in _SIGMOID else "softmax"


def build_loss(settings: LossSettings, n_outputs: int) -> Loss:
    """The loss as a function of logits and target.

    Parameters
    ----------
    settings : LossSettings
    n_outputs : int
        Number of heads (sigmoid) or classes with the background (softmax).

    Returns
    -------
    callable
        ``loss(logits, target, weights=None) -> scalar``. Logits (B, K, \\*S) float; target for sigmoid losses
        (B, K, \\*S) in [0, 1], for softmax losses class indices (B, \\*S); 255 is ignored in both. Weights, in [0, 1],
        have the target's shape; 0 is ignored. Where everything is ignored the value is 0 and so is every gradient. The
        call raises ``InputError`` (``E-LOSS-SHAPE``) if the shapes do not belong together.

    Raises
    ------
    SettingsError
        ``E-LOSS-WEIGHTS``: the number of weights is not that of the heads or classes.

    Examples
    --------
    >>> loss = build_loss(LossSettings(kind="bce"), 1)
    >>> round(float(loss(torch.zeros(1, 1, 2, 3), torch.ones(1, 1, 2, 3))), 4)
    0.6931
    """
    for name in ("positive_weights", "head_weights", "class_weights"):
        weights = getattr(settings, name)
        is_shared = name == "positive_weights" and weights is not None and len(weights) == 1
        if weights is not None and len(weights) != n_outputs and not is_shared:
            raise SettingsError(
                "E-LOSS-WEIGHTS", f"{name} has {len(weights)} values.", cure=f"Give {n_outputs}, one per output."
            )
    function = _LOSSES[settings.kind]
    if settings.head_reduction == "sum":
        function = _summed(function)
    is_softmax = settings.activation == "softmax"

    def loss(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        shape = (logits.shape[0], *logits.shape[2:]) if is_softmax else tuple(logits.shape)
        if logits.ndim < 3 or logits.shape[1] != n_outputs or tuple(target.shape) != shape:
            raise InputError(
                "E-LOSS-SHAPE",
                f"logits {tuple(logits.shape)} with {n_outputs} outputs and target {tuple(target.shape)}.",
                cure=f"The target of {settings.kind} must be {'(B, *S)' if is_softmax else '(B, K, *S)'}.",
            )
        if weights is not None and weights.shape != target.shape:
            raise InputError(
                "E-LOSS-SHAPE",
                f"target {tuple(target.shape)} and weights {tuple(weights.shape)}.",
                cure="Give one weight for each value of the target.",
            )
        with torch.autocast(logits.device.type, enabled=False):
            logits = logits if logits.dtype == torch.float64 else logits.float()
            counted = (target != IGNORED).to(logits.dtype)
            return function(logits, target, counted if weights is None else counted * weights, settings)

    return loss


def _summed(function: _Rule) -> _Rule:
    """The same loss for each head alone, added up with the weights of the heads."""

    def loss(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor, settings: LossSettings) -> torch.Tensor:
        n_outputs = logits.shape[1]
        positive = settings.positive_weights
        total = logits.new_zeros(())
        for head, weight in enumerate(settings.head_weights or (1.0,) * n_outputs):
            own = None if positive is None else (positive[head if len(positive) > 1 else 0],)
            single = settings.model_copy(update={"head_weights": None, "positive_weights": own})
            part = slice(head, head + 1)
            total = total + weight * function(logits[:, part], target[:, part], weights[:, part], single)
        return total

    return loss


def _labelled(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and target with zeros in voxels of weight 0, the unlabelled ones among them."""
    zero = torch.zeros((), dtype=logits.dtype, device=logits.device)
    return torch.where(weights > 0, logits, zero), torch.where(weights > 0, target.to(logits.dtype), zero)


def _per_head(weights: tuple[float, ...] | None, logits: torch.Tensor) -> torch.Tensor:
    """Weights as (K, 1, 1 …) beside logits (B, K, *S)."""
    n_outputs = logits.shape[1]
    values = (1.0,) * n_outputs if weights is None else weights if len(weights) > 1 else weights * n_outputs
    return logits.new_tensor(values).reshape(n_outputs, *[1] * (logits.ndim - 2))


def _weighted_mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Sum of weights × values over sum of weights; 0, with its graph, where no weight is left."""
    total = weights.sum()
    return (values * weights).sum() / torch.where(total > 0, total, torch.ones_like(total))


def _bce(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor, settings: LossSettings) -> torch.Tensor:
    logits, target = _labelled(logits, target, weights)
    positive = None if settings.positive_weights is None else _per_head(settings.positive_weights, logits)
    values = functional.binary_cross_entropy_with_logits(logits, target, pos_weight=positive, reduction="none")
    return _weighted_mean(values, weights * _per_head(settings.head_weights, logits))


def _dice(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor, settings: LossSettings) -> torch.Tensor:
    """One minus soft Dice, the mean over heads (and samples) that have any label.

    References
    ----------
    .. [1] F. Milletari et al., V-Net, 3DV 2016, doi:10.1109/3DV.2016.79 (here with sums, not sums of squares, below).
    """
    logits, target = _labelled(logits, target, weights)
    axes = tuple(range(2, logits.ndim))
    axes = (0, *axes) if settings.is_batch_dice else axes
    probability = torch.sigmoid(logits) * weights
    common = (probability * target).sum(axes)
    sizes = probability.sum(axes) + (target * weights).sum(axes)  # (K,) or (B, K)
    counts = (target if settings.is_present_only else weights).sum(axes) > 0
    below = sizes + settings.smoothing
    losses = 1 - (2 * common + settings.smoothing) / torch.where(below > 0, below, torch.ones_like(below))
    return _weighted_mean(losses, counts.to(losses.dtype) * _per_head(settings.head_weights, logits).flatten())


def _dice_and_bce(
    logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor, settings: LossSettings
) -> torch.Tensor:
    dice, bce = _dice(logits, target, weights, settings), _bce(logits, target, weights, settings)
    return settings.dice_weight * dice + settings.bce_weight * bce


def _focal(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor, settings: LossSettings) -> torch.Tensor:
    """Binary focal loss, (1 - p_t)^gamma times the cross-entropy.

    References
    ----------
    .. [1] T.-Y. Lin et al., Focal loss for dense object detection, ICCV 2017, eq. 4 and 5, doi:10.1109/ICCV.2017.324
    """
    logits, target = _labelled(logits, target, weights)
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    # log(1 - p_t), from logits: p_t is the sigmoid of ±logit for a positive or negative voxel
    log_wrong = functional.logsigmoid(-logits * (2 * target - 1))
    values = torch.exp(settings.gamma * log_wrong) * entropy
    if settings.alpha is not None:
        values = values * (settings.alpha * target + (1 - settings.alpha) * (1 - target))
    return _weighted_mean(values, weights * _per_head(settings.head_weights, logits))


def _softmax_focal(
    logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor, settings: LossSettings
) -> torch.Tensor:
    """Focal loss over exclusive classes; with gamma 0 the cross-entropy with class weights."""
    is_labelled = weights > 0
    indices = torch.where(is_labelled, target, torch.zeros_like(target)).long()
    logits = torch.where(is_labelled.unsqueeze(1), logits, torch.zeros_like(logits))
    logs = functional.log_softmax(logits, dim=1).gather(1, indices.unsqueeze(1)).squeeze(1)  # (B, *S)
    values = -logs
    if settings.kind == "softmax-focal":
        # the clamp keeps the gradient of a gamma below 1 finite where the network is certain
        values = (1 - torch.exp(logs)).clamp_min(1e-12) ** settings.gamma * values
    if settings.class_weights is not None:
        weights = weights * logits.new_tensor(settings.class_weights)[indices]
    return _weighted_mean(values, weights)


_LOSSES: dict[str, _Rule] = {
    "bce": _bce,
    "dice": _dice,
    "dice+bce": _dice_and_bce,
    "focal": _focal,
    "cross-entropy": _softmax_focal,
    "softmax-focal": _softmax_focal,
}
