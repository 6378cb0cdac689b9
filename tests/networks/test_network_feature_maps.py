"""Feature maps: names, shapes and values against the network's own parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tomocyte.errors import SettingsError
from tomocyte.networks import build_network
from tomocyte.networks.feature_maps import feature_maps


def test_levels_of_osnet_have_the_shapes_of_the_papers_figure() -> None:
    maps = feature_maps(build_network("osnet"), np.ones((1, 64, 96), np.float32))
    assert {name: array.shape for name, array in maps.items()} == {
        "down 1": (16, 64, 96),
        "down 2": (32, 32, 48),
        "down 3": (64, 16, 24),
        "down 4": (128, 8, 12),
        "bridge": (256, 4, 6),
        "up 1": (128, 8, 12),
        "up 2": (64, 16, 24),
        "up 3": (32, 32, 48),
        "up 4": (16, 64, 96),
        "output": (1, 64, 96),
    }


@pytest.mark.parametrize("name", ["unet16", "fusionnet-v2", "unet3d"])
def test_the_last_level_is_the_networks_output_and_follows_from_the_one_before(name: str) -> None:
    torch.manual_seed(0)
    module = build_network(name, {"n_outputs": 2})
    image = np.random.default_rng(0).standard_normal((1, *(2 * step for step in module.divisor))).astype(np.float32)
    state = {key: value.clone() for key, value in module.state_dict().items()}
    maps = feature_maps(module, image)
    assert module.training
    assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())
    assert not any(part._forward_hooks for part in module.modules())
    module.eval()
    *_, last_up, output = maps
    with torch.no_grad():
        np.testing.assert_allclose(maps[output], module(torch.from_numpy(image)[None])[0].numpy(), atol=1e-5)
        again = module.head(torch.from_numpy(maps[last_up])[None])[0].numpy()
    np.testing.assert_allclose(maps[output], again, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 30, 32), (2, 32, 32), (32, 32)])
def test_an_image_that_does_not_fit_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(SettingsError, match="E-NETWORK-SHAPE"):
        feature_maps(build_network("unet16"), np.zeros(shape, np.float32))


def test_a_module_from_elsewhere_is_refused() -> None:
    with pytest.raises(SettingsError, match="E-NETWORK"):
        feature_maps(nn.Conv2d(1, 1, 1), np.zeros((1, 32, 32), np.float32))
