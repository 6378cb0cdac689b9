"""A small simulated data set with a time-lapse, made of balls, and a model that is a plain function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tomocyte.datasets import writer
from tomocyte.datasets.labelled import LabelledItem, find_items
from tomocyte.labels.stack import LabelStack
from tomocyte.models import ModelCard, NetworkChoice
from tomocyte.models.loaded import LoadedModel
from tomocyte.segmentation.prediction.normalization import NormalizationSettings
from tomocyte.volume import Volume, VoxelSize

SIZE: VoxelSize = (0.4, 0.25, 0.2)
SHAPE = (30, 64, 80)
MEDIUM_RI = 1.337
CELL_RI = 1.360
NUCLEUS_RI = 1.350
CELL_RADIUS_UM = 4.5


def ball(centre_um: tuple[float, float, float], radius_um: float) -> NDArray[np.bool_]:
    axes = [(np.arange(n) + 0.5) * s - c for n, s, c in zip(SHAPE, SIZE, centre_um, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    return np.asarray(z**2 + y**2 + x**2 <= radius_um**2)


def write_item(folder: Path, name: str, radii_um: list[float], *, split: str = "", domain: str = "") -> None:
    """A cell around a ball-shaped nucleus whose radius is given per frame."""
    nuclei = np.stack([ball((6.0, 8.0, 7.0), radius) for radius in radii_um])[:, None]
    cells = np.broadcast_to(ball((6.0, 8.0, 7.0), CELL_RADIUS_UM), nuclei.shape)
    image = np.where(nuclei, NUCLEUS_RI, np.where(cells, CELL_RI, MEDIUM_RI)).astype(np.float32)
    known: dict[str, Any] = {
        "voxel_size_um": SIZE,
        "time_s": tuple(600.0 * frame for frame in range(len(radii_um))),
        "origin": {"voxel_size_um": "simulated"},
    }
    volume = Volume.from_array(image, quantity="refractive_index", unit="1", medium_ri=MEDIUM_RI, **known)
    stacks = {"nucleus": LabelStack(SHAPE), "cell": LabelStack(SHAPE)}
    for frame in range(len(radii_um)):
        stacks["nucleus"].append(nuclei[frame, 0].astype(np.uint8) * 3)
        stacks["cell"].append(cells[frame, 0].astype(np.uint8) * 3)
    entry = folder / "items" / name
    entry.mkdir(parents=True)
    writer.write_item(
        entry,
        name,
        volume,
        stacks.items(),
        card={"split": split, "domain": domain, "settings": {"preset": "HeLa"}},
        tracks=pd.DataFrame({"frame": range(len(radii_um)), "label": 3, "track_id": 7}),
    )
    (folder / "items" / f"{name}.done.json").write_text("{}", encoding="utf-8")


def make_card(**changes: Any) -> ModelCard:
    fields: dict[str, Any] = {
        "name": "plain-function",
        "modality": "odt",
        "quantity": "refractive_index",
        "channels": ("refractive_index",),
        "dimensions": 2,
        "structures": ("cell", "nucleus"),
        "network": NetworkChoice(name="osnet"),
        "normalization": NormalizationSettings(kind="medium", offset=1.3, scale=0.01),
        "voxel_size_um": (None, 0.25, 0.2),
        "value_range": (1.3, 1.5),
        "section_axis": "z",
        "tile_shape": (32, 48),
    }
    return ModelCard(**{**fields, **changes})


def by_value(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """Two outputs by refractive index alone: (RI - medium) / 0.01 is 2.3 in the cytoplasm and 1.3 in the nucleus."""
    return np.concatenate([batch > 0.6, (batch > 0.8) & (batch < 1.8)], axis=1).astype(np.float32)


@pytest.fixture
def model() -> LoadedModel:
    return LoadedModel(make_card(), by_value, (16, 16))


@pytest.fixture
def material(tmp_path: Path) -> Callable[..., list[LabelledItem]]:
    def make(**items: list[float]) -> list[LabelledItem]:
        for name, radii in items.items():
            write_item(tmp_path / "data", name, radii)
        return find_items(tmp_path / "data")

    return make
