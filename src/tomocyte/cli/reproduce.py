"""``tomocyte reproduce``: an experiment of a paper, from data to tables and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tomocyte.cli.options import DebugOption, Output


def reproduce(
    recipe: Annotated[
        str,
        typer.Argument(help="osnet-fig3b, osnet-fig4, choi-fig2c, choi-multitask, or a YAML file.", metavar="RECIPE"),
    ],
    output: Output,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model by name or folder, instead of the recipe's.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="A simulated data set, instead of making the recipe's own.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting of the recipe, e.g. sections.n_shown=1.")
    ] = None,
    picture_format: Annotated[str, typer.Option("--format", help="Of the pictures: png, pdf or svg.")] = "png",
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, …")] = "cpu",
    workers: Annotated[int, typer.Option("--workers", "-j", help="Fields simulated at the same time.", min=1)] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and say what would be done.")] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Repeat a figure of a paper, on simulated data that is made when it is not there.

    osnet-…: with a trained model. choi-…: networks are trained first; killed at any moment, the same command goes on.
    Leaves summary.md, tables (CSV), pictures, and experiment.json with the settings, hashes of the models and versions.
    """
    from tomocyte.cli.progress import task_progress
    from tomocyte.figures.canvas import picture_format as checked_format
    from tomocyte.papers.reproduce import EXPERIMENTS, describe_experiment
    from tomocyte.papers.reproduce import reproduce as do_experiment
    from tomocyte.training import build_recipe, load_recipe

    checked = build_recipe(load_recipe(recipe, overrides or ()), *EXPERIMENTS)
    file_format = checked_format(f"x.{picture_format}")
    if dry_run:
        for line in describe_experiment(checked, output, data=data, model=model):
            typer.echo(line)
        typer.echo("nothing written.")
        return
    with task_progress() as callback:
        result = do_experiment(
            checked,
            output,
            data=data,
            model=model,
            file_format=file_format,
            device=device,
            n_workers=workers,
            callback=callback,
        )
    typer.echo(result.summary.rstrip())
    typer.echo(f"wrote {output / 'summary.md'}")
