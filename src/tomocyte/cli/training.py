"""``tomocyte train``, ``fine-tune`` and ``crossval``: weights from labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tomocyte.cli import completion
from tomocyte.cli.options import DebugOption, Output
from tomocyte.cli.organelle import KIND, train_organelle
from tomocyte.cli.recording import remark

if TYPE_CHECKING:
    from tomocyte.datasets.labelled import LabelledItem
    from tomocyte.training import Recipe

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Folder of labelled images: NAME.tif with NAME_STRUCTURE.tif. Default: the recipe's own are simulated.",
    ),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="One setting of the recipe, e.g. loop.n_epochs=20; may be repeated.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="Where the network is trained: cpu, cuda or cuda:1.")]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume/--restart",
        help="Continue from the last checkpoint, or start again; what an earlier one made is kept.",
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Check the recipe and the data and describe the training; write nothing.")
]

SCORE_NAMES = {"dice": "Dice", "f1": "F1 of objects at IoU 0.5", "matched_dice": "Dice of matched objects"}


def train(
    output: Output,
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="A YAML file, or the name of a recipe: {training_recipes}; {organelle_recipes}.",
            metavar="RECIPE",
            autocompletion=completion.recipes_for("training"),
        ),
    ] = None,
    new_recipe: Annotated[
        str | None,
        typer.Option(
            "--new-recipe",
            metavar="MODALITY",
            help="Write a commented recipe for your own labelled images to the file -o, and train nothing: qpi, odt, "
            "fluorescence, sxt or nile_red.",
        ),
    ] = None,
    data: DataOption = None,
    overrides: SetOption = None,
    device: DeviceOption = "cpu",
    resume: ResumeOption = True,
    init: Annotated[
        str | None, typer.Option("--init", help="Name or folder of a model whose weights to start from.")
    ] = None,
    held_out: Annotated[
        Path | None,
        typer.Option("--held-out", help="Folder of the recipe's held-out data. Default: they are simulated."),
    ] = None,
    structure: Annotated[
        str | None,
        typer.Option("--structure", "-s", help="nile-red-organelle: what the probe in the green channel marks."),
    ] = None,
    foreground: Annotated[
        str | None,
        typer.Option(
            "--foreground",
            help="nile-red-organelle: what finds the probe's structures in focus: otsu, adaptive, top-hat, or a "
            "model made with the recipe fg-net. Default: otsu.",
        ),
    ] = None,
    dry_run: DryRunOption = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Train a network and write a model package that `tomocyte run --model` takes.

    The output folder contains the recipe, hashes of all data, a log, curves, checkpoints and model/. If the training is
    interrupted, the same command continues it; on a CPU the weights are the same, bit for bit. To use several GPUs,
    start it with torchrun.
    """
    from tomocyte.cli.progress import task_progress
    from tomocyte.comparison import train as train_model
    from tomocyte.errors import SettingsError
    from tomocyte.ledger import refuse_other_kind
    from tomocyte.models import load_package
    from tomocyte.runs.simulate.benchmark import labelled_images
    from tomocyte.training import build_recipe, load_recipe, split_items

    if new_recipe is not None and recipe is None:
        _write_recipe(new_recipe, output, is_dry_run=dry_run)
        return
    if recipe is None or new_recipe is not None:
        raise SettingsError(
            "E-USAGE",
            "give either a recipe to train with, or --new-recipe.",
            cure="`tomocyte train --new-recipe fluorescence -o my.yaml` writes a recipe.",
        )
    content = load_recipe(recipe, overrides or ())
    if content.get("kind") == KIND:
        changes = {"structure": structure, "foreground": foreground}
        outcome = train_organelle(
            content, changes, data=data, output=output, device=device, restarts=not resume, is_dry_run=dry_run
        )
        if outcome is not None:
            _print_result(outcome, output)
        return
    if structure is not None or foreground is not None:
        raise SettingsError(
            "E-USAGE", "--structure and --foreground are for nile-red-organelle.", cure="Leave them out."
        )
    checked = build_recipe(content)
    if dry_run and data is None and checked.benchmark is not None:
        typer.echo(f"Would simulate {checked.benchmark} into {output / 'data'}; nothing written.")
        return
    with task_progress() as callback:
        refuse_other_kind(output, "train")
        items = labelled_images(
            checked.data, data, benchmark=checked.benchmark, folder=output / "data", callback=callback
        )
        sets = split_items(items, checked.validation_share, seed=checked.loop.seed, leaves_out=checked.leaves_out)
        typer.echo(f"{len(sets.train)} training images, {len(sets.validation)} validation images.")
        if dry_run:
            _print_description(checked, sets.train)
            return
        result = train_model(
            checked,
            sets,
            folder=output,
            device=device,
            initial=None if init is None else dict(load_package(init).state),
            held_out=held_out,
            restarts=not resume,
            callback=callback,
        )
    _print_result(result, output)


def _write_recipe(modality: str, output: Path, *, is_dry_run: bool) -> None:
    """Write a recipe to begin with, never over another file, and say what comes next."""
    import re
    import shlex

    from tomocyte.errors import OutputError, SettingsError
    from tomocyte.ledger.atomic import write_atomic
    from tomocyte.training.new_recipe import new_recipe

    if output.suffix not in {".yaml", ".yml"}:
        cure = f"Write -o {shlex.quote(str(output.with_name(output.name + '.yaml')))}."
        raise SettingsError("E-USAGE", f"{output} is not the name of a recipe, which ends with .yaml.", cure=cure)
    if output.exists():
        raise OutputError("E-EXISTS", "already exists.", path=output, cure="Choose another name.")
    name = re.sub(r"[^A-Za-z0-9_.+-]", "-", output.stem).lstrip("_.+-")[:60] or "mine"
    text = new_recipe(modality, name=name)
    if is_dry_run:
        typer.echo(f"Would write {output}; nothing written.")
        return
    write_atomic(output, text.encode("utf-8"))
    typer.echo(f"wrote {output}: read it through, then")
    typer.echo(f"next: tomocyte train {shlex.quote(str(output))} --data FOLDER -o OUT")


def fine_tune(
    model: Annotated[
        str,
        typer.Argument(
            help="Name of a model from `tomocyte models list`, or its folder.",
            metavar="MODEL",
            autocompletion=completion.models,
        ),
    ],
    output: Output,
    data: Annotated[Path, typer.Option("--data", help="Folder of your labelled images.")],
    overrides: SetOption = None,
    pixel_size_um: Annotated[
        tuple[float, float] | None,
        typer.Option("--pixel-size-um", metavar="Y X", help="Pixel size in um of images whose files contain none."),
    ] = None,
    label_suffix: Annotated[
        str | None,
        typer.Option(
            "--label-suffix",
            help="How names of label files end, e.g. _mask. Default: _STRUCTURE, _instances, _labels or _mask.",
        ),
    ] = None,
    device: DeviceOption = "cpu",
    resume: ResumeOption = True,
    dry_run: DryRunOption = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Adapt a trained model to a few labelled images of your own.

    NAME.tif needs a label image NAME_STRUCTURE.tif, NAME_instances.tif, NAME_labels.tif or NAME_mask.tif (0 =
    background) beside it or in labels/. The output folder of `tomocyte edits export` can be used as well. In a stack,
    sections without any label are ignored. One fifth of the images is held out, at least one if there are two or more;
    the model is scored on them before and after. If it is interrupted, the same command continues it.
    """
    from tomocyte.cli.progress import task_progress
    from tomocyte.comparison import fine_tune as tune_model
    from tomocyte.datasets.labelled import find_items, folder_settings
    from tomocyte.models import load_package
    from tomocyte.settings import with_overrides
    from tomocyte.training import build_recipe, fine_tuning_recipe, split_items

    package = load_package(model)
    content = fine_tuning_recipe(package.card)
    extra = [f"data.{name}={value}" for name, value in folder_settings(data).items()]
    extra += [f"data.label_suffix={label_suffix}"] if label_suffix is not None else []
    if pixel_size_um is not None:
        extra.append(f"data.stored_pixel_size_um=[{pixel_size_um[0]}, {pixel_size_um[1]}]")
    checked = build_recipe(with_overrides(content, [*extra, *(overrides or [])]))
    items = find_items(data, checked.data)
    sets = split_items(items, checked.validation_share, seed=checked.loop.seed, min_held_out=1)
    typer.echo(f"{len(sets.train)} training images, {len(sets.validation)} held out.")
    if dry_run:
        _print_description(checked, sets.train)
        return
    with task_progress() as callback:
        result = tune_model(
            package, checked, sets, folder=output, device=device, restarts=not resume, callback=callback
        )
    for name in [name for name in SCORE_NAMES if name in result.get("before", {}) and name in result["after"]]:
        before, after = result["before"][name], result["after"][name]
        typer.echo(f"{SCORE_NAMES[name]} on the held-out images: {before:.3f} before, {after:.3f} after.")
    _print_result(result, output)
    for warning in result.get("warnings", []):
        typer.echo(str(warning), err=True)


def crossval(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A YAML file, or the name of a recipe: {crossval_recipes}.",
            metavar="RECIPE",
            autocompletion=completion.recipes_for("crossval"),
        ),
    ],
    output: Output,
    data: DataOption = None,
    groups: Annotated[
        str | None,
        typer.Option("--groups", help="What is never split over two folds: cell or image. Default: as in the recipe."),
    ] = None,
    folds: Annotated[
        int | None, typer.Option("--folds", help="Number of folds. Default: as in the recipe.", min=2)
    ] = None,
    rows: Annotated[
        list[str] | None, typer.Option("--row", help="Only this row of the table; may be repeated. Default: all rows.")
    ] = None,
    overrides: SetOption = None,
    device: DeviceOption = "cpu",
    dry_run: DryRunOption = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Compare networks by cross-validation; write tables (Markdown, CSV, HTML) and figures.

    Folds are made of whole cells or images, so that no cell is in two folds; this is checked. Finished trainings are
    kept: if the command is interrupted, the same command continues it; later it only writes the tables again.
    """
    from tomocyte.cli.progress import task_progress
    from tomocyte.comparison import CrossvalRecipe, crossvalidate
    from tomocyte.comparison.crossval import folds_of
    from tomocyte.ledger import refuse_other_kind
    from tomocyte.papers.osnet.tables import write_tables
    from tomocyte.runs.simulate.benchmark import labelled_images
    from tomocyte.settings import with_overrides
    from tomocyte.training import build_recipe, load_recipe

    content = load_recipe(recipe)
    content |= {"groups": groups} if groups is not None else {}
    content |= {"n_folds": folds} if folds is not None else {}
    checked = build_recipe(content, CrossvalRecipe)
    changes = with_overrides({}, overrides or [])
    first = checked.recipe(next(iter(checked.rows)), changes)
    if dry_run and data is None and checked.benchmark is not None:
        typer.echo(f"Would simulate {checked.benchmark} into {output / 'data'}; nothing written.")
        return
    with task_progress() as callback:
        refuse_other_kind(output, "crossval")
        items = labelled_images(
            first.data, data, benchmark=checked.benchmark, folder=output / "data", callback=callback
        )
        if dry_run:
            for index, fold in enumerate(folds_of(items, checked)):
                typer.echo(f"fold {index + 1}: {len(fold)} images")
            typer.echo(f"{len(checked.rows)} rows, {len(checked.rows) * checked.n_folds} trainings; nothing written.")
            return
        result = crossvalidate(checked, items, output, rows=rows, overrides=changes, device=device, callback=callback)
    for text in write_tables(checked, result, output, items=items):
        typer.echo(text)
    typer.echo(f"wrote {output / 'tables'}")


def _print_description(recipe: Recipe, items: list[LabelledItem]) -> None:
    from tomocyte.training import describe_training

    for line in describe_training(recipe, items):
        typer.echo(line)
    typer.echo("nothing written.")


def _print_result(result: dict[str, Any], output: Path) -> None:
    history = result["history"]
    if result.get("core_depth_um") is not None:
        typer.echo(f"core_depth_um: {result['core_depth_um']:g}, the rim that separates touching objects.")
    loss = history[-1]["loss"]
    typer.echo(f"{len(history)} epochs, last loss {'unknown' if loss is None else f'{loss:.4f}'}.")
    scores = history[-1].get("validation")
    if scores:
        typer.echo("held out: " + ", ".join(f"{name} {value:.3f}" for name, value in scores.items()))
    if "weights_sha256" not in result:
        return
    if result["n_skipped_steps"]:
        typer.echo(f"{result['n_skipped_steps']} training steps were skipped because their gradients were not finite.")
    for note in result["notes"]:
        remark(f"note: {note}")
    for name, figures in result["figures"].items():
        if isinstance(figures, dict) and name != "calibration":
            typer.echo(f"{name}: " + ", ".join(f"{key} {value}" for key, value in figures.items()))
    typer.echo(f"model: {output / 'model'}")
