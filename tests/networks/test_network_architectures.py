"""What each architecture promises beyond the contract: wiring, padding, pooling, normalisation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tomocyte.networks import Network, build_network
from tomocyte.networks.blocks import GlobalConvolution, convolution_unit, norm_layer
from tomocyte.networks.fusionnet import FusionNet
from tomocyte.networks.osnet import OSNet
from tomocyte.networks.unet3d import fold, unfold


def trained_a_little(module: Network, *space: int) -> Network:
    """The same network with running statistics of its own, in evaluation mode."""
    with torch.no_grad():
        module(torch.randn(2, module.n_inputs, *space))
    return module.eval()


def test_the_global_convolution_is_a_cross_of_two_full_windows() -> None:
    """Ones everywhere: k x 1 then 1 x k sums a k x k window; both branches do, so an inner pixel sees 2 k²."""
    layer = GlobalConvolution(1, kernel=7, norm="none")
    for parameter in layer.parameters():
        nn.init.ones_(parameter) if parameter.ndim == 4 else nn.init.zeros_(parameter)
    with torch.no_grad():
        out = layer(torch.ones(1, 1, 20, 30))[0, 0]
    assert out.shape == (20, 30)
    assert out[10, 15] == 2 * 7 * 7
    assert out[0, 0] == 2 * 4 * 4  # a corner sees 4 x 4 of the image; wrong padding would see more or less
    assert out[0, 15] == out[10, 0] == 2 * 4 * 7
    assert torch.equal(out, out.flip(0))
    assert torch.equal(out, out.flip(1))


def test_pool_from_changes_what_goes_down_but_not_what_is_skipped() -> None:
    torch.manual_seed(0)
    summed = trained_a_little(build_network("osnet", {"pool_from": "ssc"}), 32, 48)
    alone = build_network("osnet", {"pool_from": "gcn"})
    alone.load_state_dict(summed.state_dict())
    alone.eval()
    assert isinstance(summed, OSNet)
    assert isinstance(alone, OSNet)
    image = torch.randn(1, 1, 32, 48)
    down = summed.downs[0]
    with torch.no_grad():
        before = down.block(image)
        extracted = down.gcn(before)
        skip, pooled = down(image)
        skip_alone, pooled_alone = alone.downs[0](image)
    torch.testing.assert_close(skip, before + extracted)
    torch.testing.assert_close(skip_alone, skip)
    torch.testing.assert_close(pooled, nn.functional.max_pool2d(before + extracted, 2))
    torch.testing.assert_close(pooled_alone, nn.functional.max_pool2d(extracted, 2))


def test_without_the_short_skip_connection_only_the_global_convolution_goes_on() -> None:
    torch.manual_seed(0)
    module = trained_a_little(build_network("unet16-gcn"), 32, 48)
    assert isinstance(module, OSNet)
    image = torch.randn(1, 1, 32, 48)
    with torch.no_grad():
        skip, _ = module.downs[0](image)
        torch.testing.assert_close(skip, module.downs[0].gcn(module.downs[0].block(image)))


def test_the_long_skip_connection_comes_first() -> None:
    """The decoder's first convolution reads the skipped features through its first half of weights."""
    torch.manual_seed(0)
    module = trained_a_little(build_network("unet16"), 32, 48)
    assert isinstance(module, OSNet)
    up = module.ups[-1]
    with torch.no_grad():
        up.block[0][0].weight[:, :16] = 0  # blind to the skipped features
        features, skip = torch.randn(1, 32, 16, 24), torch.randn(1, 16, 32, 48)
        torch.testing.assert_close(up(features, skip), up(features, torch.zeros_like(skip)))
        assert not torch.allclose(up(features, skip), up(2 * features, skip))


@pytest.mark.parametrize("kernel", [3, 4])
def test_both_kernels_of_the_transposed_convolution_double_the_size(kernel: int) -> None:
    module = build_network("osnet", {"up_kernel": kernel})
    assert isinstance(module, OSNet)
    assert module.ups[0].up.weight.shape == (256, 128, kernel, kernel)
    assert module.ups[0].up(torch.zeros(1, 256, 3, 5)).shape == (1, 128, 6, 10)


def test_fusionnet_takes_the_mean_with_the_skipped_features() -> None:
    torch.manual_seed(0)
    module = trained_a_little(build_network("fusionnet"), 32, 48)
    assert isinstance(module, FusionNet)
    up = module.ups[-1]
    features, skip = torch.randn(1, 32, 16, 24), torch.randn(1, 16, 32, 48)
    with torch.no_grad():
        torch.testing.assert_close(up(features, skip), up.block(0.5 * up.up(features) + 0.5 * skip))


def test_weights_start_with_the_spread_of_the_published_scheme() -> None:
    torch.manual_seed(0)
    osnet, fusionnet = build_network("osnet"), build_network("fusionnet")
    assert isinstance(osnet, OSNet)
    assert isinstance(fusionnet, FusionNet)
    weight = osnet.bridge[1][0].weight  # 256 channels x 3 x 3 feed each of its values
    assert float(weight.detach().std()) == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)
    assert float(fusionnet.bridge.first[0].weight.detach().std()) == pytest.approx(0.02, rel=0.01)
    scales = torch.cat([part.weight.detach() for part in osnet.modules() if isinstance(part, nn.BatchNorm2d)])
    assert float(scales.mean()) == pytest.approx(1, abs=0.002)
    assert float(scales.std()) == pytest.approx(0.02, rel=0.1)


def test_pooling_and_kernels_per_level_of_the_three_dimensional_network() -> None:
    options = {"strides": [[1, 2, 2], [1, 2, 2], [2, 4, 2]], "n_flat_levels": 1, "width": 4}
    module = build_network("unet3d", options)
    assert module.divisor == (2, 16, 8)
    kernels = [tuple(part.kernel_size) for part in module.modules() if isinstance(part, nn.Conv3d)]
    assert kernels.count((1, 3, 3)) == 4  # two of the first encoder level, two of its decoder
    assert kernels.count((3, 3, 3)) == 10
    seen: dict[str, tuple[int, ...]] = {}
    for name, part in module.levels().items():
        part.register_forward_hook(lambda _part, _in, out, name=name: seen.update({name: tuple(out.shape[2:])}))
    module(torch.zeros(1, 1, 6, 32, 24))
    assert seen["down 1"] == seen["up 3"] == seen["output"] == (6, 32, 24)
    assert seen["down 2"] == (6, 16, 12)
    assert seen["down 3"] == (6, 8, 6)
    assert seen["bridge"] == (3, 2, 3)


def test_max_width_bounds_every_level() -> None:
    module = build_network("unet3d", {"width": 8, "max_width": 12})
    assert {part.out_channels for part in module.modules() if isinstance(part, nn.Conv3d)} == {8, 12, 1}


def test_flat_levels_do_not_mix_sections() -> None:
    """Without pooling along z and with flat kernels, a change in one section stays there."""
    torch.manual_seed(0)
    options = {"strides": [[1, 2, 2], [1, 2, 2]], "n_flat_levels": 3, "width": 4}
    module = trained_a_little(build_network("unet3d", options), 5, 8, 12)
    image = torch.randn(1, 1, 5, 8, 12)
    other = image.clone()
    other[:, :, 3] += 1
    with torch.no_grad():
        change = (module(image) - module(other)).abs().amax((0, 1, 3, 4))
    assert change[3] > 0
    assert torch.equal(change[[0, 1, 2, 4]], torch.zeros(4))


@pytest.mark.parametrize("has_stem_norm", [False, True])
def test_a_stem_without_normalisation_sees_the_absolute_value(has_stem_norm: bool) -> None:
    """Instance normalisation after a bias-free convolution cancels any scale of its input."""
    torch.manual_seed(0)
    module = build_network("unet3d", {"norm": "instance", "has_stem_norm": has_stem_norm, "width": 4}).eval()
    image = torch.randn(1, 1, 8, 16, 24)
    with torch.no_grad():
        for part in module.modules():  # biases that start near zero would let either network look blind
            if isinstance(part, nn.Conv3d) and part.bias is not None:
                nn.init.normal_(part.bias, 0, 0.5)
        difference = float((module(image) - module(3 * image)).abs().max() / module(image).abs().max())
    assert difference < 1e-3 if has_stem_norm else difference > 0.05


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("kind", ["instance", "group"])
def test_norms_agree_with_torchs_own(kind: str, dimensions: int) -> None:
    shape = (2, 12, 4, 5, 6)[: dimensions + 2]
    features = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    if kind == "instance":
        expected = nn.functional.instance_norm(features)
        layer = norm_layer("instance", 12, dimensions)
    else:
        grouped = features.reshape(2, 4, -1)  # gcd(8, 12) = 4 groups of 3 channels
        mean, variance = grouped.mean(2, keepdim=True), grouped.var(2, keepdim=True, correction=0)
        expected = ((grouped - mean) / (variance + 1e-5).sqrt()).reshape(shape)
        layer = norm_layer("group", 12, dimensions)
    torch.testing.assert_close(layer(features), expected)


def test_a_convolution_has_a_bias_only_where_nothing_normalises_it_away() -> None:
    assert convolution_unit(2, 4, (3, 3), norm="none")[0].bias is not None
    assert convolution_unit(2, 4, (3, 3), norm="batch")[0].bias is None


@pytest.mark.parametrize("norm", ["batch", "instance", "group", "none"])
@pytest.mark.parametrize("name", ["osnet", "unet3d"])
def test_each_norm_can_be_chosen(name: str, norm: str) -> None:
    module = build_network(name, {"norm": norm, "width": 4})
    space = [2 * step for step in module.divisor]
    assert bool(torch.isfinite(module(torch.randn(2, 1, *space))).all())


def test_folding_is_numpys_and_comes_back() -> None:
    image = torch.arange(2 * 3 * 4 * 6 * 9, dtype=torch.float32).reshape(2, 3, 4, 6, 9)
    folded = fold(image, (2, 1, 3))
    assert folded.shape == (2, 18, 2, 6, 3)
    # channel c * 6 + (dz * 3 + dx) holds the voxels dz::2, dx::3 of channel c
    assert torch.equal(folded[:, 6 + 1 * 3 + 2], image[:, 1, 1::2, :, 2::3])
    assert torch.equal(unfold(folded, (2, 1, 3)), image)
    shuffled = torch.pixel_unshuffle(image[:, :, 0, :, :8], 2)
    assert torch.equal(fold(image[:, :, :1, :, :8], (1, 2, 2))[:, :, 0], shuffled)


def test_a_folded_stem_moves_with_the_image_by_whole_blocks() -> None:
    options = {"width": 4, "stem_stride": [1, 2, 2], "strides": [[2, 2, 2]], "n_outputs": 2}
    module = trained_a_little(build_network("unet3d", options), 8, 16, 24).eval()
    assert module.divisor == (2, 4, 4)
    image = torch.randn(1, 1, 4, 64, 72)
    with torch.inference_mode():
        whole, moved = module(image), module(torch.roll(image, (4, -8), dims=(3, 4)))
    assert whole.shape == (1, 2, 4, 64, 72)
    inside = (..., slice(24, -24), slice(28, -28))  # further from the border than the network sees
    back = torch.roll(moved, (-4, 8), dims=(3, 4))
    torch.testing.assert_close(back[inside], whole[inside], atol=1e-5, rtol=1e-4)
    assert float(whole[inside].std()) > 0


def test_detail_corrects_the_outputs_by_what_lies_within_two_voxels() -> None:
    """At first it changes nothing; then one voxel of the image changes, through it, outputs up to two voxels away."""
    torch.manual_seed(0)
    options = {"width": 4, "stem_stride": [2, 2, 2], "strides": [[2, 2, 2]], "n_outputs": 2}
    plain = trained_a_little(build_network("unet3d", options), 8, 16, 24)
    detailed = build_network("unet3d", {**options, "detail_width": 3}).eval()
    detailed.load_state_dict({**detailed.state_dict(), **plain.state_dict()})
    image = torch.randn(1, 1, 8, 16, 24)
    with torch.inference_mode():
        torch.testing.assert_close(detailed(image), plain(image))
    nn.init.ones_(detailed.detail[-1].weight)
    for part in plain.parameters():
        nn.init.zeros_(part)
    detailed.load_state_dict({**detailed.state_dict(), **plain.state_dict()})  # nothing but detail is left
    other = image.clone()
    other[..., 4, 8, 13] += 1
    with torch.inference_mode():
        places = (detailed(other) - detailed(image)).abs().amax((0, 1)).nonzero()
    assert places.amin(0).tolist() == [2, 6, 11]
    assert places.amax(0).tolist() == [6, 10, 15]
