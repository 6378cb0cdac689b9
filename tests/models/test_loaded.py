"""A loaded model against plain torch on the package's tensors, what it says of itself, and how its card is applied."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tests.models.conftest import Made, make_card
from torch.nn import functional

from tomocyte.errors import SettingsError
from tomocyte.models import ModelCard, NetworkChoice, load_package, read_card, save_package
from tomocyte.models.library import BUNDLED
from tomocyte.models.loaded import card_sha256, load_from_package, load_model, prediction_settings, read_organelles_card
from tomocyte.models.settings import InferenceSettings
from tomocyte.networks import build_network

EXACT = InferenceSettings(engine="torch", precision="fp32")
OPTIONS = {"width": 3, "strides": [[1, 2, 2], [2, 1, 2]], "norm": "batch", "n_inputs": 2, "n_outputs": 2}
CARDS = {
    "nile-red-15": "07439c38bfc9f444a387f97d60d9e504cfadfc4eaa1b1190a8e2ffa9524d607d",
    "odt-cells": "041afdc81d9c63f5cc0d86e77c150755d848367148b100b41ffede3d2203e9cd",
    "odt-organelles": "aa1547a871efbeecfce207c3f3e31adbed49d141be7edfc9ef3076ae0d7026e6",
    "osnet-nucleus": "68b4d3fd081f3ee4e62fa7682e7a1430b78c419956d9b673020451011ddf0f6c",
}
"""Hashes of the bundled cards, each with that of its weights, as the version before the stages computed them."""


def unet_forward(tensors: dict[str, torch.Tensor], image: NDArray[np.float32], strides: Any) -> NDArray[np.float64]:
    """Çiçek's U-Net in double precision: convolution, batch normalisation, leaky ReLU, pool, concatenate."""
    weights = {name: tensor.double() for name, tensor in tensors.items()}

    def unit(name: str, x: torch.Tensor) -> torch.Tensor:
        x = functional.conv3d(x, weights[f"{name}.0.weight"], weights.get(f"{name}.0.bias"), padding=1)
        if f"{name}.1.weight" in weights:
            mean, variance, scale, shift = (
                weights[f"{name}.1.{part}"].reshape(1, -1, 1, 1, 1)
                for part in ("running_mean", "running_var", "weight", "bias")
            )
            x = (x - mean) / torch.sqrt(variance + 1e-5) * scale + shift
        return torch.where(x > 0, x, 0.01 * x)

    def block(name: str, x: torch.Tensor) -> torch.Tensor:
        return unit(f"{name}.1", unit(f"{name}.0", x))

    x, skips = torch.from_numpy(image).double(), []
    for level, stride in enumerate(strides):
        skips.append(block(f"blocks.{level}", x))
        x = functional.max_pool3d(skips[-1], stride)
    x = block(f"blocks.{len(strides)}", x)
    for level, stride in enumerate(reversed(strides)):
        x = functional.conv_transpose3d(x, weights[f"ups.{level}.up.weight"], stride=stride)
        x = block(f"ups.{level}.block", torch.cat((skips[-1 - level], x), 1))
    logits = torch.einsum("bczyx,kc->bkzyx", x, weights["head.weight"][:, :, 0, 0, 0])
    logits = logits + weights["head.bias"].reshape(1, -1, 1, 1, 1)
    return np.asarray(1 / (1 + torch.exp(-logits)))


def test_a_loaded_model_computes_what_plain_torch_computes_from_its_tensors(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        module = build_network("unet3d", OPTIONS)
        with torch.no_grad():
            module(0.5 + 2 * torch.randn(2, 2, 4, 8, 16))  # running statistics that are not 0 and 1
    card = make_card(
        name="two-channels", network=NetworkChoice(name="unet3d", options=OPTIONS), channels=("ri", "membrane"),
        dimensions=3, section_axis=None, voxel_size_um=(0.3, 0.2, 0.1), tile_shape=(4, 8, 16),
    )  # fmt: skip
    image = np.random.default_rng(8).normal(size=(2, 2, 4, 6, 12)).astype(np.float32)
    save_package(tmp_path / "two-channels", module.eval().state_dict(), card, image[0])
    model = load_model(tmp_path / "two-channels", EXACT)
    expected = unet_forward(load_file(tmp_path / "two-channels" / "weights.safetensors"), image, OPTIONS["strides"])
    assert model.divisor == (2, 2, 4)
    assert 0.2 < np.ptp(expected) < 1
    np.testing.assert_allclose(model.predictor(image), expected, atol=2e-6)


def test_softmax_of_the_card_is_applied(made: Made, tmp_path: Path) -> None:
    card = make_card(name="classes", structures=("background", "nucleus"), activation="softmax")
    save_package(tmp_path / "classes", made.module.state_dict(), card, made.image)
    image = np.random.default_rng(2).normal(size=(1, 1, 16, 32)).astype(np.float32)
    with torch.no_grad():
        logits = made.module(torch.from_numpy(image)).double().numpy()
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = load_from_package(load_package(tmp_path / "classes"), engine="torch", precision="fp32").predictor(image)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_facts_name_what_decides_a_result(made: Made) -> None:
    model = load_model(made.folder, EXACT)
    on_disk = {
        name: hashlib.sha256((made.folder / name).read_bytes()).hexdigest()
        for name in ("card.json", "weights.safetensors")
    }
    assert model.facts["card_sha256"] == on_disk["card.json"]
    assert model.facts["weights_sha256"] == on_disk["weights.safetensors"]
    expected = {
        "name": "small-nucleus", "version": "1.2.3", "structures": ["nucleus", "nucleolus"],
        "limits": "Not for fixed cells.",
        "is_trained_on_simulated": True, "engine": "torch", "precision": "fp32", "device": "cpu",
        "engine_version": torch.__version__,
    }  # fmt: skip
    assert {name: model.facts[name] for name in expected} == expected
    assert model.notices == ()
    assert load_model(made.folder, EXACT) is model  # loaded once


def test_a_network_that_tells_cells_apart_runs_in_torch_unless_another_engine_is_named() -> None:
    card = read_card(BUNDLED / "odt-cells")
    tiny = build_network("unet3d", {"width": 2, "strides": [[1, 2, 2]], "n_inputs": 3})
    package: Any = SimpleNamespace(card=card, build=lambda: tiny)
    assert load_from_package(package, precision="fp32").facts["engine"] == "torch"


def test_bundled_cards_are_those_of_before() -> None:
    """Hashes of cards decide what is resumed: a new field must not change those of models that exist."""
    assert {name: card_sha256(card_of_weights(BUNDLED / name)) for name in CARDS} == CARDS


def card_of_weights(folder: Path) -> ModelCard:
    card = read_card(folder)
    assert hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest() == card.weights_sha256
    return card


def test_only_a_model_of_images_is_read_as_one(made: Made) -> None:
    assert read_organelles_card(str(made.folder)) == made.card
    with pytest.raises(SettingsError, match="E-MODEL-ROLE") as caught:
        read_organelles_card(str(BUNDLED / "odt-cells"))
    assert "--cells odt-cells" in caught.value.cure
    with pytest.raises(SettingsError, match=r"E-MODEL-NAME.*classical"):
        read_organelles_card("no-such-model")


@pytest.mark.parametrize(
    ("changes", "inference", "expected"),
    [
        # 512 pixels or more in whole tiles of the card: 11 · 48 = 528, 8 · 64 = 512
        ({}, {}, {"tile": (528, 512), "voxel_size_um": (0.19, 0.19, 0.21), "axes": ("z",), "vote": 0.5}),
        ({"section_axis": "y"}, {"tile_shape": (16, 32)}, {"tile": (16, 32), "axes": ("y",)}),
        ({"section_axis": "y"}, {"section_axes": ("x", "z")}, {"axes": ("x", "z")}),
        ({"activation": "softmax", "structures": ("background", "nucleus")}, {}, {"vote": None}),
        (
            {"dimensions": 3, "section_axis": None, "voxel_size_um": (0.3, 0.2, 0.1), "tile_shape": (16, 32, 64)},
            {"halo": (1, 2, 3), "overlap": 0.5, "weight": "linear", "batch_size": 3, "test_time_flips": True},
            {
                "tile": (16, 32, 64), "voxel_size_um": (0.3, 0.2, 0.1), "halo": (1, 2, 3), "overlap": 0.5,
                "weight": "linear", "batch_size": 3, "flips": True,
            },
        ),
    ],
)  # fmt: skip
def test_the_card_decides_what_the_user_does_not(
    changes: dict[str, Any], inference: dict[str, Any], expected: dict[str, Any]
) -> None:
    settings = prediction_settings(make_card(**changes), InferenceSettings(**inference))
    tiling = settings.tiling
    result = {
        "tile": tiling.tile_shape, "halo": tiling.halo, "overlap": tiling.overlap, "weight": tiling.weight,
        "batch_size": tiling.batch_size, "flips": tiling.test_time_flips, "voxel_size_um": settings.voxel_size_um,
        "axes": settings.section_axes, "vote": settings.vote_threshold,
    }  # fmt: skip
    assert {name: result[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("dimensions", "inference", "text"),
    [
        (2, {"tile_shape": (16, 16, 16)}, r"\(16, 16, 16\)"),
        (3, {"tile_shape": (16, 16)}, r"\(16, 16\)"),
        (3, {"section_axes": ("z",)}, "section axes"),
    ],
)
def test_tiles_and_axes_of_other_dimensions_are_refused(dimensions: int, inference: dict[str, Any], text: str) -> None:
    solid = {"dimensions": 3, "section_axis": None, "voxel_size_um": (0.3, 0.2, 0.1), "tile_shape": (16, 32, 64)}
    with pytest.raises(SettingsError, match=f"E-SETTINGS.*{text}"):
        prediction_settings(make_card(**(solid if dimensions == 3 else {})), InferenceSettings(**inference))
