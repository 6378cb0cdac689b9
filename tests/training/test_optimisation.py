"""Schedules against closed forms and torch's, averaged weights against torch's, bit-for-bit resuming, skipped steps."""

from __future__ import annotations

import copy
import io
import math

import pytest
import torch
from pydantic import ValidationError
from torch.optim import swa_utils

from tomocyte.errors import SettingsError, TomocyteError
from tomocyte.training.optimisation import (
    OptimiserSettings,
    Schedule,
    ScheduleSettings,
    StepGuard,
    WeightAverage,
    build_optimiser,
    step_if_finite,
)


def network(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3, padding=1), torch.nn.BatchNorm2d(3), torch.nn.ReLU(), torch.nn.Conv2d(3, 2, 1)
    )


def batch(step: int) -> torch.Tensor:
    return torch.randn(2, 1, 5, 7, generator=torch.Generator().manual_seed(step))


def backward(module: torch.nn.Module, step: int) -> None:
    module.zero_grad(set_to_none=True)
    (module(batch(step)) ** 2).mean().backward()


def rates(settings: ScheduleSettings, n: int, *, base: float = 0.1, n_steps: int = 1000) -> list[float]:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
    schedule = Schedule(settings, optimiser, n_steps)
    found = []
    for _ in range(n):
        found.append(optimiser.param_groups[0]["lr"])
        assert found[-1] == schedule.learning_rate
        schedule.step()
    return found


def fresh(settings: OptimiserSettings, value: float = 1.0) -> tuple[torch.nn.Parameter, torch.optim.Optimizer]:
    weight = torch.nn.Parameter(torch.tensor([value], dtype=torch.float64))
    weight.grad = torch.tensor([0.5], dtype=torch.float64)
    return weight, build_optimiser(settings, [weight])


def test_adams_first_steps_are_the_papers() -> None:
    """Kingma & Ba, algorithm 1, by hand with OS-Net's betas."""
    weight, optimiser = fresh(OptimiserSettings(learning_rate=5e-4, betas=(0.5, 0.999)))
    theta, m, v = 1.0, 0.0, 0.0
    for t, gradient in enumerate((0.5, -0.2, 0.3), start=1):
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimiser.step()
        m, v = 0.5 * m + 0.5 * gradient, 0.999 * v + 0.001 * gradient**2
        theta -= 5e-4 * (m / (1 - 0.5**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
        assert float(weight.detach()) == pytest.approx(theta, abs=1e-14)


def test_weight_decay_is_coupled_or_decoupled() -> None:
    """A first Adam step moves by the rate whatever the gradient; AdamW also shrinks by rate × decay."""
    for kind, wanted in (("adam", 1 - 0.01), ("adamw", (1 - 0.01 * 0.1) - 0.01)):
        weight, optimiser = fresh(OptimiserSettings(kind=kind, learning_rate=0.01, weight_decay=0.1))
        optimiser.step()
        assert float(weight.detach()) == pytest.approx(wanted, abs=1e-8)


def test_nesterov_momentum() -> None:
    """v ← 0.9 v + g; step = g + 0.9 v."""
    weight, optimiser = fresh(OptimiserSettings(kind="sgd", learning_rate=0.01))
    optimiser.step()
    optimiser.step()
    v1 = 0.5
    v2 = 0.9 * v1 + 0.5
    wanted = 1 - 0.01 * (0.5 + 0.9 * v1) - 0.01 * (0.5 + 0.9 * v2)
    assert float(weight.detach()) == pytest.approx(wanted, abs=1e-14)
    plain, optimiser = fresh(OptimiserSettings(kind="sgd", learning_rate=0.01, is_nesterov=False, momentum=0.0))
    optimiser.step()
    assert float(plain.detach()) == pytest.approx(1 - 0.01 * 0.5, abs=1e-15)


def test_constant_and_warm_up() -> None:
    assert rates(ScheduleSettings(), 3) == [0.1] * 3
    assert rates(ScheduleSettings(n_warm_up_steps=4), 6) == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])


def test_inverse_decay_is_keras() -> None:
    found = rates(ScheduleSettings(kind="inverse-decay", decay=1e-2), 5)
    assert found == pytest.approx([0.1 / (1 + 1e-2 * step) for step in range(5)], rel=1e-15)


def test_cosine_is_torchs() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], lr=0.1)
    torchs = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=40, eta_min=1e-3)
    wanted = []
    for _ in range(40):
        wanted.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        torchs.step()
    settings = ScheduleSettings(kind="cosine", minimum=1e-3, n_warm_up_steps=10)
    found = rates(settings, 60, n_steps=50)
    assert found[:10] == pytest.approx([0.01 * n for n in range(1, 11)])
    assert found[10:50] == pytest.approx(wanted, abs=1e-12)
    assert found[50:] == [1e-3] * 10


def test_plateau_is_torchs() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    theirs, ours = torch.optim.SGD([weight], lr=0.1), torch.optim.SGD([weight], lr=0.1)
    torchs = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, factor=0.3, patience=2, min_lr=1e-3)
    schedule = Schedule(ScheduleSettings(kind="plateau", factor=0.3, patience=2, minimum=1e-3), ours, 0)
    generator = torch.Generator().manual_seed(0)
    scores = [1.0, 0.9, 0.89999] + (torch.rand(60, generator=generator) + 0.5).tolist() + [0.3, 0.2] + [0.2] * 20
    seen = set()
    for score in scores:
        torchs.step(score)
        schedule.end_epoch(score)
        assert ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12)
        seen.add(round(ours.param_groups[0]["lr"], 9))
    assert seen == {0.1, 0.03, 0.009, 0.0027, 0.001}


def test_plateau_with_scores_below_zero() -> None:
    """Minus Dice: 10 % better each epoch is an improvement."""
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = Schedule(ScheduleSettings(kind="plateau", patience=0), optimiser, 0)
    for score in (-0.5, -0.55, -0.6):
        schedule.end_epoch(score)
        assert schedule.learning_rate == 0.1
    schedule.end_epoch(-0.6)
    assert schedule.learning_rate == pytest.approx(0.1 * 0.2)


def test_a_nan_score_is_no_improvement() -> None:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = Schedule(ScheduleSettings(kind="plateau", patience=0), optimiser, 0)
    schedule.end_epoch(math.nan)
    assert schedule.learning_rate == pytest.approx(0.02)


def test_every_group_keeps_its_own_rate() -> None:
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": weights[:1], "lr": 0.1}, {"params": weights[1:], "lr": 0.01}]
    optimiser = torch.optim.SGD(groups, lr=1.0)
    schedule = Schedule(ScheduleSettings(kind="inverse-decay", decay=0.5), optimiser, 10)
    schedule.step()
    schedule.step()
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.05, 0.005])


KINDS = [
    ScheduleSettings(n_warm_up_steps=3),
    ScheduleSettings(kind="plateau", patience=0, factor=0.5),
    ScheduleSettings(kind="cosine", n_warm_up_steps=2),
    ScheduleSettings(kind="inverse-decay", decay=0.1),
]


@pytest.mark.parametrize("schedule_settings", KINDS, ids=lambda s: s.kind)
@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
def test_a_resumed_training_takes_the_same_steps_bit_for_bit(kind: str, schedule_settings: ScheduleSettings) -> None:
    """Twelve steps at once, and stopped after each of them, through a file."""
    settings = OptimiserSettings(kind=kind, learning_rate=0.01, weight_decay=0.01, clip_norm=0.1)

    def start() -> tuple[object, ...]:
        module = network()
        optimiser = build_optimiser(settings, module.parameters())
        schedule = Schedule(schedule_settings, optimiser, 12)
        return module, optimiser, schedule, WeightAverage(module, decay=0.9), StepGuard(module)

    def go(parts: tuple[object, ...], step: int) -> None:
        module, optimiser, schedule, average, guard = parts
        backward(module, step)
        if step == 5:
            next(module.parameters()).grad[0] = math.nan
        step_if_finite(optimiser, guard, settings)
        schedule.step()
        average.update(module)
        if step % 3 == 2:
            schedule.end_epoch(1.0)

    whole, pieces = start(), start()
    for step in range(12):
        go(whole, step)
        file = io.BytesIO()
        go(pieces, step)
        torch.save([part.state_dict() for part in pieces], file)
        file.seek(0)
        pieces = start()
        for part, state in zip(pieces, torch.load(file, weights_only=True), strict=True):
            part.load_state_dict(state)
    assert whole[4].n_skipped == pieces[4].n_skipped == 1
    assert whole[2].state_dict() == pieces[2].state_dict()
    for one, other in ((whole[0].state_dict(), pieces[0].state_dict()), (whole[3].weights(), pieces[3].weights())):
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(whole[0][0].weight, network()[0].weight)


def test_the_average_is_torchs() -> None:
    module = network()
    ours = WeightAverage(module, decay=0.9, is_warmed_up=False)
    theirs = swa_utils.AveragedModel(module, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9), use_buffers=True)
    theirs.update_parameters(module)  # the first call copies
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
    for step in range(6):
        backward(module, step)
        optimiser.step()
        ours.update(module)
        theirs.update_parameters(module)
    found, wanted = ours.weights(), theirs.module.state_dict()
    for name in ("0.weight", "3.bias", "1.running_mean", "1.running_var", "1.weight"):
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-6, atol=1e-7)
        assert not torch.equal(found[name], module.state_dict()[name])
    assert int(found["1.num_batches_tracked"]) == 6


def test_the_average_by_hand_with_warm_up() -> None:
    """From 0, weight 1 each step: decays 1/10, 2/11, 3/12 … until 0.3 is the smaller."""
    module = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        module.weight.zero_()
        average = WeightAverage(module, decay=0.3)
        module.weight.fill_(1.0)
    wanted = 0.0
    for decay in (1 / 10, 2 / 11, 3 / 12, 0.3, 0.3):
        average.update(module)
        wanted = decay * wanted + (1 - decay)
        assert float(average.weights()["weight"]) == pytest.approx(wanted, abs=1e-12)


def test_averaged_weights_are_lent_and_given_back() -> None:
    module = network()
    average = WeightAverage(module)
    first = copy.deepcopy(module.state_dict())
    backward(module, 0)
    torch.optim.SGD(module.parameters(), lr=1.0).step()
    own = copy.deepcopy(module.state_dict())

    def fail_inside() -> None:
        with average.applied_to(module):
            assert all(torch.equal(value, first[name]) for name, value in module.state_dict().items())
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail_inside()
    assert all(torch.equal(value, own[name]) for name, value in module.state_dict().items())
    with pytest.raises(SettingsError, match="E-AVERAGE"):
        average.load_state_dict(WeightAverage(torch.nn.Linear(1, 1)).state_dict())
    with pytest.raises(SettingsError, match="E-AVERAGE"):
        WeightAverage(module, decay=1.0)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_a_broken_step_leaves_everything_as_it_was(odd: float) -> None:
    """Also the running statistics, which the broken forward pass had already changed."""
    module, settings = network(), OptimiserSettings(learning_rate=0.1)
    optimiser, guard = build_optimiser(settings, module.parameters()), StepGuard(module)
    backward(module, 0)
    assert step_if_finite(optimiser, guard, settings)
    before, moments = copy.deepcopy(module.state_dict()), copy.deepcopy(optimiser.state_dict())
    module.zero_grad()
    image = batch(1)
    image[0, 0, 2, 3] = odd
    module(image).sum().backward()
    assert not torch.isfinite(module[1].running_mean).all()
    assert not step_if_finite(optimiser, guard, settings)
    assert (guard.n_steps, guard.n_skipped, guard.n_in_a_row) == (1, 1, 1)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    for state, other in zip(optimiser.state_dict()["state"].values(), moments["state"].values(), strict=True):
        assert all(torch.equal(state[name], other[name]) for name in state)
    backward(module, 2)
    assert step_if_finite(optimiser, guard, settings)
    assert (guard.n_steps, guard.n_skipped, guard.n_in_a_row) == (2, 1, 0)


def test_too_many_broken_steps_stop_the_training() -> None:
    module, settings = network(), OptimiserSettings()
    optimiser, guard = build_optimiser(settings, module.parameters()), StepGuard(module, most_in_a_row=2)
    for step in range(3):
        backward(module, step)
        next(module.parameters()).grad[0] = math.nan
        if step < 2:
            assert not step_if_finite(optimiser, guard, settings)
        else:
            with pytest.raises(TomocyteError, match="E-TRAIN-NONFINITE"):
                step_if_finite(optimiser, guard, settings)
    assert guard.n_skipped == 3


def test_clipping_by_norm_and_by_value() -> None:
    """A gradient (3, 4) of norm 5 becomes (0.6, 0.8), or (1, 1)."""
    for clip, wanted in (({}, (3, 4)), ({"clip_norm": 1.0}, (0.6, 0.8)), ({"clip_norm": 9.0}, (3, 4)),
                         ({"clip_value": 1.0}, (1, 1))):  # fmt: skip
        module = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))])
        settings = OptimiserSettings(kind="sgd", learning_rate=1.0, momentum=0.0, is_nesterov=False, **clip)
        optimiser, guard = build_optimiser(settings, module.parameters()), StepGuard(module)
        for weight, gradient in zip(module, (3.0, 4.0), strict=True):
            weight.grad = torch.tensor([gradient])
        assert step_if_finite(optimiser, guard, settings)
        assert guard.gradient_norm == pytest.approx(5.0)
        assert [-float(weight.detach()) for weight in module] == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"betas": (0.9, 1.0)},
        {"clip_norm": 1.0, "clip_value": 1.0},
        {"kind": "sgd", "momentum": 0.0},
        {"learning_rate": 0.0},
        {"kind": "lion"},
        {"lr": 0.1},
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OptimiserSettings(**settings)


def test_a_cosine_needs_steps() -> None:
    with pytest.raises(SettingsError, match="E-SCHEDULE"):
        rates(ScheduleSettings(kind="cosine", n_warm_up_steps=10), 1, n_steps=10)
