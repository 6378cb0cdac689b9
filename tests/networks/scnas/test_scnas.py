"""ScNAS networks: genotypes, cells, counts by hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from tomocyte.errors import SettingsError
from tomocyte.networks import build_network
from tomocyte.networks.engine import make_predictor
from tomocyte.networks.engine.costs import multiply_adds_per_voxel
from tomocyte.networks.engine.precision import has_bf16
from tomocyte.networks.scnas.genotype import (
    CELL_KINDS,
    DOWN,
    STAY,
    UP,
    Genotype,
    genotype_names,
    load_genotype,
    load_shipped_genotype,
    operations_for,
)
from tomocyte.networks.scnas.network import ScNasFormSettings, plan_cells
from tomocyte.networks.scnas.operations import Excitation, Fit, build_operation

ENGINES = ["torch", "openvino"] if importlib.util.find_spec("openvino") is not None else ["torch"]
TINY: dict[str, Any] = {
    "encoder_normal": [[[0, "conv"]]],
    "reduction": [[[0, "max-pool"]]],
    "decoder_normal": [[[0, "identity"], [1, "separable-conv"]]],
    "expansion": [[[0, "linear-up"]]],
}
ONE_LEVEL: dict[str, Any] = {"n_layers": 4, "strides": [[1, 2, 2]], "multiplier": 1, "width": 2}


def tiny(**changes: Any) -> dict[str, Any]:
    return {**ONE_LEVEL, "genotype": TINY, "norm": "none", **changes}


def test_a_genotype_comes_back_from_its_file(tmp_path: Path) -> None:
    genotype = Genotype(**TINY, description="By hand: a colon, é, and\nmore than one line. " * 5)
    path = tmp_path / "by hand.yaml"
    path.write_text(genotype.as_yaml(), encoding="utf-8")
    assert load_genotype(path) == genotype
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["decoder_normal"] == [
        [[0, "identity"], [1, "separable-conv"]]
    ]


@pytest.mark.parametrize("name", genotype_names())
def test_what_ships_fits_the_published_form_and_comes_back(name: str, tmp_path: Path) -> None:
    genotype = load_shipped_genotype(name)
    assert genotype.n_nodes == 3
    assert all(len(node) == 2 for kind in CELL_KINDS for node in genotype.cell(kind))
    path = tmp_path / "again.yaml"
    path.write_text(genotype.as_yaml(), encoding="utf-8")
    assert load_genotype(path) == genotype


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"encoder_normal": [[[0, "max-pool"]]]}, "'max-pool' is not allowed"),
        ({"reduction": [[[0, "identity"]]]}, "'identity' is not allowed"),
        ({"expansion": [[[0, "conv"]]]}, "'conv' is not allowed"),
        ({"encoder_normal": [[[2, "conv"]]]}, "takes source 2"),
        ({"encoder_normal": [[[-1, "conv"]]]}, "takes source -1"),
        ({"encoder_normal": [[[0, "conv"], [0, "identity"]]]}, "two edges from one source"),
        ({"encoder_normal": [[]]}, "no edge"),
        ({"encoder_normal": [[[1, "conv"]]]}, "never uses its input 0"),
        ({"encoder_normal": [[[0, "conv"]], [[2, "conv"]]]}, "equally many nodes"),
        ({"encoder_normal": [[[0, "convolution"]]]}, "encoder_normal"),
    ],
)
def test_genotypes_that_cannot_be_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        build_network("scnas", tiny(genotype={**TINY, **changes}))
    assert caught.value.code == "E-SETTINGS"


@pytest.mark.parametrize(
    "options",
    [
        tiny(multiplier=2),
        tiny(n_layers=8),
        tiny(n_layers=6),
        tiny(strides=[[1, 1, 1]]),
        tiny(width=0),
        {"genotype": "scnas-nobody"},
        {"widht": 3},
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        build_network("scnas", options)


def test_an_unknown_genotype_lists_those_that_ship() -> None:
    with pytest.raises(SettingsError, match="simulated-nih3t3") as caught:
        load_shipped_genotype("scnas-nobody")
    assert caught.value.code == "E-GENOTYPE"


def test_eight_layers_stand_as_a_u() -> None:
    """Levels 0, 1, 2, 1, 0; 12 x 3 = 36 feature maps at full resolution, twice as many one level below."""
    plans = plan_cells(ScNasFormSettings())
    encoder, decoder = ["encoder_normal", "reduction"] * 2, ["expansion", "decoder_normal"] * 2
    assert [plan.kind for plan in plans] == encoder + decoder
    assert [plan.width for plan in plans] == [12, 24, 24, 48, 24, 24, 12, 12]
    assert [plan.inputs for plan in plans] == [(-1, -1), (0, -1), (1, 0), (2, 1), (3, 2), (4, 2), (5, 4), (6, 0)]
    assert [plan.n_in[0] for plan in plans] == [36, 36, 72, 72, 144, 72, 72, 36]
    assert [plan.n_in[1] for plan in plans] == [36, 36, 36, 72, 72, 72, 72, 36]
    assert [plan.stride for plan in plans if plan.kind == "reduction"] == [(1, 2, 2), (2, 2, 2)]
    assert [plan.stride for plan in plans if plan.kind == "expansion"] == [(2, 2, 2), (1, 2, 2)]
    pooled = {index: plan.pools[1] for index, plan in enumerate(plans) if plan.pools[1] != (1, 1, 1)}
    assert pooled == {2: (1, 2, 2), 4: (2, 2, 2)}  # the cell before the one before is one level finer
    assert build_network("scnas").divisor == (2, 4, 4)


def test_the_parameters_of_a_tiny_network_counted_by_hand() -> None:
    """One level, one node per cell, two feature maps, no normalisation: biases instead."""
    stem = 27 * 1 * 2 + 2
    encoder = 2 * 2 + (27 * 2 * 2 + 2)  # fit, convolution
    reduction = 2 * 4  # fit to the doubled width; pooling has none
    expansion = 4 * 2
    decoder = 2 * 2 + 2 * 2 + (27 * 2 + 2 * 2 + 2)  # two fits, one kernel per feature map, 1 x 1 x 1
    head = 2 * 3 + 3
    module = build_network("scnas", tiny(n_outputs=3))
    counted = sum(parameter.numel() for parameter in module.parameters())
    assert counted == stem + encoder + reduction + expansion + decoder + head == 263
    normed = build_network("scnas", tiny(n_outputs=3, norm="instance"))
    n_norms = 3  # stem, convolution, separable convolution: a scale and an offset each instead of a bias
    assert sum(parameter.numel() for parameter in normed.parameters()) == counted + n_norms * 2


EVERYTHING: dict[str, Any] = {
    "encoder_normal": [[[0, "conv"], [1, "identity"]], [[0, "dilated-conv"], [2, "separable-conv"]]],
    "reduction": [[[0, "conv"], [1, "max-pool"]], [[0, "average-pool"], [1, "separable-conv"]]],
    "decoder_normal": [[[0, "excited-conv"], [1, "identity"]], [[1, "conv"], [2, "identity"]]],
    "expansion": [[[0, "linear-up-conv"], [1, "transposed-conv"]], [[0, "linear-up"], [2, "conv"]]],
}


@pytest.mark.skipif(not has_bf16(), reason="this CPU does not multiply bf16")
@pytest.mark.parametrize("engine", ENGINES)
def test_every_operation_runs_in_bf16_in_every_engine(engine: str) -> None:
    torch.manual_seed(0)
    options = {"width": 4, "multiplier": 2, "norm": "batch", "has_stem_norm": False, "n_outputs": 2}
    module = build_network("scnas", {**options, "genotype": EVERYTHING})
    image = np.random.default_rng(0).standard_normal((1, 1, 8, 16, 24)).astype(np.float32)
    with torch.no_grad():
        for _ in range(20):
            module(torch.from_numpy(image))  # running statistics that keep the values small
        expected = module.eval()(torch.from_numpy(image)).sigmoid().numpy()
    exact = make_predictor(module, activation="sigmoid", engine=engine, precision="fp32")(image)
    np.testing.assert_allclose(exact, expected, atol=1e-4)
    rounded = make_predictor(module, activation="sigmoid", engine=engine, precision="bf16")(image)
    assert np.abs(rounded - expected).mean() < 0.01
    assert np.abs(rounded - expected).max() < 0.1


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("has_stem_norm", [True, False])
@pytest.mark.parametrize("strides", [[[1, 2, 2], [2, 2, 2]], [[2, 3, 1], [1, 1, 2]]])
def test_every_operation_keeps_the_shape_and_learns(norm: str, has_stem_norm: bool, strides: list[list[int]]) -> None:
    torch.manual_seed(0)
    options = {"width": 4, "multiplier": 2, "strides": strides, "norm": norm, "has_stem_norm": has_stem_norm}
    module = build_network("scnas", {**options, "genotype": EVERYTHING, "n_inputs": 2, "n_outputs": 3})
    shape = tuple(step * (2 + axis) for axis, step in enumerate(module.divisor))
    logits = module(torch.randn(2, 2, *shape))
    assert logits.shape == (2, 3, *shape)
    (logits * torch.randn_like(logits)).sum().backward()
    assert not [name for name, p in module.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]


@pytest.mark.parametrize(
    ("name", "stride"), [(name, (1, 1, 1)) for name in STAY] + [(name, (1, 2, 3)) for name in DOWN]
)
def test_operations_give_the_resolution_they_promise(name: Any, stride: tuple[int, int, int]) -> None:
    operation = build_operation(name, 4, stride=stride, norm="batch")
    assert operation(torch.randn(2, 4, 6, 8, 12)).shape == (
        2,
        4,
        *(n // s for n, s in zip((6, 8, 12), stride, strict=True)),
    )


@pytest.mark.parametrize("name", UP)
def test_expansions_give_the_resolution_they_promise(name: Any) -> None:
    assert build_operation(name, 4, stride=(1, 2, 3), norm="batch")(torch.randn(2, 4, 3, 4, 5)).shape == (
        2,
        4,
        3,
        8,
        15,
    )


def reach(name: Any) -> int:
    """How far along x one voxel's value is carried."""
    torch.manual_seed(1)
    operation = build_operation(name, 2, stride=(1, 1, 1), norm="none").eval()
    image = torch.zeros(1, 2, 9, 9, 9)
    with torch.no_grad():
        rest = operation(image).clone()
        image[0, :, 4, 4, 4] = 1
        changed = (operation(image) - rest).abs().amax(dim=(0, 1, 2, 3)) > 1e-7
    return int((torch.nonzero(changed)[:, 0] - 4).abs().max())


def test_operations_see_as_far_as_their_kernels() -> None:
    found = {name: reach(name) for name in ("identity", "conv", "separable-conv", "dilated-conv")}
    assert found == {"identity": 0, "conv": 1, "separable-conv": 1, "dilated-conv": 2}


def test_linear_expansion_interpolates_as_by_hand() -> None:
    """Between 0 and 1, twice as fine with values at voxel centres: 0, 0.25, 0.75, 1."""
    line = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 1, 2)
    grown = build_operation("linear-up", 1, stride=(1, 1, 2), norm="none")(line)
    np.testing.assert_allclose(grown.flatten().numpy(), [0, 0.25, 0.75, 1], atol=1e-6)


def test_excitation_with_no_weights_halves() -> None:
    """The sigmoid of 0 is one half."""
    module = Excitation(8)
    torch.nn.init.zeros_(module.excite.weight)
    torch.nn.init.zeros_(module.excite.bias)
    features = torch.randn(2, 8, 3, 4, 5)
    torch.testing.assert_close(module(features), features / 2)


def test_fitting_is_linear() -> None:
    fit = Fit(3, 2, (1, 2, 2))
    first, second = torch.randn(1, 3, 2, 4, 6), torch.randn(1, 3, 2, 4, 6)
    assert fit(first).shape == (1, 2, 2, 2, 3)
    torch.testing.assert_close(fit(2 * first - 3 * second), 2 * fit(first) - 3 * fit(second), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("norm", "has_stem_norm", "is_blind"), [("instance", True, True), ("batch", False, False)])
def test_only_without_stem_normalisation_the_absolute_value_stays(
    norm: str, has_stem_norm: bool, is_blind: bool
) -> None:
    torch.manual_seed(0)
    module = build_network("scnas", tiny(norm=norm, has_stem_norm=has_stem_norm)).eval()
    image = torch.randn(1, 1, 6, 8, 12)
    with torch.no_grad():
        change = (module(3 * image) - module(image)).abs().max() / module(image).abs().max()
    assert bool(change < 1e-3) is is_blind


def test_multiply_adds_of_a_tiny_network_counted_by_hand() -> None:
    """Per voxel at full resolution; a quarter of it below a reduction by 1 x 2 x 2."""
    stem = 27 * 1 * 2
    encoder = 2 * 2 + 27 * 2 * 2
    reduction = 2 * 4  # fitted before it is pooled
    expansion = 4 * 2 / 4  # fitted before it grows
    decoder = 2 * 2 + 2 * 2 + 27 * 2 + 2 * 2
    head = 2 * 3
    module = build_network("scnas", tiny(n_outputs=3))
    assert multiply_adds_per_voxel(module) == stem + encoder + reduction + expansion + decoder + head == 248


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("scnas", {"width": 4}, (8, 16, 24)),
        ("unet3d", {"width": 4}, (8, 16, 24)),
        ("osnet", {"width": 4}, (32, 48)),
    ],
)
def test_multiply_adds_agree_with_torchs_own_counter(
    name: str, options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    """That one counts a multiplication and its addition as two."""
    module = build_network(name, options).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(1, 1, *shape))
    counted = counter.get_total_flops() / 2 / np.prod(shape)
    assert multiply_adds_per_voxel(module, shape) == pytest.approx(counted, rel=1e-12)
    assert {parameter.device.type for parameter in module.parameters()} == {"cpu"}


def test_a_module_from_elsewhere_has_no_cost() -> None:
    with pytest.raises(SettingsError, match="E-NETWORK"):
        multiply_adds_per_voxel(torch.nn.Conv3d(1, 1, 1))


def test_operations_change_the_resolution_only_from_inputs() -> None:
    assert operations_for("reduction", 1) == DOWN
    assert operations_for("expansion", 0) == UP
    assert all(operations_for(kind, 2) == STAY for kind in CELL_KINDS)
    assert operations_for("encoder_normal", 0) == operations_for("decoder_normal", 1) == STAY
