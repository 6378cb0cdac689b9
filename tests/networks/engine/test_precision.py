"""bf16 on a CPU: gradients of convolutions on images smaller than the kernel, which oneDNN gets wrong in bf16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from tomocyte.networks import build_network
from tomocyte.networks.engine.precision import autocast_for, cpu_autocast, has_bf16

Convolution = Callable[..., torch.Tensor]
native = pytest.mark.skipif(not has_bf16("cpu"), reason="this processor has no bf16 units")


def rounded(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Normal numbers that bf16 holds exactly."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16().double()


def weight_gradient(
    convolution: Convolution, image: torch.Tensor, weight: torch.Tensor, options: dict[str, Any], *, is_bf16: bool
) -> tuple[torch.dtype, torch.Tensor]:
    """What the convolution is computed in, and d sum(result * r) / d weight with r of normal numbers."""
    precision = torch.float32 if is_bf16 else torch.float64
    own = weight.to(precision, copy=True).requires_grad_()
    if is_bf16:
        with cpu_autocast():
            result = convolution(image.to(precision), own, **options)
    else:
        result = convolution(image.to(precision), own, **options)
    (result * rounded(tuple(result.shape), 3).to(result.dtype)).sum().backward()
    assert own.grad is not None
    return result.dtype, own.grad.double()


# By hand: along some axis the image has fewer voxels than (kernel - 1) * dilation + 1.
SMALL = [
    (functional.conv3d, (2, 16, 2, 6, 6), (16, 16, 3, 3, 3), {"padding": 1}),
    (functional.conv3d, (2, 16, 6, 6, 3), (16, 16, 3, 3, 3), {"padding": 2, "dilation": 2}),
    (functional.conv3d, (2, 16, 4, 6, 6), (16, 16, 5, 1, 1), {"padding": (2, 0, 0)}),
    (functional.conv2d, (2, 16, 6, 1), (16, 16, 3, 3), {"padding": 1, "stride": 2}),
    (functional.conv_transpose2d, (2, 16, 1, 6), (16, 16, 4, 4), {"padding": 1, "stride": 2}),
]
LARGE = [
    (functional.conv3d, (2, 16, 3, 6, 6), (16, 16, 3, 3, 3), {"padding": 1}),
    (functional.conv2d, (2, 16, 5, 5), (16, 16, 3, 3), {"padding": 2, "dilation": 2}),
    (functional.conv3d, (2, 16, 1, 6, 6), (16, 16, 1, 1, 1), {}),
    (functional.conv_transpose3d, (2, 16, 3, 4, 4), (16, 16, 2, 2, 2), {"stride": 2}),
    (functional.conv_transpose2d, (2, 16, 8, 8), (16, 16, 4, 4), {"padding": 1, "stride": 2}),
]


@native
@pytest.mark.parametrize(("convolution", "image", "weight", "options"), SMALL + LARGE)
def test_the_gradient_of_the_weights_is_that_of_float64(
    convolution: Convolution, image: tuple[int, ...], weight: tuple[int, ...], options: dict[str, Any]
) -> None:
    parts = rounded(image, 1), rounded(weight, 2)
    exact = weight_gradient(convolution, *parts, options, is_bf16=False)[1]
    for _ in range(3):  # what memory holds differs from call to call
        used, gradient = weight_gradient(convolution, *parts, options, is_bf16=True)
        assert used == (torch.float32 if (convolution, image, weight, options) in SMALL else torch.bfloat16)
        assert (gradient - exact).abs().max() < 0.02 * exact.abs().max()


@native
def test_the_deepest_level_of_a_network_of_two_planes_learns() -> None:
    torch.manual_seed(0)
    module = build_network("unet3d", {"strides": [[2, 2, 2], [2, 2, 2]]}).train()
    image, r = rounded((2, 1, 8, 32, 32), 1).float(), rounded((2, 1, 8, 32, 32), 2).float()
    gradients = []
    for precision in ("fp32", "bf16"):
        module.zero_grad()
        with autocast_for("cpu", precision)[1]():  # type: ignore[arg-type]
            result = module(image)
        (result.float() * r).sum().backward()
        gradients.append([weight.grad.clone() for weight in module.parameters() if weight.grad is not None])
    for exact, gradient in zip(*gradients, strict=True):
        assert torch.linalg.vector_norm(gradient - exact) < 0.3 * torch.linalg.vector_norm(exact) + 1e-2
