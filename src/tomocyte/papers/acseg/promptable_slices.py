"""Fig. 5: a promptable 2-D model against the model that is compared, by Dice of planes.

Without a promptable model the comparison has one side, and the summary says what is needed for the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.evaluation import dice, jaccard, match_instances
from tomocyte.figures.canvas import PictureFormat
from tomocyte.figures.contours import ContourPanel, contour_figure
from tomocyte.papers.acseg.claims import claims_markdown, judge_scores, scores_markdown
from tomocyte.papers.acseg.fields import SegmentedField
from tomocyte.papers.acseg.pictures import fullest_plane, outline_panel, title_of
from tomocyte.papers.acseg.promptable import PromptableModel
from tomocyte.papers.acseg.prompts import masks_of_cells
from tomocyte.papers.acseg.recipe import PromptableRecipe
from tomocyte.papers.result import ExperimentResult
from tomocyte.progress import Callback, Progress, silent

MODEL = "model"
NUCLEUS = "nucleus"
MIN_IOU = 0.5
"""Overlap (intersection over union) from which on a cell counts as found."""
PROMPTED = (
    "Prompts come from the truth, which helps the promptable model: a point or a box for every cell, or, for auto, the "
    "choice of the mask that fits each cell best."
)
NEEDED = (
    "No promptable model was given, so that one side is missing. Needed: `pip install 'tomocyte[export]'` and an ONNX "
    "export of SAM, SAM 2, EfficientSAM or a model like them: `--set promptable.encoder=ENCODER.onnx --set "
    "promptable.decoder=DECODER.onnx`, or `--set promptable.decoder=MODEL.onnx` where one file does all."
)


def promptable_experiment(
    recipe: PromptableRecipe,
    fields: Sequence[SegmentedField],
    *,
    file_format: PictureFormat = "png",
    callback: Callback = silent,
) -> ExperimentResult:
    """Compare 2-D Dice of the planes of every tomogram.

    Parameters
    ----------
    recipe : PromptableRecipe
    fields : sequence of SegmentedField
    file_format : {"png", "pdf", "svg"}
    callback : callable
        Receives an event of the step ``compare`` after each field.

    Returns
    -------
    ExperimentResult
        Tables ``scores`` (a row per plane and method), ``claims``; a picture per case.

    Raises
    ------
    InputError
        ``E-NO-CELLS``: no plane holds a labelled cell.
    """
    import pandas as pd

    model = PromptableModel(recipe.promptable) if recipe.promptable.decoder else None
    rows: list[dict[str, Any]] = []
    pictures: dict[str, bytes] = {}
    title = recipe.title
    for number, field in enumerate(fields, start=1):
        title = title_of(recipe.title, is_simulated=field.is_simulated)
        panels: list[ContourPanel] = []
        for z in planes_of(field, recipe.slices):
            masks = _masks_of(model, field, z, recipe)
            scored = [_row(field, z, method, parts) for method, parts in masks.items()]
            rows += scored
            if not panels:
                panels = [
                    outline_panel(
                        field, z, labels_of(parts, field.truth[z].shape), f"{row['method']}: {row['dice']:.4f}"
                    )
                    for row, parts in zip(scored, masks.values(), strict=True)
                ]
        name = f"case-{field.case}".replace(" ", "-")
        if panels and name not in pictures:
            pictures[name] = contour_figure(
                panels, field.voxel_size_um[1:], n_columns=4, title=f"{title}: {field.case}", quantity=field.quantity,
                unit=field.unit, file_format=file_format,
            )  # fmt: skip
        callback(Progress(field.name, "compare", state="done", done=number, total=len(fields)))
    if not rows:
        raise InputError("E-NO-CELLS", "no plane holds a labelled cell.", cure="Give images with labelled cells.")
    scores = pd.DataFrame(rows)
    judged = judge_scores(recipe.claims, scores)
    lines = [
        f"# {title}",
        "",
        f"2-D Dice of {len(scores[['item', 'z']].drop_duplicates())} planes ({recipe.slices}) of "
        f"{scores['item'].nunique()} tomograms.",
        "",
        PROMPTED if model else NEEDED,
        "",
        *scores_markdown(scores),
        "",
        *claims_markdown(judged),
        "",
        recipe.published,
        "",
    ]
    return ExperimentResult({"scores": scores, "claims": judged}, pictures, "\n".join(lines), file_format)


def planes_of(field: SegmentedField, slices: str) -> list[int]:
    """The z planes that are compared: the middle one, or, where it holds no cell, the fullest; or all with cells."""
    with_cells = np.flatnonzero(field.truth.any(axis=(1, 2)))
    if slices == "all":
        return [int(z) for z in with_cells]
    middle = len(field.truth) // 2
    return [middle if middle in with_cells else fullest_plane(field.truth)] if len(with_cells) else []


def labels_of(masks: dict[int, NDArray[np.bool_]], shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """Masks as one label image, the later on top."""
    labels = np.zeros(shape, np.uint16)
    for number, mask in enumerate(masks.values(), start=1):
        labels[mask] = number
    return labels


def _masks_of(
    model: PromptableModel | None, field: SegmentedField, z: int, recipe: PromptableRecipe
) -> dict[str, dict[int, NDArray[np.bool_]]]:
    """Method -> label of a true cell (or, of the model, of a found one) -> mask."""
    ours = {int(label): field.found[z] == label for label in np.unique(field.found[z]) if label}
    methods = {MODEL: ours}
    for prompts in recipe.prompts if model is not None else ():
        if model is not None:
            methods[f"promptable, {prompts}"] = masks_of_cells(
                model, field.image[z], field.truth[z], prompts, recipe.promptable
            )
    return methods


def _row(field: SegmentedField, z: int, method: str, masks: dict[int, NDArray[np.bool_]]) -> dict[str, Any]:
    truth = field.truth[z]
    names = [int(label) for label in np.unique(truth) if label]
    union = np.logical_or.reduce([np.zeros(truth.shape, bool), *masks.values()])
    if method == MODEL:
        n_found = len(match_instances(truth, field.found[z], min_iou=MIN_IOU))
    else:
        n_found = sum(jaccard(truth == name, mask) >= MIN_IOU for name, mask in masks.items())
    row = {
        "case": field.case, "item": field.name, "z": z, "method": method, "dice": dice(truth, union),
        "n_cells": len(names), "n_found": n_found,
    }  # fmt: skip
    if NUCLEUS in field.others and method != MODEL:
        nucleus = field.others[NUCLEUS][z] != 0
        row["n_nucleus"] = sum(
            jaccard(nucleus & (truth == name), mask) > jaccard(truth == name, mask) for name, mask in masks.items()
        )
    return row
