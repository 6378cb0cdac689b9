"""The contract that every network keeps, and the closed list of names."""

from __future__ import annotations

import pytest
import torch

from tomocyte.errors import SettingsError
from tomocyte.networks import Network, NetworkEntry, build_network, network_entries

ENTRIES = network_entries()
SMALL = [entry for entry in ENTRIES if entry.name not in {"unet64", "biomedisa"}]  # slow at their usual width
NAMES = {
    *("unet16", "unet16-gcn", "unet16-gcn-ssc", "osnet", "fusionnet", "fusionnet-v2", "unet64"),
    *("unet3d", "scnas", "scnas-choi-published", "biomedisa", "attention-unet3d", "attention-unet2d"),
}


def name_of(entry: NetworkEntry) -> str:
    return entry.name


def image_for(module: Network, *, batch: int = 2) -> torch.Tensor:
    """Different sizes along each axis."""
    space = [step * (2 + axis) for axis, step in enumerate(module.divisor)]
    return torch.randn(batch, module.n_inputs, *space, generator=torch.Generator().manual_seed(5))


def test_every_promised_network_is_there() -> None:
    assert {entry.name for entry in ENTRIES} == NAMES


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_counts_as_many_parameters_as_published(entry: NetworkEntry) -> None:
    if entry.published_parameters is None:
        assert entry.name in {"unet64", "unet3d", "scnas", "biomedisa", "attention-unet3d", "attention-unet2d"}
        return
    built = sum(parameter.numel() for parameter in build_network(entry.name).parameters())
    assert built == entry.published_parameters == entry.n_parameters()


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("unet16", 2_159_648),  # Lee et al. 2019, Table 1
        ("unet16-gcn", 2_770_848),  # Table 1
        ("unet16-gcn-ssc", 2_770_848),  # Table 1: the sum adds no parameter
        ("fusionnet", 4_913_344),  # Table 1
        ("fusionnet-v2", 5_524_544),  # Table 1
        ("osnet", 3_075_489),  # the text: 4 x 4 transposed convolutions, a head with bias
        ("unet64", 34_517_120),  # what U-Net of 64 to 1024 feature maps has; Table 1 prints 4 x unet16's
    ],
)
def test_exact_counts(name: str, count: int) -> None:
    assert {entry.name: entry.n_parameters() for entry in ENTRIES}[name] == count


def test_the_global_convolutions_add_what_their_formula_says() -> None:
    """Four convolutions of 7 C² weights and four normalisations of 2 C, at C = 16, 32, 64, 128."""
    counts = {entry.name: entry.n_parameters() for entry in ENTRIES}
    added = sum(28 * width**2 + 8 * width for width in (16, 32, 64, 128))
    assert counts["unet16-gcn"] - counts["unet16"] == added == 611_200
    assert counts["fusionnet-v2"] - counts["fusionnet"] == added


@pytest.mark.parametrize("entry", SMALL, ids=name_of)
def test_keeps_the_spatial_shape_and_gives_each_parameter_a_gradient(entry: NetworkEntry) -> None:
    torch.manual_seed(0)
    module = build_network(entry.name, {"n_inputs": 2, "n_outputs": 3})
    assert len(module.divisor) == entry.dimensions
    assert (module.n_inputs, module.n_outputs) == (2, 3)
    image = image_for(module)
    logits = module(image)
    assert logits.shape == (2, 3, *image.shape[2:])
    (logits * torch.randn_like(logits)).sum().backward()
    dead = [
        key
        for key, parameter in module.named_parameters()
        if parameter.grad is None or not bool(parameter.grad.abs().sum() > 0)
    ]
    assert not dead


@pytest.mark.parametrize("entry", SMALL, ids=name_of)
def test_one_seed_gives_one_set_of_weights(entry: NetworkEntry) -> None:
    states = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        states.append(build_network(entry.name).state_dict())
    first, again, other = states
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("entry", SMALL, ids=name_of)
def test_constant_and_shifted_images_stay_finite(entry: NetworkEntry, is_training: bool) -> None:
    torch.manual_seed(0)
    module = build_network(entry.name).train(is_training)
    image = image_for(module)
    with torch.no_grad():
        for probe in (torch.zeros_like(image), torch.full_like(image, 1.337), image + 1e4):
            assert bool(torch.isfinite(module(probe)).all())


@pytest.mark.parametrize("entry", SMALL, ids=name_of)
def test_a_sample_does_not_depend_on_its_batch(entry: NetworkEntry) -> None:
    torch.manual_seed(0)
    module = build_network(entry.name)
    image = image_for(module)
    with torch.no_grad():
        module(image)  # running statistics other than those of a fresh network
        module.eval()
        together = module(torch.cat((image[:1], 50 * image[1:])))
        alone = module(image[:1])
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-4 * float(alone.abs().max()))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="E-NETWORK: unknown network 'os-net'") as caught:
        build_network("os-net")
    assert all(name in str(caught.value) for name in NAMES)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("osnet", {"widht": 16}),
        ("osnet", {"width": 1_000_000}),
        ("osnet", {"n_inputs": 1_000_000}),
        ("osnet", {"n_outputs": 0}),
        ("osnet", {"gcn_kernel": 6}),
        ("osnet", {"up_kernel": 5}),
        ("osnet", {"uses_gcn": False}),  # the name would lie
        ("unet16", {"width": 8}),
        ("unet16", {"uses_ssc": True}),
        ("fusionnet", {"uses_gcn": True}),
        ("unet3d", {"strides": [[9, 2, 2]]}),
        ("unet3d", {"strides": [[1, 2, 2]] * 7}),
        ("unet3d", {"strides": []}),
        ("unet3d", {"strides": [[1, 1, 1]]}),
        ("unet3d", {"n_flat_levels": 6}),
        ("unet3d", {"width": 32, "max_width": 16}),
    ],
)
def test_options_that_do_not_fit_are_refused(name: str, options: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="E-SETTINGS"):
        build_network(name, options)


def test_a_network_that_is_too_large_is_refused_before_it_takes_memory() -> None:
    """Six poolings up to 512 feature maps: each deep 3 x 3 x 3 convolution alone has 27 * 512² weights."""
    options = {"width": 64, "max_width": 512, "strides": [[2, 2, 2]] * 6}
    before = torch.get_rng_state()
    with pytest.raises(SettingsError, match="100,000,000 are allowed"):
        build_network("unet3d", options)
    assert torch.equal(before, torch.get_rng_state())
