"""A plan in words, as a table, as JSON and as files.

To add a column, add it to :data:`COLUMNS` and to :func:`plan_table`.
"""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte.figures.canvas import PictureFormat
from tomocyte.figures.learning import learning_figure
from tomocyte.ledger import PublishedFiles, claim_folder
from tomocyte.provenance import environment, now_utc
from tomocyte.statistics.learning_curves import FittedCurve, Plan, spoken_volumes
from tomocyte.tables import Column, data_dictionary, table_from_rows, write_csv

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    Column("curve", "", "Name of the family of curves.", kind="text"),
    Column("formula", "", "The score after training on n volumes.", kind="text"),
    Column("parameters", "", "Fitted values of the formula.", kind="text"),
    Column("weight", "1", "Of the family in the average, 0 to 1."),
    Column("aicc", "1", "Akaike's criterion for few points; lower fits better for its number of parameters.",
           "too few training sizes for its parameters", "doi:10.1093/biomet/76.2.297"),
    Column("last_error", "", "What the curve of the smaller trainings foretells for the largest, minus its score.",
           "too few training sizes for its parameters"),
    Column("is_plausible", "", "Whether it fits about as well as the best: -2 ln L within 3.84.", kind="boolean"),
    Column("asymptote", "", "The score that it never passes.", "it has none"),
    Column("n_volumes", "1", "Training volumes for the goal; inf: it never gets there.", "no goal"),
    Column("n_volumes_low", "1", "Lower end of the interval.", "no goal"),
    Column("n_volumes_high", "1", "Upper end of the interval; inf: never.", "no goal"),
)  # fmt: skip
"""Of the table of :func:`plan_table`."""


def plan_table(plan: Plan) -> pd.DataFrame:
    """One row per family, the heaviest first."""
    return table_from_rows([_row(one) for one in plan.curves], COLUMNS)


def _row(one: FittedCurve) -> dict[str, Any]:
    return {
        "curve": one.family.name,
        "formula": one.family.formula,
        "parameters": ", ".join(f"{name} = {value:.5g}" for name, value in one.parameters.items()),
        "weight": one.weight,
        "aicc": one.aicc if math.isfinite(one.aicc) else math.nan,
        "last_error": one.last_error,
        "is_plausible": one.is_plausible,
        "asymptote": one.asymptote,
        "n_volumes": one.volumes,
        "n_volumes_low": one.volumes_low,
        "n_volumes_high": one.volumes_high,
    }


def plan_text(plan: Plan, score: str, volumes: tuple[float, ...] = ()) -> str:
    """The plan in words, with a table of the curves."""
    level = f"{100 * plan.settings.level:g} %"
    has_goal = not math.isnan(plan.goal)
    trainings = ", ".join(f"{size.n_volumes:g}: {size.score:.4g}" for size in plan.sizes)
    lines = [f"{score} by number of training volumes: {trainings}", ""]
    heads = [
        "curve",
        "weight",
        "misses the largest by",
        *([f"volumes for {plan.goal:g}", f"{level} interval"] if has_goal else []),
    ]
    rows = [heads]
    for one in plan.curves:
        mark = "" if one.is_plausible else " (fits worse)"
        row = [
            one.family.name + mark,
            f"{one.weight:.2f}",
            "-" if math.isnan(one.last_error) else f"{one.last_error:+.3g}",
        ]
        ends = f"{spoken_volumes(one.volumes_low)} to {spoken_volumes(one.volumes_high)}"
        rows.append([*row, *([spoken_volumes(one.volumes), ends] if has_goal else [])])
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    lines.append("")
    if has_goal:
        lines += answer(plan)
    for number in volumes or (2 * plan.sizes[-1].n_volumes,):
        middle, low, high = plan.score_at(number)
        lines.append(f"After training on {number:g}: {middle:.4g} ({level} interval {low:.4g} to {high:.4g}).")
    return "\n".join([*lines, *plan.notes])


def answer(plan: Plan) -> list[str]:
    """What the scores say about the goal."""
    largest = plan.sizes[-1].n_volumes
    if plan.is_reached:
        first = min(size.n_volumes for size in plan.sizes if size.score >= plan.goal)
        return [f"The goal {plan.goal:g} was reached after training on {first:g} volumes."]
    if plan.objections:
        return [
            f"The goal {plan.goal:g}: these scores cannot be extrapolated to it.",
            *(f"- {text}" for text in plan.objections),
        ]
    more = max(0, math.ceil(plan.volumes - largest))
    ends = f"{spoken_volumes(plan.volumes_low)} to {spoken_volumes(plan.volumes_high)}"
    level = f"{100 * plan.settings.level:g} %"
    total = spoken_volumes(plan.volumes)
    return [
        f"The goal {plan.goal:g} takes about {total} volumes, {more:,} more than {largest:g} ({level} interval {ends})."
    ]


def plan_content(plan: Plan, score: str) -> dict[str, Any]:
    """The plan as JSON holds it; what never happens, or is unknown, is null."""

    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    curves = [
        {key: number(value) if isinstance(value, float) else value for key, value in _row(one).items()}
        for one in plan.curves
    ]
    sizes = [
        {"n_training": size.n_volumes, "score": size.score, "standard_error": number(size.standard_error)}
        for size in plan.sizes
    ]
    return {
        "score": score,
        "sizes": sizes,
        "goal": number(plan.goal),
        "is_reached": plan.is_reached,
        "can_be_extrapolated": not plan.objections,
        "objections": list(plan.objections),
        "n_volumes": number(plan.volumes),
        "n_volumes_low": number(plan.volumes_low),
        "n_volumes_high": number(plan.volumes_high),
        "curves": curves,
        "notes": list(plan.notes),
        "settings": plan.settings.model_dump(mode="json"),
    }


def write_plan(
    plan: Plan, folder: Path, *, score: str, text: str, about: dict[str, Any], file_format: PictureFormat = "png"
) -> list[tuple[str, str]]:
    """Write ``plan.md``, ``plan.csv`` with its dictionary, ``plan.json`` and a figure.

    Returns
    -------
    list of (str, str)
        Files that somebody had changed, and the names that they have now.

    Raises
    ------
    OutputError
    """
    claim_folder(folder, "plan", own=("plan.json",))
    published = PublishedFiles(folder)
    content = {**plan_content(plan, score), **about, "environment": environment(), "finished": now_utc()}
    figure = learning_figure(plan, score=score, file_format=file_format)
    published.publish("plan.csv", partial(write_csv, plan_table(plan)))
    published.publish("plan.dictionary.csv", partial(write_csv, data_dictionary(COLUMNS)))
    published.publish(f"plan.{file_format}", lambda path: path.write_bytes(figure))
    published.publish("plan.md", lambda path: path.write_text(f"```\n{text}\n```\n", encoding="utf-8"))
    record = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    published.publish("plan.json", lambda path: path.write_text(record, encoding="utf-8"))
    return published.kept
