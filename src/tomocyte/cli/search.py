"""``tomocyte search``: a network architecture, searched on labelled images."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tomocyte.cli import completion
from tomocyte.cli.options import DebugOption, Output
from tomocyte.cli.recording import remark
from tomocyte.cli.training import (
    DataOption,
    DeviceOption,
    DryRunOption,
    ResumeOption,
    SetOption,
)


def search(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A YAML file, or the name of a recipe: {search_recipes}.",
            metavar="RECIPE",
            autocompletion=completion.recipes_for("search"),
        ),
    ],
    output: Output,
    data: DataOption = None,
    overrides: SetOption = None,
    device: DeviceOption = "cpu",
    resume: ResumeOption = True,
    dry_run: DryRunOption = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Search for a good network architecture (ScNAS): which operations its building blocks use.

    Weights are trained on the training images, the operations are chosen on the validation images; test images are not
    used. The output folder contains genotype.yaml (the architecture), train.yaml (a recipe to train it: `tomocyte train
    OUT/train.yaml`), probabilities.csv, curves, a log and hashes of all data. If the search is interrupted, the same
    command continues it; on a CPU the result is the same.
    """
    from tomocyte.cli.progress import task_progress
    from tomocyte.ledger import refuse_other_kind
    from tomocyte.runs.simulate.benchmark import labelled_images
    from tomocyte.training import build_recipe, load_recipe, split_items
    from tomocyte.training.search.recipe import SearchRecipe
    from tomocyte.training.search.search import describe_search, search_architecture

    checked = build_recipe(load_recipe(recipe, overrides or ()), SearchRecipe)
    if dry_run and data is None and checked.benchmark is not None:
        typer.echo(f"Would simulate {checked.benchmark} into {output / 'data'}; nothing written.")
        return
    with task_progress() as callback:
        refuse_other_kind(output, "train")
        items = labelled_images(
            checked.data, data, benchmark=checked.benchmark, folder=output / "data", callback=callback
        )
        sets = split_items(items, checked.validation_share, seed=checked.loop.seed)
        typer.echo(f"{len(sets.train)} images to train the weights, {len(sets.validation)} to choose the operations.")
        if dry_run:
            for line in describe_search(checked):
                typer.echo(line)
            typer.echo("nothing written.")
            return
        result = search_architecture(
            checked, sets, folder=output, device=device, restarts=not resume, callback=callback
        )
    for note in result["notes"]:
        remark(f"note: {note}")
    _print_result(result)
    typer.echo(f"genotype: {output / 'genotype.yaml'}; train it: tomocyte train {output / 'train.yaml'}")


def _print_result(result: dict[str, Any]) -> None:
    for kind in ("encoder_normal", "reduction", "decoder_normal", "expansion"):
        nodes = "; ".join(
            " + ".join(f"{operation}({source})" for source, operation in node) for node in result["genotype"][kind]
        )
        entropy = result["history"][-1]["entropy"][kind]
        typer.echo(f"{kind}: {nodes} (entropy {entropy:.2f} of no preference)")
    typer.echo(
        f"{result['n_parameters']:,} parameters, {result['multiply_adds_per_voxel']:,.0f} multiply-adds per voxel "
        "at the width used in the search."
    )
