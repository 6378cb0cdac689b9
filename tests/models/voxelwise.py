"""Models whose network is a formula of each voxel's own value, so that neither tiles nor sections can matter."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.models.conftest import make_card

from tomocyte.labels.settings import CleanSettings, SplitSettings
from tomocyte.models import ModelCard
from tomocyte.models.objects import ObjectRules
from tomocyte.models.prediction import ModelInput
from tomocyte.models.settings import InferenceSettings
from tomocyte.segmentation.prediction.normalization import NormalizationSettings
from tomocyte.segmentation.settings import InstanceSettings

SIZE_UM = (0.4, 0.3, 0.25)
SHAPE = (7, 22, 26)
EVERY_VOXEL = InstanceSettings(
    min_volume_um3=0, min_area_um2=0, is_hole_filled=False, split=SplitSettings(method="none")
)
INFERENCE = InferenceSettings(
    tile_shape=(4, 16, 16), skips_empty=False, instances={"cell": EVERY_VOXEL, "nucleus": EVERY_VOXEL}
)
RULES = ObjectRules(INFERENCE, CleanSettings(), SplitSettings())


def solid_card(**changes: Any) -> ModelCard:
    return make_card(
        **{
            "structures": ("cell", "nucleus"), "dimensions": 3, "section_axis": None, "voxel_size_um": SIZE_UM,
            "tile_shape": (4, 16, 16), "normalization": NormalizationSettings(kind="medium", offset=1.4, scale=0.02),
            **changes,
        }
    )  # fmt: skip


def linear(batch: NDArray[np.float32], shift: float = 0.0) -> NDArray[np.float32]:
    """Cell v / 4 + shift, nucleus half of it: of each voxel's own value, so that tiles cannot matter."""
    cell = np.clip(batch / 4 + shift, 0, 1)
    return np.concatenate([cell, cell / 2], axis=1).astype(np.float32)


def model_of(predictor: Any, card: ModelCard | None = None, divisor: tuple[int, ...] = (2, 4, 4)) -> Any:
    return SimpleNamespace(card=card or solid_card(), predictor=predictor, divisor=divisor)


def values() -> NDArray[np.float32]:
    """What the network sees: 0 to 4, with structure on all axes."""
    return np.random.default_rng(4).uniform(0, 4, SHAPE).astype(np.float32)


def frame_of(v: NDArray[np.float32], medium_ri: float | None = 1.337) -> ModelInput:
    return ModelInput((1.337 + 0.02 * v.astype(np.float64)).astype(np.float32)[None], SIZE_UM, medium_ri)
