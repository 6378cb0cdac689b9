"""``tomocyte reproduce``: an experiment of a paper, from data to tables and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tomocyte.cli import completion
from tomocyte.cli.options import DebugOption, Output


def reproduce(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A YAML file, or the name of a recipe: {paper_recipes}.",
            metavar="RECIPE",
            autocompletion=completion.recipes_for("paper"),
        ),
    ],
    output: Output,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Name or folder of a model to use instead of the recipe's.")
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            help="Folder of a simulated data set, or of images with labels; given twice, the second holds their "
            "segmentations. Default: the recipe's own is simulated.",
        ),
    ] = None,
    from_truth: Annotated[
        bool,
        typer.Option(
            "--from-truth",
            help="Without a model: films of cells from their shapes, compartments from their true masks.",
        ),
    ] = False,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting of the recipe, e.g. sections.n_shown=1.")
    ] = None,
    picture_format: Annotated[
        str, typer.Option("--format", help="File format of the figures: png, pdf or svg.")
    ] = "png",
    device: Annotated[str, typer.Option("--device", help="Where networks run: cpu, cuda or cuda:1.")] = "cpu",
    workers: Annotated[
        int, typer.Option("--workers", "-j", help="Number of fields simulated at the same time.", min=1)
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and show what would be done; write nothing.")
    ] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Repeat an experiment of a published paper, on data that are simulated if none are given.

    osnet-…, acseg-fig…: with a trained model. choi-fig4: films, imaged, run and tracked. Others: networks are trained
    first. If interrupted, the same command continues.
    Writes summary.md, tables (CSV), figures, and experiment.json with settings, model hashes and versions.
    """
    from tomocyte.cli.progress import task_progress
    from tomocyte.figures.canvas import picture_format as checked_format
    from tomocyte.papers.reproduce import EXPERIMENTS, describe_experiment
    from tomocyte.papers.reproduce import reproduce as do_experiment
    from tomocyte.training import build_recipe, load_recipe

    first, second = _one_or_two(data or [])
    checked = build_recipe(load_recipe(recipe, overrides or ()), *EXPERIMENTS)
    file_format = checked_format(f"x.{picture_format}")
    if dry_run:
        lines = describe_experiment(checked, output, data=first, second=second, model=model, is_from_truth=from_truth)
        for line in lines:
            typer.echo(line)
        typer.echo("nothing written.")
        return
    with task_progress() as callback:
        result = do_experiment(
            checked,
            output,
            data=first,
            second=second,
            model=model,
            is_from_truth=from_truth,
            file_format=file_format,
            device=device,
            n_workers=workers,
            callback=callback,
        )
    typer.echo(result.summary.rstrip())
    typer.echo(f"wrote {output / 'summary.md'}")


def _one_or_two(paths: list[Path]) -> tuple[Path | None, Path | None]:
    """The paths of ``--data``, which may be given twice."""
    from tomocyte.errors import SettingsError

    if len(paths) > 2:
        raise SettingsError("E-USAGE", f"--data is given {len(paths)} times.", cure="Give it once, or twice.")
    first, second = [*paths, None, None][:2]
    return first, second
