"""The attention U-Nets of Zhanghao et al.: as many parameters as the authors' programs, and their wiring."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tomocyte.errors import SettingsError
from tomocyte.networks import build_network, count_parameters
from tomocyte.networks.attention_unet3d import AttentionUNet3d, Gate


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"form": "preprint", "n_inputs": 2, "n_outputs": 1}, 17_606_925),
        ({"form": "preprint", "n_inputs": 1, "n_outputs": 3}, 17_606_527),
        ({"form": "preprint", "n_inputs": 1, "n_outputs": 4}, 17_606_544),
        ({"n_inputs": 2, "n_outputs": 1}, 5_402_781),
        ({"n_inputs": 2, "n_outputs": 1, "is_residual": True}, 5_490_861),
    ],
)
def test_has_as_many_parameters_as_the_authors_networks(options: dict[str, object], count: int) -> None:
    with torch.device("meta"):
        assert count_parameters(build_network("attention-unet3d", options)) == count


def small(**options: object) -> AttentionUNet3d:
    torch.manual_seed(0)
    module = build_network("attention-unet3d", {"width": 2, **options})
    assert isinstance(module, AttentionUNet3d)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm3d):  # of its own, so that the order of layers shows
                assert part.running_mean is not None
                assert part.running_var is not None
                for values in (part.weight, part.bias, part.running_mean):
                    nn.init.normal_(values)
                nn.init.uniform_(part.running_var, 0.5, 2)
    return module.eval()


@pytest.mark.parametrize(
    ("form", "divisor", "bottom"), [("preprint", (8, 64, 64), (3, 4, 4)), ("published", (8, 16, 16), (3, 16, 16))]
)
def test_a_published_patch_shrinks_to_the_published_size(
    form: str, divisor: tuple[int, ...], bottom: tuple[int, ...]
) -> None:
    with torch.device("meta"):
        module = build_network("attention-unet3d", {"form": form, "n_outputs": 3})
        seen: dict[str, tuple[int, ...]] = {}
        for name, part in module.levels().items():
            part.register_forward_hook(lambda _part, _in, out, name=name: seen.update({name: tuple(out.shape[1:])}))
        module(torch.zeros(1, 2, 24, 256, 256))
    assert module.divisor == divisor
    assert seen["bridge"] == (256, *bottom)
    assert seen["down 2"] == seen["up 3"] == (32, 24, 128, 128)  # z is whole in the first two levels
    assert seen["output"] == (3, 24, 256, 256)


def test_a_gate_multiplies_skipped_features_by_what_both_decide() -> None:
    """By hand, one voxel: sigmoid(N(v · relu(N(A g) + N(B s)))) s; N(x) = γ (x - mean) / √(variance + 1e-5) + β."""
    torch.manual_seed(1)
    gate = Gate(3, 2).double().eval()
    rng = np.random.default_rng(2)

    def linear(part: nn.Module, values: np.ndarray) -> np.ndarray:
        convolution, norm = part[0], part[1]  # type: ignore[index]
        with torch.no_grad():
            for each in (norm.weight, norm.bias, norm.running_mean):
                each.copy_(torch.from_numpy(rng.normal(size=each.shape)))
            norm.running_var.copy_(torch.from_numpy(rng.uniform(0.5, 2, size=norm.running_var.shape)))
        weight, bias = convolution.weight.detach().numpy()[:, :, 0, 0, 0], convolution.bias.detach().numpy()
        mean, variance = norm.running_mean.numpy(), norm.running_var.numpy()
        scale = norm.weight.detach().numpy() / np.sqrt(variance + 1e-5)
        return np.asarray((weight @ values + bias - mean) * scale + norm.bias.detach().numpy())

    gating, skip = rng.normal(size=3), rng.normal(size=3)
    between = np.maximum(linear(gate.of_gating, gating) + linear(gate.of_skip, skip), 0)
    expected = skip / (1 + np.exp(-linear(gate.attention, between)))
    with torch.no_grad():
        found = gate(*(torch.from_numpy(values).reshape(1, 3, 1, 1, 1) for values in (gating, skip)))
    np.testing.assert_allclose(found.flatten().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(("form", "is_skip_first"), [("preprint", True), ("published", False)])
def test_where_skipped_features_stand_before_a_decoders_block(form: str, is_skip_first: bool) -> None:
    up = small(form=form).ups[-1]
    seen: list[torch.Tensor] = []
    up.block.register_forward_pre_hook(lambda _part, given: seen.append(given[0]))
    with torch.no_grad():
        up(torch.randn(1, 4, 2, 3, 4), torch.zeros(1, 2, 2, 6, 8))  # a gate times 0 is 0
    first, second = seen[0][:, :2], seen[0][:, 2:]
    assert bool((first == 0).all()) is is_skip_first
    assert bool((second == 0).all()) is not is_skip_first


def test_repeated_outermost_voxels_leave_a_constant_image_constant_and_zeros_do_not() -> None:
    image = torch.full((1, 2, 6, 6, 6), 0.7)
    with torch.no_grad():
        flat, bent = (small(form=form).downs[0].units[0][0](image) for form in ("published", "preprint"))
        assert float(small()(torch.full((1, 2, 16, 64, 64), 0.7)).std()) < 1e-5
    assert float(flat.std(dim=(2, 3, 4)).max()) < 1e-6
    assert float(bent.std(dim=(2, 3, 4)).min()) > 1e-3


def test_the_preprint_repeats_voxels_and_the_published_form_interpolates_up_to_the_corners() -> None:
    """Trilinear with aligned corners over 2 voxels: 0, 1/3, 2/3, 1."""
    ramp = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 1, 2)
    repeated = small(form="preprint").ups[-1].enlarge[0](ramp)
    smooth = small().ups[-1].enlarge[0](ramp)
    assert repeated[0, 0, 0, 0].tolist() == [0, 0, 1, 1]
    assert smooth[0, 0, 0, 0].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_the_preprint_has_no_residual_form() -> None:
    with pytest.raises(SettingsError, match="published"):
        build_network("attention-unet3d", {"form": "preprint", "is_residual": True})
