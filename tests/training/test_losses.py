"""Losses against torch's and MONAI's formulas, and exactly nothing from voxels that nobody labelled."""

from __future__ import annotations

import monai.losses
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from tomocyte.errors import InputError, SettingsError
from tomocyte.training.losses import IGNORED, LossSettings, build_loss

B, K, Z, Y, X = 2, 3, 4, 5, 7
SIGMOID = ["bce", "dice", "dice+bce", "focal"]
SOFTMAX = ["cross-entropy", "softmax-focal"]


def heads(shape: tuple[int, ...] = (B, K, Y, X), seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and a mask per head, float64."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64) * 3
    return logits, (torch.rand(shape, generator=generator) < 0.3).double()


def classes(shape: tuple[int, ...] = (B, K, Y, X), seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and a class per voxel."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64) * 3
    return logits, torch.randint(0, shape[1], (shape[0], *shape[2:]), generator=generator)


def sample(kind: str, shape: tuple[int, ...] = (B, K, Y, X)) -> tuple[torch.Tensor, torch.Tensor]:
    return heads(shape) if kind in SIGMOID else classes(shape)


def value(logits: torch.Tensor, target: torch.Tensor, **settings: object) -> float:
    return float(build_loss(LossSettings(**settings), logits.shape[1])(logits, target))


@pytest.mark.parametrize("shape", [(B, K, Y, X), (B, K, Z, Y, X), (1, 1, Y, X)])
def test_bce_is_torchs(shape: tuple[int, ...]) -> None:
    logits, target = heads(shape)
    assert value(logits, target) == pytest.approx(
        float(functional.binary_cross_entropy_with_logits(logits, target)), abs=1e-12
    )


def test_positive_weights_are_torchs_per_head_or_shared() -> None:
    logits, target = heads()
    for weights in ((2.0, 5.0, 0.5), (5.0,)):
        per_channel = torch.tensor(weights, dtype=torch.float64).reshape(-1, 1, 1)
        wanted = functional.binary_cross_entropy_with_logits(logits, target, pos_weight=per_channel)
        assert value(logits, target, positive_weights=weights) == pytest.approx(float(wanted), abs=1e-12)


@pytest.mark.parametrize("kind", SIGMOID)
def test_head_weights_mean_over_heads(kind: str) -> None:
    """With weights 1, 3 and 0 the loss is a quarter of the first head's and three of the second's."""
    logits, target = heads()
    alone = [value(logits[:, i : i + 1], target[:, i : i + 1], kind=kind) for i in range(K)]
    wanted = (alone[0] + 3 * alone[1]) / 4
    assert value(logits, target, kind=kind, head_weights=(1, 3, 0)) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("is_batch_dice", [True, False])
@pytest.mark.parametrize("shape", [(B, K, Y, X), (B, K, Z, Y, X)])
def test_dice_is_monais(shape: tuple[int, ...], is_batch_dice: bool) -> None:
    logits, target = heads(shape)
    wanted = monai.losses.DiceLoss(sigmoid=True, batch=is_batch_dice)(logits, target)
    assert value(logits, target, kind="dice", is_batch_dice=is_batch_dice) == pytest.approx(float(wanted), abs=1e-9)


def test_dice_of_a_countable_case() -> None:
    """Certain predictions of 4 pixels, 2 of them among 3 true ones: 1 - 2·2 / (4 + 3) = 3/7."""
    logits, target = torch.full((1, 1, 2, 4), -200.0), torch.zeros(1, 1, 2, 4)
    logits[0, 0, 0] = 200.0
    target[0, 0, 0, :2] = 1
    target[0, 0, 1, 0] = 1
    assert value(logits, target, kind="dice", smoothing=0.0, is_present_only=True) == pytest.approx(3 / 7, abs=1e-7)


def test_dice_over_present_heads_only() -> None:
    """A head without a positive voxel is as if it were not there."""
    logits, target = heads()
    target[:, 1] = 0
    wanted = monai.losses.DiceLoss(sigmoid=True, batch=True)(logits[:, [0, 2]], target[:, [0, 2]])
    assert value(logits, target, kind="dice", is_present_only=True) == pytest.approx(float(wanted), abs=1e-9)
    target[0, 2] = 0  # absent in one sample only: left out of that sample
    each = [monai.losses.DiceLoss(sigmoid=True)(logits[b : b + 1, k : k + 1], target[b : b + 1, k : k + 1])
            for b, k in ((0, 0), (1, 0), (1, 2))]  # fmt: skip
    settings = {"kind": "dice", "is_present_only": True, "is_batch_dice": False}
    assert value(logits, target, **settings) == pytest.approx(float(sum(each)) / 3, abs=1e-9)


def test_dice_plus_bce_is_monais_weighted_sum() -> None:
    logits, target = heads((B, 1, Y, X))
    wanted = monai.losses.DiceCELoss(sigmoid=True, batch=True, lambda_dice=0.7, lambda_ce=1.5)(logits, target)
    got = value(logits, target, kind="dice+bce", dice_weight=0.7, bce_weight=1.5)
    assert got == pytest.approx(float(wanted), abs=1e-9)


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, None), (2.0, 0.25), (0.5, None), (3.5, 0.6)])
def test_focal_is_monais(gamma: float, alpha: float | None) -> None:
    logits, target = heads((B, K, Z, Y, X))
    wanted = monai.losses.FocalLoss(gamma=gamma, alpha=alpha)(logits, target)
    assert value(logits, target, kind="focal", gamma=gamma, alpha=alpha) == pytest.approx(float(wanted), abs=1e-6)


@pytest.mark.parametrize("weights", [None, (0.2, 1.0, 3.0)])
@pytest.mark.parametrize("shape", [(B, K, Y, X), (B, K, Z, Y, X)])
def test_cross_entropy_is_torchs_with_class_weights(shape: tuple[int, ...], weights: tuple[float, ...] | None) -> None:
    logits, target = classes(shape)
    target[0, 0] = IGNORED
    tensor = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    wanted = functional.cross_entropy(logits, target, weight=tensor, ignore_index=IGNORED)
    assert value(logits, target, kind="cross-entropy", class_weights=weights) == pytest.approx(float(wanted), abs=1e-9)
    assert value(logits, target, kind="softmax-focal", gamma=0.0, class_weights=weights) == pytest.approx(
        float(wanted), abs=1e-9
    )


def test_softmax_focal_is_monais_times_the_number_of_classes() -> None:
    """MONAI averages over classes too, of which all terms but one are zero; here over voxels, as cross-entropy."""
    logits, target = classes((B, K, Z, Y, X))
    monais = monai.losses.FocalLoss(gamma=2.0, use_softmax=True, to_onehot_y=True)(logits, target.unsqueeze(1))
    assert value(logits, target, kind="softmax-focal") == pytest.approx(K * float(monais), abs=1e-6)


@pytest.mark.parametrize("kind", SIGMOID + SOFTMAX)
@pytest.mark.parametrize("shape", [(B, K, Y, X), (B, K, Z, Y, X)])
def test_an_unlabelled_voxel_has_no_gradient_and_no_say(kind: str, shape: tuple[int, ...]) -> None:
    """Even where the network's output there is infinite, NaN or far off."""
    logits, target = sample(kind, shape)
    hidden = torch.rand(target.shape, generator=torch.Generator().manual_seed(5)) < 0.4
    target[hidden] = IGNORED
    over_classes = hidden if kind in SIGMOID else hidden.unsqueeze(1).expand(shape)
    loss = build_loss(LossSettings(kind=kind), K)
    values, gradients = [], []
    for odd in (0.0, 1e30, float("inf"), float("nan")):
        changed = logits.clone()
        changed[over_classes] = odd
        changed.requires_grad_()
        result = loss(changed, target)
        result.backward()
        values.append(float(result.detach()))
        gradients.append(changed.grad)
    assert values[0] > 0
    assert values == [values[0]] * 4
    for gradient in gradients:
        assert (gradient[over_classes] == 0).all()
        assert (gradient[~over_classes] != 0).all()
        assert torch.equal(gradient, gradients[0])


@pytest.mark.parametrize("kind", SIGMOID + SOFTMAX)
def test_the_value_is_that_of_the_rest(kind: str) -> None:
    """Hiding the last columns equals cutting them off."""
    logits, target = sample(kind)
    wanted = value(logits[..., :4], target[..., :4], kind=kind)
    target[..., 4:] = IGNORED
    assert value(logits, target, kind=kind) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("kind", SIGMOID)
def test_a_head_without_labels_in_a_sample_is_masked(kind: str) -> None:
    """Head 1 unlabelled everywhere: the loss of the other two; gradients for it exactly 0."""
    logits, target = heads()
    wanted = value(logits[:, [0, 2]], target[:, [0, 2]], kind=kind)
    target[:, 1] = IGNORED
    assert value(logits, target, kind=kind) == pytest.approx(wanted, abs=1e-12)
    target[0, 0] = IGNORED  # head 0 labelled in the second sample alone
    logits.requires_grad_()
    build_loss(LossSettings(kind=kind), K)(logits, target).backward()
    is_touched = logits.grad.abs().sum((2, 3)) > 0
    assert is_touched.tolist() == [[False, False, True], [True, False, True]]


@pytest.mark.parametrize("kind", SIGMOID + SOFTMAX)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_labelled_is_zero_not_nan(kind: str, dtype: torch.dtype) -> None:
    logits, target = sample(kind)
    logits = logits.to(dtype).requires_grad_()
    result = build_loss(LossSettings(kind=kind), K)(logits, torch.full_like(target, IGNORED))
    result.backward()
    assert float(result.detach()) == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("kind", SIGMOID + SOFTMAX)
def test_extreme_logits_stay_finite(kind: str) -> None:
    logits, target = sample(kind)
    for gamma in (0.5, 2.0):
        settings = {"gamma": gamma} if "focal" in kind else {}
        huge = (logits.float() * 1e4).requires_grad_()
        result = build_loss(LossSettings(kind=kind, **settings), K)(huge, target)
        result.backward()
        assert torch.isfinite(result)
        assert torch.isfinite(huge.grad).all()


@pytest.mark.parametrize("kind", SIGMOID + SOFTMAX)
def test_gradients_are_those_of_the_value(kind: str) -> None:
    """Numerical differentiation in float64."""
    logits, target = sample(kind, (1, 2, 3, 4))
    target[0, ..., 0, 0] = IGNORED
    loss = build_loss(LossSettings(kind=kind), 2)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), (logits.requires_grad_(),))


@pytest.mark.parametrize("kind", SIGMOID + SOFTMAX)
def test_autocast_does_not_lower_the_precision(kind: str) -> None:
    logits, target = sample(kind)
    half = logits.bfloat16()
    wanted = value(half.float(), target, kind=kind)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = build_loss(LossSettings(kind=kind), K)(half, target)
    assert result.dtype == torch.float32
    assert float(result) == wanted


@pytest.mark.parametrize("kind", SIGMOID + SOFTMAX)
def test_whole_number_targets_are_the_same(kind: str) -> None:
    logits, target = sample(kind)
    target[0, ..., 0] = IGNORED
    assert value(logits, target.to(torch.uint8), kind=kind) == value(logits, target, kind=kind)


def test_activation_follows_the_kind() -> None:
    assert [LossSettings(kind=kind).activation for kind in SIGMOID] == ["sigmoid"] * 4
    assert [LossSettings(kind=kind).activation for kind in SOFTMAX] == ["softmax"] * 2


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "dice", "gamma": 1.0},
        {"kind": "bce", "alpha": 0.5},
        {"kind": "cross-entropy", "positive_weights": (1.0,)},
        {"kind": "bce", "class_weights": (1.0, 2.0)},
        {"kind": "softmax-focal", "head_weights": (1.0, 2.0)},
        {"kind": "bce", "head_weights": (0.0, 0.0)},
        {"kind": "bce", "head_weights": (-1.0, 2.0)},
        {"kind": "bce", "positive_weights": (float("nan"),)},
        {"kind": "bce", "positive_weights": ()},
        {"kind": "dice", "smoothing": 0.0},
        {"kind": "hinge"},
    ],
)
def test_a_setting_that_is_not_read_or_not_possible_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LossSettings(**settings)


def test_settings_survive_being_written_and_read() -> None:
    settings = LossSettings(kind="focal", alpha=0.25)
    assert LossSettings.model_validate(settings.model_dump()) == settings


def test_wrong_numbers_and_shapes_are_refused() -> None:
    with pytest.raises(SettingsError, match="E-LOSS-WEIGHTS"):
        build_loss(LossSettings(kind="bce", head_weights=(1.0, 2.0)), 3)
    logits, target = heads()
    for kind, bad in (("bce", target[:, :1]), ("bce", target[:, 0]), ("cross-entropy", target)):
        with pytest.raises(InputError, match="E-LOSS-SHAPE"):
            build_loss(LossSettings(kind=kind), K)(logits, bad)
    with pytest.raises(InputError, match="E-LOSS-SHAPE"):
        build_loss(LossSettings(), 2)(logits, target)


@pytest.mark.parametrize("kind", SIGMOID + SOFTMAX)
def test_a_weight_of_zero_is_unlabelled(kind: str) -> None:
    """The same value and gradients, bit for bit, also where the network gives NaN; exactly none in those voxels."""
    logits, target = sample(kind)
    hidden = torch.rand(target.shape, generator=torch.Generator().manual_seed(6)) < 0.4
    everywhere = hidden if kind in SIGMOID else hidden.unsqueeze(1).expand(logits.shape)
    loss = build_loss(LossSettings(kind=kind), K)
    results = []
    for masked, weights in ((target.clone(), None), (target.clone(), (~hidden).double())):
        if weights is None:
            masked[hidden] = IGNORED
        odd = logits.masked_fill(everywhere, float("nan")).requires_grad_()
        value_ = loss(odd, masked, weights)
        value_.backward()
        assert (odd.grad[everywhere] == 0).all()
        results.append((value_.detach(), odd.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert float(loss(logits, target, torch.zeros(target.shape))) == 0


@pytest.mark.parametrize("kind", ["bce", "focal", "cross-entropy", "softmax-focal"])
def test_weights_weigh_the_mean_over_voxels(kind: str) -> None:
    """As torch's and MONAI's values per voxel in NumPy's weighted mean."""
    logits, target = sample(kind)
    weights = torch.rand(target.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    if kind == "bce":
        each = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    elif kind == "focal":
        each = monai.losses.FocalLoss(gamma=2.0, reduction="none")(logits, target)
    elif kind == "cross-entropy":
        each = functional.cross_entropy(logits, target, reduction="none")
    else:
        classes_ = monai.losses.FocalLoss(gamma=2.0, use_softmax=True, to_onehot_y=True, reduction="none")
        each = classes_(logits, target.unsqueeze(1)).sum(1)
    loss = build_loss(LossSettings(kind=kind), K)
    wanted = np.average(each.numpy(), weights=weights.numpy())
    assert float(loss(logits, target, weights)) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_weighted_dice_of_a_countable_case(reduction: str) -> None:
    """Prediction 1 1 0, truth 1 0 1, weights 1, 1/2, 1/4: common 1, sizes 3/2 and 5/4, so 1 - 2 / 2.75."""
    logits = torch.tensor([[[100.0, 100.0, -100.0]]], dtype=torch.float64)
    target = torch.tensor([[[1.0, 0.0, 1.0]]], dtype=torch.float64)
    weights = torch.tensor([[[1.0, 0.5, 0.25]]])
    loss = build_loss(LossSettings(kind="dice", smoothing=1e-9, head_reduction=reduction), 1)
    assert float(loss(logits, target, weights)) == pytest.approx(1 - 2 / 2.75, abs=1e-8)
    with pytest.raises(InputError, match=r"E-LOSS-SHAPE.*weights"):
        loss(logits, target, weights[0])
