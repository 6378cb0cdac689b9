"""Training in bf16: as fast as promised, never a broken step, and the same loss as in fp32. Slow, by hand."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch

from tomocyte.networks import build_network
from tomocyte.networks.engine.precision import autocast_for, has_bf16
from tomocyte.training.losses import LossSettings, build_loss
from tomocyte.training.optimisation import OptimiserSettings, StepGuard, build_optimiser, step_if_finite

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not has_bf16("cpu"), reason="this processor has no bf16 units"),
]


def discs(shape: tuple[int, ...], step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy images (B, 1, *S) with a bright ball each, and its mask."""
    generator = torch.Generator().manual_seed(step)
    sizes = torch.tensor(shape[2:], dtype=torch.float32)
    grid = torch.stack(torch.meshgrid(*[torch.arange(n, dtype=torch.float32) for n in shape[2:]], indexing="ij"))
    centres = (0.25 + 0.5 * torch.rand(shape[0], len(sizes), generator=generator)) * sizes
    places = grid.unsqueeze(0) - centres.reshape(shape[0], -1, *[1] * len(sizes))
    radius = float(sizes.min()) * (0.15 + 0.15 * torch.rand(shape[0], generator=generator))
    inside = places.square().sum(1).sqrt() < radius.reshape(-1, *[1] * len(sizes))  # (B, *S)
    mask = inside.unsqueeze(1).float()
    return mask + torch.randn(shape, generator=generator), mask


def train(name: str, shape: tuple[int, ...], precision: str, n_steps: int) -> Iterator[tuple[float, float, StepGuard]]:
    """CPU seconds and loss of each step."""
    torch.manual_seed(0)
    module, settings = build_network(name), OptimiserSettings(learning_rate=1e-3)
    optimiser, guard = build_optimiser(settings, module.parameters()), StepGuard(module)
    loss = build_loss(LossSettings(kind="dice+bce"), 1)
    used, autocast = autocast_for("cpu", precision)  # type: ignore[arg-type]
    assert used == precision
    for step in range(n_steps):
        image, mask = discs(shape, step)
        start = time.process_time()
        with autocast():
            logits = module(image)
        value = loss(logits, mask)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        step_if_finite(optimiser, guard, settings)
        yield time.process_time() - start, float(value.detach()), guard


@pytest.mark.parametrize(("name", "shape"), [("osnet", (4, 1, 32, 32)), ("unet3d", (1, 1, 16, 32, 32))])
def test_a_thousand_bf16_steps_are_finite_and_learn_as_fp32_does(name: str, shape: tuple[int, ...]) -> None:
    last = {}
    for precision, n_steps in (("bf16", 1000), ("fp32", 300)):
        steps = list(train(name, shape, precision, n_steps))
        assert steps[-1][2].n_skipped == 0
        assert steps[-1][2].n_steps == n_steps
        last[precision] = sum(value for _, value, _ in steps[250:300]) / 50
        first = sum(value for _, value, _ in steps[:10]) / 10
        print(f"{name} {shape} {precision}: loss {first:.4f} -> {last[precision]:.4f} at steps 250-300, 0 skipped")
        assert last[precision] < 0.6 * first
    assert last["bf16"] == pytest.approx(last["fp32"], rel=0.15)


@pytest.mark.parametrize(
    ("name", "shape", "least"),
    [("osnet", (8, 1, 96, 96), 1.4), ("unet3d", (1, 1, 32, 96, 96), 1.8)],
)
def test_a_bf16_step_is_faster(name: str, shape: tuple[int, ...], least: float) -> None:
    """Median of four steps after a first one, in CPU time."""
    times = {p: sorted(t for t, _, _ in list(train(name, shape, p, 5))[1:])[2] for p in ("fp32", "bf16")}
    print(f"{name} {shape}: {times}, {times['fp32'] / times['bf16']:.2f} x")
    assert times["fp32"] / times["bf16"] > least
