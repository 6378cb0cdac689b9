"""Small labelled images whose content can be counted by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tomocyte.formats import write_volume
from tomocyte.training.recipe import Recipe, build_recipe
from tomocyte.volume import Volume

VOXEL_UM = (0.5, 0.3, 0.2)
SHAPE = (6, 40, 48)


def write_pair(folder: Path, name: str, image: np.ndarray, labels: np.ndarray, *, structure: str = "nucleus") -> None:
    """``NAME.ome.tif`` and ``NAME_STRUCTURE.ome.tif`` with a voxel size."""
    folder.mkdir(parents=True, exist_ok=True)
    size = VOXEL_UM if image.shape[0] > 1 else (float("nan"), *VOXEL_UM[1:])
    known: dict[str, Any] = {"voxel_size_um": size, "origin": {"voxel_size_um": "user"}}
    volume = Volume.from_array(image.astype(np.float32), quantity="refractive_index", unit="1", **known)
    write_volume(folder / f"{name}.ome.tif", volume)
    label_volume = Volume.from_array(labels.astype(np.uint32), quantity="labels", **known)
    write_volume(folder / f"{name}_{structure}.ome.tif", label_volume)


def disc_volume(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A bright box on noise in planes 2 to 4 of 6; the labels are the box."""
    image = rng.normal(1.337, 0.0005, SHAPE)
    labels = np.zeros(SHAPE, dtype=np.uint32)
    y, x = int(rng.integers(4, 20)), int(rng.integers(4, 26))
    labels[2:5, y : y + 14, x : x + 16] = 1
    image[labels > 0] += 0.02
    return image, labels


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Five images of one box each."""
    rng = np.random.default_rng(7)
    for index in range(5):
        write_pair(tmp_path / "data", f"cell{index}", *disc_volume(rng))
    return tmp_path / "data"


def small_recipe(**changes: Any) -> Recipe:
    """A network of a few thousand weights for the boxes."""
    content: dict[str, Any] = {
        "name": "boxes",
        "data": {
            "modality": "odt",
            "structures": ["nucleus"],
            "normalization": {"kind": "fixed", "offset": 1.337, "scale": 0.02},
            "min_section_area_um2": 1.0,
        },
        "network": {"name": "osnet", "options": {"width": 4}},
        "loop": {"n_epochs": 2, "batch_size": 4, "precision": "fp32", "seed": 3},
    }
    for key, value in changes.items():
        content[key] = {**content[key], **value} if isinstance(content.get(key), dict) else value
    return build_recipe(content)
