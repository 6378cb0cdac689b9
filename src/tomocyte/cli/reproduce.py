"""``tomocyte reproduce``: an experiment of a paper with a trained model, from data to tables and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from tomocyte.cli.options import DebugOption, Output

if TYPE_CHECKING:
    from tomocyte.datasets.labelled import LabelledItem
    from tomocyte.papers.applied import AppliedModel
    from tomocyte.papers.recipe import FigureRecipe
    from tomocyte.papers.result import ExperimentResult
    from tomocyte.runs.simulate import ItemPlan


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
    from tomocyte.cli.progress import count_progress
    from tomocyte.errors import SettingsError
    from tomocyte.figures.canvas import picture_format as checked_format
    from tomocyte.models import load_package
    from tomocyte.papers.applied import applied_model
    from tomocyte.papers.choi.recipe import is_organelles_recipe
    from tomocyte.papers.recipe import load_figure_recipe
    from tomocyte.papers.result import write_result

    if is_organelles_recipe(recipe):
        if model is not None:
            raise SettingsError("E-USAGE", "this experiment trains its own models.", cure="Leave --model out.")
        _compare(recipe, overrides, output, data, _How(picture_format, device, workers, dry_run))
        return
    chosen = load_figure_recipe(recipe, overrides)
    file_format = checked_format(f"x.{picture_format}")
    package = load_package(model or chosen.model)
    if dry_run:
        source = data or "data simulated for it"
        typer.echo(f"{chosen.name}: {chosen.experiment} with {package.card.name} {package.card.version} on {source}.")
        typer.echo("nothing written.")
        return
    items = _items(chosen, data, output / "data", workers)
    applied = applied_model(package, device=device)
    with count_progress(chosen.experiment, len(items)) as bar:
        result = _run(chosen, applied, items, file_format, lambda _: bar.advance())
    about = {
        "recipe": chosen.model_dump(mode="json"),
        "model": {"name": package.card.name, "version": package.card.version, "sha256": package.card.weights_sha256},
        "items": [item.name for item in items],
    }
    write_result(result, output, about=about)
    typer.echo(result.summary.rstrip())
    typer.echo(f"wrote {output / 'summary.md'}")


class _How(NamedTuple):
    """Options that every experiment has."""

    picture_format: str
    device: str
    n_workers: int
    is_dry: bool


def _compare(recipe: str, overrides: list[str] | None, output: Path, data: Path | None, how: _How) -> None:
    """Networks trained and compared on cell lines they have not seen."""
    from tomocyte.cli.training import training_progress
    from tomocyte.figures.canvas import picture_format as checked_format
    from tomocyte.papers.choi.comparison import compare_trainings, is_simulated
    from tomocyte.papers.choi.recipe import load_organelles_recipe, training_folder
    from tomocyte.papers.choi.report import comparison_result
    from tomocyte.papers.result import write_result
    from tomocyte.runs.simulate import benchmark_plan
    from tomocyte.simulation.benchmark import SPLITS

    chosen = load_organelles_recipe(recipe, overrides)
    file_format = checked_format(f"x.{how.picture_format}")
    trainings = {
        row: [
            training_folder(output, training).name for seed in chosen.seeds for training in chosen.trainings(row, seed)
        ]
        for row in chosen.rows
    }
    if how.is_dry:
        for row, names in trainings.items():
            typer.echo(f"{row}: {', '.join(names)}")
        for row, model in chosen.models.items():
            typer.echo(f"{row}: the finished model {model}")
        typer.echo(f"on {data or f'{chosen.benchmark}, simulated for it'}; nothing written.")
        return
    folder = data or output / "data"
    if data is None:
        experiment, _, size = chosen.benchmark.partition("/")
        structures = chosen.base["data"]["structures"]
        _write_plans(benchmark_plan(experiment, size, SPLITS), folder, tuple(structures), how.n_workers)
    with training_progress() as tell:
        entries = compare_trainings(chosen, folder, output, device=how.device, tell=tell)
    result = comparison_result(chosen, entries, is_simulated=is_simulated(chosen, folder), file_format=file_format)
    write_result(result, output, about={"recipe": chosen.model_dump(mode="json"), "trainings": trainings})
    typer.echo(result.summary.rstrip())
    typer.echo(f"wrote {output / 'summary.md'}")


def _run(
    recipe: FigureRecipe, model: AppliedModel, items: list[LabelledItem], file_format: Any, tell: Any
) -> ExperimentResult:
    from tomocyte.papers.osnet.sections import sections_experiment
    from tomocyte.papers.osnet.time_lapse import time_lapse_experiment

    how = {"title": recipe.title, "file_format": file_format, "tell": tell}
    if recipe.experiment == "sections-3d":
        return sections_experiment(model, items, recipe.sections, **how)
    return time_lapse_experiment(model, items, recipe.time_lapse, **how)


def _items(recipe: FigureRecipe, data: Path | None, made: Path, workers: int) -> list[LabelledItem]:
    """The recipe's files: those of the user, or simulated ones, made where they are not there yet."""
    from tomocyte.datasets.labelled import find_items

    splits = recipe.data.splits if recipe.data.benchmark is not None else ()
    if data is not None:
        is_divided = any(item.split for item in find_items(data))
        return find_items(data, splits=splits if is_divided else ())
    _simulate(recipe, made, workers)
    return find_items(made, splits=splits)


def _simulate(recipe: FigureRecipe, folder: Path, workers: int) -> None:
    from tomocyte.runs.simulate import benchmark_plan, dataset_plan

    wanted = recipe.data
    if wanted.benchmark is not None:
        experiment, _, size = wanted.benchmark.partition("/")
        plans = benchmark_plan(experiment, size, wanted.splits)
    else:
        plans = dataset_plan(dict(wanted.dataset or {}), wanted.n_items, seed=wanted.seed)
    settings = recipe.sections if recipe.experiment == "sections-3d" else recipe.time_lapse
    _write_plans(plans, folder, (settings.around, settings.structure), workers)


def _write_plans(plans: list[ItemPlan], folder: Path, structures: tuple[str, ...], n_workers: int) -> None:
    from tomocyte.cli.progress import RunProgress
    from tomocyte.runs.simulate import write_dataset

    named = tuple(dict.fromkeys(structures))
    with RunProgress(n_items=len(plans)) as progress:
        result = write_dataset(plans, folder, structures=named, n_workers=n_workers, on_event=progress.on_event)
    for failure in result.failures:
        typer.echo(f"failed: {failure.item}: {failure.code}: {failure.message}", err=True)
    if result.failures:
        raise typer.Exit(3)
