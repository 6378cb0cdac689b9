"""ScNAS: a U-Net whose cells were found by a search, built from a genotype.

Choi et al. used the searched three-dimensional network of Kim et al. with 12 initial feature maps, 8 layers and a
multiplier of 3, leaky ReLU and instance normalisation: ``published`` beside this module. This one is what our own
search makes: four kinds of cells (encoder-normal, reduction, decoder-normal, expansion) in the form of a U-Net. Chosen
here:

- 8 layers are two levels of (encoder-normal, reduction) and two of (expansion, decoder-normal);
- a cell's inputs are the outputs of the two cells before it (the stem stands in where there are none); only the second
  input of a decoder-normal cell is the encoder-normal cell of the same resolution, the U-Net's long connection;
- every node has ``width`` feature maps, doubled at each reduction; the outputs of ``multiplier`` nodes lie side by
  side, so that a cell of the first level gives 12 x 3 = 36; the stem is one 3 x 3 x 3 convolution to as many;
- each input is fitted to its cell by a linear 1 x 1 x 1 convolution, a node is the sum of its edges;
- the operations (``operations``) and the genotype, which ``tomocyte search`` found on simulated tomograms.

Instance normalisation as published makes each tile's own statistics part of the answer and removes absolute values.
``norm="batch", has_stem_norm=False`` keeps the refractive index (see ``unet3d``).

To change the macro form, change :func:`plan_cells`; the search uses the same plan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from tomocyte.networks.blocks import Norm, convolution_unit, initialise
from tomocyte.networks.registry import Network, NetworkEntry, NetworkSettings
from tomocyte.networks.scnas.genotype import N_INPUTS, CellKind, Genotype, Node, load_shipped_genotype
from tomocyte.networks.scnas.operations import SLOPE, Fit, Stride, build_operation

DEFAULT_GENOTYPE = "simulated-nih3t3"
LAYERS_PER_LEVEL = 4
STEM = -1
_Step = Annotated[int, Field(ge=1, le=4)]


class ScNasFormSettings(NetworkSettings):
    """What the searched network and the network of the search share: size, resolution, normalisation."""

    width: int = Field(default=12, ge=1, le=64)
    """Feature maps of a node of the first level ("initial feature map"); doubled at each reduction."""
    n_layers: int = Field(default=8, ge=4, le=24, multiple_of=LAYERS_PER_LEVEL)
    """Cells in all; four per level: encoder-normal, reduction, expansion, decoder-normal."""
    multiplier: int = Field(default=3, ge=1, le=8)
    """Nodes of a cell, whose outputs lie side by side; the genotype must have as many."""
    strides: tuple[tuple[_Step, _Step, _Step], ...] = Field(default=((1, 2, 2), (2, 2, 2)), min_length=1, max_length=6)
    """How far z, y, x fall in each reduction cell; one entry per level."""
    norm: Norm = "instance"
    """What follows each convolution; ``instance`` as published, ``batch`` folds away and is the same for every tile."""
    has_stem_norm: bool = True
    """Whether the stem and the first cell are normalised too; without, the absolute value of the input stays."""

    @model_validator(mode="after")
    def _levels_agree(self) -> Self:
        if len(self.strides) * LAYERS_PER_LEVEL != self.n_layers:
            raise ValueError(f"{self.n_layers} layers have {self.n_layers // 4} strides, not {len(self.strides)}")
        if any(stride == (1, 1, 1) for stride in self.strides):
            raise ValueError("a stride of (1, 1, 1) reduces nothing")
        return self

    @property
    def divisor(self) -> Stride:
        """What every spatial size must be a multiple of."""
        z, y, x = (math.prod(stride[axis] for stride in self.strides) for axis in range(3))
        return z, y, x


class ScNasSettings(ScNasFormSettings):
    """The form, and the cells."""

    genotype: Genotype = Field(default_factory=lambda: load_shipped_genotype(DEFAULT_GENOTYPE))
    """The cells: the name of a genotype that ships, or the content of a genotype file (never its path: a model's card
    must hold all that its weights need)."""

    @field_validator("genotype", mode="before")
    @classmethod
    def _by_name(cls, given: Any) -> Any:
        return load_shipped_genotype(given) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _nodes_agree(self) -> Self:
        if self.genotype.n_nodes != self.multiplier:
            raise ValueError(
                f"the genotype has {self.genotype.n_nodes} nodes per cell, multiplier is {self.multiplier}"
            )
        return self


@dataclass(frozen=True)
class CellPlan:
    """Where one cell stands.

    Parameters
    ----------
    kind : str
    inputs : tuple of int
        Numbers of the two cells whose outputs come in; ``STEM`` is the stem.
    n_in : tuple of int
        Feature maps of the two inputs.
    pools : tuple of (z, y, x)
        How far each input is pooled to come to the cell's resolution.
    width : int
        Feature maps of a node.
    stride : (z, y, x)
        How far the edges from the inputs lower (reduction) or raise (expansion) the resolution.
    norm : str
    """

    kind: CellKind
    inputs: tuple[int, int]
    n_in: tuple[int, int]
    pools: tuple[Stride, Stride]
    width: int
    stride: Stride
    norm: Norm


def plan_cells(settings: ScNasFormSettings) -> list[CellPlan]:
    """The cells in the order of computation.

    Examples
    --------
    >>> [plan.kind for plan in plan_cells(ScNasFormSettings(n_layers=4, strides=((1, 2, 2),)))]
    ['encoder_normal', 'reduction', 'expansion', 'decoder_normal']
    """
    depth = len(settings.strides)
    order: list[tuple[CellKind, int, int]] = []  # kind, level of its inputs, level of its output
    for level in range(depth):
        order += [("encoder_normal", level, level), ("reduction", level, level + 1)]
    for level in reversed(range(depth)):
        order += [("expansion", level + 1, level), ("decoder_normal", level, level)]
    plans = []
    for index, (kind, level, result) in enumerate(order):
        inputs = (index - 1, max(index - 2, STEM))
        if kind == "decoder_normal":
            inputs = (index - 1, LAYERS_PER_LEVEL // 2 * level)
        levels = tuple(0 if source == STEM else order[source][2] for source in inputs)
        stride = settings.strides[min(level, result)] if level != result else (1, 1, 1)
        plans.append(
            CellPlan(
                kind=kind,
                inputs=inputs,
                n_in=tuple(settings.multiplier * settings.width * 2**fine for fine in levels),
                pools=tuple(_pool(settings, fine, level) for fine in levels),  # type: ignore[arg-type]
                width=settings.width * 2**result,
                stride=stride,
                norm=settings.norm if settings.has_stem_norm or index > 0 else "none",
            )
        )
    return plans


def _pool(settings: ScNasFormSettings, fine: int, coarse: int) -> Stride:
    z, y, x = (math.prod(stride[axis] for stride in settings.strides[fine:coarse]) for axis in range(3))
    return z, y, x


def build_stem(settings: ScNasFormSettings) -> nn.Sequential:
    """One 3 x 3 x 3 convolution to as many feature maps as a cell of the first level gives."""
    norm: Norm = settings.norm if settings.has_stem_norm else "none"
    n_out = settings.multiplier * settings.width
    return convolution_unit(settings.n_inputs, n_out, (3, 3, 3), norm=norm, activation="leaky-relu", slope=SLOPE)


class Cell(nn.Module):
    """One cell of a genotype: fitted inputs, nodes as sums of edges, all nodes side by side."""

    def __init__(self, plan: CellPlan, nodes: tuple[Node, ...]) -> None:
        super().__init__()
        self.sources = [[source for source, _ in node] for node in nodes]
        used = {source for node in self.sources for source in node}
        self.fits = nn.ModuleDict(
            {
                str(source): Fit(plan.n_in[source], plan.width, plan.pools[source])
                for source in range(N_INPUTS)
                if source in used
            }
        )
        self.nodes = nn.ModuleList(
            nn.ModuleList(
                build_operation(
                    operation, plan.width, stride=plan.stride if source < N_INPUTS else (1, 1, 1), norm=plan.norm
                )
                for source, operation in node
            )
            for node in nodes
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """(B, C, z, y, x), (B, D, z', y', x') -> (B, multiplier x width, Z, Y, X)."""
        states: dict[int, Tensor] = {
            source: self.fits[str(source)](given)
            for source, given in enumerate((first, second))
            if str(source) in self.fits
        }
        for index, (sources, operations) in enumerate(zip(self.sources, self.nodes, strict=True)):
            edges = [
                operation(states[source])
                for source, operation in zip(sources, operations, strict=True)  # type: ignore[call-overload]
            ]
            total = edges[0]
            for edge in edges[1:]:
                total = total + edge
            states[N_INPUTS + index] = total
        return torch.cat([states[N_INPUTS + index] for index in range(len(self.sources))], dim=1)


class ScNas(Network):
    """Stem, cells and a 1 x 1 x 1 convolution with bias; returns logits.

    References
    ----------
    Kim et al., MICCAI 2019, doi:10.1007/978-3-030-32248-9_25; Choi et al., bioRxiv 2021, doi:10.1101/2021.05.23.445351.
    """

    def __init__(self, settings: ScNasSettings) -> None:
        super().__init__()
        self.n_inputs, self.n_outputs = settings.n_inputs, settings.n_outputs
        self.divisor = settings.divisor
        self.genotype = settings.genotype
        self.plans = plan_cells(settings)
        self.stem = build_stem(settings)
        self.cells = nn.ModuleList(Cell(plan, settings.genotype.cell(plan.kind)) for plan in self.plans)
        self.head = nn.Conv3d(settings.multiplier * settings.width, settings.n_outputs, 1)
        initialise(self, scheme="kaiming", slope=SLOPE)

    def forward(self, image: Tensor) -> Tensor:
        """(B, n_inputs, Z, Y, X) -> logits (B, n_outputs, Z, Y, X)."""
        outputs: dict[int, Tensor] = {STEM: self.stem(image)}
        for index, (plan, cell) in enumerate(zip(self.plans, self.cells, strict=True)):
            first, second = plan.inputs
            outputs[index] = cell(outputs[first], outputs[second])
        logits: Tensor = self.head(outputs[len(self.plans) - 1])
        return logits

    def levels(self) -> dict[str, nn.Module]:
        """As in the base class; the cells by number and kind."""
        named = {
            f"cell {index} ({plan.kind.replace('_', '-')})": cell
            for index, (plan, cell) in enumerate(zip(self.plans, self.cells, strict=True), 1)
        }
        return {"stem": self.stem, **named, "output": self.head}


SEARCHED = NetworkEntry(
    "scnas",
    "Three-dimensional U-Net of cells found by architecture search (`tomocyte search`).",
    3,
    "Kim et al. 2019, MICCAI; used by Choi et al. 2021",
    "10.1007/978-3-030-32248-9_25",
    ScNasSettings,
    ScNas,
)
