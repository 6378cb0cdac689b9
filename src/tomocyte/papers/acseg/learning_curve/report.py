"""Tables, pictures and summary of Table 1: scores against numbers of volumes, how good the labels are, claims, plans.

``fields`` has a row per training and test volume, as ``tomocyte plan`` reads it. To add a column of the table of means,
add it to :func:`curve_table`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.errors import SettingsError
from tomocyte.figures.canvas import PictureFormat
from tomocyte.figures.learning import ScoreSeries, learning_figure, score_series_figure
from tomocyte.papers.acseg.learning_curve.recipe import LearningCurveRecipe, NeededClaim
from tomocyte.papers.acseg.trainings.claims import claim_lines, claim_table, mean_and_sd_text, score_rows
from tomocyte.papers.acseg.trainings.score import FIGURES
from tomocyte.papers.result import ExperimentResult
from tomocyte.papers.score_tables import PublishedTable, load_published
from tomocyte.statistics import Plan, TrainingSize, plan_volumes
from tomocyte.statistics.effects import mean_interval
from tomocyte.statistics.learning_curves import FittedCurve, spoken_volumes

if TYPE_CHECKING:
    import pandas as pd

TABLE = "table-1"
PAPERS_CURVE = "exponential"
"""The family of curves that the paper fits: 1 - b exp(-a n)."""
MEANS = {"volume": "volume_error_percent", "surface_to_volume": "surface_to_volume_error_percent"}
KEYS = ("network", "labels", "n_training")


def curve_result(
    recipe: LearningCurveRecipe,
    fields: pd.DataFrame,
    facts: pd.DataFrame,
    *,
    n_volumes: int,
    n_test: int,
    is_simulated: bool,
    file_format: PictureFormat = "png",
) -> ExperimentResult:
    """Everything that is written.

    Parameters
    ----------
    recipe : LearningCurveRecipe
    fields : DataFrame
        One row per training and test volume: ``network``, ``labels``, ``n_training``, ``seed``, ``item``, the figures
        of :data:`tomocyte.papers.acseg.trainings.score.FIGURES`, ``n_steps``, ``core_minutes``.
    facts : DataFrame
        One row per labelled volume and structure, see :func:`tomocyte.papers.acseg.trainings.labels.labelled_as`.
    n_volumes, n_test : int
        That there are to learn from and to test.
    is_simulated : bool
    file_format : {"png", "pdf", "svg"}
    """
    published = None if recipe.published is None else load_published(recipe.published).table(TABLE)
    curve = curve_table(fields, published)
    claims = claim_table(recipe.claims, score_rows(fields, KEYS[1:], FIGURES))
    kind = "simulated" if is_simulated else "real"
    pictures = {"learning-curve": _curve_figure(recipe, curve, published, kind, file_format)}
    plans = {}
    for network, labels, plan in _plans(recipe, fields):
        plans[network, labels] = plan
        name = f"plan-{network}-{labels}".replace(" ", "-")
        pictures[name] = learning_figure(plan, score=f"Dice, {network}, {labels} labels", file_format=file_format)
    needed = needed_table(recipe, plans)
    quality = label_table(facts)
    lines = [
        f"# {recipe.title}, {kind} volumes",
        "",
        f"After {recipe.paper}. {n_volumes} volumes to learn from, {n_test} to test; Dice of {recipe.structure} is the "
        "mean ± SD over the test volumes, which are tested against the labels of the data; errors of volume and "
        "surface to volume are means, in percent of the truth, with 95 % intervals.",
        "",
        *_curve_lines(curve),
        *_label_lines(quality, recipe),
        *claim_lines(claims),
        *_needed_lines(needed),
    ]
    tables = {"fields": fields, "curve": curve, "labels": quality, "claims": claims, "needed": needed}
    kept = {name: table for name, table in tables.items() if len(table)}
    return ExperimentResult(kept, pictures, "\n".join(lines).rstrip() + "\n", file_format)


def curve_table(fields: pd.DataFrame, published: PublishedTable | None) -> pd.DataFrame:
    """One row per network, labels and number of volumes, over the test volumes; seeds are averaged first.

    Columns: ``dice_mean``, ``dice_sd``, ``dice_worst``; mean error of ``volume`` and ``surface_to_volume`` in percent
    with the 95 % interval; ``n_test``, ``n_seeds``, ``n_steps``, ``core_minutes``; the paper's ``published_mean`` and
    ``published_sd``.
    """
    import pandas as pd

    lines: list[dict[str, Any]] = []
    for (network, labels, n_training), part in fields.groupby(list(KEYS), sort=False):
        by_item = part.groupby("item")[list(FIGURES)].mean()
        dice = by_item["dice"].to_numpy(np.float64)
        line: dict[str, Any] = {"network": network, "labels": labels, "n_training": n_training}
        line |= {"dice_mean": float(np.nanmean(dice)), "dice_worst": float(np.nanmin(dice))}
        line["dice_sd"] = float(np.nanstd(dice, ddof=1)) if len(dice) > 1 else math.nan
        for name, column in MEANS.items():
            estimate = mean_interval(by_item[column].to_numpy(np.float64))
            line |= {
                f"{name}_error_percent": estimate.value,
                f"{name}_error_low_percent": estimate.low,
                f"{name}_error_high_percent": estimate.high,
            }
        line |= {"n_test": len(by_item), "n_seeds": int(part["seed"].nunique()), "n_steps": int(part["n_steps"].mean())}
        line["core_minutes"] = float(part.groupby("seed")["core_minutes"].first().mean())
        row = None if published is None else published.rows.get(f"{labels}/{n_training}")
        line["published_mean"], line["published_sd"] = row.dice if row and len(row.dice) == 2 else (math.nan,) * 2
        lines.append(line)
    return pd.DataFrame(lines)


def label_table(facts: pd.DataFrame) -> pd.DataFrame:
    """How good the labels are that are learned from: per kind and structure, over volumes."""
    import pandas as pd

    if facts.empty:
        return pd.DataFrame()
    facts = facts.astype({"dice": float})
    grouped = facts.groupby(["labels", "structure"], sort=False)
    table = grouped.agg(
        dice_mean=("dice", "mean"), dice_sd=("dice", "std"), dice_worst=("dice", "min"), n_volumes=("dice", "count"),
        n_painted=("n_painted", "mean"), n_slices=("n_slices", "mean"),
    )  # fmt: skip
    return table.reset_index()


def needed_table(recipe: LearningCurveRecipe, plans: dict[tuple[str, str], Plan]) -> pd.DataFrame:
    """Per extrapolated number of the paper and network: what its curve and all curves say here, and the verdict.

    ``holds``: the interval of the paper's own curve covers its number, and nothing speaks against extrapolating.
    """
    import pandas as pd

    lines = []
    for claim in recipe.needed:
        for network in recipe.networks:
            plan = plans.get((network, claim.labels))
            if plan is None:
                continue
            curve = next((one for one in plan.curves if one.family.name == PAPERS_CURVE), None)
            lines.append(
                {
                    "words": claim.words, "network": network, "labels": claim.labels, "goal": claim.goal,
                    "published": claim.published,
                    "volumes": math.nan if curve is None else curve.volumes,
                    "low": math.nan if curve is None else curve.volumes_low,
                    "high": math.nan if curve is None else curve.volumes_high,
                    "all_volumes": plan.volumes, "all_low": plan.volumes_low, "all_high": plan.volumes_high,
                    "objections": " ".join(plan.objections), "verdict": _needed_verdict(claim, plan, curve),
                }
            )  # fmt: skip
    return pd.DataFrame(lines)


def _needed_verdict(claim: NeededClaim, plan: Plan, curve: FittedCurve | None) -> str:
    if plan.is_reached:
        return f"does not hold: {claim.goal:g} is reached here"
    if curve is None or not curve.volumes_low <= claim.published <= curve.volumes_high:
        return "does not hold"
    return "cannot be said" if plan.objections else "holds"


def _plans(recipe: LearningCurveRecipe, fields: pd.DataFrame) -> Iterator[tuple[str, str, Plan]]:
    """A plan for each network and kind of labels with three or more sizes."""
    goals = {claim.labels: claim.goal for claim in recipe.needed}
    for (network, labels), part in fields.groupby(["network", "labels"], sort=False):
        sizes = [
            TrainingSize.of_volumes(float(n), part[part["n_training"] == n].groupby("item")["dice"].mean().to_dict())
            for n in sorted(part["n_training"].unique())
        ]
        try:
            plan = plan_volumes(sizes, goal=goals.get(str(labels)), rng=np.random.default_rng(recipe.order_seed))  # type: ignore[call-overload]
        except SettingsError as problem:
            if problem.code == "E-PLAN-SIZES":
                continue
            raise
        yield str(network), str(labels), plan


def _curve_figure(
    recipe: LearningCurveRecipe, curve: pd.DataFrame, published: PublishedTable | None, kind: str,
    file_format: PictureFormat,
) -> bytes:  # fmt: skip
    """Fig. 2: mean and standard deviation, the paper's beside ours."""
    series = []
    for (network, labels), part in curve.groupby(["network", "labels"], sort=False):
        n, means, deviations = (tuple(part[column]) for column in ("n_training", "dice_mean", "dice_sd"))
        series.append(ScoreSeries(f"{network}, {labels}", n, means, deviations))
    for labels in dict.fromkeys(curve["labels"]):
        printed = {} if published is None else {n: published.rows.get(f"{labels}/{n}") for n in recipe.sizes}
        known = [(n, *row.dice) for n, row in printed.items() if row is not None and len(row.dice) == 2]
        if known:
            n, means, deviations = zip(*known, strict=True)
            series.append(ScoreSeries(f"the paper's, {labels} (real)", n, means, deviations, is_published=True))
    title = f"{recipe.title} ({kind} volumes)"
    return score_series_figure(series, score="Dice, mean and SD", title=title, file_format=file_format)


def _curve_lines(curve: pd.DataFrame) -> list[str]:
    lines = []
    for (network, labels), part in curve.groupby(["network", "labels"], sort=False):
        lines += [
            f"## {network}, {labels} labels",
            "",
            "| volumes | Dice | worst | volume, % | surface to volume, % | steps | core min | the paper's Dice |",
            "|---:|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for row in part.to_dict("records"):
            printed = (
                "" if math.isnan(row["published_mean"]) else f"{row['published_mean']:.4f} ± {row['published_sd']:.4f}"
            )
            lines.append(
                f"| {row['n_training']} | {mean_and_sd_text(row['dice_mean'], row['dice_sd'])} | "
                f"{row['dice_worst']:.4f} | "
                f"{_error(row, 'volume')} | {_error(row, 'surface_to_volume')} | {row['n_steps']:,} | "
                f"{row['core_minutes']:.1f} | {printed} |"
            )
        lines.append("")
    return lines


def _error(row: Mapping[Any, Any], name: str) -> str:
    low, high = row[f"{name}_error_low_percent"], row[f"{name}_error_high_percent"]
    interval = "" if math.isnan(low) else f" ({low:+.1f} to {high:+.1f})"
    return f"{row[f'{name}_error_percent']:+.1f}{interval}"


def _label_lines(quality: pd.DataFrame, recipe: LearningCurveRecipe) -> list[str]:
    if quality.empty:
        return []
    lines = [
        "## The labels that were learned from",
        "",
        f"Every {recipe.labelling.every}th slice was painted and the rest propagated (propagated), or every slice was "
        "painted, each alone (manual).",
        "",
        "| labels | structure | Dice with the truth | worst | slices painted of those that show it |",
        "|---|---|---:|---:|---:|",
    ]
    for row in quality.to_dict("records"):
        lines.append(
            f"| {row['labels']} | {row['structure']} | {mean_and_sd_text(row['dice_mean'], row['dice_sd'])} | "
            f"{row['dice_worst']:.4f} | {row['n_painted']:.0f} of {row['n_slices']:.0f} |"
        )
    return [*lines, ""]


def _needed_lines(needed: pd.DataFrame) -> list[str]:
    if needed.empty:
        return []
    lines = [
        "| The paper extrapolates | network | its curve here (80 % interval) | all curves | |",
        "|---|---|---|---|---|",
    ]
    for row in needed.to_dict("records"):
        own, every = (
            ""
            if math.isnan(row[value])
            else f"{spoken_volumes(row[value])} ({spoken_volumes(row[low])} to {spoken_volumes(row[high])})"
            for value, low, high in (("volumes", "low", "high"), ("all_volumes", "all_low", "all_high"))
        )
        lines.append(f"| {row['words']} | {row['network']} | {own} | {every} | {row['verdict']} |")
    objections = [f"- {row['network']}: {row['objections']}" for row in needed.to_dict("records") if row["objections"]]
    return [*lines, "", *objections, ""]
