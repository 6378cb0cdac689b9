"""Fig. 2: the masks that are found against the true ones, compartment by compartment, and confusion of those that
exclude each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.evaluation import find_metric
from tomocyte.evaluation.confusion import ConfusionTable, class_image
from tomocyte.evaluation.counts import MaskCounts, count_mask
from tomocyte.figures.bars import grouped_bars_figure
from tomocyte.figures.canvas import PictureFormat
from tomocyte.papers.acseg.claims import claims_markdown
from tomocyte.papers.result import ExperimentResult
from tomocyte.papers.zhanghao.claims import judge_compartments
from tomocyte.papers.zhanghao.fields import CompartmentFrame, compartment_frames
from tomocyte.papers.zhanghao.pictures import confusion_picture, masked_picture
from tomocyte.papers.zhanghao.recipe import ScoringRecipe
from tomocyte.progress import Callback, Progress, silent

if TYPE_CHECKING:
    import pandas as pd

SCORES = {
    "f1": "dice", "moc": "moc", "moc_as_published": "moc_as_published", "precision": "precision", "recall": "recall",
    "pixel_accuracy": "pixel_accuracy",
}  # fmt: skip
"""Column -> metric."""
_HEADINGS = {
    "f1": "F1", "moc": "MOC", "moc_as_published": "MOC as printed", "precision": "precision", "recall": "recall",
    "pixel_accuracy": "accuracy",
}  # fmt: skip
_N_SHOWN = 2


def scoring_experiment(
    recipe: ScoringRecipe,
    items: Sequence[LabelledItem],
    masks: Path,
    *,
    file_format: PictureFormat = "png",
    callback: Callback = silent,
) -> ExperimentResult:
    """Score every stack, whole, against its true masks.

    Parameters
    ----------
    recipe : ScoringRecipe
    items : sequence of LabelledItem
        With labels.
    masks : Path
        A run of them, or a folder of label images.
    file_format : {"png", "pdf", "svg"}
    callback : callable
        Receives an event of the step ``score`` after each frame.

    Returns
    -------
    ExperimentResult
        Tables ``scores`` (all voxels of all stacks), ``scores_by_stack``, ``confusion``, ``claims``; pictures
        ``masked-…``, ``confusion``, ``scores``.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    pooled: dict[str, MaskCounts] = {}
    confusions = {name: ConfusionTable(names) for name, names in recipe.networks.items()}
    pictures: dict[str, bytes] = {}
    is_simulated = False
    for number, frame in enumerate(compartment_frames(recipe, items, masks, has_truth=True), start=1):
        is_simulated |= frame.is_simulated
        for name, counts in frame_counts(frame).items():
            pooled[name] = pooled.get(name, MaskCounts()) + counts
            rows.append({"item": frame.name, "case": frame.case, "frame": frame.frame, **_row(name, counts)})
        for name, confusion in confusions.items():
            _confuse(confusion, frame, recipe.networks[name])
        if frame.frame == 0 and len(pictures) < _N_SHOWN:
            pictures[f"masked-{frame.name}"] = masked_picture(
                frame, recipe.compartments, title=recipe.title, file_format=file_format
            )
        callback(Progress(frame.name, "score", state="done", done=number, total=max(number, len(items))))
    names = [name for name in recipe.compartments if name in pooled]
    scores = pd.DataFrame([_row(name, pooled[name]) for name in names])
    title = f"{recipe.title}{' (simulated)' if is_simulated else ''}"
    made = {name: one for name, one in confusions.items() if len(one)}
    if made:
        matrices = {name: (one.classes, one.matrix) for name, one in made.items()}
        pictures["confusion"] = confusion_picture(matrices, title=title, file_format=file_format)
    by_stack = pd.DataFrame(rows)
    pictures["scores"] = _bars(by_stack, title, file_format)
    judged = judge_compartments(recipe.claims, scores, recipe.compartments)
    tables = {"scores": scores, "scores_by_stack": by_stack, "confusion": _confusion_rows(made), "claims": judged}
    n_stacks = len({row["item"] for row in rows})
    lines = [
        f"# {title}", "", f"{n_stacks} stacks, all of their voxels. Printed values in brackets.",
        "", *scores_markdown(scores, recipe.published), "",
        f"Median F1 {scores['f1'].median():.3f}." if len(scores) else "", "",
        *claims_markdown(judged), "", recipe.notes, "",
    ]  # fmt: skip
    return ExperimentResult(tables, pictures, "\n".join(lines), file_format)


def frame_counts(frame: CompartmentFrame) -> dict[str, MaskCounts]:
    """Compartment -> its voxels, found against true, of those that have a true mask; not found is found nowhere."""
    counts = {}
    for name, truth in frame.truth.items():
        found = frame.found.get(name)
        counts[name] = count_mask(truth, np.zeros_like(truth) if found is None else found)
    return counts


def _row(name: str, counts: MaskCounts) -> dict[str, Any]:
    row: dict[str, Any] = {"compartment": name}
    for column, metric in SCORES.items():
        row[column] = find_metric(metric).function(counts)
    return {**row, "n_true_voxels": counts.n_truth, "n_found_voxels": counts.n_prediction}


def _confuse(confusion: ConfusionTable, frame: CompartmentFrame, names: Sequence[str]) -> None:
    """Add a frame whose truth and masks have all of the classes."""
    if set(names) <= frame.truth.keys() & frame.found.keys():
        truth, found = (class_image([side[name] for name in names])[0] for side in (frame.truth, frame.found))
        confusion.add(frame.name, truth, found, frame=frame.frame)


def _confusion_rows(confusions: Mapping[str, ConfusionTable]) -> pd.DataFrame:
    """A row per network, true and found class."""
    import pandas as pd

    rows = []
    for network, one in confusions.items():
        for (row, column), n in np.ndenumerate(one.matrix):
            total = int(one.matrix[row].sum())
            share = n / total if total else float("nan")
            rows.append((network, one.classes[row], one.classes[column], int(n), share))
    return pd.DataFrame(rows, columns=["network", "truth", "found", "n_voxels", "share_of_truth"])


def _bars(by_stack: pd.DataFrame, title: str, file_format: PictureFormat) -> bytes:
    """Fig. 2c and g to j: every score with a point per stack."""
    shown = ("pixel_accuracy", "recall", "precision", "f1", "moc")
    groups = {
        _HEADINGS[score]: {str(name): list(own[score]) for name, own in by_stack.groupby("compartment", sort=False)}
        for score in shown
    }
    return grouped_bars_figure(groups, name="score", title=title, file_format=file_format)


def scores_markdown(scores: pd.DataFrame, published: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The scores as lines of a Markdown table, with what the paper prints in brackets."""
    lines = [
        f"| compartment | {' | '.join(_HEADINGS[name] for name in SCORES)} |", "|---|" + "---:|" * len(SCORES)
    ]  # fmt: skip
    for row in scores.to_dict("records"):
        cells = []
        for name in SCORES:
            printed = published.get(str(row["compartment"]), {}).get(name)
            value = float(row[name])
            text = "" if np.isnan(value) else f"{value:.3f}"
            cells.append(text + ("" if printed is None else f" ({printed:g})"))
        lines.append(f"| {str(row['compartment']).replace('_', ' ')} | {' | '.join(cells)} |")
    return lines
