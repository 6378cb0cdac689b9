"""``tomocyte train``, ``fine-tune`` and ``crossval``: weights from labelled images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tomocyte.cli.options import DebugOption, Output

if TYPE_CHECKING:
    from tomocyte.datasets.labelled import LabelledItem
    from tomocyte.training.data.settings import DataSettings

RecipeArgument = Annotated[str, typer.Argument(help="A YAML file, or the name of a recipe that ships.")]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of labelled images; without it, the recipe's simulated data are made."),
]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Any setting of the recipe, e.g. loop.n_epochs=20.")]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:1.")]
ResumeOption = Annotated[
    bool, typer.Option("--resume/--restart", help="Go on from the last checkpoint, or forget what is there.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Check recipe and data; write nothing.")]


def train(
    recipe: RecipeArgument,
    output: Output,
    data: DataOption = None,
    overrides: SetOption = None,
    device: DeviceOption = "cpu",
    resume: ResumeOption = True,
    init: Annotated[str | None, typer.Option("--init", help="Model whose weights to begin with.")] = None,
    held_out: Annotated[
        Path | None, typer.Option("--held-out", help="Folder of the recipe's held-out data; else they are made.")
    ] = None,
    dry_run: DryRunOption = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Train a network and write a model package that `tomocyte run --model` takes.

    The output folder holds the recipe, hashes of all data, a log, curves, checkpoints and model/. Killed at any moment,
    the same command goes on; on a CPU it ends with the same weights, bit for bit. Several GPUs: start it with torchrun.
    """
    from tomocyte.datasets.labelled import find_items
    from tomocyte.settings import with_overrides
    from tomocyte.training import build_recipe, load_recipe, split_items
    from tomocyte.training import train as run_training

    checked = build_recipe(with_overrides(load_recipe(recipe), overrides or []))
    if dry_run and data is None and checked.benchmark is not None:
        typer.echo(f"Would simulate {checked.benchmark} into {output / 'data'}; nothing written.")
        return
    folder = data or simulated_data(checked.benchmark, checked.data, output / "data")
    items = find_items(folder, checked.data)
    sets = split_items(items, checked.validation_share, seed=checked.loop.seed, leaves_out=checked.leaves_out)
    typer.echo(f"{len(sets.train)} images to train on, {len(sets.validation)} to validate on.")
    if dry_run:
        _describe(checked, sets.train)
        return
    initial = None if init is None else dict(_package(init).state)
    with training_progress() as tell:
        result = run_training(
            checked, sets, folder=output, device=device, initial=initial, restarts=not resume, tell=tell
        )
    _say(result, output)
    _score_held_out(checked, output, held_out)
    _calibrate(checked, output, sets)


def fine_tune(
    model: Annotated[str, typer.Argument(help="Name or folder of a model package.")],
    output: Output,
    data: Annotated[Path, typer.Option("--data", help="Folder of your labelled images.")],
    overrides: SetOption = None,
    pixel_size_um: Annotated[
        tuple[float, float] | None,
        typer.Option("--pixel-size-um", metavar="Y X", help="Pixel size in um of images that carry none."),
    ] = None,
    label_suffix: Annotated[
        str | None, typer.Option("--label-suffix", help="How label file names end, e.g. _mask.")
    ] = None,
    device: DeviceOption = "cpu",
    resume: ResumeOption = True,
    dry_run: DryRunOption = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Go on training a model on a few labelled images of your own.

    NAME.tif needs a label image NAME_STRUCTURE.tif, NAME_instances.tif, NAME_labels.tif or NAME_mask.tif beside it
    (0 = background), or in labels/; or give what `tomocyte edits export` wrote from results that you corrected. In a
    stack, sections without any label are not looked at. A fifth of the images is held out and scored; the model before
    and after is compared on them.
    """
    from tomocyte.datasets.labelled import find_items, folder_settings
    from tomocyte.settings import with_overrides
    from tomocyte.training import build_recipe, fine_tuning_recipe, split_items
    from tomocyte.training import train as run_training

    package = _package(model)
    content = fine_tuning_recipe(package.card)
    extra = [f"data.{name}={value}" for name, value in folder_settings(data).items()]
    extra += [f"data.label_suffix={label_suffix}"] if label_suffix is not None else []
    if pixel_size_um is not None:
        extra.append(f"data.stored_pixel_size_um=[{pixel_size_um[0]}, {pixel_size_um[1]}]")
    checked = build_recipe(with_overrides(content, [*extra, *(overrides or [])]))
    sets = split_items(find_items(data, checked.data), checked.validation_share, seed=checked.loop.seed)
    typer.echo(f"{len(sets.train)} images to learn from, {len(sets.validation)} held out.")
    if dry_run:
        _describe(checked, sets.train)
        return
    _check_fit(package, [*sets.train, *sets.validation])
    before = _dice_before(package, checked, sets.validation)
    with training_progress() as tell:
        result = run_training(
            checked, sets, folder=output, device=device, initial=dict(package.state), restarts=not resume, tell=tell
        )
    if before is not None:
        after = result["history"][-1]["validation"]["dice"]
        typer.echo(f"Dice on the held-out images: {before:.3f} before, {after:.3f} after.")
    _say(result, output)


def crossval(
    recipe: RecipeArgument,
    output: Output,
    data: DataOption = None,
    groups: Annotated[
        str | None, typer.Option("--groups", help="What folds never part: cell or image; over the recipe's.")
    ] = None,
    folds: Annotated[int | None, typer.Option("--folds", help="Number of folds; over the recipe's.", min=2)] = None,
    rows: Annotated[
        list[str] | None, typer.Option("--row", help="Only this row; repeat for several. Default: all.")
    ] = None,
    overrides: SetOption = None,
    device: DeviceOption = "cpu",
    dry_run: DryRunOption = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Compare networks by cross-validation and write the tables (Markdown, CSV, HTML) and pictures.

    Folds are dealt by cell or image, so that no cell is in two folds; this is checked. Every training is kept, so the
    same command again goes on, or only writes the tables anew.
    """
    from tomocyte.comparison.crossval import crossvalidate, folds_of
    from tomocyte.comparison.crossval_recipe import build_crossval
    from tomocyte.datasets.labelled import find_items
    from tomocyte.papers.osnet.tables import write_tables
    from tomocyte.settings import with_overrides
    from tomocyte.training import load_recipe

    content = load_recipe(recipe)
    content |= {"groups": groups} if groups is not None else {}
    content |= {"n_folds": folds} if folds is not None else {}
    checked = build_crossval(content)
    laid_over = with_overrides({}, overrides or [])
    first = checked.recipe(next(iter(checked.rows)), laid_over)
    if dry_run and data is None and checked.benchmark is not None:
        typer.echo(f"Would simulate {checked.benchmark} into {output / 'data'}; nothing written.")
        return
    folder = data or simulated_data(checked.benchmark, first.data, output / "data")
    items = find_items(folder, first.data)
    if dry_run:
        for index, fold in enumerate(folds_of(items, checked)):
            typer.echo(f"fold {index + 1}: {len(fold)} images")
        typer.echo(f"{len(checked.rows)} rows, {len(checked.rows) * checked.n_folds} trainings; nothing written.")
        return
    with training_progress() as tell:
        result = crossvalidate(checked, items, output, rows=rows, overrides=laid_over, device=device, tell=tell)
    for text in write_tables(checked, result, output, items=items):
        typer.echo(text)
    typer.echo(f"wrote {output / 'tables'}")


def simulated_data(benchmark: str | None, settings: DataSettings, folder: Path) -> Path:
    """The recipe's own data, made where they are not there yet.

    Raises
    ------
    SettingsError
        ``E-NO-DATA``: the recipe has none of its own.
    """
    from tomocyte.cli.progress import RunProgress
    from tomocyte.errors import SettingsError
    from tomocyte.runs.simulate import benchmark_plan, write_dataset
    from tomocyte.simulation.benchmark import SPLITS

    if benchmark is None:
        raise SettingsError("E-NO-DATA", "this recipe has no data of its own.", cure="Give --data FOLDER.")
    if "WORLD_SIZE" in os.environ:
        raise SettingsError(
            "E-NO-DATA",
            "several processes cannot make the data together.",
            cure="Simulate them first with `tomocyte simulate odt --benchmark`, then give --data FOLDER.",
        )
    experiment, _, size = benchmark.partition("/")
    plans = benchmark_plan(experiment, size or "small", SPLITS)
    structures = tuple(dict.fromkeys(("cell", *settings.structures)))
    with RunProgress(n_items=len(plans)) as progress:
        result = write_dataset(plans, folder, structures=structures, on_event=progress.on_event)
    for failure in result.failures:
        typer.echo(f"failed: {failure.item}: {failure.code}: {failure.message}", err=True)
    if result.failures:
        raise typer.Exit(3)
    return folder


@contextmanager
def training_progress() -> Iterator[Callable[[dict[str, Any]], None]]:
    """A bar with the steps and the time left on a screen; a line per epoch elsewhere."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading", total=None)
        title = ""

        def tell(event: dict[str, Any]) -> None:
            nonlocal title
            if event["event"] == "row":
                title = f"{event['row']}, fold {event['fold'] + 1} of {event['n_folds']}: "
                progress.reset(task, total=None, description=title)
                _line(title)
            elif event["event"] in ("step", "resumed"):
                loss = f"loss {event['loss']:.4f}" if "loss" in event else "resumed"
                progress.update(task, total=event["n_steps"], completed=event["step"], description=f"{title}{loss}")
            elif event["event"] == "epoch":
                _line(f"{title}{_epoch_line(event)}")

        def _line(text: str) -> None:
            if not console.is_terminal:
                console.print(text, markup=False, highlight=False)

        try:
            yield tell
        except KeyboardInterrupt:
            console.print("Interrupted; the same command goes on from the last checkpoint.", highlight=False)
            raise


def _epoch_line(event: dict[str, Any]) -> str:
    scores = event.get("validation", {})
    dice = f", Dice {scores['dice']:.3f}" if scores else ""
    loss = "none" if event["loss"] is None else f"{event['loss']:.4f}"
    return f"epoch {event['epoch']}: loss {loss}{dice}, {event['seconds']:.0f} s"


def _package(model: str) -> Any:
    from tomocyte.models import load_package

    return load_package(model)


def _check_fit(package: Any, items: list[LabelledItem]) -> None:
    """Refuse images that the model was not made for, before anything is learned from them."""
    from tomocyte.models import check_fit

    for item in items:
        check_fit(package.card, item.open_image())


def _dice_before(package: Any, recipe: Any, held_out: list[LabelledItem]) -> float | None:
    from tomocyte.training import dice_of

    return dice_of(package.build(), recipe, held_out) if held_out else None


def _describe(recipe: Any, items: list[LabelledItem]) -> None:
    from tomocyte.training import describe_training

    for line in describe_training(recipe, items):
        typer.echo(line)
    typer.echo("nothing written.")


def _score_held_out(recipe: Any, output: Path, data: Path | None) -> None:
    """Score a finished model where its recipe says, and put the figures onto its card."""
    from tomocyte.comparison.held_out import score_on_card
    from tomocyte.datasets.labelled import find_items

    if recipe.held_out is None or not (output / "model" / "card.json").exists():
        return
    folder = data or simulated_data(recipe.held_out.benchmark, recipe.data, output / "held-out")
    card = score_on_card(output / "model", recipe, find_items(folder, recipe.data))
    for name, figures in card.figures.items():
        if isinstance(figures, dict):
            typer.echo(f"{name}: " + ", ".join(f"{key} {value}" for key, value in figures.items()))


def _calibrate(recipe: Any, output: Path, sets: Any) -> None:
    """Calibrate a finished model on its validation images, where its recipe says so."""
    from tomocyte.comparison.calibrate import CalibrationData, calibrate, spaced

    if not recipe.calibrate or not sets.validation or not (output / "model" / "card.json").exists():
        return
    data = CalibrationData(sets.validation, spaced(sets.train), {})
    calibrate(output / "model", data, output, is_overwriting=True, callback=typer.echo)


def _say(result: dict[str, Any], output: Path) -> None:
    history = result["history"]
    typer.echo(f"{len(history)} epochs, last loss {history[-1]['loss']:.4f}.")
    scores = history[-1].get("validation")
    if scores:
        typer.echo("held out: " + ", ".join(f"{name} {value:.3f}" for name, value in scores.items()))
    if "weights_sha256" not in result:
        return
    if result["n_skipped_steps"]:
        typer.echo(f"{result['n_skipped_steps']} steps had gradients that were not finite and were left out.")
    for note in result["notes"]:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"model: {output / 'model'}")
