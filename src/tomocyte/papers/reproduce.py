"""An experiment of a paper from its recipe to tables and pictures; files are simulated where none are given.

To add an experiment, write its recipe class and its function in its paper's folder, name the class in
:data:`EXPERIMENTS` and call the function in :func:`reproduce`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tomocyte.datasets.labelled import LabelledItem, find_items
from tomocyte.errors import SettingsError
from tomocyte.figures.canvas import PictureFormat
from tomocyte.ledger import claim_folder
from tomocyte.models import find_model, load_package
from tomocyte.models.loaded import load_from_package
from tomocyte.papers.acseg.experiment import FIELDS_RECIPES, describe_fields, fields_experiment
from tomocyte.papers.acseg.learning_curve import (
    LearningCurveRecipe,
    describe_learning_curve,
    learning_curve_experiment,
)
from tomocyte.papers.acseg.recipe import FieldsRecipe
from tomocyte.papers.acseg.transfer import TransferRecipe, describe_transfer, transfer_experiment
from tomocyte.papers.choi.comparison import compare_trainings, is_simulated
from tomocyte.papers.choi.macrophages import MacrophagesRecipe, describe_macrophages, macrophages_experiment
from tomocyte.papers.choi.recipe import OrganellesRecipe, training_folder
from tomocyte.papers.choi.report import comparison_result
from tomocyte.papers.osnet.recipe import SectionsRecipe, TimeLapseRecipe
from tomocyte.papers.osnet.sections import sections_experiment
from tomocyte.papers.osnet.time_lapse import time_lapse_experiment
from tomocyte.papers.recipe import PaperRecipe
from tomocyte.papers.result import ExperimentResult, write_result
from tomocyte.papers.zhanghao.experiment import (
    COMPARTMENT_RECIPES,
    compartments_experiment,
    describe_compartments,
)
from tomocyte.papers.zhanghao.recipe import CompartmentsRecipe, ForegroundRecipe
from tomocyte.progress import Callback, silent
from tomocyte.runs.simulate import ItemPlan, benchmark_plan, dataset_plan
from tomocyte.runs.simulate.benchmark import simulate_plans
from tomocyte.simulation.benchmark import SPLITS

EXPERIMENTS: tuple[type[PaperRecipe], ...] = (
    SectionsRecipe,
    TimeLapseRecipe,
    OrganellesRecipe,
    MacrophagesRecipe,
    LearningCurveRecipe,
    TransferRecipe,
    *FIELDS_RECIPES,
    *COMPARTMENT_RECIPES,
)
"""Recipe classes of all experiments, for :func:`tomocyte.training.build_recipe`."""


def reproduce(
    recipe: PaperRecipe,
    output: Path,
    *,
    data: Path | None = None,
    second: Path | None = None,
    model: str | None = None,
    is_from_truth: bool = False,
    file_format: PictureFormat = "png",
    device: str = "cpu",
    n_workers: int = 1,
    callback: Callback = silent,
) -> ExperimentResult:
    """Repeat an experiment and write summary.md, tables (CSV), pictures and experiment.json.

    Parameters
    ----------
    recipe : PaperRecipe
        Of one of the classes in :data:`EXPERIMENTS`.
    output : Path
        Made if missing; one with files of others is refused. The same call resumes where it was interrupted.
    data : Path, optional
        A simulated data set, or images with labels; without it, the recipe's own is made in ``output / "data"``. Of two
        segmentations that are compared, the first.
    second : Path, optional
        Of ACSeg's figures: segmentations of the data, instead of those of a model.
    model : str, optional
        Model by name or folder, instead of the recipe's.
    is_from_truth : bool
        Whether simulated cells are measured exactly: macrophages from their shapes, without images, compartments from
        their true masks.
    file_format : {"png", "pdf", "svg"}
        Of the pictures.
    device : str
        ``cpu`` or ``cuda[:n]``.
    n_workers : int
        Items simulated at the same time.
    callback : callable
        Receives an event of the step ``simulate`` or ``experiment`` as each item ends, and those of trainings.

    Raises
    ------
    SettingsError
        ``E-USAGE``: a model or data for an experiment that makes its own; ``E-RECIPE``: a recipe of another experiment.
    InputError, OutputError
        Coded, with a cure.

    Examples
    --------
    >>> from tomocyte.training import build_recipe, load_recipe
    >>> recipe = build_recipe(load_recipe("osnet-fig3b"), *EXPERIMENTS)
    >>> recipe.experiment
    'sections-3d'
    >>> reproduce(recipe, Path("out"))  # doctest: +SKIP
    """
    _check_options(recipe, model, is_from_truth=is_from_truth)
    if isinstance(recipe, MacrophagesRecipe):
        _refuse_data(data)
    elif not isinstance(recipe, FieldsRecipe | CompartmentsRecipe | ForegroundRecipe):
        _refuse_second(second)
    claim_folder(output, "reproduce", own=("experiment.json", "trainings"))
    if isinstance(recipe, MacrophagesRecipe):
        films = macrophages_experiment(
            recipe, output, is_from_truth=is_from_truth, model=model, file_format=file_format, device=device,
            n_workers=n_workers, callback=callback,
        )  # fmt: skip
        made = {"recipe": recipe.model_dump(mode="json"), "is_from_truth": is_from_truth, "model": model}
        write_result(films, output, about=made)
        return films
    about: dict[str, Any] = {"recipe": recipe.model_dump(mode="json")}
    if isinstance(recipe, FieldsRecipe):
        compared, facts = fields_experiment(
            recipe, output, data=data, second=second, model=model, file_format=file_format, device=device,
            n_workers=n_workers, callback=callback,
        )  # fmt: skip
        write_result(compared, output, about={**about, **facts})
        return compared
    if isinstance(recipe, CompartmentsRecipe | ForegroundRecipe):
        found, facts = compartments_experiment(
            recipe, output, data=data, second=second, model=model, is_from_truth=is_from_truth, file_format=file_format,
            device=device, n_workers=n_workers, callback=callback,
        )  # fmt: skip
        write_result(found, output, about={**about, **facts})
        return found
    if isinstance(recipe, LearningCurveRecipe):
        curve = learning_curve_experiment(
            recipe, output, data=data, file_format=file_format, device=device, n_workers=n_workers, callback=callback
        )
        write_result(curve, output, about={**about, "data": str(data or "simulated")})
        return curve
    if isinstance(recipe, TransferRecipe):
        table = transfer_experiment(
            recipe, output, data=data, model=model, file_format=file_format, device=device, n_workers=n_workers,
            callback=callback,
        )  # fmt: skip
        write_result(table, output, about={**about, "data": str(data or "simulated"), "model": model})
        return table
    if data is None:
        plans, structures = _plans(recipe)
        folder = simulate_plans(plans, output / "data", structures=structures, n_workers=n_workers, callback=callback)
    else:
        folder = data
    if isinstance(recipe, OrganellesRecipe):
        entries = compare_trainings(recipe, folder, output, device=device, callback=callback)
        simulated = is_simulated(recipe, folder)
        result = comparison_result(recipe, entries, is_simulated=simulated, file_format=file_format)
        about["trainings"] = _training_names(recipe, output)
    elif isinstance(recipe, SectionsRecipe | TimeLapseRecipe):
        items = _items(recipe, folder)
        package = load_package(model or recipe.model)
        loaded = load_from_package(package, device=device)
        title = recipe.title
        if isinstance(recipe, SectionsRecipe):
            result = sections_experiment(
                loaded, items, recipe.sections, title=title, file_format=file_format, callback=callback
            )
        else:
            result = time_lapse_experiment(
                loaded, items, recipe.time_lapse, title=title, file_format=file_format, callback=callback
            )
        card = package.card
        about["model"] = {"name": card.name, "version": card.version, "sha256": card.weights_sha256}
        about["items"] = [item.name for item in items]
    else:
        raise SettingsError("E-RECIPE", f"no experiment {recipe.experiment!r}.", cure="Use one of EXPERIMENTS.")
    write_result(result, output, about=about)
    return result


def describe_experiment(
    recipe: PaperRecipe,
    output: Path,
    *,
    data: Path | None = None,
    second: Path | None = None,
    model: str | None = None,
    is_from_truth: bool = False,
) -> list[str]:
    """What :func:`reproduce` would do with the same arguments, in lines for a screen."""
    _check_options(recipe, model, is_from_truth=is_from_truth)
    if isinstance(recipe, MacrophagesRecipe):
        _refuse_data(data)
        return describe_macrophages(recipe, is_from_truth=is_from_truth)
    if isinstance(recipe, FieldsRecipe):
        return describe_fields(recipe, data=data, second=second, model=model)
    if isinstance(recipe, CompartmentsRecipe | ForegroundRecipe):
        return describe_compartments(recipe, data=data, second=second, model=model, is_from_truth=is_from_truth)
    _refuse_second(second)
    if isinstance(recipe, LearningCurveRecipe):
        return describe_learning_curve(recipe, data)
    if isinstance(recipe, TransferRecipe):
        return describe_transfer(recipe, data)
    source = str(data)
    if data is None:
        plans, structures = _plans(recipe)
        name = recipe.benchmark + "," if isinstance(recipe, OrganellesRecipe) else "data"
        source = f"{name} simulated for it: {len(plans)} items with the truth of {', '.join(structures)}"
    if isinstance(recipe, SectionsRecipe | TimeLapseRecipe):
        card = load_package(model or recipe.model).card
        return [f"{recipe.name}: {recipe.experiment} with {card.name} {card.version} on {source}."]
    lines = []
    if isinstance(recipe, OrganellesRecipe):
        lines += [f"{row}: {', '.join(names)}" for row, names in _training_names(recipe, output).items()]
        lines += [f"{row}: the finished model {name}" for row, name in recipe.models.items()]
        lines.append(f"on {source}")
    return lines


def _check_options(recipe: PaperRecipe, model: str | None, *, is_from_truth: bool) -> None:
    if is_from_truth and not isinstance(recipe, MacrophagesRecipe | CompartmentsRecipe | ForegroundRecipe):
        raise SettingsError("E-USAGE", "this experiment is about images.", cure="Leave --from-truth out.")
    if is_from_truth and model is not None:
        raise SettingsError("E-USAGE", "the truth needs no model.", cure="Leave --model or --from-truth out.")
    if isinstance(recipe, OrganellesRecipe | LearningCurveRecipe) and model is not None:
        raise SettingsError("E-USAGE", "this experiment trains its own models.", cure="Leave --model out.")


def _refuse_second(second: Path | None) -> None:
    if second is not None:
        raise SettingsError("E-USAGE", "this experiment takes one data set.", cure="Give --data once.")


def _refuse_data(data: Path | None) -> None:
    if data is not None:
        raise SettingsError("E-USAGE", "this experiment simulates its own cells.", cure="Leave --data out.")


def _training_names(recipe: OrganellesRecipe, output: Path) -> dict[str, list[str]]:
    """Row -> names of the folders of its trainings."""
    return {
        row: [
            training_folder(output, training).name for seed in recipe.seeds for training in recipe.trainings(row, seed)
        ]
        for row in recipe.rows
    }


def _plans(recipe: PaperRecipe) -> tuple[list[ItemPlan], tuple[str, ...]]:
    """What is simulated for an experiment, and which structures are labelled."""
    if isinstance(recipe, OrganellesRecipe):
        experiment, _, size = recipe.benchmark.partition("/")
        splits = SPLITS if recipe.rows else tuple({test.split: None for test in recipe.tests.values()})
        return benchmark_plan(experiment, size, splits), _learned(recipe)
    if not isinstance(recipe, SectionsRecipe | TimeLapseRecipe):
        return [], ()
    source = recipe.data
    settings = recipe.sections if isinstance(recipe, SectionsRecipe) else recipe.time_lapse
    structures = (settings.around, settings.structure)
    if source.benchmark is None:
        return dataset_plan(dict(source.dataset or {}), source.n_items, seed=source.seed), structures
    experiment, _, size = source.benchmark.partition("/")
    return benchmark_plan(experiment, size, source.splits), structures


def _learned(recipe: OrganellesRecipe) -> tuple[str, ...]:
    """Structures that the trainings learn and the finished models find, each once."""
    trainings = [one for row in recipe.rows for one in recipe.trainings(row, recipe.seeds[0])]
    learned = [name for training in trainings for name in training.data.structures]
    for model in recipe.models.values():
        learned += [name for name in load_package(find_model(model)).card.structures if name != "background"]
    return tuple(dict.fromkeys(learned))


def _items(recipe: SectionsRecipe | TimeLapseRecipe, folder: Path) -> list[LabelledItem]:
    """The items of the recipe's splits, or all of a folder that has none."""
    splits = recipe.data.splits if recipe.data.benchmark is not None else ()
    is_divided = any(item.split for item in find_items(folder))
    return find_items(folder, splits=splits if is_divided else ())
