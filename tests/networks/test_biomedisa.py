"""Biomedisa's U-Net: as many parameters as Keras counts, and the wiring that ACSeg's weights need."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tomocyte.networks import build_network
from tomocyte.networks.biomedisa import Biomedisa


def keras_count(module: nn.Module) -> int:
    """Parameters and running statistics, as Keras counts them together."""
    running = sum(value.numel() for name, value in module.named_buffers() if "running" in name)
    return sum(part.numel() for part in module.parameters()) + running


@pytest.mark.parametrize(
    ("n_levels", "n_inputs", "n_outputs", "count"),
    [
        (5, 1, 3, 23_544_131),
        (5, 1, 2, 23_544_098),
        (6, 1, 3, 94_338_371),
        (6, 1, 2, 94_338_338),
        (6, 2, 3, 94_339_235),  # the second level of ACSeg sees the image and the first level's labels
    ],
)
def test_counts_as_keras_does(n_levels: int, n_inputs: int, n_outputs: int, count: int) -> None:
    with torch.device("meta"):
        module = build_network("biomedisa", {"n_levels": n_levels, "n_inputs": n_inputs, "n_outputs": n_outputs})
    assert keras_count(module) == count
    assert module.divisor == (2 ** (n_levels - 1),) * 3


def test_six_levels_have_as_many_trainable_parameters_as_keras_trains() -> None:
    with torch.device("meta"):
        module = build_network("biomedisa", {"n_levels": 6, "n_outputs": 3})
    assert sum(part.numel() for part in module.parameters()) == 94_326_339


def small() -> Biomedisa:
    torch.manual_seed(0)
    module = build_network("biomedisa", {"width": 4, "n_levels": 2, "n_outputs": 3})
    assert isinstance(module, Biomedisa)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm3d):  # of its own, so that the order of layers shows
                for values in (part.weight, part.bias, part.running_mean):
                    assert values is not None
                    nn.init.normal_(values)
                assert part.running_var is not None
                nn.init.uniform_(part.running_var, 0.5, 2)
    return module.eval()


def test_a_stage_is_convolution_relu_normalisation_relu_with_keras_constants() -> None:
    """By hand, with the formula of Keras: gamma (x - mean) / sqrt(variance + 0.001) + beta."""
    module = small()
    stage = module.downs[0][0]  # type: ignore[index]
    image = torch.randn(1, 1, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    weights = {name: value.double() for name, value in stage.state_dict().items()}
    features = nn.functional.conv3d(image.double(), weights["0.weight"], weights["0.bias"], padding=1).clamp_min(0)
    shape = (1, -1, 1, 1, 1)
    features = features - weights["2.running_mean"].reshape(shape)
    features = features / (weights["2.running_var"] + 1e-3).sqrt().reshape(shape)
    features = features * weights["2.weight"].reshape(shape) + weights["2.bias"].reshape(shape)
    with torch.no_grad():
        torch.testing.assert_close(stage(image).double(), features.clamp_min(0), rtol=1e-5, atol=1e-5)


def test_running_statistics_keep_99_hundredths_in_each_step() -> None:
    module = build_network("biomedisa", {"width": 2, "n_levels": 2}).train()
    seen: list[torch.Tensor] = []
    stage = module.downs[0][0]  # type: ignore[index]
    stage[2].register_forward_pre_hook(lambda _part, inputs: seen.append(inputs[0].clone()))
    with torch.no_grad():
        module(torch.randn(2, 1, 4, 4, 4))
    torch.testing.assert_close(stage[2].running_mean, 0.01 * seen[0].mean((0, 2, 3, 4)))


def test_going_up_repeats_voxels_and_puts_skipped_features_last() -> None:
    up = small().ups[0]
    features, skip = torch.randn(1, 8, 1, 2, 3), torch.randn(1, 4, 2, 4, 6)
    repeated = np.kron(features.numpy(), np.ones((1, 1, 2, 2, 2), np.float32))
    with torch.no_grad():
        expected = up.block(torch.from_numpy(np.concatenate((repeated, skip.numpy()), axis=1)))  # type: ignore[operator]
        torch.testing.assert_close(up(features, skip), expected)


def test_kernels_start_uniform_within_the_bounds_of_glorot_and_biases_at_zero() -> None:
    torch.manual_seed(0)
    module = build_network("biomedisa", {"n_levels": 3})
    assert isinstance(module, Biomedisa)
    convolution = module.bridge[1][0]
    bound = (6 / (27 * 128 + 27 * 128)) ** 0.5
    weight = convolution.weight.detach()
    assert float(weight.abs().max()) == pytest.approx(bound, rel=1e-3)
    assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.01)
    assert not any(part.bias.any() for part in module.modules() if isinstance(part, nn.Conv3d))


def test_keeps_the_shape_and_gives_each_parameter_a_gradient() -> None:
    module = small().train()
    logits = module(torch.randn(2, 1, 6, 8, 10, generator=torch.Generator().manual_seed(1)))
    assert logits.shape == (2, 3, 6, 8, 10)
    (logits * torch.randn(logits.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
    assert all(part.grad is not None and bool(part.grad.any()) for part in module.parameters())
