"""Fig. 4: thresholds against a model in difficult cases, with the processing that suits them best.

To compare another method, add its mask to :func:`_masks_of`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.evaluation import dice
from tomocyte.figures.canvas import PictureFormat
from tomocyte.figures.contours import contour_figure
from tomocyte.papers.acseg.claims import claims_markdown, judge_scores, scores_markdown
from tomocyte.papers.acseg.fields import SegmentedField
from tomocyte.papers.acseg.pictures import fullest_plane, outline_panel, title_of
from tomocyte.papers.acseg.recipe import ThresholdingRecipe
from tomocyte.papers.acseg.thresholds import METHODS, Example, Method, Tuned, threshold_mask, tune
from tomocyte.papers.result import ExperimentResult
from tomocyte.progress import Callback, Progress, silent

if TYPE_CHECKING:
    import pandas as pd

MODEL = "model"
OUTSIDE_MASK = ("capillary", "bead", "debris")
"""Labels in which wrong voxels are counted, where a field has them."""


def thresholding_experiment(
    recipe: ThresholdingRecipe,
    fields: Sequence[SegmentedField],
    *,
    file_format: PictureFormat = "png",
    callback: Callback = silent,
) -> ExperimentResult:
    """Choose thresholds on all fields, apply them and compare Dice with that of the model.

    Parameters
    ----------
    recipe : ThresholdingRecipe
    fields : sequence of SegmentedField
    file_format : {"png", "pdf", "svg"}
    callback : callable
        Receives an event of the step ``compare`` after each method's settings and after each field.

    Returns
    -------
    ExperimentResult
        Tables ``scores`` (a row per field and method), ``settings``, ``claims``; a picture per case.
    """
    import pandas as pd

    total = len(METHODS) + len(fields)
    examples, is_simulated = [], False
    for field in fields:
        examples.append(Example(field.case, field.image, field.truth != 0, field.voxel_size_um))
        is_simulated |= field.is_simulated
    tuned: dict[Method, Tuned] = {}
    for number, method in enumerate(METHODS, start=1):
        tuned[method] = tune(method, examples, recipe.thresholds)
        callback(Progress(f"settings of {method}", "compare", state="done", done=number, total=total))
    rows: list[dict[str, Any]] = []
    pictures: dict[str, bytes] = {}
    title = title_of(recipe.title, is_simulated=is_simulated)
    for number, field in enumerate(fields, start=len(METHODS) + 1):
        masks = _masks_of(field, tuned)
        rows += [_row(field, method, mask) for method, mask in masks.items()]
        if f"case-{field.case}" not in pictures:
            pictures[f"case-{field.case}"] = _picture(field, masks, title=title, file_format=file_format)
        callback(Progress(field.name, "compare", state="done", done=number, total=total))
    scores = pd.DataFrame(rows)
    judged = judge_scores(recipe.claims, scores)
    tables = {"scores": scores, "settings": _settings_table(tuned), "claims": judged}
    named = {name.replace(" ", "-"): picture for name, picture in pictures.items()}
    return ExperimentResult(tables, named, _summary(title, recipe, scores, tables["settings"], judged), file_format)


def _masks_of(field: SegmentedField, tuned: dict[Method, Tuned]) -> dict[str, NDArray[np.bool_]]:
    """Name of a method -> its mask."""
    masks = {}
    for kind, ending in (("plain", ""), ("processed", ", processed"), ("per_case", ", processed for this case")):
        for method, one in tuned.items():
            threshold = one.per_case[field.case] if kind == "per_case" else getattr(one, kind)
            masks[f"{method}{ending}"] = threshold_mask(field.image, field.voxel_size_um, threshold)
    return {**masks, MODEL: field.found != 0}


def _row(field: SegmentedField, method: str, mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Dice, and in what wrong voxels lie, as shares of what was found."""
    wrong = mask & (field.truth == 0)
    n_found = max(1, int(mask.sum()))
    shares = {
        f"share_in_{name}": int((wrong & (labels != 0)).sum()) / n_found
        for name, labels in field.others.items()
        if name in OUTSIDE_MASK
    }
    score = dice(field.truth, mask) if mask.any() or field.truth.any() else float("nan")
    return {"case": field.case, "item": field.name, "method": method, "dice": score, **shares}


def _picture(
    field: SegmentedField, masks: dict[str, NDArray[np.bool_]], *, title: str, file_format: PictureFormat
) -> bytes:
    z = fullest_plane(field.truth)
    panels = [
        outline_panel(field, z, mask[z], f"{method}: Dice {dice(field.truth, mask):.3f}")
        for method, mask in masks.items()
    ]
    return contour_figure(
        panels, field.voxel_size_um[1:], n_columns=5, title=f"{title}: {field.case}", quantity=field.quantity,
        unit=field.unit, file_format=file_format,
    )  # fmt: skip


def _settings_table(tuned: dict[Method, Tuned]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for method, one in tuned.items():
        rows += [(method, "all, nothing done", one.plain.words), (method, "all", one.processed.words)]
        rows += [(method, case, threshold.words) for case, threshold in one.per_case.items()]
    return pd.DataFrame(rows, columns=["method", "case", "settings"])


def _summary(
    title: str, recipe: ThresholdingRecipe, scores: pd.DataFrame, settings: pd.DataFrame, judged: pd.DataFrame
) -> str:
    lines = [
        f"# {title}",
        "",
        f"{scores['item'].nunique()} tomograms. Settings of the thresholds were chosen by the truth of these very "
        "fields, so that thresholding is shown at its best; the model saw none of it.",
        "",
        *scores_markdown(scores),
        "",
        *claims_markdown(judged),
        "",
        f"{recipe.published}",
        "",
        "| threshold | for | settings |",
        "|---|---|---|",
        *(f"| {row.method} | {row.case} | {row.settings} |" for row in settings.itertuples()),
        "",
    ]
    return "\n".join(lines)
