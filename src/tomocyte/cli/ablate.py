"""``tomocyte ablate``: what a channel is worth to a network."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tomocyte.cli import completion
from tomocyte.cli.options import DebugOption, Output
from tomocyte.cli.training import DataOption, DeviceOption, SetOption

if TYPE_CHECKING:
    from tomocyte.comparison.ablation import AblationResult, AblationSettings
    from tomocyte.datasets.labelled import LabelledItem
    from tomocyte.training import Recipe

SHOWN = {"dice": "F1 (Dice)", "moc": "MOC", "precision": "precision", "recall": "recall", "pixel_accuracy": "accuracy"}
FEW_GROUPS = 5


def ablate(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A YAML file, or the name of a recipe: {training_recipes}.",
            metavar="RECIPE",
            autocompletion=completion.recipes_for("training"),
        ),
    ],
    drop: Annotated[str, typer.Option("--drop", metavar="CHANNEL", help="Name of the channel, e.g. ratio.")],
    output: Output,
    data: DataOption = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=100, help="Pairs of trainings: seeds 1, 2 …")] = 3,
    replace_by: Annotated[
        Literal["constant", "nothing"],
        typer.Option(
            "--replace-by",
            help="constant: the network sees 0 everywhere instead and begins with the same weights. nothing: a network "
            "without that input.",
        ),
    ] = "constant",
    held_out_share: Annotated[
        float,
        typer.Option(
            "--held-out-share",
            min=0.05,
            max=0.95,
            help="Share of the images that is scored and never learned from, where the data have no split named test.",
        ),
    ] = 0.3,
    overrides: SetOption = None,
    device: DeviceOption = "cpu",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and say what it will take; write nothing.")
    ] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Train a recipe with and without one channel and compare both on images that neither learned from.

    Both networks of a pair begin from the same seed and see the same samples in the same order. The difference is given
    with its interval over the held-out images (paired). Finished trainings are kept: if the command is interrupted, the
    same command continues it.
    """
    from tomocyte.cli.progress import task_progress
    from tomocyte.comparison import AblationSettings
    from tomocyte.comparison import ablate as compare
    from tomocyte.ledger import refuse_other_kind
    from tomocyte.runs.simulate.benchmark import labelled_images
    from tomocyte.training import build_recipe, load_recipe

    checked = build_recipe(load_recipe(recipe, overrides or ()))
    method: Literal["constant", "remove"] = "constant" if replace_by == "constant" else "remove"
    settings = AblationSettings(channel=drop, method=method, n_seeds=seeds, held_out_share=held_out_share)
    if dry_run and data is None and checked.benchmark is not None:
        typer.echo(f"Would simulate {checked.benchmark} into {output / 'data'}; nothing written.")
        return
    with task_progress() as callback:
        refuse_other_kind(output, "ablate")
        items = labelled_images(
            checked.data, data, benchmark=checked.benchmark, folder=output / "data", callback=callback
        )
        if dry_run:
            _forecast(checked, items, settings, device)
            return
        result = compare(checked, items, output, settings, device=device, callback=callback)
    _show(result, settings)
    _write(result, output)


def _forecast(recipe: Recipe, items: list[LabelledItem], settings: AblationSettings, device: str) -> None:
    """What ``--dry-run`` prints; a few steps are taken to know their time."""
    from tomocyte.comparison.ablation import channels_of, split_for_ablation, without_channel
    from tomocyte.training import training_forecast

    channels = channels_of(recipe, items)
    without_channel(recipe, channels, settings)
    sets, held_out = split_for_ablation(items, recipe, settings)
    forecast = training_forecast(recipe, sets.train, device=device)
    n_trainings = 2 * settings.n_seeds
    typer.echo(f"channels {', '.join(channels)}; dropped: {settings.channel} ({settings.method})")
    typer.echo(
        f"{len(sets.train)} training images, {len(sets.validation)} validation images, {len(held_out)} held out."
    )
    typer.echo(f"{n_trainings} trainings of {forecast.n_steps} steps, {forecast.n_parameters:,} parameters")
    typer.echo(
        f"about {forecast.minutes:.1f} min each, {n_trainings * forecast.minutes:.1f} min in all on this computer "
        f"({forecast.seconds_per_step:.2f} s per step; validation and scores come on top)"
    )
    typer.echo("nothing written.")


def _show(result: AblationResult, settings: AblationSettings) -> None:
    table = result.differences
    percent = f"{100 * settings.level:g} % interval"
    n_groups = int(table["n_groups"].max())
    typer.echo(f"with {settings.channel} minus without, {settings.n_seeds} seeds, {n_groups} held-out images or cells")
    typer.echo(f"{'':<36}{'with':>8}{'without':>9}{'difference':>12}{percent:>22}{'p':>9}")
    for row in table.to_dict("records"):
        name = f"{row['structure']}: {SHOWN[row['metric']]}"
        interval = "-" if math.isnan(row["low"]) else f"{row['low']:+.3f} to {row['high']:+.3f}"
        numbers = (_number(row["mean_with"]), _number(row["mean_without"]), _number(row["difference"], "+.3f"))
        p = _number(row["p"], ".2g")
        typer.echo(f"{name[:35]:<36}{numbers[0]:>8}{numbers[1]:>9}{numbers[2]:>12}{interval:>22}{p:>9}")
    for reason in sorted({text for text in table["reason"] if text}):
        typer.echo(f"note: {reason}")
    if result.is_simulated:
        typer.echo("note: held-out images are simulated: the simulator's assumption about the channel decides this.")
    if n_groups < FEW_GROUPS:
        typer.echo(f"note: {n_groups} held-out images or cells say little about others.")


def _number(value: float, form: str = ".3f") -> str:
    return "-" if math.isnan(value) else f"{value:{form}}"


def _write(result: AblationResult, output: Path) -> None:
    """Both tables and the meaning of their columns; files that users changed are kept."""
    from functools import partial

    from tomocyte.comparison.ablation_columns import describe
    from tomocyte.ledger import PublishedFiles
    from tomocyte.tables import data_dictionary, write_csv

    published = PublishedFiles(output)
    tables = {"ablation": result.differences, "scores": result.scores}
    for name, table in tables.items():
        published.publish(f"{name}.csv", partial(write_csv, table))
    names = list(dict.fromkeys(name for table in tables.values() for name in table.columns))
    published.publish("ablation.dictionary.csv", partial(write_csv, data_dictionary(describe(names))))
    for name, kept in published.kept:
        typer.echo(f"note: {name} was changed or added by somebody; that file is now {kept}.", err=True)
    typer.echo(f"wrote {output / 'ablation.csv'}")
