"""The pieces of networks against their formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tomocyte.errors import SettingsError
from tomocyte.networks import network_entries
from tomocyte.networks.blocks import activation_layer, up_convolution
from tomocyte.networks.registry import find_network

VALUES = np.array([-2.0, -0.5, 0.0, 0.5, 3.0])


@pytest.mark.parametrize(
    ("kind", "slope", "expected"),
    [
        ("relu", 0.01, np.maximum(VALUES, 0)),
        ("leaky-relu", 0.01, np.where(VALUES < 0, 0.01 * VALUES, VALUES)),
        ("leaky-relu", 0.2, np.where(VALUES < 0, 0.2 * VALUES, VALUES)),
        ("elu", 0.01, np.where(VALUES < 0, np.expm1(VALUES), VALUES)),
    ],
)
def test_activations(kind: Any, slope: float, expected: Any) -> None:
    found = activation_layer(kind, slope=slope)(torch.from_numpy(VALUES.copy()))
    np.testing.assert_allclose(found.numpy(), expected)


@pytest.mark.parametrize("kernel", [3, 4])
def test_a_transposed_convolution_doubles_and_lays_its_kernel_at_every_second_pixel(kernel: Any) -> None:
    """One pixel of 1 spreads the kernel around twice its place, one pixel of padding cut off; there is no bias."""
    layer = up_convolution(1, 1, kernel)
    image = torch.zeros(1, 1, 5, 6)
    image[0, 0, 2, 3] = 1
    expected = np.zeros((10, 12), np.float32)
    expected[3 : 3 + kernel, 5 : 5 + kernel] = layer.weight[0, 0].detach().numpy()
    assert layer.bias is None
    np.testing.assert_array_equal(layer(image)[0, 0].detach().numpy(), expected)


def test_an_entry_is_found_by_its_name_alone() -> None:
    assert all(find_network(entry.name) is entry for entry in network_entries())
    with pytest.raises(SettingsError, match=r"E-NETWORK.*'OSNET'"):
        find_network("OSNET")
