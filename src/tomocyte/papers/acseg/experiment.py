"""Fig. 3 to 6 from a recipe and data to a result; fields are simulated and segmented where none are given.

To add an experiment, name its recipe class in :data:`FIELDS_RECIPES` and call its function in
:func:`fields_experiment`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tomocyte.datasets.pairs import find_pairs
from tomocyte.errors import SettingsError
from tomocyte.figures.canvas import PictureFormat
from tomocyte.papers.acseg.cell_types import cell_types_experiment
from tomocyte.papers.acseg.fields import SegmentedFields, field_pairs, labelled_items
from tomocyte.papers.acseg.promptable_slices import promptable_experiment
from tomocyte.papers.acseg.recipe import (
    CellTypesRecipe,
    FieldsRecipe,
    PromptableRecipe,
    SegmentationsRecipe,
    ThresholdingRecipe,
)
from tomocyte.papers.acseg.segmentations import segmentations_experiment
from tomocyte.papers.acseg.thresholding import thresholding_experiment
from tomocyte.papers.result import ExperimentResult
from tomocyte.papers.simulated_fields import field_plans, segment_items
from tomocyte.progress import Callback, silent
from tomocyte.runs.simulate.benchmark import simulate_plans

FIELDS_RECIPES: tuple[type[FieldsRecipe], ...] = (
    SegmentationsRecipe, ThresholdingRecipe, PromptableRecipe, CellTypesRecipe,
)  # fmt: skip
"""Recipe classes of these experiments."""


def fields_experiment(
    recipe: FieldsRecipe,
    output: Path,
    *,
    data: Path | None = None,
    second: Path | None = None,
    model: str | None = None,
    file_format: PictureFormat = "png",
    device: str = "cpu",
    n_workers: int = 1,
    callback: Callback = silent,
) -> tuple[ExperimentResult, dict[str, Any]]:
    """Simulate what is not given, segment what is not segmented, and compare.

    Parameters
    ----------
    recipe : FieldsRecipe
    output : Path
        Simulated fields go to ``data``, their segmentations to ``run``; what is there already is not done again.
    data : Path, optional
        Images with labels; with ``second``, two segmentations are enough for Fig. 3.
    second : Path, optional
        Segmentations of the same images: a run, or a folder of label images; no model is run then.
    model : str, optional
        Instead of the recipe's.
    file_format : {"png", "pdf", "svg"}
    device : str
    n_workers : int
    callback : callable

    Returns
    -------
    result : ExperimentResult
    about : dict
        What was compared, fit for JSON.

    Raises
    ------
    SettingsError
        ``E-USAGE``; ``E-RECIPE``: no such experiment.
    InputError
        Coded, with a cure.
    """
    check_data(data, second, model)
    if isinstance(recipe, SegmentationsRecipe) and data is not None and second is not None:
        pairs = find_pairs(second, data, recipe.structure).pairs
        result = segmentations_experiment(recipe, pairs, file_format=file_format, callback=callback)
        return result, {"compared": [str(data), str(second)]}
    folder = data or simulate_plans(
        field_plans(recipe), output / "data", structures=recipe.labelled, n_workers=n_workers, callback=callback
    )
    items = labelled_items(recipe, folder)
    masks = second or segment_items(
        recipe, items, output / "run", model=model, device=device, n_workers=n_workers, callback=callback
    )
    about = {"model": None if second else model or recipe.model, "compared": [str(folder), str(masks)]}
    options: dict[str, Any] = {"file_format": file_format, "callback": callback}
    if isinstance(recipe, SegmentationsRecipe):
        return segmentations_experiment(recipe, field_pairs(recipe, items, masks), **options), about
    fields = SegmentedFields(recipe, items, masks)
    if isinstance(recipe, ThresholdingRecipe):
        return thresholding_experiment(recipe, fields, **options), about
    if isinstance(recipe, PromptableRecipe):
        return promptable_experiment(recipe, fields, **options), about
    if isinstance(recipe, CellTypesRecipe):
        return cell_types_experiment(recipe, fields, **options), about
    raise SettingsError("E-RECIPE", f"no experiment {recipe.experiment!r}.", cure="Use one of EXPERIMENTS.")


def describe_fields(
    recipe: FieldsRecipe, *, data: Path | None = None, second: Path | None = None, model: str | None = None
) -> list[str]:
    """What would be done, in lines for a screen."""
    check_data(data, second, model)
    source = str(data)
    if data is not None and second is None:
        source = f"{len(labelled_items(recipe, data))} images with labels in {data}"
    if data is None:
        plans = field_plans(recipe)
        source = f"data simulated for it: {len(plans)} items with the truth of {', '.join(recipe.labelled)}"
    other = str(second) if second is not None else f"masks of the model {model or recipe.model}"
    return [f"{recipe.name}: {source} against {other}."]


def check_data(data: Path | None, second: Path | None, model: str | None) -> None:
    """Refuse segmentations of nothing, and a model that would not be used.

    Raises
    ------
    SettingsError
        ``E-USAGE``.
    """
    if second is not None and data is None:
        raise SettingsError("E-USAGE", "segmentations of no data set.", cure="Give --data twice: data, segmentations.")
    if second is not None and model is not None:
        raise SettingsError("E-USAGE", "two segmentations need no model.", cure="Leave --model or --data out.")
