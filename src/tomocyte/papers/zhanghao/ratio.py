"""Fig. S4: what the ratio is worth to a network, at several contrasts of the ratio between compartments.

In simulated stacks the assumed contrast decides the answer, so networks learn at none, half and all of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tomocyte.comparison import AblationSettings, ablate
from tomocyte.comparison.crossval_recipe import merged
from tomocyte.datasets.labelled import LabelledItem
from tomocyte.figures.bars import grouped_bars_figure
from tomocyte.figures.canvas import PictureFormat
from tomocyte.papers.acseg.claims import claims_markdown
from tomocyte.papers.acseg.trainings.recipe import TrainingCost
from tomocyte.papers.acseg.trainings.train import timed_recipe
from tomocyte.papers.result import ExperimentResult
from tomocyte.papers.zhanghao.claims import judge_compartments
from tomocyte.papers.zhanghao.recipe import RatioRecipe
from tomocyte.progress import Callback, silent
from tomocyte.training.recipe import Recipe, build_recipe, load_recipe

if TYPE_CHECKING:
    import pandas as pd


def ratio_experiment(
    recipe: RatioRecipe,
    items: Sequence[LabelledItem],
    output: Path,
    *,
    file_format: PictureFormat = "png",
    device: str = "cpu",
    callback: Callback = silent,
) -> ExperimentResult:
    """Train with and without a channel in every case, and compare both on stacks that neither learned from.

    Parameters
    ----------
    recipe : RatioRecipe
    items : sequence of LabelledItem
        Their domain is the case; those without one are one case.
    output : Path
        Trainings go to ``ablations``; what is finished is not done again.
    file_format : {"png", "pdf", "svg"}
    device : str
    callback : callable
        Receives events of the steps ``training`` and ``score``.

    Returns
    -------
    ExperimentResult
        Tables ``differences`` (with minus without, with intervals), ``scores``, ``claims``; picture ``f1``.
    """
    import pandas as pd

    cost = TrainingCost(
        recipe.network.minutes or recipe.minutes, recipe.network.n_steps, recipe.network.n_epochs or recipe.n_epochs
    )
    training = training_of(recipe)
    settings = AblationSettings(channel=recipe.channel, n_seeds=recipe.n_seeds, held_out_share=recipe.held_out_share)
    differences, scores, is_simulated = [], [], False
    for case in dict.fromkeys(item.domain for item in items):
        own = [replace(item, channels=training.data.channels) for item in items if item.domain == case]
        timed = timed_recipe(training, cost, own, output, device=device)
        name = re.sub(r"[^A-Za-z0-9.]+", "-", case) or "data"
        result = ablate(timed, own, output / "ablations" / name, settings, device=device, callback=callback)
        differences.append(result.differences.assign(case=case))
        scores.append(result.scores.assign(case=case))
        is_simulated |= result.is_simulated
    table, every = pd.concat(differences, ignore_index=True), pd.concat(scores, ignore_index=True)
    judged = judge_compartments(recipe.claims, table, training.data.structures)
    title = f"{recipe.title}{' (simulated)' if is_simulated else ''}"
    groups = {
        f"{case}, {arm}": {str(name): list(rows["dice"]) for name, rows in own.groupby("structure", sort=False)}
        for (case, arm), own in every.groupby(["case", "arm"], sort=False)
    }
    pictures = {"f1": grouped_bars_figure(groups, name="F1", title=title, file_format=file_format)}
    lines = [f"# {title}", "", *differences_markdown(table), "", *claims_markdown(judged), "", recipe.notes, ""]
    return ExperimentResult(
        {"differences": table, "scores": every, "claims": judged}, pictures, "\n".join(lines), file_format
    )


def training_of(recipe: RatioRecipe) -> Recipe:
    """The training recipe, as long as its own file says."""
    changes = merged(recipe.network.changes, {"held_out": None, "calibrate": False})
    return build_recipe(merged(load_recipe(recipe.network.recipe), changes))


def describe_ratio(recipe: RatioRecipe, source: str) -> list[str]:
    """What would be done, in lines for a screen."""
    training = training_of(recipe)
    n = 2 * recipe.n_seeds * len(recipe.fields)
    minutes = recipe.network.minutes or recipe.minutes
    return [
        f"{recipe.name}: {source}; {', '.join(training.data.structures)} with and without {recipe.channel}.",
        f"{n} trainings of {minutes:g} core minutes for simulated stacks; simulating and scoring come on top.",
    ]


def differences_markdown(table: pd.DataFrame) -> list[str]:
    """F1 without and with the channel as lines of a Markdown table."""
    lines = ["| case | compartment | F1 without | with | difference (interval) |", "|---|---|---:|---:|---:|"]
    for _, row in table[table["metric"] == "dice"].iterrows():
        interval = "" if row["low"] != row["low"] else f" ({row['low']:+.3f} to {row['high']:+.3f})"
        lines.append(
            f"| {row['case']} | {str(row['structure']).replace('_', ' ')} | {row['mean_without']:.3f} | "
            f"{row['mean_with']:.3f} | {row['difference']:+.3f}{interval} |"
        )
    return lines
