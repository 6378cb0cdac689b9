"""A small model package, made once, and its pieces."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tomocyte.models import ModelCard, NetworkChoice, save_package
from tomocyte.networks import build_network
from tomocyte.segmentation.prediction.normalization import NormalizationSettings

OPTIONS = {"width": 2, "n_inputs": 1, "n_outputs": 2, "gcn_kernel": 3}


def make_card(**changes: Any) -> ModelCard:
    """A 2-D RI model of two structures that works at 0.19 x 0.21 um."""
    fields: dict[str, Any] = {
        "name": "small-nucleus",
        "version": "1.2.3",
        "description": "Nuclei and nucleoli in RI sections.",
        "paper": "Lee et al. 2019, doi:10.1109/ACCESS.2019.2924255",
        "modality": "odt",
        "quantity": "refractive_index",
        "channels": ("refractive_index",),
        "dimensions": 2,
        "structures": ("nucleus", "nucleolus"),
        "network": NetworkChoice(name="osnet", options=OPTIONS),
        "normalization": NormalizationSettings(kind="fixed", offset=1.337, scale=0.02),
        "voxel_size_um": (None, 0.19, 0.21),
        "value_range": (1.3, 1.5),
        "section_axis": "z",
        "tile_shape": (48, 64),
        "figures": {"held-out": {"dice": 0.91}, "n_fields": 3},
        "limits": "Not for fixed cells.",
        "licence": "CC-BY-4.0",
        "is_trained_on_simulated": True,
        "recipe": {"seed": 1, "loss": "bce"},
    }
    return ModelCard(**{**fields, **changes})


@dataclass(frozen=True)
class Made:
    """A saved package with what went into it."""

    folder: Path
    card: ModelCard
    module: torch.nn.Module
    image: np.ndarray


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        module = build_network("osnet", OPTIONS).eval()
    image = np.random.default_rng(3).normal(size=(1, 32, 48)).astype(np.float32)
    folder = tmp_path_factory.mktemp("packages") / "small-nucleus"
    card = save_package(folder, module.state_dict(), make_card(), image)
    return Made(folder, card, module, image)


@pytest.fixture
def folder(made: Made, tmp_path: Path) -> Path:
    """A copy of the package that a test may break."""
    return Path(shutil.copytree(made.folder, tmp_path / "small-nucleus"))


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty library of the user, and no bundled models."""
    monkeypatch.setenv("TOMOCYTE_MODELS", str(tmp_path / "library"))
    monkeypatch.setattr("tomocyte.models.library.BUNDLED", tmp_path / "bundled")
    return tmp_path / "library"
