"""The two-dimensional attention U-Net: its parameters by formula, what its gates do, where skipped features stand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tomocyte.errors import SettingsError
from tomocyte.networks import build_network, count_parameters
from tomocyte.networks.attention_unet2d import AttentionUNet2d, Gate


def expected_parameters(width: int, n_levels: int, n_inputs: int, n_outputs: int) -> int:
    """Counted layer by layer: 9 a b weights of a 3 x 3, 2 b of its normalisation; no bias but in the head."""
    widths = [width * 2**level for level in range(n_levels)]

    def unit(n_in: int, n_out: int, area: int) -> int:
        return area * n_in * n_out + 2 * n_out

    down = sum(unit(a, b, 9) + unit(b, b, 9) for a, b in zip([n_inputs, *widths[:-1]], widths, strict=True))
    up = 0
    for n in widths[:-1]:
        gate = 2 * unit(n, n // 2, 1) + unit(n // 2, 1, 1)
        up += unit(2 * n, n, 9) + gate + unit(2 * n, n, 9) + unit(n, n, 9)
    return down + up + width * n_outputs + n_outputs


@pytest.mark.parametrize(("width", "n_levels"), [(16, 5), (8, 5), (4, 3)])
def test_has_the_parameters_of_its_layers(width: int, n_levels: int) -> None:
    options = {"width": width, "n_levels": n_levels, "n_inputs": 1, "n_outputs": 2}
    with torch.device("meta"):
        module = build_network("attention-unet2d", options)
    assert count_parameters(module) == expected_parameters(width, n_levels, 1, 2)
    assert module.divisor == (2 ** (n_levels - 1),) * 2


def test_a_closed_gate_lets_nothing_pass_and_an_open_one_all() -> None:
    gate = Gate(4, "batch").eval()
    gating, skip = torch.randn(1, 4, 5, 6), torch.randn(1, 4, 5, 6)
    norm = gate.attention[0][1]
    with torch.no_grad():
        nn.init.zeros_(norm.weight)
        for bias, expected in ((-30.0, torch.zeros_like(skip)), (30.0, skip), (0.0, skip / 2)):
            nn.init.constant_(norm.bias, bias)
            torch.testing.assert_close(gate(gating, skip), expected, rtol=1e-6, atol=1e-6)


def test_the_gates_are_on_the_skipped_features() -> None:
    """With the deepest features alone the network still answers; with closed gates the skipped ones change nothing."""
    torch.manual_seed(2)
    module = build_network("attention-unet2d", {"width": 4, "n_levels": 3}).eval()
    assert isinstance(module, AttentionUNet2d)
    with torch.no_grad():
        up = module.ups[-1]
        nn.init.zeros_(up.gate.attention[0][1].weight)
        nn.init.constant_(up.gate.attention[0][1].bias, -200.0)
        features = torch.randn(1, 8, 6, 7)
        results = [up(features, torch.randn(1, 4, 12, 14)) for _ in range(2)]
    torch.testing.assert_close(*results)


def test_a_network_without_normalisation_is_refused() -> None:
    with pytest.raises(SettingsError, match="norm"):
        build_network("attention-unet2d", {"norm": "none"})
