"""A 3-D U-Net whose answer is known: output k is sigmoid(gain_k (v - level_k)) of a voxel's own value v >= 0."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tomocyte.models import ModelCard, NetworkChoice, save_package
from tomocyte.networks import build_network
from tomocyte.segmentation.prediction.normalization import NormalizationSettings

OPTIONS: dict[str, Any] = {"width": 2, "strides": [[1, 2, 2]], "norm": "batch"}
SIZE_UM = (0.4, 0.3, 0.25)
MEDIUM_RI = 1.337


def network_by_hand(levels: tuple[float, ...], gains: tuple[float, ...]) -> torch.nn.Module:
    """All weights 0 but those that hand the value on through the first level to the head."""
    network = build_network("unet3d", {**OPTIONS, "n_outputs": len(levels)}).eval()
    with torch.no_grad():
        for name, weights in network.state_dict().items():
            weights.fill_(1.0 if name.endswith("running_var") else 0.0)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                module.weight.fill_(math.sqrt(1 + module.eps))
        for block in (network.blocks[0], network.ups[0].block):
            for convolution in (part for part in block.modules() if isinstance(part, torch.nn.Conv3d)):
                middle = [size // 2 for size in convolution.kernel_size]
                convolution.weight[0, 0, middle[0], middle[1], middle[2]] = 1.0
        for output, (level, gain) in enumerate(zip(levels, gains, strict=True)):
            network.head.weight[output, 0] = gain
            network.head.bias[output] = -gain * level
    return network


def save_by_hand(folder: Path, levels: tuple[float, ...], gains: tuple[float, ...], **changes: Any) -> Path:
    """A package of such a network; v = (RI - medium) / 0.02."""
    fields: dict[str, Any] = {
        "name": folder.name,
        "modality": "odt",
        "quantity": "refractive_index",
        "channels": ("refractive_index",),
        "dimensions": 3,
        "structures": ("cell", "nucleus")[: len(levels)],
        "network": NetworkChoice(name="unet3d", options={**OPTIONS, "n_outputs": len(levels)}),
        "normalization": NormalizationSettings(kind="medium", offset=MEDIUM_RI, scale=0.02),
        "voxel_size_um": SIZE_UM,
        "value_range": (1.3, 1.45),
        "tile_shape": (16, 32, 32),
        **changes,
    }
    image = np.random.default_rng(1).random((1, 4, 8, 8)).astype(np.float32)
    save_package(folder, network_by_hand(levels, gains).state_dict(), ModelCard(**fields), image, is_overwriting=True)
    return folder


def balls_ri(*centres_um: tuple[float, float, float], shape: tuple[int, int, int] = (22, 40, 48)) -> np.ndarray:
    """Cells of 3 µm with a soft edge (RI 1.357, v = 1) and a nucleus of 1.5 µm in each (RI 1.377, v = 2)."""
    grid = [(np.arange(n) - (n - 1) / 2) * size for n, size in zip(shape, SIZE_UM, strict=True)]
    z, y, x = np.meshgrid(*grid, indexing="ij")
    v = np.zeros(shape)
    for centre in centres_um:
        r = np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2)
        v += np.clip((3.0 - r) / 0.8 + 0.5, 0, 1) + np.clip((1.5 - r) / 0.8 + 0.5, 0, 1)
    return (MEDIUM_RI + 0.02 * v).astype(np.float32)
