"""``tomocyte search``: the cells of a network, found on labelled images."""

from __future__ import annotations

from typing import Any

import typer

from tomocyte.cli.options import DebugOption, Output
from tomocyte.cli.training import (
    DataOption,
    DeviceOption,
    DryRunOption,
    RecipeArgument,
    ResumeOption,
    SetOption,
    simulated_data,
    training_progress,
)


def search(
    recipe: RecipeArgument,
    output: Output,
    data: DataOption = None,
    overrides: SetOption = None,
    device: DeviceOption = "cpu",
    resume: ResumeOption = True,
    dry_run: DryRunOption = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Search the cells of a ScNAS network: which operations, connected how.

    Weights learn on training images, the choice of operations on validation images; test images are never seen. The
    output folder holds genotype.yaml (what was found), train.yaml (a recipe that trains it: `tomocyte train
    OUT/train.yaml`), probabilities.csv, curves, a log and hashes of all data. Killed at any moment, the same command
    goes on; on a CPU it finds the same genotype.
    """
    from tomocyte.datasets.labelled import find_items
    from tomocyte.settings import with_overrides
    from tomocyte.training import split_items
    from tomocyte.training.search.recipe import build_search_recipe, load_search_recipe
    from tomocyte.training.search.search import search_architecture

    checked = build_search_recipe(with_overrides(load_search_recipe(recipe), overrides or []))
    if dry_run and data is None and checked.benchmark is not None:
        typer.echo(f"Would simulate {checked.benchmark} into {output / 'data'}; nothing written.")
        return
    folder = data or simulated_data(checked.benchmark, checked.data, output / "data")
    sets = split_items(find_items(folder, checked.data), checked.validation_share, seed=checked.loop.seed)
    typer.echo(f"{len(sets.train)} images for the weights, {len(sets.validation)} for the choice.")
    if dry_run:
        _describe(checked)
        return
    with training_progress() as tell:
        result = search_architecture(checked, sets, folder=output, device=device, restarts=not resume, tell=tell)
    _say(result)
    typer.echo(f"genotype: {output / 'genotype.yaml'}; train it: tomocyte train {output / 'train.yaml'}")


def _describe(recipe: Any) -> None:
    from tomocyte.networks import count_parameters
    from tomocyte.networks.scnas.supernet import SuperNetwork

    module = SuperNetwork(recipe.form(1, len(recipe.data.structures)))
    search, loop = recipe.search, recipe.loop
    n_choices = len(list(module.architecture.parameters()))
    typer.echo(f"{count_parameters(module):,} parameters while searching, {n_choices} choices.")
    typer.echo(f"{loop.n_epochs} epochs, {search.n_warm_up_epochs} of them warm-up; batches of {loop.batch_size}.")
    typer.echo("nothing written.")


def _say(result: dict[str, Any]) -> None:
    for kind in ("encoder_normal", "reduction", "decoder_normal", "expansion"):
        nodes = "; ".join(
            " + ".join(f"{operation}({source})" for source, operation in node) for node in result["genotype"][kind]
        )
        entropy = result["history"][-1]["entropy"][kind]
        typer.echo(f"{kind}: {nodes} (entropy {entropy:.2f} of no preference)")
    typer.echo(
        f"{result['n_parameters']:,} parameters, {result['multiply_adds_per_voxel']:,.0f} multiply-adds per voxel "
        "at the width of the search."
    )
