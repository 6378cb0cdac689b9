"""``tomocyte plan``: how many more training volumes a score takes, if the scores so far can say it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tomocyte.cli.options import DebugOption


def plan(
    results: Annotated[
        list[str],
        typer.Argument(
            help="A table (CSV) with the columns n_training and the score; folders of `tomocyte crossval`; N=FOLDER: "
            "of `tomocyte evaluate` or `tomocyte reproduce` whose model learned from N volumes.",
            metavar="RESULTS",
        ),
    ],
    goal: Annotated[float | None, typer.Option("--goal", help="The score that is to be reached.")] = None,
    score: Annotated[str, typer.Option("--score", help="Column of the score; higher must be better.")] = "dice",
    best: Annotated[
        float, typer.Option("--best", help="Largest possible score: 1, or 100 for percent.", min=0.0)
    ] = 1.0,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="COLUMN=VALUE", help="Only rows with this value (*: of all); may be repeated."),
    ] = None,
    volumes: Annotated[
        list[float] | None,
        typer.Option("--volumes", min=1.0, help="Also foretell the score after so many; may be repeated."),
    ] = None,
    choose: Annotated[
        str,
        typer.Option("--choose", help="What weighs the curves: aicc, or leave-last-out (foretells the largest best)."),
    ] = "aicc",
    weighted: Annotated[
        bool, typer.Option("--weighted/--unweighted", help="Whether scores count by their standard error.")
    ] = True,
    level: Annotated[float, typer.Option("--level", min=0.5, max=0.99, help="Level of confidence of intervals.")] = 0.8,
    resamples: Annotated[int, typer.Option("--resamples", min=100, help="Number of resamples of the scores.")] = 2000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the random numbers of the resamples.")] = 1,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for table, figure and record.")] = None,
    picture_format: Annotated[
        str, typer.Option("--format", help="File format of the figure: png, pdf or svg.")
    ] = "png",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object; all else on stderr.")] = False,
    debug: DebugOption = False,  # noqa: ARG001 - read by the command line's error handler
) -> None:
    """Say how many more volumes to label for a score, or that the scores so far cannot say it.

    Seven families of learning curves are fitted to the scores of models that learned from three or more different
    numbers of volumes. One curve always gives a number; only curves that agree give an answer.
    """
    import numpy as np

    from tomocyte.comparison.plan_inputs import parse_where, read_training_sizes
    from tomocyte.comparison.plan_report import plan_content, plan_text, write_plan
    from tomocyte.figures.canvas import picture_format as checked_format
    from tomocyte.settings import build_settings
    from tomocyte.statistics.learning_curves import PlanSettings, plan_volumes

    file_format = checked_format(f"x.{picture_format}")
    chosen = {"best": best, "choice": choose, "is_weighted": weighted, "level": level, "n_resamples": resamples}
    settings = build_settings(PlanSettings, chosen)
    sizes = read_training_sizes(results, score=score, where=parse_where(where or []))
    made = plan_volumes(sizes, goal=goal, rng=np.random.default_rng(seed), settings=settings)
    text = plan_text(made, score, tuple(volumes or ()))
    typer.echo(json.dumps(plan_content(made, score), indent=1, ensure_ascii=False) if as_json else text)
    if output is None:
        return
    about = {"results": results, "where": where or [], "seed": seed}
    for name, kept in write_plan(made, output, score=score, text=text, about=about, file_format=file_format):
        typer.echo(f"note: {name} was changed or added by somebody; that file is now {kept}.", err=True)
    typer.echo(f"wrote {output / 'plan.md'}", err=True)
