"""The searched network that Choi et al. released: its own genotype, in its own form.

``ScNas`` beside this module is the network of our search. The released one differs from it in more than the cells'
edges, so that it is written out here: cells come reduction first on the way down and expansion last on the way up, each
node starts with the activation, and every cell's output is weighed feature map by feature map. Only the cells are
listed (:data:`CELLS`); a further form is another module.

The counts of the released program follow from this form exactly (stem 1,446, cells going down 8,694,360, going up
4,297,698, output 148; with 4 layers 766,252 in all). What has no parameters cannot be counted and is chosen: the skip
connections, which are added, are those of all levels, that of the stem among them; means of neighbours leave out what
lies beyond the border; the weighing of feature maps has a ReLU in its middle.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, cat, nn
from torch.nn import functional

from tomocyte.networks.blocks import initialise
from tomocyte.networks.registry import Network, NetworkEntry, NetworkSettings
from tomocyte.networks.scnas.operations import SLOPE, MeanPool

Kind = Literal["reduction", "encoder-normal", "decoder-normal", "expansion"]
Edge = tuple[str, str]
CELLS: dict[Kind, tuple[tuple[Edge, ...], ...]] = {
    "reduction": (
        (("s0", "half"), ("s1", "half-dilated")),
        (("s0", "half"), ("n0", "mean")),
        (("n0", "same"), ("n1", "conv")),
        (("n0", "conv"), ("n2", "mean")),
    ),
    "encoder-normal": (
        (("s0", "conv"), ("s1", "dilated-2")),
        (("s0", "mean"), ("n0", "same")),
        (("s0", "conv"), ("n0", "same")),
        (("s0", "same"),),
    ),
    "decoder-normal": (
        (("s1", "dilated-2"),),
        (("s1", "same"), ("n0", "same")),
        (("s1", "dilated-2"), ("n1", "same")),
        (("s0", "same"), ("n0", "mean")),
    ),
    "expansion": (
        (("s0", "conv"), ("s1", "dilated-3")),
        (("s0", "same"), ("n0", "same")),
        (("s1", "dilated-2"), ("n1", "same")),
        (("s0", "same"), ("s1", "mean")),
    ),
}
"""Kind of cell -> nodes n0 to n3, each a sum of (where from, through what); s0 and s1 are the outputs of the cell
before the last one and of the last one."""
N_SIDE_BY_SIDE = 3
"""Nodes n1 to n3, whose outputs lie side by side: the multiplier."""
EXCITATION = 6
"""Feature maps per unit of the squeezed description."""


class PublishedScNasSettings(NetworkSettings):
    """How wide and how deep; the defaults are those of the released program for four organelles."""

    n_outputs: int = Field(default=4, ge=1, le=64)
    """Channels of logits: nucleus, nucleolus, membrane (cell) and lipid droplet, or any others."""
    width: int = Field(default=12, ge=2, le=64, multiple_of=2)
    """Feature maps of a node before the first reduction; doubled at each reduction, halved at each expansion."""
    n_layers: int = Field(default=8, ge=2, le=12, multiple_of=2)
    """Cells going down, and as many going up; every second one changes the resolution."""


def _activation() -> nn.Module:
    """Not in place: several edges start from the same features."""
    return nn.LeakyReLU(SLOPE)


def _convolution(n_in: int, n_out: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Activation, convolution without bias, normalisation without parameters."""
    padding = dilation * (kernel // 2)
    convolution = nn.Conv3d(n_in, n_out, kernel, stride=stride, padding=padding, dilation=dilation, bias=False)
    return nn.Sequential(_activation(), convolution, nn.InstanceNorm3d(n_out))


class Halving(nn.Module):
    """Every second voxel, and every second one from the second on, through a 1 x 1 x 1 convolution each."""

    def __init__(self, n_in: int, n_out: int, *, is_affine: bool) -> None:
        super().__init__()
        self.activation = _activation()
        self.even = nn.Conv3d(n_in, n_out // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv3d(n_in, n_out - n_out // 2, 1, stride=2, bias=False)
        self.norm = nn.InstanceNorm3d(n_out, affine=is_affine)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, Z, Y, X) -> (B, D, Z / 2, Y / 2, X / 2)."""
        bent = self.activation(features)
        halved: Tensor = self.norm(cat((self.even(bent), self.odd(bent[:, :, 1:, 1:, 1:])), dim=1))
        return halved


class Excitation(nn.Module):
    """Each feature map times a number in (0, 1) that follows from the means of all of them.

    References
    ----------
    Hu et al., CVPR 2018, doi:10.1109/CVPR.2018.00745.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        squeezed = width // EXCITATION
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool3d(1),
            nn.Conv3d(width, squeezed, 1),
            nn.ReLU(inplace=True),
            nn.Conv3d(squeezed, width, 1),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, Z, Y, X) -> (B, C, Z, Y, X)."""
        weighed: Tensor = features * self.gate(features)
        return weighed


class NeighbourMean(nn.Module):
    """Mean of 3 x 3 x 3 voxels, of those that there are; torch's own refuses images of fewer than three voxels."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = MeanPool(3, stride=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, Z, Y, X) -> (B, C, Z, Y, X)."""
        around = (1,) * 6
        share = self.pool(functional.pad(torch.ones_like(features[:1, :1]), around))
        mean: Tensor = self.pool(functional.pad(features, around)) / share
        return mean


def _edge(operation: str, width: int) -> nn.Module:
    if operation == "same":
        return nn.Identity()
    if operation == "mean":
        return NeighbourMean()
    if operation == "half":
        return Halving(width, width, is_affine=True)
    if operation == "half-dilated":
        return _convolution(width, width, stride=2, dilation=2)
    return _convolution(width, width, dilation=int(operation.partition("-")[2] or 1))


def _fit(n_in: int, n_out: int, change: int) -> nn.Module:
    """Brings an input to a cell's width and resolution; ``change`` -1 halves, 1 doubles it."""
    if change < 0:
        return Halving(n_in, n_out, is_affine=False)
    fit = _convolution(n_in, n_out, kernel=1)
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="trilinear", align_corners=True), fit) if change else fit


class PublishedCell(nn.Module):
    """Fitted inputs, four nodes of which the last three lie side by side, each feature map weighed."""

    def __init__(self, kind: Kind, n_in: tuple[int, int], changes: tuple[int, int], width: int) -> None:
        super().__init__()
        self.nodes = CELLS[kind]
        self.fits = nn.ModuleList(_fit(n, width, change) for n, change in zip(n_in, changes, strict=True))
        self.edges = nn.ModuleList(
            nn.ModuleList(_edge(operation, width) for _, operation in node) for node in self.nodes
        )
        self.excitation = Excitation(N_SIDE_BY_SIDE * width)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """(B, C, z, y, x), (B, D, z', y', x') -> (B, 3 x width, Z, Y, X)."""
        states = {"s0": self.fits[0](first), "s1": self.fits[1](second)}
        for index, (node, operations) in enumerate(zip(self.nodes, self.edges, strict=True)):
            edges = [
                operation(states[source])
                for (source, _), operation in zip(node, operations, strict=True)  # type: ignore[call-overload]
            ]
            states[f"n{index}"] = sum(edges[1:], start=edges[0])
        side_by_side = cat([states[f"n{index}"] for index in range(1, N_SIDE_BY_SIDE + 1)], dim=1)
        weighed: Tensor = self.excitation(side_by_side)
        return weighed


class PublishedScNas(Network):
    """Stem, cells down, cells up, a 1 x 1 x 1 convolution with bias; returns logits.

    References
    ----------
    Choi et al., bioRxiv 2021, doi:10.1101/2021.05.23.445351; Kim et al., MICCAI 2019, doi:10.1007/978-3-030-32248-9_25.
    """

    def __init__(self, settings: PublishedScNasSettings) -> None:
        super().__init__()
        self.n_inputs, self.n_outputs = settings.n_inputs, settings.n_outputs
        n_levels = settings.n_layers // 2
        self.divisor = (2**n_levels,) * 3
        n_stem = N_SIDE_BY_SIDE * settings.width
        stem = nn.Conv3d(settings.n_inputs, n_stem, 3, padding=1, bias=False)
        self.stem = nn.Sequential(stem, _activation(), Excitation(n_stem), nn.InstanceNorm3d(n_stem))
        width, n_before, n_last, downs, ups = (
            settings.width,
            n_stem,
            n_stem,
            list[PublishedCell](),
            list[PublishedCell](),
        )
        for _ in range(n_levels):
            width *= 2
            n_out = N_SIDE_BY_SIDE * width
            downs.append(PublishedCell("reduction", (n_before, n_last), (0, 0), width))
            downs.append(PublishedCell("encoder-normal", (n_last, n_out), (-1, 0), width))
            n_before = n_last = n_out
        for level in range(n_levels):
            n_out = N_SIDE_BY_SIDE * width
            ups.append(PublishedCell("decoder-normal", (n_before, n_last), (int(level > 0), 0), width))
            width //= 2
            ups.append(PublishedCell("expansion", (n_last, n_out), (1, 1), width))
            n_before, n_last = n_out, N_SIDE_BY_SIDE * width
        self.downs, self.ups = nn.ModuleList(downs), nn.ModuleList(ups)
        self.head = nn.Conv3d(n_stem, settings.n_outputs, 1)
        initialise(self, scheme="kaiming", slope=SLOPE)

    def forward(self, image: Tensor) -> Tensor:
        """(B, n_inputs, Z, Y, X) -> logits (B, n_outputs, Z, Y, X)."""
        before = last = self.stem(image)
        skips = [last]
        for index, cell in enumerate(self.downs):
            before, last = last, cell(before, last)
            if index % 2:
                skips.append(last)
        skips.pop()
        for index, cell in enumerate(self.ups):
            before, last = last, cell(before, last)
            if index % 2:
                last = last + skips.pop()
        logits: Tensor = self.head(last)
        return logits

    def levels(self) -> dict[str, nn.Module]:
        """As in the base class; the cells by number."""
        named = {f"cell {index}": cell for index, cell in enumerate([*self.downs, *self.ups], 1)}
        return {"stem": self.stem, **named, "output": self.head}


PUBLISHED = NetworkEntry(
    "scnas-choi-published",
    "The searched network that Choi et al. released, cell for cell.",
    3,
    "Choi et al. 2021, bioRxiv; cells found by the search of Kim et al. 2019",
    "10.1101/2021.05.23.445351",
    PublishedScNasSettings,
    PublishedScNas,
    12_993_652,
)
