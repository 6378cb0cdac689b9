"""The figures on a model's card: a finished model scored on data that are independent of its training."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tomocyte.comparison.cell_scores import score_cells_on_card
from tomocyte.comparison.samples import (
    image_rows,
    network_predictor,
    score_samples,
    score_stacks,
    stacks_of,
    summary_of,
)
from tomocyte.datasets.labelled import LabelledItem
from tomocyte.errors import InputError
from tomocyte.models import ModelCard, ModelPackage, load_package
from tomocyte.models.package import write_package
from tomocyte.training.data.cell_samples import make_samples
from tomocyte.training.data.samples import Samples
from tomocyte.training.data.targets import output_names
from tomocyte.training.recipe import Recipe, TestSet
from tomocyte.training.training import VALIDATION

SHOWN = ("dice", "jaccard", "precision", "recall", "pr_auc")
SHOWN_OF_OBJECTS = ("f1", "matched_dice")
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
        samples = make_samples(held_out_items(items, name, test), settings, n_axes=package.card.dimensions)
        predict = network_predictor(module, is_softmax=package.card.activation == "softmax")
        table = score_samples(samples, predict, test=test)
        scores = summary_of(table, "pixels")
        kind = "simulated" if samples.volume(0)[0].is_simulated else "real"
        figures[f"{name} ({kind}, {len(samples)} images)"] = {
            **dice_per_output(image_rows(table, "pixels"), outputs),
            **{key: round(scores[key], DIGITS) for key in SHOWN},
            **{key: round(value, DIGITS) for key, value in object_scores(package, recipe, samples.items).items()},
        }
    content = {"limits": recipe.limits, "recipe": recipe.model_dump(mode="json")}
    card = package.card.model_copy(update={"figures": {**package.card.figures, **figures}, **content})
    return write_package(folder, card, package.state, dict(package.selftest), is_overwriting=True)


def object_scores(package: ModelPackage, recipe: Recipe, items: Sequence[LabelledItem]) -> dict[str, float]:
    """Scores of the single objects of a model that separates touching ones; empty for others.

    A 2-D network is scored on the objects of whole stacks, those labelled without a gap; without any, it has no scores.

    Returns
    -------
    dict
        ``f1`` at IoU 0.5 and ``matched_dice``, means over the images.
    """
    if recipe.data.targets != "mask-and-core":
        return {}
    is_softmax = package.card.activation == "softmax"
    samples = Samples(list(items), recipe.data, n_axes=package.card.dimensions)
    if package.card.dimensions == 2 and any(samples.volume(i)[0].spatial_shape[0] > 1 for i in range(len(items))):
        whole = {"max_sections_per_item": None, "min_section_area_um2": 0.0}
        stacks = stacks_of(Samples(list(items), recipe.data.model_copy(update=whole), n_axes=2))
        if not stacks:
            return {}
        table = score_stacks(stacks, package.build(), is_softmax=is_softmax)
    else:
        predict = network_predictor(package.build(), is_softmax=is_softmax, kind="instances")
        table = score_samples(samples, predict, kind="instances")
    scores = summary_of(table, "instances")
    return {name: scores[name] for name in SHOWN_OF_OBJECTS if math.isfinite(scores[name])}


def add_object_scores(folder: Path, recipe: Recipe, items: Sequence[LabelledItem]) -> None:
    """Write the scores of the objects on the validation images onto the card, beside those of the pixels."""
    package = load_package(folder)
    scores = {name: round(value, DIGITS) for name, value in object_scores(package, recipe, items).items()}
    if not scores:
        return
    earlier: Any = package.card.figures.get(VALIDATION, {})
    figures = {**package.card.figures, VALIDATION: {**earlier, **scores}}
    card = package.card.model_copy(update={"figures": figures})
    write_package(folder, card, package.state, dict(package.selftest), is_overwriting=True)


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
