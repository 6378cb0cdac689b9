"""The figures from a recipe and data to a result; stacks are simulated and run where none are given.

To add an experiment, name its recipe class in :data:`COMPARTMENT_RECIPES` and call its function in
:func:`compartments_experiment`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tomocyte.errors import SettingsError
from tomocyte.figures.canvas import PictureFormat
from tomocyte.papers.recipe import PaperRecipe
from tomocyte.papers.result import ExperimentResult
from tomocyte.papers.simulated_fields import field_plans
from tomocyte.papers.zhanghao.anatomy import anatomy_experiment
from tomocyte.papers.zhanghao.fields import compartment_items, masks_of_model, masks_of_truth
from tomocyte.papers.zhanghao.foreground import describe_foreground, foreground_experiment
from tomocyte.papers.zhanghao.mitosis import mitosis_experiment
from tomocyte.papers.zhanghao.ratio import describe_ratio, ratio_experiment
from tomocyte.papers.zhanghao.recipe import (
    AnatomyRecipe,
    CompartmentsRecipe,
    ForegroundRecipe,
    MitosisRecipe,
    RatioRecipe,
    ScoringRecipe,
)
from tomocyte.papers.zhanghao.scoring import scoring_experiment
from tomocyte.progress import Callback, silent
from tomocyte.runs.simulate.benchmark import simulate_plans

COMPARTMENT_RECIPES: tuple[type[PaperRecipe], ...] = (
    AnatomyRecipe, ScoringRecipe, MitosisRecipe, RatioRecipe, ForegroundRecipe,
)  # fmt: skip
"""Recipe classes of these experiments."""


def compartments_experiment(
    recipe: CompartmentsRecipe | ForegroundRecipe,
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
) -> tuple[ExperimentResult, dict[str, Any]]:
    """Simulate what is not given, find and measure the compartments, and compare.

    Parameters
    ----------
    recipe : CompartmentsRecipe or ForegroundRecipe
    output : Path
        Simulated stacks go to ``data``, what is found in them to ``run``; what is there already is not done again.
    data : Path, optional
        Stacks, with label images where they are scored.
    second : Path, optional
        Only of scores: a run of the same stacks, or a folder with items of label images; no model is run then.
    model : str, optional
        Instead of the recipe's.
    is_from_truth : bool
        Whether the true masks are drawn and measured; not of scores.
    file_format : {"png", "pdf", "svg"}
    device : str
    n_workers : int
    callback : callable

    Returns
    -------
    result : ExperimentResult
    about : dict
        What was looked at, fit for JSON.

    Raises
    ------
    SettingsError
        ``E-USAGE``; ``E-RECIPE``: no such experiment.
    InputError
        Coded, with a cure.
    """
    check_options(recipe, data, second, model, is_from_truth=is_from_truth)
    options: dict[str, Any] = {"file_format": file_format, "callback": callback}
    if isinstance(recipe, ForegroundRecipe):
        trained = foreground_experiment(recipe, output, data=data, device=device, **options)
        return trained, {"data": str(data or "simulated")}
    folder = data or simulate_plans(
        field_plans(recipe), output / "data", structures=recipe.labelled, n_workers=n_workers, callback=callback
    )
    needs_truth = is_from_truth or isinstance(recipe, ScoringRecipe | RatioRecipe)
    items = compartment_items(recipe, folder, is_truth_needed=needs_truth)
    if isinstance(recipe, RatioRecipe):
        compared = ratio_experiment(recipe, items, output, device=device, **options)
        return compared, {"data": str(data or "simulated")}
    about = {
        "model": None if second or is_from_truth else model or recipe.model,
        "data": str(data or "simulated"),
        "masks": "truth" if is_from_truth else str(second or "model"),
    }
    shared: dict[str, Any] = {"n_workers": n_workers, "callback": callback}
    if second is not None:
        masks = second
    elif is_from_truth:
        masks = masks_of_truth(recipe, items, output / "run", **shared)
    else:
        masks = masks_of_model(recipe, items, output / "run", model=model, device=device, **shared)
    if isinstance(recipe, AnatomyRecipe):
        return anatomy_experiment(recipe, items, masks, **options), about
    if isinstance(recipe, ScoringRecipe):
        return scoring_experiment(recipe, items, masks, **options), about
    if isinstance(recipe, MitosisRecipe):
        return mitosis_experiment(recipe, items, masks, **options), about
    raise SettingsError("E-RECIPE", f"no experiment {recipe.experiment!r}.", cure="Use one of EXPERIMENTS.")


def describe_compartments(
    recipe: CompartmentsRecipe | ForegroundRecipe,
    *,
    data: Path | None = None,
    second: Path | None = None,
    model: str | None = None,
    is_from_truth: bool = False,
) -> list[str]:
    """What would be done, in lines for a screen."""
    check_options(recipe, data, second, model, is_from_truth=is_from_truth)
    if isinstance(recipe, ForegroundRecipe):
        return describe_foreground(recipe, data)
    if data is None:
        plans = field_plans(recipe)
        source = f"data simulated for it: {len(plans)} items with the truth of {', '.join(recipe.labelled)}"
    else:
        needs = isinstance(recipe, ScoringRecipe | RatioRecipe) or is_from_truth
        source = f"{len(compartment_items(recipe, data, is_truth_needed=needs))} stacks in {data}"
    if isinstance(recipe, RatioRecipe):
        return describe_ratio(recipe, source)
    masks = "the true masks" if is_from_truth else f"masks of the model {model or recipe.model}"
    return [f"{recipe.name}: {source}, {masks if second is None else second}."]


def check_options(
    recipe: CompartmentsRecipe | ForegroundRecipe,
    data: Path | None,
    second: Path | None,
    model: str | None,
    *,
    is_from_truth: bool,
) -> None:
    """Refuse what would not be used.

    Raises
    ------
    SettingsError
        ``E-USAGE``.
    """
    trains = isinstance(recipe, RatioRecipe | ForegroundRecipe)
    if trains and (is_from_truth or model is not None):
        raise SettingsError(
            "E-USAGE", "this experiment trains its own networks.", cure="Leave --model and --from-truth out."
        )
    if is_from_truth and isinstance(recipe, ScoringRecipe):
        raise SettingsError("E-USAGE", "the truth scored against itself says nothing.", cure="Leave --from-truth out.")
    if second is not None and not isinstance(recipe, ScoringRecipe):
        raise SettingsError("E-USAGE", "this experiment takes one data set.", cure="Give --data once.")
    if second is not None and data is None:
        raise SettingsError("E-USAGE", "segmentations of no data set.", cure="Give --data twice: data, segmentations.")
    if second is not None and model is not None:
        raise SettingsError("E-USAGE", "two segmentations need no model.", cure="Leave --model or --data out.")
