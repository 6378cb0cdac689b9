"""The network of the search: every operation on every edge, of which each pass runs only those it has drawn.

The choice is a distribution: for every kind of cell, every node has a probability per source and every edge one per
operation, all softmax of learned logits, shared by the cells of that kind (their weights are not shared). A draw takes
two sources per node and an operation per edge, so what runs is always a network that could be the result; memory and
time are those of one such network.

How the logits learn, although a draw is not differentiable: by the Gumbel trick. ``n_operations`` 1: the drawn
operation's output is multiplied by 1 + p - stop(p), which is 1, p being its relaxed probability. 2: two operations are
drawn without replacement and their outputs mixed by the relaxed probabilities among the two, so that the gradient
compares them. ScNAS says that it samples from a continuous relaxation; which estimator it used is not public.

To change what can be found, change ``genotype``.

References
----------
Kim et al., MICCAI 2019, doi:10.1007/978-3-030-32248-9_25; Jang et al., Gumbel-softmax, arXiv:1611.01144; Dong & Yang,
CVPR 2019, doi:10.1109/CVPR.2019.00186 (one drawn operation); Cai et al., ProxylessNAS, arXiv:1812.00332 (two).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tomocyte.networks.blocks import initialise
from tomocyte.networks.registry import Network
from tomocyte.networks.scnas.genotype import CELL_KINDS, N_INPUTS, CellKind, Genotype, Node, operations_for
from tomocyte.networks.scnas.network import STEM, CellPlan, ScNasFormSettings, build_stem, plan_cells
from tomocyte.networks.scnas.operations import SLOPE, Fit, build_operation

N_EDGES = 2
"""Edges that end in a node."""


@dataclass(frozen=True)
class DrawnEdge:
    """One edge of a draw.

    Parameters
    ----------
    source : int
    operations : tuple of int
        Numbers of the operations that run.
    weights : tuple of Tensor or None
        Factors of their outputs, which carry the gradient of the logits; None: 1, for passes that only train weights.
    """

    source: int
    operations: tuple[int, ...]
    weights: tuple[Tensor, ...] | None = None


Draw: TypeAlias = dict[CellKind, tuple[tuple[DrawnEdge, ...], ...]]


class Architecture(nn.Module):
    """The distribution over genotypes: logits per source and per operation, all zero at first."""

    def __init__(self, n_nodes: int) -> None:
        super().__init__()
        self.n_nodes = n_nodes
        self.sources = nn.ParameterDict()
        self.operations = nn.ParameterDict()
        for kind in CELL_KINDS:
            for node in range(n_nodes):
                self.sources[f"{kind}-{node}"] = nn.Parameter(torch.zeros(N_INPUTS + node))
                for source in range(N_INPUTS + node):
                    n_choices = len(operations_for(kind, source))
                    self.operations[f"{kind}-{node}-{source}"] = nn.Parameter(torch.zeros(n_choices))

    def source_probabilities(self, kind: CellKind, node: int) -> NDArray[np.float64]:
        """Probability of every source of a node, (n_sources,) float64; they sum to 1."""
        return _softmax(self.sources[f"{kind}-{node}"])

    def operation_probabilities(self, kind: CellKind, node: int, source: int) -> NDArray[np.float64]:
        """Probability of every operation of an edge, in the order of ``operations_for``; they sum to 1."""
        return _softmax(self.operations[f"{kind}-{node}-{source}"])

    def draw(
        self,
        rng: np.random.Generator,
        *,
        temperature: float = 1.0,
        n_operations: int = 1,
        is_learning: bool = False,
        is_uniform: bool = False,
    ) -> Draw:
        """Two sources per node and, on each of the two edges, ``n_operations`` operations.

        Parameters
        ----------
        rng : numpy.random.Generator
        temperature : float
            Of the relaxation, above 0; low is nearer to a hard choice.
        n_operations : {1, 2}
        is_learning : bool
            Whether the factors that carry the logits' gradient are made.
        is_uniform : bool
            Whether everything is equally probable, whatever the logits say (warm-up).
        """
        drawn: Draw = {}
        for kind in CELL_KINDS:
            nodes = []
            for node in range(self.n_nodes):
                logits = self.sources[f"{kind}-{node}"]
                noisy = _noisy(logits, rng, is_uniform=is_uniform)
                sources = sorted(torch.topk(noisy.detach(), N_EDGES).indices.tolist())
                relaxed = torch.softmax(noisy / temperature, 0)
                edges = []
                for source in sources:
                    choices = _noisy(self.operations[f"{kind}-{node}-{source}"], rng, is_uniform=is_uniform)
                    taken = tuple(torch.topk(choices.detach(), min(n_operations, len(choices))).indices.tolist())
                    weights = None
                    if is_learning:
                        trust = _one_with_gradient(relaxed[source]) if len(logits) > N_EDGES else None
                        weights = _factors(choices, taken, temperature, trust)
                    edges.append(DrawnEdge(source, taken, weights))
                nodes.append(tuple(edges))
            drawn[kind] = tuple(nodes)
        return drawn

    def entropies(self) -> dict[str, float]:
        """Mean entropy of each kind of cell's choices, as a share of that of no preference (1) to certainty (0)."""
        result: dict[str, float] = {}
        for kind in CELL_KINDS:
            shares = [_entropy(self.source_probabilities(kind, node)) for node in range(1, self.n_nodes)]
            shares += [
                _entropy(self.operation_probabilities(kind, node, source))
                for node in range(self.n_nodes)
                for source in range(N_INPUTS + node)
            ]
            result[kind] = float(np.mean(shares))
        return result

    def genotype(self, description: str = "") -> Genotype:
        """The most probable one: per node the two most probable sources, per edge its most probable operation.

        What is equally probable goes to the first; sources stand in ascending order.
        """
        cells: dict[CellKind, tuple[Node, ...]] = {}
        for kind in CELL_KINDS:
            nodes: list[Node] = []
            for node in range(self.n_nodes):
                ranked = np.argsort(-self.source_probabilities(kind, node), kind="stable")[:N_EDGES]
                nodes.append(
                    tuple(
                        (
                            int(source),
                            operations_for(kind, int(source))[
                                int(np.argmax(self.operation_probabilities(kind, node, int(source))))
                            ],
                        )
                        for source in sorted(ranked)
                    )
                )
            cells[kind] = tuple(nodes)
        return Genotype(**cells, description=description)


def _softmax(logits: Tensor) -> NDArray[np.float64]:
    return np.asarray(torch.softmax(logits.detach().double().cpu(), 0).numpy())


def _entropy(probabilities: NDArray[np.float64]) -> float:
    positive = probabilities[probabilities > 0]
    return float(-(positive * np.log(positive)).sum() / math.log(len(probabilities)))


def _noisy(logits: Tensor, rng: np.random.Generator, *, is_uniform: bool) -> Tensor:
    """Logits plus Gumbel noise: the largest n are a draw without replacement from their softmax."""
    noise = torch.from_numpy(rng.gumbel(size=len(logits)).astype(np.float32)).to(logits.device)
    return noise if is_uniform else logits + noise


def _one_with_gradient(value: Tensor) -> Tensor:
    return 1 + value - value.detach()


def _factors(choices: Tensor, taken: tuple[int, ...], temperature: float, trust: Tensor | None) -> tuple[Tensor, ...]:
    """The factor of each operation that was taken, times that of its edge."""
    if len(taken) == 1:
        factors = [_one_with_gradient(torch.softmax(choices / temperature, 0)[taken[0]])]
    else:
        factors = list(torch.softmax(choices[list(taken)] / temperature, 0))
    return tuple(factors if trust is None else [factor * trust for factor in factors])


class SuperCell(nn.Module):
    """All that one cell could be."""

    def __init__(self, plan: CellPlan, n_nodes: int) -> None:
        super().__init__()
        self.fits = nn.ModuleList(Fit(n_in, plan.width, pool) for n_in, pool in zip(plan.n_in, plan.pools, strict=True))
        self.edges = nn.ModuleDict(
            {
                f"{node}-{source}": nn.ModuleList(
                    build_operation(
                        name, plan.width, stride=plan.stride if source < N_INPUTS else (1, 1, 1), norm=plan.norm
                    )
                    for name in operations_for(plan.kind, source)
                )
                for node in range(n_nodes)
                for source in range(N_INPUTS + node)
            }
        )

    def forward(self, first: Tensor, second: Tensor, nodes: tuple[tuple[DrawnEdge, ...], ...]) -> Tensor:
        """As ``scnas.Cell``, with what was drawn."""
        states: list[Tensor] = [fit(given) for fit, given in zip(self.fits, (first, second), strict=True)]
        for node, edges in enumerate(nodes):
            total: Tensor | None = None
            for edge in edges:
                passed = self._pass(states[edge.source], node, edge)
                total = passed if total is None else total + passed
            states.append(total if total is not None else states[0])
        return torch.cat(states[N_INPUTS:], dim=1)

    def _pass(self, features: Tensor, node: int, edge: DrawnEdge) -> Tensor:
        operations = self.edges[f"{node}-{edge.source}"]
        outputs = [operations[index](features) for index in edge.operations]  # type: ignore[index]
        if edge.weights is not None:
            outputs = [output * weight for output, weight in zip(outputs, edge.weights, strict=True)]
        total: Tensor = outputs[0]
        for output in outputs[1:]:
            total = total + output
        return total


class SuperNetwork(Network):
    """Stem, cells and head as in ``scnas.ScNas``; ``architecture`` holds the distribution over genotypes."""

    def __init__(self, settings: ScNasFormSettings) -> None:
        super().__init__()
        self.n_inputs, self.n_outputs = settings.n_inputs, settings.n_outputs
        self.divisor = settings.divisor
        self.plans = plan_cells(settings)
        self.architecture = Architecture(settings.multiplier)
        self.stem = build_stem(settings)
        self.cells = nn.ModuleList(SuperCell(plan, settings.multiplier) for plan in self.plans)
        self.head = nn.Conv3d(settings.multiplier * settings.width, settings.n_outputs, 1)
        initialise(self, scheme="kaiming", slope=SLOPE)

    def forward(self, image: Tensor, drawn: Draw) -> Tensor:
        """(B, n_inputs, Z, Y, X) and a draw of ``architecture`` -> logits (B, n_outputs, Z, Y, X)."""
        outputs: dict[int, Tensor] = {STEM: self.stem(image)}
        for index, (plan, cell) in enumerate(zip(self.plans, self.cells, strict=True)):
            first, second = plan.inputs
            outputs[index] = cell(outputs[first], outputs[second], drawn[plan.kind])
        logits: Tensor = self.head(outputs[len(self.plans) - 1])
        return logits

    def weights(self) -> list[nn.Parameter]:
        """Every parameter but the architecture's."""
        own = {id(parameter) for parameter in self.architecture.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in own]


def draw_of(genotype: Genotype) -> Draw:
    """The draw that runs just this genotype."""
    return {
        kind: tuple(
            tuple(DrawnEdge(source, (operations_for(kind, source).index(name),)) for source, name in node)
            for node in genotype.cell(kind)
        )
        for kind in CELL_KINDS
    }
