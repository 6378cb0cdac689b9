"""Fig. S5: the compartments of cells in mitosis, frame by frame or stack by stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.figures.canvas import PictureFormat
from tomocyte.papers.acseg.claims import claims_markdown
from tomocyte.papers.result import ExperimentResult
from tomocyte.papers.zhanghao.anatomy import voxel_counts
from tomocyte.papers.zhanghao.claims import judge_compartments
from tomocyte.papers.zhanghao.fields import CompartmentFrame, compartment_frames
from tomocyte.papers.zhanghao.pictures import compartments_picture, ratio_picture
from tomocyte.papers.zhanghao.recipe import MitosisRecipe
from tomocyte.papers.zhanghao.tables import anatomy_table, contact_table
from tomocyte.progress import Callback, Progress, silent

if TYPE_CHECKING:
    import pandas as pd


def mitosis_experiment(
    recipe: MitosisRecipe,
    items: Sequence[LabelledItem],
    run: Path,
    *,
    file_format: PictureFormat = "png",
    callback: Callback = silent,
) -> ExperimentResult:
    """Number, volume and contacts of the compartments at every stage.

    Parameters
    ----------
    recipe : MitosisRecipe
    items : sequence of LabelledItem
        A film, or stacks of cells at several stages.
    run : Path
        Folder of a run of them.
    file_format : {"png", "pdf", "svg"}
    callback : callable
        Receives an event of the step ``draw`` after each frame.

    Returns
    -------
    ExperimentResult
        Tables ``compartments``, ``contacts``, ``claims``; pictures ``ratio-…``, ``compartments-…`` of some frames.
    """
    import pandas as pd

    pictures: dict[str, bytes] = {}
    counts: list[tuple[str, str, int]] = []
    stages: dict[tuple[str, int], str] = {}
    options: dict[str, Any] = {"title": recipe.title, "file_format": file_format}
    frames = sum(item.open_image().n_frames for item in items)
    shown = {round(number) for number in np.linspace(0, frames - 1, min(frames, recipe.n_shown))}
    is_simulated = False
    for number, frame in enumerate(compartment_frames(recipe, items, run, has_truth=False)):
        is_simulated |= frame.is_simulated
        stage = stage_of(frame, recipe.stages)
        stages[frame.name, frame.frame] = stage
        counts += [(stage, name, n) for _, name, n in voxel_counts(frame, recipe.compartments)]
        if number in shown:
            at = {**options, "title": f"{recipe.title}, {stage}, frame {frame.frame}"}
            name = f"{frame.name}-{frame.frame:02d}"
            pictures[f"ratio-{name}"] = ratio_picture(frame, **at)
            pictures[f"compartments-{name}"] = compartments_picture(frame, frame.found, recipe.panels, **at)
        callback(Progress(frame.name, "draw", state="done", done=number + 1, total=frames))
    table, contacts = anatomy_table(run, recipe.compartments), contact_table(run, stages)
    table.insert(2, "stage", [stages[item, frame] for item, frame in zip(table["item"], table["frame"], strict=True)])
    judged = judge_compartments(
        recipe.claims, pd.DataFrame(counts, columns=["place", "compartment", "n_voxels"]), recipe.compartments
    )
    tables = {"compartments": table, "claims": judged, **({} if contacts is None else {"contacts": contacts})}
    title = f"{recipe.title}{' (simulated)' if is_simulated else ''}"
    lines = [
        f"# {title}", "", "Objects per cell, and volume in µm³ of all cells:", "", *stage_markdown(table), "",
        *claims_markdown(judged), "", recipe.notes, "",
    ]  # fmt: skip
    return ExperimentResult(tables, pictures, "\n".join(lines), file_format)


def stage_of(frame: CompartmentFrame, stages: Mapping[str, float]) -> str:
    """The last stage that has begun; of stacks without times, what they are an example of.

    Parameters
    ----------
    frame : CompartmentFrame
    stages : mapping of str to float
        Name -> time in h at which it begins.
    """
    if frame.time_s is None or not stages:
        return frame.case
    begun = [name for name, begin_h in stages.items() if begin_h * 3600 <= frame.time_s + 1e-6]
    return max(begun, key=lambda name: stages[name]) if begun else "before"


def stage_markdown(table: pd.DataFrame) -> list[str]:
    """Number and volume per compartment and stage, means over frames, as lines of a Markdown table."""
    stages = list(dict.fromkeys(table["stage"]))
    lines = [f"| compartment | {' | '.join(stages)} |", "|---|" + "---:|" * len(stages)]
    for name, own in table.groupby("compartment", sort=False):
        cells = []
        for stage in stages:
            here = own[own["stage"] == stage]
            cells.append(f"{here['n_per_cell'].mean():.3g}; {here['volume_um3'].mean():.3g}".replace("nan; nan", ""))
        lines.append(f"| {str(name).replace('_', ' ')} | {' | '.join(cells)} |")
    return lines
