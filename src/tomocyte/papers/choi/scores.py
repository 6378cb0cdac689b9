"""One held-out field scored: Dice of every structure, cells one by one, and where the nuclei lie.

All scores are plain numbers, so that a field is scored once and stored as JSON. To add a score, add
its metric to :data:`MASK_METRICS` or :data:`CELL_METRICS` and its name to :func:`score_field`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.comparison.score import Field, score_model
from tomocyte.datasets.labelled import LabelledItem
from tomocyte.evaluation.nuclear_position import compare_nuclei
from tomocyte.models.loaded import LoadedModel
from tomocyte.models.prediction import ModelInput, predict_probabilities
from tomocyte.models.settings import InferenceSettings
from tomocyte.segmentation.cells.separate import CellsResult, separate_cells
from tomocyte.segmentation.cells.windows import CellByCellSettings
from tomocyte.segmentation.prediction.tiled import Predictor
from tomocyte.structures import CELL, NUCLEUS

Mask = NDArray[np.bool_]
MASK_METRICS = ("dice", "n_true_positive", "n_false_positive", "n_false_negative")
CELL_METRICS = ("hungarian_dice", "instance_f1_iou50", "n_true_objects", "n_predicted_objects")


def predict_field(
    models: list[LoadedModel], item: LabelledItem, inference: InferenceSettings | None = None
) -> dict[str, Mask]:
    """Structure -> mask (Z, Y, X) of a field's first frame, from one model or several with structures of their own.

    Parameters
    ----------
    models : list of LoadedModel
    item : LabelledItem
    inference : InferenceSettings, optional
        How 3-D models are applied; those of a fixed frame are applied as they were trained.
    """
    volume = item.open_image()
    image = volume.frame(0)
    masks: dict[str, Mask] = {}
    for model in models:
        options = inference if model.card.fixed_frame is None else None
        frame = ModelInput(image, volume.require_voxel_size(), volume.medium_ri)
        for name, probability in zip(model.card.structures, predict_probabilities(model, frame, options), strict=True):
            masks[name] = np.asarray(probability > model.card.threshold_of(name))
    return masks


@dataclass(frozen=True, eq=False)
class SeparationMethod:
    """How touching cells are separated.

    Parameters
    ----------
    settings : CellByCellSettings
    predictor : callable, optional
        Of a cell-by-cell network.
    """

    settings: CellByCellSettings
    predictor: Predictor | None = None


def score_field(masks: dict[str, Mask], item: LabelledItem, methods: Mapping[str, SeparationMethod]) -> dict[str, Any]:
    """Scores of one field.

    Parameters
    ----------
    masks : dict of str to ndarray (Z, Y, X), bool
        What was found.
    item : LabelledItem
        With true labels of each of these structures.
    methods : mapping of str to SeparationMethod
        Name in tables -> how the mask of all cells becomes single cells, by the nuclei found.

    Returns
    -------
    dict
        ``structures``: name -> ``dice``, ``n_truth``, ``n_prediction``, ``n_common`` (voxels). With cells and nuclei
        among the masks also ``cells``: method -> Hungarian-matched ``dice``, ``f1``, ``n_truth``, ``n_prediction``
        (cells), and ``nuclei``: one entry per true nucleus
        (:class:`tomocyte.evaluation.nuclear_position.NucleusComparison`), with the cells of the first method.
    """
    volume = item.open_image()
    size = volume.require_voxel_size()
    truths = {name: item.read_labels(name) for name in masks}
    field = Field(item.name, item.group, masks, truths.__getitem__, voxel_size_um=size)
    structures = score_model(lambda own: own, [field], metrics=MASK_METRICS)
    result: dict[str, Any] = {"structures": {}, "cells": {}, "nuclei": []}
    for row in structures.rows:
        n_common = row["n_true_positive"]
        result["structures"][row["structure"]] = {
            "dice": _plain(row["dice"]),
            "n_truth": n_common + row["n_false_negative"],
            "n_prediction": n_common + row["n_false_positive"],
            "n_common": n_common,
        }
    if not methods or not {CELL, NUCLEUS} <= set(masks):
        return result
    separated = {
        name: separate_cells(masks[CELL], masks[NUCLEUS], size, method.predictor, method.settings)
        for name, method in methods.items()
    }
    predictors = {name: _labels_of(cells) for name, cells in separated.items()}
    for row in score_model(predictors, [field], metrics=CELL_METRICS).rows:
        result["cells"][row["method"]] = {
            "dice": _plain(row["hungarian_dice"]),
            "f1": _plain(row["instance_f1_iou50"]),
            "n_truth": row["n_true_objects"],
            "n_prediction": row["n_predicted_objects"],
        }
    nuclei = next(iter(separated.values())).nuclei
    compared = compare_nuclei(truths[NUCLEUS], nuclei, truths[CELL], volume.frame(0)[0], voxel_size_um=size)
    result["nuclei"] = [{key: _plain(value) for key, value in asdict(row).items()} for row in compared]
    return result


def _labels_of(cells: CellsResult) -> Callable[[Any], dict[str, NDArray[Any]]]:
    return lambda _: {CELL: cells.labels}


def _plain(value: float) -> float | int | None:
    """A number that JSON can hold: NaN becomes None."""
    return None if isinstance(value, float) and math.isnan(value) else value
