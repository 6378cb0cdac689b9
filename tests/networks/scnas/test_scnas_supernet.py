"""The network of the search: what it draws, what it runs, what it derives."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tomocyte.networks import build_network
from tomocyte.networks.scnas.genotype import CELL_KINDS, N_INPUTS, STAY, Genotype, load_shipped_genotype, operations_for
from tomocyte.networks.scnas.network import CellPlan, ScNasFormSettings
from tomocyte.networks.scnas.supernet import Architecture, SuperCell, SuperNetwork, draw_of

FORM = ScNasFormSettings(width=2, n_layers=4, strides=((1, 2, 2),), norm="batch", n_outputs=2)
IMAGE = torch.randn(1, 1, 4, 8, 12, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def supernet(seed: int = 0) -> SuperNetwork:
    torch.manual_seed(seed)
    return SuperNetwork(FORM)


def prefer(architecture: Architecture, genotype: Genotype, by: float) -> None:
    with torch.no_grad():
        for kind in CELL_KINDS:
            for node, edges in enumerate(genotype.cell(kind)):
                for source, name in edges:
                    architecture.sources[f"{kind}-{node}"][source] += by
                    choice = operations_for(kind, source).index(name)
                    architecture.operations[f"{kind}-{node}-{source}"][choice] += by


def ascending(genotype: Genotype) -> Genotype:
    """The same cells with each node's edges in the order of their sources, as a search gives them."""
    return Genotype(**{kind: [sorted(node) for node in genotype.cell(kind)] for kind in CELL_KINDS})


@pytest.mark.parametrize(("n_operations", "is_learning"), [(1, False), (1, True), (2, True)])
def test_only_what_is_drawn_runs(n_operations: int, is_learning: bool) -> None:
    """3 nodes of 2 edges in each of 4 cells: 24 operations run, or 48 where two are compared, of 174."""
    module = supernet()
    calls: Counter[str] = Counter()
    n_all = 0
    for index, cell in enumerate(module.cells):
        for place, operations in cell.edges.items():  # type: ignore[union-attr]
            for number, operation in enumerate(operations):
                n_all += 1
                name = f"{index}/{place}/{number}"
                operation.register_forward_hook(lambda *_, name=name: calls.update([name]))
    drawn = module.architecture.draw(np.random.default_rng(3), n_operations=n_operations, is_learning=is_learning)
    module(IMAGE, drawn)
    expected = {
        f"{index}/{node}-{edge.source}/{operation}": 1
        for index, plan in enumerate(module.plans)
        for node, edges in enumerate(drawn[plan.kind])
        for edge in edges
        for operation in edge.operations
    }
    assert dict(calls) == expected
    assert len(calls) == 24 * n_operations
    # 9 edges per cell: 5 operations each, but 6 where a reduction takes an input and 3 where an expansion does
    assert n_all == 4 * 9 * 5 + 6 * (6 - 5) + 6 * (3 - 5) == 174


def test_only_what_is_drawn_gets_a_gradient() -> None:
    module = supernet()
    drawn = module.architecture.draw(np.random.default_rng(3))
    module(IMAGE, drawn).square().mean().backward()
    for index, plan in enumerate(module.plans):
        for place, operations in module.cells[index].edges.items():  # type: ignore[union-attr]
            node, source = map(int, place.split("-"))
            ran = {edge.source: edge.operations for edge in drawn[plan.kind][node]}
            for number, operation in enumerate(operations):
                has_run = number in ran.get(source, ())
                assert all((p.grad is not None) is has_run for p in operation.parameters())
    assert all(parameter.grad is None for parameter in module.architecture.parameters())


def test_every_draw_is_a_network_that_could_be_found() -> None:
    architecture = Architecture(3)
    for seed in range(20):
        drawn = architecture.draw(np.random.default_rng(seed))
        cells: dict[str, Any] = {
            kind: [[(e.source, operations_for(kind, e.source)[e.operations[0]]) for e in node] for node in drawn[kind]]
            for kind in CELL_KINDS
        }
        assert all(len(node) == 2 for nodes in cells.values() for node in nodes)
        for kind, nodes in cells.items():
            assert {source for source, _ in nodes[0]} == {0, 1}, kind
        Genotype(**cells)


def test_what_is_drawn_follows_the_probabilities() -> None:
    """With logits log 4, 0, 0 the first operation is 4 times as probable as each other one; a share of 4/8 of 5."""
    architecture = Architecture(1)
    with torch.no_grad():
        architecture.operations["encoder_normal-0-0"][0] = math.log(4)
    rng = np.random.default_rng(0)
    n = 1000
    counts: Counter[int] = Counter(architecture.draw(rng)["encoder_normal"][0][0].operations[0] for _ in range(n))
    deviation = math.sqrt(0.5 * 0.5 / n)
    assert abs(counts[0] / n - 4 / 8) < 4 * deviation
    assert all(abs(counts[other] / n - 1 / 8) < 4 * deviation for other in range(1, 5))
    uniform: Counter[int] = Counter(
        architecture.draw(rng, is_uniform=True)["encoder_normal"][0][0].operations[0] for _ in range(n)
    )
    assert abs(uniform[0] / n - 1 / 5) < 4 * deviation


def test_a_draw_hangs_on_its_seed_alone() -> None:
    architecture = Architecture(3)
    first, again, other = (architecture.draw(np.random.default_rng(seed)) for seed in ([1, 7], [1, 7], [1, 8]))
    assert first == again
    assert first != other


def test_one_drawn_operation_counts_once_and_carries_a_gradient() -> None:
    """The factor is 1; its derivative by the logits is that of p: p (1 - p) for the drawn one, -p q for another."""
    architecture = Architecture(1)
    with torch.no_grad():
        architecture.operations["encoder_normal-0-0"].copy_(torch.tensor([1.0, 0.0, -1.0, 0.5, 0.0]))
    seed, temperature = 5, 0.7
    noise_of = np.random.default_rng(seed)
    noise_of.gumbel(size=2)  # of the sources
    noise = torch.from_numpy(noise_of.gumbel(size=5).astype(np.float32))
    edge = architecture.draw(np.random.default_rng(seed), temperature=temperature, is_learning=True)["encoder_normal"][
        0
    ][0]
    assert edge.weights is not None
    assert float(edge.weights[0].detach()) == pytest.approx(1)
    (gradient,) = torch.autograd.grad(edge.weights[0], [architecture.operations["encoder_normal-0-0"]])
    logits = np.array([1.0, 0.0, -1.0, 0.5, 0.0]) + noise.numpy()
    p = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
    taken = int(np.argmax(logits))
    assert edge.operations == (taken,)
    np.testing.assert_allclose(gradient, (np.eye(5)[taken] - p) * p[taken] / temperature, rtol=1e-4, atol=1e-6)


def test_two_drawn_operations_are_mixed_to_one() -> None:
    architecture = Architecture(1)
    edge = architecture.draw(np.random.default_rng(2), n_operations=2, is_learning=True)["reduction"][0][1]
    assert edge.weights is not None
    assert len(set(edge.operations)) == 2
    assert float(sum(edge.weights).detach()) == pytest.approx(1)  # type: ignore[union-attr]
    assert edge.weights[0] > edge.weights[1]  # the first has the larger noisy logit


def test_the_genotype_is_the_most_probable_one() -> None:
    """By hand: node 2 of the reduction has four sources with logits 0, 3, 1, 2, so 1 and 3 are kept."""
    architecture = Architecture(3)
    with torch.no_grad():
        architecture.sources["reduction-2"].copy_(torch.tensor([0.0, 3.0, 1.0, 2.0]))
        architecture.operations["reduction-2-1"].copy_(torch.tensor([0.1, 0.5, 0.4, 0.3, 0.2, 0.45]))
        architecture.operations["reduction-2-3"].copy_(torch.tensor([-1.0, -2.0, -3.0, -0.5, -4.0]))
        architecture.operations["reduction-2-0"].copy_(torch.tensor([9.0, 0, 0, 0, 0, 0]))  # of a source not kept
    found = architecture.genotype("why")
    assert found.reduction[2] == ((1, "average-pool"), (3, "separable-conv"))
    assert found.encoder_normal[0] == ((0, "identity"), (1, "identity"))  # ties: the first
    assert found.description == "why"
    np.testing.assert_allclose(
        architecture.source_probabilities("reduction", 2), np.exp([0, 3, 1, 2]) / np.exp([0, 3, 1, 2]).sum(), rtol=1e-6
    )


def test_entropy_is_one_at_first_and_falls_to_nothing() -> None:
    architecture = Architecture(3)
    assert list(architecture.entropies().values()) == pytest.approx([1, 1, 1, 1])
    prefer(architecture, load_shipped_genotype("simulated-nih3t3"), 0.5)
    assert all(0 < entropy < 1 for entropy in architecture.entropies().values())
    with torch.no_grad():
        for logits in [*architecture.operations.values(), *architecture.sources.values()]:
            logits[0] = 100
    assert list(architecture.entropies().values()) == pytest.approx([0, 0, 0, 0], abs=1e-6)


def test_the_search_runs_the_very_network_that_is_built_afterwards() -> None:
    """With the same weights, both give the same logits: nothing changes between search and training."""
    genotype = ascending(load_shipped_genotype("simulated-nih3t3"))
    wide, options = supernet(), {"n_layers": 4, "strides": [[1, 2, 2]], "width": 2, "norm": "batch", "n_outputs": 2}
    module: Any = build_network("scnas", {**options, "genotype": genotype.model_dump()})
    prefer(wide.architecture, genotype, 50)
    assert wide.architecture.genotype() == genotype
    module.stem.load_state_dict(wide.stem.state_dict())
    module.head.load_state_dict(wide.head.state_dict())
    for own, cell, plan in zip(module.cells, wide.cells, wide.plans, strict=True):
        for source, fit in own.fits.items():
            fit.load_state_dict(cell.fits[int(source)].state_dict())  # type: ignore[union-attr, index]
        for node, edges in enumerate(genotype.cell(plan.kind)):
            for place, (source, name) in enumerate(edges):
                one = cell.edges[f"{node}-{source}"][operations_for(plan.kind, source).index(name)]  # type: ignore[index]
                own.nodes[node][place].load_state_dict(one.state_dict())
    with torch.no_grad():
        expected = module(IMAGE)
        torch.testing.assert_close(wide(IMAGE, draw_of(genotype)), expected)
        drawn = wide.architecture.draw(np.random.default_rng(0))
        torch.testing.assert_close(wide(IMAGE, drawn), expected)


def learn_shift(seed: int, n_operations: int, *, n_steps: int) -> np.ndarray:
    """Probabilities of one edge's operations where the answer is the image moved by two voxels.

    Of all operations only the dilated convolution sees two voxels away; on noise nothing else helps.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    plan = CellPlan("decoder_normal", (0, -1), (1, 1), ((1, 1, 1), (1, 1, 1)), 2, (1, 1, 1), "batch")
    cell, architecture, head = SuperCell(plan, 1), Architecture(1), nn.Conv3d(2, 1, 1)
    weights = torch.optim.Adam([*cell.parameters(), *head.parameters()], lr=0.02)
    choice = torch.optim.Adam(architecture.parameters(), lr=0.05, betas=(0.5, 0.999))
    for step in range(n_steps):
        for is_learning in (False, True):
            if is_learning and step < 20:
                continue
            image = torch.from_numpy(rng.standard_normal((1, 1, 5, 6, 12)).astype(np.float32))
            drawn = architecture.draw(
                rng, n_operations=n_operations if is_learning else 1, is_learning=is_learning, is_uniform=step < 20
            )
            answer = head(cell(image, torch.zeros_like(image), drawn["decoder_normal"]))
            loss = (answer - torch.roll(image, 2, 4))[..., 2:].square().mean()
            if is_learning:
                logits = list(architecture.parameters())
                for logit, gradient in zip(logits, torch.autograd.grad(loss, logits, allow_unused=True), strict=True):
                    logit.grad = gradient
                choice.step()
            else:
                weights.zero_grad()
                loss.backward()
                weights.step()
    return architecture.operation_probabilities("decoder_normal", 0, 0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_search_finds_the_only_operation_that_can(seed: int) -> None:
    probabilities = learn_shift(seed, 2, n_steps=80)
    assert STAY[int(np.argmax(probabilities))] == "dilated-conv"
    assert probabilities.max() > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("n_operations", [1, 2])
def test_both_estimators_find_it_over_ten_seeds(n_operations: int) -> None:
    found = [STAY[int(np.argmax(learn_shift(seed, n_operations, n_steps=150)))] for seed in range(10)]
    assert found.count("dilated-conv") >= (9 if n_operations == 1 else 10)


def test_super_cells_have_an_operation_for_every_choice() -> None:
    module = supernet()
    for cell, plan in zip(module.cells, module.plans, strict=True):
        for place, operations in cell.edges.items():  # type: ignore[union-attr]
            assert len(operations) == len(operations_for(plan.kind, int(place.split("-")[1])))
        assert len(cell.edges) == sum(N_INPUTS + node for node in range(3))  # type: ignore[arg-type]
    ours = {id(p) for p in module.weights()} | {id(p) for p in module.architecture.parameters()}
    assert ours == {id(p) for p in module.parameters()}
