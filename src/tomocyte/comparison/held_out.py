"""The figures on a model's card: a finished model scored on data that are independent of its training."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tomocyte.comparison.cell_scores import score_cells_on_card
from tomocyte.comparison.samples import image_rows, network_predictor, score_samples, summary_of
from tomocyte.datasets.labelled import LabelledItem
from tomocyte.errors import InputError
from tomocyte.models import ModelCard, load_package
from tomocyte.models.package import write_package
from tomocyte.training.data.samples import Samples
from tomocyte.training.data.targets import output_names
from tomocyte.training.recipe import Recipe, TestSet
from tomocyte.training.training import VOXEL_SIZE_RANGE

SHOWN = ("dice", "jaccard", "precision", "recall", "pr_auc")
DIGITS = 4


def score_on_card(folder: Path, recipe: Recipe, items: Sequence[LabelledItem]) -> ModelCard:
    """Score a package on its recipe's held-out sets and write the figures onto its card.

    Parameters
    ----------
    folder : Path
        A model package; its card is replaced, its weights stay bit for bit.
    recipe : Recipe
        With ``held_out``.
    items : sequence of LabelledItem
        Of the benchmark that ``held_out`` names.

    Raises
    ------
    InputError
        ``E-NO-DATA``: a set without images.
    """
    if recipe.held_out is None:
        return load_package(folder).card
    if recipe.data.targets == "cell-by-cell":
        sets = {name: held_out_items(items, name, test) for name, test in recipe.held_out.sets.items()}
        return score_cells_on_card(folder, recipe, sets)
    package = load_package(folder)
    module = package.build()
    changes = {"min_section_area_um2": recipe.held_out.min_section_area_um2, "section_margin_um": 0.0}
    settings = recipe.data.model_copy(update=changes)
    figures: dict[str, Any] = {}
    outputs = output_names(recipe.data)
    for name, test in recipe.held_out.sets.items():
        samples = Samples(held_out_items(items, name, test), settings, n_axes=package.card.dimensions)
        predict = network_predictor(module, is_softmax=package.card.activation == "softmax")
        table = score_samples(samples, predict, test=test)
        scores = summary_of(table, "pixels")
        kind = "simulated" if samples.volume(0)[0].is_simulated else "real"
        figures[f"{name} ({kind}, {len(samples)} images)"] = {
            **dice_per_output(image_rows(table, "pixels"), outputs),
            **{key: round(scores[key], DIGITS) for key in SHOWN},
        }
    content = {
        "limits": recipe.limits,
        "recipe": recipe.model_dump(mode="json"),
        "voxel_size_range": VOXEL_SIZE_RANGE,
    }
    card = package.card.model_copy(update={"figures": {**package.card.figures, **figures}, **content})
    return write_package(folder, card, package.state, dict(package.selftest), is_overwriting=True)


def dice_per_output(rows: Sequence[dict[str, Any]], outputs: tuple[str, ...]) -> dict[str, float]:
    """Mean Dice over the images with an output in truth or prediction, for each of several outputs; empty for one.

    Examples
    --------
    >>> rows = [{"output": "cell", "dice": 0.5}, {"output": "cell", "dice": 1.0}, {"output": "nucleus", "dice": 0.25}]
    >>> dice_per_output(rows, ("cell", "nucleus"))
    {'dice cell': 0.75, 'dice nucleus': 0.25}
    """
    if len(outputs) == 1:
        return {}
    values_of = {name: [row["dice"] for row in rows if row["output"] == name] for name in outputs}
    finite = {name: [value for value in values if math.isfinite(value)] for name, values in values_of.items()}
    return {f"dice {name}": round(sum(values) / len(values), DIGITS) for name, values in finite.items() if values}


def held_out_items(items: Sequence[LabelledItem], name: str, test: TestSet) -> list[LabelledItem]:
    """The items of a held-out set.

    Raises
    ------
    InputError
        ``E-NO-DATA``: none.
    """
    matches = [
        item
        for item in items
        if item.split == test.split and test.domain in (None, item.domain) and re.search(test.match or "", item.name)
    ]
    if not matches:
        raise InputError(
            "E-NO-DATA",
            f"no item of split {test.split!r}{f' and domain {test.domain!r}' if test.domain else ''} for {name!r}.",
            cure="Use the whole benchmark, or take the set out of the recipe.",
        )
    return matches
