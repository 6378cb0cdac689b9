"""Fig. 1: what two channels show, and the compartments that are found in them, with numbers, volumes and contacts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.figures.canvas import PictureFormat
from tomocyte.papers.acseg.claims import claims_markdown
from tomocyte.papers.result import ExperimentResult
from tomocyte.papers.zhanghao.claims import judge_compartments
from tomocyte.papers.zhanghao.fields import CompartmentFrame, compartment_frames
from tomocyte.papers.zhanghao.pictures import compartments_picture, contact_picture, masked_picture, ratio_picture
from tomocyte.papers.zhanghao.recipe import AnatomyRecipe
from tomocyte.papers.zhanghao.tables import anatomy_table, contact_table
from tomocyte.progress import Callback, Progress, silent

if TYPE_CHECKING:
    import pandas as pd


def anatomy_experiment(
    recipe: AnatomyRecipe,
    items: Sequence[LabelledItem],
    run: Path,
    *,
    file_format: PictureFormat = "png",
    callback: Callback = silent,
) -> ExperimentResult:
    """Draw and count the compartments of every stack, its first frame.

    Parameters
    ----------
    recipe : AnatomyRecipe
    items : sequence of LabelledItem
    run : Path
        Folder of a run of them.
    file_format : {"png", "pdf", "svg"}
    callback : callable
        Receives an event of the step ``draw`` after each stack.

    Returns
    -------
    ExperimentResult
        Tables ``compartments`` (number, volume, intensity, ratio), ``contacts`` where they were measured, ``claims``;
        pictures ``ratio-…``, ``compartments-…``, ``masked-…`` per stack, and ``contacts``.
    """
    import pandas as pd

    pictures: dict[str, bytes] = {}
    counts: list[tuple[str, str, int]] = []
    options: dict[str, Any] = {"title": recipe.title, "file_format": file_format}
    is_simulated = False
    for frame in compartment_frames(recipe, items, run, has_truth=False):
        if frame.frame:
            continue
        is_simulated |= frame.is_simulated
        pictures[f"ratio-{frame.name}"] = ratio_picture(frame, **options)
        if frame.found:
            pictures[f"compartments-{frame.name}"] = compartments_picture(frame, frame.found, recipe.panels, **options)
            pictures[f"masked-{frame.name}"] = masked_picture(frame, recipe.compartments, **options)
        counts += voxel_counts(frame, recipe.compartments)
        callback(Progress(frame.name, "draw", state="done", done=len(pictures) // 3, total=len(items)))
    table, contacts = anatomy_table(run, recipe.compartments), contact_table(run)
    judged = judge_compartments(
        recipe.claims, pd.DataFrame(counts, columns=["place", "compartment", "n_voxels"]), recipe.compartments
    )
    tables = {"compartments": table, "claims": judged}
    title = f"{recipe.title}{' (simulated)' if is_simulated else ''}"
    if contacts is not None:
        tables["contacts"] = contacts
        drawn = contact_picture(contacts, recipe.compartments, title=title, file_format=file_format)
        pictures |= {} if drawn is None else {"contacts": drawn}
    lines = [f"# {title}", "", *anatomy_markdown(table), "", *claims_markdown(judged), "", recipe.notes, ""]
    return ExperimentResult(tables, pictures, "\n".join(lines), file_format)


def voxel_counts(frame: CompartmentFrame, compartments: Sequence[str]) -> list[tuple[str, str, int]]:
    """Stack, compartment and voxels found, 0 where it was not looked for."""
    found = frame.found
    return [(frame.name, name, int(np.count_nonzero(found[name])) if name in found else 0) for name in compartments]


def anatomy_markdown(table: pd.DataFrame) -> list[str]:
    """Means over stacks and frames as lines of a Markdown table; a sentence where no compartment was found."""
    if table.empty:
        return ["No compartment was found."]
    lines = [
        "| compartment | objects per cell | volume (µm³) | share of the cells (%) | intensity | ratio |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, own in table.groupby("compartment", sort=False):
        values = [
            f"{own['n_per_cell'].mean():.3g}", f"{own['volume_um3'].mean():.3g}",
            f"{100 * own['volume_share'].mean():.3g}", f"{own['mean_intensity'].mean():.4g}",
            f"{own['mean_ratio'].mean():.3f}",
        ]  # fmt: skip
        lines.append(f"| {str(name).replace('_', ' ')} | {' | '.join('' if v == 'nan' else v for v in values)} |")
    return lines
