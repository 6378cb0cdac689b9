"""The network that Choi et al. released: counted part by part, its cells as described, its pieces by hand."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

from tomocyte.networks import build_network
from tomocyte.networks.registry import count_parameters
from tomocyte.networks.scnas.published import Halving, NeighbourMean, PublishedCell, PublishedScNas


def published(**options: int) -> PublishedScNas:
    module = build_network("scnas-choi-published", options)
    assert isinstance(module, PublishedScNas)
    return module


def test_every_part_has_as_many_parameters_as_the_released_program() -> None:
    """Counted in the released program: stem, cells down, cells up, output; and the whole with four layers."""
    module = published()
    parts = [count_parameters(part) for part in (module.stem, module.downs, module.ups, module.head)]
    assert parts == [1_446, 8_694_360, 4_297_698, 148]
    assert count_parameters(published(n_layers=4)) == 766_252


def test_the_deepest_cells_have_576_feature_maps_at_a_sixteenth() -> None:
    """As described: a patch of 64 voxels has 576 feature maps of 4 voxels below; each level back has half as many."""
    module, shapes = published(), list[tuple[int, ...]]()
    for cell in [*module.downs, *module.ups]:
        cell.register_forward_hook(lambda _cell, _given, found: shapes.append(tuple(found.shape[1:])))
    with torch.no_grad():
        logits = module(torch.rand(1, 1, 32, 32, 32))
    assert logits.shape == (1, 4, 32, 32, 32)
    down = [(72, 16), (72, 16), (144, 8), (144, 8), (288, 4), (288, 4), (576, 2), (576, 2)]
    up = [(576, 2), (288, 4), (288, 4), (144, 8), (144, 8), (72, 16), (72, 16), (36, 32)]
    assert [(maps, z) for maps, z, _, _ in shapes] == down + up


def test_the_convolutions_of_each_cell_are_those_described() -> None:
    """Kernels of 3 voxels per kind of cell: (stride, dilation) and how often."""
    module = published()
    expected: dict[int, dict[tuple[int, int], int]] = {
        0: {(2, 2): 1, (1, 1): 2},  # reduction
        1: {(1, 1): 2, (1, 2): 1},  # encoder-normal
        8: {(1, 2): 2},  # decoder-normal
        9: {(1, 1): 1, (1, 3): 1, (1, 2): 1},  # expansion
    }
    cells = [*module.downs, *module.ups]
    for index, counts in expected.items():
        layers = [layer for layer in cells[index].modules() if isinstance(layer, nn.Conv3d)]
        large = [layer for layer in layers if layer.kernel_size == (3, 3, 3)]
        assert Counter((layer.stride[0], layer.dilation[0]) for layer in large) == counts, index
        assert all(layer.bias is None and layer.padding == layer.dilation for layer in large)


def test_the_mean_of_neighbours_leaves_out_what_lies_beyond_the_border() -> None:
    """A line of 4 voxels 0, 3, 6, 12: (0 + 3) / 2, (0 + 3 + 6) / 3, (3 + 6 + 12) / 3, (6 + 12) / 2."""
    line = torch.tensor([0.0, 3.0, 6.0, 12.0]).reshape(1, 1, 1, 1, 4)
    assert NeighbourMean()(line).flatten().tolist() == pytest.approx([1.5, 3.0, 7.0, 9.0])


def test_halving_takes_even_voxels_and_odd_ones() -> None:
    halving = Halving(1, 2, is_affine=False)
    halving.norm = nn.Identity()  # type: ignore[assignment]
    with torch.no_grad():
        halving.even.weight.fill_(1.0)
        halving.odd.weight.fill_(1.0)
        voxels = torch.arange(64.0).reshape(1, 1, 4, 4, 4)
        even, odd = halving(voxels)[0]
    assert even.flatten().tolist() == [0, 2, 8, 10, 32, 34, 40, 42]
    assert odd.flatten().tolist() == [21, 23, 29, 31, 53, 55, 61, 63]  # one further in z (16), y (4) and x (1)


def test_the_nodes_of_a_cell_are_sums_of_what_is_described() -> None:
    """decoder-normal with convolutions that give 0: n1 = s1, n2 = n1 = s1, n3 = s0 and the mean of n0, which is 0."""
    cell = PublishedCell("decoder-normal", (2, 2), (0, 0), 2)
    cell.fits, cell.excitation = nn.ModuleList([nn.Identity(), nn.Identity()]), nn.Identity()  # type: ignore[assignment]
    for layer in cell.modules():
        if isinstance(layer, nn.Conv3d):
            nn.init.zeros_(layer.weight)
    first, second = torch.rand(1, 2, 3, 3, 3), torch.rand(1, 2, 3, 3, 3)
    with torch.no_grad():
        found = cell(first, second)
    torch.testing.assert_close(found, torch.cat((second, second, first), dim=1))


def test_skipped_features_are_added() -> None:
    """With cells that give 0, what comes out is the head of the stem's features."""
    module = published(n_layers=2, width=2, n_outputs=1)

    def zero(_cell: nn.Module, _given: object, found: torch.Tensor) -> torch.Tensor:
        return found * 0.0

    for cell in module.ups:
        cell.register_forward_hook(zero)
    image = torch.rand(1, 1, 4, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(module(image), module.head(module.stem(image)))
