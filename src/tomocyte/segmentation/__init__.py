"""Segmentation: array in, array out.

The classical engine needs no training. To add a step, add a file and call it in
:mod:`tomocyte.segmentation.classical`; to make a function public, name it below. The names are imported when first
used, so that nothing heavy is loaded before.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tomocyte.segmentation.classical import segment
    from tomocyte.segmentation.components import connected_components
    from tomocyte.segmentation.dtypes import label_dtype, refit
    from tomocyte.segmentation.inclusions import bright_inclusions
    from tomocyte.segmentation.inference import PredictionSettings, predict_frame, prediction_bytes
    from tomocyte.segmentation.instances import assign_parents, renumber, split_touching
    from tomocyte.segmentation.nucleus import dark_core, edge_based_nucleus
    from tomocyte.segmentation.prediction import (
        inference_bytes,
        predict_sections,
        predict_slabs,
        predict_tiled,
        section_slabs,
    )
    from tomocyte.segmentation.probability_instances import (
        InstanceSettings,
        instances_from_mask,
        instances_from_probability,
    )
    from tomocyte.segmentation.streaming import MaskSettings, PredictedMasks, masks_bytes, predict_masks
    from tomocyte.segmentation.thresholds import (
        Histogram,
        half_maximum_levels,
        half_maximum_threshold,
        local_adaptive_mask,
        otsu_threshold,
    )
    from tomocyte.segmentation.tiling import TilingSettings, plan_tiles
    from tomocyte.segmentation.watershed import find_seeds, seeded_watershed

_HOME = {
    "segment": "classical",
    "connected_components": "components",
    "label_dtype": "dtypes",
    "refit": "dtypes",
    "bright_inclusions": "inclusions",
    "PredictionSettings": "inference",
    "predict_frame": "inference",
    "prediction_bytes": "inference",
    "assign_parents": "instances",
    "renumber": "instances",
    "split_touching": "instances",
    "dark_core": "nucleus",
    "edge_based_nucleus": "nucleus",
    "inference_bytes": "prediction",
    "predict_sections": "prediction",
    "predict_slabs": "prediction",
    "predict_tiled": "prediction",
    "section_slabs": "prediction",
    "InstanceSettings": "probability_instances",
    "instances_from_mask": "probability_instances",
    "instances_from_probability": "probability_instances",
    "MaskSettings": "streaming",
    "PredictedMasks": "streaming",
    "masks_bytes": "streaming",
    "predict_masks": "streaming",
    "Histogram": "thresholds",
    "half_maximum_levels": "thresholds",
    "half_maximum_threshold": "thresholds",
    "local_adaptive_mask": "thresholds",
    "otsu_threshold": "thresholds",
    "TilingSettings": "tiling",
    "plan_tiles": "tiling",
    "find_seeds": "watershed",
    "seeded_watershed": "watershed",
}

__all__ = [
    "Histogram",
    "InstanceSettings",
    "MaskSettings",
    "PredictedMasks",
    "PredictionSettings",
    "TilingSettings",
    "assign_parents",
    "bright_inclusions",
    "connected_components",
    "dark_core",
    "edge_based_nucleus",
    "find_seeds",
    "half_maximum_levels",
    "half_maximum_threshold",
    "inference_bytes",
    "instances_from_mask",
    "instances_from_probability",
    "label_dtype",
    "local_adaptive_mask",
    "masks_bytes",
    "otsu_threshold",
    "plan_tiles",
    "predict_frame",
    "predict_masks",
    "predict_sections",
    "predict_slabs",
    "predict_tiled",
    "prediction_bytes",
    "refit",
    "renumber",
    "section_slabs",
    "seeded_watershed",
    "segment",
    "split_touching",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
